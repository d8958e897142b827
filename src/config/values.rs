//! Values that are written as text, in the file and on the command line alike.

use std::{fmt, net::IpAddr, path::Path};

use tracing_subscriber::filter::Targets;

use super::{
    AudioSource, FormatChoice, InterfaceRule, MqttVersion, PixelFormat, Transport, VideoSource, secret::absolute,
};

/// The words of `video.format`.
const FORMATS: [(&str, PixelFormat); 6] = [
    ("yuyv", PixelFormat::Yuyv),
    ("uyvy", PixelFormat::Uyvy),
    ("nv12", PixelFormat::Nv12),
    ("yu12", PixelFormat::Yu12),
    ("mjpeg", PixelFormat::Mjpeg),
    ("h264", PixelFormat::H264),
];

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
                    // A path is a mistake: ALSA knows its devices by name.
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

impl FormatChoice {
    /// Reads `auto` or the name of a pixel format.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            _ => FORMATS.iter().find(|(word, _)| *word == text).map(|(_, format)| Self::Only(*format)),
        }
    }
}

impl fmt::Display for FormatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(format) => write!(f, "{format}"),
        }
    }
}

impl fmt::Display for PixelFormat {
    /// The word of the configuration: `yuyv`, `mjpeg`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = FORMATS.iter().find(|(_, format)| format == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

impl MqttVersion {
    /// Reads `5` or `3.1.1`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "5" => Some(Self::V5),
            "3.1.1" => Some(Self::V311),
            _ => None,
        }
    }
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        })
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

/// The parts of a broker's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) transport: Transport,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Reads the URL of a broker. The error never shows it, for it may hold a password.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let (scheme, rest) = text.split_once("://").ok_or("no scheme: mqtt://, mqtts://, ws:// or wss:// is possible")?;
    let (transport, port) = match scheme {
        "mqtt" => (Transport::Tcp, 1883),
        "mqtts" => (Transport::Tls, 8883),
        "ws" => (Transport::WebSocket, 80),
        "wss" => (Transport::WebSocketTls, 443),
        _ => return Err("unknown scheme: mqtt://, mqtts://, ws:// or wss:// is possible".into()),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if authority.contains('@') {
        return Err(
            "secrets do not belong in a URL: write the keys user and password_file or password_credential".into()
        );
    }
    let (host, port) =
        parse_authority(authority, port).ok_or("no host, or not one: host, host:port or [address]:port is possible")?;
    let path = match (transport, path) {
        (Transport::Tcp | Transport::Tls, "" | "/") => String::new(),
        (Transport::Tcp | Transport::Tls, _) => return Err("only ws:// and wss:// have a path".into()),
        (_, "") => "/".into(),
        (_, path) if path.len() <= 512 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') => path.into(),
        _ => return Err("a path of at most 512 characters without spaces and # is possible".into()),
    };
    Ok(Url { transport, host, port, path })
}

/// The URL that `parse_url` reads as these parts.
pub(super) fn url_text(transport: Transport, host: &str, port: u16, path: &str) -> String {
    let scheme = match transport {
        Transport::Tcp => "mqtt",
        Transport::Tls => "mqtts",
        Transport::WebSocket => "ws",
        Transport::WebSocketTls => "wss",
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{port}{path}")
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`.
fn parse_authority(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port.strip_prefix(':').or(port.is_empty().then_some("")).map(|p| (p, port.is_empty()))?)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, (port, false)),
            None => (text, ("", true)),
        },
    };
    let name = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !host.starts_with(['-', '.']);
    if !name && !host.contains(':') {
        return None;
    }
    let port = match port {
        (_, true) => default_port,
        (digits, false) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|p| *p != 0)?,
        _ => return None,
    };
    Some((host.to_owned(), port))
}

/// Whether this host is certainly this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How an ICE server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IceKind {
    /// `stun:`
    Stun,
    /// `turn:` over UDP.
    TurnUdp,
    /// `turn:` over TCP, or `turns:`.
    TurnStream,
}

/// Reads an ICE server's URL: RFC 7064 and RFC 7065.
pub(super) fn ice_kind(text: &str) -> Option<IceKind> {
    let (scheme, rest) = text.split_once(':')?;
    let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
    parse_authority(authority, 3478)?;
    match (scheme, query) {
        ("stun", None) => Some(IceKind::Stun),
        ("turn", None | Some("transport=udp")) => Some(IceKind::TurnUdp),
        ("turn" | "turns", Some("transport=tcp")) | ("turns", None) => Some(IceKind::TurnStream),
        _ => None,
    }
}

impl InterfaceRule {
    /// Reads `eth0`, `wlan*`, `!docker*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (refuses, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (any_end, name) = rest.strip_suffix('*').map_or((false, rest), |name| (true, name));
        // What the kernel takes as a name, and nothing that looks like a pattern of another kind.
        let fits =
            (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && !b"*!/?[".contains(&b));
        fits.then(|| Self { name: name.to_owned(), any_end, refuses })
    }

    /// Whether these rules leave an interface of this name.
    pub fn allow(rules: &[Self], name: &str) -> bool {
        let means = |rule: &&Self| if rule.any_end { name.starts_with(&rule.name) } else { name == rule.name };
        let (refusing, allowing): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.refuses);
        !refusing.iter().any(means) && (allowing.is_empty() || allowing.iter().any(means))
    }
}

