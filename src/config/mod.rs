//! The configuration, as values that cannot be wrong.
//!
//! `parse` turns the TOML file into these types and collects every fault at once; nothing behind this module ever
//! sees a string that still has to be checked. The reference for users is `docs/reference/config.md`; a test holds the two together.

mod broker;
mod defaults;
mod effective;
#[cfg(test)]
mod excerpt_tests;
pub mod keys;
mod media;
mod parse;
mod problem;
pub mod reference;
mod reload;
mod secret;
mod section;
mod syntax;
#[cfg(test)]
mod tests;
mod url;
mod values;
mod webrtc;
#[cfg(test)]
mod wording;

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, time::Duration};

pub use self::{
    media::EncoderChoice,
    parse::{Loaded, Surroundings, load, parse, salvage, text},
    problem::{ConfigError, Place, Problem},
    reload::Reload,
    secret::{Origin, Secret, read_bounded, secret_text, text_of},
    values::{log_filter, parse_size},
};

/// Everything the daemon is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// This board's id: a topic level and the MQTT client id.
    pub device: Id,
    /// What a person calls this board; shown by viewers. Defaults to the id.
    pub name: String,
    /// The MQTT link.
    pub broker: Broker,
    /// Who may watch.
    pub access: Access,
    /// The picture.
    pub video: Video,
    /// The sound.
    pub audio: Audio,
    /// Traversal and transport of media.
    pub webrtc: Webrtc,
    /// What a viewer, or all of them, may use.
    pub limits: Limits,
    /// What is written to the log.
    pub log: Log,
}

/// An identifier that is one MQTT topic level: `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// Accepts `[A-Za-z0-9_-]{1,64}`; `None` otherwise.
    pub fn new(text: &str) -> Option<Self> {
        let fits =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the broker is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Plain TCP, TLS, WebSocket or WebSocket over TLS.
    pub transport: Transport,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of the WebSocket URL, with its leading slash; empty for TCP and TLS.
    pub path: String,
    /// The MQTT version spoken.
    pub version: MqttVersion,
    /// Login name and password.
    pub login: Option<Login>,
    /// Own certificate authority; the system's roots where `None`.
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain and private key, PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// ALPN protocol names offered in TLS, for brokers that share port 443.
    pub alpn: Vec<String>,
    /// First levels of every topic; `fanlight/v1` by default.
    pub root: String,
    /// MQTT keep-alive.
    pub keep_alive: Duration,
}

/// What carries MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `mqtt://`
    Tcp,
    /// `mqtts://`
    Tls,
    /// `ws://`
    WebSocket,
    /// `wss://`
    WebSocketTls,
}

impl Transport {
    /// Whether the link is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::WebSocketTls)
    }
}

/// MQTT protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// MQTT 3.1.1
    V311,
    /// MQTT 5.0
    V5,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Who decides who may watch. The signed modes of the protocol become further arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The broker's ACL decides; the broker itself could watch.
    Broker,
}

/// The picture: where it comes from and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Where pictures come from.
    pub source: VideoSource,
    /// Wanted pixel format of a camera.
    pub format: FormatChoice,
    /// Wanted width and height in pixels, both even.
    pub size: (u32, u32),
    /// Wanted frames per second.
    pub fps: u32,
    /// What codes it.
    pub encoder: EncoderChoice,
    /// Cisco's binary of OpenH264, in place of the one that is compiled in.
    pub openh264_library: Option<PathBuf>,
    /// Bits per second the encoder aims at.
    pub bitrate: u32,
    /// The share of that, in per cent, which one viewer's network leaves to the others.
    pub floor: u32,
    /// Longest time between two key frames; key frames also come when a viewer needs one.
    pub key_interval: Duration,
    /// Draw the picture clock into every encoded frame.
    pub clock: bool,
    /// V4L2 controls set after opening, by the driver's name in lower case (`brightness`, `exposure_auto`, …).
    pub controls: BTreeMap<String, i64>,
    /// How long the camera stays on after the last viewer left.
    pub linger: Duration,
}

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoSource {
    /// The first camera that can be used.
    Auto,
    /// This V4L2 node, or a stable link to it (`/dev/v4l/by-id/…`).
    Camera(PathBuf),
    /// A moving test picture with the picture clock.
    Test,
    /// A file played round and round: `.h264`, `.mjpeg` or `.y4m`.
    Clip(PathBuf),
    /// No picture at all.
    Off,
}

/// Pixel formats a camera may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatChoice {
    /// The cheapest that the camera offers at the wanted size and rate.
    Auto,
    /// Only this one.
    Only(PixelFormat),
}

