//! STUN and TURN servers: what the viewer is told, and what the board's own agent can use.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tracing::warn;

use crate::{clock::Mono, config::IceServer, protocol};

/// How long a name server may take before a server is left out of a session.
const RESOLVE_DEADLINE: Duration = Duration::from_millis(1500);
/// How long a resolved address is good.
const RESOLVED_FOR: Duration = Duration::from_secs(300);

/// One ICE server URL (RFC 7064, RFC 7065), taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// STUN or TURN.
    pub turn: bool,
    /// `stuns:` and `turns:`.
    pub secure: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port; 3478, or 5349 where secure.
    pub port: u16,
    /// `?transport=tcp`, or secure.
    pub stream: bool,
}

impl Url {
    /// Takes apart `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]`, `stuns:`, `turns:`.
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
        let (place, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        let stream = match query {
            None => secure,
            Some("transport=udp") if turn && !secure => false,
            Some("transport=tcp") if turn => true,
            Some(_) => return Err(bad("unknown query")),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| bad("no closing bracket"))?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => place.split_once(':').map_or((place, Some("")), |(h, p)| (h, Some(p))),
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

    /// The URL with `address` in place of its name.
    fn with(&self, address: IpAddr) -> String {
        let place = SocketAddr::new(address, self.port);
        if self.turn { format!("turn:{place}?transport=udp") } else { format!("stun:{place}") }
    }
}

/// The servers as a viewer is told them.
pub fn for_viewer(servers: &[IceServer]) -> Vec<protocol::IceServer> {
    let of = |server: &IceServer| protocol::IceServer {
        urls: server.urls.clone(),
        username: server.login.as_ref().map(|l| l.user.clone()),
        credential: server.login.as_ref().map(|l| l.password.expose().to_owned()),
    };
    servers.iter().map(of).collect()
}

/// Resolves server names beforehand: the stack would do it on the connection's own task, where a dead name
/// server holds up media.
#[derive(Debug, Default)]
pub struct Resolver {
    known: Mutex<HashMap<String, (Vec<IpAddr>, Mono)>>,
}

impl Resolver {
    /// The servers the board's agent can use, by address. Servers reached by TCP or TLS are left out: the stack
    /// speaks UDP only. A name that does not resolve in time is left out and said.
    pub async fn resolve(
        &self,
        servers: &[IceServer],
        ipv4: bool,
        ipv6: bool,
    ) -> Vec<rtc::peer_connection::transport::RTCIceServer> {
        let mut resolved = Vec::new();
        for server in servers {
            let mut urls = Vec::new();
            for text in &server.urls {
                let Ok(url) = Url::parse(text) else { continue };
                if url.stream || url.secure {
                    continue;
                }
                let addresses = self.addresses(&url.host).await;
                let usable = addresses.iter().filter(|a| if a.is_ipv4() { ipv4 } else { ipv6 });
                urls.extend(usable.take(2).map(|a| url.with(*a)));
            }
            if !urls.is_empty() {
                resolved.push(rtc::peer_connection::transport::RTCIceServer {
                    urls,
                    username: server.login.as_ref().map(|l| l.user.clone()).unwrap_or_default(),
                    credential: server.login.as_ref().map(|l| l.password.expose().to_owned()).unwrap_or_default(),
                });
            }
        }
        resolved
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let now = Mono::now();
        if let Some((addresses, until)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(host)
            && now < *until
        {
            return addresses.clone();
        }
        let found = match tokio::time::timeout(RESOLVE_DEADLINE, tokio::net::lookup_host((host, 0))).await {
            Ok(Ok(found)) => found.map(|a| a.ip()).collect(),
            Ok(Err(e)) => {
                warn!("ICE server {host}: look up its name: {e}; this session goes without it");
                Vec::new()
            }
            Err(_) => {
                warn!(
                    "ICE server {host}: look up its name: no answer in {RESOLVE_DEADLINE:?}; this session goes without it"
                );
                Vec::new()
            }
        };
        // A failure is remembered shortly, so that a dead name server delays one session and not each.
        let good_for = if found.is_empty() { Duration::from_secs(10) } else { RESOLVED_FOR };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(host.to_owned(), (found.clone(), now + good_for));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = |turn, secure, host: &str, port, stream| Ok(Url { turn, secure, host: host.into(), port, stream });
        assert_eq!(Url::parse("stun:stun.example.org"), url(false, false, "stun.example.org", 3478, false));
        assert_eq!(Url::parse("stun:192.0.2.1:3479"), url(false, false, "192.0.2.1", 3479, false));
        assert_eq!(Url::parse("turn:[2001:db8::1]:3480?transport=udp"), url(true, false, "2001:db8::1", 3480, false));
        assert_eq!(Url::parse("turn:[2001:db8::1]"), url(true, false, "2001:db8::1", 3478, false));
        assert_eq!(Url::parse("turn:t.example.org?transport=tcp"), url(true, false, "t.example.org", 3478, true));
        assert_eq!(Url::parse("turns:t.example.org"), url(true, true, "t.example.org", 5349, true));
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
            let error = Url::parse(text).expect_err(text);
            assert!(error.contains("accepted: stun:host:port"), "{error}");
        }
    }

    #[tokio::test]
    async fn only_udp_servers_by_address_reach_the_agent() {
        let server = IceServer {
            urls: vec!["stun:192.0.2.1".into(), "turn:[2001:db8::1]".into(), "turns:t.invalid".into()],
            login: None,
        };
        let resolver = Resolver::default();
        let both = resolver.resolve(std::slice::from_ref(&server), true, true).await;
        assert_eq!(both[0].urls, ["stun:192.0.2.1:3478", "turn:[2001:db8::1]:3478?transport=udp"]);
        let v4 = resolver.resolve(&[server], true, false).await;
        assert_eq!(v4[0].urls, ["stun:192.0.2.1:3478"]);
    }
}
