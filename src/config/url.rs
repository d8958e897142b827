//! URLs of brokers, and of STUN and TURN servers. No error shows any part of a URL, because it may contain a password.
//! Pure.

use super::MqttTransport;

/// The parts of a broker's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerUrl {
    pub(super) transport: MqttTransport,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Reads the URL of a broker.
pub(super) fn parse_url(text: &str) -> Result<BrokerUrl, String> {
    let (scheme, rest) = text.split_once("://").ok_or("no scheme: mqtt://, mqtts://, ws:// or wss:// is possible")?;
    let (transport, port) = match scheme {
        "mqtt" => (MqttTransport::Tcp, 1883),
        "mqtts" => (MqttTransport::Tls, 8883),
        "ws" => (MqttTransport::WebSocket, 80),
        "wss" => (MqttTransport::WebSocketTls, 443),
        _ => return Err("unknown scheme: mqtt://, mqtts://, ws:// or wss:// is possible".into()),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if authority.contains('@') {
        return Err("secrets do not belong in a URL: use the keys user and password_file or password_credential".into());
    }
    let (host, port) = parse_authority(authority, port)?;
    let path = match (transport, path) {
        (MqttTransport::Tcp | MqttTransport::Tls, "" | "/") => String::new(),
        (MqttTransport::Tcp | MqttTransport::Tls, _) => return Err("only ws:// and wss:// have a path".into()),
        (_, "") => "/".into(),
        (_, path) if path.len() <= 512 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') => path.into(),
        _ => return Err("the path must have at most 512 characters, without spaces and #".into()),
    };
    Ok(BrokerUrl { transport, host, port, path })
}

/// The URL of these parts; the reverse of `parse_url`.
pub(super) fn url_text(transport: MqttTransport, host: &str, port: u16, path: &str) -> String {
    let scheme = match transport {
        MqttTransport::Tcp => "mqtt",
        MqttTransport::Tls => "mqtts",
        MqttTransport::WebSocket => "ws",
        MqttTransport::WebSocketTls => "wss",
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{port}{path}")
}

/// Reads the authority of a URL: `host`, `host:port`, `[::1]` or `[::1]:port` (RFC 3986 section 3.2). The error shows
/// no part of it, because it may be a password in the wrong place.
fn parse_authority(text: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    const HOST: &str = "no host, or an invalid one: host, host:port or [address]:port is possible";
    const PORT: &str = "the port after the host is invalid: 1 to 65535 is possible";
    const BRACKETS: &str = "an IPv6 address needs brackets: [address] or [address]:port is possible";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(BRACKETS)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| BRACKETS)?;
            match (port, port.strip_prefix(':')) {
                ("", _) => (address, None),
                (_, Some(port)) => (address, Some(port)),
                _ => return Err(BRACKETS),
            }
        }
        None if text.matches(':').count() > 1 => return Err(BRACKETS),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let name = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !host.starts_with(['-', '.']);
    if !name && !host.contains(':') {
        return Err(HOST);
    }
    let port = match port {
        None => default_port,
        // `parse` would also accept a sign.
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or(PORT)?
        }
        Some(_) => return Err(PORT),
    };
    Ok((host.to_owned(), port))
}

/// The kind of an ICE server and its transport.
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
    parse_authority(authority, 3478).ok()?;
    match (scheme, query) {
        ("stun", None) => Some(IceKind::Stun),
        ("turn", None | Some("transport=udp")) => Some(IceKind::TurnUdp),
        ("turn" | "turns", Some("transport=tcp")) | ("turns", None) => Some(IceKind::TurnStream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_urls() {
        for (text, expected) in [
            ("mqtt://host", Some((MqttTransport::Tcp, "host", 1883, ""))),
            ("mqtts://host/", Some((MqttTransport::Tls, "host", 8883, ""))),
            ("ws://host", Some((MqttTransport::WebSocket, "host", 80, "/"))),
            (
                "wss://a.b-c.example:9001/mqtt?x=1",
                Some((MqttTransport::WebSocketTls, "a.b-c.example", 9001, "/mqtt?x=1")),
            ),
            ("mqtt://[::1]", Some((MqttTransport::Tcp, "::1", 1883, ""))),
            ("mqtts://[2001:db8::2]:443", Some((MqttTransport::Tls, "2001:db8::2", 443, ""))),
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
            let expected = expected.map(|(transport, host, port, path)| BrokerUrl {
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
        for (text, words) in [
            ("mqtt://me:secret@host", "secrets do not belong"),
            ("mqtt://me:secret", "the port"),
            ("mqtt://host:88888", "the port"),
            ("mqtt://:1883", "no host"),
            ("mqtt://::1", "needs brackets"),
        ] {
            let error = parse_url(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("me:"), "{text}: {error}");
        }
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
}
