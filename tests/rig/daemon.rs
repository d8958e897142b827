//! The daemon itself, as a process.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::within;

/// The program under test.
pub const FANLIGHT: &str = env!("CARGO_BIN_EXE_fanlight");

/// A running `fanlight run`.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    dir: TempDir,
}

impl Daemon {
    /// Runs with this configuration.
    pub fn run(config: &str) -> Self {
        Self::run_with(config, &[])
    }

    /// Runs with this configuration, and with these variables in its environment.
    pub fn run_with(config: &str, settings: &[(&str, OsString)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("fanlight.toml"), config).unwrap();
        let mut child = Command::new(FANLIGHT)
            .args(["run", "--config"])
            .arg(dir.path().join("fanlight.toml"))
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("STATE_DIRECTORY")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, log, dir }
    }

    /// The configuration's file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("fanlight.toml")
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log has `words`.
    pub async fn says(&self, words: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(words) {
            assert!(Instant::now() < end, "the log never says {words:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes another configuration, and sends SIGHUP.
    pub fn reload(&self, config: &str) {
        fs::write(self.file(), config).unwrap();
        self.signal(Signal::HUP);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().expect("it runs").cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end. Returns the exit status and the time that took.
    pub async fn ends(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = within(20, "the daemon ends", self.child.wait()).await.unwrap();
        (status, start.elapsed())
    }
}

/// A panic is the fault of the test in which it happens, also if the daemon goes on.
impl Drop for Daemon {
    fn drop(&mut self) {
        let panicked = self.log.lock().is_ok_and(|log| log.contains("panicked"));
        assert!(std::thread::panicking() || !panicked, "the daemon panicked:\n{}", self.log());
    }
}
