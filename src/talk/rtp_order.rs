//! Sequence numbers and time stamps that do not wrap, and which packets were here before. Pure.

/// Which packets of one SSRC arrived.
#[derive(Debug)]
pub(super) struct RtpOrder {
    /// The SSRC.
    pub(super) ssrc: u32,
    /// The highest sequence number so far, and its time stamp. They count on where those of RTP wrap.
    highest: i64,
    newest: i64,
    /// Which of the last 128 numbers arrived; bit 0 is `highest`. It covers more than `MAX_MISORDER`.
    seen: u128,
}

/// Numbers this far ahead, or this far behind, are of the same stream (RFC 3550 appendix A.1).
const MAX_DROPOUT: i64 = 3_000;
const MAX_MISORDER: i64 = 100;

impl RtpOrder {
    /// Expects the packet with this number and this time stamp.
    pub(super) fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, highest: i64::from(sequence) - 1, newest: i64::from(timestamp), seen: 0 }
    }

    /// Number and time stamp: the nearest to the highest ones. `None` if the number is not of this stream.
    pub(super) fn unwrap(&self, sequence: u16, timestamp: u32) -> Option<(i64, i64)> {
        let ahead = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let later = timestamp.wrapping_sub(self.newest as u32) as i32;
        let known = (-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead);
        known.then(|| (self.highest + ahead, self.newest + i64::from(later)))
    }

    /// Whether this packet was here before.
    pub(super) fn has_seen(&self, number: i64) -> bool {
        u32::try_from(self.highest - number).is_ok_and(|back| self.seen.checked_shr(back).unwrap_or(0) & 1 != 0)
    }

    /// Remembers a packet. Returns whether a later one was here before it.
    pub(super) fn mark(&mut self, number: i64, at: i64) -> bool {
        let distance = u32::try_from((number - self.highest).abs()).unwrap_or(u32::MAX);
        let is_old = number < self.highest;
        if is_old {
            self.seen |= 1_u128.checked_shl(distance).unwrap_or(0);
        } else {
            self.seen = self.seen.checked_shl(distance).unwrap_or(0) | 1;
            (self.highest, self.newest) = (number, at);
        }
        is_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_go_on_where_they_wrap() {
        let mut order = RtpOrder::new(1, 65_534, u32::MAX - 959);
        let expected = i64::from(u32::MAX - 959);
        for n in 0..200_000 {
            let (sequence, timestamp) = (65_534_u16.wrapping_add(n as u16), (u32::MAX - 959).wrapping_add(960 * n));
            let found = order.unwrap(sequence, timestamp).unwrap();
            assert_eq!(found, (65_534 + i64::from(n), expected + 960 * i64::from(n)));
            assert!(!order.has_seen(found.0) && !order.mark(found.0, found.1) && order.has_seen(found.0));
        }
    }

    #[test]
    fn which_numbers_are_of_the_stream_and_new() {
        let mut order = RtpOrder::new(1, 1_000, 0);
        order.mark(1_000, 0);
        order.mark(1_002, 0);
        for (sequence, known, seen, old) in [
            (1_002, true, true, false),
            (1_001, true, false, true),
            (1_001, true, true, true),
            (902, true, false, true),
            (902, true, true, true),
            (901, false, false, false),
            (4_003, false, false, false),
            (40_000, false, false, false),
            (4_002, true, false, false),
            (4_002, true, true, false),
            (1_002, false, false, false),
        ] {
            let place = order.unwrap(sequence, 0);
            assert_eq!(place.is_some(), known, "{sequence}");
            if let Some((number, at)) = place {
                assert_eq!(order.has_seen(number), seen, "{sequence}");
                assert_eq!(order.mark(number, at), old, "{sequence}");
            }
        }
    }
}
