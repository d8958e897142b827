//! Limits how much RTCP a session accepts. The stack keeps state for each sender's SSRC, also of forged packets. So the
//! number of senders that were never authentic is limited. Pure: time is an argument.

use std::time::Instant;

use super::{checks::TokenBucket, new_senders::NewSenders, refused::RefusedReason};

/// RTCP packets of authentic senders: at once, and each second. A browser on a bad line sends less than half of that.
/// One packet of transport feedback may claim 65,535 numbers, which the stack lists before anybody else can look at it.
pub(crate) const REPORTS: (f64, f64) = (500.0, 200.0);
/// RTCP packets of senders that were not authentic so far.
const STRANGE_REPORTS: (f64, f64) = (50.0, 50.0);
/// How many such senders may appear: at once, each second, and in all. The stack keeps each one.
const SENDERS: (f64, f64) = (16.0, 2.0);
pub(crate) const SENDERS_IN_ALL: u32 = 512;
/// How many of them are remembered by SSRC.
const SENDERS_KNOWN: usize = 16;

/// The RTCP budget of one session.
#[derive(Debug)]
pub(crate) struct RtcpBudget {
    /// Packets of senders with an authenticated SRTCP packet.
    reports: TokenBucket,
    /// Packets of the other senders.
    unproven: TokenBucket,
    /// New senders.
    senders: NewSenders,
}

impl RtcpBudget {
    pub(crate) fn new() -> Self {
        Self {
            reports: TokenBucket::new(REPORTS),
            unproven: TokenBucket::new(STRANGE_REPORTS),
            senders: NewSenders::new(SENDERS, SENDERS_IN_ALL, SENDERS_KNOWN),
        }
    }

    /// Decides on an RTCP packet from the viewer's address. While no packet of its SSRC was authentic, it may be
    /// forged.
    pub(crate) fn admit(&mut self, ssrc: u32, is_authentic: bool, now: Instant) -> Result<(), RefusedReason> {
        let room = match is_authentic {
            true => self.reports.take(1.0, now),
            false => self.unproven.take(1.0, now),
        };
        if !room {
            return Err(RefusedReason::TooMuch);
        }
        match is_authentic || self.senders.admit(ssrc, now) {
            true => Ok(()),
            false => Err(RefusedReason::TooMuch),
        }
    }
}
