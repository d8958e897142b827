//! The pairing, shared by signalling, which checks messages, and by the owner's task, which opens and ends it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use super::pairing::{PairAttempt, PairProgress, Pairing};
use crate::clock::Mono;

/// The pairing of the board. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct PairingHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pairing: Mutex<Pairing>,
    /// The end of the time in which messages are read, in nanoseconds; 0 while none are. Read without the lock, for
    /// each message of a stranger.
    open_until: AtomicU64,
    progress: watch::Sender<Option<PairProgress>>,
}

impl PairingHandle {
    /// Whether messages `pair` are read.
    pub fn is_open(&self, now: Mono) -> bool {
        now.0 < self.shared.open_until.load(Ordering::Acquire)
    }

    /// Whether the MAC of a message is right, so that its signature is worth verifying. A wrong one counts.
    pub fn check(&self, now: Mono, attempt: &PairAttempt<'_>) -> bool {
        self.with(|pairing| pairing.check(now, attempt))
    }

    /// Reads or changes the pairing. Those who follow `progress` see a change.
    pub fn with<T>(&self, change: impl FnOnce(&mut Pairing) -> T) -> T {
        let mut pairing = self.shared.pairing.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut pairing);
        self.shared.open_until.store(pairing.open_until().map_or(0, |until| until.0), Ordering::Release);
        self.shared.progress.send_if_modified(|shown| {
            let changed = shown.as_ref() != pairing.progress();
            if changed {
                *shown = pairing.progress().cloned();
            }
            changed
        });
        done
    }

    /// What the owner sees, to be followed.
    pub fn progress(&self) -> watch::Receiver<Option<PairProgress>> {
        self.shared.progress.subscribe()
    }
}
