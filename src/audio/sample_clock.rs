//! Maps the sample clock of a sound card to the monotonic clock. Pure: time is an argument.
//!
//! Ticks count samples at 48 kHz. Samples without a gap differ by exactly their number; lost samples are a jump of
//! their length. The capture time of a tick comes from a line that is fitted through observations. So a time stamp
//! follows the card's drift, but not the jitter of the scheduler or the steps of the driver's pointer.
//!
//! An observation can be late, because the thread was delayed between pointer and clock, or the pointer moves in steps.
//! It is hardly ever early. So only the least late one of each half second counts, and it steers a second-order loop.

use crate::clock::Mono;

/// Ticks per second.
pub(super) const RATE: u32 = 48_000;

/// Nanoseconds per sample of a perfect card.
const NOMINAL: f64 = 1e9 / RATE as f64;
/// The largest clock error that is assumed. Cheap USB devices reach 0.05 %.
const DRIFT_MAX: f64 = 1e-3;
/// One observation is kept for this many ticks.
const WINDOW: f64 = RATE as f64 / 2.0;
/// An observation this much early (in ns) is used at once, since a delay cannot explain it.
const EARLY: f64 = 5e6;
/// Observations this late (in ns) ...
const LATE: f64 = 20e6;
/// ... for this long (in ns), and this often, are no delays: samples were lost without an error.
const LATE_FOR: f64 = 60e6;
const LATE_TIMES: u32 = 4;
/// The natural frequency of the loop once it has settled, in radians per window (about 0.05 Hz).
const OMEGA: f64 = 0.15;
/// The same in the first window. It then falls as 1/n, so that the loop starts fast and becomes stable.
const OMEGA_FIRST: f64 = 0.6;

/// Ticks and times of one stream of samples.
#[derive(Debug)]
pub(super) struct SampleClock {
    /// Ticks are never below this.
    floor: u64,
    /// The ticks of the next sample to write.
    next: u64,
    line: Option<ClockFit>,
    /// The last time stamp returned; time never goes back.
    last: u64,
}

/// The fitted line, and what is collected to correct it.
#[derive(Debug)]
struct ClockFit {
    /// The ticks of the first sample since the last `begin`.
    origin: u64,
    /// A point on the line: ticks and nanoseconds.
    point: (f64, f64),
    /// Nanoseconds per tick.
    slope: f64,
    windows: u32,
    window_start: f64,
    /// Ticks and error of the least late observation in the window.
    best: Option<(f64, f64)>,
    late: Option<LateRun>,
}

/// Observations in a row that were all too late.
#[derive(Debug)]
struct LateRun {
    since: f64,
    times: u32,
    least: f64,
}

impl SampleClock {
    /// A sample clock whose ticks do not fall below `floor`.
    pub(super) fn new(floor: u64) -> Self {
        Self { floor, next: floor, line: None, last: 0 }
    }

    /// Starts a run of samples, of which the next one was captured at `at`. Returns how many ticks were lost since the
    /// last sample; the caller has to `write` them.
    pub(super) fn begin(&mut self, at: Mono) -> u64 {
        let now = nanos(at);
        let (origin, slope) = match &self.line {
            Some(line) => (round(line.ticks_at(now)).max(self.next), line.slope),
            None => {
                self.next = at.ticks(RATE).max(self.floor);
                (self.next, NOMINAL)
            }
        };
        self.line = Some(ClockFit::new(origin, now, slope));
        origin - self.next
    }

    /// Adds the observation that the sample `position` ticks after the start of this run was captured at `at`. Returns
    /// how many ticks were lost, usually none; the caller has to `write` them.
    pub(super) fn observe(&mut self, position: f64, at: Mono) -> u64 {
        self.line.as_mut().map_or(0, |line| line.observe(position, nanos(at)))
    }

    /// Counts `samples` as written.
    pub(super) fn write(&mut self, samples: u64) {
        self.next += samples;
    }

    /// The ticks of the next sample to write.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// When the sample with these ticks was captured. Each result is later than the one before.
    pub(super) fn at(&mut self, ticks: u64) -> Mono {
        let at = self.line.as_ref().map_or(0, |line| round(line.time_of(exact(ticks))));
        self.last = at.max(self.last + 1);
        Mono(self.last)
    }
}

impl ClockFit {
    fn new(origin: u64, at: f64, slope: f64) -> Self {
        let start = exact(origin);
        Self { origin, point: (start, at), slope, windows: 0, window_start: start, best: None, late: None }
    }

    fn time_of(&self, ticks: f64) -> f64 {
        self.point.1 + (ticks - self.point.0) * self.slope
    }

    fn ticks_at(&self, time: f64) -> f64 {
        self.point.0 + (time - self.point.1) / self.slope
    }

