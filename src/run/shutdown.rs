//! Stops the parts of the daemon, in reverse order of their start.

use std::time::Duration;

use tokio::{
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tracing::{info, warn};

use super::build::{Daemon, Parts};

/// How long the last replies may take to reach the broker link.
const CLOSE: Duration = Duration::from_millis(300);
/// How long the whole shutdown may take.
const DOWN: Duration = Duration::from_millis(1900);

impl Daemon {
    /// Ends all sessions, publishes `offline` and closes the devices. Takes at most 1.9 s: what has not stopped by then
    /// is left to the kernel.
    pub(super) async fn stop(self) {
        info!("stopping");
        let Self { background, parts, devices, buttons, audit, .. } = self;
        drop(buttons);
        for task in
            [background.status, background.memory, background.addresses, background.ice_servers, background.owner]
        {
            task.abort();
        }
        let down = async {
            parts.stop().await;
            // The last records: those of the sessions that have just ended.
            let _ = spawn_blocking(move || audit.close()).await;
            devices.close().await;
        };
        if timeout(DOWN, down).await.is_err() {
            warn!("not everything stopped within {DOWN:?}; the kernel closes the rest");
        }
    }
}

impl Parts {
    async fn stop(self) {
        self.stop_sessions.send_replace(true);
        report("sessions", self.sessions.await);
        // Signalling ends with the sessions. The link sends the last replies before it publishes `offline`.
        report("signalling", timeout(CLOSE, self.signalling).await.unwrap_or(Ok(())));
        self.stop_link.send_replace(true);
        report("broker link", self.link.await);
    }
}

/// Names a part that panicked. The panic itself is already in the log.
fn report(part: &str, ended: Result<(), JoinError>) {
    if let Err(e) = ended {
        warn!("{part}: ended badly: {e}");
    }
}
