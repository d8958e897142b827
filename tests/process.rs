//! The daemon as a process: signals, exit codes, and a world that is not there yet.

use std::{
    process::{Command, Output},
    time::Duration,
};

use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::rig::{Daemon, FANLIGHT, Listener, Mosquitto, within};

/// A configuration for the broker on `port`; `more` comes after it, from the table `access` on.
fn config(port: u16, more: &str) -> String {
    format!(
        "device = \"cam\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[access]\nmode = \"broker\"\n\
         the_broker_can_watch = true\n{more}"
    )
}

const TEST: &str = "[video]\nsource = \"test\"\n[audio]\nsource = \"tone\"\n";

fn fanlight(arguments: &[&str]) -> Output {
    Command::new(FANLIGHT).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a stop may take, with some air for a busy machine: the daemon promises 2 s.
const STOP: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn a_broker_that_never_answers_holds_up_no_stop() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut daemon = Daemon::run(&config(listener.local_addr().unwrap().port(), TEST));
    // Accepted, and then not a byte.
    let (_held, _) = within(20, "the daemon connects", listener.accept()).await.unwrap();
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[tokio::test]
async fn a_broker_that_hangs_holds_up_no_stop() {
    let broker = Mosquitto::plain().await;
    let mut daemon = Daemon::run(&config(broker.port(), TEST));
    daemon.says("connected by MQTT").await;
    broker.freeze();
    daemon.signal(Signal::INT);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[tokio::test]
async fn a_stop_says_offline_and_is_a_success() {
    let broker = Mosquitto::plain().await;
    let mut daemon = Daemon::run(&config(broker.port(), TEST));
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("state", "online").await;
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    assert_eq!(watcher.next_with("state", "offline").await.json()["reason"], "shutdown");
}

#[tokio::test]
async fn it_starts_before_everything_else() {
    let listener = Listener::tcp();
    let more = "[video]\nsource = \"/dev/no-such-camera\"\n[audio]\nsource = \"clip:/no/such/sound.wav\"\n";
    let daemon = Daemon::run(&config(listener.port, more));
    daemon.says("connection refused; does the broker listen on this port?").await;
    daemon.says("camera /dev/no-such-camera is not there yet").await;
    daemon.says("sound file /no/such/sound.wav is not there yet").await;
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir, "allow_anonymous true\n", [listener]).await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("state", "online").await;
}

#[tokio::test]
async fn a_reload_tells_what_changed_and_what_waits() {
    let (broker, other) = tokio::join!(Mosquitto::plain(), Mosquitto::plain());
    let daemon = Daemon::run(&config(broker.port(), TEST));
    daemon.says("connected by MQTT").await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("state", "online").await;

    daemon.reload(&config(broker.port(), TEST));
    daemon.says("configuration read again: nothing changed").await;

    let more = "[video]\nsource = \"test\"\nsize = \"320x240\"\nbitrate_kbps = 500\n[audio]\nsource = \"tone\"\nchannels = 2\n\
                [limits]\nviewers = 3\n";
    daemon.reload(&config(broker.port(), more));
    daemon.says("changed at once: video.bitrate_kbps, limits.viewers").await;
    daemon.says("needs a restart: video.size, audio.channels").await;
    watcher.next_with("max_viewers", 3).await;

    daemon.reload(&config(broker.port(), "[video]\nsource = \"tset\"\n"));
    daemon.says("configuration read again and refused, the old one stays in force").await;
    assert!(daemon.log().contains("fanlight.toml:8: video.source"), "{}", daemon.log());

    // Elsewhere: the old broker is told, the new one finds the device.
    daemon.reload(&config(other.port(), more));
    watcher.next_with("reason", "shutdown").await;
    other.watch("fanlight/v1/cam/status").await.next_with("state", "online").await;
}

#[tokio::test]
async fn a_board_that_is_not_set_up_waits_for_its_configuration() {
    let broker = Mosquitto::plain().await;
    let packaged = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/package/fanlight.toml")).unwrap();
    let mut daemon = Daemon::run(&packaged);
    daemon.says("nothing is set up yet").await;
    daemon.reload("device = \"a b\"\n");
    daemon.says("refused, still waiting for one").await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    daemon.reload(&config(broker.port(), TEST));
    watcher.next_with("state", "online").await;
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());

    let mut daemon = Daemon::run("");
    daemon.says("nothing is set up yet").await;
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[test]
fn what_is_commented_out_in_the_packaged_configuration_is_right() {
    let packaged = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/package/fanlight.toml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    // A line that stands to be used begins with # and no blank.
    let used: String = packaged
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(dir.path().join("broker-password"), "secret").unwrap();
    std::fs::write(&file, used.replace("/etc/fanlight", dir.path().to_str().unwrap())).unwrap();
    let output = fanlight(&["check", "--config", file.to_str().unwrap()]);
    assert!(output.status.success(), "{used}\n{}", text(&output.stderr));
}

#[test]
fn setup_writes_what_check_takes_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    let (name, password) = (file.to_str().unwrap(), dir.path().join("given"));
    std::fs::write(&password, "s3cret\n").unwrap();
    let setup = |broker: &str, more: &[&str]| {
        let mut words = vec!["setup", "--config", name, "--device", "cam", "--broker", broker, "--user", "cam"];
        words.extend(["--password-file", password.to_str().unwrap(), "--camera", "test", "--microphone", "off"]);
        words.extend(["--the-broker-can-watch", "--no-reload"]);
        words.extend(more);
        fanlight(&words)
    };
    let refused = setup("mqtt://10.0.0.1", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--broker mqtt://10.0.0.1"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");

    let printed = setup("mqtts://broker.example.org", &["--print"]);
    assert!(printed.status.success() && text(&printed.stdout).contains("url = \"mqtts://broker.example.org\""));
    let written = setup("mqtts://broker.example.org", &[]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), text(&printed.stdout).trim_end());
    let checked = fanlight(&["check", "--config", name]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", text(&checked.stderr));
    assert!(!text(&checked.stdout).contains("s3cret"));

    let again = setup("mqtts://other.example.org", &[]);
    assert!(!again.status.success() && text(&again.stderr).contains("--replace"), "{}", text(&again.stderr));
    assert!(setup("mqtts://other.example.org", &["--replace"]).status.success());
    assert!(std::fs::read_to_string(&file).unwrap().contains("other.example.org"));
    assert!(std::fs::read_to_string(dir.path().join("fanlight.toml.old")).unwrap().contains("broker.example.org"));
}

#[test]
fn exit_codes_are_as_the_manual_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    std::fs::write(&file, "device = \"a b\"\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["run", "--config", file], &["check", "--config", file], &["run", "--config", "/no/such/file"]] {
        let output = fanlight(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(fanlight(&["walk"]).status.code(), Some(2));
    assert_eq!(fanlight(&["--version"]).status.code(), Some(0));

    let help = text(&fanlight(&["--help"]).stdout);
    let pages = dir.path().to_str().unwrap();
    let made = fanlight(&["man", pages]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let page = std::fs::read_to_string(dir.path().join("fanlight.1")).unwrap();
    for told in [&help, &page] {
        assert!(told.contains("78") && told.contains("wrong configuration"), "{told}");
    }
}

#[test]
fn every_example_passes_check() {
    // Devices and files that are not here are warnings, and a credential is handed over by systemd.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("broker-password"), "secret").unwrap();
    let top = env!("CARGO_MANIFEST_DIR");
    let boards = std::fs::read_dir(format!("{top}/board")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<_> = boards.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    for board in ["zero-2-w", "pi-3", "pi-4", "pi-5", "generic-arm64-usb", "emulated"] {
        assert!(examples.iter().any(|path| path.ends_with(format!("{board}.toml"))), "no board/{board}.toml");
    }
    let readme = std::fs::read_to_string(format!("{top}/README.md")).unwrap();
    for (n, block) in readme.split("```toml\n").skip(1).enumerate() {
        let block = block.split("```").next().unwrap().replace("/etc/fanlight/", &format!("{}/", dir.path().display()));
        let file = dir.path().join(format!("readme-{n}.toml"));
        std::fs::write(&file, block).unwrap();
        examples.push(file);
    }
    assert!(examples.iter().any(|path| path.ends_with("readme-0.toml")), "README has an example");
    for example in examples {
        let output = Command::new(FANLIGHT)
            .args(["check", "--config"])
            .arg(&example)
            .env("CREDENTIALS_DIRECTORY", dir.path())
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert!(output.status.success(), "{}: {told}", example.display());
        assert!(told.lines().all(|line| line.starts_with("warning: ")), "{}: {told}", example.display());
        assert!(!text(&output.stdout).contains("secret"), "{}: a secret is shown", example.display());
    }
}
