//! Where a connection binds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::peer::random_u32;
use crate::config::Webrtc;

/// Each usable interface, or the configured addresses, on a free port of the range.
pub(super) fn addresses(config: &Webrtc) -> Vec<SocketAddr> {
    let mut addresses: Vec<IpAddr> = if config.addresses.is_empty() {
        vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
    } else {
        config.addresses.clone()
    };
    if config.loopback && config.addresses.is_empty() {
        addresses.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
    }
    addresses.retain(|a| if a.is_ipv4() { config.ipv4 } else { config.ipv6 });
    addresses.into_iter().map(|a| SocketAddr::new(a, free_port(a, config.ports))).collect()
}

/// A free UDP port of the range, looked for from a random place; 0 (any) without a range, or when all are taken,
/// in which case the bind that follows says so.
fn free_port(address: IpAddr, range: Option<(u16, u16)>) -> u16 {
    let Some((first, last)) = range else { return 0 };
    let span = u32::from(last.saturating_sub(first)) + 1;
    let start = random_u32() % span;
    let port = |i: u32| first.saturating_add(((start + i) % span) as u16);
    (0..span).map(port).find(|p| UdpSocket::bind((address, *p)).is_ok()).unwrap_or(first)
}
