//! How much RTCP one session takes in. The stack keeps state for each sender number (SSRC), also of forged packets, so the
//! number of unproven senders is bounded. Pure: time is an argument.

use std::{collections::VecDeque, time::Instant};

use super::{checks::TokenBucket, refused::RefusedReason};

/// RTCP of senders that are known. Ten browsers send less.
pub(crate) const REPORTS: (f64, f64) = (500.0, 500.0);
/// RTCP of senders that are yet to prove that they are authentic.
const STRANGE_REPORTS: (f64, f64) = (50.0, 50.0);
/// How many such senders there may be: at first, more each second, and in all. The stack keeps each one.
const SENDERS: (f64, f64) = (16.0, 2.0);
pub(crate) const SENDERS_IN_ALL: u32 = 512;
/// Of those, how many are known by their number.
const SENDERS_KNOWN: usize = 16;

/// The RTCP budget of one session.
#[derive(Debug)]
pub(crate) struct RtcpBudget {
    /// Packets of senders that are known to be authentic.
    reports: TokenBucket,
    /// Packets of senders that have not proved it.
    unproven: TokenBucket,
    /// New senders.
    senders: TokenBucket,
    /// New senders that this session may still have.
    left: u32,
    known: VecDeque<u32>,
}

impl RtcpBudget {
    pub(crate) fn new() -> Self {
        Self {
            reports: TokenBucket::new(REPORTS),
            unproven: TokenBucket::new(STRANGE_REPORTS),
            senders: TokenBucket::new(SENDERS),
            left: SENDERS_IN_ALL,
            known: VecDeque::new(),
        }
    }

    /// RTCP from where the viewer is. It may still be forged, as long as its sender number was never authentic.
    pub(crate) fn admit(&mut self, ssrc: u32, is_authentic: bool, now: Instant) -> Result<(), RefusedReason> {
        let room = match is_authentic {
            true => self.reports.take(1.0, now),
            false => self.unproven.take(1.0, now),
        };
        if !room {
            return Err(RefusedReason::TooMuch);
        }
        if is_authentic || self.known.contains(&ssrc) {
            return Ok(());
        }
        if self.left == 0 || !self.senders.take(1.0, now) {
            return Err(RefusedReason::TooMuch);
        }
        self.left -= 1;
        if self.known.len() >= SENDERS_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(ssrc);
        Ok(())
    }
}
