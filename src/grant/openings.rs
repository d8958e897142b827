//! The memory of messages that opened a session, so that none of them opens a second one (signed-messages.md, "What
//! replaying brings"), and of commands that stand alone, so that none is done twice. Pure: time is an argument.
//!
//! A message stays here for as long as its nonce may be valid. When the memory is full, no further session opens: a
//! message is never forgotten early.

use std::{collections::VecDeque, time::Duration};

use super::nonces::{LIVE_SLOTS, SLOT};
use crate::{
    clock::Mono,
    config::Id,
    protocol::{ErrorName, Refusal},
};

/// How long a message is remembered: the life of a nonce.
const REMEMBERED: Duration = Duration::from_secs(SLOT.as_secs() * LIVE_SLOTS);
/// Messages that are remembered of one viewer. An honest one opens five sessions a minute at most.
const PER_VIEWER: usize = 64;
/// Messages that are remembered in all.
const IN_ALL: usize = 4096;

/// The front of a hash of a signed message. No two messages have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageTag(pub [u8; 16]);

/// What becomes of a message that opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpeningVerdict {
    /// It came for the first time.
    New,
    /// It came before.
    Replayed,
    /// It cannot be remembered, so it is refused.
    Refused(Refusal),
}

/// The messages of the last three minutes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Openings {
    seen: VecDeque<(Id, MessageTag, Mono)>,
}

impl Openings {
    /// Whether this message is remembered.
    pub(super) fn knows(&self, tag: MessageTag, now: Mono) -> bool {
        self.seen.iter().any(|(_, other, until)| *other == tag && *until > now)
    }

    /// Remembers a message of `viewer`.
    pub(super) fn remember(&mut self, viewer: &Id, tag: MessageTag, now: Mono) -> OpeningVerdict {
        while self.seen.front().is_some_and(|(_, _, until)| *until <= now) {
            self.seen.pop_front();
        }
        if self.seen.iter().any(|(_, other, _)| *other == tag) {
            return OpeningVerdict::Replayed;
        }
        let mut own = self.seen.iter().filter(|(id, _, _)| id == viewer);
        let first = own.next().map(|(_, _, until)| *until);
        let own = usize::from(first.is_some()) + own.count();
        if own >= PER_VIEWER || self.seen.len() >= IN_ALL {
            let free = if self.seen.len() >= IN_ALL { self.seen.front().map(|(_, _, until)| *until) } else { first };
            let message = "too many sessions and commands were begun in the last three minutes";
            let pause = free.map_or(REMEMBERED, |until| until.since(now));
            return OpeningVerdict::Refused(Refusal::new(ErrorName::Busy, message).retry_after(pause));
        }
        self.seen.push_back((viewer.clone(), tag, now + REMEMBERED));
        OpeningVerdict::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    fn tag(n: usize) -> MessageTag {
        MessageTag((n as u128).to_be_bytes())
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn a_message_opens_one_session_for_as_long_as_its_nonce_may_live() {
        let mut openings = Openings::default();
        assert_eq!(openings.remember(&id("anna"), tag(1), seconds(0)), OpeningVerdict::New);
        for at in [0, 1, 60, 179] {
            assert_eq!(openings.remember(&id("anna"), tag(1), seconds(at)), OpeningVerdict::Replayed, "at {at} s");
            assert_eq!(openings.remember(&id("bert"), tag(1), seconds(at)), OpeningVerdict::Replayed, "at {at} s");
            assert!(openings.knows(tag(1), seconds(at)) && !openings.knows(tag(2), seconds(at)), "at {at} s");
        }
        assert!(!openings.knows(tag(1), seconds(180)));
        assert_eq!(openings.remember(&id("anna"), tag(2), seconds(180)), OpeningVerdict::New);
        assert_eq!(openings.seen.len(), 1, "the nonce of the first is no longer valid");
    }

    #[test]
    fn a_full_memory_refuses_and_forgets_nothing() {
        let mut openings = Openings::default();
        for n in 0..PER_VIEWER {
            assert_eq!(openings.remember(&id("anna"), tag(n), seconds(n as u64)), OpeningVerdict::New);
        }
        let OpeningVerdict::Refused(refusal) = openings.remember(&id("anna"), tag(1000), seconds(100)) else {
            panic!()
        };
        assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::Busy, Some(80_000)));
        assert_eq!(openings.remember(&id("anna"), tag(0), seconds(100)), OpeningVerdict::Replayed);
        assert_eq!(openings.remember(&id("bert"), tag(2000), seconds(100)), OpeningVerdict::New, "others have theirs");
        assert_eq!(openings.remember(&id("anna"), tag(1000), seconds(180)), OpeningVerdict::New);
    }

    #[test]
    fn the_memory_of_all_viewers_has_a_bound() {
        let mut openings = Openings::default();
        let mut refused = 0;
        for n in 0..10_000 {
            let viewer = id(&format!("viewer-{}", n / 10));
            refused +=
                usize::from(matches!(openings.remember(&viewer, tag(n), seconds(1)), OpeningVerdict::Refused(_)));
        }
        assert_eq!((openings.seen.len(), refused), (IN_ALL, 10_000 - IN_ALL));
    }
}
