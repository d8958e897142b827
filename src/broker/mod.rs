//! The MQTT link to the broker: one task that receives and publishes, and reconnects for ever.
//!
//! ```text
//!            ┌─ receive ─ queue (512 KiB) ─ deliver ──► events (32) ──► signalling
//!  broker ◄──┤ one connection after the other
//!            └─ speak ◄── outbox (64) ◄── signalling;  presence, info ◄── watches
//! ```
//! Each connection is a new MQTT client with a new Will. The broker's half of an MQTT 5 session is resumed. While
//! signalling is slow, `deliver` waits and nothing is acknowledged, so the broker holds the rest back. What it sends in
//! spite of that is kept up to a limit, then dropped and counted. Meanwhile `receive` still handles acknowledgements
//! and pings, so neither side can block the other.

mod acks;
mod backoff;
pub mod check;
mod client;
mod connection;
mod inbound;
mod inbound_queue;
mod link_error;
mod oversized;
mod presence;
mod tls;
mod transport;
mod websocket;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, pending},
    net::IpAddr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::{debug, info};

pub use self::link_error::{LinkError, LinkErrorKind};
use self::{backoff::Backoff, connection::ConnectionEnd, link_error::ErrorLog, transport::Local};
use crate::{
    clock::Mono,
    config::{self, Id, MqttTransport},
    liveness::{Heartbeat, TICK},
    protocol::{Addressed, Correlation, Presence},
    trust::board_keys::BoardKeys,
};

/// Messages from viewers that wait for signalling. The caller makes that channel.
pub const EVENTS: usize = 32;
/// Messages to viewers that wait for the broker. When it is full, `publish_reply` waits.
const OUTBOX: usize = 64;
/// Largest message a viewer may send, in bytes (protocol, section 7).
pub const MESSAGE_MAX: usize = crate::protocol::envelope::SEALED_MAX;

/// What the link reports.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Connected and subscribed.
    Up {
        /// Counts the connections since start.
        conn: u64,
    },
    /// The connection is lost. The link connects again.
    Down,
    /// A message on `req/{viewer}`.
    Message {
        /// The sender: the last level of the topic.
        viewer: Id,
        /// The payload. The link does not read it.
        payload: Bytes,
        /// Returned with each reply (MQTT 5 only).
        correlation: Option<Correlation>,
    },
    /// A message on `req/{viewer}` that was larger than `MESSAGE_MAX`. It was not read.
    Oversize {
        /// The sender.
        viewer: Id,
        /// Its size in bytes.
        len: usize,
        /// Returned with each reply (MQTT 5 only).
        correlation: Option<Correlation>,
    },
}

/// The state of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// The link connects.
    Connecting,
    /// Connected and subscribed; `online` is published.
    Up {
        /// Counts the connections since start.
        conn: u64,
    },
    /// Not connected, for this reason. The link tries again.
    Down(LinkError),
    /// Stopped for good.
    Closed,
}

/// Messages that were not passed on since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DroppedMessages {
    /// Requests with the RETAIN flag.
    pub retained: u64,
    /// On topics that are not this device's.
    pub foreign: u64,
    /// Messages above the limits of the queue.
    pub overflow: u64,
}

#[derive(Debug, Default)]
struct Counts {
    retained: AtomicU64,
    foreign: AtomicU64,
    overflow: AtomicU64,
}

/// Whose messages are read. Those of others are acknowledged and dropped as they come: they take no room in a queue, so
/// that no crowd keeps out those who are read.
#[derive(Clone)]
pub struct ReadTopics(Arc<dyn Fn(&Id) -> bool + Send + Sync>);

impl ReadTopics {
    /// `is_read`: whether messages on the topic of this viewer are read. It is called for each message, and must be
    /// cheap.
    pub fn new(is_read: impl Fn(&Id) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_read))
    }

    /// Whether messages on the topic of this viewer are read.
    fn has(&self, viewer: &Id) -> bool {
        (self.0)(viewer)
    }
}

