//! The log: lines to standard error, which is a terminal, a file, or the systemd journal.
//!
//! ```text
//! event ─ filter ─ throttle ─ text ─ queue (1024 lines) ─► thread `log` ─► standard error
//! ```
//! Logging never blocks: a full queue drops lines and counts them. Each source of lines has a rate limit, and the lines
//! above it are counted. Packet contents are never logged: of a library's message, only names and plain words are kept.

mod text;
mod throttle;
mod writer;

use std::{
    fmt::{self, Write},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

pub use self::text::{Outside, is_deceptive, sentence};
use self::{
    text::Bounded,
    throttle::{Class, Throttle},
    writer::{LineQueue, StandardError},
};
use crate::{clock::Mono, config};

/// Filters for libraries that warn about normal events (`pingAllCandidates … no candidate pairs`). The configured
/// filter can override them. The daemon itself logs refusals of TURN servers, once.
const QUIET: &str = "rtc=error,webrtc=error,webrtc::peer_connection::transport::turn_relayer=off,rumqttc=error";
/// Longest message, in bytes.
const MESSAGE: usize = 1000;
/// Longest message with several lines, in bytes: a refused configuration has many lines.
const LINES_MESSAGE: usize = 4000;
/// The target of messages that may have several lines: `service.rs` logs one line for each fault of a configuration.
const SERVICE: &str = concat!(env!("CARGO_CRATE_NAME"), "::service");
/// The target of audit records that are always written: neither the filter nor the limits keep them back.
pub const ALWAYS: &str = concat!(env!("CARGO_CRATE_NAME"), "::audit::always");
/// The filter that lets audit records pass, whatever is configured.
const AUDIT: &str = concat!(env!("CARGO_CRATE_NAME"), "::audit=info");
/// How much of a library's message is read, in bytes.
const LIBRARY_MESSAGE: usize = 1000;
/// How often the counts of suppressed lines are logged.
const SUMMARY: Duration = Duration::from_secs(10);
/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_millis(300);

/// The running log. On drop, it waits up to 300 ms for its last lines.
#[derive(Debug)]
pub struct LogGuard {
    filter: reload::Handle<Targets, Registry>,
    queue: Arc<LineQueue>,
}

/// The prefix of each line.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// The time of day and the level, with colours.
    Terminal,
    /// Date, time and level.
    File,
    /// The level as a prefix for systemd (sd-daemon(3)). The journal adds the time.
    Journal,
}

/// Starts the log of this process. An error if it is already started.
pub fn start(config: &config::Log) -> Result<LogGuard, tracing_subscriber::util::TryInitError> {
    let form = match (writes_to_journal(), io::stderr().is_terminal()) {
        (true, _) => Form::Journal,
        (false, true) => Form::Terminal,
        (false, false) => Form::File,
    };
    let lines = Lines::new(form, Mono::now);
    let (filter, handle) = reload::Layer::new(filter(&config.filter));
    tracing_subscriber::registry().with(filter).with(lines.clone()).try_init()?;
    let queue = Arc::clone(&lines.queue);
    let write = move || {
        let dropped = |n: u64| lines.line(Level::WARN, &format!("{n} log lines dropped: standard error was blocked"));
        writer::run(&lines.queue, StandardError, SUMMARY, dropped, || lines.summarise());
    };
    // Without this thread nothing is logged, but the daemon still works.
    drop(thread::Builder::new().name("log".into()).spawn(write));
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        panicked(info);
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(info);
        }
    }));
    Ok(LogGuard { filter: handle, queue })
}

/// Logs a panic. The default hook would write to standard error directly, and could block.
fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let name = thread::current().name().unwrap_or("without a name").to_owned();
    let (place, message) = match info.location() {
        Some(place) if place.file().starts_with("src/") => (place.to_string(), text::own(message, false)),
        Some(place) => (place.to_string(), text::library(message)),
        None => (String::new(), text::library(message)),
    };
    tracing::error!("thread {name} panicked at {place}: {message}");
}

impl LogGuard {
    /// Applies a changed filter.
    pub fn apply(&self, config: &config::Log) {
        // This fails only after the subscriber is gone, at the end of the process.
        let _ = self.filter.reload(filter(&config.filter));
        // Libraries that use the crate `log` check this level first.
        let most = LevelFilter::current();
        tracing_log::log::set_max_level(
            most.into_level().map_or(tracing_log::log::LevelFilter::Off, |level| {
                tracing_log::AsLog::as_log(&level).to_level_filter()
            }),
        );
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.flush(FLUSH);
    }
}

