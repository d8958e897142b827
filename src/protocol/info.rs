//! `info`: what the device is and can do (section 3). It is retained, and published once per connection. Pure.

use bytes::Bytes;
use serde::Serialize;

use super::VERSION;
use crate::{
    config::{AudioSource, Config, SpeakerOutput, VideoSource},
    jose::PublicKey,
};

/// The id of the camera. There is one.
pub const CAMERA: &str = "main";

/// The features of this version, for viewers that want to know before they ask.
const FEATURES: [&str; 6] = ["offer", "request", "trickle", "restart", "renew", "commands"];

#[derive(Serialize)]
struct Info<'a> {
    v: u32,
    device: &'a str,
    name: &'a str,
    software: &'static str,
    protocol: [u32; 1],
    auth: &'static str,
    features: [&'static str; FEATURES.len()],
    cameras: Vec<Camera>,
    audio: Option<Sound>,
    talk: bool,
    controls: [&'static str; 0],
    limits: Limits,
}

#[derive(Serialize)]
struct Camera {
    id: &'static str,
    codecs: [&'static str; 1],
    sizes: [[u32; 2]; 1],
    rates: [u32; 1],
}

#[derive(Serialize)]
struct Sound {
    codecs: [&'static str; 1],
    rate: u32,
    channels: u8,
}

#[derive(Serialize)]
struct Limits {
    viewers: usize,
    sessions_per_viewer: usize,
    setups: usize,
    starts_per_minute: u32,
    messages_per_second: u32,
    candidates: usize,
    restarts_per_minute: u32,
    session_s: u64,
    lease_s: u64,
}

/// Composes `info` from the configuration. It lists what viewers may ask for; `status` has the state.
pub fn info(config: &Config) -> Bytes {
    let (video, audio, limits) = (&config.video, &config.audio, &config.limits);
    let camera = Camera { id: CAMERA, codecs: ["h264"], sizes: [[video.size.0, video.size.1]], rates: [video.fps] };
    let info = Info {
        v: VERSION,
        device: config.device.as_str(),
        name: &config.name,
        software: concat!("fanlight/", env!("CARGO_PKG_VERSION")),
        protocol: [VERSION],
        auth: config.access.mode.word(),
        features: FEATURES,
        cameras: if video.source == VideoSource::Off { Vec::new() } else { vec![camera] },
        audio: (audio.source != AudioSource::Off).then_some(Sound {
            codecs: ["opus"],
            rate: 48_000,
            channels: audio.channels,
        }),
        talk: config.speaker.output != SpeakerOutput::Off,
        controls: [],
        limits: Limits {
            viewers: limits.viewers,
            sessions_per_viewer: limits.sessions_per_viewer,
            setups: limits.setups,
            starts_per_minute: limits.starts_per_minute,
            messages_per_second: limits.messages_per_second,
            candidates: limits.candidates,
            restarts_per_minute: limits.restarts_per_minute,
            session_s: limits.session.as_secs(),
            lease_s: limits.lease.as_secs(),
        },
    };
    Bytes::from(serde_json::to_vec(&info).expect("info is always JSON"))
}

/// `info` in the signed modes, before it is signed: the key of the board, and nothing that a stranger could use.
pub fn sealed_info(config: &Config, key: &PublicKey) -> Bytes {
    // A JWK of a valid point is JSON.
    let key: serde_json::Value = serde_json::from_str(&key.to_jwk()).unwrap_or_default();
    let (device, auth) = (config.device.as_str(), config.access.mode.word());
    let info = serde_json::json!({"v": VERSION, "device": device, "protocol": [VERSION], "auth": auth, "key": key});
    Bytes::from(info.to_string())
}
