//! The process: arguments, terminal output and exit code.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the only file that writes to a terminal

use std::{future::Future, io::Write as _, path::Path, process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser};
use fanlight::{
    check,
    cli::{self, Cli, Command},
    config::reference,
    demo,
    home::{self, HomeError, files::Places},
    liveness::Liveness,
    log, manage, memory, run,
    service::{self, ServiceEnd},
    setup,
    signals::Signals,
};
use tokio::sync::watch;

const FAILED: u8 = 1;
/// Wrong use of the command line. clap uses the same code.
const USAGE: u8 = 2;
/// `EX_CONFIG` of sysexits.h. The systemd unit does not restart on it.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    memory::configure_allocator();
    match Cli::parse().command {
        Command::Run { config } => serve(&config),
        Command::Demo(requests) => run_demo(&requests),
        Command::Check { config, network: false } => check_file(&config),
        Command::Check { config, network: true } => check_network(&config),
        Command::Setup(requests) if requests.home => set_up_home(&requests),
        Command::Setup(requests) => set_up(&requests),
        Command::Home { settings } => serve_home(&settings),
        Command::Probe { json: true } => print(&serde_json::to_string_pretty(&check::probe()).unwrap_or_default()),
        Command::Probe { json: false } => print(&check::probe().text()),
        Command::Pair(command) => pair(&command),
        Command::Viewers(command) => match manage::viewers(&command) {
            Ok(text) => print(&text),
            Err(e) => failed(format!("viewers: {e}")),
        },
        Command::Token(command) => match manage::token(&command) {
            Ok(text) => print(&text),
            Err(e) => failed(format!("token: {e}")),
        },
        Command::Privacy(command) => match manage::privacy(&command) {
            Ok(text) => print(&text),
            Err(e) => failed(format!("privacy: {e}")),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fanlight", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man { folder } => manual(&folder),
    }
}

/// Shows the link, and waits for the viewer.
fn pair(command: &cli::PairCommand) -> ExitCode {
    match manage::pair(command, manage::Screen::of_process(), &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(format!("pair: {e}")),
    }
}

/// Prints to standard output. A closed pipe (`| head`) is not a failure.
fn print(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn failed(text: impl std::fmt::Display) -> ExitCode {
    eprintln!("fanlight: {text}");
    ExitCode::from(FAILED)
}

fn check_file(file: &Path) -> ExitCode {
    let checked = check::check(file);
    for remark in &checked.remarks {
        eprintln!("{remark}");
    }
    match checked.effective {
        Some(toml) => {
            print(&toml);
            let warnings = match checked.remarks.len() {
                0 => String::new(),
                1 => ", with the warning above".to_owned(),
                n => format!(", with the {n} warnings above"),
            };
            eprintln!("ok: {} can be used{warnings}", checked.file.display());
            ExitCode::SUCCESS
        }
        None => ExitCode::from(CONFIGURATION),
    }
}

/// Asks and tries the answers. Returns them, and whether they work. `home`: the board's id, if home mode was chosen.
fn ask_and_try(requests: &cli::SetupOptions, home: &mut Option<String>) -> Result<(setup::Answers, bool), String> {
    // Check this before asking, so no answer is given in vain.
    if !requests.print {
        setup::write::writable(&requests.config)?;
    }
    setup::replaceable(&requests.config, requests.replace)?;
    let probed = check::probe();
    let offers = setup::Offers::new(&probed.cameras, &probed.microphones, &probed.speakers);
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stderr());
    let mut answers = setup::ask::answers(requests, &offers, &mut input, &mut output).map_err(|end| {
        if let setup::ask::NoAnswer::Home(device) = &end {
            *home = Some(device.clone());
        }
        end.to_string()
    })?;
    if requests.print {
        return Ok((answers, true));
    }
    let runtime = runtime().map_err(|e| format!("start the runtime: {e}"))?;
    let attempt = |answers: &setup::Answers| runtime.block_on(Box::pin(setup::settle::attempt(answers)));
    let works = setup::settle::settle(requests, &mut answers, attempt, &mut input, &mut output)?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok((answers, works))
}

/// Asks, tries the answers, writes the configuration, and restarts the service.
fn set_up(requests: &cli::SetupOptions) -> ExitCode {
    let file = &requests.config;
    let mut home = None;
    let asked = ask_and_try(requests, &mut home);
    let (answers, works) = match asked {
        Ok(answers) => answers,
        // The board has its name; the other questions of home mode follow.
        Err(_) if home.is_some() && !requests.print => {
            return set_up_home(&cli::SetupOptions { device: home, ..requests.clone() });
        }
        Err(e) => return failed(format!("setup: {e}")),
    };
    if requests.print {
        return print(&answers.toml(&setup::password_file(file)));
    }
    let draft = match setup::write::Draft::new(file, &answers) {
        Ok(draft) => draft,
        Err(e) => return failed(format!("setup: {e}")),
    };
    // The draft has another name than the final file.
    let checked = check::check(draft.file());
    let name = draft.file().display().to_string();
    for remark in &checked.remarks {
        eprintln!("{}", remark.replace(&name, &file.display().to_string()));
    }
    if checked.effective.is_none() {
        return failed("setup: nothing was written; the faults are listed above");
    }
    let restarted = draft.place().and_then(|()| match requests.no_reload {
        true => Ok("the service was not restarted".to_owned()),
        false => setup::write::restart_service(),
    });
    match restarted {
        Ok(service) => {
            let untested = if works { "" } else { "; it was not tried: use fanlight check --network" };
            eprintln!("wrote {}; {service}{untested}", file.display());
            if !answers.the_broker_can_watch {
                eprintln!("nobody may watch yet; this lets the first viewer in: sudo fanlight pair");
            }
            ExitCode::SUCCESS
        }
        Err(e) => failed(format!("setup: {e}")),
    }
}

