//! STUN and TURN servers: as the viewer gets them, and as the board's own ICE agent uses them.

mod command;
mod dial;
mod framing;
pub(crate) mod fuzz;
mod login;
mod marks;
mod names;
mod probe;
mod turn_stream;
mod url;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use rtc::peer_connection::transport::RTCIceServer;
use tracing::warn;

use self::{command::CommandServers, dial::TrustStore, login::own_login, names::Names, turn_stream::TurnServer};
pub use self::{
    login::ViewerLogins,
    marks::{Marks, refusal},
    probe::Proof,
    turn_stream::TurnStream,
    url::IceUrl,
};
use crate::{
    clock::Mono,
    config::{IceLogin, IceServer, Login, Webrtc},
    protocol::{IceServers, RtcIceServer},
};

/// How long a session waits for names and for `ice_command`, in all. So a DNS server that fails costs no more.
const PATIENCE: Duration = Duration::from_millis(200);
/// How many addresses of one name are used, of each family.
const ADDRESSES: usize = 2;
/// How long a test of servers waits for names.
const EXAMINATION: Duration = Duration::from_secs(20);
/// The pause between lookups after the start, until all names are found.
const FIRST: Duration = Duration::from_secs(30);

/// The servers of all sessions.
#[derive(Debug)]
pub struct Ice {
    /// The wall clock. Logins tell TURN servers when they end.
    clock: fn() -> SystemTime,
    names: Names,
    printed: CommandServers,
    trust: Arc<TrustStore>,
    /// Servers that answered badly.
    pub marks: Arc<Marks>,
}

/// The result of testing one URL.
#[derive(Debug)]
pub struct Finding {
    /// The URL.
    pub url: IceUrl,
    /// What the server returned, or which step failed and why.
    pub outcome: Result<Proof, String>,
}

/// One TURN server, as one session uses it.
#[derive(Debug)]
pub struct Relay {
    /// The configured URL.
    pub url: IceUrl,
    /// The addresses at which the stack reaches the server; several if its name has several.
    pub addresses: Vec<SocketAddr>,
    /// The local end of the stream, if the server is reached over TCP or TLS.
    pub stream: Option<TurnStream>,
}

/// The servers for one session's ICE agent. Relays over TCP and TLS live as long as this value.
#[derive(Debug, Default)]
pub struct ResolvedServers {
    /// The servers for the stack: UDP, by address.
    pub servers: Vec<RTCIceServer>,
    /// The TURN servers among them.
    pub relays: Vec<Relay>,
    /// The servers that are left out, each with the reason.
    pub missing: Vec<(IceUrl, String)>,
    /// The URL of each address.
    pub addresses: Vec<(SocketAddr, IceUrl)>,
}

/// The servers of one session, by the addresses at which the stack reaches them.
#[derive(Debug, Default)]
pub struct SessionServers {
    /// The URL of each address.
    pub addresses: Vec<(SocketAddr, IceUrl)>,
    /// The faults of all servers.
    pub marks: Arc<Marks>,
}

impl SessionServers {
    /// The STUN or TURN server at `address` works, or has a fault, which is logged once. One address may be both, with
    /// a URL for each.
    pub fn note(&self, address: SocketAddr, turn: bool, outcome: Result<(), String>) {
        for (_, url) in self.addresses.iter().filter(|(at, url)| *at == address && url.turn == turn) {
            match &outcome {
                Ok(()) => self.marks.good(url),
                Err(why) if self.marks.bad(url, why, Mono::now()) => {
                    let what = if url.turn { "relay" } else { "address" };
                    warn!("no {what} from {url}: {why}; new sessions do not use it for 60 s, unless there is no other");
                }
                Err(_) => {}
            }
        }
    }
}

impl Default for Ice {
    fn default() -> Self {
        Self::with_clock(SystemTime::now)
    }
}

impl Ice {
    /// With a wall clock that may be wrong.
    pub fn with_clock(clock: fn() -> SystemTime) -> Self {
        Self {
            clock,
            names: Names::default(),
            printed: CommandServers::default(),
            trust: Arc::default(),
            marks: Arc::default(),
        }
    }

