//! What is written for whoever runs the daemon: to the journal under systemd, else as lines to the terminal.

use std::{
    fmt,
    io::{self, IsTerminal},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::config;

/// Libraries that tell warnings of things that are none (`pingAllCandidates … no candidate pairs`), by the beginning of
/// their names. The configured filter can say otherwise.
/// What a TURN server refuses we say ourselves, once.
const QUIET: &str = "rtc=error,webrtc=error,webrtc::peer_connection::transport::turn_relayer=off,rumqttc=error";

/// The running log.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
}

/// Starts the log of this process. It can be started once.
pub fn start(config: &config::Log) -> Result<Log, tracing_subscriber::util::TryInitError> {
    let (filter, handle) = reload::Layer::new(filter(&config.filter));
    let journal = writes_to_journal().then(tracing_journald::layer).and_then(Result::ok);
    let lines = journal.is_none().then(|| {
        let terminal = io::stderr().is_terminal();
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(terminal).event_format(Lines { terminal })
    });
    tracing_subscriber::registry().with(filter).with(journal).with(lines).try_init()?;
    Ok(Log { filter: handle })
}

impl Log {
    /// Takes over a changed filter.
    pub fn apply(&self, config: &config::Log) {
        // Fails only once the subscriber is gone, which is after the last line.
        let _ = self.filter.reload(filter(&config.filter));
        // Libraries with the older logging interface ask this level first.
        let most = LevelFilter::current();
        tracing_log::log::set_max_level(
            most.into_level().map_or(tracing_log::log::LevelFilter::Off, |level| {
                tracing_log::AsLog::as_log(&level).to_level_filter()
            }),
        );
    }
}

/// The configured filter behind the one for noisy libraries: of two that name the same, the later holds.
fn filter(configured: &str) -> Targets {
    // The configuration refuses what is no filter.
    config::log_filter(&format!("{QUIET},{configured}"))
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// Whether standard error is the journal: systemd says so in `$JOURNAL_STREAM`, as `device:inode`.
fn writes_to_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// One line an event: time, level, what happened. The names of our own modules are left out: they tell a user nothing.
struct Lines {
    /// A person reads along: the time of day is enough.
    terminal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let normal = event.normalized_metadata();
        let about = normal.as_ref().unwrap_or_else(|| event.metadata());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (colour, level) = level_word(*about.level());
        match out.has_ansi_escapes() {
            true => write!(out, "\x1b[2m{}\x1b[0m \x1b[{colour}m{level:5}\x1b[0m ", stamp(now, self.terminal))?,
            false => write!(out, "{} {level:5} ", stamp(now, self.terminal))?,
        }
        if !about.target().starts_with(env!("CARGO_CRATE_NAME")) {
            write!(out, "{}: ", about.target())?;
        }
        ctx.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// A level's colour on a terminal (ECMA-48) and its word.
fn level_word(level: Level) -> (u8, &'static str) {
    match level {
        Level::ERROR => (31, "ERROR"),
        Level::WARN => (33, "WARN"),
        Level::INFO => (32, "INFO"),
        Level::DEBUG => (34, "DEBUG"),
        Level::TRACE => (35, "TRACE"),
    }
}

/// UTC, as `07:21:15.042` or `2026-11-24T07:21:15.042Z`.
fn stamp(since_epoch: Duration, short: bool) -> String {
    let (seconds, ms) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if short {
        return format!("{h:02}:{m:02}:{s:02}.{ms:03}");
    }
    let (year, month, day) = date(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, so that a leap day is the last day of
/// its year; 400 years have 146097 days.
fn date(days: u64) -> (u64, u64, u64) {
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
    use std::sync::{Arc, Mutex};

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

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn own_lines_are_short_libraries_are_named_and_the_noisy_ones_are_quiet() {
        let written = Written::default();
        let out = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || out.clone())
            .with_ansi(false)
            .event_format(Lines { terminal: true });
        let (filter, handle) = reload::Layer::new(filter("info"));
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(viewer = "anna", "joined");
            tracing::debug!("not at this level");
            tracing::warn!(target: "rtc_ice::agent", "noise");
            tracing::error!(target: "rtc_ice::agent", "trouble");
            let log = Log { filter: handle };
            log.apply(&config::Log { filter: "warn,rtc_ice=debug".into(), ..config::Log::default() });
            tracing::info!("not any more");
            tracing::debug!(target: "rtc_ice::agent", "asked for");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let told: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            told,
            ["INFO  joined viewer=\"anna\"", "ERROR rtc_ice::agent: trouble", "DEBUG rtc_ice::agent: asked for"]
        );
    }
}
