//! Opens and closes camera and microphone. One task per device ([`device_task`]) starts, watches and ends the
//! device's thread; nothing else does.

mod device_task;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config::{self, Id},
    devices::device_task::Body,
    feed,
    liveness::Liveness,
    media_source::{MediaSources, SourceId},
    protocol::info::CAMERA,
};

/// The id of the microphone. There is one.
const MICROPHONE: &str = "main";

/// Camera and microphone.
#[derive(Debug)]
pub struct Devices {
    /// The media sources, without those that the configuration switches off.
    pub sources: MediaSources,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Devices {
    /// Makes the media sources. No device is opened before somebody asks for it.
    pub fn new(video: &config::Video, audio: &config::Audio, liveness: &Liveness) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        let mut source = |name, ring, linger: Duration, body: Body| {
            let (source, task) = device_task::spawn(name, ring, linger, body, stop.subscribe(), liveness);
            tasks.push(task);
            source
        };
        let id = |id: &str| Id::new(id).expect("an id of this program");
        let mut sources = Vec::new();
        if video.source != config::VideoSource::Off {
            let settings = video.clone();
            let body: Body = Arc::new(move |out, stop| crate::video::run(&settings, out, stop));
            sources.push((SourceId::Camera(id(CAMERA)), source("video", feed::VIDEO_RING, video.linger, body)));
        }
        if audio.source != config::AudioSource::Off {
            let settings = audio.clone();
            let body: Body = Arc::new(move |out, stop| crate::audio::run(&settings, out, stop));
            sources.push((SourceId::Microphone(id(MICROPHONE)), source("audio", feed::AUDIO_RING, audio.linger, body)));
        }
        Self { sources: sources.into_iter().collect(), tasks, stop }
    }

    /// Closes both devices and waits for their threads, except for threads that hang.
    pub async fn close(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}
