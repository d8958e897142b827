//! The configuration, as checked values.
//!
//! `parse` turns the TOML file into these types and reports every fault at once. No other module has to check a value
//! again. The reference for users is `docs/reference/config.md`; a test compares it with the parser.

mod access;
#[cfg(test)]
mod access_tests;
mod broker;
mod defaults;
mod effective;
#[cfg(test)]
mod excerpt_tests;
mod gpio;
pub mod keys;
mod media;
pub(crate) mod pairing_urls;
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
    access::{Access, AccessMode, ConfiguredViewer, IssuerFile},
    gpio::{Button, ButtonInput, GpioLine, Lamp, LampOutput, LineBias, LinePolarity},
    parse::{Loaded, Surroundings, load, parse, salvage, text},
    problem::{ConfigError, Place, Problem},
    reload::Reload,
    secret::{Origin, Secret, TextError, read_bounded, secret_text, text_of},
    values::{log_filter, parse_size},
};
use crate::units::Bitrate;

/// The whole configuration of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The id of this board: a topic level and the MQTT client id.
    pub device: Id,
    /// The name of this board for people; viewers show it. Defaults to the id.
    pub name: String,
    /// The MQTT link.
    pub broker: Broker,
    /// Who may watch.
    pub access: Access,
    /// The picture.
    pub video: Video,
    /// The sound.
    pub audio: Audio,
    /// The loudspeaker, for the sound of viewers.
    pub speaker: Speaker,
    /// The lamps.
    pub lamp: Lamp,
    /// The buttons.
    pub button: Button,
    /// ICE and the transport of media.
    pub webrtc: Webrtc,
    /// What one viewer, or all of them, may use.
    pub limits: Limits,
    /// The log.
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

/// The MQTT broker and the login there.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Plain TCP, TLS, WebSocket or WebSocket over TLS.
    pub transport: MqttTransport,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of the WebSocket URL, with its leading slash. Empty for TCP and TLS.
    pub path: String,
    /// The MQTT version.
    pub version: MqttVersion,
    /// Login name and password.
    pub login: Option<Login>,
    /// The trusted certificate authorities, PEM. `None`: the system's.
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

/// The transport below MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttTransport {
    /// `mqtt://`
    Tcp,
    /// `mqtts://`
    Tls,
    /// `ws://`
    WebSocket,
    /// `wss://`
    WebSocketTls,
}

impl MqttTransport {
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

/// The source of the picture and its encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// The source of the picture.
    pub source: VideoSource,
    /// Requested pixel format of a camera.
    pub format: FormatChoice,
    /// Requested width and height in pixels, both even.
    pub size: (u32, u32),
    /// Requested frames per second.
    pub fps: u32,
    /// The H.264 encoder.
    pub encoder: EncoderChoice,
    /// Cisco's binary of OpenH264, instead of the one that is compiled in.
    pub openh264_library: Option<PathBuf>,
    /// Highest video bitrate.
    pub bitrate: Bitrate,
    /// How far one viewer's network can lower the bitrate for the others, in percent of `bitrate`.
    pub floor: u32,
    /// Longest time between two keyframes. There are more when a viewer needs one.
    pub key_interval: Duration,
    /// Whether the picture clock is drawn into every encoded frame.
    pub clock: bool,
    /// V4L2 controls to set after opening, by the driver's name in lower case (`brightness`, `exposure_auto`, …).
    pub controls: BTreeMap<String, i64>,
    /// How long the camera stays on after the last viewer has left.
    pub linger: Duration,
}

/// The source of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoSource {
    /// The first usable camera.
    Auto,
    /// This V4L2 node, or a stable link to it (`/dev/v4l/by-id/…`).
    Camera(PathBuf),
    /// A moving test picture with the picture clock.
    Test,
    /// A file, repeated: `.h264`, `.mjpeg` or `.y4m`.
    Clip(PathBuf),
    /// No picture.
    Off,
}

/// The pixel format to request from a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatChoice {
    /// The format that costs the least CPU at the requested size and frame rate.
    Auto,
    /// Only this format.
    Only(PixelFormat),
}

/// The pixel formats that the daemon accepts from a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// Packed 4:2:2, Y0 U Y1 V.
    Yuyv,
    /// Packed 4:2:2, U Y0 V Y1.
    Uyvy,
    /// 4:2:0, a Y plane and a plane of interleaved U and V.
    Nv12,
    /// 4:2:0, three planes.
    Yu12,
    /// Motion JPEG.
    Mjpeg,
    /// H.264 in Annex B format, encoded by the camera.
    H264,
}

