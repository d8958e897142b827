//! The commands against a daemon of the test, by a real socket.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use clap::Parser as _;

use super::{Screen, pair, viewers};
use crate::{
    cli::{Cli, Command},
    owner::control_message::{ControlReply, ControlRequest, PermissionEnd, ViewerRow},
};

const SCREEN: Screen = Screen { colours: false, columns: None };

/// A daemon that takes one request and gives these answers.
pub(super) struct Daemon {
    dir: tempfile::TempDir,
    asked: JoinHandle<ControlRequest>,
}

impl Daemon {
    pub(super) fn new(answers: Vec<ControlReply>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control")).unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            for answer in answers {
                stream.write_all(format!("{}\n", serde_json::to_string(&answer).unwrap()).as_bytes()).unwrap();
            }
            serde_json::from_str(&line).unwrap()
        });
        Self { dir, asked }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    pub(super) fn asked(self) -> ControlRequest {
        self.asked.join().unwrap()
    }
}

/// Runs a command line; the result is what it prints.
fn run(socket: &Path, line: &[&str]) -> Result<String, String> {
    let line = ["fanlight"].iter().chain(line).map(std::ffi::OsString::from);
    let cli = Cli::try_parse_from(line.chain(["--socket".into(), socket.into()])).map_err(|e| e.to_string())?;
    match cli.command {
        Command::Pair(command) => {
            let mut output = Vec::new();
            let done = pair(&command, SCREEN, &mut output);
            let text = String::from_utf8(output).unwrap();
            done.map(|()| text.clone()).map_err(|e| format!("{text}{e}"))
        }
        Command::Viewers(command) => viewers(&command),
        other => panic!("{other:?}"),
    }
}

fn row(name: &str) -> ViewerRow {
    ViewerRow {
        id: "q83vEjRWeJCrze8SNFZ4kA".into(),
        name: name.into(),
        rights: vec!["view".into(), "listen".into()],
        until: Some(1_800_057_600),
        since: None,
        last_seen: Some(1_795_969_200),
        configured: false,
    }
}

