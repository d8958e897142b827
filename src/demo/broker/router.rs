//! Routes messages: sessions, subscriptions, queued messages and retained messages.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mqtt_v5::mqttbytes::{
    QoS, matches,
    v5::{
        Connect, DisconnectReasonCode, LastWill, Packet, PubAckReason, Publish, PublishProperties, RetainForwardRule,
        SubscribeFilter, SubscribeReasonCode,
    },
    valid_filter,
};
use tokio::sync::Notify;

use super::wire::lower;

/// The most sessions, including those of clients that are disconnected.
const SESSIONS: usize = 64;
/// The longest session expiry interval.
const KEPT: Duration = Duration::from_secs(300);
/// Subscriptions per session.
const FILTERS: usize = 32;
/// Retained messages: `status` and `info` of a few devices.
const RETAINED: usize = 64;
/// Queued messages of one client, and their bytes. Above that, the oldest are dropped.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 1 << 20;
/// Messages of one client that it has not acknowledged.
const UNACKNOWLEDGED: u16 = 64;

#[derive(Default)]
pub(in crate::demo) struct Router {
    sessions: HashMap<String, Session>,
    retained: HashMap<Bytes, Message>,
    /// The number of connections so far, which is the number of the last one.
    connections: u64,
}

/// A message with its expiry time.
#[derive(Clone)]
struct Message {
    publish: Publish,
    until: Option<Instant>,
}

struct Session {
    /// The number of its connection, or of the last one.
    number: u64,
    connected: bool,
    /// Wakes the connection, or after its end the task that keeps the session.
    wake: Arc<Notify>,
    filters: Vec<SubscribeFilter>,
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    unacknowledged: VecDeque<Publish>,
    /// The client's Receive Maximum.
    window: usize,
    /// The client's Maximum Packet Size, in bytes.
    largest: usize,
    last_id: u16,
    kept: Duration,
    will: Option<LastWill>,
}

/// What a connection knows about its session.
pub(in crate::demo) struct Welcome {
    pub(in crate::demo) id: String,
    pub(in crate::demo) number: u64,
    pub(in crate::demo) wake: Arc<Notify>,
    /// Whether the session existed before (Session Present).
    pub(in crate::demo) present: bool,
    pub(in crate::demo) kept: Duration,
    /// Messages to send again, since the client may not have received them.
    pub(in crate::demo) again: Vec<Publish>,
}

/// How long the session is kept after its connection ended, and when its will is published.
pub(in crate::demo) struct Rest {
    pub(in crate::demo) will: Duration,
    pub(in crate::demo) kept: Duration,
}

impl Router {
    /// Logs a client in. `None` if there are too many sessions.
    pub(in crate::demo) fn connect(&mut self, connect: Connect, will: Option<LastWill>) -> Option<Welcome> {
        self.connections += 1;
        let number = self.connections;
        let id = match connect.client_id.is_empty() {
            true => format!("unnamed-{number}"),
            false => connect.client_id,
        };
        let properties = connect.properties;
        let asked = properties.as_ref().and_then(|it| it.session_expiry_interval).unwrap_or(0);
        let old = self.sessions.remove(&id);
        if old.is_none() && self.sessions.len() >= SESSIONS {
            return None;
        }
        let mut due_will = None;
        let resumed = old.and_then(|mut old| {
            // Whoever waits on it sees the new number and ends.
            old.wake.notify_one();
            let at_once = old.connected && will_delay(old.will.as_ref()).is_zero();
            due_will = old.will.take().filter(|_| at_once || connect.clean_start);
            (!connect.clean_start).then_some(old)
        });
        let present = resumed.is_some();
        let mut session = resumed.unwrap_or_else(Session::new);
        session.number = number;
        session.connected = true;
        session.wake = Arc::default();
        session.window =
            properties.as_ref().and_then(|it| it.receive_maximum).unwrap_or(u16::MAX).min(UNACKNOWLEDGED).into();
        session.largest =
            properties.as_ref().and_then(|it| it.max_packet_size).map_or(usize::MAX, |size| size as usize);
        session.kept = Duration::from_secs(asked.into()).min(KEPT);
        session.will = will;
        let again = session.unacknowledged.iter().map(|publish| Publish { dup: true, ..publish.clone() }).collect();
        let welcome =
            Welcome { id: id.clone(), number, wake: session.wake.clone(), present, kept: session.kept, again };
        welcome.wake.notify_one();
        self.sessions.insert(id.clone(), session);
        if let Some(will) = due_will {
            self.publish(&id, will_message(will));
        }
        Some(welcome)
    }

