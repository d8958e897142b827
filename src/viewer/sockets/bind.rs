//! Where a connection binds.

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
    viewer::peer::random_u32,
};

/// What a connection binds to, asked anew at each ICE restart: interfaces come and go.
#[derive(Debug, Clone)]
pub(crate) struct BindAddrs {
    addresses: Vec<IpAddr>,
    interfaces: Vec<InterfaceRule>,
    ipv4: bool,
    ipv6: bool,
    loopback: bool,
    ports: Option<(u16, u16)>,
    tcp: bool,
    /// Whether it was bound before.
    bound: Arc<AtomicBool>,
}

impl BindAddrs {
    /// Those of UDP.
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

    /// Those of TCP; none where viewers may not connect by it.
    pub(crate) fn tcp(config: &Webrtc) -> Vec<Self> {
        config.ice_tcp.then(|| Self { tcp: true, ..Self::udp(config) }).into_iter().collect()
    }

    /// Each usable interface, or the configured addresses. The unspecified ones stand for those of every interface.
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

    /// Those of the board's addresses that may be bound to.
    pub(crate) fn usable(&self, present: &BoardAddresses) -> Vec<IpAddr> {
        let named = present.iter().map(|(name, ip)| (name.to_owned(), ip));
        let mut usable = match self.addresses.is_empty() {
            true => chosen(&self.interfaces, named),
            false => named.map(|(_, ip)| ip).filter(|ip| self.addresses.contains(ip)).collect(),
        };
        usable.retain(|ip| if ip.is_ipv4() { self.ipv4 } else { self.ipv6 });
        usable
    }

    /// A free port of the range, looked for from a random place; 0 (any) without a range, or when all are taken, in which
    /// case the bind that follows says so.
    fn free_port(&self, address: IpAddr) -> u16 {
        let Some((first, last)) = self.ports else { return 0 };
        let span = u32::from(last.saturating_sub(first)) + 1;
        let start = random_u32() % span;
        let port = |i: u32| first.saturating_add(((start + i) % span) as u16);
        let is_unconstrained = |port: &u16| match self.tcp {
            true => TcpListener::bind((address, *port)).is_ok(),
            false => UdpSocket::bind((address, *port)).is_ok(),
        };
        (0..span).map(port).find(is_unconstrained).unwrap_or(first)
    }
}

impl ToSocketAddrs for BindAddrs {
    type Iter = std::vec::IntoIter<SocketAddr>;

    /// A connection that begins needs an address. One that runs and has none left gets a socket that reaches nobody: the stack
    /// would end without any, and the address may be back within the second.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let again = self.bound.swap(true, Ordering::AcqRel);
        let hosts = match self.hosts() {
            Err(_) if again || self.tcp => Vec::new(),
            hosts => hosts?,
        };
        let mut places: Vec<_> = hosts.into_iter().map(|host| SocketAddr::new(host, self.free_port(host))).collect();
        if self.tcp {
            return Ok(places.into_iter());
        }
        if places.is_empty() && !again {
            let why = match self.interfaces.is_empty() {
                false => "none of the interfaces in webrtc.interfaces has an address now",
                true => "no address of webrtc.addresses is of a family that is in use",
            };
            return Err(io::Error::other(why));
        }
        if again && !places.iter().any(|place| UdpSocket::bind(place).is_ok()) {
            debug!("none of {places:?} can be bound now: the connection waits for an address");
            places.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        Ok(places.into_iter())
    }
}

/// Whether the connection asks for `.local` names. Its socket is tried beforehand: one that cannot be had would cost the
/// connection, and without it only a few viewers are found later.
pub(crate) fn names(config: &Webrtc) -> MulticastDnsMode {
    match config.mdns.then(|| MulticastSocket::new().into_std()) {
        Some(Ok(_)) => MulticastDnsMode::QueryOnly,
        Some(Err(e)) => {
            debug!("multicast DNS: {e}; this session goes without it");
            MulticastDnsMode::Disabled
        }
        None => MulticastDnsMode::Disabled,
    }
}

/// Whether the socket of multicast DNS can be had, where there is one.
pub(crate) fn names_at_hand(wanted: bool) -> io::Result<()> {
    match wanted {
        true => MulticastSocket::new().into_std().map(drop),
        false => Ok(()),
    }
}

/// The addresses of the allowed interfaces that others can reach: no loopback, and no link-local ones, which mean nothing
/// without the name of the interface.
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
    fn of_the_allowed_interfaces_what_others_can_reach_is_used() {
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
            let places = BindAddrs::udp(&config);
            match config.interfaces.is_empty() {
                // It is the stack that finds that it cannot be bound.
                true => assert_eq!(places.to_socket_addrs().unwrap().next().unwrap().ip(), config.addresses[0]),
                false => assert!(places.to_socket_addrs().unwrap_err().to_string().contains("webrtc.interfaces")),
            }
            let again: Vec<_> = places.to_socket_addrs().unwrap().collect();
            assert!(again.iter().any(|place| UdpSocket::bind(place).is_ok()), "{again:?}");
            assert!(again.last().unwrap().ip().is_loopback());
            for tcp in BindAddrs::tcp(&config) {
                assert_eq!(tcp.to_socket_addrs().unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn of_the_addresses_that_come_only_those_count_that_may_be_used() {
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
        for places in [BindAddrs::udp(&config), BindAddrs::tcp(&config).remove(0)] {
            let bound: Vec<_> = places.to_socket_addrs().unwrap().collect();
            assert_eq!(bound.len(), 1);
            assert!((40_000..=40_100).contains(&bound[0].port()) && bound[0].is_ipv4(), "{bound:?}");
        }
        assert!(BindAddrs::tcp(&Webrtc::default()).is_empty());
    }
}
