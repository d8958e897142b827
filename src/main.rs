//! The process: arguments, log, signals, exit code.
#![allow(clippy::print_stdout, clippy::print_stderr)] // the only place that talks to a terminal

use std::{
    future::Future,
    io::Write as _,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::{CommandFactory, Parser};
use fanlight::{
    check,
    cli::{self, Cli, Command},
    clock::Mono,
    config::{self, Config, ConfigError, Loaded, Surroundings, reference},
    demo,
    lastgood::{Kept, Refused},
    log, memory,
    pulse::{Pulse, TURN, TURNING},
    run, setup, systemd,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};
use tracing::{error, info, warn};

const FAILED: u8 = 1;
/// `EX_CONFIG` of sysexits.h; the unit does not restart on it.
const CONFIGURATION: u8 = 78;
/// How long the configuration may take to be read.
const READ: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    memory::frugal();
    match Cli::parse().command {
        Command::Run { config } => serve(&config),
        Command::Demo(wishes) => show(&wishes),
        Command::Check { config, network: false } => tell(check::check(&config)),
        Command::Check { config, network: true } => look_around(&config),
        Command::Setup(wishes) => set_up(&wishes),
        Command::Probe { json: true } => print(&serde_json::to_string_pretty(&check::probe()).unwrap_or_default()),
        Command::Probe { json: false } => print(&check::probe().text()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fanlight", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man { folder } => manual(&folder),
    }
}

/// A reader that went away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn failed(text: impl std::fmt::Display) -> ExitCode {
    eprintln!("fanlight: {text}");
    ExitCode::from(FAILED)
}

fn tell(checked: check::Checked) -> ExitCode {
    for remark in &checked.remarks {
        eprintln!("{remark}");
    }
    match checked.effective {
        Some(toml) => print(&toml),
        None => ExitCode::from(CONFIGURATION),
    }
}

/// Asks, tests, writes, and has the service read it.
fn set_up(wishes: &cli::Setup) -> ExitCode {
    let file = &wishes.config;
    let asked = setup::replaceable(file, wishes.replace).and_then(|()| {
        let probed = check::probe();
        let offers = setup::Offers::new(&probed.cameras, &probed.microphones);
        setup::ask::answers(wishes, &offers, &mut std::io::stdin().lock(), &mut std::io::stderr())
    });
    let answers = match asked {
        Ok(answers) => answers,
        Err(e) => return failed(format!("setup: {e}")),
    };
    if wishes.print {
        return print(&answers.toml(&setup::password_file(file)));
    }
    let draft = match setup::write::Draft::new(file, &answers) {
        Ok(draft) => draft,
        Err(e) => return failed(format!("setup: {e}")),
    };
    // The draft bears another name than the file it will be.
    let checked = check::check(draft.file());
    let name = draft.file().display().to_string();
    for remark in &checked.remarks {
        eprintln!("{}", remark.replace(&name, &file.display().to_string()));
    }
    if checked.effective.is_none() {
        return failed("setup: nothing was written: what is wrong is said above");
    }
    let told = draft.place().and_then(|()| match wishes.no_reload {
        true => Ok("the service was not told".to_owned()),
        false => setup::write::tell_service(),
    });
    match told {
        Ok(told) => {
            eprintln!("wrote {}; {told}", file.display());
            ExitCode::SUCCESS
        }
        Err(e) => failed(format!("setup: {e}")),
    }
}

fn look_around(file: &Path) -> ExitCode {
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
        // First of all: from here on no signal is lost, and none ends the process by itself.
        let signals = Signals::hear(false)?;
        let kept = Kept::of_process();
        let (text, read) = read(file).await?;
        let start = match Start::new(file, text, read, &kept) {
            Ok(start) => start,
            Err(told) => {
                refused = Some(told);
                return Ok(());
            }
        };
        let config = start.loaded.as_ref().map(|loaded| loaded.config.log.clone()).unwrap_or_default();
        let log = log::start(&config).map_err(|e| format!("start the log: {e}"))?;
        start.remarks.iter().for_each(|remark| warn!("{remark}"));
        let pulse = Pulse::default();
        let beat = pulse.register("runtime", TURNING, Mono::now());
        let turning = async {
            loop {
                beat.tick(Mono::now());
                tokio::time::sleep(TURN).await;
            }
        };
        let mut service = Service { file, log, kept, signals, note: watch::Sender::new(start.note) };
        let served = async {
            let loaded = match start.loaded {
                Some(loaded) => Some(loaded),
                None => service.blank().await,
            };
            match loaded {
                Some(loaded) => service.watched(loaded, start.text, pulse.clone()).await,
                None => Ok(()),
            }
        };
        tokio::select! {
            ended = served => ended,
            () = systemd::feed_watchdog(pulse.clone()) => Ok(()),
            () = turning => Ok(()),
        }
    });
    match refused {
        Some(told) => {
            eprintln!("{told}");
            ExitCode::from(CONFIGURATION)
        }
        None => ended,
    }
}

