//! The test rig: real programs on free loopback ports, which end with the test, and fake servers.

mod board;
mod certificates;
mod daemon;
mod faulty_turn_server;
mod log;
mod mosquitto;
mod mqtt;
mod schema;
mod scripted_broker;
mod tcp_proxy;
mod turn;

use std::{future::Future, net::TcpListener, time::Duration};

pub use self::{
    board::{Board, at, over, request},
    certificates::Authority,
    daemon::{Daemon, FANLIGHT},
    faulty_turn_server::{FaultyAnswer, FaultyTurnServer, address, challenge, error},
    log::Log,
    mosquitto::{Listener, Mosquitto, Watcher, mosquitto_pub},
    mqtt::{Client, Version},
    schema::conforms,
    scripted_broker::{ScriptedBroker, publish},
    tcp_proxy::TcpProxy,
    turn::{Turn, login},
};

/// A TCP port on loopback that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits for something that has to happen; `what` names it if it does not.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}
