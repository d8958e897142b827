//! Limits how much RTP a session accepts: only of the payload type that was negotiated for talk, and little of it. The
//! stack keeps state for each SSRC, also of forged packets. Pure: time is an argument.

use std::time::Instant;

use super::{checks::TokenBucket, new_senders::NewSenders, refused::RefusedReason};

/// Packets: at once, and each second. Opus has at most 400 a second, with packets of 2.5 ms.
const PACKETS: (f64, f64) = (200.0, 450.0);
/// Bytes: at once, and each second. Opus has at most 510 kbit/s, and a packet up to 80 bytes around it.
const BYTES: (f64, f64) = (65_536.0, 100_000.0);
/// How many senders that were never authentic may appear: at once, each second, and in all. The stack keeps each one.
const SENDERS: (f64, f64) = (4.0, 0.1);
const SENDERS_IN_ALL: u32 = 64;
/// How many of them are remembered by SSRC.
const SENDERS_KNOWN: usize = 4;
/// The shortest SRTP packet: header and tag.
const SHORTEST: usize = 12 + 10;

/// The RTP budget of one session.
#[derive(Debug)]
pub(crate) struct RtpBudget {
    payload_type: u8,
    packets: TokenBucket,
    bytes: TokenBucket,
    senders: NewSenders,
}

impl RtpBudget {
    /// Admits packets of this payload type.
    pub(crate) fn new(payload_type: u8) -> Self {
        Self {
            payload_type,
            packets: TokenBucket::new(PACKETS),
            bytes: TokenBucket::new(BYTES),
            senders: NewSenders::new(SENDERS, SENDERS_IN_ALL, SENDERS_KNOWN),
        }
    }

    /// Decides on an RTP packet from the viewer's address. `is_authentic`: whether a packet of this SSRC was.
    pub(crate) fn admit(
        &mut self,
        packet: &[u8],
        is_authentic: impl Fn(u32) -> bool,
        now: Instant,
    ) -> Result<(), RefusedReason> {
        let &[_, kind, _, _, _, _, _, _, a, b, c, d, ..] = packet else { return Err(RefusedReason::Media) };
        if kind & 0x7f != self.payload_type || packet.len() < SHORTEST {
            return Err(RefusedReason::Media);
        }
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        if !self.packets.take(1.0, now) || !self.bytes.take(packet.len() as f64, now) {
            return Err(RefusedReason::TooMuch);
        }
        match is_authentic(ssrc) || self.senders.admit(ssrc, now) {
            true => Ok(()),
            false => Err(RefusedReason::TooMuch),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(payload_type: u8, ssrc: u32, length: usize) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type, 0, 1, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.resize(length, 0);
        packet
    }

    #[test]
    fn only_the_negotiated_payload_type_passes() {
        let (mut budget, now) = (RtpBudget::new(111), Instant::now());
        for (packet, expected) in [
            (packet(111, 1, 100), Ok(())),
            (packet(111 | 0x80, 1, 100), Ok(())),
            (packet(96, 1, 100), Err(RefusedReason::Media)),
            (packet(111, 1, 21), Err(RefusedReason::Media)),
            (vec![0x80, 111, 0], Err(RefusedReason::Media)),
        ] {
            assert_eq!(budget.admit(&packet, |_| false, now), expected, "{packet:?}");
        }
    }

    #[test]
    fn rate_size_and_senders_are_limited() {
        let start = Instant::now();
        let admitted = |length: usize, seconds: u64| {
            let mut budget = RtpBudget::new(111);
            let (packet, all) = (packet(111, 1, length), seconds * 10_000);
            let at = |n: u64| start + Duration::from_micros(n * 100);
            (0..all).filter(|n| budget.admit(&packet, |_| true, at(*n)).is_ok()).count()
        };
        assert!((4_600..=4_701).contains(&admitted(80, 10)), "{}", admitted(80, 10));
        assert!(admitted(1_200, 10) * 1_200 <= 1_066_000, "{}", admitted(1_200, 10));
        // Forged senders. One that is authentic is not pushed out by them.
        let mut budget = RtpBudget::new(111);
        let at = |n: u32| start + Duration::from_secs(n.into());
        let strangers = (10..3_000).filter(|n| budget.admit(&packet(111, *n, 100), |_| false, at(*n)).is_ok()).count();
        assert_eq!(strangers, SENDERS_IN_ALL as usize);
        assert_eq!(budget.admit(&packet(111, 7, 100), |ssrc| ssrc == 7, at(3_000)), Ok(()));
        assert_eq!(budget.admit(&packet(111, 8, 100), |ssrc| ssrc == 7, at(3_000)), Err(RefusedReason::TooMuch));
    }
}