    /// The servers that a viewer gets. Logins that are made from a secret are its own.
    pub async fn for_viewer(&self, config: &Webrtc, logins: &mut ViewerLogins) -> IceServers {
        let printed = self.printed.servers(&config.ice_command, PATIENCE).await;
        let now = (self.clock)();
        let made = logins.made(now);
        let mut valid = printed.servers.iter().any(|server| server.login != IceLogin::None).then_some(printed.valid);
        let mut for_viewer = |server: IceServer| {
            let (login, end) = logins.login(&server.login, made).unzip();
            if let Some(end) = end.flatten() {
                let left = end.duration_since(now).unwrap_or_default();
                valid = Some(valid.map_or(left, |valid| valid.min(left)));
            }
            let (username, credential) =
                login.map(|login: Login| (login.user, login.password.expose().to_owned())).unzip();
            RtcIceServer { urls: server.urls, username, credential }
        };
        let ice_servers = config.ice_servers.iter().cloned().chain(printed.servers).map(&mut for_viewer).collect();
        IceServers { ice_servers, logins_s: valid.map(|valid| valid.as_secs()) }
    }

    /// The servers that a new session's agent can use, by address. Servers that are not resolved in time are left out.
    pub async fn open(&self, config: &Webrtc) -> ResolvedServers {
        let printed = self.printed.servers(&config.ice_command, PATIENCE).await;
        let servers: Vec<_> =
            config.ice_servers.iter().cloned().chain(printed.servers.iter().map(one_url_of_each_kind)).collect();
        let urls: Vec<Vec<IceUrl>> = servers
            .iter()
            .map(|server| server.urls.iter().filter_map(|url| IceUrl::parse(url).ok()).collect())
            .collect();
        let all: Vec<&IceUrl> = urls.iter().flatten().collect();
        let hosts: Vec<&str> = all.iter().map(|url| url.host.as_str()).collect();
        let addresses = self.names.addresses(&hosts, PATIENCE).await;
        let addresses: Vec<_> =
            all.iter().zip(addresses).map(|(url, found)| usable_or_why(url, found, config)).collect();
        // A server that answers badly is kept if the others cannot be found.
        let usable: Vec<&IceUrl> =
            all.iter().zip(&addresses).filter(|(_, at)| at.is_ok()).map(|(url, _)| *url).collect();
        let mut left_out = self.marks.left_out(&usable, Mono::now()).into_iter();
        let mut addresses = addresses.into_iter().map(|at| match at.map(|at| (at, left_out.next().flatten())) {
            Ok((_, Some(why))) => Err(why),
            Ok((at, None)) => Ok(at),
            Err(why) => Err(why),
        });
        let (mut resolved, now) = (ResolvedServers::default(), (self.clock)());
        for (server, urls) in servers.iter().zip(&urls) {
            let mut found = Vec::new();
            for (url, at) in urls.iter().cloned().zip(addresses.by_ref()) {
                match at.and_then(|at| self.addresses_for_stack(&url, at, server, config)) {
                    Ok((addresses, stream)) => {
                        found.extend(addresses.iter().map(|address| url.at(*address)));
                        resolved.addresses.extend(addresses.iter().map(|address| (*address, url.clone())));
                        if url.turn {
                            resolved.relays.push(Relay { url, addresses, stream });
                        }
                    }
                    Err(why) => resolved.missing.push((url, why)),
                }
            }
            if !found.is_empty() {
                let login = own_login(&server.login, now);
                let (username, credential) =
                    login.map(|login| (login.user, login.password.expose().to_owned())).unwrap_or_default();
                resolved.servers.push(RTCIceServer { urls: found, username, credential });
            }
        }
        resolved
    }

    /// Tests all URLs for which `wanted` is true, at the same time: with a STUN Binding request, or by allocating a
    /// TURN relay. Other faults, such as those of `ice_command`, are returned as sentences.
    pub async fn examine(&self, config: &Webrtc, wanted: impl Fn(&IceUrl) -> bool) -> (Vec<Finding>, Vec<String>) {
        let mut faults = Vec::new();
        let mut servers = config.ice_servers.clone();
        if !config.ice_command.is_empty() {
            match command::run(&config.ice_command).await.and_then(|text| command::parse(&text)) {
                Ok((printed, _)) => servers.extend(printed),
                Err(fault) => faults.push(format!("ice_command: {fault}")),
            }
        }
        let (mut all, now) = (Vec::new(), (self.clock)());
        for server in &servers {
            let urls = server.urls.iter().filter_map(|url| IceUrl::parse(url).ok());
            all.extend(urls.filter(|url| wanted(url)).map(|url| (url, server)));
        }
        let hosts: Vec<&str> = all.iter().map(|(url, _)| url.host.as_str()).collect();
        let addresses = self.names.addresses(&hosts, EXAMINATION).await;
        let tests = all.iter().zip(addresses).map(|((url, server), addresses)| async {
            let found = !addresses.is_empty();
            let addresses = usable(addresses, config);
            let outcome = match (addresses.is_empty(), found) {
                (true, false) => Err(format!("look up {}: no address; check the name and this board's DNS", url.host)),
                (true, true) => Err(format!("{} has no address of a configured family (IPv4, IPv6)", url.host)),
                (false, _) => self.test(url, addresses, server, config, now).await,
            };
            Finding { url: url.clone(), outcome }
        });
        (join_all(tests).await, faults)
    }

