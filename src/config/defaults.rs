//! The default values, as the parser reads them from the table in `keys`.

use std::path::Path;

use toml::de::DeTable;

use super::{
    Audio, Broker, Button, Lamp, Limits, Log, MqttTransport, Speaker, Surroundings, Video, Webrtc, broker, gpio, media,
    problem::ProblemList, section::Section, webrtc,
};

/// Reads a table that a file does not have.
fn absent<T>(table: &'static str, read: impl FnOnce(&mut Section<'_, '_, '_>) -> T) -> T {
    let mut report = ProblemList::new(Path::new(""), "");
    read(&mut Section::new(&mut report, table, 0..0, DeTable::new()))
}

/// A broker on this board: `broker.url` itself has no default.
impl Default for Broker {
    fn default() -> Self {
        Self {
            transport: MqttTransport::Tcp,
            host: "127.0.0.1".into(),
            port: 1883,
            ..absent("broker", |section| broker::read(section, &Surroundings::default()))
        }
    }
}

impl Default for Video {
    fn default() -> Self {
        absent("video", media::video)
    }
}

impl Default for Audio {
    fn default() -> Self {
        absent("audio", media::audio)
    }
}

impl Default for Speaker {
    fn default() -> Self {
        absent("speaker", media::speaker)
    }
}

impl Default for Lamp {
    fn default() -> Self {
        absent("lamp", gpio::lamp)
    }
}

impl Default for Button {
    fn default() -> Self {
        absent("button", gpio::button)
    }
}

impl Default for Webrtc {
    fn default() -> Self {
        absent("webrtc", |section| webrtc::read(section, &Surroundings::default(), &Limits::default()).0)
    }
}

impl Default for Limits {
    fn default() -> Self {
        absent("limits", webrtc::limits)
    }
}

impl Default for Log {
    fn default() -> Self {
        absent("log", webrtc::log)
    }
}
