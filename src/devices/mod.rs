//! Switches camera and microphone on and off. One task per device ([`device_task`]); it alone starts, watches and ends the device's
//! thread.

mod device_task;

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config,
    devices::device_task::Body,
    feed::{self, Health},
    liveness::Liveness,
    media_source::MediaSource,
    protocol::MediaHealth,
};

/// Camera and microphone.
#[derive(Debug)]
pub struct Devices {
    /// The picture; `None` where it is switched off in the config.
    pub video: Option<MediaSource>,
    /// The sound; `None` where it is switched off in the config.
    pub audio: Option<MediaSource>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Devices {
    /// Makes both stages; nothing is opened before somebody asks.
    pub fn new(video: &config::Video, audio: &config::Audio, liveness: &Liveness) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        let mut source = |name, ring, linger: Duration, body: Body| {
            let (source, task) = device_task::spawn(name, ring, linger, body, stop.subscribe(), liveness);
            tasks.push(task);
            source
        };
        let (v, a) = (video.clone(), audio.clone());
        let video = (video.source != config::VideoSource::Off).then(|| {
            let body: Body = std::sync::Arc::new(move |out, stop| crate::video::run(&v, out, stop));
            source("video", feed::VIDEO_RING, video.linger, body)
        });
        let audio = (audio.source != config::AudioSource::Off).then(|| {
            let body: Body = std::sync::Arc::new(move |out, stop| crate::audio::run(&a, out, stop));
            source("audio", feed::AUDIO_RING, audio.linger, body)
        });
        Self { video, audio, tasks, stop }
    }

    /// How picture and sound are doing now.
    pub fn health(&self) -> MediaHealth {
        let of = |source: &Option<MediaSource>| source.as_ref().map_or(Health::Absent, |s| s.writer.health());
        MediaHealth { video: of(&self.video), audio: of(&self.audio) }
    }

    /// Ends both devices and waits until their threads have ended; not for those that hang.
    pub async fn close(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