/// With what the service starts.
struct Start {
    /// `None`: nothing is set up yet.
    loaded: Option<Loaded>,
    /// The text to be kept as one that works; `None` where it is not as the file says.
    text: Option<String>,
    /// What a person should know, in the log and in the status.
    remarks: Vec<String>,
    note: String,
}

impl Start {
    /// Decides what to start with; an error ends the service with 78.
    fn new(file: &Path, text: Option<String>, read: Result<Loaded, ConfigError>, kept: &Kept) -> Result<Self, String> {
        let error = match read {
            Ok(loaded) => {
                let remarks = kept.read().1;
                return Ok(Self { loaded: Some(loaded), text, remarks, note: String::new() });
            }
            Err(error) => error,
        };
        if error.blank {
            let (copy, mut remarks) = kept.read();
            remarks.extend(copy.and_then(|_| kept.place()).map(|place| {
                let file = file.display();
                format!(
                    "{file} says nothing any more; the last configuration that worked is kept in {}",
                    place.display()
                )
            }));
            return Ok(Self { loaded: None, text: None, remarks, note: String::new() });
        }
        match kept.instead(text.as_deref(), file, &Surroundings::of_process(false), &error) {
            Refused::GoOn { loaded, told } => {
                let remarks = vec![error.to_string(), told.clone()];
                Ok(Self { loaded: Some(*loaded), text: None, remarks, note: told })
            }
            Refused::End { hint } => Err(format!("{error}\n{hint}").trim_end().to_owned()),
        }
    }
}

/// Reads the configuration, on a thread of its own: a file system that hangs must not hold up signals and the watchdog. An error
/// where it does not answer.
async fn read(file: &Path) -> Result<(Option<String>, Result<Loaded, ConfigError>), String> {
    static READING: AtomicBool = AtomicBool::new(false);
    if READING.swap(true, Ordering::AcqRel) {
        return Err(format!("read {}: the last try has not come back yet", file.display()));
    }
    let path = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let read = match config::text(&path) {
            Ok(text) => {
                let parsed = config::parse(&text, &path, &Surroundings::of_process(false));
                (Some(text), parsed)
            }
            Err(error) => (None, Err(error)),
        };
        READING.store(false, Ordering::Release);
        read
    });
    match timeout(READ, reading).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(e)) => Err(format!("read {}: {e}", file.display())),
        Err(_) => Err(format!("read {}: the file system does not answer within {} s", file.display(), READ.as_secs())),
    }
}

/// What lives as long as the service.
struct Service<'a> {
    file: &'a Path,
    log: log::Log,
    kept: Kept,
    signals: Signals,
    /// What the status says beside how the board is doing.
    note: watch::Sender<String>,
}

