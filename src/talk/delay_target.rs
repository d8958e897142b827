//! The target delay of a jitter buffer, from the measured jitter. Pure: time is an argument.
//!
//! The measure is how much later a packet came than the fastest one of the last seconds: the relative arrival delay, as
//! in NetEQ of libwebrtc. The interarrival jitter of RFC 3550 section 6.4.1 is a mean of the differences between
//! neighbours. It says how noisy a path is, but not how many packets a delay would save. So a histogram of relative
//! delays is kept, and the target is the delay that would have been enough for 97 % of the sound.
//!
//! - A packet that is later than the target raises it at once, to its own delay.
//! - The target falls by 5 ms per second at most. That is as fast as playback can follow without an audible change.
//! - No permitted delay hides an outage, so one counts once. What arrives after it in a burst does not count.
//! - A path that became longer for good is no jitter. Once the fastest packets of 5 s are all slower, the target falls
//!   by the difference.
//!
//! The memory is fixed: 41 numbers and two minima. Each packet costs two passes over them.

use std::time::Duration;

use crate::clock::Mono;

/// The smallest and the largest target.
pub(super) const MIN: Duration = Duration::from_millis(20);
pub(super) const MAX: Duration = Duration::from_millis(200);
/// The share of the sound that must come in time.
const QUANTILE: f64 = 0.97;
/// The width of one column of the histogram, in ns.
const COLUMN: i64 = 5_000_000;
/// Columns from zero to `MAX`, and one for all that is later.
const COLUMNS: usize = 41;
/// After this time, in seconds, a packet counts for 1/e.
const MEMORY: f64 = 10.0;
/// How fast the target falls, as time per time.
const FALL: f64 = 0.005;
/// The fastest packet is that of the current and of the last of these windows.
const WINDOW: Duration = Duration::from_millis(2_500);
/// A fastest packet that is slower by this much, in ns, means a longer path.
const LONGER: i64 = 10_000_000;
/// A relative delay beyond this, in ns, is another clock: the sender started its time stamps again.
const JUMP: i64 = 1_000_000_000;

/// Measures relative delays, and decides the target.
#[derive(Debug)]
pub(super) struct DelayTarget {
    /// The clocks of the two sides: transit time of the fastest packet, in ns. Its zero has no meaning.
    fastest: Option<Fastest>,
    /// How much sound arrived with which relative delay, in seconds of sound.
    weights: [f64; COLUMNS],
    target: Duration,
    /// Whether packets of an outage still come in.
    outage: bool,
    seen: Mono,
}

/// A minimum over a sliding window.
#[derive(Debug, Clone, Copy)]
struct Fastest {
    since: Mono,
    current: i64,
    last: i64,
}

impl Fastest {
    fn new(transit: i64, now: Mono) -> Self {
        Self { since: now, current: transit, last: transit }
    }

    fn transit(self) -> i64 {
        self.current.min(self.last)
    }

    fn add(&mut self, transit: i64, now: Mono) {
        let age = now.since(self.since);
        if age >= WINDOW * 2 {
            *self = Self::new(transit, now);
        } else if age >= WINDOW {
            *self = Self { since: now, current: transit, last: self.current };
        }
        self.current = self.current.min(transit);
    }
}

impl DelayTarget {
    /// The smallest target; nothing is measured yet.
    pub(super) fn new() -> Self {
        Self { fastest: None, weights: [0.0; COLUMNS], target: MIN, outage: false, seen: Mono::default() }
    }

    /// How long the fastest packet should wait.
    pub(super) fn target(&self) -> Duration {
        self.target
    }

    /// At least this is needed, for another reason than jitter.
    pub(super) fn raise(&mut self, target: Duration) {
        self.target = self.target.max(target).min(MAX);
    }

    /// The sender's clock starts again. What is known about the path stays.
    pub(super) fn forget_clock(&mut self) {
        self.fastest = None;
        self.outage = false;
    }

    /// Counts a packet: its arrival minus its time stamp (`transit`, in ns), and how long it sounds. Returns its
    /// relative delay.
    pub(super) fn observe(&mut self, transit: i64, sound: Duration, now: Mono) -> Duration {
        let passed = now.since(self.seen).as_secs_f64();
        self.seen = self.seen.max(now);
        let late = self.relative(transit, now);
        let relative = Duration::from_nanos(late.unsigned_abs());
        let fading = (-passed / MEMORY).exp();
        self.weights.iter_mut().for_each(|weight| *weight *= fading);
        self.target = self.target.saturating_sub(Duration::from_secs_f64((passed * FALL).min(1.0)));
        let in_outage = self.outage && relative > self.target;
        if !in_outage {
            self.outage = relative > MAX;
            self.weights[column(late)] += sound.as_secs_f64();
            if !self.outage {
                self.target = self.target.max(relative);
            }
        }
        self.target = self.target.max(self.quantile()).clamp(MIN, MAX);
        relative
    }