impl Default for ReadTopics {
    /// All of them.
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for ReadTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadTopics")
    }
}

/// The parts of the link. The caller owns the sending ends, and the link follows them.
#[derive(Debug)]
pub struct Link {
    /// The broker. A change makes a new connection.
    pub config: watch::Receiver<config::Broker>,
    /// This device: a topic level, and the MQTT client id.
    pub device: Id,
    /// What signs `status`. `None` in the mode `broker`, where it is plain JSON.
    pub keys: Option<LinkKeys>,
    /// Names this start of the daemon.
    pub epoch: String,
    /// Whose messages are read.
    pub reads: ReadTopics,
    /// The JSON of `info`.
    pub info: watch::Receiver<Bytes>,
    /// The content of `status`.
    pub presence: watch::Receiver<Presence>,
    /// Where messages of viewers go: a channel of `EVENTS`.
    pub events: mpsc::Sender<LinkEvent>,
    /// Ends the link when it becomes true, or when its sender is dropped.
    pub stop: watch::Receiver<bool>,
    /// Ticks each [`TICK`] while the link runs, also during every wait.
    pub heartbeat: Heartbeat,
}

/// What the link needs in the modes `keys` and `token`.
#[derive(Debug, Clone)]
pub struct LinkKeys {
    /// Sign `status`.
    pub board: Arc<BoardKeys>,
    /// The name of the mode, for `status`.
    pub auth: &'static str,
    /// The ids of issuers. On their topics, retained messages are wanted: their deny lists.
    pub issuers: watch::Receiver<Arc<[Id]>>,
}

/// Publishes over the link. A cheap handle.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<OutboundMessage>,
    state: watch::Receiver<LinkState>,
    counts: Arc<Counts>,
    local: Arc<Local>,
    reconnect: watch::Sender<()>,
}

/// A message to publish.
#[derive(Debug)]
struct OutboundMessage {
    content: OutboundContent,
    /// When it came into the queue.
    at: Instant,
}

#[derive(Debug)]
enum OutboundContent {
    /// For one viewer.
    Reply(Addressed),
    /// For everybody who reads `evt`.
    Event(Bytes),
}

impl Outbox {
    /// Publishes a reply to a viewer. Waits while the queue is full. A reply that could not be sent within 15 s is
    /// dropped, since no viewer waits for it any more.
    pub async fn publish_reply(&self, message: impl Into<Addressed>) {
        // An error means that the link has ended. Nobody can receive this any more.
        let content = OutboundContent::Reply(message.into());
        drop(self.queue.send(OutboundMessage { content, at: Instant::now() }).await);
    }

    /// Publishes a message on `evt`, and never waits. Returns whether there was room for it. One that could not be sent
    /// within 15 s is dropped.
    pub fn publish_event(&self, payload: Bytes) -> bool {
        let content = OutboundContent::Event(payload);
        self.queue.try_send(OutboundMessage { content, at: Instant::now() }).is_ok()
    }

