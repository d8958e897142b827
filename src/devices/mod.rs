//! Opens and closes camera, microphone and loudspeaker. One task per device ([`device_task`]) starts, watches and ends
//! the device's thread; nothing else does.

mod device_task;
mod device_thread;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    config::{self, Id},
    devices::device_task::{Body, DeviceLabel},
    feed::{self, Fault},
    gpio::{LampHandle, lamp::LampDevice},
    liveness::Liveness,
    media_source::{MediaSources, SourceId, SpeakerHandle},
    protocol::info::CAMERA,
    talk::turns::TalkTurns,
};

/// The id of the microphone. There is one.
const MICROPHONE: &str = "main";

/// Camera, microphone and loudspeaker.
#[derive(Debug)]
pub struct Devices {
    /// The media sources, without those that the configuration switches off.
    pub sources: MediaSources,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    lamps: LampHandle,
}

impl Devices {
    /// Makes the media sources. No device is opened before somebody asks for it. While `privacy` is true, neither
    /// camera nor microphone is opened. `lamps` follow what may be open.
    pub fn new(
        video: &config::Video,
        audio: &config::Audio,
        speaker: &config::Speaker,
        privacy: &watch::Receiver<bool>,
        lamps: LampHandle,
        liveness: &Liveness,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        let mut source = |label, ring, linger: Duration, privacy: &watch::Receiver<bool>, body: Body| {
            let (source, task) =
                device_task::spawn(label, ring, linger, body, stop.subscribe(), privacy.clone(), liveness);
            tasks.push(task);
            source
        };
        let label = |name, device| DeviceLabel { name, lamp: lamps.of_device(device) };
        let id = |id: &str| Id::new(id).expect("an id of this program");
        let mut sources = Vec::new();
        if video.source != config::VideoSource::Off {
            let settings = video.clone();
            let body: Body = Arc::new(move |out, stop| crate::video::run(&settings, out, stop));
            let camera = source(label("video", LampDevice::Camera), feed::VIDEO_RING, video.linger, privacy, body);
            sources.push((SourceId::Camera(id(CAMERA)), camera));
        }
        if audio.source != config::AudioSource::Off {
            let settings = audio.clone();
            let body: Body = Arc::new(move |out, stop| crate::audio::run(&settings, out, stop));
            let label = label("audio", LampDevice::Microphone);
            let microphone = source(label, feed::AUDIO_RING, audio.linger, privacy, body);
            sources.push((SourceId::Microphone(id(MICROPHONE)), microphone));
        }
        let loudspeaker = (speaker.output != config::SpeakerOutput::Off).then(|| {
            // The body needs the turns, and these need the source that it belongs to.
            let turns = Arc::new(OnceLock::<TalkTurns>::new());
            let (settings, of_thread) = (speaker.clone(), Arc::clone(&turns));
            let body: Body = Arc::new(move |out, stop| {
                let turns = of_thread.get().ok_or_else(|| Fault::Failed("the speaker has no turns".into()))?;
                crate::audio::speaker::run(&settings, turns, out, stop)
            });
            // The loudspeaker tells nobody what happens here, so the switch does not stop it.
            let private = watch::Sender::new(false).subscribe();
            let source = source(label("speaker", LampDevice::Speaker), 1, speaker.linger, &private, body);
            let turns = turns.get_or_init(|| TalkTurns::new(source.wanted())).clone();
            SpeakerHandle { turns, source }
        });
        let sources: MediaSources = sources.into_iter().collect();
        Self { sources: sources.with_speaker(loudspeaker), tasks, stop, lamps }
    }

    /// Closes all devices and waits for their threads, except for threads that hang. Then the lamps are dark.
    pub async fn close(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
        let lamps = self.lamps;
        let _ = tokio::task::spawn_blocking(move || lamps.close()).await;
    }
}
