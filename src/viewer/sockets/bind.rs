//! The addresses and ports that a connection binds.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rtc::{ice::mdns::MulticastDnsMode, mdns::MulticastSocket, shared::ifaces::ifaces};
use tracing::debug;

use crate::{
    addresses::BoardAddresses,
    config::{InterfaceRule, Webrtc},
    viewer::random::random_u32,
};

/// The addresses that a connection binds. They are determined again at each ICE restart, since interfaces come and go.
#[derive(Debug, Clone)]
pub(crate) struct BindAddrs {
    addresses: Vec<IpAddr>,
    interfaces: Vec<InterfaceRule>,
    ipv4: bool,
    ipv6: bool,
    loopback: bool,
    ports: Option<(u16, u16)>,
    tcp: bool,
    /// Whether they were asked for before; then the connection already runs.
    bound: Arc<AtomicBool>,
}

impl BindAddrs {
    /// The addresses for UDP sockets.
    pub(crate) fn udp(config: &Webrtc) -> Self {
        Self {
            addresses: config.addresses.clone(),
            interfaces: config.interfaces.clone(),
            ipv4: config.ipv4,
            ipv6: config.ipv6,
            loopback: config.loopback,
            ports: config.ports,
            tcp: false,
            bound: Arc::default(),
        }
    }

    /// The addresses for TCP listeners; none unless `webrtc.ice_tcp` is set.
    pub(crate) fn tcp(config: &Webrtc) -> Vec<Self> {
        config.ice_tcp.then(|| Self { tcp: true, ..Self::udp(config) }).into_iter().collect()
    }

    /// The configured addresses, or those of each usable interface. The unspecified addresses stand for every
    /// interface.
    fn hosts(&self) -> io::Result<Vec<IpAddr>> {
        let mut hosts = match (self.addresses.is_empty(), self.interfaces.is_empty()) {
            (false, _) => self.addresses.clone(),
            (true, true) => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            (true, false) => {
                let all = ifaces()?.into_iter().filter_map(|i| Some((i.name, i.addr?.ip())));
                chosen(&self.interfaces, all)
            }
        };
        if self.loopback && self.addresses.is_empty() {
            hosts.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
        }
        hosts.retain(|host| if host.is_ipv4() { self.ipv4 } else { self.ipv6 });
        Ok(hosts)
    }

    /// Those of the board's current addresses that this connection may bind.
    pub(crate) fn usable(&self, present: &BoardAddresses) -> Vec<IpAddr> {
        let named = present.iter().map(|(name, ip)| (name.to_owned(), ip));
        let mut usable = match self.addresses.is_empty() {
            true => chosen(&self.interfaces, named),
            false => named.map(|(_, ip)| ip).filter(|ip| self.addresses.contains(ip)).collect(),
        };
        usable.retain(|ip| if ip.is_ipv4() { self.ipv4 } else { self.ipv6 });
        usable
    }

    /// A free port of `webrtc.ports`; the search starts at a random one. Without a range it is 0 (any). If all are
    /// taken it is the first, and the bind that follows reports the error.
    fn free_port(&self, address: IpAddr) -> u16 {
        let Some((first, last)) = self.ports else { return 0 };
        let span = u32::from(last.saturating_sub(first)) + 1;
        let start = random_u32() % span;
        let port = |i: u32| first.saturating_add(((start + i) % span) as u16);
        let is_free = |port: &u16| match self.tcp {
            true => TcpListener::bind((address, *port)).is_ok(),
            false => UdpSocket::bind((address, *port)).is_ok(),
        };
        (0..span).map(port).find(is_free).unwrap_or(first)
    }
}

impl ToSocketAddrs for BindAddrs {
    type Iter = std::vec::IntoIter<SocketAddr>;

    /// A new connection needs an address. One that runs and has no address left gets a socket on loopback, which
    /// reaches nobody. Without any socket the stack would end the connection, and the address may return within a
    /// second.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let again = self.bound.swap(true, Ordering::AcqRel);
        let hosts = match self.hosts() {
            Err(_) if again || self.tcp => Vec::new(),
            hosts => hosts?,
        };
        let mut addresses: Vec<_> = hosts.into_iter().map(|host| SocketAddr::new(host, self.free_port(host))).collect();
        if self.tcp {
            return Ok(addresses.into_iter());
        }
        if addresses.is_empty() && !again {
            let why = match self.interfaces.is_empty() {
                false => "none of the interfaces in webrtc.interfaces has an address now",
                true => "no address of webrtc.addresses is of a family that is in use",
            };
            return Err(io::Error::other(why));
        }
        if again && !addresses.iter().any(|address| UdpSocket::bind(address).is_ok()) {
            debug!("none of {addresses:?} can be bound now; the connection waits for an address");
            addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        Ok(addresses.into_iter())
    }
}

