//! NAT rebinding: follows a viewer whose NAT changed its port, without signalling. Pure: packets and times in,
//! addresses out.
//!
//! The stack keeps the address of the selected pair until ICE fails and restarts. This code sits between the stack and
//! the socket. When the selected address falls silent and another address speaks as the viewer would, a check of our
//! own goes there beside the stack's next consent check (RFC 7675). If that address answers it, signed with the
//! viewer's ICE password (RFC 8445 section 7.2.2), it is the viewer. From then on it replaces the old address in both
//! directions, and the stack notices nothing.
//!
//! The two checks have different transaction IDs. Otherwise a viewer that forges the sender address of its packets
//! could answer for somebody else, and the media would go to somebody who never agreed.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::viewer::sockets::{
    filter::SenderClaim,
    stun::{BINDING_REQUEST, BINDING_SUCCESS, StunMessage, Transaction, is_media},
};

/// The selected address counts as silent after this long. Responses to consent checks and RTCP reports arrive more
/// often.
const SILENCE: Duration = Duration::from_millis(700);
/// Another address that was silent for this long gets no more checks.
const STALE: Duration = Duration::from_secs(2);

/// The current address of the viewer behind one socket.
#[derive(Debug, Default)]
pub(crate) struct PeerTracker {
    /// The address that the stack sends media to.
    chosen: Option<SocketAddr>,
    /// The viewer's address, if it is another one now.
    moved: Option<SocketAddr>,
    /// When the viewer was last heard.
    heard: Option<Instant>,
    /// Another address that speaks to this socket as the viewer would, when it last did, and what it claimed.
    stranger: Option<(SocketAddr, Instant, SenderClaim)>,
    /// The check that was sent to the other address, and the one of the stack beside it.
    asked: Option<(Transaction, Transaction)>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destinations {
    /// The address that replaces the stack's.
    pub(crate) to: SocketAddr,
    /// Another address, which gets a check of its own beside this packet.
    pub(crate) probe: Option<SocketAddr>,
}

/// How a received packet is passed to the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The sender's address that the stack sees.
    pub(crate) from: SocketAddr,
    /// The stack's own check, if this packet is the response that proved another address. The response is the answer to
    /// that check, too.
    pub(crate) found: Option<Transaction>,
}

impl PeerTracker {
    /// Where the stack's packet to `to` goes.
    pub(crate) fn outgoing(&mut self, to: SocketAddr, packet: &[u8], now: Instant) -> Destinations {
        if is_media(packet) && self.chosen != Some(to) {
            *self = Self { chosen: Some(to), heard: Some(now), ..Self::default() };
        }
        if self.chosen != Some(to) {
            return Destinations { to, probe: None };
        }
        let at = self.moved.unwrap_or(to);
        let is_check = transaction(packet, BINDING_REQUEST).is_some();
        let is_recent = |shared| now.saturating_duration_since(shared) < STALE;
        let probe = self.stranger.filter(|(_, shared, _)| is_check && self.is_silent(now) && is_recent(*shared));
        Destinations { to: at, probe: probe.map(|(stranger, ..)| stranger) }
    }

    /// The check `own` goes to the other address, and nowhere else. Beside it, the stack sent the check `stacks`.
    pub(crate) fn probed(&mut self, own: &[u8], stacks: &[u8]) {
        self.asked = transaction(own, BINDING_REQUEST).zip(transaction(stacks, BINDING_REQUEST));
    }

    /// A packet from `from`, with what its sender claims. `password` gets the viewer's ICE password; it is called only
    /// for a packet that may be the awaited response. An address is checked only if it claims something, so that
    /// rubbish from others cannot keep the viewer from being followed.
    pub(crate) fn incoming(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        claim: SenderClaim,
        now: Instant,
        password: impl FnOnce() -> Option<String>,
    ) -> Arrival {
        let unchanged = Arrival { from, found: None };
        let Some(chosen) = self.chosen else { return unchanged };
        if Some(from) == self.moved || (from == chosen && self.moved.is_none()) {
            self.heard = Some(now);
            return Arrival { from: chosen, found: None };
        }
        let answered = self
            .asked
            .filter(|(own, _)| transaction(packet, BINDING_SUCCESS) == Some(*own))
            .filter(|_| self.stranger.is_some_and(|(stranger, ..)| stranger == from));
        let is_signed = |password: String| StunMessage::read(packet).is_some_and(|m| m.is_signed(password.as_bytes()));
        if let Some((_, stacks)) = answered
            && password().is_some_and(is_signed)
        {
            self.moved = (from != chosen).then_some(from);
            (self.heard, self.stranger, self.asked) = (Some(now), None, None);
            return Arrival { from: chosen, found: Some(stacks) };
        }
        // The remembered address stays while it still speaks, since it may be the viewer. Only an address that claims
        // more replaces it.
        let gives_way = |(stranger, shared, claimed): (SocketAddr, Instant, SenderClaim)| {
            stranger == from || claim > claimed || now.saturating_duration_since(shared) >= STALE
        };
        if claim != SenderClaim::Nothing && self.stranger.is_none_or(gives_way) {
            let before = self.stranger.filter(|(stranger, ..)| *stranger == from);
            self.stranger = Some((from, now, before.map_or(claim, |(.., claimed)| claimed.max(claim))));
        }
        unchanged
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= SILENCE)
    }
}

/// The transaction ID of a STUN message, if it is of type `kind`.
fn transaction(packet: &[u8], kind: u16) -> Option<Transaction> {
    StunMessage::read(packet).filter(|message| message.kind() == kind).map(StunMessage::transaction)
}

#[cfg(test)]
#[path = "rebind_tests.rs"]
mod tests;