    /// Tests one URL, at each of its addresses until one works.
    async fn test(
        &self,
        url: &IceUrl,
        addresses: Vec<IpAddr>,
        server: &IceServer,
        config: &Webrtc,
        now: SystemTime,
    ) -> Result<Proof, String> {
        let (addresses, stream) = self.addresses_for_stack(url, addresses, server, config)?;
        let login = own_login(&server.login, now);
        let mut outcome = Err("no address".to_owned());
        for address in addresses {
            outcome = match url.turn {
                true => probe::turn(address, login.as_ref(), stream.as_ref()).await,
                false => probe::stun(address).await,
            };
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// The addresses at which the stack reaches a server. For TCP and TLS this is the local end of a new stream.
    fn addresses_for_stack(
        &self,
        url: &IceUrl,
        addresses: Vec<IpAddr>,
        server: &IceServer,
        config: &Webrtc,
    ) -> Result<(Vec<SocketAddr>, Option<TurnStream>), String> {
        if !url.stream && !url.secure {
            return Ok((addresses.into_iter().map(|address| SocketAddr::new(address, url.port)).collect(), None));
        }
        let (ca, trust) = (server.ca_file.clone(), Arc::clone(&self.trust));
        let target = TurnServer { url: Arc::new(url.clone()), addresses, ca, trust };
        // The stack uses only servers of a family for which it has a socket.
        let ipv4 = config.ipv4 && (config.addresses.is_empty() || config.addresses.iter().any(IpAddr::is_ipv4));
        let stream = TurnStream::open(target, ipv4).map_err(|e| format!("listen on loopback: {e}"))?;
        Ok((vec![stream.address()], Some(stream)))
    }

    /// Resolves names and runs `ice_command` ahead, so that the first session does not wait. Never ends; must be
    /// started again with each new configuration.
    pub async fn keep(&self, config: &Webrtc) {
        let printed = async {
            while !config.ice_command.is_empty() {
                self.printed.servers(&config.ice_command, Duration::MAX).await;
                tokio::time::sleep(self.printed.pause()).await;
            }
        };
        let names = async {
            let urls: Vec<_> = config
                .ice_servers
                .iter()
                .flat_map(|server| &server.urls)
                .filter_map(|url| IceUrl::parse(url).ok())
                .collect();
            let hosts: Vec<&str> = urls.iter().map(|url| url.host.as_str()).collect();
            // Once all were found, an old address is used until a session asks again.
            while self.names.addresses(&hosts, Duration::from_secs(60)).await.iter().any(Vec::is_empty) {
                tokio::time::sleep(FIRST).await;
            }
        };
        tokio::join!(printed, names);
        std::future::pending().await
    }
}

/// The addresses of a server that may be used, or why there are none.
fn usable_or_why(url: &IceUrl, addresses: Vec<IpAddr>, config: &Webrtc) -> Result<Vec<IpAddr>, String> {
    let known = !addresses.is_empty();
    let addresses = usable(addresses, config);
    match (addresses.is_empty(), known) {
        (true, false) => Err(format!("no address of {} is known yet", url.host)),
        (true, true) => Err(format!("{} has no address of a configured family (IPv4, IPv6)", url.host)),
        (false, _) => Ok(addresses),
    }
}

/// The addresses of configured families.
fn usable(addresses: Vec<IpAddr>, config: &Webrtc) -> Vec<IpAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let some = |list: Vec<IpAddr>, wanted: bool| list.into_iter().filter(move |_| wanted).take(ADDRESSES);
    some(v4, config.ipv4).chain(some(v6, config.ipv6)).collect()
}

/// Reduces a server from `ice_command` to one URL of each kind. Services list the same relay with many ports, and each
/// URL is an allocation that may be paid for.
fn one_url_of_each_kind(server: &IceServer) -> IceServer {
    let mut kinds = Vec::new();
    let mut is_news = |url: &&String| {
        let kind = IceUrl::parse(url).map(|url| (url.turn, url.transport()));
        let news = kind.as_ref().is_ok_and(|kind| !kinds.contains(kind));
        kinds.extend(kind);
        news
    };
    IceServer { urls: server.urls.iter().filter(&mut is_news).cloned().collect(), ..server.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Id, Secret},
        protocol::SessionId,
    };