impl fmt::Display for InterfaceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (not, end) = (if self.refuses { "!" } else { "" }, if self.any_end { "*" } else { "" });
        write!(f, "{not}{}{end}", self.name)
    }
}

/// Whether a text is 1 to `most` characters without control characters.
pub(super) fn one_line(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most && !text.contains(char::is_control)
}

/// Whether a text can stand in front of every topic.
pub(super) fn is_topic_root(text: &str) -> bool {
    one_line(text, 128)
        && !text.starts_with('$')
        && text.split('/').all(|level| !level.is_empty() && !level.contains(['+', '#']))
}

/// The log filter that a text describes. A single word that is no level would be taken as the name of a program part, and
/// silence everything else: a typo must not do that.
pub fn log_filter(text: &str) -> Option<Targets> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = parts.iter().all(|part| part.contains('=') || LEVELS.contains(part));
    known.then(|| parts.join(",").parse().ok()).flatten()
}

/// Whether a text is a log filter.
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
    fn broker_urls() {
        for (text, expected) in [
            ("mqtt://host", Some((Transport::Tcp, "host", 1883, ""))),
            ("mqtts://host/", Some((Transport::Tls, "host", 8883, ""))),
            ("ws://host", Some((Transport::WebSocket, "host", 80, "/"))),
            ("wss://a.b-c.example:9001/mqtt?x=1", Some((Transport::WebSocketTls, "a.b-c.example", 9001, "/mqtt?x=1"))),
            ("mqtt://[::1]", Some((Transport::Tcp, "::1", 1883, ""))),
            ("mqtts://[2001:db8::2]:443", Some((Transport::Tls, "2001:db8::2", 443, ""))),
            ("mqtt://host:0", None),
            ("mqtt://host:65536", None),
            ("mqtt://host:", None),
            ("mqtt://[::1]x", None),
            ("mqtt://[::1", None),
            ("mqtt://::1", None),
            ("mqtt://", None),
            ("mqtt://ho st", None),
            ("mqtt://host/path", None),
            ("wss://host/a#b", None),
            ("http://host", None),
            ("host", None),
            ("mqtt://me:secret@host", None),
        ] {
            let expected = expected.map(|(transport, host, port, path)| Url {
                transport,
                host: host.into(),
                port,
                path: path.into(),
            });
            assert_eq!(parse_url(text).ok(), expected, "{text}");
            if let Some(u) = expected {
                assert_eq!(parse_url(&url_text(u.transport, &u.host, u.port, &u.path)), Ok(u));
            }
        }
        assert!(!parse_url("mqtt://me:secret@host").unwrap_err().contains("me:"));
    }

    #[test]
    fn ice_urls() {
        for (text, expected) in [
            ("stun:stun.example.org", Some(IceKind::Stun)),
            ("stun:[2001:db8::1]:3478", Some(IceKind::Stun)),
            ("turn:host:3478", Some(IceKind::TurnUdp)),
            ("turn:host:3478?transport=udp", Some(IceKind::TurnUdp)),
            ("turn:host?transport=tcp", Some(IceKind::TurnStream)),
            ("turns:host:5349", Some(IceKind::TurnStream)),
            ("stun:host?transport=udp", None),
            ("turns:host?transport=udp", None),
            ("stun://host", None),
            ("turn:", None),
            ("stuns:host", None),
            ("turn:user@host", None),
        ] {
            assert_eq!(ice_kind(text), expected, "{text}");
        }
    }

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
