//! The way to a journal that is there, away, stuck, and back again. A datagram socket takes the journal's part.

use std::{io::Read as _, os::unix::net::UnixDatagram, sync::Mutex};

use tempfile::TempDir;
use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

use super::*;
use crate::{audit::AuditLog, config::Id, protocol::ErrorName};

/// The lines of the log that a test makes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What `work` logs.
fn logged(work: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn record(n: usize) -> AuditRecord {
    AuditRecord::paired(Id::new(&format!("viewer-{n}")).unwrap(), "Anna".into(), crate::rights::Rights::default())
}

fn writer(dir: &TempDir) -> Writer {
    Writer { patience: Duration::from_millis(200), ..Writer::new(Some(Journal::at(&dir.path().join("socket")))) }
}

/// The entries that lie in the socket of the journal.
fn entries(journal: &UnixDatagram) -> Vec<String> {
    journal.set_nonblocking(true).unwrap();
    let mut entries = Vec::new();
    let mut room = [0; 4096];
    while let Ok(length) = journal.recv(&mut room) {
        entries.push(String::from_utf8(room[..length].to_vec()).unwrap());
    }
    entries
}

fn no_pause(_: Duration) -> bool {
    false
}

#[test]
fn a_record_goes_to_the_journal_and_not_to_the_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let journal = UnixDatagram::bind(dir.path().join("socket")).unwrap();
    let mut writer = writer(&dir);
    let lines = logged(|| writer.write(&record(1), no_pause));
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(entries(&journal), [String::from_utf8(record(1).journal_entry()).unwrap()]);
}

#[test]
fn without_a_journal_it_is_a_line_of_the_log() {
    let lines = logged(|| Writer::new(None).write(&record(1), no_pause));
    assert!(lines.len() == 1 && lines[0].ends_with(&record(1).log_line()), "{lines:?}");
    let refusal = AuditRecord::refused(Id::new("anna").unwrap(), None, ErrorName::Busy);
    let lines = logged(|| Writer::new(None).write(&refusal, no_pause));
    assert!(lines.len() == 1 && lines[0].ends_with(&refusal.log_line()), "{lines:?}");
}

#[test]
fn a_journal_that_is_away_is_told_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(&dir);
    let pauses = std::cell::Cell::new(0);
    let count = |_| {
        pauses.set(pauses.get() + 1);
        false
    };
    let lines = logged(|| (1..=3).for_each(|n| writer.write(&record(n), count)));
    assert!(lines.len() == 4 && lines[0].contains("the journal does not take audit records"), "{lines:#?}");
    assert!((1..=3).all(|n| lines[n].contains(&record(n).log_line())), "{lines:#?}");
    assert_eq!(pauses.get(), 4, "only the first one waits");
    let journal = UnixDatagram::bind(dir.path().join("socket")).unwrap();
    let lines = logged(|| writer.write(&record(4), no_pause));
    assert_eq!((lines.len(), entries(&journal).len()), (0, 1));
}

/// `net.unix.max_dgram_qlen` datagrams fit into a socket that nobody reads.
#[test]
fn a_journal_that_is_stuck_blocks_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = UnixDatagram::bind(dir.path().join("socket")).unwrap();
    let mut writer = writer(&dir);
    let lines = logged(|| (0..2000).for_each(|n| writer.write(&record(n), no_pause)));
    let taken = entries(&journal).len();
    assert!(taken > 0 && taken < 2000, "{taken}");
    assert_eq!(lines.iter().filter(|line| line.contains("audit: ")).count(), 2000 - taken);
    assert_eq!(lines.len(), 2000 - taken + 1, "and one line that says why");
}

#[test]
fn a_journal_that_comes_back_while_a_record_waits_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(&dir);
    let journal = std::cell::OnceCell::new();
    let lines = logged(|| {
        writer.write(&record(1), |_| {
            journal.get_or_init(|| UnixDatagram::bind(dir.path().join("socket")).unwrap());
            false
        });
    });
    assert_eq!((lines.len(), entries(journal.get().unwrap()).len()), (0, 1));
}

/// The largest record has every field, each as long as it can be.
#[test]
fn the_largest_record_is_a_small_datagram() {
    let long = || Some("é".repeat(5000));
    let mut largest = record(1);
    (largest.name, largest.token, largest.route, largest.reason) = (long(), long(), long(), long());
    assert!(largest.journal_entry().len() < 4096, "{}", largest.journal_entry().len());
}

#[test]
fn what_found_no_room_is_counted_in_the_log() {
    let (audit, _news) = AuditLog::kept();
    (0..1500).for_each(|n| audit.record(record(n)));
    let mut writer = Writer::new(None);
    let lines = logged(|| (0..1100).for_each(|_| writer.run_once(&audit.shared, Duration::ZERO)));
    let lost: Vec<_> = lines.iter().filter(|line| line.contains("audit records were lost")).collect();
    assert!(lost.len() == 1 && lost[0].contains(" 476 audit"), "{lost:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("audit: ")).count(), 1024);
}

#[test]
fn the_end_of_the_process_leaves_no_record_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _news) = AuditLog::kept();
    // A journal that never answers, and refusals that were only counted.
    (0..40).for_each(|_| audit.record(AuditRecord::refused(Id::new("anna").unwrap(), None, ErrorName::Busy)));
    let shared = Arc::clone(&audit.shared);
    let mut writer = Writer { patience: Duration::from_secs(3600), ..writer(&dir) };
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            tracing::subscriber::with_default(subscriber, || {
                (0..31).for_each(|_| writer.run_once(&shared, Duration::from_secs(60)));
            });
        });
        // It ends long before the patience of the writer.
        while !thread.is_finished() {
            audit.close();
        }
    });
    let mut text = String::new();
    lines.0.lock().unwrap().as_slice().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("audit: ")).count(), 31, "{text}");
    assert!(text.contains("FANLIGHT_LEFT_OUT=9"), "{text}");
}
