//! Delay-based estimation: whether a queue grows on the path, from departure and arrival times.
//!
//! It follows draft-ietf-rmcat-gcc-02 sections 5.1 to 5.4, with the trend line of its successors instead of the
//! Kalman filter, and with one change. A growing delay is believed only if a queue *stands*. A receiver that was not
//! scheduled for a moment delays packets as a queue does, but not the least delayed ones of that moment.
//!
//! Inside, times are milliseconds with a fraction: the two clocks have different zeros, so a delay may be negative, and
//! the trend line is a regression.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Packets that left within this time are one group. What a pacer or a network card sends together says nothing about
/// queues.
const GROUP: Duration = Duration::from_millis(5);
/// Packets that arrive closer together than this, and closer together than they were sent, belong to one burst.
const BURST: Duration = Duration::from_millis(5);
/// The longest such burst.
const BURST_MAX: Duration = Duration::from_millis(100);
/// Points of the trend line.
const WINDOW: usize = 20;
/// The smoothing factor of the delay.
const SMOOTHING: f64 = 0.9;
/// The gain of the slope before it is compared with the threshold.
const GAIN: f64 = 4.0;
/// The number of groups from which on a slope counts fully.
const BELIEF: f64 = 60.0;
/// How fast the threshold rises towards the slope, and falls (draft, section 5.4).
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// The slope has to exceed the threshold for this long.
const OVERUSE_TIME: Duration = Duration::from_millis(10);
/// How long the least delay is remembered, because clocks drift and paths change.
const BASE_MEMORY: Duration = Duration::from_secs(30);
/// A queue stands if even the least delayed packet of this time was delayed.
const STANDING: Duration = Duration::from_millis(200);
/// A shorter queue than this is jitter of machines.
const NO_QUEUE: Duration = Duration::from_millis(10);
/// A larger difference between two groups is a jump of the receiver's clock, or a pause.
const JUMP: Duration = Duration::from_secs(3);

/// The state of the path (GCC: over-use detector).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// The delay does not change.
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue empties.
    Under,
}

/// The detector.
#[derive(Debug)]
pub struct DelayEstimator {
    epoch: Instant,
    group: Option<PacketGroup>,
    before: Option<PacketGroup>,
    line: TrendLine,
    threshold: f64,
    /// How long the slope has been over the threshold, in ms, and how often it was seen there.
    over: (f64, u32),
    trend: f64,
    last: Option<f64>,
    usage: Usage,
    base: LowestDelays,
    recent: LowestDelays,
}

/// A group of packets: first and last departure, first and last arrival, in ms.
#[derive(Debug, Clone, Copy)]
struct PacketGroup {
    first_sent: f64,
    sent: f64,
    first_arrived: f64,
    arrived: f64,
}

