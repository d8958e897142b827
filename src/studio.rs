//! Switches camera and microphone on and off. One task per device ([`keeper`]); it alone starts, watches and ends the device's
//! thread.

mod keeper;

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle};

use self::keeper::Body;
use crate::{
    config,
    feed::{self, Health},
    protocol::MediaHealth,
    pulse::Pulse,
    stage::Stage,
};

/// Camera and microphone.
#[derive(Debug)]
pub struct Studio {
    /// The picture; `None` where it is switched off in the config.
    pub video: Option<Stage>,
    /// The sound; `None` where it is switched off in the config.
    pub audio: Option<Stage>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Studio {
    /// Makes both stages; nothing is opened before somebody asks.
    pub fn new(video: &config::Video, audio: &config::Audio, pulse: &Pulse) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        let mut stage = |name, ring, linger: Duration, body: Body| {
            let (stage, task) = keeper::stage(name, ring, linger, body, stop.subscribe(), pulse);
            tasks.push(task);
            stage
        };
        let (v, a) = (video.clone(), audio.clone());
        let video = (video.source != config::VideoSource::Off).then(|| {
            let body: Body = std::sync::Arc::new(move |out, stop| crate::video::run(&v, out, stop));
            stage("video", feed::VIDEO_RING, video.linger, body)
        });
        let audio = (audio.source != config::AudioSource::Off).then(|| {
            let body: Body = std::sync::Arc::new(move |out, stop| crate::audio::run(&a, out, stop));
            stage("audio", feed::AUDIO_RING, audio.linger, body)
        });
        Self { video, audio, tasks, stop }
    }

    /// How picture and sound are doing now.
    pub fn health(&self) -> MediaHealth {
        let of = |stage: &Option<Stage>| stage.as_ref().map_or(Health::Absent, |s| s.writer.health());
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
