//! The state of one viewer's network, and how far it can be trusted.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::{
    clock::Mono,
    units::{AtomicBitrate, Bitrate},
};

/// How far an estimate can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evidence {
    /// The viewer has not reported yet: the estimate is a guess.
    #[default]
    Guessed,
    /// The viewer reports which packets arrive.
    Measured,
    /// The viewer has stopped reporting, or has only just begun again. Silence says nothing about a network.
    Silent,
}

/// What a viewer's connection reports about its network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkReport {
    /// The bandwidth estimate, with all headers.
    pub bitrate: Bitrate,
    /// The loss fraction, 0 to 1.
    pub loss: f64,
    /// How far to trust this.
    pub evidence: Evidence,
    /// `Measured` turns into `Silent` at this time, unless a newer report comes. So the reader notices even if the
    /// connection that should report is stuck or gone.
    pub until: Mono,
}

/// The network of one reader, as far as it is known. The viewer's connection writes estimate and loss, and the device
/// thread reads them. The device thread writes whether the viewer gets keyframes only.
#[derive(Debug, Default)]
pub struct Network {
    id: u64,
    /// The login that it belongs to: all sessions of one login count as one viewer. 0: unknown.
    login: AtomicU64,
    bitrate: AtomicBitrate,
    /// In thousandths.
    loss: AtomicU32,
    evidence: AtomicU8,
    until: AtomicU64,
    /// Whether the connection has lost its path.
    lost: AtomicBool,
    lossy: AtomicBool,
    keyframe_only: AtomicBool,
}

/// A snapshot of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Which network.
    pub id: u64,
    /// The login that it belongs to.
    pub login: u64,
    /// The bandwidth estimate, with all headers.
    pub bitrate: Bitrate,
    /// The loss fraction, 0 to 1.
    pub loss: f64,
    /// How far to trust this.
    pub evidence: Evidence,
}

impl Network {
    /// An unknown network.
    pub(super) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// Stores a report.
    pub fn update(&self, report: NetworkReport) {
        self.bitrate.store(report.bitrate);
        self.loss.store((report.loss * 1_000.0) as u32, Ordering::Relaxed);
        self.until.store(report.until.0, Ordering::Relaxed);
        self.evidence.store(report.evidence as u8, Ordering::Release);
    }

    /// The state at this time; `None` before the first report.
    pub fn estimate(&self, now: Mono) -> Option<Estimate> {
        let evidence = match self.evidence.load(Ordering::Acquire) {
            said if said == Evidence::Guessed as u8 => Evidence::Guessed,
            said if said == Evidence::Measured as u8 && now.0 <= self.until.load(Ordering::Relaxed) => {
                Evidence::Measured
            }
            _ => Evidence::Silent,
        };
        let evidence = if self.lost.load(Ordering::Relaxed) { Evidence::Silent } else { evidence };
        let (bitrate, loss) = (self.bitrate.load()?, self.loss.load(Ordering::Relaxed));
        let login = self.login.load(Ordering::Relaxed);
        Some(Estimate { id: self.id, login, bitrate, loss: f64::from(loss) / 1_000.0, evidence })
    }

    /// Sets the login, as a number that stands for it.
    pub fn set_login(&self, login: u64) {
        self.login.store(login, Ordering::Relaxed);
    }

    /// Sets whether the connection has lost its path. Until it has one again, earlier measurements do not count.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Whether packets were lost recently.
    pub fn is_lossy(&self) -> bool {
        self.lossy.load(Ordering::Relaxed)
    }

    /// Sets whether packets were lost recently.
    pub fn set_lossy(&self, lossy: bool) {
        self.lossy.store(lossy, Ordering::Relaxed);
    }

    /// Whether the viewer gets keyframes only, because its network is much slower than the others.
    pub fn is_keyframe_only(&self) -> bool {
        self.keyframe_only.load(Ordering::Relaxed)
    }

    /// Sets whether the viewer gets keyframes only.
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
        let report = NetworkReport {
            bitrate: Bitrate::from_kbps(1_000),
            loss: 0.01,
            evidence: Evidence::Guessed,
            until: Mono(0),
        };
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
