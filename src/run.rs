//! The daemon: starts every part, applies reloads, and stops the parts in reverse order.

mod access;
mod build;
mod buttons;
mod reload;
mod shutdown;
mod status;

use std::future::Future;

use tokio::sync::watch;

use self::build::Daemon;
use crate::{config::Config, liveness::Liveness, trust::board_keys::BoardKeyError, viewer::peer::PeerError};

/// Why the daemon ends without a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave no random bytes (getrandom(2)).
    #[error("read random bytes: {0}")]
    Random(getrandom::Error),
    /// The WebRTC stack cannot be set up.
    #[error(transparent)]
    PeerFactory(#[from] PeerError),
    /// The board has no keys.
    #[error(transparent)]
    Keys(#[from] BoardKeyError),
    /// The modes `keys` and `token` need a folder for the keys and the lists.
    #[error(
        "access.mode = \"{0}\" needs a folder for the keys of this board and the list of viewers: $STATE_DIRECTORY is not \
         set; the service has it, and by hand: STATE_DIRECTORY=/path RUNTIME_DIRECTORY=/path fanlight run"
    )]
    NoStateFolder(&'static str),
    /// A part that every viewer needs has ended. The log has the reason.
    #[error("{0} ended without a request; restart the daemon")]
    Part(&'static str),
}

/// Serves viewers until `shutdown` completes or an essential part ends. Then it ends all sessions, publishes `offline`
/// and closes the devices, within 2 s.
///
/// A new value in `reload` is applied as far as this is possible without dropping a viewer. The caller reports the keys
/// that need a restart. The service's status shows `note`, unless it is empty.
pub async fn run(
    config: Config,
    reload: watch::Receiver<Config>,
    shutdown: impl Future<Output = ()>,
    liveness: &Liveness,
    note: watch::Receiver<String>,
) -> Result<(), Error> {
    let mut daemon = Daemon::start(&config, liveness, note)?;
    let served = daemon.serve(reload, shutdown).await;
    daemon.stop().await;
    served
}