/// The configured filter after the one for noisy libraries, and before the one for audit records. The last one that
/// names a target wins.
fn filter(configured: &str) -> Targets {
    // The configuration was checked, so the fallback is never used.
    config::log_filter(&format!("{QUIET},{configured},{AUDIT}"))
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// Whether standard error is the journal: `$JOURNAL_STREAM` has its `device:inode` (systemd.exec(5)).
pub fn writes_to_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// The layer that turns events into lines, within the rate limits.
#[derive(Debug, Clone)]
struct Lines {
    form: Form,
    throttle: Arc<Mutex<Throttle>>,
    queue: Arc<LineQueue>,
    /// The time by which the limits count. A test sets its own, so that a slow machine counts the same.
    now: fn() -> Mono,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let normal = event.normalized_metadata();
        let about = normal.as_ref().unwrap_or_else(|| event.metadata());
        let (level, target) = (*about.level(), about.target());
        let is_own = target.starts_with(env!("CARGO_CRATE_NAME"));
        let class = match (level, is_own) {
            (Level::DEBUG | Level::TRACE, _) => Class::Detail,
            (_, true) => Class::Own,
            (_, false) => Class::Library,
        };
        let mut key = DefaultHasher::new();
        (target, about.file(), about.line(), level.as_str()).hash(&mut key);
        let key = key.finish();
        if target == ALWAYS {
            return self.queue.push(self.line(level, &text::own(&message(event, MESSAGE, true), false)));
        }
        if !self.with_throttle(|throttle| throttle.admit(key, class, level, (self.now)())) {
            return;
        }
        let message = match is_own {
            true if target == SERVICE => text::own(&message(event, LINES_MESSAGE, true), true),
            true => text::own(&message(event, MESSAGE, true), false),
            false => format!("{target}: {}", text::library(&message(event, LIBRARY_MESSAGE, false))),
        };
        self.with_throttle(|throttle| throttle.written(key, class, &message));
        self.queue.push(self.line(level, &message));
    }
}

impl Lines {
    fn new(form: Form, now: fn() -> Mono) -> Self {
        Self { form, throttle: Arc::new(Mutex::new(Throttle::new(now()))), queue: writer::line_queue(), now }
    }

    fn with_throttle<T>(&self, f: impl FnOnce(&mut Throttle) -> T) -> T {
        f(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs the counts of suppressed lines.
    fn summarise(&self) {
        for summary in self.with_throttle(|throttle| throttle.summaries((self.now)())) {
            self.queue.push(self.line(summary.level, &summary.text));
        }
    }

    /// A line with its line end. In the journal, each line of a longer message becomes an entry with the same level.
    fn line(&self, level: Level, message: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (colour, priority, word) = level_word(level);
        let head = match self.form {
            Form::Terminal => format!("\x1b[2m{}\x1b[0m \x1b[{colour}m{word:5}\x1b[0m ", stamp(now, true)),
            Form::File => format!("{} {word:5} ", stamp(now, false)),
            Form::Journal => {
                let prefix = format!("\n<{priority}>");
                return format!("<{priority}>{}\n", message.replace('\n', &prefix));
            }
        };
        format!("{head}{message}\n")
    }
}

/// The message of an event, at most `most` bytes, followed by its fields if `fields` is true.
fn message(event: &Event<'_>, most: usize, fields: bool) -> String {
    let mut collector = Collector { message: Bounded::new(most), others: Bounded::new(most), fields };
    event.record(&mut collector);
    collector.message.text + &collector.others.text
}

struct Collector {
    message: Bounded,
    others: Bounded,
    fields: bool,
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // An error only means that the text was cut.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // Fields of the crate `log`: the source of the line.
            name if name.starts_with("log.") || !self.fields => Ok(()),
            name => write!(self.others, " {name}={value:?}"),
        };
    }
}

/// A level's colour on a terminal (ECMA-48), its priority in the journal (syslog(3)), and its name.
fn level_word(level: Level) -> (u8, u8, &'static str) {
    match level {
        Level::ERROR => (31, 3, "ERROR"),
        Level::WARN => (33, 4, "WARN"),
        Level::INFO => (32, 6, "INFO"),
        Level::DEBUG => (34, 7, "DEBUG"),
        Level::TRACE => (35, 7, "TRACE"),
    }
}