impl Service<'_> {
    /// Nothing is set up yet: waits for a SIGHUP after which something is. `None` once it is told to stop.
    async fn blank(&mut self) -> Option<Loaded> {
        const STATUS: &str = "not set up yet: sudo fanlight setup";
        let file = self.file;
        info!("{}: nothing is set up yet; waiting for `fanlight setup`, or for SIGHUP", file.display());
        systemd::status(STATUS);
        loop {
            systemd::ready();
            let mut stop = self.signals.clone();
            tokio::select! {
                () = stop.stopped() => return None,
                () = self.signals.hung_up() => {}
            }
            systemd::reloading();
            match read(file).await {
                Ok((text, Ok(loaded))) => {
                    self.log.apply(&loaded.config.log);
                    self.keep(text);
                    return Some(loaded);
                }
                Ok((_, Err(e))) => {
                    error!("configuration read again and refused, still waiting for one:\n{e}");
                    systemd::status(&if e.blank { STATUS.to_owned() } else { format!("not set up yet: {e}") });
                }
                Err(e) => error!("configuration: {e}"),
            }
        }
    }

    /// Serves viewers until it is told to stop.
    async fn watched(&mut self, loaded: Loaded, text: Option<String>, pulse: Pulse) -> Result<(), String> {
        loaded.warnings.iter().for_each(|w| warn!("{w}"));
        let config = loaded.config;
        info!("fanlight {} as {}", env!("CARGO_PKG_VERSION"), config.device);
        check::missing(&config).iter().for_each(|missing| info!("{missing}"));
        let (reload, reloads) = watch::channel(config.clone());
        self.keep(text);
        systemd::ready();
        let mut stop = self.signals.clone();
        let stop = async move { stop.stopped().await };
        let note = self.note.subscribe();
        tokio::select! {
            ended = run::run(config, reloads, stop, &pulse, note) => ended.map_err(|e| e.to_string()),
            () = self.reread(reload) => Ok(()),
        }
    }

    /// Reads the file again at each SIGHUP; hands on what can change now and says what needs a restart.
    async fn reread(&mut self, reload: watch::Sender<Config>) {
        loop {
            self.signals.hung_up().await;
            systemd::reloading();
            let note = match read(self.file).await {
                Ok((text, Ok(loaded))) => {
                    loaded.warnings.iter().for_each(|w| warn!("{w}"));
                    let old = reload.borrow().clone();
                    let changes = Config::difference(&old, &loaded.config);
                    if changes.is_empty() {
                        info!("configuration read again: nothing changed");
                    }
                    if !changes.live.is_empty() {
                        info!("configuration read again: changed at once: {}", changes.live.join(", "));
                    }
                    if !changes.restart.is_empty() {
                        warn!("configuration read again: needs a restart: {}", changes.restart.join(", "));
                    }
                    self.log.apply(&loaded.config.log);
                    reload.send_replace(old.reloaded(&loaded.config));
                    self.keep(text);
                    match changes.restart.as_slice() {
                        [] => String::new(),
                        keys => format!("a restart is needed for {}", keys.join(", ")),
                    }
                }
                Ok((_, Err(e))) => {
                    error!("configuration read again and refused, the old one stays in force:\n{e}");
                    format!("the configuration was refused, the old one is in force: {e}")
                }
                Err(e) => {
                    error!("configuration: {e}; the old one stays in force");
                    format!("the old configuration is in force: {e}")
                }
            };
            self.note.send_replace(note);
            systemd::ready();
        }
    }

    /// Keeps a configuration that works, beside everything else.
    fn keep(&self, text: Option<String>) {
        let (Some(text), kept) = (text, self.kept.clone()) else { return };
        tokio::task::spawn_blocking(move || {
            if let Err(e) = kept.keep(&text, env!("CARGO_PKG_VERSION")) {
                warn!("{e}");
            }
        });
    }
}

/// The signals of the process, heard by one task for as long as it lives: none is lost between two that wait for them.
#[derive(Clone)]
struct Signals {
    stop: watch::Receiver<bool>,
    hangups: watch::Receiver<u64>,
}

impl Signals {
    /// Hears from now on. The second SIGTERM or SIGINT ends the process at once. `hangup_stops`: whether SIGHUP is
    /// a stop, too, as for a program in a terminal.
    fn hear(hangup_stops: bool) -> Result<Self, String> {
        let hear = |kind| signal(kind).map_err(|e| format!("hear signals: {e}"));
        let (mut term, mut int) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
        let mut hup = hear(SignalKind::hangup())?;
        let (stop, stopped) = watch::channel(false);
        let (hangup, hangups) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = term.recv() => "SIGTERM",
                    _ = int.recv() => "SIGINT",
                    _ = hup.recv() => "SIGHUP",
                };
                if name == "SIGHUP" && !hangup_stops {
                    hangup.send_modify(|n| *n += 1);
                } else if stop.send_replace(true) {
                    std::process::exit(130);
                } else {
                    info!("{name}: stopping; again to stop at once");
                    systemd::stopping();
                }
            }
        });
        Ok(Self { stop: stopped, hangups })
    }

    /// Ends once the process was told to stop.
    async fn stopped(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// Ends at the next SIGHUP, or at once if there was one since the last call.
    async fn hung_up(&mut self) {
        if self.hangups.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

fn show(wishes: &cli::Demo) -> ExitCode {
    let plan = match demo::plan::plan(wishes) {
        Ok(plan) => plan,
        Err(e) => {
            eprintln!("fanlight demo: {e}");
            return ExitCode::from(CONFIGURATION);
        }
    };
    if let Err(e) = log::start(&plan.config.log) {
        return failed(format!("start the log: {e}"));
    }
    plan.notes.iter().for_each(|note| println!("{note}"));
    run_async(async {
        let mut signals = Signals::hear(true)?;
        let mut config = plan.config;
        let ports = demo::Ports { page: wishes.port, ..demo::Ports::default() };
        let served = demo::serve(&config.device, &config.broker.root, ports).await.map_err(|e| e.to_string())?;
        config.broker = served.broker.clone();
        println!("\nOpen {} in a browser on this machine. Ctrl-C ends it.\n", served.url);
        let (_reload, reloads) = watch::channel(config.clone());
        let (_note, notes) = watch::channel(String::new());
        let stopped = signals.stopped();
        let ended = run::run(config, reloads, stopped, &Pulse::default(), notes).await.map_err(|e| e.to_string());
        served.close().await;
        ended
    })
}

/// Two workers: one connection's driver never stands in the way of another, and a board has cores to spare for one more.
fn run_async(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("fanlight").enable_all().build();
    let runtime = match runtime {
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
