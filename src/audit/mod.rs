//! The audit records (docs/reference/audit.md): who watched, who was refused, and who may watch. All come out here.
//!
//! ```text
//! sessions, signalling, owner ─ record ─ limit ─┬─► queue (1024) ─► thread `audit` ─► journal, or log
//!                                               └─► news (64) ─► sessions ─► viewers with the right `events`
//! ```
//! Nobody waits for a record. The journal is the record: what it does not take becomes a line of the log, and what
//! finds no room in the queue is counted in the log. News that find no room are lost.

mod journal;
mod record;
mod refusals;
mod writer;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc;
use tracing::warn;

pub use self::record::{AuditChange, AuditKind, AuditRecord};
use self::{journal::Journal, refusals::RefusalLimit, writer::Writer};
use crate::{
    clock::{self, Mono},
    log,
    protocol::EventMessage,
    writer_queue::WriterQueue,
};

/// The most records that wait. Eight sessions make 16 in all; a new configuration may change 512 viewers.
const RECORDS: usize = 1024;
/// News that wait for the sessions.
const NEWS: usize = 64;
/// How long the end of the process waits for the last records.
const CLOSE: Duration = Duration::from_millis(100);

/// Takes records. Clones share the way out.
#[derive(Debug, Clone)]
pub struct AuditLog {
    shared: Arc<AuditShared>,
}

/// What those who report share with the thread that writes.
#[derive(Debug)]
struct AuditShared {
    refusals: Mutex<RefusalLimit>,
    queue: WriterQueue<AuditRecord>,
    news: mpsc::Sender<EventMessage>,
    /// How many records there were.
    count: AtomicU64,
    /// Whether there is no thread that writes, and each record becomes a line of the log at once.
    is_direct: AtomicBool,
}

impl AuditLog {
    /// Starts the thread that writes. The receiver gets each record, for viewers with the right `events`.
    pub fn start() -> (Self, mpsc::Receiver<EventMessage>) {
        let (audit, news) = Self::new();
        let writer = Writer::new(log::writes_to_journal().then(Journal::of_system));
        let shared = Arc::clone(&audit.shared);
        let started = thread::Builder::new().name("audit".into()).spawn(move || writer.run(&shared));
        if let Err(e) = started {
            warn!("start the audit thread: {e}; records go to the log instead");
            audit.shared.is_direct.store(true, Ordering::Relaxed);
        }
        (audit, news)
    }

    /// Without a thread that writes.
    fn new() -> (Self, mpsc::Receiver<EventMessage>) {
        let (news, heard) = mpsc::channel(NEWS);
        let shared = AuditShared {
            refusals: Mutex::default(),
            // The limits of a record bound its size.
            queue: WriterQueue::new(RECORDS, usize::MAX, |_| 0),
            news,
            count: AtomicU64::new(0),
            is_direct: AtomicBool::new(false),
        };
        (Self { shared: Arc::new(shared) }, heard)
    }

    /// Takes a record. Never waits.
    pub fn record(&self, record: AuditRecord) {
        match record.kind {
            AuditKind::Refuse => self.shared.refuse(record, Mono::now()),
            _ => self.shared.write(record),
        }
    }

    /// The process ends: waits for the last records, up to 100 ms.
    pub fn close(&self) {
        let rest = self.shared.with_refusals(RefusalLimit::rest);
        rest.into_iter().for_each(|record| self.shared.write(record));
        self.shared.queue.close(CLOSE);
    }
}

impl AuditShared {
    fn refuse(&self, record: AuditRecord, now: Mono) {
        let admitted = self.with_refusals(|refusals| refusals.admit(record, now));
        admitted.into_iter().for_each(|record| self.write(record));
    }

    /// Writes the counts of refusals that have waited long enough.
    fn sweep(&self, now: Mono) {
        let overdue = self.with_refusals(|refusals| refusals.overdue(now));
        overdue.into_iter().for_each(|record| self.write(record));
    }

    fn write(&self, record: AuditRecord) {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let at = clock::is_synced().then(|| Mono::now().wall().as_secs());
        // They are news: the queue has the record.
        let _ = self.news.try_send(record.event(n, at));
        match self.is_direct.load(Ordering::Relaxed) {
            true => writer::log(&record),
            false => self.queue.push(record),
        }
    }

    fn with_refusals<T>(&self, f: impl FnOnce(&mut RefusalLimit) -> T) -> T {
        f(&mut self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
impl AuditLog {
    /// For tests: nothing is written, and `taken` has what was recorded.
    pub(crate) fn kept() -> (Self, mpsc::Receiver<EventMessage>) {
        Self::new()
    }

    /// The records since the last call.
    pub(crate) fn taken(&self) -> Vec<AuditRecord> {
        self.shared.queue.drain()
    }
}