    /// The session, if it belongs to this connection.
    fn session(&mut self, id: &str, number: u64) -> Option<&mut Session> {
        self.sessions.get_mut(id).filter(|session| session.number == number)
    }

    /// Whether this connection is the last one of its session.
    pub(in crate::demo) fn belongs(&mut self, id: &str, number: u64) -> bool {
        self.session(id, number).is_some()
    }

    /// The packets to send now. `None` if another connection has taken the session over.
    pub(in crate::demo) fn due(&mut self, id: &str, number: u64) -> Option<Vec<Packet>> {
        let session = self.session(id, number)?;
        let mut due = Vec::new();
        while let Some(message) = session.waiting.front() {
            if message.publish.qos != QoS::AtMostOnce && session.unacknowledged.len() >= session.window {
                break;
            }
            let size = message.publish.payload.len();
            let Some(message) = session.waiting.pop_front() else { break };
            session.waiting_bytes -= size;
            let Some(mut publish) = message.current() else { continue };
            if publish.qos != QoS::AtMostOnce {
                publish.pkid = session.next_id();
            }
            if publish.size() > session.largest {
                continue;
            }
            if publish.qos != QoS::AtMostOnce {
                session.unacknowledged.push_back(publish.clone());
            }
            due.push(Packet::Publish(publish));
        }
        Some(due)
    }

    /// A client acknowledged a message.
    pub(in crate::demo) fn acknowledged(&mut self, id: &str, number: u64, packet: u16) {
        if let Some(session) = self.session(id, number) {
            session.unacknowledged.retain(|publish| publish.pkid != packet);
            session.wake.notify_one();
        }
    }

    /// Queues a message for every client with a matching subscription.
    pub(in crate::demo) fn publish(&mut self, from: &str, mut publish: Publish) -> PubAckReason {
        let Ok(topic) = std::str::from_utf8(&publish.topic).map(str::to_owned) else {
            return PubAckReason::TopicNameInvalid;
        };
        publish.dup = false;
        publish.pkid = 0;
        let lasts = publish.properties.as_ref().and_then(|it| it.message_expiry_interval);
        let until = lasts.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.into())));
        let message = Message { publish, until };
        let mut reason = PubAckReason::Success;
        if message.publish.retain {
            if message.publish.payload.is_empty() {
                self.retained.remove(&message.publish.topic);
            } else if self.retained.len() < RETAINED || self.retained.contains_key(&message.publish.topic) {
                self.retained.insert(message.publish.topic.clone(), message.clone());
            } else {
                reason = PubAckReason::QuotaExceeded;
            }
        }
        for (id, session) in &mut self.sessions {
            let asked = session
                .filters
                .iter()
                .filter(|filter| matches(&topic, &filter.path) && !(filter.nolocal && id == from));
            let Some((qos, retain)) = asked
                .map(|filter| (filter.qos, filter.preserve_retain))
                .reduce(|a, b| (if a.0 as u8 > b.0 as u8 { a.0 } else { b.0 }, a.1 || b.1))
            else {
                continue;
            };
            let mut message = message.clone();
            message.publish.qos = lower(message.publish.qos, qos);
            message.publish.retain &= retain;
            session.enqueue(message);
        }
        reason
    }

    /// Adds subscriptions, with a reason code for each. Queues the retained messages that match.
    pub(in crate::demo) fn subscribe(
        &mut self,
        id: &str,
        number: u64,
        filters: Vec<SubscribeFilter>,
    ) -> Vec<SubscribeReasonCode> {
        let retained: Vec<Message> = self.retained.values().cloned().collect();
        let Some(session) = self.session(id, number) else { return Vec::new() };
        let mut answers = Vec::new();
        for mut filter in filters {
            if filter.path.starts_with("$share/") {
                answers.push(SubscribeReasonCode::SharedSubscriptionsNotSupported);
                continue;
            }
            if !valid_filter(&filter.path) {
                answers.push(SubscribeReasonCode::TopicFilterInvalid);
                continue;
            }
            filter.qos = lower(filter.qos, QoS::AtLeastOnce);
            let known = session.filters.iter().position(|known| known.path == filter.path);
            if known.is_none() && session.filters.len() >= FILTERS {
                answers.push(SubscribeReasonCode::QuotaExceeded);
                continue;
            }
            answers.push(SubscribeReasonCode::Success(filter.qos));
            let wanted = match filter.retain_forward_rule {
                RetainForwardRule::OnEverySubscribe => true,
                RetainForwardRule::OnNewSubscribe => known.is_none(),
                RetainForwardRule::Never => false,
            };
            for message in retained.iter().filter(|_| wanted) {
                if std::str::from_utf8(&message.publish.topic).is_ok_and(|topic| matches(topic, &filter.path)) {
                    let mut message = message.clone();
                    message.publish.qos = lower(message.publish.qos, filter.qos);
                    session.enqueue(message);
                }
            }
            match known {
                Some(at) => session.filters[at] = filter,
                None => session.filters.push(filter),
            }
        }
        answers
    }

    /// Removes subscriptions. Returns for each whether it existed.
    pub(in crate::demo) fn unsubscribe(&mut self, id: &str, number: u64, filters: &[String]) -> Vec<bool> {
        let Some(session) = self.session(id, number) else { return Vec::new() };
        let mut gone = |path: &String| {
            let before = session.filters.len();
            session.filters.retain(|filter| filter.path != *path);
            session.filters.len() < before
        };
        filters.iter().map(&mut gone).collect()
    }

    /// A connection ended. `farewell` is the reason of its DISCONNECT, if it sent one. `None` if the session ends too.
    pub(in crate::demo) fn ended(
        &mut self,
        id: &str,
        number: u64,
        farewell: Option<DisconnectReasonCode>,
    ) -> Option<Rest> {
        let session = self.session(id, number)?;
        session.connected = false;
        if farewell == Some(DisconnectReasonCode::NormalDisconnection) {
            session.will = None;
        }
        let rest = Rest { will: will_delay(session.will.as_ref()).min(session.kept), kept: session.kept };
        if rest.kept.is_zero() {
            self.forget(id, number);
            return None;
        }
        Some(rest)
    }

    /// Publishes the will of a session whose client did not return.
    pub(in crate::demo) fn publish_will(&mut self, id: &str, number: u64) {
        if let Some(will) = self.session(id, number).and_then(|session| session.will.take()) {
            self.publish(id, will_message(will));
        }
    }

    /// Ends a session whose client did not return.
    pub(in crate::demo) fn forget(&mut self, id: &str, number: u64) {
        self.publish_will(id, number);
        if self.session(id, number).is_some() {
            self.sessions.remove(id);
        }
    }
}

