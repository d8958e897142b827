//! The thread that writes records: to the journal, or as lines of the log.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tracing::warn;

use super::{AuditKind, AuditRecord, AuditShared, journal::Journal};
use crate::{clock::Mono, log::ALWAYS};

/// How long one record is tried again at a journal that does not take it. Then it becomes a line of the log.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// How often counts of refusals without a record are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Writes records.
pub(super) struct Writer {
    /// `None`: standard error is not the journal.
    journal: Option<Journal>,
    /// Whether the journal did not take the last record.
    is_broken: bool,
    patience: Duration,
}

impl Writer {
    /// `journal`: `None` if there is none, and records are lines of the log.
    pub(super) fn new(journal: Option<Journal>) -> Self {
        Self { journal, is_broken: false, patience: PATIENCE }
    }

    /// Writes until the process ends.
    pub(super) fn run(mut self, shared: &Arc<AuditShared>) {
        while !shared.queue.is_over() {
            self.run_once(shared, LOOK);
        }
        shared.is_direct.store(true, Ordering::Relaxed);
    }

    /// Waits for one record and writes it, and looks for counts.
    fn run_once(&mut self, shared: &AuditShared, patience: Duration) {
        if let Some(record) = shared.queue.take(patience) {
            self.write(&record, |pause| shared.queue.pause(pause));
            let lost = shared.queue.written();
            if lost > 0 {
                warn!(target: ALWAYS, "{lost} audit records were lost: more came than could be written");
            }
        }
        shared.sweep(Mono::now());
    }

    /// Writes a record. `pause` waits, and returns whether there is no time for a further try.
    fn write(&mut self, record: &AuditRecord, pause: impl Fn(Duration) -> bool) {
        let Some(journal) = &self.journal else { return log(record) };
        let entry = record.journal_entry();
        let mut left = if self.is_broken { Duration::ZERO } else { self.patience };
        let error = loop {
            match journal.send(&entry) {
                Ok(()) => {
                    self.is_broken = false;
                    return;
                }
                Err(e) if left.is_zero() || pause(AGAIN) => break e,
                Err(_) => left = left.saturating_sub(AGAIN),
            }
        };
        if !std::mem::replace(&mut self.is_broken, true) {
            let instead = "until it does, they are lines of the log";
            warn!(target: ALWAYS, "the journal does not take audit records: {error}; {instead}");
        }
        log(record);
    }
}

/// Writes a record as a line of the log. Refusals have the limits of other lines, except for those that count others.
pub(super) fn log(record: &AuditRecord) {
    match record.kind {
        AuditKind::Refuse if record.left_out.is_none() => tracing::info!("{}", record.log_line()),
        _ => tracing::info!(target: ALWAYS, "{}", record.log_line()),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