    fn config(urls: &[&str]) -> Webrtc {
        let login = IceLogin::Fixed(Login { user: "u".into(), password: Secret::new("p") });
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Webrtc { ice_servers: vec![IceServer { urls, login, ca_file: None }], ..Webrtc::default() }
    }

    #[test]
    fn a_server_that_fails_as_one_of_two_is_left_out_as_that_one_only() {
        let address: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let urls = ["stun:192.0.2.1", "turn:192.0.2.1"].map(|url| IceUrl::parse(url).unwrap());
        for failed in [0, 1] {
            let addresses = urls.iter().map(|url| (address, url.clone())).collect();
            let servers = SessionServers { addresses, marks: Arc::default() };
            servers.note(address, urls[failed].turn, Err("it answers with the error 500".into()));
            servers.note(address, urls[1 - failed].turn, Ok(()));
            let left_out = urls.each_ref().map(|url| servers.marks.why(url, Mono::now()).is_some());
            assert_eq!(left_out, [failed == 0, failed == 1]);
        }
    }

    #[tokio::test]
    async fn the_agent_is_given_addresses_and_udp_only() {
        let ice = Ice::default();
        let both = config(&["stun:192.0.2.1", "turn:[2001:db8::1]", "turns:192.0.2.3", "turn:no-such-name.invalid"]);
        let resolved = ice.open(&both).await;
        let stream = resolved.relays[1].addresses[0];
        assert!(stream.ip().is_loopback());
        let expected = [
            "stun:192.0.2.1:3478".to_owned(),
            "turn:[2001:db8::1]:3478?transport=udp".to_owned(),
            format!("turn:{stream}?transport=udp"),
        ];
        assert_eq!(resolved.servers[0].urls, expected);
        assert_eq!(resolved.missing.len(), 1, "{:?}", resolved.missing);
        let v4 = Webrtc { ipv6: false, ..both };
        let resolved = ice.open(&v4).await;
        assert_eq!(resolved.servers[0].urls.len(), 2, "{:?}", resolved.servers[0].urls);
        assert_eq!(resolved.relays[0].url.to_string(), "turns:192.0.2.3:5349");
    }

    #[tokio::test]
    async fn each_viewer_has_a_login_of_its_own_where_logins_are_made() {
        let ice = Ice::default();
        let session = SessionId::new(&"A".repeat(22)).unwrap();
        let mut anna = ViewerLogins::new(&Id::new("anna").unwrap(), &session, Duration::from_secs(300));
        let mut config = config(&["turn:192.0.2.1"]);
        let told = ice.for_viewer(&config, &mut anna).await;
        assert_eq!((told.ice_servers[0].username.as_deref(), told.logins_s), (Some("u"), None));
        let (ttl, own_ttl) = (Duration::from_secs(600), Duration::from_secs(15_000));
        let login = IceLogin::Made { secret: Secret::new("s3cret"), user: None, ttl, own_ttl };
        config.ice_servers[0].login = login;
        let told = ice.for_viewer(&config, &mut anna).await;
        let user = told.ice_servers[0].username.as_deref();
        assert!(user.is_some_and(|user| user.ends_with(":anna-AAAAAAAA")), "{told:?}");
        assert!(told.logins_s.is_some_and(|valid| (590..=600).contains(&valid)), "{told:?}");
        let shown = format!("{told:?} {config:?} {:?}", ice.open(&config).await.relays);
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn of_a_server_that_is_paid_for_one_url_of_each_kind_is_used() {
        let many =
            ["stun:a:3478", "stun:a:53", "turn:a:3478", "turn:a:53", "turn:a?transport=tcp", "turns:a", "turns:a:443"];
        let config = config(&many);
        let spared = one_url_of_each_kind(&config.ice_servers[0]);
        assert_eq!(spared.urls, ["stun:a:3478", "turn:a:3478", "turn:a?transport=tcp", "turns:a"]);
    }
}