impl Session {
    fn new() -> Self {
        Self {
            number: 0,
            connected: true,
            wake: Arc::default(),
            filters: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            unacknowledged: VecDeque::new(),
            window: 0,
            largest: 0,
            last_id: 0,
            kept: Duration::ZERO,
            will: None,
        }
    }

    fn enqueue(&mut self, message: Message) {
        if !self.connected && message.publish.qos == QoS::AtMostOnce {
            return;
        }
        self.waiting_bytes += message.publish.payload.len();
        self.waiting.push_back(message);
        while self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= oldest.publish.payload.len();
        }
        self.wake.notify_one();
    }

    /// A packet identifier that is not in use. There are many more than may be in use.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.unacknowledged.iter().all(|publish| publish.pkid != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Message {
    /// The message to send now, with its remaining expiry interval. `None` if it has expired.
    fn current(self) -> Option<Publish> {
        let mut publish = self.publish;
        if let (Some(until), Some(properties)) = (self.until, publish.properties.as_mut()) {
            let left = until.checked_duration_since(Instant::now())?;
            properties.message_expiry_interval = Some(left.as_secs().max(1) as u32);
        }
        Some(publish)
    }
}

fn will_delay(will: Option<&LastWill>) -> Duration {
    let seconds = will.and_then(|will| will.properties.as_ref()).and_then(|it| it.delay_interval).unwrap_or(0);
    Duration::from_secs(seconds.into())
}

/// The message of a will.
fn will_message(will: LastWill) -> Publish {
    let properties = will.properties.map(|it| PublishProperties {
        payload_format_indicator: it.payload_format_indicator,
        message_expiry_interval: it.message_expiry_interval,
        content_type: it.content_type,
        response_topic: it.response_topic,
        correlation_data: it.correlation_data,
        user_properties: it.user_properties,
        ..PublishProperties::default()
    });
    let mut publish = Publish { qos: lower(will.qos, QoS::AtLeastOnce), retain: will.retain, ..Publish::default() };
    (publish.topic, publish.payload, publish.properties) = (will.topic, will.message, properties);
    publish
}
