//! Debian's mosquitto, and its command-line clients, which subscribe and publish.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process,
    sync::mpsc,
};

use super::{free_port, within};

/// One port of a broker, with its lines of configuration.
pub struct Listener {
    pub port: u16,
    lines: String,
}

impl Listener {
    pub fn tcp() -> Self {
        Self { port: free_port(), lines: String::new() }
    }

    pub fn websocket() -> Self {
        Self { port: free_port(), lines: "protocol websockets\n".into() }
    }

    /// TLS with the server's certificate and key; with `ca`, clients must have a certificate of it.
    pub fn with_tls(mut self, (certificate, key): &(PathBuf, PathBuf), ca: Option<&Path>) -> Self {
        self.lines += &format!("certfile {}\nkeyfile {}\n", certificate.display(), key.display());
        if let Some(ca) = ca {
            self.lines += &format!("cafile {}\nrequire_certificate true\n", ca.display());
        }
        self
    }
}

/// A running mosquitto.
pub struct Mosquitto {
    pub dir: TempDir,
    ports: Vec<u16>,
    child: Option<Child>,
}

impl Mosquitto {
    /// One TCP port, without logins.
    pub async fn plain() -> Self {
        Self::start(tempfile::tempdir().unwrap(), "allow_anonymous true\n", [Listener::tcp()]).await
    }

    /// With general lines of configuration; files they name can be in `dir`.
    pub async fn start(dir: TempDir, general: &str, listeners: impl IntoIterator<Item = Listener>) -> Self {
        // Started by root it would become a user who cannot read `dir`.
        let mut config = format!("user root\npersistence false\nlog_type all\n{general}");
        let mut ports = Vec::new();
        for listener in listeners {
            config += &format!("listener {} 127.0.0.1\n{}", listener.port, listener.lines);
            ports.push(listener.port);
        }
        fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut this = Self { dir, ports, child: None };
        this.run().await;
        this
    }

    /// With this whole configuration, which opens this port of loopback.
    pub async fn configured(dir: TempDir, config: &str, port: u16) -> Self {
        fs::write(dir.path().join("mosquitto.conf"), format!("user root\n{config}")).unwrap();
        let mut this = Self { dir, ports: vec![port], child: None };
        this.run().await;
        this
    }

    /// Starts it, or starts it again on the same ports without any retained messages.
    pub async fn run(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program)
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("these tests need mosquitto (apt install mosquitto)");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        for &port in &self.ports {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
                assert!(!ended && Instant::now() < deadline, "mosquitto does not listen on {port}: {}", self.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Kills it, like a crash.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process with SIGSTOP, like a machine that hangs. It is never continued.
    pub fn freeze(&self) {
        let pid = self.child.as_ref().and_then(|child| rustix::process::Pid::from_raw(child.id().cast_signed()));
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::STOP).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// All its ports, in the order of the listeners.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message as a subscriber sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub topic: String,
    pub payload: String,
    pub retained: bool,
    /// Seconds left, if the message expires.
    pub expiry: Option<u32>,
}

impl Seen {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.payload).unwrap()
    }
}

/// `mosquitto_sub`, subscribed.
pub struct Watcher {
    seen: mpsc::Receiver<Seen>,
    _child: process::Child,
}

impl Watcher {
    /// Subscribes to `filter` with MQTT 5, with more arguments if the broker asks for them.
    pub async fn on(port: u16, filter: &str, arguments: &[&str]) -> Self {
        // Without line buffering it would hold its output back in a pipe.
        let mut child = process::Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub"])
            .args(["-h", "127.0.0.1", "-V", "mqttv5", "-q", "1", "-d", "-F", "=%r %E %t %p"])
            .args(["-p", &port.to_string(), "-t", filter])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("these tests need mosquitto_sub (apt install mosquitto-clients)");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Subscribed") {
                    return;
                }
            }
            panic!("mosquitto_sub ended before it was subscribed");
        };
        within(10, "mosquitto_sub subscribed", ready).await;
        let (sender, seen) = mpsc::channel(1024);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Some(rest) = line.strip_prefix('=') else { continue };
                let mut parts = rest.splitn(4, ' ');
                let mut part = || parts.next().unwrap_or_default().to_owned();
                let (retained, expiry, topic, payload) = (part() == "1", part().parse().ok(), part(), part());
                if sender.send(Seen { topic, payload, retained, expiry }).await.is_err() {
                    return;
                }
            }
        });
        Self { seen, _child: child }
    }

    /// The next message.
    pub async fn next(&mut self) -> Seen {
        within(20, "a message", self.seen.recv()).await.expect("mosquitto_sub runs")
    }

    /// The next message that `wanted` accepts.
    pub async fn next_until(&mut self, wanted: impl Fn(&serde_json::Value) -> bool) -> Seen {
        let mut others = Vec::new();
        loop {
            let Ok(next) = tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await else {
                panic!("not the message that was waited for, but {others:#?}");
            };
            let seen = next.expect("mosquitto_sub runs");
            if wanted(&seen.json()) {
                return seen;
            }
            others.push(seen);
        }
    }

    /// The next message whose JSON has `value` at `key`.
    pub async fn next_with(&mut self, key: &str, value: impl Into<serde_json::Value>) -> Seen {
        let value = value.into();
        let mut others = Vec::new();
        loop {
            let Ok(next) = tokio::time::timeout(Duration::from_secs(20), self.seen.recv()).await else {
                panic!("no message with {key} {value}, but {others:#?}");
            };
            let seen = next.expect("mosquitto_sub runs");
            if seen.json()[key] == value {
                return seen;
            }
            others.push(seen);
        }
    }
}

impl Mosquitto {
    /// Watches `filter` on the first port.
    pub async fn watch(&self, filter: &str) -> Watcher {
        Watcher::on(self.port(), filter, &[]).await
    }

    /// Publishes with `mosquitto_pub` on the first port, and waits until the broker has it.
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>, arguments: &[&str]) {
        mosquitto_pub(self.port(), topic, payload, arguments).await;
    }

    /// Publishes each line as a message of its own, in order, on one connection.
    pub async fn publish_lines(&self, topic: &str, lines: impl Into<Bytes>, arguments: &[&str]) {
        speak(self.port(), topic, lines.into(), &[arguments, &["-l"]].concat()).await;
    }
}

/// Publishes one message with QoS 1.
pub async fn mosquitto_pub(port: u16, topic: &str, payload: impl Into<Bytes>, arguments: &[&str]) {
    let payload = payload.into();
    let how = if payload.is_empty() { "-n" } else { "-s" };
    speak(port, topic, payload, &[arguments, &["-q", "1", how]].concat()).await;
}

async fn speak(port: u16, topic: &str, input: Bytes, arguments: &[&str]) {
    let mut child = process::Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-V", "mqttv5", "-p", &port.to_string(), "-t", topic])
        .args(arguments)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need mosquitto_pub (apt install mosquitto-clients)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&input).await.unwrap();
    drop(stdin);
    assert!(within(20, "mosquitto_pub", child.wait()).await.unwrap().success());
}
