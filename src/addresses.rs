//! Reports changes of the board's addresses, from the kernel (rtnetlink(7)). Otherwise a lost address would be noticed
//! only by a timeout.

use std::{collections::BTreeSet, io, net::IpAddr, sync::Arc, time::Duration};

use rtc::shared::ifaces::ifaces;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, socket_with};
use tokio::{net::UnixDatagram, sync::watch, time::sleep};
use tracing::{debug, info};

/// The multicast groups for addresses (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`) and links (`RTMGRP_LINK`).
const GROUPS: u32 = 0x10 | 0x100 | 0x1;
/// Changes come in bursts: an address, its route, the other family. This is the pause after one.
const BURST: Duration = Duration::from_millis(250);
/// Most messages to read at once. Their contents are ignored.
const MESSAGES: usize = 256;

/// The addresses at which others can reach this board.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoardAddresses(Arc<BTreeSet<(String, IpAddr)>>);

impl BoardAddresses {
    /// The current addresses.
    pub fn now() -> Self {
        Self(Arc::new(addresses()))
    }

    /// Each address with the name of its interface.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.0.iter().map(|(interface, ip)| (interface.as_str(), *ip))
    }

    /// Whether the board still has this address. Loopback and link-local addresses are not tracked and count as
    /// present.
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        !is_reachable(&ip) || ip.is_unspecified() || self.0.iter().any(|(_, known)| *known == ip)
    }

    /// Whether there is an address that was not there before.
    pub fn gained(&self, before: &Self) -> bool {
        self.0.iter().any(|(_, ip)| !before.0.iter().any(|(_, known)| known == ip))
    }
}

/// Sends each change to `moved`, for ever. Returns only if the kernel does not report changes.
pub async fn follow(moved: watch::Sender<BoardAddresses>) {
    let socket = match listen() {
        Ok(socket) => socket,
        Err(e) => {
            info!("addresses: the kernel does not report changes ({e}); a lost address is noticed by a timeout");
            return;
        }
    };
    loop {
        let now = BoardAddresses::now();
        moved.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                debug!("addresses: {known:?} → {now:?}");
                known.clone_from(&now);
            }
            changed
        });
        if receive(&socket).await.is_err() {
            return;
        }
        sleep(BURST).await;
    }
}

/// A netlink socket that receives the changes. The runtime reads it as a datagram socket, which works for any family.
fn listen() -> io::Result<UnixDatagram> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    UnixDatagram::from_std(socket.into())
}

/// Waits for a message from the kernel, and reads all that are queued.
async fn receive(socket: &UnixDatagram) -> io::Result<()> {
    let mut buffer = [0_u8; 8192];
    socket.readable().await?;
    for _ in 0..MESSAGES {
        match socket.try_recv(&mut buffer) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            // The queue overflowed (netlink(7)), so something changed.
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether others can use the address: it is neither loopback nor link-local.
fn is_reachable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

fn addresses() -> BTreeSet<(String, IpAddr)> {
    let all = ifaces().unwrap_or_default();
    let named = all.into_iter().filter_map(|interface| Some((interface.name, interface.addr?.ip())));
    named.filter(|(_, ip)| is_reachable(ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl BoardAddresses {
        /// From a list of `interface address`.
        pub(crate) fn of(list: &[&str]) -> Self {
            let one = |text: &&str| {
                let (interface, ip) = text.split_once(' ').unwrap();
                (interface.to_owned(), ip.parse().unwrap())
            };
            Self(Arc::new(list.iter().map(one).collect()))
        }
    }

    #[test]
    fn added_and_removed_addresses_are_recognised() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = BoardAddresses::of(&["eth0 192.0.2.1"]);
        let both = BoardAddresses::of(&["eth0 192.0.2.1", "wlan0 2001:db8::1"]);
        let moved = BoardAddresses::of(&["wlan0 192.0.2.1"]);
        assert!(both.gained(&one) && !one.gained(&both) && !moved.gained(&one) && !one.gained(&one));
        assert!(one.has(ip("192.0.2.1")) && one.has(ip("::ffff:192.0.2.1")) && !one.has(ip("2001:db8::1")));
        for always in ["127.0.0.1", "::1", "169.254.7.7", "fe80::1", "0.0.0.0", "::"] {
            assert!(BoardAddresses::default().has(ip(always)), "{always}");
        }
        assert_eq!(both.iter().collect::<Vec<_>>(), [("eth0", ip("192.0.2.1")), ("wlan0", ip("2001:db8::1"))]);
    }

    #[tokio::test]
    async fn the_kernel_accepts_the_subscription() {
        let socket = listen().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), receive(&socket)).await.is_err(), "nothing changes now");
    }
}
