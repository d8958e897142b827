//! A viewer whose NAT gave it another port is followed without a word over the broker. Pure: packets and times in, addresses out.
//!
//! ICE of the stack keeps to the address that it chose until it gives it up and begins anew. Here, between it and the socket,
//! an address that has fallen silent is looked for at the stranger who speaks in its place: the stack's next consent check
//! goes to both, and who answers it, signed with the viewer's ICE password (RFC 8445 7.2.2, RFC 7675), is the viewer. From then on
//! its new address stands for the old one, in both directions, and the stack never knows.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::viewer::sockets::{
    filter::SenderClaim,
    stun::{BINDING_REQUEST, BINDING_SUCCESS, StunMessage, Transaction, is_media},
};

/// An address that said nothing for so long is looked for elsewhere: answers to consent checks, and reports, come more often.
const SILENCE: Duration = Duration::from_millis(700);
/// A stranger who said nothing for so long is not asked any more.
const STALE: Duration = Duration::from_secs(2);

/// Where one socket's viewer is.
#[derive(Debug, Default)]
pub(crate) struct PeerTracker {
    /// The address that the stack sends media to.
    chosen: Option<SocketAddr>,
    /// Where it is now, if elsewhere.
    moved: Option<SocketAddr>,
    /// When it was last heard.
    heard: Option<Instant>,
    /// Who else speaks to this socket as the viewer would, when last, and how.
    stranger: Option<(SocketAddr, Instant, SenderClaim)>,
    /// The check that went to the stranger as well.
    asked: Option<Transaction>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destinations {
    /// Instead of where the stack sent it.
    pub(crate) to: SocketAddr,
    /// A copy of it.
    pub(crate) also: Option<SocketAddr>,
}

/// What a packet that came in means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Whom the stack is told that it came from.
    pub(crate) from: SocketAddr,
    /// The viewer was found at another address just now.
    pub(crate) found: bool,
}

impl PeerTracker {
    /// A packet of the stack to `to`.
    pub(crate) fn outgoing(&mut self, to: SocketAddr, packet: &[u8], now: Instant) -> Destinations {
        if is_media(packet) && self.chosen != Some(to) {
            *self = Self { chosen: Some(to), heard: Some(now), ..Self::default() };
        }
        if self.chosen != Some(to) {
            return Destinations { to, also: None };
        }
        let at = self.moved.unwrap_or(to);
        let mut way = Destinations { to: at, also: None };
        if let Some(transaction) = transaction(packet, BINDING_REQUEST)
            && self.is_silent(now)
            && let Some((stranger, shared, _)) = self.stranger
            && now.saturating_duration_since(shared) < STALE
        {
            self.asked = Some(transaction);
            way.also = Some(stranger);
        }
        way
    }

    /// A packet from `from`, and what it claims; `password` is the viewer's ICE password, asked for only if this may be its
    /// answer. Only who claims something is asked back: nobody is kept from being followed by others who send rubbish.
    pub(crate) fn incoming(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        claim: SenderClaim,
        now: Instant,
        password: impl FnOnce() -> Option<String>,
    ) -> Arrival {
        let as_it_is = Arrival { from, found: false };
        let Some(chosen) = self.chosen else { return as_it_is };
        if Some(from) == self.moved || (from == chosen && self.moved.is_none()) {
            self.heard = Some(now);
            return Arrival { from: chosen, found: false };
        }
        let is_answer = transaction(packet, BINDING_SUCCESS).is_some_and(|one| Some(one) == self.asked)
            && self.stranger.is_some_and(|(stranger, ..)| stranger == from);
        let is_signed = |password: String| StunMessage::read(packet).is_some_and(|m| m.is_signed(password.as_bytes()));
        if is_answer && password().is_some_and(is_signed) {
            self.moved = (from != chosen).then_some(from);
            (self.heard, self.stranger, self.asked) = (Some(now), None, None);
            return Arrival { from: chosen, found: true };
        }
        // A stranger that still speaks is not pushed aside by another one while it may be the viewer, unless that one claims
        // more.
        let gives_way = |(stranger, shared, claimed): (SocketAddr, Instant, SenderClaim)| {
            stranger == from || claim > claimed || now.saturating_duration_since(shared) >= STALE
        };
        if claim != SenderClaim::Nothing && self.stranger.is_none_or(gives_way) {
            let before = self.stranger.filter(|(stranger, ..)| *stranger == from);
            self.stranger = Some((from, now, before.map_or(claim, |(.., claimed)| claimed.max(claim))));
        }
        as_it_is
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= SILENCE)
    }
}

/// The transaction of a STUN message of this type.
fn transaction(packet: &[u8], kind: u16) -> Option<Transaction> {
    StunMessage::read(packet).filter(|message| message.kind() == kind).map(StunMessage::transaction)
}

#[cfg(test)]
#[path = "rebind_tests.rs"]
mod tests;
