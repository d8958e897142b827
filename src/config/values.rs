//! Values that are written as text, both in the file and on the command line.

use std::{fmt, net::IpAddr, path::Path};

use tracing_subscriber::filter::Targets;

use super::{
    AccessMode, AudioSource, ConfiguredViewer, EncoderChoice, FormatChoice, InterfaceRule, MqttVersion, PixelFormat,
    SpeakerOutput, VideoSource, secret::absolute,
};
use crate::rights::Rights;

/// The words of `webrtc.mdns`: whether names are looked up.
pub(super) const MDNS: [(&str, bool); 2] = [("resolve", true), ("ignore", false)];

impl AccessMode {
    /// The words of `access.mode`.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("keys", Self::Keys), ("token", Self::Token), ("broker", Self::Broker)];

    /// Its name, in the configuration and in messages.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

impl ConfiguredViewer {
    /// Reads `KEY RIGHTS NAME`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, rest) = text.split_once(' ')?;
        let (rights, name) = rest.split_once(' ')?;
        let name = name.trim();
        if !one_line(name, 64) || rights.is_empty() {
            return None;
        }
        Some(Self { key: key.parse().ok()?, rights: Rights::parse(rights).ok()?, name: name.to_owned() })
    }
}

impl fmt::Display for ConfiguredViewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.key, self.rights, self.name)
    }
}

impl MqttVersion {
    /// The words of `broker.version`.
    pub(super) const WORDS: [(&'static str, Self); 2] = [("5", Self::V5), ("3.1.1", Self::V311)];
}

impl EncoderChoice {
    /// The words of `video.encoder`.
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("software", Self::Software), ("hardware", Self::Hardware)];
}

impl FormatChoice {
    /// The words of `video.format`.
    pub(super) const WORDS: [(&'static str, Self); 7] = [
        ("auto", Self::Auto),
        ("yuyv", Self::Only(PixelFormat::Yuyv)),
        ("uyvy", Self::Only(PixelFormat::Uyvy)),
        ("nv12", Self::Only(PixelFormat::Nv12)),
        ("yu12", Self::Only(PixelFormat::Yu12)),
        ("mjpeg", Self::Only(PixelFormat::Mjpeg)),
        ("h264", Self::Only(PixelFormat::H264)),
    ];
}

/// The words alone.
pub(super) const fn names<T: Copy, const N: usize>(words: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    // A constant function has no iterators.
    while i < N {
        names[i] = words[i].0;
        i += 1;
    }
    names
}

/// The value of a word.
pub(super) fn value_of<T: Copy>(words: &[(&'static str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

/// The word of a value; empty if it has none.
pub(super) fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, other)| *other == value).map_or("", |(word, _)| *word)
}

impl VideoSource {
    /// Reads `auto`, `test`, `off`, `clip:/path/file.mjpeg` or the path of a V4L2 node.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "test" => Some(Self::Test),
            "off" => Some(Self::Off),
            _ => match text.strip_prefix("clip:") {
                Some(path) => absolute(path).filter(|p| ends_with(p, &["h264", "mjpeg", "y4m"])).map(Self::Clip),
                None => absolute(text).map(Self::Camera),
            },
        }
    }
}

impl fmt::Display for VideoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Camera(path) => write!(f, "{}", path.display()),
            Self::Test => f.write_str("test"),
            Self::Clip(path) => write!(f, "clip:{}", path.display()),
            Self::Off => f.write_str("off"),
        }
    }
}

impl AudioSource {
    /// Reads `auto`, `tone`, `off`, `clip:/path/file.wav` or the name of an ALSA device.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "tone" => Some(Self::Tone),
            "off" => Some(Self::Off),
            _ => match text.strip_prefix("clip:") {
                Some(path) => absolute(path).filter(|p| ends_with(p, &["wav"])).map(Self::Clip),
                None => {
                    // A path is a mistake: ALSA devices have names.
                    let fits = one_line(text, 128) && !text.starts_with('/');
                    fits.then(|| Self::Microphone(text.to_owned()))
                }
            },
        }
    }
}

impl fmt::Display for AudioSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Microphone(name) => f.write_str(name),
            Self::Tone => f.write_str("tone"),
            Self::Clip(path) => write!(f, "clip:{}", path.display()),
            Self::Off => f.write_str("off"),
        }
    }
}

impl SpeakerOutput {
    /// Reads `auto`, `off` or the name of an ALSA device.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            // A path is a mistake: ALSA devices have names.
            _ => (one_line(text, 128) && !text.starts_with('/')).then(|| Self::Named(text.to_owned())),
        }
    }
}

impl fmt::Display for SpeakerOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for FormatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, *self))
    }
}

impl fmt::Display for PixelFormat {
    /// The name in the configuration: `yuyv`, `mjpeg`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FormatChoice::Only(*self).fmt(f)
    }
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, *self))
    }
}

impl fmt::Display for EncoderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, *self))
    }
}

/// Reads a picture size such as `1280x720`: both even, 64 to 4096.
pub fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let side = digits.then(|| text.parse::<u32>().ok())??;
        ((64..=4096).contains(&side) && side % 2 == 0).then_some(side)
    };
    Some((side(width)?, side(height)?))
}

