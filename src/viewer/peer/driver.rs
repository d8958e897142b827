//! A peer connection's driver task, and the board addresses that the connection is bound to.

use std::{net::IpAddr, sync::PoisonError, time::Duration};

use tokio::{sync::watch, time::timeout};
use tracing::warn;

use crate::{
    addresses::BoardAddresses,
    viewer::{
        peer::{Peer, PeerError, internal},
        sockets::bind,
    },
};

/// How long `bound_to` waits for the stack to report the selected candidate pair.
const PAIR: Duration = Duration::from_secs(1);

impl Peer {
    /// Waits until the connection's driver task has ended. The driver ends by itself only after a fault; no packets
    /// move from then on.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_ok() {
            warn!("viewer {}: the driver of its connection stopped unexpectedly: the session ends", self.viewer);
        }
    }

    /// Whether the latest change of the board's addresses concerns this connection. `Some(true)`: the selected pair is
    /// bound to an address that is gone. `Some(false)`: there is a new address that the connection may use. `None`:
    /// neither.
    pub async fn moved(&self, moved: &mut watch::Receiver<BoardAddresses>) -> Option<bool> {
        let now = moved.borrow_and_update().clone();
        let before = std::mem::replace(&mut *self.present.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        let left = self.bound_to().await.is_some_and(|ip| !now.has(ip));
        let usable = |present: &BoardAddresses| self.bind_addrs.usable(present);
        (left || usable(&now).iter().any(|ip| !usable(&before).contains(ip))).then_some(left)
    }

    /// The board's address that the selected pair is bound to. For server-reflexive and relay candidates it is the
    /// related address (RFC 8839 section 5.1).
    async fn bound_to(&self) -> Option<IpAddr> {
        let pair = async { self.transport().await?.ice_transport().get_selected_candidate_pair().await.ok()? };
        let pair = timeout(PAIR, pair).await.ok()??;
        let local = pair.local();
        local.related_address.parse().or_else(|_| local.address.parse()).ok()
    }

    /// Whether an ICE restart is possible now. A restart opens new sockets; if the stack cannot open the socket of
    /// multicast DNS, it would end the connection.
    pub(crate) fn can_restart(&self) -> Result<(), PeerError> {
        bind::names_at_hand(self.mdns).map_err(internal("restart ICE: multicast DNS"))
    }
}
