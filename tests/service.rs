//! The daemon as a service: its reports to the service manager, devices that hang, and an update that refuses the
//! configuration.

use std::{
    ffi::OsString,
    fs,
    os::{linux::net::SocketAddrExt, unix::net::SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use fanlight::{lastgood::Kept, state_folder::StateFolder};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::UnixDatagram;

use crate::rig::{Daemon, FANLIGHT, Mosquitto, free_port, within};

/// What a stop may take, with some air for a busy machine: the daemon promises 2 s.
const STOP: Duration = Duration::from_millis(2500);

fn config(port: u16, more: &str) -> String {
    format!(
        "device = \"cam\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[access]\nmode = \"broker\"\n\
         the_broker_can_watch = true\n{more}"
    )
}

const TEST: &str = "[video]\nsource = \"test\"\nlinger_s = 0\n[audio]\nsource = \"tone\"\nlinger_s = 0\n";

/// A service manager: the socket that a service talks to.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    fn abstracted(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(UnixDatagram::from_std(socket).unwrap())
    }

    /// Waits for a message that has `words`; all up to it, in their order.
    async fn hears(&self, words: &str) -> Vec<String> {
        let mut heard: Vec<String> = Vec::new();
        let found = tokio::time::timeout(Duration::from_secs(40), async {
            loop {
                let mut buffer = [0; 4096];
                let length = self.0.recv(&mut buffer).await.unwrap();
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                if heard.last().is_some_and(|last| last.contains(words)) {
                    break;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("systemd never hears {words:?}: {heard:?}"));
        heard
    }
}

/// A viewer's first message, for picture or sound.
fn request(session: char, media: Value) -> String {
    json!({"v": 1, "type": "request", "session": session.to_string().repeat(22), "seq": 0, "media": media}).to_string()
}

#[tokio::test]
async fn systemd_gets_the_state_of_the_service_from_start_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify");
    let name = format!("fanlight-service-{}", std::process::id());
    let (manager, abstracted) = (Manager::at(&socket), Manager::abstracted(&name));
    let broker = Mosquitto::plain().await;

    let other = [("NOTIFY_SOCKET", format!("@{name}").into())];
    let mut daemon = Daemon::run_with(&config(broker.port(), TEST), &other);
    abstracted.hears("READY=1").await;
    daemon.signal(Signal::TERM);
    abstracted.hears("STOPPING=1").await;
    assert!(daemon.ends().await.0.success());

    let settings = [("NOTIFY_SOCKET", socket.into_os_string()), ("WATCHDOG_USEC", "3000000".into())];
    let mut daemon = Daemon::run_with(&config(broker.port(), TEST), &settings);
    let heard = manager.hears("READY=1").await;
    assert!(heard.iter().all(|told| !told.contains("WATCHDOG=1")), "{heard:?}");
    manager.hears("STATUS=cam: broker online, no viewers, camera off, microphone off\n").await;
    manager.hears("WATCHDOG=1").await;

    let media = json!({"audio": true, "video": true});
    broker.publish("fanlight/v1/cam/req/anna", request('A', media), &[]).await;
    manager.hears("1 viewer, camera on, microphone on").await;

    daemon.reload(&config(broker.port(), "[video]\nsource = \"tset\"\n"));
    manager.hears("RELOADING=1\nMONOTONIC_USEC=").await;
    manager.hears("; the configuration was refused, the old one is in force: ").await;
    daemon.reload(&config(broker.port(), &TEST.replace("\"test\"", "\"test\"\nsize = \"320x240\"")));
    manager.hears("; a restart is needed for video.size").await;
    daemon.reload(&config(broker.port(), TEST));
    manager.hears("RELOADING=1").await;
    manager.hears("READY=1").await;
    // Once nobody watches, nothing is left to be said.
    manager.hears("no viewers, camera off, microphone off\n").await;

    daemon.signal(Signal::TERM);
    manager.hears("STOPPING=1").await;
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

#[tokio::test]
async fn without_a_service_manager_it_is_a_plain_process() {
    let broker = Mosquitto::plain().await;
    for (socket, usec) in [
        (None, None),
        (None, Some("0")),
        (Some("@nobody-listens-here"), Some("0")),
        (Some("/no/such/socket"), Some("1000000")),
        (Some("/dev/null"), Some("-1")),
        (Some("relative"), Some("18446744073709551615")),
        (Some("vsock:2:1234"), Some("soon")),
        (Some(""), Some("")),
    ] {
        let settings: Vec<(&str, OsString)> = [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", usec)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.into())))
            .collect();
        let mut watcher = broker.watch("fanlight/v1/cam/status").await;
        let mut daemon = Daemon::run_with(&config(broker.port(), TEST), &settings);
        watcher.next_with("state", "online").await;
        daemon.signal(Signal::TERM);
        let (status, took) = daemon.ends().await;
        assert!(status.success() && took < STOP, "{settings:?}: {status} after {took:?}:\n{}", daemon.log());
        assert!(!daemon.log().contains("ERROR"), "{settings:?}:\n{}", daemon.log());
    }
}

/// Signals that come the very moment the service is ready, and all together.
#[tokio::test]
async fn no_signal_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    // A socket for each: what one daemon said last must not be taken for the next one's word.
    let manager = |n: usize| {
        let socket = dir.path().join(n.to_string());
        (Manager::at(&socket), [("NOTIFY_SOCKET", socket.into_os_string())])
    };
    for n in 0..5 {
        let (manager, settings) = manager(n);
        let mut daemon = Daemon::run_with(&config(9, TEST), &settings);
        manager.hears("READY=1").await;
        for signal in [Signal::HUP, Signal::HUP, Signal::TERM] {
            daemon.signal(signal);
        }
        let (status, took) = daemon.ends().await;
        assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
        manager.hears("STOPPING=1").await;
    }
    // Not set up yet, and then it is: it has to hear between the two.
    let (manager, settings) = manager(5);
    let mut daemon = Daemon::run_with("", &settings);
    manager.hears("STATUS=not set up yet: sudo fanlight setup").await;
    manager.hears("READY=1").await;
    daemon.reload(&config(9, TEST));
    daemon.signal(Signal::TERM);
    let (status, took) = daemon.ends().await;
    assert!(status.success() && took < STOP, "{status} after {took:?}:\n{}", daemon.log());
}

/// `tests/rig/hang.c`, built.
fn hang(dir: &Path) -> PathBuf {
    let built = dir.join("hang.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rig/hang.c");
    let cc = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", source, "-o"])
        .arg(&built)
        .args(["-ldl"])
        .status();
    assert!(cc.is_ok_and(|status| status.success()), "cc {source}");
    built
}

/// A daemon whose camera hangs in its first system call until a file is removed; the file, and the service manager.
struct Hung {
    dir: tempfile::TempDir,
    broker: Mosquitto,
    daemon: Daemon,
    manager: Manager,
}

impl Hung {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::plain().await;
        let socket = dir.path().join("notify");
        let manager = Manager::at(&socket);
        fs::write(dir.path().join("hang"), "").unwrap();
        let settings: [(&str, OsString); 5] = [
            ("LD_PRELOAD", hang(dir.path()).into()),
            ("HANG_NODE", "/dev/video-hangs".into()),
            ("HANG_WHILE", dir.path().join("hang").into()),
            ("NOTIFY_SOCKET", socket.into()),
            ("WATCHDOG_USEC", "15000000".into()),
        ];
        let camera = "[video]\nsource = \"/dev/video-hangs\"\nlinger_s = 0\n[audio]\nsource = \"tone\"\n";
        let daemon = Daemon::run_with(&config(broker.port(), camera), &settings);
        manager.hears("broker online").await;
        Self { dir, broker, daemon, manager }
    }

    async fn asks(&self, viewer: &str, session: char) {
        let media = json!({"audio": true, "video": true});
        self.broker.publish(&format!("fanlight/v1/cam/req/{viewer}"), request(session, media), &[]).await;
    }
}

#[tokio::test]
async fn a_camera_that_hangs_is_reported_and_does_not_delay_a_stop() {
    let mut hung = Hung::start().await;
    let mut status = hung.broker.watch("fanlight/v1/cam/status").await;
    let mut replies = hung.broker.watch("fanlight/v1/cam/rsp/bert").await;
    hung.asks("anna", 'A').await;
    hung.manager.hears("camera stalled (hangs in VIDIOC_QUERYCAP on /dev/video-hangs)").await;
    hung.daemon.says("video: hangs in VIDIOC_QUERYCAP on /dev/video-hangs for 5 s").await;
    status.next_until(|told| told["media"]["video"] == "stalled").await;
    // The other parts continue: another viewer gets an answer.
    hung.asks("bert", 'B').await;
    replies.next_with("type", "offer").await;
    hung.daemon.signal(Signal::TERM);
    let (ended, took) = hung.daemon.ends().await;
    assert!(ended.success() && took < STOP, "{ended} after {took:?}:\n{}", hung.daemon.log());
    assert_eq!(replies.next_with("type", "bye").await.json()["reason"], "shutdown");
    status.next_with("state", "offline").await;
}

#[tokio::test]
async fn a_camera_that_hangs_is_given_up_and_used_again_when_it_recovers() {
    let hung = Hung::start().await;
    hung.asks("anna", 'A').await;
    hung.daemon.says("video: hangs in VIDIOC_QUERYCAP on /dev/video-hangs for 10 s: thread abandoned").await;
    // Whoever still watches: a new thread tries the device, and keeps away from what the old one hangs on.
    hung.asks("bert", 'B').await;
    hung.daemon.says("camera /dev/video-hangs: open: an earlier use of it still hangs in VIDIOC_QUERYCAP").await;
    hung.manager.hears("WATCHDOG=1").await;
    fs::remove_file(hung.dir.path().join("hang")).unwrap();
    hung.daemon.says("video: the abandoned thread (hangs in VIDIOC_QUERYCAP on /dev/video-hangs) ended").await;
    hung.asks("carl", 'C').await;
    hung.daemon.says("camera /dev/video-hangs: not a V4L2 device").await;
}

/// Restarted at most 25 s after it hung: systemd waits 15 s for what is fed here for 10 s at most.
#[tokio::test]
async fn a_broker_link_that_hangs_is_noticed_in_time_for_a_restart_within_25_s() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain().await;
    let (socket, hung, elsewhere) = (dir.path().join("notify"), dir.path().join("hang"), free_port());
    let manager = Manager::at(&socket);
    fs::write(&hung, "").unwrap();
    let settings: [(&str, OsString); 5] = [
        ("LD_PRELOAD", hang(dir.path()).into()),
        ("HANG_PORT", elsewhere.to_string().into()),
        ("HANG_WHILE", hung.clone().into()),
        ("NOTIFY_SOCKET", socket.into()),
        ("WATCHDOG_USEC", "900000".into()),
    ];
    let daemon = Daemon::run_with(&config(broker.port(), TEST), &settings);
    manager.hears("broker online").await;
    daemon.reload(&config(elsewhere, TEST));
    daemon.says("connecting again, because the configuration changed").await;
    let began = Instant::now();
    daemon.says("watchdog: not responding: broker link").await;
    let took = began.elapsed();
    assert!(took <= Duration::from_secs(10), "noticed after {took:?}:\n{}", daemon.log());
    fs::remove_file(&hung).unwrap();
    daemon.says("watchdog: everything responds again").await;
}

#[tokio::test]
async fn an_update_that_refuses_a_configuration_that_worked_does_not_end_the_service() {
    let state = tempfile::tempdir().unwrap();
    let broker = Mosquitto::plain().await;
    let settings = [("STATE_DIRECTORY", state.path().as_os_str().to_owned())];
    let mut status = broker.watch("fanlight/v1/cam/status").await;

    // What it accepts is kept.
    let mut daemon = Daemon::run_with(&config(broker.port(), TEST), &settings);
    status.next_with("state", "online").await;
    let copy = Kept::new(Some(StateFolder::at(state.path())));
    let kept = |text: &str| copy.read().0.is_some_and(|copy| copy.text == text);
    within(20, "it is kept", async {
        while !kept(&config(broker.port(), TEST)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ends().await.0.success());

    // As if a version before had taken it.
    let refused = config(broker.port(), "[video]\nsource = \"test\"\nfps = 5000\n[audio]\nsource = \"tone\"\n");
    copy.keep(&refused, "0.0.9").unwrap();
    let mut status = broker.watch("fanlight/v1/cam/status").await;
    let mut daemon = Daemon::run_with(&refused, &settings);
    status.next_with("state", "online").await;
    daemon.says("fanlight.toml:9:7: video.fps").await;
    daemon.says("worked with fanlight 0.0.9 and has not changed since: continuing without video.fps").await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ends().await.0.success());
    assert!(kept(&refused), "a configuration that works only in part does not replace the saved one");

    // An edit is another matter, also beside a copy that is damaged.
    let edited = state.path().join("edited.toml");
    fs::write(&edited, refused.replace("5000", "6000")).unwrap();
    let run = || {
        let mut command = Command::new(FANLIGHT);
        command.args(["run", "--config"]).arg(&edited).env("STATE_DIRECTORY", state.path()).output().unwrap()
    };
    let output = run();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("video.fps") && told.contains("the last configuration that worked is kept in"), "{told}");
    for name in ["last-good.toml", "last-good.toml.old"] {
        fs::write(state.path().join(name), [0; 300]).unwrap();
    }
    let output = run();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("last-good.toml: damaged or cut short"), "{told}");

    // A right one starts beside it all the same, and takes the damaged one's place.
    let mut status = broker.watch("fanlight/v1/cam/status").await;
    let daemon = Daemon::run_with(&config(broker.port(), TEST), &settings);
    status.next_with("state", "online").await;
    daemon.says("last-good.toml: damaged or cut short; it is not used").await;
    within(20, "it is kept", async {
        while !kept(&config(broker.port(), TEST)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_reported_and_harms_nothing() {
    let broker = Mosquitto::plain().await;
    for folder in ["/proc/no-such-folder", "relative", ""] {
        let mut status = broker.watch("fanlight/v1/cam/status").await;
        let mut daemon = Daemon::run_with(&config(broker.port(), TEST), &[("STATE_DIRECTORY", folder.into())]);
        status.next_with("state", "online").await;
        if folder.starts_with('/') {
            daemon.says("keep the configuration in /proc/no-such-folder/last-good.toml: ").await;
        }
        daemon.signal(Signal::TERM);
        assert!(daemon.ends().await.0.success());
    }
}
