//! Queue or no queue: reads from the times of departure and arrival whether a queue grows on the way.
//!
//! After draft-ietf-rmcat-gcc-02 sections 5.1 to 5.4, with the line fit of its successors in place of the Kalman filter, and
//! with one thing more: a growing delay is believed only where a queue *stands*. A receiver that was not scheduled for a
//! moment delays packets as a queue does, but not the least delayed ones of the moment.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Packets that left within this time are one group: what a pacer or a network card sends at once tells nothing of queues.
const GROUP: Duration = Duration::from_millis(5);
/// Packets that arrive closer than this to each other, and nearer than they left, were set free by the same event.
const BURST: f64 = 5.0;
/// The longest such burst, in ms.
const BURST_MAX: f64 = 100.0;
/// Points of the line fit.
const WINDOW: usize = 20;
/// How slowly the delay is smoothed.
const SMOOTHING: f64 = 0.9;
/// What the slope is multiplied with before it meets the threshold.
const GAIN: f64 = 4.0;
/// Groups that make a slope fully believed.
const BELIEF: f64 = 60.0;
/// How fast the threshold rises towards the slope, and falls (draft, section 5.4).
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// Over the threshold for this long, in ms, before it counts.
const OVERUSE_TIME: f64 = 10.0;
/// How long the least delay is remembered: against clocks that drift and paths that change.
const BASE_MEMORY: f64 = 30_000.0;
/// A queue stands if even the least delayed packet of this time, in ms, was delayed.
const STANDING: f64 = 200.0;
/// A queue below this, in ms, is the jitter of machines.
const NO_QUEUE: f64 = 10.0;

/// What the path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// Delay stays as it is.
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue empties.
    Under,
}

/// The detector.
#[derive(Debug)]
pub struct Delay {
    epoch: Instant,
    group: Option<Group>,
    before: Option<Group>,
    line: Line,
    threshold: f64,
    /// How long the slope has been over the threshold, in ms, and how often it was seen there.
    over: (f64, u32),
    trend: f64,
    last: Option<f64>,
    usage: Usage,
    base: Lows,
    recent: Lows,
}

/// Packets sent as one: first and last departure, first and last arrival, in ms.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: f64,
    sent: f64,
    first_arrived: f64,
    arrived: f64,
}

impl Delay {
    /// A path of which nothing is known. Times of departure count from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            group: None,
            before: None,
            line: Line::default(),
            threshold: 12.5,
            over: (0.0, 0),
            trend: 0.0,
            last: None,
            usage: Usage::Normal,
            base: Lows::new(BASE_MEMORY),
            recent: Lows::new(STANDING),
        }
    }

    /// A packet left and arrived then; `arrived` is the receiver's clock, whose zero does not matter.
    pub fn packet(&mut self, sent: Instant, arrived: Duration) {
        let sent = millis(sent.saturating_duration_since(self.epoch));
        let arrived = millis(arrived);
        self.base.add(arrived, arrived - sent);
        self.recent.add(arrived, arrived - sent);
        let Some(group) = &mut self.group else {
            self.group = Some(Group { first_sent: sent, sent, first_arrived: arrived, arrived });
            return;
        };
        if sent < group.first_sent {
            // Sent again, or overtaken: of an older group.
            return;
        }
        let together = sent - group.first_sent <= millis(GROUP);
        let nearer = (arrived - group.arrived) - (sent - group.sent) < 0.0;
        let burst = nearer && arrived - group.arrived <= BURST && arrived - group.first_arrived < BURST_MAX;
        if together || burst {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            return;
        }
        let done = std::mem::replace(group, Group { first_sent: sent, sent, first_arrived: arrived, arrived });
        if let Some(before) = self.before.replace(done) {
            self.step(done.sent - before.sent, done.arrived - before.arrived, done.arrived);
        }
    }

    /// What the path does.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How long the queue is that has not emptied of late, in ms.
    pub fn standing(&self) -> f64 {
        match (self.recent.least(), self.base.least()) {
            (Some(recent), Some(base)) => (recent - base).max(0.0),
            _ => 0.0,
        }
    }

    /// Takes what stands now for the path's own delay.
    pub fn forget_base(&mut self) {
        self.base.clear();
    }

    fn step(&mut self, sent: f64, arrived: f64, now: f64) {
        // A receiver's clock that jumped, or a pause, says nothing.
        if !(-3_000.0..=3_000.0).contains(&(arrived - sent)) || arrived < 0.0 {
            self.line = Line::default();
            self.usage = Usage::Normal;
            return;
        }
        self.line.add(now, arrived - sent);
        let Some(slope) = self.line.slope() else { return };
        let trend = slope * GAIN * self.line.count.min(BELIEF);
        if trend > self.threshold && self.standing() > NO_QUEUE {
            self.over.0 += sent;
            self.over.1 += 1;
            if self.over.0 > OVERUSE_TIME && self.over.1 > 1 && trend >= self.trend {
                self.usage = Usage::Over;
            }
        } else {
            self.over = (0.0, 0);
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.trend = trend;
        self.adapt(trend, now);
    }

    /// Lets the threshold follow the slope, so that cross traffic does not starve us; not the slope of a leap.
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

/// The line through the smoothed delay.
#[derive(Debug, Default)]
struct Line {
    points: VecDeque<(f64, f64)>,
    sum: f64,
    smoothed: f64,
    count: f64,
}

impl Line {
    fn add(&mut self, at: f64, difference: f64) {
        self.count += 1.0;
        self.sum += difference;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.sum;
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        self.points.push_back((at, self.smoothed));
    }

    /// Least squares; `None` before the window is full.
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

/// The least value of a stretch of time: a queue whose values only rise.
#[derive(Debug)]
struct Lows {
    window: f64,
    values: VecDeque<(f64, f64)>,
}

impl Lows {
    fn new(window: f64) -> Self {
        Self { window, values: VecDeque::new() }
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
