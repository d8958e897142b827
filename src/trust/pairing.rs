//! Pairing: one viewer that knows a secret comes on the list (signed-messages.md, "Pairing"). Pure: time is an
//! argument.
//!
//! ```text
//! open ──► waiting ──► paired: the same viewer gets the same answer again, until the ten minutes are over
//!             └──────► ended: expired, five wrong MACs, cancelled, or the list could not be written
//! ```
//! Signalling asks `check` before it verifies a signature. The owner's task then asks `claim`, writes the list, and
//! reports by `settle`. A request that was checked under an earlier secret is never accepted under a later one.

use std::time::Duration;

use super::pairing_mac::{MacSide, MacTexts};
pub use super::{
    pairing_handle::PairingHandle,
    pairing_mac::{PairSecret, SECRET_BYTES},
};
use crate::{
    clock::Mono,
    config::Id,
    jose::{PublicKey, Thumbprint},
    protocol::{Addressee, RequestHead, Rights},
};

/// How long a pairing lasts.
pub const PAIRING: Duration = Duration::from_secs(600);
/// So many wrong MACs end a pairing. A message that comes again counts once.
pub const WRONG_MAX: u32 = 5;
/// How many viewers with a right MAC are remembered until one of them is on the list. An honest link has one user.
const CHECKED_MAX: usize = 4;

/// What the owner allows the new viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairOptions {
    /// Its name on the list. `None`: the one that the viewer proposes.
    pub name: Option<String>,
    /// What it may do.
    pub rights: Rights,
    /// When the permission ends, in seconds since 1970. `None`: never.
    pub until: Option<u64>,
}

/// A message `pair`, as far as the MAC covers it.
#[derive(Debug, Clone, Copy)]
pub struct PairAttempt<'a> {
    /// The identity of this board.
    pub board: &'a Thumbprint,
    /// The id of this board.
    pub device: &'a Id,
    /// The identity of the viewer.
    pub viewer: &'a Thumbprint,
    /// The name that the viewer proposes.
    pub name: &'a str,
    /// The MAC in base64url.
    pub mac: &'a str,
}

/// A message `pair` with a right MAC and a right signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRequest {
    /// The identity of the viewer, which made the signature.
    pub key: PublicKey,
    /// The name that the viewer proposes.
    pub name: String,
    /// Its session and number.
    pub head: RequestHead,
    /// Who gets the answer.
    pub to: Addressee,
}

/// The fields of the answer `paired`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// The name on the list.
    pub name: String,
    /// What the viewer may do.
    pub rights: Rights,
    /// When the permission ends, in seconds since 1970. `None`: never.
    pub until: Option<u64>,
    /// The MAC of the board, in base64url.
    pub mac: String,
}

/// The entry that a pairing put on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairOutcome {
    /// The id of the viewer.
    pub id: Id,
    /// The name on the list.
    pub name: String,
    /// What the viewer may do.
    pub rights: Rights,
    /// When the permission ends, in seconds since 1970. `None`: never.
    pub until: Option<u64>,
}

/// Tells one pairing from those before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairingNumber(u64);

/// What a pairing is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairStage {
    /// No viewer has come.
    Waiting,
    /// A viewer is on the list.
    Paired(PairOutcome),
    /// It is over without a viewer.
    Ended(PairEnd),
}

/// Why a pairing ended without a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairEnd {
    /// The ten minutes are over.
    Expired,
    /// There were five wrong MACs.
    WrongMacs,
    /// The owner does not want it any more.
    Cancelled,
    /// The list could not be changed. The text says why.
    Failed(String),
}

/// What the owner sees of a pairing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairProgress {
    /// Which one it is.
    pub number: PairingNumber,
    /// How many wrong MACs came.
    pub wrong: u32,
    /// What it is at.
    pub stage: PairStage,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairClaim {
    /// Put the viewer on the list with these options, then call `settle`.
    Add(PairOptions),
    /// It is on the list: send the answer again.
    Again,
    /// Nothing. The viewer gets no answer.
    Closed,
}

/// The pairing of a board: at most one at a time.
#[derive(Debug, Default)]
pub struct Pairing {
    current: Option<Current>,
    opened: u64,
}

#[derive(Debug)]
struct Current {
    board: Thumbprint,
    device: Id,
    secret: PairSecret,
    options: PairOptions,
    ends: Mono,
    /// Viewers whose MAC was right, before one of them is on the list.
    checked: Vec<Thumbprint>,
    /// Viewer, name and MAC of each message whose MAC was wrong: `WRONG_MAX` at most.
    wrong: Vec<(Thumbprint, String, String)>,
    /// The identity of the viewer that is on the list.
    paired: Option<Thumbprint>,
    progress: PairProgress,
}

impl Current {
    fn end(&mut self, why: PairEnd) {
        if self.progress.stage == PairStage::Waiting {
            self.progress.stage = PairStage::Ended(why);
        }
    }

