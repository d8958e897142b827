//! When the board's addresses change: the kernel's own word, by rtnetlink (rtnetlink(7)), so that nobody has to wait for a
//! silence to be noticed.

use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};

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

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// How many changes there were.
    pub times: u64,
    /// Whether an address went away with the last one: what is bound to it is dead.
    pub left: bool,
}

/// Tells `moved` of each change, for ever; ends only if the kernel does not tell.
pub async fn follow(moved: watch::Sender<Moved>) {
    let socket = match listen() {
        Ok(socket) => socket,
        Err(e) => {
            info!("addresses: the kernel does not tell of changes ({e}): they are noticed by what they break");
            return;
        }
    };
    let mut known = addresses();
    while heard(&socket).await.is_ok() {
        sleep(SHOWER).await;
        let now = addresses();
        if now == known {
            continue;
        }
        let change = change(&known, &now, moved.borrow().times);
        debug!("addresses: {known:?} → {now:?}");
        known = now;
        moved.send_replace(change);
    }
}

fn change(before: &BTreeSet<IpAddr>, now: &BTreeSet<IpAddr>, times: u64) -> Moved {
    Moved { times: times + 1, left: !before.is_subset(now) }
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

/// What others can reach this board by: no loopback, and nothing that means something on one link only.
fn addresses() -> BTreeSet<IpAddr> {
    let is_of_use = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let all = ifaces().unwrap_or_default();
    all.into_iter().filter_map(|interface| Some(interface.addr?.ip())).filter(is_of_use).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_went_is_told_apart_from_one_that_came() {
        let set = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<IpAddr>>();
        let (one, both, other) = (set(&["192.0.2.1"]), set(&["192.0.2.1", "2001:db8::1"]), set(&["192.0.2.2"]));
        assert_eq!(change(&one, &both, 0), Moved { times: 1, left: false });
        assert_eq!(change(&both, &one, 1), Moved { times: 2, left: true });
        assert!(change(&one, &other, 2).left);
    }

    #[tokio::test]
    async fn the_kernel_can_be_listened_to() {
        let socket = listen().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), heard(&socket)).await.is_err(), "nothing changes now");
    }
}
