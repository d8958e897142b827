//! The measured delay of sound, and whether it is right. Pure: time is an argument.
//!
//! What is measured does not depend on jitter: the delay of a packet plus its relative delay is the delay of the
//! fastest packets, the same for all packets of a path. An error remains: the thread may be delayed between the answer
//! of the device and the clock, and then the result is too long. So the least one of each half second counts, as in
//! `SampleClock` of the microphone.

use std::time::Duration;

use crate::clock::Mono;

/// How often the delay is measured.
pub(super) const FILL_WINDOW: Duration = Duration::from_millis(500);
/// The delay may differ from its target by this, or a quarter of the target, before the tempo changes.
const MARGIN: Duration = Duration::from_millis(10);

/// The measured delay of half a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayFill {
    /// From the arrival of the fastest packets to the loudspeaker: this buffer, decoded sound, and the device.
    pub delay: Duration,
    /// How much of it should be in this buffer.
    pub target: Duration,
}

/// Whether the delay is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempo {
    /// It is. Only the drift of the clocks needs a correction.
    Keep,
    /// It is too long: play faster.
    Faster,
    /// It is too short: play slower.
    Slower,
}

impl DelayFill {
    /// How much too long the delay is, in seconds. `device`: how much should be behind this buffer.
    pub fn error(self, device: Duration) -> f64 {
        self.delay.as_secs_f64() - (self.target + device).as_secs_f64()
    }

    /// Whether playback should be faster or slower.
    pub fn tempo(self, device: Duration) -> Tempo {
        let (wanted, margin) = (self.target + device, MARGIN.max(self.target / 4));
        match self.delay {
            delay if delay > wanted + margin => Tempo::Faster,
            delay if delay + margin < wanted => Tempo::Slower,
            _ => Tempo::Keep,
        }
    }
}

/// Measures the delay.
#[derive(Debug, Default)]
pub(super) struct FillWindow {
    /// When which sample is heard: the end of the last step.
    heard: Option<(Mono, i64)>,
    since: Mono,
    /// The least delay since then, in ns.
    least: Option<i64>,
}

impl FillWindow {
    /// The delay jumps here.
    pub(super) fn restart(&mut self) {
        (self.heard, self.least) = (None, None);
    }

    /// The sample with this time stamp will be heard at this time.
    pub(super) fn set_heard(&mut self, sample: i64, at: Mono) {
        self.heard = Some((at, sample));
    }

    /// A packet arrived that begins with this sample, later than the fastest ones by `relative`.
    pub(super) fn arrived(&mut self, sample: i64, relative: Duration, now: Mono) {
        let Some((heard, at)) = self.heard else { return };
        let wait = samples_to_ns(sample - at).saturating_add_unsigned(heard.0).saturating_sub_unsigned(now.0);
        let delay = wait.saturating_add(i64::try_from(relative.as_nanos()).unwrap_or(i64::MAX));
        if self.least.is_none() {
            self.since = self.since.max(now);
        }
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
    }

    /// The result of a window that is over.
    pub(super) fn take(&mut self, target: Duration, now: Mono) -> Option<DelayFill> {
        let over = now.since(self.since) >= FILL_WINDOW;
        let least = if over { self.least.take() } else { None };
        least.map(|ns| DelayFill { delay: Duration::from_nanos(ns.max(0).unsigned_abs()), target })
    }
}

/// Nanoseconds of a number of samples at 48 kHz.
pub(super) fn samples_to_ns(samples: i64) -> i64 {
    samples.saturating_mul(62_500) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    #[test]
    fn when_to_play_faster_and_slower() {
        // Delay, target and device in ms.
        for (delay, target, device, expected) in [
            (50, 20, 30, Tempo::Keep),
            (60, 20, 30, Tempo::Keep),
            (61, 20, 30, Tempo::Faster),
            (39, 20, 30, Tempo::Slower),
            (0, 20, 30, Tempo::Slower),
            (280, 200, 30, Tempo::Keep),
            (281, 200, 30, Tempo::Faster),
            (179, 200, 30, Tempo::Slower),
        ] {
            let [delay, target, device] = [delay, target, device].map(Duration::from_millis);
            assert_eq!(DelayFill { delay, target }.tempo(device), expected, "{delay:?} {target:?}");
        }
    }

    #[test]
    fn the_least_delay_of_half_a_second_whatever_the_jitter() {
        let mut window = FillWindow::default();
        window.arrived(0, Duration::ZERO, ms(0));
        assert_eq!(window.take(Duration::ZERO, ms(1_000)), None, "nothing is heard yet");
        for n in 0..26 {
            // Packet n would arrive at 20n ms. It is n ms late, and is read up to 4 ms late.
            window.set_heard(960 * i64::try_from(n).unwrap(), ms(1_000 + n * 20 + 70 + n % 5));
            window.arrived(960 * i64::try_from(n).unwrap(), Duration::from_millis(n), ms(1_000 + n * 21));
            let taken = window.take(Duration::from_millis(20), ms(1_000 + n * 21));
            let expected = DelayFill { delay: Duration::from_millis(70), target: Duration::from_millis(20) };
            assert_eq!(taken, (n == 24).then_some(expected), "{n}");
        }
        window.restart();
        assert_eq!(window.take(Duration::ZERO, ms(9_000)), None);
    }
}