/// The time in UTC, as `07:21:15.042` or `2026-11-24T07:21:15.042Z`.
fn stamp(since_epoch: Duration, short: bool) -> String {
    let (seconds, ms) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if short {
        return format!("{h:02}:{m:02}:{s:02}.{ms:03}");
    }
    let (year, month, day) = date(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// The Gregorian date `days` after 1970-01-01. Years are counted from March, so a leap day is the last day of its year.
/// 400 years have 146097 days.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.042Z"),
            (951_782_399, "2000-02-28T23:59:59.042Z"),
            (951_782_400, "2000-02-29T00:00:00.042Z"),
            (1_709_251_200, "2024-03-01T00:00:00.042Z"),
            (1_735_689_599, "2024-12-31T23:59:59.042Z"),
            (4_107_542_400, "2100-03-01T00:00:00.042Z"),
        ] {
            assert_eq!(stamp(Duration::from_millis(seconds * 1000 + 42), false), expected);
        }
        assert_eq!(stamp(Duration::from_millis(1_709_251_200_042), true), "00:00:00.042");
    }

    /// The lines that `work` logs in no time, in the form for files, without the time.
    fn lines(configured: &str, work: impl FnOnce(&LogGuard)) -> Vec<String> {
        let lines = Lines::new(Form::File, || Mono(0));
        let (filter, handle) = reload::Layer::new(filter(configured));
        let subscriber = tracing_subscriber::registry().with(filter).with(lines.clone());
        let log = LogGuard { filter: handle, queue: writer::line_queue() };
        tracing::subscriber::with_default(subscriber, || work(&log));
        lines.summarise();
        lines.queue.drain().iter().map(|line| line.split_once(' ').unwrap().1.trim_end().to_owned()).collect()
    }

    #[test]
    fn lines_of_libraries_have_their_name_and_noisy_ones_are_filtered() {
        let written = lines("info", |log| {
            tracing::info!(viewer = "anna", "joined");
            tracing::debug!("not at this level");
            tracing::warn!(target: "rtc_ice::agent", "noise");
            tracing::error!(target: "rtc_ice::agent", "trouble");
            log.apply(&config::Log { filter: "warn,rtc_ice=debug".into(), ..config::Log::default() });
            tracing::info!("not any more");
            tracing::debug!(target: "rtc_ice::agent", "asked for");
        });
        let expected =
            ["INFO  joined viewer=\"anna\"", "ERROR rtc_ice::agent: trouble", "DEBUG rtc_ice::agent: asked for"];
        assert_eq!(written, expected);
    }

    /// The WebRTC stack logs a line with the whole packet for each packet that nobody reads.
    #[test]
    fn a_flood_of_packets_is_a_few_lines_without_a_payload() {
        let payload = vec![0x5a; 1100];
        let written = lines("trace", |_| {
            for n in 0..10_000_u32 {
                let packet = format!("Full(OnRtpPacket(Packet {{ sequence: {n}, payload: {payload:?} }}))");
                let message = format!("Failed to send RtpPacket to track remote t: {packet}");
                tracing::error!(target: "webrtc::peer_connection::driver", "{message}");
                tracing::error!(target: "webrtc::peer_connection::driver", packet = ?payload, "of a field");
            }
        });
        assert!(written.len() <= 20, "{} lines", written.len());
        assert!(written.iter().any(|line| line.contains("9995 similar messages suppressed")), "{written:#?}");
        let (all, longest) = (written.join("\n"), written.iter().map(String::len).max());
        assert!(!all.contains("90") && longest < Some(200), "{all}");
    }

    #[test]
    fn a_line_cannot_be_forged_and_has_a_bounded_length() {
        let evil = "x\n2026-01-01T00:00:00.000Z ERROR forged\r\u{202e}";
        let written = lines("info", |_| {
            tracing::warn!("{}", Outside(evil));
            tracing::warn!("{evil}");
            tracing::warn!("{}", "y".repeat(20_000));
        });
        assert_eq!(written[0], "WARN  x\\n2026-01-01T00:00:00.000Z ERROR forged\\r\\u{202e}");
        assert_eq!(written[1], "WARN  x\\n2026-01-01T00:00:00.000Z ERROR forged\\r\\u{202e}");
        assert!(written[2].len() < MESSAGE + 20);
    }

    #[test]
    fn each_line_in_the_journal_has_its_level() {
        let lines = Lines::new(Form::Journal, Mono::now);
        assert_eq!(lines.line(Level::ERROR, "refused:\n    3: x"), "<3>refused:\n<3>    3: x\n");
        assert_eq!(lines.line(Level::TRACE, "x"), "<7>x\n");
    }
}
