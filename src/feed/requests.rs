//! What viewers ask of the encoder: keyframes, a bitrate, and the list of networks that it serves.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use super::network::Network;

/// The share of the configured bitrate, in per cent, that one viewer's network leaves to the others where nobody said otherwise.
const FLOOR_PERCENT: u32 = 33;

/// What viewers ask of an encoder. A newer request replaces an older one; ten requests for a keyframe are one.
#[derive(Debug, Default)]
pub struct EncoderRequests {
    key: AtomicBool,
    repair: AtomicBool,
    bitrate: AtomicU32,
    /// In per cent, and one more; 0: nobody said.
    floor: AtomicU32,
    /// Of the readers there are; those who left are found out when the list is read.
    networks: Mutex<Vec<Weak<Network>>>,
    ids: AtomicU64,
}

impl EncoderRequests {
    /// Asks for a key frame as soon as possible: a viewer joins.
    pub fn request_keyframe(&self) {
        self.key.store(true, Ordering::Release);
    }

    /// Asks for a key frame because a picture broke (PLI, FIR, a viewer that fell behind); at most one a second is made.
    pub fn request_repair(&self) {
        self.repair.store(true, Ordering::Release);
    }

    /// Whether a repair was wished for since the last call.
    pub fn take_repair(&self) -> bool {
        self.repair.swap(false, Ordering::AcqRel)
    }

    /// Whether a key frame was wished for since the last call.
    pub fn take_key(&self) -> bool {
        self.key.swap(false, Ordering::AcqRel)
    }

    /// The readers' networks.
    pub fn networks(&self) -> Vec<Arc<Network>> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.retain(|network| network.strong_count() > 0);
        networks.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn join(&self) -> Arc<Network> {
        let network = Arc::new(Network::new(self.ids.fetch_add(1, Ordering::Relaxed)));
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.retain(|network| network.strong_count() > 0);
        networks.push(Arc::downgrade(&network));
        network
    }

    /// Asks for a bitrate in bits per second; 0 is the configured one.
    pub fn request_bitrate(&self, bits: u32) {
        self.bitrate.store(bits, Ordering::Release);
    }

    /// The bitrate wished for; 0 is the configured one.
    pub fn bitrate(&self) -> u32 {
        self.bitrate.load(Ordering::Acquire)
    }

    /// Sets the share of the configured bitrate, in per cent, below which one viewer's network does not lower the picture
    /// of the others.
    pub fn set_floor(&self, percent: u32) {
        self.floor.store(percent.min(100) + 1, Ordering::Release);
    }

    /// That share, 0 to 1.
    pub fn floor(&self) -> f64 {
        f64::from(self.floor.load(Ordering::Acquire).checked_sub(1).unwrap_or(FLOOR_PERCENT)) / 100.0
    }
}