#[test]
fn each_command_asks_for_what_it_says() {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (line, expected) in [
        (
            &["viewers", "add", "BGsX", "--name", "anna", "--rights", "view", "--until", "2027-01-31"][..],
            ControlRequest::ViewersAdd {
                key: "BGsX".into(),
                name: "anna".into(),
                rights: texts(&["view"]),
                until: Some(1_801_440_000),
            },
        ),
        (&["viewers", "remove", "-dash"], ControlRequest::ViewersRemove { viewer: "-dash".into() }),
        (
            &["viewers", "rename", "anna", "Anna's phone"],
            ControlRequest::ViewersRename { viewer: "anna".into(), name: "Anna's phone".into() },
        ),
        (
            &["viewers", "rights", "anna", "view, listen", "--until", "never"],
            ControlRequest::ViewersRights {
                viewer: "anna".into(),
                rights: Some(texts(&["view", "listen"])),
                until: Some(PermissionEnd::Never),
            },
        ),
        (
            &["viewers", "rights", "anna", "--until", "2027-01-31"],
            ControlRequest::ViewersRights {
                viewer: "anna".into(),
                rights: None,
                until: Some(PermissionEnd::At(1_801_440_000)),
            },
        ),
    ] {
        let daemon = Daemon::new(vec![ControlReply::Done { message: "it is done".into() }]);
        assert_eq!(run(&daemon.socket(), line), Ok("it is done".into()), "{line:?}");
        assert_eq!(daemon.asked(), expected);
    }
    let nowhere = Path::new("/nonexistent");
    for wrong in [&["viewers", "rights", "anna"][..], &["viewers", "add", "BGsX"], &["viewers", "fly"]] {
        assert!(run(nowhere, wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_viewers_are_a_table_or_json() {
    let answer =
        || ControlReply::Viewers { viewers: vec![row("anna"), row("Grüße")], note: Some("watch out".into()) };
    for line in [&["viewers"][..], &["viewers", "list"]] {
        let daemon = Daemon::new(vec![answer()]);
        let text = run(&daemon.socket(), line).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "NAME   ID                      RIGHTS       ENDS        SINCE  LAST SEEN         FROM");
        assert_eq!(lines[1], "anna   q83vEjRWeJCrze8SNFZ4kA  view,listen  2027-01-15  -      2026-11-29 16:20  list");
        assert!(lines[2].starts_with("Grüße  q83v") && text.ends_with("\nwarning: watch out\n"), "{text}");
        assert_eq!(daemon.asked(), ControlRequest::ViewersList {});
    }
    let daemon = Daemon::new(vec![answer()]);
    let json: serde_json::Value =
        serde_json::from_str(&run(&daemon.socket(), &["viewers", "list", "--json"]).unwrap()).unwrap();
    assert_eq!((json["viewers"][1]["name"].as_str(), json["note"].as_str()), (Some("Grüße"), Some("watch out")));
    let daemon = Daemon::new(vec![ControlReply::Viewers { viewers: vec![], note: None }]);
    assert!(run(&daemon.socket(), &["viewers"]).unwrap().contains("fanlight pair"));
}

#[test]
fn pair_shows_the_link_and_what_happens() {
    let link = "https://cam.example.org/#p=eyJ2IjoxfQ".to_owned();
    let open = |replaced| ControlReply::PairingOpen { link: link.clone(), seconds: 600, replaced };
    let wrong = ControlReply::PairingWrong { wrong: 1, max: 5 };
    let daemon = Daemon::new(vec![open(true), wrong, ControlReply::PairingDone { viewer: row("anna") }]);
    let line = ["pair", "--name", "anna", "--page", "https://x", "--broker", "wss://y"];
    let text = run(&daemon.socket(), &line).unwrap();
    for part in [
        "open before has ended",
        "▀",
        &link,
        "within 10 minutes",
        "Ctrl-C",
        "(1 of 5",
        "Paired: \"anna\", which may view, listen, until 2027-01-15",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let rights = vec!["view".into(), "listen".into()];
    let [name, page, broker] = ["anna", "https://x", "wss://y"].map(|text| Some(text.to_owned()));
    assert_eq!(daemon.asked(), ControlRequest::Pair { name, rights, until: None, page, broker });

    let daemon = Daemon::new(vec![open(false), ControlReply::PairingEnded { message: "no viewer came".into() }]);
    let text = run(&daemon.socket(), &["pair", "--no-qr"]).unwrap_err();
    assert!(text.ends_with("no viewer came") && !text.contains('▀'), "{text}");
    let daemon = Daemon::new(vec![open(false)]);
    assert!(run(&daemon.socket(), &["pair"]).unwrap_err().contains("the daemon ended"));
}

#[test]
fn what_the_daemon_refuses_and_a_missing_daemon_are_errors() {
    let daemon = Daemon::new(vec![ControlReply::Failed { message: "this board is in the mode broker".into() }]);
    assert_eq!(run(&daemon.socket(), &["pair"]).unwrap_err(), "this board is in the mode broker");
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("control");
    assert!(run(&gone, &["viewers"]).unwrap_err().contains("daemon is not running"));
    drop(UnixListener::bind(&gone).unwrap());
    assert!(run(&gone, &["pair"]).unwrap_err().contains("daemon is not running"));
}

#[test]
fn a_new_key_needs_no_daemon_and_says_how_to_add_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("viewer.jwk");
    let text = run(Path::new("/nonexistent"), &["viewers", "new-key", file.to_str().unwrap(), "--name", "Anna's"]);
    let text = text.unwrap();
    assert!(text.contains("sudo fanlight viewers add B") && text.ends_with(r"--name 'Anna'\''s'"), "{text}");
    assert!(file.exists());
}
