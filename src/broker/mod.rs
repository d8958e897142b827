//! The MQTT link: ears and mouth in one task, for ever.
//!
//! ```text
//!            ┌─ ears ── held (1 MiB) ── carrier ──► events (32) ──► sessions
//!  broker ◄──┤ one connection after the other
//!            └─ mouth ◄── outbox (64) ◄── viewers;  presence, info ◄── watches
//! ```
//! Each connection is a new MQTT client with a new Will; the broker's half of an MQTT 5 session is resumed. When the
//! sessions are slow the carrier waits and nothing is acknowledged, so the broker holds the rest back (what it sends in
//! spite of that is held up to a bound, then dropped and counted), while the ears go on to hear acknowledgements and
//! pings: neither side can lock the other.

mod acks;
mod backoff;
pub mod check;
mod client;
mod connection;
mod inbound;
mod inbound_queue;
mod link_error;
mod oversized;
mod tls;
mod transport;
mod websocket;

use std::{
    convert::Infallible,
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

pub use self::link_error::{Kind, LinkError};
use self::{backoff::Backoff, connection::End, link_error::ErrorLog, transport::Local};
use crate::{
    clock::Mono,
    config::{self, Access, Id, Transport},
    liveness::{Heartbeat, TURN},
    protocol::{Addressed, Correlation, Presence},
};

/// Messages from viewers that wait for the sessions; the caller makes that channel.
pub const EVENTS: usize = 32;
/// Messages to viewers that wait for the broker; then `say` waits.
const OUTBOX: usize = 64;
/// Largest message a viewer may send, in bytes (protocol, section 7).
pub const MESSAGE_MAX: usize = 32 << 10;

/// What the ears hand to the sessions.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected and subscribed.
    Up {
        /// Counts the connections since start.
        conn: u64,
    },
    /// The link is gone; it is being made again.
    Down,
    /// A message on `req/{viewer}`.
    Message {
        /// Who says it: the last level of the topic.
        viewer: Id,
        /// What is said; not looked into.
        payload: Bytes,
        /// What is to come back with the answer (MQTT 5 only).
        correlation: Option<Correlation>,
    },
    /// A message on `req/{viewer}` that was larger than `MESSAGE_MAX`, left unread.
    Oversize {
        /// Who said it.
        viewer: Id,
        /// Its size in bytes.
        len: usize,
        /// What is to come back with the answer (MQTT 5 only).
        correlation: Option<Correlation>,
    },
}

/// How the link is doing, for whoever wants to know now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// On the way.
    Connecting,
    /// Connected, subscribed, said `online`.
    Up {
        /// Counts the connections since start.
        conn: u64,
    },
    /// Not connected, for this reason; tried again soon.
    Down(LinkError),
    /// Stopped for good.
    Closed,
}

/// Messages that were not handed on, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Requests with the RETAIN flag.
    pub retained: u64,
    /// On topics that are not this device's.
    pub foreign: u64,
    /// More than the sessions could take.
    pub overflow: u64,
}

#[derive(Debug, Default)]
struct Counts {
    retained: AtomicU64,
    foreign: AtomicU64,
    overflow: AtomicU64,
}

/// What the link is made of. Each part is owned by whoever made it; the link only follows.
#[derive(Debug)]
pub struct Link {
    /// The broker; a change makes a new connection.
    pub config: watch::Receiver<config::Broker>,
    /// This device: a topic level, and the MQTT client id.
    pub device: Id,
    /// Who may watch, as `status` labels it.
    pub access: Access,
    /// Names this start of the daemon.
    pub epoch: String,
    /// The JSON of `info`.
    pub info: watch::Receiver<Bytes>,
    /// What `status` tells.
    pub presence: watch::Receiver<Presence>,
    /// Where the ears put what they hear: a channel of `EVENTS`.
    pub events: mpsc::Sender<Event>,
    /// Ends the link when it turns true, or when its sender is gone.
    pub stop: watch::Receiver<bool>,
    /// Told that the link still turns, each [`TURN`]: every wait has that beside it.
    pub heartbeat: Heartbeat,
}

/// Says things over the link: a cheap handle.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::Sender<OutboundMessage>,
    state: watch::Receiver<State>,
    counts: Arc<Counts>,
    local: Arc<Local>,
    reconnect: watch::Sender<()>,
}

/// One message on its way out.
#[derive(Debug)]
struct OutboundMessage {
    topic: Topic,
    payload: Bytes,
    at: Instant,
}

#[derive(Debug)]
enum Topic {
    Reply(Id, Option<Correlation>),
    Event,
}