    fn observe(&mut self, position: f64, time: f64) -> u64 {
        let ticks = exact(self.origin) + position;
        let error = time - self.time_of(ticks);
        if error > LATE {
            return self.late(time, error);
        }
        self.late = None;
        let settling = self.windows == 0 && error < 0.0;
        if settling || error < -EARLY {
            self.point.1 += error;
            self.best = Some((ticks, 0.0));
        } else if self.best.is_none_or(|(_, least)| error < least) {
            self.best = Some((ticks, error));
        }
        if ticks - self.window_start >= WINDOW {
            self.steer();
            self.window_start = ticks;
        }
        0
    }

    /// Corrects the line by the best observation of the window.
    fn steer(&mut self) {
        let Some((ticks, error)) = self.best.take() else { return };
        self.windows = self.windows.saturating_add(1);
        let omega = (OMEGA_FIRST / f64::from(self.windows)).max(OMEGA);
        let time = self.time_of(ticks) + std::f64::consts::SQRT_2 * omega * error;
        let slope = self.slope + omega * omega * error / WINDOW;
        self.slope = slope.clamp(NOMINAL * (1.0 - DRIFT_MAX), NOMINAL * (1.0 + DRIFT_MAX));
        self.point = (ticks, time);
    }

    fn late(&mut self, time: f64, error: f64) -> u64 {
        let run = self.late.get_or_insert(LateRun { since: time, times: 0, least: error });
        run.times += 1;
        run.least = run.least.min(error);
        if run.times < LATE_TIMES || time - run.since < LATE_FOR {
            return 0;
        }
        let (least, grows) = (run.least, error > run.least + LATE / 2.0);
        self.late = None;
        if grows {
            // The length of the gap is known only when it has stopped growing.
            return 0;
        }
        let lost = round(least / self.slope);
        self.origin += lost;
        lost
    }
}

// Nanoseconds and ticks of a century fit into the 53 bits that a double counts exactly, to within 100 ns.
fn exact(n: u64) -> f64 {
    n as f64
}

fn nanos(at: Mono) -> f64 {
    exact(at.0)
}

