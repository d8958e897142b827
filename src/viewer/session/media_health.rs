//! The health of camera and microphone, as one session follows it.

use tokio::sync::watch;

use crate::{feed::Health, media_source::MediaSource, protocol::MediaHealth, viewer::health_changed};

/// Follows the health of camera and microphone. `None`: there is no such device.
pub(crate) struct MediaHealthWatch {
    video: (Option<watch::Receiver<Health>>, Option<MediaSource>),
    audio: (Option<watch::Receiver<Health>>, Option<MediaSource>),
}

impl MediaHealthWatch {
    pub(crate) fn new(video: Option<&MediaSource>, audio: Option<&MediaSource>) -> Self {
        let follow = |source: Option<&MediaSource>| (source.map(MediaSource::health), source.cloned());
        Self { video: follow(video), audio: follow(audio) }
    }

    pub(crate) fn now(&mut self) -> MediaHealth {
        let of = |health: &mut Option<watch::Receiver<Health>>| {
            health.as_mut().map_or(Health::Absent, |health| *health.borrow_and_update())
        };
        MediaHealth { video: of(&mut self.video.0), audio: of(&mut self.audio.0) }
    }

    /// Why camera and microphone do not work, if that is known.
    pub(crate) fn reasons(&self) -> (Option<String>, Option<String>) {
        let of = |source: &Option<MediaSource>| {
            source.as_ref().and_then(MediaSource::trouble).map(|why| why.as_ref().to_owned())
        };
        (of(&self.video.1), of(&self.audio.1))
    }

    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = health_changed(&mut self.video.0) => {}
            () = health_changed(&mut self.audio.0) => {}
        }
    }
}