/// Sets up home mode, or removes it.
fn set_up_home(requests: &cli::SetupOptions) -> ExitCode {
    let (places, machine) = (Places::default(), setup::home::ThisMachine);
    if requests.remove {
        return match setup::home::remove(&places, &machine) {
            Ok(()) => {
                eprintln!("home mode is removed; the previous configuration is in force");
                ExitCode::SUCCESS
            }
            Err(e) => failed(format!("setup: {e}")),
        };
    }
    let file = places.configuration();
    let done =
        setup::write::writable(&file).and_then(|()| setup::replaceable(&file, requests.replace)).and_then(|()| {
            let probed = check::probe();
            let offers = setup::Offers::new(&probed.cameras, &probed.microphones, &probed.speakers);
            let (mut input, mut output) = (std::io::stdin().lock(), std::io::stderr());
            let answers = setup::ask::home_answers(requests, &offers, &mut input, &mut output);
            setup::home::install(&places, &answers.map_err(|end| end.to_string())?, requests.port, &machine)
        });
    match done {
        Ok(report) => print(&report.text()),
        Err(e) => failed(format!("setup: {e}")),
    }
}

/// Runs the HTTPS server of home mode.
fn serve_home(settings: &Path) -> ExitCode {
    if let Err(e) = log::start(&home::log()) {
        return failed(format!("start the log: {e}"));
    }
    let mut refused = None;
    let ended = run_async(async {
        match home::serve(settings, |_| {}).await {
            Ok(()) => Ok(()),
            Err(error @ HomeError::Settings(_)) => {
                refused = Some(error.to_string());
                Ok(())
            }
            Err(error @ HomeError::Failed(_)) => Err(error.to_string()),
        }
    });
    match refused {
        Some(message) => {
            eprintln!("fanlight home: {message}");
            ExitCode::from(CONFIGURATION)
        }
        None => ended,
    }
}

fn check_network(file: &Path) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let ended = run_async(async {
        match check::network(file).await {
            Ok(lines) => {
                for line in lines {
                    println!("{} {}", if line.good { "ok   " } else { "wrong" }, line.text);
                    if !line.good {
                        code = ExitCode::from(FAILED);
                    }
                }
            }
            Err(problems) => {
                problems.iter().for_each(|problem| eprintln!("{problem}"));
                code = ExitCode::from(CONFIGURATION);
            }
        }
        Ok(())
    });
    if ended == ExitCode::SUCCESS { code } else { ended }
}

fn manual(folder: &Path) -> ExitCode {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let written = clap_mangen::generate_to(command, folder)
        .and_then(|()| std::fs::write(folder.join("fanlight.toml.5"), reference::manual()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(format!("write the manual pages to {}: {e}", folder.display())),
    }
}

fn serve(file: &Path) -> ExitCode {
    let mut refused = None;
    let ended = run_async(async {
        match service::serve(file).await {
            Ok(()) => Ok(()),
            Err(ServiceEnd::Failed(message)) => Err(message),
            Err(ServiceEnd::Refused(message)) => {
                refused = Some(message);
                Ok(())
            }
        }
    });
    match refused {
        Some(message) => {
            eprintln!("{message}");
            ExitCode::from(CONFIGURATION)
        }
        None => ended,
    }
}

fn run_demo(requests: &cli::DemoOptions) -> ExitCode {
    let plan = match demo::plan::plan(requests) {
        Ok(plan) => plan,
        Err(e) => {
            eprintln!("fanlight demo: {e}");
            return ExitCode::from(USAGE);
        }
    };
    if let Err(e) = log::start(&plan.config.log) {
        return failed(format!("start the log: {e}"));
    }
    plan.notes.iter().for_each(|note| println!("{note}"));
    run_async(async {
        let mut signals = Signals::listen(true)?;
        let mut config = plan.config;
        let ports = demo::Ports { page: requests.port, ..demo::Ports::default() };
        let served = demo::serve(&config.device, &config.broker.root, ports).await.map_err(|e| e.to_string())?;
        config.broker = served.broker.clone();
        println!("\nOpen {} in a browser on this machine. Ctrl-C ends it.\n", served.url);
        if let Some(line) = served.from_elsewhere() {
            println!("{line}\n");
        }
        let lan = match requests.lan {
            true => {
                let device = &config.device;
                let lan =
                    demo::lan::serve(device, &config.broker.root, config.broker.port).map_err(|e| e.to_string())?;
                println!("From other machines of this network. Who has the link can watch; the browser warns once:");
                lan.links.iter().for_each(|link| println!("  {link}"));
                println!();
                Some(lan)
            }
            false => None,
        };
        println!("To keep a camera at home like this: sudo fanlight setup --home (docs/guide/home.md).\n");
        let (_reload, reloads) = watch::channel(config.clone());
        let (_note, notes) = watch::channel(String::new());
        let stopped = signals.stopped();
        let ended = run::run(config, reloads, stopped, &Liveness::default(), notes).await.map_err(|e| e.to_string());
        drop(lan);
        served.close().await;
        ended
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("fanlight").enable_all().build()
}

/// Runs a command on a runtime with two worker threads. One connection's driver then never blocks all others.
fn run_async(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(e) => return failed(format!("start the runtime: {e}")),
    };
    let ended = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(e),
    }
}
