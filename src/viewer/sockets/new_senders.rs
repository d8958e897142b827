//! How many senders may appear that were never authentic. The stack keeps state for each sender's SSRC, also of forged
//! packets, so their number is limited. Pure: time is an argument.

use std::{collections::VecDeque, time::Instant};

use super::checks::TokenBucket;

/// The senders of one session whose packets were never authentic so far.
#[derive(Debug)]
pub(super) struct NewSenders {
    rate: TokenBucket,
    /// How many more may appear in this session.
    left: u32,
    /// The newest of them, by SSRC; at most `remembered`.
    known: VecDeque<u32>,
    remembered: usize,
}

impl NewSenders {
    /// `rate`: at once, and each second. `in_all`: in the session. `remembered`: how many are known again.
    pub(super) fn new(rate: (f64, f64), in_all: u32, remembered: usize) -> Self {
        Self { rate: TokenBucket::new(rate), left: in_all, known: VecDeque::new(), remembered }
    }

    /// Whether packets of this sender are accepted. One that is new counts.
    pub(super) fn admit(&mut self, ssrc: u32, now: Instant) -> bool {
        if self.known.contains(&ssrc) {
            return true;
        }
        if self.left == 0 || !self.rate.take(1.0, now) {
            return false;
        }
        self.left -= 1;
        if self.known.len() >= self.remembered {
            self.known.pop_front();
        }
        self.known.push_back(ssrc);
        true
    }
}