/// Pixel formats the daemon can take from a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// Packed 4:2:2, Y0 U Y1 V.
    Yuyv,
    /// Packed 4:2:2, U Y0 V Y1.
    Uyvy,
    /// 4:2:0, a Y plane and one of interleaved U and V.
    Nv12,
    /// 4:2:0, three planes.
    Yu12,
    /// Motion JPEG.
    Mjpeg,
    /// H.264, Annex B, coded by the camera.
    H264,
}

/// The sound: where it comes from and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// Where sound comes from.
    pub source: AudioSource,
    /// 1 or 2.
    pub channels: u8,
    /// Opus bits per second.
    pub bitrate: u32,
    /// In-band forward error correction.
    pub fec: bool,
    /// How long the microphone stays on after the last viewer left.
    pub linger: Duration,
}

/// Where sound comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioSource {
    /// The first capture device that can be used.
    Auto,
    /// An ALSA PCM by name (`default`, `hw:1,0`, `plughw:CARD=Device`).
    Microphone(String),
    /// A test tone, told in `docs/reference/config.md`.
    Tone,
    /// A WAV file played round and round.
    Clip(PathBuf),
    /// No sound at all.
    Off,
}

/// Traversal and transport of media.
#[derive(Debug, Clone, PartialEq)]
pub struct Webrtc {
    /// STUN and TURN servers, for the board and, in the answer, for the viewer.
    pub ice_servers: Vec<IceServer>,
    /// The program, with its arguments, that prints further servers as JSON; empty: none.
    pub ice_command: Vec<String>,
    /// Whether only relayed candidates may be used.
    pub relay_only: bool,
    /// First and last UDP port of host candidates; `None`: any.
    pub ports: Option<(u16, u16)>,
    /// Whether IPv4 is used.
    pub ipv4: bool,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Bind only to these addresses; empty: every interface's.
    pub addresses: Vec<IpAddr>,
    /// Which interfaces are used; empty: all.
    pub interfaces: Vec<InterfaceRule>,
    /// Addresses that a router forwards to this board, port for port.
    pub public_addresses: Vec<IpAddr>,
    /// Whether viewers may connect by TCP.
    pub ice_tcp: bool,
    /// Whether the `.local` names of viewers are looked up.
    pub mdns: bool,
    /// Whether loopback is used and accepted: only for the demo and for tests.
    pub loopback: bool,
    /// Least and most playout delay that a viewer is asked for (RTP header extension); `None`: the viewer decides.
    pub playout_delay: Option<(Duration, Duration)>,
}

/// One word of `webrtc.interfaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRule {
    /// The name, or how it begins.
    name: String,
    /// Whether it only begins so.
    any_end: bool,
    /// Whether these are refused instead of allowed.
    refuses: bool,
}

impl Webrtc {
    /// Sees to it that no login this board makes ends before its session has to.
    fn outlive(&mut self, session: Duration) {
        /// From the login to the end of a session that began a little later.
        const AIR: Duration = Duration::from_secs(600);
        for server in &mut self.ice_servers {
            if let IceLogin::Made { ttl, .. } = &mut server.login {
                *ttl = (*ttl).max(session + AIR);
            }
        }
    }
}

/// A STUN or TURN server as viewers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=tcp`, `turns:host:port`.
    pub urls: Vec<String>,
    /// TURN user and password.
    pub login: IceLogin,
    /// Own certificate authority of `turns:`; the system's roots where `None`.
    pub ca_file: Option<PathBuf>,
}

/// How a TURN server is logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IceLogin {
    /// Not at all: STUN.
    None,
    /// By this user and password.
    Fixed(Login),
    /// By logins that this board makes, good for a while each, from a secret it shares with the server.
    Made {
        /// The secret.
        secret: Secret,
        /// Stands behind the expiry in the board's own user names.
        user: Option<String>,
        /// How long one is good.
        ttl: Duration,
    },
}

/// What a viewer, or all of them, may use. Defaults: `docs/reference/protocol.md`, section 7.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Viewers' sessions at the same time.
    pub viewers: usize,
    /// Sessions of one viewer at the same time.
    pub sessions_per_viewer: usize,
    /// Sessions that have not reached `live` yet.
    pub setups: usize,
    /// Session starts a minute and viewer.
    pub starts_per_minute: u32,
    /// Signalling messages a second and viewer; a burst of three times as many is taken.
    pub messages_per_second: u32,
    /// Remote candidates a session and ICE generation.
    pub candidates: usize,
    /// ICE restarts a minute and session.
    pub restarts_per_minute: u32,
    /// Longest life of a session.
    pub session: Duration,
    /// Lease of a session; a viewer renews it from half-time.
    pub lease: Duration,
}

/// What is written to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level (`error` … `trace`) or a `tracing` filter.
    pub filter: String,
    /// How often meters speak, when there is something to say.
    pub meter_period: Duration,
}
