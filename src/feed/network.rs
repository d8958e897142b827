//! What one viewer's network carries, and how far that figure can be trusted.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::clock::Mono;

/// How far the figures of a network can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evidence {
    /// The viewer has not reported anything yet: the figures are a guess.
    #[default]
    Guessed,
    /// The viewer reports what arrives.
    Measured,
    /// The viewer reported, and no longer does; or it has only just begun again. Silence tells nothing of a network.
    Silent,
}

/// What a viewer's connection says of its network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkReport {
    /// Bits per second that the network carries, all headers included.
    pub bits: u32,
    /// The fraction of packets that gets lost, 0 to 1.
    pub loss: f64,
    /// How far to trust this.
    pub evidence: Evidence,
    /// `Measured` turns into `Silent` at this time, unless a newer word comes: the reader finds out by itself, even where
    /// the connection that should have said so is stuck or gone.
    pub until: Mono,
}

/// What one reader's network carries, as far as is known, and what follows from it. Written by the reader's viewer and read
/// by the device thread, and the other way round.
#[derive(Debug, Default)]
pub struct Network {
    id: u64,
    /// Which login it belongs to: sessions of one login are one viewer. 0: not known.
    login: AtomicU64,
    bits: AtomicU32,
    /// Of a thousand.
    loss: AtomicU32,
    evidence: AtomicU8,
    until: AtomicU64,
    /// Whether the connection has lost its path.
    lost: AtomicBool,
    lossy: AtomicBool,
    keyframe_only: AtomicBool,
}

/// A look at a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Which network.
    pub id: u64,
    /// Which login it belongs to.
    pub login: u64,
    /// Bits per second that it carries, all headers included.
    pub bits: u32,
    /// The fraction that gets lost, 0 to 1.
    pub loss: f64,
    /// How far to trust this.
    pub evidence: Evidence,
}

impl Network {
    /// One of which nothing is known.
    pub(super) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// Says what it carries.
    pub fn update(&self, report: NetworkReport) {
        self.bits.store(report.bits, Ordering::Relaxed);
        self.loss.store((report.loss * 1_000.0) as u32, Ordering::Relaxed);
        self.until.store(report.until.0, Ordering::Relaxed);
        self.evidence.store(report.evidence as u8, Ordering::Release);
    }

    /// What is known at this time; `None` before the first word.
    pub fn estimate(&self, now: Mono) -> Option<Estimate> {
        let evidence = match self.evidence.load(Ordering::Acquire) {
            said if said == Evidence::Guessed as u8 => Evidence::Guessed,
            said if said == Evidence::Measured as u8 && now.0 <= self.until.load(Ordering::Relaxed) => {
                Evidence::Measured
            }
            _ => Evidence::Silent,
        };
        let evidence = if self.lost.load(Ordering::Relaxed) { Evidence::Silent } else { evidence };
        let (bits, loss) = (self.bits.load(Ordering::Relaxed), self.loss.load(Ordering::Relaxed));
        let login = self.login.load(Ordering::Relaxed);
        (bits > 0).then(|| Estimate { id: self.id, login, bits, loss: f64::from(loss) / 1_000.0, evidence })
    }

    /// Says which login it belongs to, by a number that stands for it.
    pub fn set_login(&self, login: u64) {
        self.login.store(login, Ordering::Relaxed);
    }

    /// Says whether the connection has lost its path: what was measured on it does not count until there is one again.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Whether packets got lost in the last while.
    pub fn is_lossy(&self) -> bool {
        self.lossy.load(Ordering::Relaxed)
    }

    /// Says whether packets got lost in the last while.
    pub fn set_lossy(&self, lossy: bool) {
        self.lossy.store(lossy, Ordering::Relaxed);
    }

    /// Whether it is so much weaker than the others that it is given key frames only.
    pub fn is_keyframe_only(&self) -> bool {
        self.keyframe_only.load(Ordering::Relaxed)
    }

    /// Says whether it is too weak for what the others get.
    pub fn set_keyframe_only(&self, keyframe_only: bool) {
        self.keyframe_only.store(keyframe_only, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_reporting_is_silent_without_anybody_saying_so() {
        let network = Network::default();
        assert_eq!(network.estimate(Mono(0)), None, "nothing was said yet");
        let evidence = |at: u64| network.estimate(Mono(at)).map(|estimate| estimate.evidence);
        let report = NetworkReport { bits: 1_000_000, loss: 0.01, evidence: Evidence::Guessed, until: Mono(0) };
        network.update(report);
        assert_eq!(evidence(5), Some(Evidence::Guessed), "a guess does not grow old");
        network.update(NetworkReport { evidence: Evidence::Measured, until: Mono(10), ..report });
        assert_eq!((evidence(10), evidence(11)), (Some(Evidence::Measured), Some(Evidence::Silent)));
        network.update(NetworkReport { evidence: Evidence::Measured, until: Mono(20), ..report });
        assert_eq!(evidence(11), Some(Evidence::Measured));
        network.set_lost(true);
        assert_eq!(evidence(11), Some(Evidence::Silent), "its path is lost");
        network.set_lost(false);
        network.update(NetworkReport { evidence: Evidence::Silent, until: Mono(90), ..report });
        assert_eq!(evidence(11), Some(Evidence::Silent));
    }
}
