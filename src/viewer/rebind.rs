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

use ring::hmac;

/// An address that said nothing for so long is looked for elsewhere: answers to consent checks, and reports, come more often.
const SILENCE: Duration = Duration::from_millis(700);
/// A stranger who said nothing for so long is not asked any more.
const STALE: Duration = Duration::from_secs(2);

const MAGIC_COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const HEADER: usize = 20;

/// A STUN transaction.
type Transaction = [u8; 12];

/// Where one socket's viewer is.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// The address that the stack sends media to.
    chosen: Option<SocketAddr>,
    /// Where it is now, if elsewhere.
    moved: Option<SocketAddr>,
    /// When it was last heard.
    heard: Option<Instant>,
    /// Who else speaks to this socket, and when last.
    stranger: Option<(SocketAddr, Instant)>,
    /// The check that went to the stranger as well.
    asked: Option<Transaction>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Instead of where the stack sent it.
    pub(super) to: SocketAddr,
    /// A copy of it.
    pub(super) also: Option<SocketAddr>,
}

/// What a packet that came in means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whom the stack is told that it came from.
    pub(super) from: SocketAddr,
    /// The viewer was found at another address just now.
    pub(super) found: bool,
}

impl Latch {
    /// A packet of the stack to `to`.
    pub(super) fn outgoing(&mut self, to: SocketAddr, packet: &[u8], now: Instant) -> Way {
        if is_media(packet) && self.chosen != Some(to) {
            *self = Self { chosen: Some(to), heard: Some(now), ..Self::default() };
        }
        if self.chosen != Some(to) {
            return Way { to, also: None };
        }
        let at = self.moved.unwrap_or(to);
        let mut way = Way { to: at, also: None };
        if let Some(transaction) = transaction(packet, BINDING_REQUEST)
            && self.is_silent(now)
            && let Some((stranger, said)) = self.stranger
            && now.saturating_duration_since(said) < STALE
        {
            self.asked = Some(transaction);
            way.also = Some(stranger);
        }
        way
    }

    /// A packet from `from`; `password` is the viewer's ICE password, asked for only if this may be its answer.
    pub(super) fn incoming(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        now: Instant,
        password: impl FnOnce() -> Option<String>,
    ) -> Arrival {
        let as_it_is = Arrival { from, found: false };
        let Some(chosen) = self.chosen else { return as_it_is };
        if Some(from) == self.moved || (from == chosen && self.moved.is_none()) {
            self.heard = Some(now);
            return Arrival { from: chosen, found: false };
        }
        if !is_media(packet) && !is_stun(packet) {
            return as_it_is;
        }
        let is_answer = transaction(packet, BINDING_SUCCESS).is_some_and(|one| Some(one) == self.asked)
            && self.stranger.is_some_and(|(stranger, _)| stranger == from);
        if is_answer && password().is_some_and(|password| is_signed(packet, password.as_bytes())) {
            self.moved = (from != chosen).then_some(from);
            (self.heard, self.stranger, self.asked) = (Some(now), None, None);
            return Arrival { from: chosen, found: true };
        }
        // A stranger that still speaks is not pushed aside by another one while it may be the viewer.
        if self.stranger.is_none_or(|(stranger, said)| stranger == from || now.saturating_duration_since(said) >= STALE)
        {
            self.stranger = Some((from, now));
        }
        as_it_is
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= SILENCE)
    }
}

/// DTLS or SRTP (RFC 7983), which go to nobody but the chosen address. What goes through a TURN channel does not count: its
/// address is the server's.
fn is_media(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(20..=63 | 128..=191))
}

fn is_stun(packet: &[u8]) -> bool {
    packet.len() >= HEADER && packet[0] < 4 && packet[4..8] == MAGIC_COOKIE
}

/// The transaction of a STUN message of this type.
fn transaction(packet: &[u8], kind: u16) -> Option<Transaction> {
    let matches = is_stun(packet) && packet[..2] == kind.to_be_bytes();
    matches.then(|| packet[8..HEADER].try_into().ok()).flatten()
}

/// Whether a STUN message is signed with this password (RFC 8489 14.5: HMAC-SHA1 over what stands before it, with the length as if
/// the message ended with it).
fn is_signed(packet: &[u8], password: &[u8]) -> bool {
    let mut at = HEADER;
    while let Some([a, b, c, d]) = packet.get(at..at + 4) {
        let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        if kind == MESSAGE_INTEGRITY {
            let Some(signature) = packet.get(at + 4..at + 24).filter(|_| length == 20) else { return false };
            let Ok(ends) = u16::try_from(at + 24 - HEADER) else { return false };
            let mut signed = packet[..at].to_vec();
            signed[2..4].copy_from_slice(&ends.to_be_bytes());
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
            return hmac::verify(&key, &signed, signature).is_ok();
        }
        at += 4 + length.next_multiple_of(4);
    }
    false
}

#[cfg(test)]
#[path = "rebind_tests.rs"]
mod tests;