impl DelayEstimator {
    /// A detector for an unknown path. Departure times count from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            group: None,
            before: None,
            line: TrendLine::default(),
            threshold: 12.5,
            over: (0.0, 0),
            trend: 0.0,
            last: None,
            usage: Usage::Normal,
            base: LowestDelays::new(BASE_MEMORY),
            recent: LowestDelays::new(STANDING),
        }
    }

    /// A packet left and arrived at these times. `arrived` is on the receiver's clock, whose zero does not matter.
    pub fn packet(&mut self, sent: Instant, arrived: Duration) {
        let sent = millis(sent.saturating_duration_since(self.epoch));
        let arrived = millis(arrived);
        self.base.add(arrived, arrived - sent);
        self.recent.add(arrived, arrived - sent);
        let Some(group) = &mut self.group else {
            self.group = Some(PacketGroup { first_sent: sent, sent, first_arrived: arrived, arrived });
            return;
        };
        if sent < group.first_sent {
            // A retransmission, or a packet that was overtaken: it belongs to an older group.
            return;
        }
        let together = sent - group.first_sent <= millis(GROUP);
        let nearer = (arrived - group.arrived) - (sent - group.sent) < 0.0;
        let burst =
            nearer && arrived - group.arrived <= millis(BURST) && arrived - group.first_arrived < millis(BURST_MAX);
        if together || burst {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            return;
        }
        let done = std::mem::replace(group, PacketGroup { first_sent: sent, sent, first_arrived: arrived, arrived });
        if let Some(before) = self.before.replace(done) {
            self.step(done.sent - before.sent, done.arrived - before.arrived, done.arrived);
        }
    }

    /// The state of the path.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The length of the queue that has not emptied recently, as the time that a packet waits there.
    pub fn standing(&self) -> Duration {
        Duration::try_from_secs_f64(self.standing_ms() / 1_000.0).unwrap_or(Duration::MAX)
    }

    fn standing_ms(&self) -> f64 {
        match (self.recent.least(), self.base.least()) {
            (Some(recent), Some(base)) => (recent - base).max(0.0),
            _ => 0.0,
        }
    }

    /// Takes the present delay as the delay of the path itself.
    pub fn forget_base(&mut self) {
        self.base.clear();
    }

    /// Two groups left `sent` and arrived `arrived` apart; the second one arrived at `now`.
    fn step(&mut self, sent: f64, arrived: f64, now: f64) {
        // A jump of the receiver's clock, or a pause, says nothing.
        if (arrived - sent).abs() > millis(JUMP) || arrived < 0.0 {
            self.line = TrendLine::default();
            self.usage = Usage::Normal;
            return;
        }
        self.line.add(now, arrived - sent);
        let Some(slope) = self.line.slope() else { return };
        let trend = slope * GAIN * self.line.count.min(BELIEF);
        if trend > self.threshold && self.standing_ms() > millis(NO_QUEUE) {
            self.over.0 += sent;
            self.over.1 += 1;
            if self.over.0 > millis(OVERUSE_TIME) && self.over.1 > 1 && trend >= self.trend {
                self.usage = Usage::Over;
            }
        } else {
            self.over = (0.0, 0);
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.trend = trend;
        self.adapt(trend, now);
    }

    /// Moves the threshold towards the slope, so that cross traffic does not starve us. A jump does not move it.
    fn adapt(&mut self, trend: f64, now: f64) {
        let past = now - self.last.replace(now).unwrap_or(now);
        if trend.abs() > self.threshold + 15.0 {
            return;
        }
        let speed = if trend.abs() < self.threshold { DOWN } else { UP };
        self.threshold += speed * (trend.abs() - self.threshold) * past.clamp(0.0, 100.0);
        self.threshold = self.threshold.clamp(6.0, 600.0);
    }
}

/// The trend line through the smoothed delay, all in ms.
#[derive(Debug, Default)]
struct TrendLine {
    /// Times of arrival and smoothed delays.
    points: VecDeque<(f64, f64)>,
    /// The delay, as the sum of its changes.
    sum: f64,
    smoothed: f64,
    /// How many groups were seen.
    count: f64,
}

impl TrendLine {
    fn add(&mut self, at: f64, difference: f64) {
        self.count += 1.0;
        self.sum += difference;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.sum;
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        self.points.push_back((at, self.smoothed));
    }

    /// The slope by least squares, in ms per ms. `None` before the window is full.
    fn slope(&self) -> Option<f64> {
        if self.points.len() < WINDOW {
            return None;
        }
        let n = WINDOW as f64;
        let (x, y) = self.points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let (up, down) =
            self.points.iter().fold((0.0, 0.0), |(up, down), p| (up + (p.0 - x) * (p.1 - y), down + (p.0 - x).powi(2)));
        (down > 0.0).then_some(up / down)
    }
}

/// The least delay in a window of time, as a queue of rising values.
#[derive(Debug)]
struct LowestDelays {
    /// In ms.
    window: f64,
    /// The time of arrival and the delay, both in ms.
    values: VecDeque<(f64, f64)>,
}

impl LowestDelays {
    fn new(window: Duration) -> Self {
        Self { window: millis(window), values: VecDeque::new() }
    }

    fn add(&mut self, at: f64, value: f64) {
        while self.values.back().is_some_and(|(_, v)| *v >= value) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        while self.values.front().is_some_and(|(t, _)| *t < at - self.window) || self.values.len() > 1024 {
            self.values.pop_front();
        }
    }

    fn least(&self) -> Option<f64> {
        self.values.front().map(|(_, value)| *value)
    }

