//! What viewers ask of the encoder: keyframes, a bitrate, and the list of networks that it serves.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use super::{camera::CameraRequests, network::Network};
use crate::units::{AtomicBitrate, Bitrate};

/// The default floor: the share of the configured bitrate, in per cent, that one slow viewer cannot take from the
/// others.
const FLOOR_PERCENT: u32 = 33;

/// What viewers ask of an encoder. A newer request replaces an older one; ten requests for a keyframe are one.
#[derive(Debug, Default)]
pub struct EncoderRequests {
    key: AtomicBool,
    repair: AtomicBool,
    bitrate: AtomicBitrate,
    /// In per cent plus one; 0: not set.
    floor: AtomicU32,
    /// The networks of all readers. Those that are gone are removed when the list is read.
    networks: Mutex<Vec<Weak<Network>>>,
    ids: AtomicU64,
    camera: CameraRequests,
}

impl EncoderRequests {
    /// Requests a keyframe as soon as possible, because a viewer joins.
    pub fn request_keyframe(&self) {
        self.key.store(true, Ordering::Release);
    }

    /// Requests a keyframe because a picture broke (PLI, FIR, a viewer that was late). At most one a second is made.
    pub fn request_repair(&self) {
        self.repair.store(true, Ordering::Release);
    }

    /// What commands ask of the camera.
    pub fn camera(&self) -> &CameraRequests {
        &self.camera
    }

    /// Whether a repair was requested since the last call.
    pub fn take_repair(&self) -> bool {
        self.repair.swap(false, Ordering::AcqRel)
    }

    /// Whether a keyframe was requested since the last call.
    pub fn take_key(&self) -> bool {
        self.key.swap(false, Ordering::AcqRel)
    }

    /// The networks of the readers.
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

    /// Requests another bitrate than the one that the device started with.
    pub fn request_bitrate(&self, bitrate: Bitrate) {
        self.bitrate.store(bitrate);
    }

    /// The requested bitrate; `None`: the one that the device started with.
    pub fn bitrate(&self) -> Option<Bitrate> {
        self.bitrate.load()
    }

    /// Sets the floor: the share of the configured bitrate, in per cent, that one slow viewer cannot take from the
    /// others.
    pub fn set_floor(&self, percent: u32) {
        self.floor.store(percent.min(100) + 1, Ordering::Release);
    }

    /// The floor, 0 to 1.
    pub fn floor(&self) -> f64 {
        f64::from(self.floor.load(Ordering::Acquire).checked_sub(1).unwrap_or(FLOOR_PERCENT)) / 100.0
    }
}
