//! The embedded broker: anonymous, on loopback, in memory, with a bound on everything.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mqtt5::broker::{
    BrokerConfig, BrokerShutdownHandle, MqttBroker,
    config::{AuthConfig, RateLimitConfig, StorageBackend, StorageConfig, WebSocketConfig},
};
use tokio::{task::JoinHandle, time::timeout};

use super::{CLOSING, DemoError, listen};

/// Browser tabs, and the daemon.
const CLIENTS: usize = 64;
/// Largest packet taken, in bytes: twice what any message may have.
const PACKET: usize = 64 << 10;
/// Messages kept for those who come later: `status` and `info` of a few devices.
const RETAINED: usize = 64;
/// Messages waiting for one client.
const QUEUED: usize = 256;
/// Bytes waiting for one client.
const QUEUED_BYTES: usize = 1 << 20;

/// The running broker.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Port of MQTT over TCP.
    pub(super) mqtt: u16,
    /// Port of MQTT over WebSocket.
    pub(super) websocket: u16,
    stop: Stop,
    task: JoinHandle<()>,
}

struct Stop(BrokerShutdownHandle);

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

/// Starts the broker; WebSocket clients must know `path`.
pub(super) async fn start(mqtt: u16, websocket: u16, path: &str) -> Result<Embedded, DemoError> {
    // The crate binds by itself, so the ports that were found free are let go for a moment; losing one of them in it is
    // told as an error.
    let (tcp, mqtt) = listen("embedded broker", mqtt)?;
    let (ws, websocket) = listen("embedded broker (WebSocket)", websocket)?;
    drop((tcp, ws));
    let mut broker =
        MqttBroker::with_config(config(mqtt, websocket, path)).await.map_err(|e| DemoError::Broker(e.to_string()))?;
    if broker.ws_local_addr().is_none() {
        return Err(DemoError::Broker(format!("port {websocket} of 127.0.0.1 was taken just now; start again")));
    }
    let stop = Stop(broker.shutdown_handle());
    let mut ready = broker.ready_receiver();
    let task = tokio::spawn(async move {
        if let Err(error) = Box::pin(broker.run()).await {
            tracing::error!("embedded broker: {error}");
        }
    });
    match timeout(Duration::from_secs(5), ready.wait_for(|ready| *ready)).await {
        Ok(Ok(_)) => Ok(Embedded { mqtt, websocket, stop, task }),
        _ => {
            task.abort();
            Err(DemoError::Broker("it does not start; see the lines above".into()))
        }
    }
}

fn config(mqtt: u16, websocket: u16, path: &str) -> BrokerConfig {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    BrokerConfig {
        bind_addresses: vec![at(mqtt)],
        max_clients: CLIENTS,
        session_expiry_interval: Duration::from_secs(300),
        max_packet_size: PACKET,
        topic_alias_maximum: 0,
        maximum_qos: 1,
        shared_subscription_available: false,
        max_subscriptions_per_client: 32,
        max_retained_messages: RETAINED,
        max_retained_message_size: PACKET,
        client_channel_capacity: QUEUED,
        auth_config: AuthConfig {
            allow_anonymous: true,
            rate_limit: RateLimitConfig { enabled: false, ..RateLimitConfig::default() },
            ..AuthConfig::default()
        },
        websocket_config: Some(WebSocketConfig::new().with_bind_addresses(vec![at(websocket)]).with_path(path)),
        storage_config: StorageConfig {
            backend: StorageBackend::Memory,
            max_queued_messages_per_client: QUEUED,
            max_queued_bytes_per_client: QUEUED_BYTES,
            ..StorageConfig::default()
        },
        sys_topics_enabled: false,
        ..BrokerConfig::default()
    }
}

impl Embedded {
    /// Ends the broker: clients are dropped.
    pub(super) async fn close(mut self) {
        self.stop.0.shutdown();
        // It would wait up to 5 s for clients that do not leave.
        if timeout(CLOSING, &mut self.task).await.is_err() {
            self.task.abort();
            drop((&mut self.task).await);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.task.abort();
    }
}
