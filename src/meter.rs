//! Counts of one period, told in one line, and loudly only when there is something to say. Pure: time is an argument; only the
//! length of a period (`log.meter_period_s`) is one for the whole process, as the log's filter is.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Mono;

/// Times kept for the percentiles: 10 s at 100 pictures a second.
const TIMES: usize = 1000;

/// How often figures are logged, in milliseconds.
static PERIOD: AtomicU64 = AtomicU64::new(10_000);

/// Sets how often figures are logged, by everything that does so, from now on.
pub fn set_period(period: Duration) {
    PERIOD.store(u64::try_from(period.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// How often figures are logged.
pub fn period() -> Duration {
    Duration::from_millis(PERIOD.load(Ordering::Relaxed))
}

/// What happened since the last report.
#[derive(Debug)]
pub struct Meter {
    since: Mono,
    /// Counts so far.
    pub counts: Counts,
    /// What codes, where that is known.
    pub coder: String,
    times: Vec<Duration>,
}

/// Counts of one period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures that came from the source.
    pub taken: u64,
    /// Pictures given back because a newer one was ready.
    pub overtaken: u64,
    /// Pictures left out because the source is faster than wished.
    pub thinned: u64,
    /// Pictures the driver lost: gaps in its sequence.
    pub lost: u64,
    /// Pictures the driver marked as broken.
    pub flagged: u64,
    /// Pictures that could not be used: cut short, or of a kind that cannot be decoded.
    pub damaged: u64,
    /// Why the last of them could not be used.
    pub why: String,
    /// Bytes between pictures that belong to none.
    pub rubbish: u64,
    /// Pictures left out because the encoder was not done with those before.
    pub behind: u64,
    /// Pictures coded and sent.
    pub sent: u64,
    /// Key frames among them.
    pub keys: u64,
    /// Bytes sent.
    pub bytes: u64,
}

impl Counts {
    /// Counts a picture that could not be used.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.damaged += 1;
        self.why = why.into();
    }

    /// Whether pictures were lost on the way.
    fn is_noteworthy(&self) -> bool {
        self.overtaken + self.lost + self.flagged + self.damaged + self.behind > 0
    }
}

/// The report of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How long the period was.
    pub period: Duration,
    /// Its counts.
    pub counts: Counts,
    /// What coded.
    pub coder: String,
    /// Median and longest time of coding.
    pub coding: Option<(Duration, Duration)>,
}

impl Meter {
    /// Begins a period.
    pub fn new(now: Mono) -> Self {
        Self { since: now, counts: Counts::default(), coder: String::new(), times: Vec::new() }
    }

    /// Notes the time one picture took to be coded.
    pub fn coded_in(&mut self, time: Duration) {
        if self.times.len() < TIMES {
            self.times.push(time);
        }
    }

    /// The report, once a period, which is `length` long.
    pub fn report(&mut self, now: Mono, length: Duration) -> Option<Report> {
        let period = now.since(self.since);
        if period < length {
            return None;
        }
        self.since = now;
        self.times.sort_unstable();
        let coding = self.times.last().map(|longest| (self.times[self.times.len() / 2], *longest));
        self.times.clear();
        Some(Report { period, counts: std::mem::take(&mut self.counts), coder: self.coder.clone(), coding })
    }
}

impl Report {
    /// Whether it should be told, not only kept for the curious.
    pub fn is_noteworthy(&self) -> bool {
        self.counts.is_noteworthy()
    }
}

impl fmt::Display for Report {
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
            write!(f, ", coded{by}{} in {:.1} ms (longest {:.1})", self.coder, millis(median), millis(longest))?;
        }
        let losses = [
            (overtaken, "overtaken by newer ones"),
            (thinned, "left out for the rate"),
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
    fn one_report_a_period_and_each_count_once() {
        let mut meter = Meter::new(Mono(0));
        meter.counts = Counts { taken: 300, sent: 300, keys: 1, bytes: 2_500_000, ..Counts::default() };
        (1..=300).for_each(|i| meter.coded_in(Duration::from_micros(i * 10)));
        assert_eq!(meter.report(Mono(9 * SECOND), TEN), None);
        let report = meter.report(Mono(10 * SECOND), TEN).unwrap();
        assert!(!report.is_noteworthy());
        assert_eq!(
            report.to_string(),
            "300 pictures in, 300 sent (1 key) in 10 s, 2000 kbit/s, coded in 1.5 ms (longest 3.0)"
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
            "0 pictures in, 0 sent (0 key) in 10 s, 0 kbit/s, coded by the processor in 2.0 ms (longest 2.0), \
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