    /// Follows the state of the link.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// The address of the board that the link is bound to. `None` while it is not connected.
    pub fn local(&self) -> Option<IpAddr> {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a new connection, because the board's addresses changed. A link that waits for its next try connects at
    /// once.
    pub fn reconnect(&self) {
        self.reconnect.send_replace(());
    }

    /// The messages that were not passed on so far.
    pub fn dropped(&self) -> DroppedMessages {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DroppedMessages {
            retained: of(&self.counts.retained),
            foreign: of(&self.counts.foreign),
            overflow: of(&self.counts.overflow),
        }
    }
}

/// Prepares the link. The future is the link: it connects, stays connected, and ends within 1 s after `stop`.
pub fn link(link: Link) -> (Outbox, impl Future<Output = ()> + Send) {
    let (queue, replies) = mpsc::channel(OUTBOX);
    let (state, following) = watch::channel(LinkState::Connecting);
    let counts = Arc::new(Counts::default());
    let local = Arc::default();
    let (request, reconnect) = watch::channel(());
    let outbox =
        Outbox { queue, state: following, counts: Arc::clone(&counts), local: Arc::clone(&local), reconnect: request };
    let error_log = Arc::default();
    let task = LinkTask { link, replies, state, counts, error_log, conn: 0, taken_over: false, local, reconnect };
    (outbox, task.keep())
}

/// Makes one connection after the other.
struct LinkTask {
    link: Link,
    replies: mpsc::Receiver<OutboundMessage>,
    state: watch::Sender<LinkState>,
    counts: Arc<Counts>,
    error_log: Arc<ErrorLog>,
    conn: u64,
    local: Arc<Local>,
    /// Changes when a new connection is requested.
    reconnect: watch::Receiver<()>,
    /// Another client logged in with this device's id, and this is not published yet.
    taken_over: bool,
}

impl LinkTask {
    async fn keep(mut self) {
        let mut backoff = Backoff::default();
        loop {
            self.link.heartbeat.tick(Mono::now());
            let config = Arc::new(self.link.config.borrow_and_update().clone());
            self.reconnect.mark_unchanged();
            debug!("broker {}: connecting", url(&config));
            let (end, lasted) = Box::pin(self.connection(&config)).await;
            *self.local.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let good = lasted.is_some_and(|lasted| backoff.was_up(lasted));
            if good || matches!(end, ConnectionEnd::Reconfigured | ConnectionEnd::AddressesChanged) {
                self.error_log.forget();
            }
            if lasted.is_some() {
                tokio::select! {
                    _ = self.link.events.send(LinkEvent::Down) => {}
                    () = stopped(&mut self.link.stop) => {}
                    never = ticking(&self.link.heartbeat) => match never {},
                }
            }
            match end {
                ConnectionEnd::Stopped => break,
                ConnectionEnd::Reconfigured | ConnectionEnd::AddressesChanged => {
                    let what =
                        if matches!(end, ConnectionEnd::Reconfigured) { "configuration" } else { "board's addresses" };
                    info!("broker {}: connecting again, because the {what} changed", url(&config));
                    backoff.reset();
                    self.state.send_replace(LinkState::Connecting);
                }
                ConnectionEnd::Lost(link_error) => {
                    self.error_log.about(&config, &link_error);
                    let kind = link_error.kind;
                    self.taken_over |= kind == LinkErrorKind::TakenOver;
                    self.state.send_replace(LinkState::Down(link_error));
                    let pause = backoff.pause(kind, getrandom::u32().unwrap_or(u32::MAX / 2));
                    // Another address changes nothing about a login, or about another client that uses it.
                    let is_about_path = !matches!(kind, LinkErrorKind::Login | LinkErrorKind::TakenOver);
                    debug!("broker {}: again in {} ms", url(&config), pause.as_millis());
                    tokio::select! {
                        () = sleep(pause) => {}
                        never = ticking(&self.link.heartbeat) => match never {},
                        () = stopped(&mut self.link.stop) => break,
                        () = changed(&mut self.link.config) => backoff.reset(),
                        () = changed(&mut self.reconnect), if is_about_path => backoff.reset(),
                    }
                }
            }
        }
        self.state.send_replace(LinkState::Closed);
    }
}

/// Returns when `stop` is true or its sender is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Ticks the heartbeat for as long as the task is polled. It runs beside every wait that may take long.
async fn ticking(heartbeat: &Heartbeat) -> Infallible {
    loop {
        heartbeat.tick(Mono::now());
        sleep(TICK).await;
    }
}

/// Returns at the next change. Waits for ever if the sender is dropped.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// The URL of this broker, for a person.
fn url(config: &config::Broker) -> String {
    let scheme = match config.transport {
        MqttTransport::Tcp => "mqtt",
        MqttTransport::Tls => "mqtts",
        MqttTransport::WebSocket => "ws",
        MqttTransport::WebSocketTls => "wss",
    };
    let (open, close) = if config.host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{scheme}://{open}{}{close}:{}{}", config.host, config.port, config.path)
}