/// The nearest whole number; zero for negative ones.
fn round(n: f64) -> u64 {
    n.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 960;
    const START: u64 = 5_000_000_000_000;

    /// A card that runs `ppm` too fast and is read every 10 ms. `late` gives the delay of each observation, in ns.
    struct Card {
        ppm: f64,
        began: u64,
        read: u64,
    }

    impl Card {
        fn new(ppm: f64) -> Self {
            Self { ppm, began: START, read: 0 }
        }

        /// When sample `n` of this run was really captured.
        fn truth(&self, n: u64) -> f64 {
            exact(self.began) + exact(n) * NOMINAL / (1.0 + self.ppm * 1e-6)
        }

        /// Plays for `packets`. Returns the ticks and the time stamp's error (ns) of each.
        fn play(&mut self, line: &mut SampleClock, packets: u64, late: impl Fn(u64) -> f64) -> Vec<(u64, f64)> {
            let mut told = Vec::new();
            for _ in 0..packets {
                for half in [0, 1] {
                    let at = self.truth(self.read) + late(self.read / 480);
                    let lost = line.observe(exact(self.read), Mono(round(at)));
                    line.write(lost);
                    self.read += 480;
                    if half == 1 {
                        let ticks = line.next();
                        let error = exact(line.at(ticks).0) - self.truth(self.read - PACKET);
                        told.push((ticks, error));
                        line.write(PACKET);
                    }
                }
            }
            told
        }
    }

    /// Noise in 0..1 that is the same in every run.
    fn noise(n: u64) -> f64 {
        exact(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) / exact(1 << 24)
    }

    fn started(ppm: f64) -> (Card, SampleClock) {
        let mut line = SampleClock::new(0);
        assert_eq!(line.begin(Mono(START)), 0);
        assert_eq!(line.next(), Mono(START).ticks(RATE));
        (Card::new(ppm), line)
    }

    fn contiguous(told: &[(u64, f64)]) -> bool {
        told.windows(2).all(|w| w[1].0 - w[0].0 == PACKET)
    }

    fn worst(told: &[(u64, f64)]) -> f64 {
        told.iter().map(|t| t.1.abs()).fold(0.0, f64::max)
    }

    #[test]
    fn each_kind_of_card_for_a_minute() {
        type Late = fn(u64) -> f64;
        // What, ppm, delay (ns) of observation n, the largest error allowed after ten seconds (ns).
        let table: [(&str, f64, Late, f64); 7] = [
            ("perfect", 0.0, |_| 0.0, 2.0),
            ("a scheduler's jitter", 0.0, |n| noise(n) * 3e6, 300e3),
            ("a pointer that moves in 5 ms steps", 0.0, |n| f64::from((n % 7) as u32) * 700e3, 50e3),
            ("held up for 15 ms once in a while", 0.0, |n| if n % 31 == 0 { 15e6 } else { noise(n) * 1e6 }, 100e3),
            ("held up for 2 s once in a while", 0.0, |n| if n % 311 == 0 { 2e9 } else { 0.0 }, 2.0),
            ("fast", 300.0, |_| 0.0, 150e3),
            ("slow and jittery", -450.0, |n| noise(n) * 1e6, 300e3),
        ];
        for (what, ppm, late, allowed) in table {
            let (mut card, mut line) = started(ppm);
            let told = card.play(&mut line, 3000, late);
            assert!(contiguous(&told), "{what}: ticks must count samples");
            let settled = worst(&told[500..]);
            assert!(settled <= allowed, "{what}: off by {settled} ns");
            assert!(worst(&told) < 4e6, "{what}: off by {} ns while settling", worst(&told));
        }
    }

    #[test]
    fn an_hour_of_drift_shows_in_time_and_never_in_ticks() {
        for ppm in [300.0, -300.0] {
            let (mut card, mut line) = started(ppm);
            let told = card.play(&mut line, 180_000, |n| noise(n) * 500e3);
            assert!(contiguous(&told));
            assert!(worst(&told[1500..]) < 50e3, "off by {} ns", worst(&told[1500..]));
            // After an hour, the clocks differ by more than a second, and the time stamps follow it.
            let ahead = exact(told[179_999].0) - exact(line.at(told[179_999].0).0) * 48e-6;
            assert!((ahead.abs() - 51_840.0).abs() < 100.0, "{ahead} samples");
        }
    }

    #[test]
    fn an_overrun_is_a_gap_of_its_length() {
        let (mut card, mut line) = started(200.0);
        let before = card.play(&mut line, 1000, |n| noise(n) * 200e3);
        let lost = 12_345;
        let resumed = round(card.truth(card.read + lost));
        let gap = line.begin(Mono(resumed));
        assert!(gap.abs_diff(lost) <= 10, "{gap} for {lost}");
        line.write(gap);
        (card.began, card.read) = (resumed, 0);
        let after = card.play(&mut line, 1000, |n| noise(n) * 200e3);
        assert!(contiguous(&after));
        assert_eq!(after[0].0 - before[999].0, PACKET + gap);
        assert!(worst(&after) < 300e3, "the drift is remembered: {}", worst(&after));
    }

    #[test]
    fn an_overrun_that_lost_nothing_never_goes_back() {
        let (mut card, mut line) = started(0.0);
        card.play(&mut line, 100, |_| 0.0);
        let next = line.next();
        assert_eq!(line.begin(Mono(round(card.truth(card.read)) - 3_000_000)), 0);
        assert_eq!(line.next(), next);
    }

    #[test]
    fn samples_lost_without_a_word_are_found() {
        let (mut card, mut line) = started(0.0);
        let before = card.play(&mut line, 200, |_| 0.0);
        card.began += 300_000_000;
        let after = card.play(&mut line, 200, |_| 0.0);
        let found = after[199].0 - before[199].0 - 200 * PACKET;
        assert_eq!(found, 14_400);
        assert!(after[5].0 - after[4].0 == PACKET && worst(&after[5..]) < 2.0, "found within 100 ms");
    }

    #[test]
    fn a_hole_is_measured_when_it_has_stopped_growing() {
        let (mut card, mut line) = started(0.0);
        let before = card.play(&mut line, 200, |_| 0.0);
        // A card that slows down: each of ten observations is 30 ms later than the last.
        let after = card.play(&mut line, 200, |n| exact((n - 400).min(10) * 30_000_000));
        assert_eq!(after[199].0 - before[199].0 - 200 * PACKET, 14_400);
    }

    #[test]
    fn one_hold_up_is_no_loss() {
        let (mut card, mut line) = started(0.0);
        let told = card.play(&mut line, 200, |n| if (100..103).contains(&n) { 400e6 } else { 0.0 });
        assert!(contiguous(&told) && worst(&told) < 2.0);
    }

    #[test]
    fn a_restart_jumps_forward_and_never_back() {
        let mut line = SampleClock::new(1_000_000_000_000);
        line.begin(Mono(START));
        assert_eq!(line.next(), 1_000_000_000_000, "a card that ran fast had already used up these ticks");
        let mut line = SampleClock::new(7);
        line.begin(Mono(START));
        assert_eq!(line.next(), Mono(START).ticks(RATE));
    }

    #[test]
    fn time_goes_on_even_if_the_line_is_moved_back() {
        let (_, mut line) = started(0.0);
        let first = line.at(line.next());
        line.observe(0.0, Mono(START - 40_000_000));
        line.write(PACKET);
        assert!(line.at(line.next()) > first);
    }
}