/// Which H.264 encoder to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderChoice {
    /// A hardware encoder that works, otherwise software.
    Auto,
    /// Software, on the CPU.
    Software,
    /// Only a hardware encoder.
    Hardware,
}

/// The source of the sound and its encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// The source of the sound.
    pub source: AudioSource,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// Opus bitrate.
    pub bitrate: Bitrate,
    /// In-band forward error correction (RFC 6716 section 2.1.7).
    pub fec: bool,
    /// How long the microphone stays on after the last viewer has left.
    pub linger: Duration,
}

/// The source of the sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioSource {
    /// The first usable capture device.
    Auto,
    /// An ALSA PCM by name (`default`, `hw:1,0`, `plughw:CARD=Device`).
    Microphone(String),
    /// A test tone, described in `docs/reference/config.md`.
    Tone,
    /// A WAV file, repeated.
    Clip(PathBuf),
    /// No sound.
    Off,
}

/// The loudspeaker, for the sound of viewers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Which playback device.
    pub output: SpeakerOutput,
    /// How long it stays open after the last talker.
    pub linger: Duration,
}

/// A playback device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeakerOutput {
    /// None: viewers cannot talk.
    Off,
    /// The first usable one.
    Auto,
    /// An ALSA PCM by name (`default`, `plughw:CARD=Device`).
    Named(String),
}

/// ICE and the transport of media.
#[derive(Debug, Clone, PartialEq)]
pub struct Webrtc {
    /// STUN and TURN servers, for the board and, through the answer, for the viewer.
    pub ice_servers: Vec<IceServer>,
    /// The program that prints further servers as JSON, with its arguments. Empty: none.
    pub ice_command: Vec<String>,
    /// Whether only relay candidates are used.
    pub relay_only: bool,
    /// First and last UDP port of host candidates. `None`: any.
    pub ports: Option<(u16, u16)>,
    /// Whether IPv4 is used.
    pub ipv4: bool,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Bind only to these addresses. Empty: the addresses of all interfaces.
    pub addresses: Vec<IpAddr>,
    /// Which interfaces are used. Empty: all.
    pub interfaces: Vec<InterfaceRule>,
    /// Addresses that a router forwards to this board without changing ports (1:1 NAT).
    pub public_addresses: Vec<IpAddr>,
    /// Whether viewers may connect by TCP (ICE-TCP, RFC 6544).
    pub ice_tcp: bool,
    /// Whether the `.local` names of viewers are looked up by multicast DNS.
    pub mdns: bool,
    /// Whether loopback addresses are used and accepted, for the demo and for tests.
    pub loopback: bool,
    /// Minimum and maximum of the RTP header extension playout-delay. `None`: the viewer decides.
    pub playout_delay: Option<(Duration, Duration)>,
}

/// One entry of `webrtc.interfaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRule {
    /// The name, or its beginning.
    name: String,
    /// Whether `name` is only the beginning.
    any_end: bool,
    /// Whether matching interfaces are excluded instead of allowed.
    refuses: bool,
}

/// A STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=tcp`, `turns:host:port`.
    pub urls: Vec<String>,
    /// TURN user and password.
    pub login: IceLogin,
    /// The certificate authorities trusted for `turns:`, PEM. `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

/// The login at a TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IceLogin {
    /// No login: STUN.
    None,
    /// This user and password.
    Fixed(Login),
    /// Logins that expire, made from a secret shared with the server (draft-uberti-behave-turn-rest-00).
    Made {
        /// The secret.
        secret: Secret,
        /// The part after the expiry time in the board's own user names.
        user: Option<String>,
        /// How long the login of a viewer is valid.
        ttl: Duration,
        /// How long the board's own login is valid. Only the server gets it.
        own_ttl: Duration,
    },
}

/// What one viewer, or all of them, may use. Defaults: `docs/reference/protocol.md`, section 7.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Sessions of all viewers at the same time.
    pub viewers: usize,
    /// Sessions of one viewer at the same time.
    pub sessions_per_viewer: usize,
    /// Sessions that have not reached `live` yet.
    pub setups: usize,
    /// Session starts per minute and viewer.
    pub starts_per_minute: u32,
    /// Signalling messages per second and viewer. A burst of three times as many is accepted.
    pub messages_per_second: u32,
    /// Remote candidates per session and ICE generation.
    pub candidates: usize,
    /// ICE restarts per minute and session.
    pub restarts_per_minute: u32,
    /// Longest duration of a session.
    pub session: Duration,
    /// Lease of a session. A viewer renews it after half of this time.
    pub lease: Duration,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level (`error` … `trace`) or a `tracing` filter.
    pub filter: String,
    /// How often figures are logged, if there is something to report.
    pub meter_period: Duration,
}
