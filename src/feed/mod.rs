//! The fan-out from one device thread to its viewers: coded frames and health. What viewers ask of the encoder goes the
//! other way, through [`EncoderRequests`].
//!
//! One writer, many readers, and a ring between them. The writer never waits: it overwrites the oldest frame. A
//! reader that is late loses frames of its own, and continues with the next keyframe (video) or the newest packet
//! (audio).

mod access_unit;
mod camera;
mod figures;
mod network;
mod requests;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::{broadcast, watch};

use self::figures::FeedCounter;
pub use self::{
    access_unit::{AccessUnit, AccessUnitWriter, NalUnit},
    camera::{
        CAMERA_QUESTIONS, CameraAnswer, CameraQuestion, CameraRefusal, CameraRequests, ControlDescription, ControlKind,
        ControlUnit, ControlsQuestion, MenuItem, SAVED_CONTROLS, TakenPicture,
    },
    figures::FeedFigures,
    network::{Estimate, Evidence, Network, NetworkReport},
    requests::EncoderRequests,
};
use crate::{clock::Mono, level::Level};

/// Frames in the video ring: one second at 30/s.
pub const VIDEO_RING: usize = 32;
/// Packets in the audio ring: one second of 20 ms packets.
pub const AUDIO_RING: usize = 50;
/// The most characters of a sentence that says why a source does not work.
pub const REASON: usize = 300;

/// One coded frame (an access unit, or an Opus packet), cut into RTP payloads once for all viewers.
#[derive(Debug)]
pub struct Frame {
    /// Its bytes, and where to cut them. They are shared and never copied for fan-out.
    pub unit: AccessUnit,
    /// Whether a decoder can start here.
    pub key: bool,
    /// The level of H.264 that its parameter sets ask of a decoder; `None` for audio.
    pub level: Option<Level>,
    /// Media time in ticks of the codec's RTP clock (90 kHz video, 48 kHz audio), not wrapped. For audio it counts
    /// samples, so lost audio is a gap here.
    pub ticks: u64,
    /// The capture time of the first sample or line.
    pub at: Mono,
}

impl Frame {
    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.unit.payload_len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The health of a source, as viewers and `status` see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Frames arrive, or would if somebody watched.
    #[default]
    Ok,
    /// The device is being opened; no frame yet.
    Starting,
    /// The device is open, but no frame has come for a while.
    Stalled,
    /// The device is missing, or not configured.
    Absent,
    /// The lens is covered, or the device is switched off on purpose.
    Privacy,
}

/// Why a device thread ended by itself. The text is for a person: what was being done, to what, what was reported,
/// what is possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The device is missing. It is tried again while somebody watches.
    #[error("{0}")]
    Absent(String),
    /// The device is there and does not work. It is tried again, with growing pauses.
    #[error("{0}")]
    Failed(String),
}

/// The writing end: one device thread.
#[derive(Debug, Clone)]
pub struct FeedWriter {
    frames: broadcast::Sender<Arc<Frame>>,
    requests: Arc<EncoderRequests>,
    health: Arc<watch::Sender<Health>>,
    /// Why the source does not work, for a person.
    reason: Arc<Mutex<Option<Arc<str>>>>,
    /// Ticks of the last frame plus one; 0 before the first frame.
    ticks: Arc<AtomicU64>,
    /// Whether this writer is cut off.
    cut: Arc<AtomicBool>,
    /// Whether the privacy switch is on.
    stopped: Arc<AtomicBool>,
    counter: Arc<Mutex<FeedCounter>>,
}

/// The reading end: one viewer.
#[derive(Debug)]
pub struct FeedReader {
    frames: broadcast::Receiver<Arc<Frame>>,
    requests: Arc<EncoderRequests>,
    network: Arc<Network>,
    health: watch::Receiver<Health>,
    stopped: Arc<AtomicBool>,
}

/// What a reader receives.
#[derive(Debug)]
pub enum FeedItem {
    /// The next frame.
    Frame(Arc<Frame>),
    /// This many frames were overwritten before they were read.
    Missed(u64),
}

/// Makes a feed whose ring holds `capacity` frames.
pub fn feed(capacity: usize) -> FeedWriter {
    FeedWriter {
        frames: broadcast::Sender::new(capacity),
        requests: Arc::default(),
        health: Arc::new(watch::Sender::new(Health::Starting)),
        reason: Arc::default(),
        ticks: Arc::default(),
        cut: Arc::default(),
        stopped: Arc::default(),
        counter: Arc::default(),
    }
}

