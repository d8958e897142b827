//! The daemon as a process: signals, exit codes, configurations, and a broker and devices that appear later.

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
async fn a_broker_that_never_answers_does_not_delay_a_stop() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut daemon = Daemon::run(&config(listener.local_addr().unwrap().port(), TEST));
    // Accepted, and then not a byte.
    let (_held, _) = within(20, "the daemon connects", listener.accept()).await.unwrap();
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[tokio::test]
async fn a_broker_that_hangs_does_not_delay_a_stop() {
    let broker = Mosquitto::plain().await;
    let mut daemon = Daemon::run(&config(broker.port(), TEST));
    daemon.says("connected by MQTT").await;
    broker.freeze();
    daemon.signal(Signal::INT);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[tokio::test]
async fn a_stop_publishes_offline_and_exits_with_success() {
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
async fn the_daemon_starts_without_broker_and_devices_and_waits_for_them() {
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
async fn a_reload_reports_what_changed_and_what_needs_a_restart() {
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
    // Each fault is a line of its own.
    let log = daemon.log();
    let fault = log.lines().find(|line| line.contains("fanlight.toml:8:10: video.source"));
    assert!(fault.is_some_and(|line| line.starts_with("    /")), "{log}");

    // Another broker: the old one gets `shutdown`, and the device is online at the new one.
    daemon.reload(&config(other.port(), more));
    watcher.next_with("reason", "shutdown").await;
    other.watch("fanlight/v1/cam/status").await.next_with("state", "online").await;
}

#[tokio::test]
async fn a_board_that_is_not_set_up_waits_for_its_configuration() {
    let broker = Mosquitto::plain().await;
    let packaged = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/package/fanlight.toml")).unwrap();
    let mut daemon = Daemon::run(&packaged);
    daemon.says("not set up yet").await;
    daemon.reload("device = \"a b\"\n");
    daemon.says("refused, still waiting").await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    daemon.reload(&config(broker.port(), TEST));
    watcher.next_with("state", "online").await;
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());

    let mut daemon = Daemon::run("");
    daemon.says("not set up yet").await;
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[test]
fn the_commented_lines_of_the_packaged_configuration_are_valid() {
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
fn setup_writes_what_check_accepts_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    let (name, password) = (file.to_str().unwrap(), dir.path().join("given"));
    std::fs::write(&password, "s3cret\n").unwrap();
    let setup = |broker: &str, more: &[&str]| {
        let mut words = vec!["setup", "--config", name, "--device", "cam", "--broker", broker, "--user", "cam"];
        words.extend(["--password-file", password.to_str().unwrap(), "--camera", "test", "--microphone", "off"]);
        words.extend(["--the-broker-can-watch", "--no-reload", "--untested"]);
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
    let verdict = format!("ok: {name} can be used\n");
    assert!(checked.status.success() && text(&checked.stderr) == verdict, "{}", text(&checked.stderr));
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
    // Devices and files that are not here are warnings.
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("broker-password");
    std::fs::write(&password, "secret").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let top = env!("CARGO_MANIFEST_DIR");
    let boards = std::fs::read_dir(format!("{top}/board")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<_> = boards.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    for board in ["zero-2-w", "pi-3", "pi-4", "pi-5", "generic-arm64-usb", "emulated"] {
        assert!(examples.iter().any(|path| path.ends_with(format!("{board}.toml"))), "no board/{board}.toml");
    }
    let guide = std::fs::read_to_string(format!("{top}/docs/guide/install.md")).unwrap();
    for (n, block) in guide.split("```toml\n").skip(1).enumerate() {
        let file = dir.path().join(format!("guide-{n}.toml"));
        std::fs::write(&file, block.split("```").next().unwrap()).unwrap();
        examples.push(file);
    }
    // With the password where setup puts it.
    for example in &mut examples {
        let here = std::fs::read_to_string(&*example)
            .unwrap()
            .replace("/etc/fanlight/", &format!("{}/", dir.path().display()));
        *example = dir.path().join(example.file_name().unwrap());
        std::fs::write(&*example, here).unwrap();
    }
    assert!(examples.iter().any(|path| path.ends_with("guide-0.toml")), "the guide has an example");
    for example in examples {
        let output = fanlight(&["check", "--config", example.to_str().unwrap()]);
        let told = text(&output.stderr);
        assert!(output.status.success(), "{}: {told}", example.display());
        let expected = |line: &str| line.starts_with("warning: ") || line.starts_with("ok: ");
        assert!(told.lines().all(expected), "{}: {told}", example.display());
        assert!(!text(&output.stdout).contains("secret"), "{}: a secret is shown", example.display());
    }
}

#[tokio::test]
async fn figures_are_logged_as_often_as_the_configuration_says() {
    let broker = Mosquitto::plain().await;
    let more = "[video]\nsource = \"test\"\nsize = \"320x240\"\n[audio]\nsource = \"off\"\n[webrtc]\nloopback = true\n\
                [log]\nfilter = \"debug\"\nmeter_period_s = 1\n";
    let daemon = Daemon::run(&config(broker.port(), more));
    daemon.says("connected by MQTT").await;
    // A viewer that asks and then does nothing: the camera is on for as long as it has to connect.
    let request = format!(
        r#"{{"v":1,"type":"request","session":"{}","seq":0,"media":{{"audio":false,"video":true}}}}"#,
        "A".repeat(22)
    );
    broker.publish("fanlight/v1/cam/req/anna", request, &[]).await;
    daemon.says(" pictures in, ").await;
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(" pictures in, ")).unwrap();
    let seconds: u32 = line.split(" key) in ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(seconds < 8, "every 10 s is the default: {line}");
}

#[test]
fn a_pipe_device_or_folder_instead_of_a_file_gives_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Somebody listens: the files are read once the broker is reached.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let base = config(port, "[video]\nsource = \"test\"\n[audio]\nsource = \"off\"\n").replace("mqtt://", "mqtts://");
    let with = |name: &str, key: &str, path: &std::path::Path| {
        let file = dir.path().join(name);
        let line = format!("[broker]\n{key} = \"{}\"\n", path.display());
        std::fs::write(&file, base.replace("[broker]\n", &line)).unwrap();
        file
    };
    let [pipe, zero, folder] = [pipe.as_path(), "/dev/zero".as_ref(), dir.path()];
    for (at, code) in [(pipe, 78), (zero, 78), (folder, 78)] {
        for command in ["run", "check"] {
            let output = fanlight(&[command, "--config", at.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(code), "{command} {}: {}", at.display(), text(&output.stderr));
            assert!(text(&output.stderr).contains("not a regular file"), "{}", text(&output.stderr));
        }
    }
    for at in [pipe, zero, folder] {
        let password = with("password.toml", "user = \"me\"\npassword_file", at);
        let output = fanlight(&["run", "--config", password.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("broker.password_file: read "), "{}", text(&output.stderr));
        let authority = with("ca.toml", "ca_file", at);
        let output = fanlight(&["check", "--config", authority.to_str().unwrap()]);
        assert!(text(&output.stderr).contains("warning: broker.ca_file: read "), "{}", text(&output.stderr));
        let output = fanlight(&["check", "--network", "--config", authority.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("not a regular file"), "{}", text(&output.stdout));
    }
}

#[test]
fn invalid_arguments_and_variables_give_a_clear_error() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let (broken, huge) = (OsStr::from_bytes(b"\xff\xfe"), "x".repeat(100_000));
    let huge = OsStr::new(&huge);
    for (words, code) in [
        (vec![OsStr::new("demo"), OsStr::new("--video"), broken], 2),
        (vec![OsStr::new("demo"), OsStr::new("--video"), huge], 2),
        (vec![OsStr::new("demo"), OsStr::new("--size"), OsStr::new("big")], 2),
        (vec![OsStr::new("demo"), OsStr::new("--log"), huge], 2),
        (vec![OsStr::new("demo"), OsStr::new("--video"), OsStr::new("/dev/no-such-camera")], 2),
        (vec![OsStr::new("check"), OsStr::new("--config"), broken], 78),
        (vec![OsStr::new("check"), OsStr::new("--config"), huge], 78),
        (vec![OsStr::new("setup"), OsStr::new("--print"), OsStr::new("--device"), huge], 1),
        (vec![broken], 2),
    ] {
        let output = Command::new(FANLIGHT)
            .args(&words)
            .env("CREDENTIALS_DIRECTORY", broken)
            .env("SSH_CONNECTION", broken)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.is_empty() && !said.contains("panicked"), "{said}");
        // A file's name is a person's to read in full.
        assert!(said.len() < 2000 || words.contains(&OsStr::new("--config")), "{} bytes", said.len());
    }
}
