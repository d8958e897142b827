//! The test rig: real programs on free loopback ports, which end with the test, and fake servers.

mod board;
mod certificates;
mod daemon;
mod faulty_turn_server;
mod log;
mod mosquitto;
mod mqtt;
mod own_process;
mod schema;
mod scripted_broker;
mod tcp_proxy;
mod turn;

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

pub use self::{
    board::{Board, at, over, request},
    certificates::Authority,
    daemon::{Daemon, FANLIGHT},
    faulty_turn_server::{FaultyAnswer, FaultyTurnServer, address, challenge, error},
    log::Log,
    mosquitto::{Listener, Mosquitto, Watcher, mosquitto_pub},
    mqtt::{Client, Version},
    own_process::in_own_process,
    schema::conforms,
    scripted_broker::{ScriptedBroker, publish},
    tcp_proxy::TcpProxy,
    turn::{Turn, login, logins_of},
};

/// A port on loopback that nobody uses now, for TCP and UDP, followed by another one (coturn takes both). No other test
/// gets it, and no connection that a program opens: it is below those that the kernel gives.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PAIRS: u32 = 11_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let is_free = |port: u16| {
        [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)].into_iter().all(|host| {
            let in_use = |e: io::Error| e.kind() == io::ErrorKind::AddrInUse;
            !TcpListener::bind((host, port)).is_err_and(in_use) && !UdpSocket::bind((host, port)).is_err_and(in_use)
        })
    };
    for _ in 0..PAIRS {
        // Programs of tests that run at once begin at different places.
        let pair = std::process::id().wrapping_mul(997).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PAIRS;
        let port = u16::try_from(FIRST + 2 * pair).unwrap();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
    panic!("all ports from {FIRST} on are in use");
}

/// Waits for something that has to happen; `what` names it if it does not.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}