impl FeedWriter {
    /// A writer for one thread. It can be cut off without the others.
    pub fn for_thread(&self) -> Self {
        Self { cut: Arc::default(), ..self.clone() }
    }

    /// Cuts this writer off: its thread was abandoned and may come back at any time. Nothing that it writes is sent.
    pub fn cut_off(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Sends a frame to all readers; without readers it is dropped. Never waits.
    pub fn send(&self, frame: Frame) {
        if self.cut.load(Ordering::Acquire) || self.stopped.load(Ordering::Acquire) {
            return;
        }
        self.counter().count(frame.len(), Mono::now());
        self.ticks.store(frame.ticks.saturating_add(1), Ordering::Release);
        let _ = self.frames.send(Arc::new(frame));
    }

    /// Ticks of the last frame sent, by this device thread or an earlier one. A new thread must not go back behind
    /// it.
    pub fn last_ticks(&self) -> Option<u64> {
        self.ticks.load(Ordering::Acquire).checked_sub(1)
    }

    /// The requests of the readers.
    pub fn requests(&self) -> &EncoderRequests {
        &self.requests
    }

    /// Sets the health of the source.
    pub fn set_health(&self, health: Health) {
        if self.cut.load(Ordering::Acquire) {
            return;
        }
        if matches!(health, Health::Ok | Health::Starting | Health::Privacy) {
            *self.reason() = None;
        }
        self.health.send_if_modified(|now| self.replace_health(now, health));
    }

    /// While the privacy switch is on, the health is `Privacy` whatever the device says. This runs while the health is
    /// locked, so that nothing comes between the question and the answer.
    fn replace_health(&self, now: &mut Health, health: Health) -> bool {
        let health = if self.stopped.load(Ordering::Acquire) { Health::Privacy } else { health };
        std::mem::replace(now, health) != health
    }

    /// The privacy switch was set or lifted. While it is on, nothing is sent, and the health is `Privacy`. `health`:
    /// the one from now on, if it is off.
    pub fn set_stopped(&self, stopped: bool, health: Health) {
        *self.reason() = None;
        self.stopped.store(stopped, Ordering::Release);
        self.health.send_if_modified(|now| self.replace_health(now, health));
    }

    /// Whether the privacy switch is on.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// What was sent since the device was opened.
    pub fn figures(&self, now: Mono) -> FeedFigures {
        self.counter().now(now)
    }

    /// The device is opened: its figures begin again.
    pub fn reset_figures(&self) {
        *self.counter() = FeedCounter::default();
    }

    /// Sets the size of the pictures that are encoded.
    pub fn set_size(&self, size: (u32, u32)) {
        self.counter().set_size(size);
    }

    fn counter(&self) -> MutexGuard<'_, FeedCounter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a bad health of the source, and the reason: a sentence for viewers, cut at [`REASON`] characters. The
    /// sentence stays until `set_health` reports that the source works or starts.
    pub fn set_trouble(&self, health: Health, why: &str) {
        if self.cut.load(Ordering::Acquire) {
            return;
        }
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON).collect();
        let why: Arc<str> = why.into();
        if self.is_stopped() {
            return;
        }
        let changed = *self.reason() != Some(Arc::clone(&why));
        *self.reason() = Some(why);
        self.health.send_if_modified(|now| self.replace_health(now, health) || changed);
    }

    /// Why the source does not work, if that is known.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.reason().clone()
    }

    fn reason(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The health of the source.
    pub fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Follows the health of the source.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A new reader, from the next frame on.
    pub fn subscribe(&self) -> FeedReader {
        FeedReader {
            frames: self.frames.subscribe(),
            requests: Arc::clone(&self.requests),
            network: self.requests.join(),
            health: self.health.subscribe(),
            stopped: Arc::clone(&self.stopped),
        }
    }
}

impl FeedReader {
    /// The next frame, or how many were missed; `None` when the source has ended for good. Cancel safe.
    pub async fn next(&mut self) -> Option<FeedItem> {
        match self.frames.recv().await {
            Ok(frame) => Some(FeedItem::Frame(frame)),
            Err(broadcast::error::RecvError::Lagged(n)) => Some(FeedItem::Missed(n)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Skips the frames in the ring: the reader continues with the next frame sent.
    pub fn skip_to_now(&mut self) {
        self.frames = self.frames.resubscribe();
    }

    /// Whether the privacy switch is on. Frames that are still on their way must not leave then.
    pub fn stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }

    /// The requests that this reader can make.
    pub fn requests(&self) -> &Arc<EncoderRequests> {
        &self.requests
    }

    /// The network of this reader.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Follows the health of the source.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

#[cfg(test)]
mod tests;
