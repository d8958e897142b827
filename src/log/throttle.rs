//! How much may be written. Pure: time is an argument.
//!
//! Each source (one place in the code of ours or of a library) has an allowance of lines; so have our lines in all,
//! those of libraries, and those for debugging. What is left out is counted, and the counts are written from time to
//! time. The bounds for a level of `info`, whatever happens: 10 lines a second, and 64 KiB a minute.

use std::collections::HashMap;

use tracing::Level;

use crate::clock::Mono;

/// Sources that are remembered.
const SOURCES: usize = 256;
/// Counts that are written at once.
const SUMMARIES: usize = 16;
/// Characters of a source's last line that are kept, to name it by.
const HEAD: usize = 100;

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Ours: at the levels `error`, `warn` and `info`.
    Own,
    /// A library's, at the same levels.
    Library,
    /// At `debug` and `trace`: somebody asked for it.
    Detail,
}

/// A rate and a burst.
struct Allowance {
    burst: f64,
    per_second: f64,
}

const fn of(burst: f64, per_second: f64) -> Allowance {
    Allowance { burst, per_second }
}

impl Class {
    /// Lines of one source.
    fn source(self) -> Allowance {
        match self {
            Self::Own => of(30.0, 1.0 / 3.0),
            Self::Library => of(5.0, 0.1),
            Self::Detail => of(300.0, 20.0),
        }
    }

    /// Lines of all its sources.
    fn total(self) -> Allowance {
        match self {
            Self::Own => of(100.0, 6.0),
            Self::Library => of(20.0, 1.0),
            Self::Detail => of(2000.0, 200.0),
        }
    }
}

/// Bytes of our lines and the libraries'.
const BYTES: Allowance = of(32_768.0, 500.0);
/// What is left of them for warnings and errors of ours.
const RESERVE: f64 = 8192.0;
/// Bytes of details.
const DETAIL_BYTES: Allowance = of(1_048_576.0, 131_072.0);

/// What is left of an allowance. It may be overdrawn by one line, whose length is known only when it was let through.
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
    /// The beginning of its last line that was written.
    head: String,
    seen: Mono,
}

/// How many lines of a source were left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// At which level.
    pub(super) level: Level,
    /// The sentence.
    pub(super) text: String,
}

/// Decides line by line.
#[derive(Debug)]
pub(super) struct Throttle {
    sources: HashMap<u64, Source>,
    own: Bucket,
    library: Bucket,
    detail: Bucket,
    bytes: Bucket,
    detail_bytes: Bucket,
    /// Left out, of sources that had to be forgotten.
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

    /// Whether a line of `source` may be written now. Then `written` follows.
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

    /// A line that was let through, without its line end.
    pub(super) fn written(&mut self, source: u64, class: Class, line: &str) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.head = line.chars().take(HEAD).collect();
        }
        self.spend(class, line.len());
    }

    /// What was left out since the last time, as far as there is room to write it.
    pub(super) fn summaries(&mut self, now: Mono) -> Vec<Summary> {
        let mut said = Vec::new();
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
            said.push(Summary { level, text });
        }
        if self.others > 0 && self.has_room(Class::Own, Level::WARN, now) {
            let text = format!("{} messages of many kinds suppressed", std::mem::take(&mut self.others));
            self.spend(Class::Own, text.len());
            said.push(Summary { level: Level::WARN, text });
        }
        said
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
        /// Of the time, the level and the line end.
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
            let silent = self.sources.iter().min_by_key(|(_, source)| source.seen).map(|(key, _)| *key);
            if let Some(gone) = silent.and_then(|key| self.sources.remove(&key)) {
                self.others += gone.suppressed;
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

    /// A flood of so many sources for a minute, 200 lines a second with `bytes` each: lines and bytes that are written.
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
    fn no_flood_gets_beyond_ten_lines_a_second_and_64_kib_a_minute() {
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
    fn one_source_that_floods_leaves_the_others_their_lines() {
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
    fn what_is_left_out_is_counted_once() {
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
    fn many_sources_cost_no_memory_and_no_count_is_lost() {
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