/// Whether this host is certainly this machine: `localhost` or a loopback address.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl InterfaceRule {
    /// Reads `eth0`, `wlan*`, `!docker*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (refuses, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (any_end, name) = rest.strip_suffix('*').map_or((false, rest), |name| (true, name));
        // The names that the kernel accepts (at most 15 bytes), without characters of other kinds of patterns.
        let fits =
            (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && !b"*!/?[".contains(&b));
        fits.then(|| Self { name: name.to_owned(), any_end, refuses })
    }

    /// Whether these rules allow an interface of this name.
    pub fn allow(rules: &[Self], name: &str) -> bool {
        let matches = |rule: &&Self| if rule.any_end { name.starts_with(&rule.name) } else { name == rule.name };
        let (refusing, allowing): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.refuses);
        !refusing.iter().any(matches) && (allowing.is_empty() || allowing.iter().any(matches))
    }
}

impl fmt::Display for InterfaceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (not, end) = (if self.refuses { "!" } else { "" }, if self.any_end { "*" } else { "" });
        write!(f, "{not}{}{end}", self.name)
    }
}

/// Whether a text has 1 to `most` characters, none of them a control character.
pub(super) fn one_line(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most && !text.contains(char::is_control)
}

/// Whether a text can be the first levels of every topic.
pub(super) fn is_topic_root(text: &str) -> bool {
    one_line(text, 128)
        && !text.starts_with('$')
        && text.split('/').all(|level| !level.is_empty() && !level.contains(['+', '#']))
}

/// Reads a `tracing` filter. The library reads a single unknown word as the name of a module and turns all other
/// modules off, so a typo such as `infoo` is refused here.
pub fn log_filter(text: &str) -> Option<Targets> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = parts.iter().all(|part| part.contains('=') || LEVELS.contains(part));
    known.then(|| parts.join(",").parse().ok()).flatten()
}

/// Whether a text is a valid log filter.
pub(super) fn is_filter(text: &str) -> bool {
    one_line(text, 1024) && log_filter(text).is_some()
}

fn ends_with(path: &Path, kinds: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| kinds.contains(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_allowed_or_refused() {
        let rules = |words: &[&str]| words.iter().map(|word| InterfaceRule::parse(word).unwrap()).collect::<Vec<_>>();
        for (words, name, allowed) in [
            (&[][..], "eth0", true),
            (&["eth0"], "eth0", true),
            (&["eth0"], "eth01", false),
            (&["eth*", "wlan0"], "eth01", true),
            (&["!docker*", "!veth*"], "eth0", true),
            (&["!docker*", "!veth*"], "docker0", false),
            (&["eth*", "!eth1"], "eth1", false),
            (&["eth*", "!eth1"], "wlan0", false),
        ] {
            assert_eq!(InterfaceRule::allow(&rules(words), name), allowed, "{words:?} {name}");
        }
        for text in ["", "*", "!", "eth 0", "et*h", "!!eth", "sixteen-letters-", "eth?"] {
            assert_eq!(InterfaceRule::parse(text), None, "{text}");
        }
        assert_eq!(InterfaceRule::parse("!br-*").unwrap().to_string(), "!br-*");
    }

    #[test]
    fn sources_sizes_and_filters() {
        for text in ["auto", "test", "off", "/dev/v4l/by-id/usb-x", "clip:/a/b.h264", "clip:/b.y4m", "clip:/c d.mjpeg"]
        {
            assert_eq!(VideoSource::parse(text).unwrap().to_string(), text);
        }
        for text in ["auto", "tone", "off", "default", "plughw:CARD=Device,DEV=0", "clip:/a.wav"] {
            assert_eq!(AudioSource::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "video0", "clip:a.h264", "clip:/a.mp4", "/dev/\n"] {
            assert_eq!(VideoSource::parse(text), None, "{text}");
        }
        for text in ["", "/dev/snd/pcmC0D0c", "clip:/a.mp3", "a\nb"] {
            assert_eq!(AudioSource::parse(text), None, "{text}");
        }
        for text in ["auto", "off", "default", "plughw:CARD=Device,DEV=0"] {
            assert_eq!(SpeakerOutput::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "/dev/snd/pcmC0D0p", "a\nb"] {
            assert_eq!(SpeakerOutput::parse(text), None, "{text}");
        }
        assert_eq!(parse_size("640x480"), Some((640, 480)));
        for text in ["640", "641x480", "62x62", "4098x720", "640x480x2", "640X480", "+640x480", "x"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for (text, good) in [
            ("info", true),
            ("info,fanlight::broker=debug", true),
            ("infoo", false),
            ("fanlight=loud", false),
            ("", false),
        ] {
            assert_eq!(is_filter(text), good, "{text}");
        }
        for (text, good) in [
            ("fanlight/v1", true),
            ("a", true),
            ("", false),
            ("/a", false),
            ("a//b", false),
            ("a/+", false),
            ("$SYS", false),
        ] {
            assert_eq!(is_topic_root(text), good, "{text}");
        }
    }
}
