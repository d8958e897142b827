//! Limits how much DTLS application data a session accepts: what its data channel carries. Pure: time is an argument.
//!
//! The stack keeps what is not read: parts of messages, messages of closed channels, and channels. So this budget is
//! small, and it is refilled by what the session reads, hardly by time. A viewer whose messages are not read has sent
//! the last one soon.

use std::time::Instant;

use super::{checks::TokenBucket, refused::RefusedReason};

/// Bytes of datagrams that are not read: at most, and how many more each second. SCTP alone has a heartbeat each 30 s.
pub(crate) const UNREAD: (f64, f64) = (131_072.0, 16.0);
/// Headers around a message, and the acknowledgement of its result.
const AROUND: usize = 160;

/// The budget of one session.
#[derive(Debug)]
pub(crate) struct ChannelBudget(TokenBucket);

impl ChannelBudget {
    pub(crate) fn new() -> Self {
        Self(TokenBucket::new(UNREAD))
    }

    /// Decides on a datagram of `length` bytes.
    pub(crate) fn admit(&mut self, length: usize, now: Instant) -> Result<(), RefusedReason> {
        if self.0.take(length as f64, now) { Ok(()) } else { Err(RefusedReason::TooMuch) }
    }

    /// The session read a message of `length` bytes. A long message has several datagrams, each with its own headers.
    pub(crate) fn read(&mut self, length: usize, now: Instant) {
        self.0.give((length + length / 8 + AROUND) as f64, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_read_has_a_bound() {
        let (mut budget, start) = (ChannelBudget::new(), Instant::now());
        let admitted = |budget: &mut ChannelBudget, from: Instant| {
            (0..100_000_u64).filter(|n| budget.admit(1200, from + Duration::from_micros(n * 10)).is_ok()).count()
        };
        assert_eq!(admitted(&mut budget, start), 109);
        // Time alone brings little: 960 bytes in a minute.
        assert!(admitted(&mut budget, start + Duration::from_secs(60)) <= 1);
        // What was read comes back, and never more than the budget had.
        budget.read(60_000, start + Duration::from_secs(62));
        assert_eq!(admitted(&mut budget, start + Duration::from_secs(62)), 56);
        (0..100).for_each(|_| budget.read(60_000, start + Duration::from_secs(64)));
        assert_eq!(admitted(&mut budget, start + Duration::from_secs(64)), 109);
    }

    #[test]
    fn an_hour_of_commands_passes() {
        let (mut budget, start) = (ChannelBudget::new(), Instant::now());
        // 20 commands a second, each with an acknowledgement of its result, and a heartbeat each 30 s.
        for n in 0..100_000_u64 {
            let now = start + Duration::from_millis(50 * n);
            assert!(budget.admit(80 + 65, now).is_ok() && budget.admit(81, now).is_ok(), "{n}");
            if n % 600 == 0 {
                assert!(budget.admit(100, now).is_ok(), "{n}");
            }
            budget.read(80, now);
        }
        // A long message is read as well, after many others.
        for n in 0..100_u64 {
            let now = start + Duration::from_secs(5000 + n);
            (0..29).for_each(|_| assert!(budget.admit(1200, now).is_ok(), "{n}"));
            budget.read(32_768, now);
        }
    }
}
