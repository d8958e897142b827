//! Rate limits of the log: token buckets for lines and bytes. Pure: time is an argument.
//!
//! Each source (a place in the code of this program or of a library) has a limit. So have all lines of this program,
//! all lines of libraries, and all lines for debugging. Suppressed lines are counted, and the counts are logged from
//! time to time. At the level `info` the log never exceeds 10 lines a second and 64 KiB a minute, apart from audit
//! records of sessions and of the list of viewers, which are always written.

use std::collections::HashMap;

use tracing::Level;

use crate::clock::Mono;

/// Most sources that are remembered.
const SOURCES: usize = 256;
/// Most counts that are logged at once.
const SUMMARIES: usize = 16;
/// How much of a source's last line is kept to name the source, in characters.
const HEAD: usize = 100;

/// The class of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A line of this program at `error`, `warn` or `info`.
    Own,
    /// A line of a library at `error`, `warn` or `info`.
    Library,
    /// A line at `debug` or `trace`, which the user has turned on.
    Detail,
}

/// The size and the fill rate of a token bucket.
struct Allowance {
    burst: f64,
    per_second: f64,
}

const fn of(burst: f64, per_second: f64) -> Allowance {
    Allowance { burst, per_second }
}

impl Class {
    /// The limit for lines of one source.
    fn source(self) -> Allowance {
        match self {
            Self::Own => of(30.0, 1.0 / 3.0),
            Self::Library => of(5.0, 0.1),
            Self::Detail => of(300.0, 20.0),
        }
    }

    /// The limit for lines of all sources of this class.
    fn total(self) -> Allowance {
        match self {
            Self::Own => of(100.0, 6.0),
            Self::Library => of(20.0, 1.0),
            Self::Detail => of(2000.0, 200.0),
        }
    }
}

/// The limit for bytes of this program and of libraries.
const BYTES: Allowance = of(32_768.0, 500.0);
/// The part of these bytes that only warnings and errors of this program may use.
const RESERVE: f64 = 8192.0;
/// The limit for bytes of details.
const DETAIL_BYTES: Allowance = of(1_048_576.0, 131_072.0);

/// A token bucket. It may become negative by one line, because the length of a line is known only after it is admitted.
#[derive(Debug)]
struct Bucket {
    level: f64,
    seen: Mono,
}

impl Bucket {
    fn full(of: &Allowance, now: Mono) -> Self {
        Self { level: of.burst, seen: now }
    }

    fn level(&mut self, of: &Allowance, now: Mono) -> f64 {
        self.level = (self.level + now.since(self.seen).as_secs_f64() * of.per_second).min(of.burst);
        self.seen = self.seen.max(now);
        self.level
    }
}

#[derive(Debug)]
struct Source {
    bucket: Bucket,
    level: Level,
    class: Class,
    suppressed: u64,
    /// The beginning of its last line.
    head: String,
    seen: Mono,
}

/// A line about suppressed lines of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The level of the source.
    pub(super) level: Level,
    /// The text.
    pub(super) text: String,
}

/// Decides for each line whether it is logged.
#[derive(Debug)]
pub(super) struct Throttle {
    sources: HashMap<u64, Source>,
    own: Bucket,
    library: Bucket,
    detail: Bucket,
    bytes: Bucket,
    detail_bytes: Bucket,
    /// Suppressed lines of sources that were forgotten.
    others: u64,
}

