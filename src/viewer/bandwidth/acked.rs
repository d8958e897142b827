//! Acknowledged bitrate: the rate that arrived at the receiver in the last half second.

use std::{collections::VecDeque, time::Duration};

use crate::units::{Bitrate, DataSize};

const WINDOW: Duration = Duration::from_millis(500);
/// The window of [`AckedBitrate::rate_now`].
const SHORT_WINDOW: Duration = Duration::from_millis(200);
/// A shorter span of arrivals is too uncertain for a rate.
const MIN_SPAN: Duration = Duration::from_millis(150);
/// The most packets in the window.
const MAX_PACKETS: usize = 4096;

/// Arrivals of the last half second, on the receiver's clock.
#[derive(Debug, Default)]
pub struct AckedBitrate {
    arrivals: VecDeque<(Duration, DataSize)>,
}

impl AckedBitrate {
    /// A packet of this size arrived.
    pub fn packet(&mut self, arrived: Duration, size: DataSize) {
        if self.arrivals.back().is_some_and(|(last, _)| arrived + WINDOW < *last) {
            // The receiver's clock went back: start again.
            *self = Self::default();
        }
        self.arrivals.push_back((arrived, size));
        let old = arrived.saturating_sub(WINDOW);
        while self.arrivals.len() > MAX_PACKETS || self.arrivals.front().is_some_and(|(at, _)| *at < old) {
            self.arrivals.pop_front();
        }
    }

    /// The rate in the window; `None` before there is enough data.
    pub fn rate(&self) -> Option<Bitrate> {
        self.rate_over(WINDOW)
    }

    /// The lower of this rate and the rate of the last moments: the current rate, if it has just fallen.
    pub fn rate_now(&self) -> Option<Bitrate> {
        let rate = self.rate()?;
        Some(self.rate_over(SHORT_WINDOW).map_or(rate, |now| now.min(rate)))
    }

    fn rate_over(&self, window: Duration) -> Option<Bitrate> {
        let (last, _) = self.arrivals.back()?;
        let old = last.saturating_sub(window);
        let mut recent = self.arrivals.iter().skip_while(|(at, _)| *at < old);
        // The first packet only begins the span: its own data arrived before.
        let (first, _) = recent.next()?;
        let span = last.saturating_sub(*first);
        let size = recent.map(|(_, size)| *size).sum::<DataSize>();
        (span >= MIN_SPAN).then(|| size / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: DataSize = DataSize::from_bits(10_000);

    /// The rates, in kbit/s, after packets of 10 000 bits have arrived at these times in ms.
    fn rates(arrivals: impl IntoIterator<Item = u64>) -> (Option<u32>, Option<u32>) {
        let mut acked = AckedBitrate::default();
        arrivals.into_iter().for_each(|ms| acked.packet(Duration::from_millis(ms), PACKET));
        let kbit = |rate: Option<Bitrate>| rate.map(|rate| (rate / Bitrate::from_kbps(1)).round() as u32);
        (kbit(acked.rate()), kbit(acked.rate_now()))
    }

    #[test]
    fn the_rate_is_what_arrived_in_the_last_half_second() {
        for (name, arrivals, expected) in [
            ("nothing", vec![], (None, None)),
            ("a moment is too short", (0..=14).map(|n| n * 10).collect(), (None, None)),
            ("one each 10 ms", (0..=100).map(|n| n * 10).collect(), (Some(1_000), Some(1_000))),
            (
                "it was more before",
                (0..=1_000).chain((1..=50).map(|n| 1_000 + n * 10)).collect(),
                (Some(1_000), Some(1_000)),
            ),
            (
                "it has just become less",
                (0..=300).map(|n| n * 10 / 3).chain((1..=4).map(|n| 1_000 + n * 50)).collect(),
                (Some(1_880), Some(200)),
            ),
            (
                "the clock went back",
                (5_000..5_400).chain((0..=20).map(|n| n * 10)).collect(),
                (Some(1_000), Some(1_000)),
            ),
        ] {
            assert_eq!(rates(arrivals), expected, "{name}");
        }
    }

    #[test]
    fn no_more_than_so_many_packets_are_remembered() {
        let mut acked = AckedBitrate::default();
        (0..10_000).for_each(|_| acked.packet(Duration::from_secs(1), PACKET));
        assert_eq!(acked.arrivals.len(), MAX_PACKETS);
        acked.packet(Duration::from_micros(u64::MAX / 2), PACKET);
        acked.packet(Duration::ZERO, PACKET);
        assert!(acked.arrivals.len() <= 2);
    }
}
