//! Counts frames over a period and reports them in one line. Pure, because time is an argument. Only the length of a
//! period (`log.meter_period_s`) is global to the process.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Mono;

/// How many encoding times are kept for the median: 10 s at 100 frames/s.
const TIMES: usize = 1000;

/// How often figures are logged, in milliseconds.
static PERIOD: AtomicU64 = AtomicU64::new(10_000);

/// Sets how often figures are logged, for the whole process.
pub fn set_period(period: Duration) {
    PERIOD.store(u64::try_from(period.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// How often figures are logged.
pub fn period() -> Duration {
    Duration::from_millis(PERIOD.load(Ordering::Relaxed))
}

/// The counts since the last report.
#[derive(Debug)]
pub struct Meter {
    since: Mono,
    /// Counts so far.
    pub counts: Counts,
    /// The name of the encoder. Empty if unknown.
    pub coder: String,
    times: Vec<Duration>,
}

/// Counts of one period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames from the source.
    pub taken: u64,
    /// Frames returned to the driver because a newer one was ready.
    pub overtaken: u64,
    /// Frames left out because the source is faster than the requested frame rate.
    pub thinned: u64,
    /// Frames that the driver lost: gaps in its sequence numbers.
    pub lost: u64,
    /// Frames that the driver marked as broken (`V4L2_BUF_FLAG_ERROR`).
    pub flagged: u64,
    /// Frames that could not be used: cut short, or in a format that cannot be decoded.
    pub damaged: u64,
    /// Why the last of them could not be used.
    pub why: String,
    /// Bytes between frames that belong to none.
    pub rubbish: u64,
    /// Frames left out because the encoder was still busy.
    pub behind: u64,
    /// Frames encoded and sent.
    pub sent: u64,
    /// Keyframes among the sent ones.
    pub keys: u64,
    /// Bytes sent.
    pub bytes: u64,
}

impl Counts {
    /// Counts a frame that could not be used.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.damaged += 1;
        self.why = why.into();
    }

    /// Whether frames were lost.
    fn is_noteworthy(&self) -> bool {
        self.overtaken + self.lost + self.flagged + self.damaged + self.behind > 0
    }
}

/// The report of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterReport {
    /// The length of the period.
    pub period: Duration,
    /// Its counts.
    pub counts: Counts,
    /// The name of the encoder. Empty if unknown.
    pub coder: String,
    /// Median and longest time of encoding a frame.
    pub coding: Option<(Duration, Duration)>,
}

impl Meter {
    /// Begins the first period.
    pub fn new(now: Mono) -> Self {
        Self { since: now, counts: Counts::default(), coder: String::new(), times: Vec::new() }
    }

    /// Adds the encoding time of one frame.
    pub fn coded_in(&mut self, time: Duration) {
        if self.times.len() < TIMES {
            self.times.push(time);
        }
    }

    /// The report and a new period, if `length` has passed. `None` before that.
    pub fn report(&mut self, now: Mono, length: Duration) -> Option<MeterReport> {
        let period = now.since(self.since);
        if period < length {
            return None;
        }
        self.since = now;
        self.times.sort_unstable();
        let coding = self.times.last().map(|longest| (self.times[self.times.len() / 2], *longest));
        self.times.clear();
        Some(MeterReport { period, counts: std::mem::take(&mut self.counts), coder: self.coder.clone(), coding })
    }
}

impl MeterReport {
    /// Whether frames were lost, so the report should be logged at `info` rather than `debug`.
    pub fn is_noteworthy(&self) -> bool {
        self.counts.is_noteworthy()
    }
}

impl fmt::Display for MeterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { taken, overtaken, thinned, lost, flagged, damaged, behind, sent, keys, bytes, rubbish, ref why } =
            self.counts;
        let refused = if why.is_empty() { "refused".to_owned() } else { format!("refused ({why})") };
        let seconds = self.period.as_secs_f64().max(0.001);
        let kilobits = bytes as f64 * 8.0 / 1000.0 / seconds;
        write!(f, "{taken} pictures in, {sent} sent ({keys} key) in {seconds:.0} s, {kilobits:.0} kbit/s")?;
        if let Some((median, longest)) = self.coding {
            let millis = |time: Duration| time.as_secs_f64() * 1000.0;
            let by = if self.coder.is_empty() { "" } else { " by " };
            write!(f, ", encoded{by}{} in {:.1} ms (longest {:.1})", self.coder, millis(median), millis(longest))?;
        }
        let losses = [
            (overtaken, "replaced by newer ones"),
            (thinned, "left out for the frame rate"),
            (lost, "lost by the driver"),
            (flagged, "marked broken by the driver"),
            (damaged, refused.as_str()),
            (behind, "left out for the encoder"),
            (rubbish, "bytes between pictures skipped"),
        ];
        losses.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn each_period_has_one_report_and_its_own_counts() {
        let mut meter = Meter::new(Mono(0));
        meter.counts = Counts { taken: 300, sent: 300, keys: 1, bytes: 2_500_000, ..Counts::default() };
        (1..=300).for_each(|i| meter.coded_in(Duration::from_micros(i * 10)));
        assert_eq!(meter.report(Mono(9 * SECOND), TEN), None);
        let report = meter.report(Mono(10 * SECOND), TEN).unwrap();
        assert!(!report.is_noteworthy());
        assert_eq!(
            report.to_string(),
            "300 pictures in, 300 sent (1 key) in 10 s, 2000 kbit/s, encoded in 1.5 ms (longest 3.0)"
        );
        (meter.counts.lost, meter.counts.behind, meter.counts.rubbish) = (2, 1, 36);
        meter.counts.refuse("no JPEG");
        meter.coder = "the processor".into();
        meter.coded_in(Duration::from_millis(2));
        assert_eq!(meter.report(Mono(19 * SECOND), TEN), None);
        let report = meter.report(Mono(20 * SECOND), TEN).unwrap();
        assert!(report.is_noteworthy());
        assert_eq!(
            report.to_string(),
            "0 pictures in, 0 sent (0 key) in 10 s, 0 kbit/s, encoded by the processor in 2.0 ms (longest 2.0), \
             2 lost by the driver, 1 refused (no JPEG), 1 left out for the encoder, 36 bytes between pictures skipped"
        );
    }

    #[test]
    fn times_are_bounded() {
        let mut meter = Meter::new(Mono(0));
        (0..100_000).for_each(|_| meter.coded_in(Duration::from_millis(1)));
        assert_eq!(meter.times.len(), TIMES);
    }
}