impl Outbox {
    /// Replies to a viewer. Waits while the queue is full: the caller has a deadline of its own. What could not be sent
    /// within 15 s is dropped, since no viewer waits for it any more.
    pub async fn say(&self, message: impl Into<Addressed>) {
        let Addressed { viewer, payload, correlation } = message.into();
        self.put(Topic::Reply(viewer, correlation), payload).await;
    }

    /// Tells what happened, on `evt`. Waits as `say` does.
    pub async fn tell(&self, payload: Bytes) {
        self.put(Topic::Event, payload).await;
    }

    /// Follows how the link is doing.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The address of the board that the link is bound to, while there is one.
    pub fn local(&self) -> Option<IpAddr> {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a new connection, because the board's addresses changed. A link that waits for its next try connects at
    /// once.
    pub fn reconnect(&self) {
        self.reconnect.send_replace(());
    }

    /// What was not handed on so far.
    pub fn dropped(&self) -> Dropped {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Dropped {
            retained: of(&self.counts.retained),
            foreign: of(&self.counts.foreign),
            overflow: of(&self.counts.overflow),
        }
    }

    async fn put(&self, topic: Topic, payload: Bytes) {
        // An error means that the link has ended, and with it everybody who would hear this.
        drop(self.queue.send(OutboundMessage { topic, payload, at: Instant::now() }).await);
    }
}

/// Prepares the link. The future is the link: it connects, stays connected, and ends within 1 s of `stop`.
pub fn link(link: Link) -> (Outbox, impl Future<Output = ()> + Send) {
    let (queue, words) = mpsc::channel(OUTBOX);
    let (state, following) = watch::channel(State::Connecting);
    let counts = Arc::new(Counts::default());
    let local = Arc::default();
    let (request, reconnect) = watch::channel(());
    let outbox =
        Outbox { queue, state: following, counts: Arc::clone(&counts), local: Arc::clone(&local), reconnect: request };
    let complaints = Arc::default();
    let task = LinkTask { link, words, state, counts, complaints, conn: 0, taken_over: false, local, reconnect };
    (outbox, task.keep())
}

/// Keeps one connection after the other.
struct LinkTask {
    link: Link,
    words: mpsc::Receiver<OutboundMessage>,
    state: watch::Sender<State>,
    counts: Arc<Counts>,
    complaints: Arc<ErrorLog>,
    conn: u64,
    local: Arc<Local>,
    /// Changes when a new connection is requested.
    reconnect: watch::Receiver<()>,
    /// Another client had logged in with this device's id, and nobody was told yet.
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
            if good || matches!(end, End::Reconfigured | End::AddressesChanged) {
                self.complaints.forget();
            }
            if lasted.is_some() {
                tokio::select! {
                    _ = self.link.events.send(Event::Down) => {}
                    () = stopped(&mut self.link.stop) => {}
                    never = turning(&self.link.heartbeat) => match never {},
                }
            }
            match end {
                End::Stopped => break,
                End::Reconfigured | End::AddressesChanged => {
                    let what = if matches!(end, End::Reconfigured) { "configuration" } else { "board's addresses" };
                    info!("broker {}: connecting again, because the {what} changed", url(&config));
                    backoff.reset();
                    self.state.send_replace(State::Connecting);
                }
                End::Lost(link_error) => {
                    self.complaints.about(&config, &link_error);
                    let kind = link_error.kind;
                    self.taken_over |= kind == Kind::TakenOver;
                    self.state.send_replace(State::Down(link_error));
                    let pause = backoff.pause(kind, getrandom::u32().unwrap_or(u32::MAX / 2));
                    debug!("broker {}: again in {} ms", url(&config), pause.as_millis());
                    tokio::select! {
                        () = sleep(pause) => {}
                        never = turning(&self.link.heartbeat) => match never {},
                        () = stopped(&mut self.link.stop) => break,
                        () = changed(&mut self.link.config) => backoff.reset(),
                        () = changed(&mut self.reconnect) => backoff.reset(),
                    }
                }
            }
        }
        self.state.send_replace(State::Closed);
    }
}

/// Ends when `stop` says so, or when nobody is left to say it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Tells that the link still turns, for as long as its task is polled: to be waited for beside whatever may take long.
async fn turning(heartbeat: &Heartbeat) -> Infallible {
    loop {
        heartbeat.tick(Mono::now());
        sleep(TURN).await;
    }
}

/// Ends at the next change. Without a sender there is none.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// How a person writes this broker.
fn url(config: &config::Broker) -> String {
    let scheme = match config.transport {
        Transport::Tcp => "mqtt",
        Transport::Tls => "mqtts",
        Transport::WebSocket => "ws",
        Transport::WebSocketTls => "wss",
    };
    let (open, close) = if config.host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{scheme}://{open}{}{close}:{}{}", config.host, config.port, config.path)
}
