//! The audit records of the owner's task: changes of the list, and how pairings end.

use crate::{
    audit::{AuditChange, AuditLog, AuditRecord},
    protocol::Rights,
    trust::{
        list_changes::{EntryChange, ListChange},
        pairing::{PairEnd, PairOptions, PairOutcome, PairProgress, PairStage, PairingNumber},
    },
};

/// The record of a change of the list. The list of denied tokens has `AuditChange::Deny`.
pub(super) fn of_change(ListChange { viewer, name, rights, change }: ListChange) -> AuditRecord {
    let change = match change {
        EntryChange::Added => AuditChange::Add,
        EntryChange::Removed => AuditChange::Remove,
        EntryChange::Renamed => AuditChange::Rename,
        EntryChange::Permitted => AuditChange::Rights,
        EntryChange::Configured => AuditChange::Configured,
    };
    AuditRecord::listed(viewer, Some(name), rights, change)
}

/// Reports how each pairing ends, once.
#[derive(Debug)]
pub(super) struct PairingAudit {
    audit: AuditLog,
    /// The pairing that was opened and has not ended yet, and what it allows.
    open: Option<(PairingNumber, Option<String>, Rights)>,
}

impl PairingAudit {
    pub(super) fn new(audit: AuditLog) -> Self {
        Self { audit, open: None }
    }

    /// A pairing begins. It takes the place of one that still waits.
    pub(super) fn opened(&mut self, number: PairingNumber, options: &PairOptions) {
        self.ended("replaced");
        self.open = Some((number, options.name.clone(), options.rights));
    }

    /// A viewer is on the list by the pairing.
    pub(super) fn paired(&mut self, outcome: &PairOutcome) {
        self.open = None;
        let PairOutcome { id, name, rights, .. } = outcome.clone();
        self.audit.record(AuditRecord::paired(id, name, rights));
    }

    /// Looks at what became of the pairing.
    pub(super) fn look(&mut self, progress: Option<&PairProgress>) {
        let open = self.open.as_ref().map(|(number, ..)| *number);
        let Some(progress) = progress.filter(|progress| Some(progress.number) == open) else { return };
        if let PairStage::Ended(why) = &progress.stage {
            self.ended(word(why));
        }
    }

    /// The pairing that waits ends without a viewer.
    fn ended(&mut self, reason: &str) {
        if let Some((_, name, rights)) = self.open.take() {
            self.audit.record(AuditRecord::unpaired(name, rights, reason));
        }
    }
}

/// The daemon ends while a pairing waits.
impl Drop for PairingAudit {
    fn drop(&mut self) {
        self.ended("shutdown");
    }
}

/// The name of an end.
fn word(end: &PairEnd) -> &'static str {
    match end {
        PairEnd::Expired => "expired",
        PairEnd::WrongMacs => "wrong_secret",
        PairEnd::Cancelled => "cancelled",
        PairEnd::Failed(_) => "failed",
    }
}