    /// The delay against the fastest packet.
    fn relative(&mut self, transit: i64, now: Mono) -> i64 {
        let jumps = |fastest: &Fastest| transit.saturating_sub(fastest.transit()).saturating_abs() > JUMP;
        if self.fastest.as_ref().is_none_or(jumps) {
            self.outage = false;
            self.fastest = Some(Fastest::new(transit, now));
            return 0;
        }
        let Some(fastest) = &mut self.fastest else { return 0 };
        let before = fastest.transit();
        fastest.add(transit, now);
        let longer = fastest.transit() - before;
        let relative = transit - fastest.transit();
        if longer > LONGER {
            self.weights = [0.0; COLUMNS];
            self.target = self.target.saturating_sub(Duration::from_nanos(longer.unsigned_abs())).max(MIN);
        }
        relative
    }

    /// The delay that would have been enough for `QUANTILE` of the sound.
    fn quantile(&self) -> Duration {
        let all: f64 = self.weights.iter().sum();
        let mut sum = 0.0;
        let enough = self.weights.iter().position(|weight| {
            sum += weight;
            sum >= all * QUANTILE
        });
        let columns = enough.map_or(0, |column| column as u64 + 1);
        Duration::from_nanos(columns * COLUMN.unsigned_abs())
    }
}

/// The column of a relative delay.
fn column(late: i64) -> usize {
    usize::try_from(late / COLUMN).unwrap_or(0).min(COLUMNS - 1)
}

#[cfg(test)]
mod tests {
    use super::{super::simulation_tests::noise, *};

    const FRAME: Duration = Duration::from_millis(20);

    /// Sends a packet each 20 ms from `from` to `to` (ms), delayed by `delay` of its number (ms). Returns the target
    /// in ms.
    fn run(target: &mut DelayTarget, from: u64, to: u64, delay: impl Fn(u64) -> u64) -> u64 {
        for n in from / 20..to / 20 {
            let late = delay(n);
            let transit = i64::try_from(late * 1_000_000).unwrap();
            target.observe(transit, FRAME, Mono((n * 20 + late) * 1_000_000));
        }
        u64::try_from(target.target().as_millis()).unwrap()
    }

    /// What remains of an outage of `ms` that begins with packet `first`: a burst.
    fn outage(n: u64, first: u64, ms: u64) -> u64 {
        if (first..first + ms / 20).contains(&n) { ms - (n - first) * 20 } else { 0 }
    }

    #[test]
    fn each_kind_of_path_for_a_minute() {
        type Delay = fn(u64) -> u64;
        let table: [(&str, Delay, std::ops::RangeInclusive<u64>); 8] = [
            ("no jitter", |_| 0, 20..=20),
            ("10 ms", |n| noise(n, 10), 20..=20),
            ("80 ms", |n| noise(n, 80), 75..=80),
            ("150 ms", |n| noise(n, 150), 140..=150),
            ("more than can be hidden", |n| noise(n, 400), 200..=200),
            ("one packet of 50 is late", |n| if n % 50 == 0 { 90 } else { 0 }, 80..=90),
            ("one packet of 1000 is late", |n| if n % 1000 == 0 { 90 } else { 0 }, 20..=20),
            ("a longer path for good", |n| if n > 500 { 150 } else { 0 }, 20..=20),
        ];
        for (what, delay, expected) in table {
            let found = run(&mut DelayTarget::new(), 20, 60_000, delay);
            assert!(expected.contains(&found), "{what}: {found} ms");
        }
    }

    #[test]
    fn it_grows_at_once_and_falls_slowly() {
        let mut target = DelayTarget::new();
        run(&mut target, 0, 5_000, |_| 0);
        let spike = |n| if n == 250 { 120 } else { 0 };
        assert_eq!(run(&mut target, 5_000, 5_020, spike), 120);
        // 5 ms in each second.
        assert_eq!(run(&mut target, 5_020, 10_000, spike), 95);
        assert_eq!(run(&mut target, 10_000, 30_000, spike), 20);
    }

    #[test]
    fn a_longer_path_is_no_jitter() {
        let mut target = DelayTarget::new();
        let longer = |n| if n >= 500 { 150 } else { 0 };
        assert_eq!(run(&mut target, 20, 10_020, longer), 150);
        assert!(run(&mut target, 10_020, 16_000, longer) <= 25, "{:?}", target.target());
    }

    #[test]
    fn an_outage_does_not_raise_it() {
        for ms in [220, 600, 900, 3_000] {
            let mut target = DelayTarget::new();
            run(&mut target, 0, 10_000, |_| 0);
            let after = run(&mut target, 10_000, 10_000 + ms + 1_000, |n| outage(n, 500, ms));
            assert!(after <= 25, "{ms} ms: {after} ms");
        }
    }

    #[test]
    fn a_lie_about_time_is_forgotten() {
        for lie in [i64::MAX, i64::MIN, 3_600_000_000_000, -3_600_000_000_000] {
            let mut target = DelayTarget::new();
            run(&mut target, 0, 10_000, |_| 0);
            assert_eq!(target.observe(lie, FRAME, Mono(10_000_000_000)), Duration::ZERO);
            assert_eq!(run(&mut target, 10_020, 10_040, |_| 0), 20, "{lie}");
            let jitter = run(&mut target, 10_040, 20_000, |n| noise(n, 60));
            assert!((50..=60).contains(&jitter), "{lie}: {jitter} ms");
        }
    }
}
