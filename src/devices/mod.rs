//! Opens and closes camera and microphone. One task per device ([`device_task`]) starts, watches and ends the
//! device's thread; nothing else does.

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
    /// The camera; `None` if the configuration switches it off.
    pub video: Option<MediaSource>,
    /// The microphone; `None` if the configuration switches it off.
    pub audio: Option<MediaSource>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Devices {
    /// Makes both media sources. No device is opened before somebody asks for it.
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

    /// The health of picture and sound now.
    pub fn health(&self) -> MediaHealth {
        let of = |source: &Option<MediaSource>| source.as_ref().map_or(Health::Absent, |s| s.writer.health());
        MediaHealth { video: of(&self.video), audio: of(&self.audio) }
    }

    /// Closes both devices and waits for their threads, except for threads that hang.
    pub async fn close(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
