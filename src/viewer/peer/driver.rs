//! What a peer connection stands on: its driver, and the addresses of the board.

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

/// How long the connection may take to say which pair it uses.
const PAIR: Duration = Duration::from_secs(1);

impl Peer {
    /// Waits until the connection's driver has ended, which it does by itself only if something broke: nothing moves any more.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        if ended.wait_for(|ended| *ended).await.is_ok() {
            warn!("viewer {}: its connection broke off by itself: the session ends with it", self.viewer);
        }
    }

    /// Whether the newest change of the board's addresses is this connection's concern: there is one more that it may use, or
    /// its pair is bound to one that is gone, which is what `Some(true)` says.
    pub async fn moved(&self, moved: &mut watch::Receiver<BoardAddresses>) -> Option<bool> {
        let now = moved.borrow_and_update().clone();
        let before = std::mem::replace(&mut *self.present.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        let left = self.bound_to().await.is_some_and(|ip| !now.has(ip));
        let usable = |present: &BoardAddresses| self.places.usable(present);
        (left || usable(&now).iter().any(|ip| !usable(&before).contains(ip))).then_some(left)
    }

    /// The address of the board that the chosen pair is bound to; behind those of NATs and relays it is the related one.
    async fn bound_to(&self) -> Option<IpAddr> {
        let pair = async { self.transport().await?.ice_transport().get_selected_candidate_pair().await.ok()? };
        let pair = timeout(PAIR, pair).await.ok()??;
        let local = pair.local();
        local.related_address.parse().or_else(|_| local.address.parse()).ok()
    }

    /// ICE begins again from new sockets. The stack would end the connection where one of them cannot be had.
    pub(crate) fn can_restart(&self) -> Result<(), PeerError> {
        bind::names_at_hand(self.mdns).map_err(internal("restart ICE: multicast DNS"))
    }
}