    fn count_wrong(&mut self, attempt: (Thumbprint, String, String)) {
        if self.wrong.contains(&attempt) {
            return;
        }
        self.wrong.push(attempt);
        self.progress.wrong += 1;
        if self.progress.wrong >= WRONG_MAX {
            self.end(PairEnd::WrongMacs);
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.progress.stage, PairStage::Ended(_))
    }
}

impl Pairing {
    /// Opens a pairing for ten minutes, and ends the one before. `board`, `device`: this board. Returns its number, and
    /// whether another viewer could still have used the one before.
    pub fn open(
        &mut self,
        now: Mono,
        (board, device): (Thumbprint, Id),
        options: PairOptions,
        secret: PairSecret,
    ) -> (PairingNumber, bool) {
        let replaced = self.live(now).is_some_and(|current| current.progress.stage == PairStage::Waiting);
        self.opened += 1;
        let number = PairingNumber(self.opened);
        let progress = PairProgress { number, wrong: 0, stage: PairStage::Waiting };
        let (ends, checked, wrong) = (now + PAIRING, Vec::new(), Vec::new());
        self.current = Some(Current { board, device, secret, options, ends, checked, wrong, paired: None, progress });
        (number, replaced)
    }

    /// When messages `pair` are no longer read. `None`: they are not read now.
    pub fn open_until(&self) -> Option<Mono> {
        self.current.as_ref().filter(|current| !current.is_over()).map(|current| current.ends)
    }

    /// What the owner sees. `None`: there was no pairing.
    pub fn progress(&self) -> Option<&PairProgress> {
        self.current.as_ref().map(|current| &current.progress)
    }

    /// Whether the MAC of a message is right, so that its signature is worth verifying. A wrong one counts, unless the
    /// same message came before: pages ask again, and brokers deliver twice.
    pub fn check(&mut self, now: Mono, attempt: &PairAttempt<'_>) -> bool {
        let Some(current) = self.live(now) else { return false };
        if current.paired.as_ref().is_some_and(|paired| paired != attempt.viewer) {
            return false;
        }
        let PairAttempt { board, device, viewer, name, mac } = *attempt;
        let texts = MacTexts { board, device, viewer, name };
        if !current.secret.is_mac(mac, MacSide::Viewer, texts) {
            // The count ends with the wait: a viewer that is on the list keeps its answer, whatever others send.
            if current.paired.is_none() {
                current.count_wrong((*viewer, name.to_owned(), mac.to_owned()));
            }
            return false;
        }
        if !current.checked.contains(viewer) {
            if current.checked.len() >= CHECKED_MAX {
                return false;
            }
            current.checked.push(*viewer);
        }
        true
    }

    /// What to do with a request of the viewer with this identity.
    pub fn claim(&mut self, now: Mono, viewer: &Thumbprint) -> PairClaim {
        let Some(current) = self.live(now) else { return PairClaim::Closed };
        match &current.paired {
            _ if !current.checked.contains(viewer) => PairClaim::Closed,
            Some(paired) if paired == viewer => PairClaim::Again,
            Some(_) => PairClaim::Closed,
            None => PairClaim::Add(current.options.clone()),
        }
    }

    /// The viewer that made a claim is on the list. It is called right after `claim`, by the same task: nothing else
    /// opens a pairing in between.
    pub fn settle(&mut self, viewer: &Thumbprint, outcome: PairOutcome) {
        if let Some(current) = &mut self.current {
            current.paired = Some(*viewer);
            current.progress.stage = PairStage::Paired(outcome);
        }
    }

    /// The answer to a message with this name, for the viewer that is on the list by this pairing.
    pub fn answer(&self, viewer: &Thumbprint, name: &str) -> Option<Paired> {
        let current = self.current.as_ref()?;
        let PairStage::Paired(outcome) = &current.progress.stage else { return None };
        if current.paired.as_ref() != Some(viewer) {
            return None;
        }
        let texts = MacTexts { board: &current.board, device: &current.device, viewer, name };
        let mac = current.secret.mac(MacSide::Board, texts);
        let PairOutcome { name, rights, until, .. } = outcome.clone();
        Some(Paired { name, rights, until, mac })
    }

    /// Ends a pairing that waits. One with another number, or with a viewer, stays as it is.
    pub fn end(&mut self, number: PairingNumber, why: PairEnd) {
        if let Some(current) = self.current.as_mut().filter(|current| current.progress.number == number) {
            current.end(why);
        }
    }

    /// Ends a pairing that waits for a viewer and whose time is over.
    pub fn expire(&mut self, now: Mono) {
        self.live(now);
    }

    /// The pairing, if messages are accepted. Notices that its time is over.
    fn live(&mut self, now: Mono) -> Option<&mut Current> {
        let current = self.current.as_mut()?;
        if now >= current.ends {
            current.end(PairEnd::Expired);
            return None;
        }
        (!current.is_over()).then_some(current)
    }
}
