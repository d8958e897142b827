//! When the board's addresses change: the kernel's own word, by rtnetlink (rtnetlink(7)), so that nobody has to wait for a
//! silence to be noticed.

use std::{collections::BTreeSet, io, net::IpAddr, sync::Arc, time::Duration};

use rtc::shared::ifaces::ifaces;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, socket_with};
use tokio::{net::UnixDatagram, sync::watch, time::sleep};
use tracing::{debug, info};

/// Changes of addresses of both families (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`) and of links (`RTMGRP_LINK`).
const GROUPS: u32 = 0x10 | 0x100 | 0x1;
/// Changes come in showers: an address, its route, the other family.
const SHOWER: Duration = Duration::from_millis(250);
/// Messages read at once, at most: what they say is not looked into.
const MESSAGES: usize = 256;

/// The addresses that others can reach this board by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoardAddresses(Arc<BTreeSet<(String, IpAddr)>>);

impl BoardAddresses {
    /// Those of now.
    pub fn now() -> Self {
        Self(Arc::new(addresses()))
    }

    /// Each with the interface that has it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.0.iter().map(|(interface, ip)| (interface.as_str(), *ip))
    }

    /// Whether what is bound to this address lives. Nothing is told of loopback and of addresses that mean something on one
    /// link only: they count as present.
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        !is_of_use(&ip) || ip.is_unspecified() || self.0.iter().any(|(_, known)| *known == ip)
    }

    /// Whether one is there that was not there before.
    pub fn gained(&self, before: &Self) -> bool {
        self.0.iter().any(|(_, ip)| !before.0.iter().any(|(_, known)| known == ip))
    }
}

/// Tells `moved` of each change, for ever; ends only if the kernel does not tell.
pub async fn follow(moved: watch::Sender<BoardAddresses>) {
    let socket = match listen() {
        Ok(socket) => socket,
        Err(e) => {
            info!("addresses: the kernel does not tell of changes ({e}): they are noticed by what they break");
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
        if heard(&socket).await.is_err() {
            return;
        }
        sleep(SHOWER).await;
    }
}

/// A socket of the kernel's. It is a datagram socket to the runtime, which asks nothing of its family to read from one.
fn listen() -> io::Result<UnixDatagram> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // The protocol that is none is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    UnixDatagram::from_std(socket.into())
}

/// Waits for a word of the kernel, and takes all that it has said so far.
async fn heard(socket: &UnixDatagram) -> io::Result<()> {
    let mut buffer = [0_u8; 8192];
    socket.readable().await?;
    for _ in 0..MESSAGES {
        match socket.try_recv(&mut buffer) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            // More was said than there was room for: something changed.
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// No loopback, and nothing that means something on one link only.
fn is_of_use(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

fn addresses() -> BTreeSet<(String, IpAddr)> {
    let all = ifaces().unwrap_or_default();
    let named = all.into_iter().filter_map(|interface| Some((interface.name, interface.addr?.ip())));
    named.filter(|(_, ip)| is_of_use(ip)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl BoardAddresses {
        /// Of these, as `interface address`.
        pub(crate) fn of(list: &[&str]) -> Self {
            let one = |text: &&str| {
                let (interface, ip) = text.split_once(' ').unwrap();
                (interface.to_owned(), ip.parse().unwrap())
            };
            Self(Arc::new(list.iter().map(one).collect()))
        }
    }

    #[test]
    fn an_address_that_went_is_told_apart_from_one_that_came() {
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
    async fn the_kernel_can_be_listened_to() {
        let socket = listen().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), heard(&socket)).await.is_err(), "nothing changes now");
    }
}
