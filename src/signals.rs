//! SIGTERM, SIGINT and SIGHUP.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use crate::systemd;

/// The signals of the process, heard by one task for as long as it lives: none is lost between two that wait for them.
#[derive(Debug, Clone)]
pub struct Signals {
    stop: watch::Receiver<bool>,
    hangups: watch::Receiver<u64>,
}

impl Signals {
    /// Hears from now on. The second SIGTERM or SIGINT ends the process at once. `hangup_stops`: whether SIGHUP is
    /// a stop, too, as for a program in a terminal.
    pub fn hear(hangup_stops: bool) -> Result<Self, String> {
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
    pub async fn stopped(&mut self) {
        if self.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending().await
        }
    }

    /// Ends at the next SIGHUP, or at once if there was one since the last call.
    pub async fn hung_up(&mut self) {
        if self.hangups.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
