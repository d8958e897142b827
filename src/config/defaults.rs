//! The default values. The table in `keys` documents them, and a test compares the two.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Audio, AudioSource, Broker, EncoderChoice, FormatChoice, Limits, Log, MqttVersion, Transport, Video, VideoSource,
    Webrtc,
};
use crate::units::Bitrate;

impl Default for Broker {
    fn default() -> Self {
        Self {
            transport: Transport::Tcp,
            host: "127.0.0.1".into(),
            port: 1883,
            path: String::new(),
            version: MqttVersion::V5,
            login: None,
            ca_file: None,
            client_certificate: None,
            alpn: Vec::new(),
            root: "fanlight/v1".into(),
            keep_alive: Duration::from_secs(30),
        }
    }
}

impl Default for Video {
    fn default() -> Self {
        Self {
            source: VideoSource::Auto,
            format: FormatChoice::Auto,
            size: (1280, 720),
            fps: 30,
            encoder: EncoderChoice::Auto,
            openh264_library: None,
            bitrate: Bitrate::from_kbps(2_000),
            floor: 33,
            key_interval: Duration::from_secs(10),
            clock: false,
            controls: BTreeMap::new(),
            linger: Duration::from_secs(10),
        }
    }
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            source: AudioSource::Auto,
            channels: 1,
            bitrate: Bitrate::from_kbps(48),
            fec: true,
            linger: Duration::from_secs(10),
        }
    }
}

impl Default for Webrtc {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            ice_command: Vec::new(),
            relay_only: false,
            ports: None,
            ipv4: true,
            ipv6: true,
            addresses: Vec::new(),
            interfaces: Vec::new(),
            public_addresses: Vec::new(),
            ice_tcp: false,
            mdns: false,
            loopback: false,
            playout_delay: Some((Duration::ZERO, Duration::from_millis(40))),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            viewers: 8,
            sessions_per_viewer: 2,
            setups: 8,
            starts_per_minute: 5,
            messages_per_second: 20,
            candidates: 24,
            restarts_per_minute: 6,
            session: Duration::from_secs(4 * 3600),
            lease: Duration::from_secs(600),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), meter_period: Duration::from_secs(10) }
    }
}