    fn clear(&mut self) {
        self.values.clear();
    }
}

/// Milliseconds with their fraction.
fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets each 10 ms whose delay in ms is `of(n)`. Returns the detector after the last one, and whether it ever
    /// saw a queue grow.
    fn play(packets: u32, of: impl Fn(u32) -> f64) -> (DelayEstimator, bool) {
        let epoch = Instant::now();
        let (mut delay, mut over) = (DelayEstimator::new(epoch), false);
        for n in 0..packets {
            let sent = f64::from(n) * 10.0;
            let arrived = Duration::from_secs_f64((5_000.0 + sent + of(n)) / 1_000.0);
            delay.packet(epoch + Duration::from_secs_f64(sent / 1_000.0), arrived);
            over |= delay.usage() == Usage::Over;
        }
        (delay, over)
    }

    #[test]
    fn a_queue_that_grows_is_told_from_other_delays() {
        for (name, of, grows, standing) in [
            ("nothing in the way", (|_| 20.0) as fn(u32) -> f64, false, 0.0),
            ("a queue that grows", |n| 20.0 + f64::from(n.saturating_sub(200)) * 2.0, true, 366.0),
            ("a queue that stands", |n| if n < 200 { 20.0 } else { 90.0 }, true, 70.0),
            ("one packet in ten is late", |n| if n % 10 == 0 { 60.0 } else { 20.0 }, false, 0.0),
            ("jitter", |n| 20.0 + f64::from(n * 7 % 20), false, 0.0),
            ("the receiver slept for a moment", |n| 20.0 + (f64::from(n % 100) * -10.0 + 60.0).max(0.0), false, 0.0),
            ("a clock that drifts", |n| 20.0 + f64::from(n) * 0.002, false, 0.0),
            ("a path that got shorter", |n| if n < 200 { 90.0 } else { 20.0 }, false, 0.0),
        ] {
            let (delay, over) = play(400, of);
            assert_eq!(over, grows, "{name}");
            let found = delay.standing();
            assert!((millis(found) - standing).abs() < 3.0, "{name}: a queue of {found:?} stands");
        }
    }

    #[test]
    fn a_queue_that_empties_is_under_use_and_what_stands_can_be_taken_for_the_path() {
        let (mut delay, _) = play(230, |n| 20.0 + f64::from(100 - n.saturating_sub(200).min(20) * 5));
        assert_eq!(delay.usage(), Usage::Under);
        let (mut stands, _) = play(400, |n| if n < 200 { 20.0 } else { 90.0 });
        stands.forget_base();
        assert!(stands.standing_ms() < 1.0, "{}", stands.standing_ms());
        delay.forget_base();
        assert!(delay.standing_ms() < 1.0);
    }

    #[test]
    fn a_clock_that_leaps_and_numbers_out_of_order_are_survived() {
        for (name, of) in [
            ("forwards", (|n| if n < 200 { 20.0 } else { 3_600_000.0 }) as fn(u32) -> f64),
            ("backwards", |n| if n < 200 { 3_600_000.0 } else { 20.0 }),
            ("all at once", |n| -f64::from(n) * 10.0),
        ] {
            let (delay, over) = play(400, of);
            assert!(!over && delay.usage() != Usage::Over, "{name}");
        }
        let (mut delay, _) = play(100, |_| 20.0);
        let epoch = delay.epoch;
        delay.packet(epoch, Duration::from_micros(u64::MAX / 2));
        delay.packet(epoch, Duration::ZERO);
        assert!(delay.standing_ms() >= 0.0);
    }

    #[test]
    fn the_least_of_a_stretch_of_time() {
        let mut lows = LowestDelays::new(Duration::from_millis(100));
        assert_eq!(lows.least(), None);
        for (at, value, least) in
            [(0.0, 5.0, 5.0), (50.0, 3.0, 3.0), (60.0, 9.0, 3.0), (140.0, 8.0, 3.0), (151.0, 9.0, 8.0)]
        {
            lows.add(at, value);
            assert_eq!(lows.least(), Some(least), "at {at}");
        }
        (0..5_000).for_each(|n| lows.add(152.0, 10.0 + f64::from(n)));
        assert!(lows.values.len() <= 1025);
    }
}
