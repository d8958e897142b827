//! The signals of the process: SIGTERM, SIGINT and SIGHUP.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use crate::systemd;

/// Follows the signals of the process. One task receives them all, so no signal is lost between two waits.
#[derive(Debug, Clone)]
pub struct Signals {
    stop: watch::Receiver<bool>,
    hangups: watch::Receiver<u64>,
}

impl Signals {
    /// Starts to receive signals. The second SIGTERM or SIGINT ends the process at once. `hangup_stops`: whether SIGHUP
    /// also means stop, as for a program in a terminal.
    pub fn listen(hangup_stops: bool) -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("listen to signals: {e}"));
        let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let mut hup = listen(SignalKind::hangup())?;
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
                    info!("{name}: stopping; a second one stops at once");
                    systemd::stopping();
                }
            }
        });
        Ok(Self { stop: stopped, hangups })
    }

    /// Returns after the first SIGTERM or SIGINT.
    pub async fn stopped(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// Returns at the next SIGHUP, or at once if there was one since the last call.
    pub async fn hung_up(&mut self) {
        if self.hangups.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