impl Throttle {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            sources: HashMap::new(),
            own: Bucket::full(&Class::Own.total(), now),
            library: Bucket::full(&Class::Library.total(), now),
            detail: Bucket::full(&Class::Detail.total(), now),
            bytes: Bucket::full(&BYTES, now),
            detail_bytes: Bucket::full(&DETAIL_BYTES, now),
            others: 0,
        }
    }

    /// Whether a line of `source` may be logged now. If so, the caller must call `written`.
    pub(super) fn admit(&mut self, source: u64, class: Class, level: Level, now: Mono) -> bool {
        let room = self.has_room(class, level, now);
        let source = self.source(source, class, level, now);
        source.seen = now;
        if !room || source.bucket.level(&class.source(), now) < 1.0 {
            source.suppressed += 1;
            return false;
        }
        source.bucket.level -= 1.0;
        true
    }

    /// Accounts for an admitted line. `line` has no line end.
    pub(super) fn written(&mut self, source: u64, class: Class, line: &str) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.head = line.chars().take(HEAD).collect();
        }
        self.spend(class, line.len());
    }

    /// The counts of suppressed lines since the last call, as far as the limits allow.
    pub(super) fn summaries(&mut self, now: Mono) -> Vec<Summary> {
        let mut summaries = Vec::new();
        let mut keys: Vec<_> = self.sources.iter().filter(|(_, s)| s.suppressed > 0).map(|(key, _)| *key).collect();
        keys.sort_unstable_by_key(|key| self.sources[key].seen);
        for key in keys.into_iter().take(SUMMARIES) {
            let (class, level) = (self.sources[&key].class, self.sources[&key].level);
            if !self.has_room(class, level, now) {
                continue;
            }
            let Some(source) = self.sources.get_mut(&key) else { continue };
            let count = std::mem::take(&mut source.suppressed);
            let text = match source.head.is_empty() {
                true => format!("{count} similar messages suppressed"),
                false => format!("{count} similar messages suppressed: {}", source.head),
            };
            self.spend(class, text.len());
            summaries.push(Summary { level, text });
        }
        if self.others > 0 && self.has_room(Class::Own, Level::WARN, now) {
            let text = format!("{} messages of various sources suppressed", std::mem::take(&mut self.others));
            self.spend(Class::Own, text.len());
            summaries.push(Summary { level: Level::WARN, text });
        }
        summaries
    }

    fn has_room(&mut self, class: Class, level: Level, now: Mono) -> bool {
        let (lines, bytes, floor) = match class {
            Class::Own if level <= Level::WARN => (&mut self.own, &mut self.bytes, 0.0),
            Class::Own => (&mut self.own, &mut self.bytes, RESERVE),
            Class::Library => (&mut self.library, &mut self.bytes, RESERVE),
            Class::Detail => (&mut self.detail, &mut self.detail_bytes, 0.0),
        };
        let size = if class == Class::Detail { &DETAIL_BYTES } else { &BYTES };
        lines.level(&class.total(), now) >= 1.0 && bytes.level(size, now) > floor
    }

    fn spend(&mut self, class: Class, bytes: usize) {
        /// Bytes of the time, the level and the line end.
        const FRAME: usize = 34;
        let (lines, pool) = match class {
            Class::Own => (&mut self.own, &mut self.bytes),
            Class::Library => (&mut self.library, &mut self.bytes),
            Class::Detail => (&mut self.detail, &mut self.detail_bytes),
        };
        lines.level -= 1.0;
        pool.level -= (bytes + FRAME) as f64;
    }

    fn source(&mut self, key: u64, class: Class, level: Level, now: Mono) -> &mut Source {
        if !self.sources.contains_key(&key) && self.sources.len() >= SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, source)| source.seen).map(|(key, _)| *key);
            if let Some(removed) = oldest.and_then(|key| self.sources.remove(&key)) {
                self.others += removed.suppressed;
            }
        }
        self.sources.entry(key).or_insert_with(|| Source {
            bucket: Bucket::full(&class.source(), now),
            level,
            class,
            suppressed: 0,
            head: String::new(),
            seen: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    /// `sources` log 200 lines of `bytes` each second, for a minute. Returns the lines and bytes that are logged.
    fn flood(sources: u64, class: Class, level: Level, bytes: usize) -> (usize, usize) {
        let (mut throttle, mut lines, mut written) = (Throttle::new(ms(0)), 0, 0);
        let line = "x".repeat(bytes);
        for n in 0..12_000 {
            let at = ms(n * 5);
            if throttle.admit(n % sources, class, level, at) {
                throttle.written(n % sources, class, &line);
                (lines, written) = (lines + 1, written + bytes + 34);
            }
            if n % 2000 == 1999 {
                for summary in throttle.summaries(at) {
                    (lines, written) = (lines + 1, written + summary.text.len() + 34);
                }
            }
        }
        (lines, written)
    }

    #[test]
    fn the_log_never_exceeds_ten_lines_a_second_and_64_kib_a_minute() {
        for sources in [1, 7, 100, 1000] {
            for class in [Class::Own, Class::Library] {
                for level in [Level::ERROR, Level::INFO] {
                    for bytes in [10, 120, 1500] {
                        let (lines, written) = flood(sources, class, level, bytes);
                        let what = format!("{sources} sources, {class:?}, {level}, {bytes}: {lines}, {written}");
                        assert!(lines <= 600 && written <= 65_536 && lines > 0, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_flood_of_one_source_does_not_suppress_others() {
        let mut throttle = Throttle::new(ms(0));
        let mut other = 0;
        for n in 0..60_000 {
            if throttle.admit(1, Class::Own, Level::INFO, ms(n)) {
                throttle.written(1, Class::Own, "flood");
            }
            if n % 3000 == 0 && throttle.admit(2, Class::Own, Level::INFO, ms(n)) {
                throttle.written(2, Class::Own, "honest");
                other += 1;
            }
        }
        assert_eq!(other, 20);
    }

    #[test]
    fn a_flood_of_long_lines_leaves_room_for_an_error() {
        let mut throttle = Throttle::new(ms(0));
        let line = "x".repeat(1500);
        for n in 0..1000 {
            if throttle.admit(n, Class::Own, Level::INFO, ms(0)) {
                throttle.written(n, Class::Own, &line);
            }
        }
        assert!(!throttle.admit(2000, Class::Own, Level::INFO, ms(0)));
        assert!(throttle.admit(2001, Class::Own, Level::ERROR, ms(0)));
    }

    #[test]
    fn suppressed_lines_are_counted_once() {
        let mut throttle = Throttle::new(ms(0));
        for _ in 0..105 {
            if throttle.admit(1, Class::Library, Level::ERROR, ms(0)) {
                throttle.written(1, Class::Library, "rtc: read failed");
            }
        }
        let text = "100 similar messages suppressed: rtc: read failed".to_owned();
        assert_eq!(throttle.summaries(ms(10)), [Summary { level: Level::ERROR, text }]);
        assert!(throttle.summaries(ms(20)).is_empty());
    }

    #[test]
    fn memory_is_bounded_with_many_sources_and_no_count_is_lost() {
        let mut throttle = Throttle::new(ms(0));
        let mut written = 0;
        for key in 0..10_000 {
            if throttle.admit(key, Class::Own, Level::INFO, ms(key)) {
                throttle.written(key, Class::Own, "x");
                written += 1;
            }
        }
        assert_eq!(throttle.sources.len(), SOURCES);
        let kept: u64 = throttle.sources.values().map(|source| source.suppressed).sum();
        assert_eq!(written + kept + throttle.others, 10_000);
    }
}
