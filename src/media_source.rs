//! A camera or microphone as its viewers see it: its feed, and a lease that keeps it open. [`MediaSources`] has all of
//! them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    clock::Mono,
    config::Id,
    feed::{CameraRequests, FeedFigures, FeedReader, FeedWriter, Health},
    talk::turns::TalkTurns,
    units::Bitrate,
};

/// The name of a media source. Cameras come before microphones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceId {
    /// A camera, by its id in `info`.
    Camera(Id),
    /// A microphone.
    Microphone(Id),
}

/// All cameras and microphones of the board, by id. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct MediaSources {
    sources: Arc<BTreeMap<SourceId, MediaSource>>,
    speaker: Option<SpeakerHandle>,
}

/// The loudspeaker as its talkers see it. A cheap handle.
#[derive(Debug, Clone)]
pub struct SpeakerHandle {
    /// Who may talk, and the packets for the loudspeaker.
    pub turns: TalkTurns,
    /// Its health. It sends no frames.
    pub source: MediaSource,
}

impl FromIterator<(SourceId, MediaSource)> for MediaSources {
    fn from_iter<T: IntoIterator<Item = (SourceId, MediaSource)>>(sources: T) -> Self {
        Self { sources: Arc::new(sources.into_iter().collect()), speaker: None }
    }
}

impl MediaSources {
    /// The same with a loudspeaker.
    pub fn with_speaker(self, speaker: Option<SpeakerHandle>) -> Self {
        Self { speaker, ..self }
    }

    /// The loudspeaker. `None` if the board has none.
    pub fn speaker(&self) -> Option<&SpeakerHandle> {
        self.speaker.as_ref()
    }

    /// The source with this id.
    pub fn get(&self, id: &SourceId) -> Option<&MediaSource> {
        self.sources.get(id)
    }

    /// All cameras.
    pub fn cameras(&self) -> impl Iterator<Item = &MediaSource> {
        self.sources.iter().filter(|(id, _)| matches!(id, SourceId::Camera(_))).map(|(_, source)| source)
    }

    /// The ids of all cameras, and the cameras.
    pub fn cameras_by_id(&self) -> impl Iterator<Item = (&Id, &MediaSource)> {
        self.sources.iter().filter_map(|(id, source)| match id {
            SourceId::Camera(id) => Some((id, source)),
            SourceId::Microphone(_) => None,
        })
    }

    /// All microphones.
    pub fn microphones(&self) -> impl Iterator<Item = &MediaSource> {
        self.sources.iter().filter(|(id, _)| matches!(id, SourceId::Microphone(_))).map(|(_, source)| source)
    }

    /// The camera for a viewer that names none: the first one. `None` if the board has no camera.
    pub fn camera(&self) -> Option<&MediaSource> {
        self.cameras().next()
    }

    /// The microphone for a viewer that names none: the first one. `None` if the board has no microphone.
    pub fn microphone(&self) -> Option<&MediaSource> {
        self.microphones().next()
    }
}

/// One device and its feed. A cheap handle, made by the device's task.
#[derive(Debug, Clone)]
pub struct MediaSource {
    /// The writing end of its feed.
    pub(crate) writer: FeedWriter,
    /// The number of leases.
    pub(crate) wanted: watch::Sender<usize>,
    /// Whether the device's thread runs.
    pub(crate) on: watch::Receiver<bool>,
    /// What is wrong with the device, for a person; `None` if nothing is.
    pub(crate) trouble: watch::Receiver<Option<Arc<str>>>,
    /// How long the device stays open after the last lease.
    pub(crate) linger: watch::Sender<Duration>,
    /// Its health, for those who wait for any change.
    pub(crate) seen: watch::Receiver<Health>,
}

/// Keeps a device open, and reads its feed. Dropping it releases the device.
#[derive(Debug)]
pub struct Lease {
    /// The feed.
    pub reader: FeedReader,
    wanted: watch::Sender<usize>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.wanted.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl MediaSource {
    /// The number of leases, for an owner of the only lease.
    pub fn wanted(&self) -> watch::Sender<usize> {
        self.wanted.clone()
    }

    /// Asks for the device. It starts if it was closed.
    pub fn lease(&self) -> Lease {
        self.wanted.send_modify(|n| *n += 1);
        Lease { reader: self.writer.subscribe(), wanted: self.wanted.clone() }
    }

    /// Follows the health of the device.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.watch_health()
    }

    /// Why the device does not work, if that is known.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.writer.trouble()
    }

    /// Changes how long the device stays open after the last viewer.
    pub fn set_linger(&self, linger: Duration) {
        self.linger.send_replace(linger);
    }

    /// Changes the bitrate of the encoder while it runs.
    pub fn set_bitrate(&self, bitrate: Bitrate) {
        self.writer.requests().request_bitrate(bitrate);
    }

    /// Sets the floor: the share of the configured bitrate, in per cent, that one slow viewer cannot take from the
    /// others.
    pub fn set_floor(&self, percent: u32) {
        self.writer.requests().set_floor(percent);
    }

    /// Requests a keyframe of the encoder, as a PLI does. A device that is off stays off.
    pub fn request_repair(&self) {
        self.writer.requests().request_repair();
    }

    /// What commands ask of a camera. Its thread answers while it runs: ask with a lease.
    pub fn camera(&self) -> &CameraRequests {
        self.writer.requests().camera()
    }

    /// What was sent since the device was opened.
    pub fn figures(&self, now: Mono) -> FeedFigures {
        self.writer.figures(now)
    }

    /// Whether the device's thread runs.
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// The state of the device, for a person: `on`, `off`, or what is wrong.
    pub fn described(&self) -> String {
        let trouble = self.trouble.borrow().clone();
        let because = |what: &str| trouble.as_ref().map_or_else(|| what.to_owned(), |why| format!("{what} ({why})"));
        match self.writer.health() {
            Health::Ok if self.is_on() => "on".to_owned(),
            Health::Ok => "off".to_owned(),
            Health::Starting => "starting".to_owned(),
            Health::Privacy if self.writer.is_stopped() => "off for privacy".to_owned(),
            Health::Privacy => "on, covered".to_owned(),
            Health::Stalled => because("stalled"),
            Health::Absent => because("absent"),
        }
    }

    /// Waits until [`described`](Self::described) may have changed.
    pub async fn changed(&mut self) {
        let ended = tokio::select! {
            changed = self.seen.changed() => changed,
            changed = self.on.changed() => changed,
            changed = self.trouble.changed() => changed,
        };
        if ended.is_err() {
            // The device's task is gone.
            std::future::pending::<()>().await;
        }
    }
}
