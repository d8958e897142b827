//! ICE server URLs (RFC 7064, RFC 7065). Pure.

use std::{fmt, net::SocketAddr};

/// A parsed ICE server URL (RFC 7064, RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceUrl {
    /// `true`: TURN; `false`: STUN.
    pub turn: bool,
    /// `stuns:` or `turns:`.
    pub secure: bool,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// Port; by default 3478, or 5349 if `secure`.
    pub port: u16,
    /// Over a stream instead of UDP: `?transport=tcp`, or `secure`.
    pub stream: bool,
}

impl IceUrl {
    /// Parses `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]`, `stuns:…` and `turns:…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let accepted = "accepted: stun:host:port, turn:host:port?transport=udp, turns:host:port?transport=tcp";
        let bad = |what: &str| format!("ICE server \"{text}\": {what}; {accepted}");
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("no scheme"))?;
        let (turn, secure) = match scheme {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return Err(bad("unknown scheme")),
        };
        let (address, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        let stream = match query {
            None => secure,
            Some("transport=udp") if turn && !secure => false,
            Some("transport=tcp") if turn => true,
            Some(_) => return Err(bad("unknown query")),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| bad("no closing bracket"))?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => address.split_once(':').map_or((address, Some("")), |(h, p)| (h, Some(p))),
        };
        let port = match port {
            Some("") => {
                if secure {
                    5349
                } else {
                    3478
                }
            }
            Some(port) => port.parse().ok().filter(|p| *p > 0).ok_or_else(|| bad("no such port"))?,
            None => return Err(bad("no such port")),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(bad("no host"));
        }
        Ok(Self { turn, secure, host: host.to_owned(), port, stream })
    }

    /// The URL of this server over UDP at the address `address`, as the stack gets it.
    pub fn at(&self, address: SocketAddr) -> String {
        if self.turn { format!("turn:{address}?transport=udp") } else { format!("stun:{address}") }
    }

    /// The URL for logs, with its port and transport: `turns:host:5349?transport=tcp`.
    fn label(&self) -> String {
        let scheme = match (self.turn, self.secure) {
            (false, false) => "stun",
            (false, true) => "stuns",
            (true, false) => "turn",
            (true, true) => "turns",
        };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let query = match (self.turn, self.secure, self.stream) {
            (true, false, false) => "?transport=udp",
            (true, false, true) => "?transport=tcp",
            _ => "",
        };
        format!("{scheme}:{host}:{}{query}", self.port)
    }

    /// The transport: `udp`, `tcp` or `tls`.
    pub fn transport(&self) -> &'static str {
        match (self.secure, self.stream) {
            (true, _) => "tls",
            (false, true) => "tcp",
            (false, false) => "udp",
        }
    }
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = |turn, secure, host: &str, port, stream| Ok(IceUrl { turn, secure, host: host.into(), port, stream });
        assert_eq!(IceUrl::parse("stun:stun.example.org"), url(false, false, "stun.example.org", 3478, false));
        assert_eq!(IceUrl::parse("stun:192.0.2.1:3479"), url(false, false, "192.0.2.1", 3479, false));
        assert_eq!(
            IceUrl::parse("turn:[2001:db8::1]:3480?transport=udp"),
            url(true, false, "2001:db8::1", 3480, false)
        );
        assert_eq!(IceUrl::parse("turn:[2001:db8::1]"), url(true, false, "2001:db8::1", 3478, false));
        assert_eq!(IceUrl::parse("turn:t.example.org?transport=tcp"), url(true, false, "t.example.org", 3478, true));
        assert_eq!(IceUrl::parse("turns:t.example.org"), url(true, true, "t.example.org", 5349, true));
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_what_is_accepted() {
        for text in [
            "",
            "stun",
            "http://x",
            "stun:",
            "turn:a:0",
            "turn:a:70000",
            "turn:a?transport=sctp",
            "stun:a?transport=tcp",
            "turn:[::1",
            "turn:u@h",
        ] {
            let error = IceUrl::parse(text).expect_err(text);
            assert!(error.contains("accepted: stun:host:port"), "{error}");
        }
    }
}
