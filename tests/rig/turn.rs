//! coturn on loopback, by UDP, TCP and TLS.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use fanlight::{
    config::{IceLogin, IceServer, Id, Login, Secret},
    ice::ViewerLogins,
    protocol::SessionId,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{Authority, free_port};

pub const USER: &str = "garden";
pub const PASSWORD: &str = "hose";

/// A running coturn.
pub struct Turn {
    pub port: u16,
    pub tls_port: u16,
    pub ca: PathBuf,
    log: Arc<Mutex<String>>,
    _child: Child,
    _dir: TempDir,
}

impl Turn {
    /// With a user and a password.
    pub async fn start(more: &[&str]) -> Self {
        let user = format!("{USER}:{PASSWORD}");
        Self::with(&[&["-u", &user], more].concat(), 2099).await
    }

    /// With these arguments, and a certificate that is valid until the end of the year `until`.
    pub async fn with(arguments: &[&str], until: i32) -> Self {
        Self::run(&[&["-n", "--lt-cred-mech"], arguments].concat(), until).await
    }

    /// With this file of settings, and arguments that add to it.
    pub async fn configured(file: &Path, arguments: &[&str]) -> Self {
        Self::run(&[&["-c", file.to_str().unwrap()], arguments].concat(), 2099).await
    }

    async fn run(arguments: &[&str], until: i32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path());
        let (certificate, key) = authority.issue("localhost", until);
        let (port, tls_port) = (free_port(), free_port());
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut child = Command::new("turnserver")
            .args(["--log-file", "stdout", "--simple-log", "--verbose", "--no-cli", "--no-dtls"])
            .args(["-L", "127.0.0.1", "-L", "::1", "-E", "127.0.0.1", "-E", "::1", "--allow-loopback-peers"])
            .args(["--relay-threads", "1", "-r", "fanlight.test"])
            .args(["-p", &port.to_string(), "--tls-listening-port", &tls_port.to_string()])
            .args(["--cert", &text(&certificate), "--pkey", &text(&key)])
            .args(["--pidfile", &text(&dir.path().join("pid")), "--userdb", &text(&dir.path().join("db"))])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("coturn is installed");
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let turn = Self { port, tls_port, ca: authority.ca(), log, _child: child, _dir: dir };
        // Its threads open these in any order.
        for address in ["127.0.0.1", "::1"] {
            turn.says(&format!("UDP listener opened on: {address}:{port}\n"), 1).await;
            for port in [port, tls_port] {
                turn.says(&format!("TCP listener opened on : {address}:{port}\n"), 1).await;
            }
        }
        turn
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log has `words` so many times.
    pub async fn says(&self, words: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.log().matches(words).count() < times {
            assert!(Instant::now() < end, "coturn never says {words:?} {times} times:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its URL by `udp`, `tcp` or `tls`, at a loopback address or name.
    pub fn url(&self, transport: &str, host: &str) -> String {
        match transport {
            "tls" => format!("turns:{host}:{}", self.tls_port),
            other => format!("turn:{host}:{}?transport={other}", self.port),
        }
    }

    /// The configuration entry for this server.
    pub fn server(&self, url: String, login: IceLogin) -> IceServer {
        let ca_file = url.starts_with("turns:").then(|| self.ca.clone());
        IceServer { urls: vec![url], login, ca_file }
    }
}

/// The login it knows.
pub fn login(password: &str) -> IceLogin {
    IceLogin::Fixed(Login { user: USER.into(), password: Secret::new(password) })
}

/// The logins of one session of a viewer: `session` is what its id begins with.
pub fn logins_of(viewer: &str, session: char) -> ViewerLogins {
    let session = SessionId::new(&session.to_string().repeat(22)).unwrap();
    ViewerLogins::new(&Id::new(viewer).unwrap(), &session, Duration::from_secs(300))
}
