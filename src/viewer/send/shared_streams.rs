//! The outgoing streams of one viewer, by SSRC: what the pump of each stream shares with the interceptor.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    feed::{EncoderRequests, FeedReader, Network},
    viewer::send::{burst::PendingBursts, sender_report::RtpClockAnchor, stream_state::NegotiatedIds},
};

/// What the pump of one outgoing stream shares with the interceptor.
#[derive(Debug)]
pub(crate) struct SharedStream {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// What was negotiated for it.
    pub ids: NegotiatedIds,
    /// RTP time and capture time of its newest frame.
    pub clock: RtpClockAnchor,
    /// The packets that follow the first packet of a video frame.
    pub bursts: PendingBursts,
    /// The requests to its encoder; `None` for audio, which has no keyframes.
    pub requests: Option<Arc<EncoderRequests>>,
    /// The viewer's network, as its encoder sees it.
    pub network: Arc<Network>,
    /// Whether the privacy switch is on.
    pub stopped: Arc<AtomicBool>,
}

impl SharedStream {
    /// A video stream that reads this feed.
    pub(crate) fn video(ssrc: u32, ids: NegotiatedIds, reader: &FeedReader) -> Self {
        Self { requests: Some(Arc::clone(reader.requests())), ..Self::audio(ssrc, ids, reader) }
    }

    /// An audio stream that reads this feed.
    pub(crate) fn audio(ssrc: u32, ids: NegotiatedIds, reader: &FeedReader) -> Self {
        let (network, stopped) = (Arc::clone(reader.network()), reader.stopped());
        let (clock, bursts) = (RtpClockAnchor::default(), PendingBursts::default());
        Self { ssrc, ids, clock, bursts, requests: None, network, stopped }
    }

    /// Whether nothing of it may leave, for privacy.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether it carries video.
    pub(crate) fn is_video(&self) -> bool {
        self.requests.is_some()
    }

    /// Requests a keyframe because the picture broke. A keyframe-only viewer gets keyframes at its own pace.
    pub(crate) fn request_repair(&self) {
        self.asked().inspect(|requests| requests.request_repair());
    }

    /// Requests a keyframe at once, because the viewer is reached again: a keyframe from before did not arrive.
    pub(crate) fn request_keyframe(&self) {
        self.asked().inspect(|requests| requests.request_keyframe());
    }

    fn asked(&self) -> Option<&EncoderRequests> {
        self.requests.as_deref().filter(|_| !self.network.is_keyframe_only())
    }
}

/// The outgoing streams of one viewer. They are few, so that a search is short.
#[derive(Debug, Default)]
pub(crate) struct SharedStreams(Mutex<Vec<Arc<SharedStream>>>);

impl SharedStreams {
    /// Adds a stream. It replaces one with the same SSRC.
    pub(crate) fn add(&self, stream: SharedStream) -> Arc<SharedStream> {
        let stream = Arc::new(stream);
        let mut streams = self.lock();
        streams.retain(|other| other.ssrc != stream.ssrc);
        streams.push(Arc::clone(&stream));
        stream
    }

    /// The stream with this SSRC.
    pub(crate) fn get(&self, ssrc: u32) -> Option<Arc<SharedStream>> {
        self.find(|stream| stream.ssrc == ssrc)
    }

    /// The first video stream.
    pub(crate) fn video(&self) -> Option<Arc<SharedStream>> {
        self.find(SharedStream::is_video)
    }

    /// Whether the privacy switch is on. It stops all streams.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().iter().any(|stream| stream.is_stopped())
    }

    /// Calls `visit` for each stream. It must not use these streams itself.
    pub(crate) fn for_each(&self, visit: impl FnMut(&SharedStream)) {
        self.lock().iter().map(|stream| &**stream).for_each(visit);
    }

    fn find(&self, is_it: impl Fn(&SharedStream) -> bool) -> Option<Arc<SharedStream>> {
        self.lock().iter().find(|stream| is_it(stream)).map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<SharedStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