/// Whether the connection resolves `.local` names (multicast DNS, RFC 6762). The socket is tried beforehand, because
/// the stack fails without it. Without `.local` names, only a few viewers connect later.
pub(crate) fn names(config: &Webrtc) -> MulticastDnsMode {
    match config.mdns.then(|| MulticastSocket::new().into_std()) {
        Some(Ok(_)) => MulticastDnsMode::QueryOnly,
        Some(Err(e)) => {
            debug!("multicast DNS: {e}; this session does not resolve .local names");
            MulticastDnsMode::Disabled
        }
        None => MulticastDnsMode::Disabled,
    }
}

/// Whether the socket of multicast DNS can be opened; always `Ok` if it is not wanted.
pub(crate) fn names_at_hand(wanted: bool) -> io::Result<()> {
    match wanted {
        true => MulticastSocket::new().into_std().map(drop),
        false => Ok(()),
    }
}

/// The addresses of the allowed interfaces that others can reach. Loopback is left out; so are link-local addresses,
/// which mean nothing without the interface's name.
fn chosen(rules: &[InterfaceRule], all: impl Iterator<Item = (String, IpAddr)>) -> Vec<IpAddr> {
    let is_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    let allowed = all.filter(|(name, ip)| InterfaceRule::allow(rules, name) && !is_local(ip));
    allowed.map(|(_, ip)| ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reachable_addresses_of_the_allowed_interfaces_are_used() {
        let all = [
            ("lo", "127.0.0.1"),
            ("eth0", "192.0.2.1"),
            ("eth0", "2001:db8::1"),
            ("eth0", "fe80::1"),
            ("docker0", "172.17.0.1"),
            ("wlan0", "169.254.1.1"),
        ];
        let all = || all.iter().map(|(name, ip)| ((*name).to_owned(), ip.parse().unwrap()));
        let rules = |word: &str| [InterfaceRule::parse(word).unwrap()];
        let expected: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).to_vec();
        assert_eq!(chosen(&rules("eth*"), all()), expected);
        assert_eq!(chosen(&rules("!docker0"), all()), expected);
        assert!(chosen(&rules("wlan0"), all()).is_empty());
    }

    #[test]
    fn a_connection_that_runs_outlives_its_addresses() {
        let gone = Webrtc { addresses: vec!["192.0.2.77".parse().unwrap()], ..Webrtc::default() };
        let nowhere = InterfaceRule::parse("nothing*").unwrap();
        for config in [gone, Webrtc { interfaces: vec![nowhere], ice_tcp: true, ..Webrtc::default() }] {
            let addresses = BindAddrs::udp(&config);
            match config.interfaces.is_empty() {
                // The stack finds later that the address cannot be bound.
                true => assert_eq!(addresses.to_socket_addrs().unwrap().next().unwrap().ip(), config.addresses[0]),
                false => assert!(addresses.to_socket_addrs().unwrap_err().to_string().contains("webrtc.interfaces")),
            }
            let again: Vec<_> = addresses.to_socket_addrs().unwrap().collect();
            assert!(again.iter().any(|address| UdpSocket::bind(address).is_ok()), "{again:?}");
            assert!(again.last().unwrap().ip().is_loopback());
            for tcp in BindAddrs::tcp(&config) {
                assert_eq!(tcp.to_socket_addrs().unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn of_the_boards_addresses_only_the_allowed_ones_are_usable() {
        let present = BoardAddresses::of(&["eth0 192.0.2.1", "eth0 2001:db8::1", "docker0 172.17.0.1"]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let usable = |config: Webrtc| BindAddrs::udp(&config).usable(&present);
        assert_eq!(usable(Webrtc::default()).len(), 3);
        assert_eq!(usable(Webrtc { ipv6: false, ..Webrtc::default() }).len(), 2);
        let interfaces = vec![InterfaceRule::parse("!docker*").unwrap()];
        assert_eq!(usable(Webrtc { interfaces, ..Webrtc::default() }), [ip("192.0.2.1"), ip("2001:db8::1")]);
        let addresses = vec![ip("172.17.0.1"), ip("192.0.2.9")];
        assert_eq!(usable(Webrtc { addresses, ..Webrtc::default() }), [ip("172.17.0.1")]);
    }

    #[test]
    fn ports_are_of_the_range_and_addresses_of_the_family() {
        let addresses = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let config =
            Webrtc { addresses, ipv6: false, ports: Some((40_000, 40_100)), ice_tcp: true, ..Webrtc::default() };
        for addresses in [BindAddrs::udp(&config), BindAddrs::tcp(&config).remove(0)] {
            let bound: Vec<_> = addresses.to_socket_addrs().unwrap().collect();
            assert_eq!(bound.len(), 1);
            assert!((40_000..=40_100).contains(&bound[0].port()) && bound[0].is_ipv4(), "{bound:?}");
        }
        assert!(BindAddrs::tcp(&Webrtc::default()).is_empty());
    }
}
