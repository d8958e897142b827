//! Incoming messages: sorted, counted, and passed on to signalling without blocking the link.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::debug;

use crate::{
    broker::{
        Counts, LinkEvent, MESSAGE_MAX, ReadTopics,
        acks::{AckOrder, Ticket},
        client::{self, ClientEvent, Message, MessageStream, Publisher},
        inbound_queue::InboundQueue,
        link_error::{ErrorLog, LinkError, LinkErrorKind},
    },
    config::{self, Id, MqttVersion},
    protocol::{Correlation, Topics, status},
};

/// The kind of a message, by its topic and flags.
#[derive(Debug, PartialEq, Eq)]
enum Sorted {
    Request(LinkEvent),
    /// On the device's own `status`, and not what it published.
    Status,
    /// On the device's own `info`, and not what it published.
    Info,
    /// What the device published itself, or what was retained before it published anything.
    Echo,
    Retained,
    Foreign,
}

/// How many messages on one of the device's own topics may still come back. They come in order, and late on a slow
/// network.
const ECHOES: usize = 64;

/// The payloads that this connection published on the device's own topics, as keyed hashes.
#[derive(Debug, Default)]
pub(super) struct Published {
    key: RandomState,
    said: Mutex<[VecDeque<u64>; 2]>,
}

/// One of the retained topics of this device.
#[derive(Debug, Clone, Copy)]
pub(super) enum Own {
    Status,
    Info,
}

impl Published {
    /// Adds a payload that is published now.
    pub(super) fn add(&self, own: Own, payload: &Bytes) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = &mut said[own as usize];
        if said.len() == ECHOES {
            said.pop_front();
        }
        said.push_back(self.key.hash_one(payload));
    }

    fn has(&self, own: Own, payload: &Bytes) -> bool {
        let hash = self.key.hash_one(payload);
        self.said.lock().unwrap_or_else(PoisonError::into_inner)[own as usize].contains(&hash)
    }
}

/// Notified when somebody else published on a topic of the device.
#[derive(Debug, Default)]
pub(super) struct Contradicted {
    pub(super) status: Notify,
    pub(super) info: Notify,
}

/// What is needed to sort incoming messages.
pub(super) struct InboundRouter<'a> {
    pub(super) topics: &'a Topics,
    pub(super) published: &'a Published,
    pub(super) counts: &'a Counts,
    pub(super) error_log: &'a ErrorLog,
    pub(super) contradicted: &'a Contradicted,
    pub(super) login: Option<oneshot::Sender<bool>>,
    pub(super) hold: &'a PendingAcks,
    /// The ids of issuers, whose retained messages are passed on. `None` in the mode `broker`.
    pub(super) issuers: Option<&'a watch::Receiver<Arc<[Id]>>>,
    pub(super) reads: &'a ReadTopics,
}

/// Messages between `receive` and `deliver`. Both run in one task, so the lock is never contended.
#[derive(Default)]
pub(super) struct PendingAcks {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    held: InboundQueue<Option<Ticket>>,
    acks: AckOrder<client::Ack>,
}

impl PendingAcks {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is done. It is acknowledged once those before it are.
    fn done(&self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.lock().acks.done(ticket);
        }
    }

    /// Sends the acknowledgements that are due, as far as the client has room for them.
    fn release(&self, publisher: &Publisher) {
        self.lock().acks.release(|ack| publisher.acknowledge(ack));
    }
}

impl InboundRouter<'_> {
    /// Receives until the connection ends. Never waits for another part.
    pub(super) async fn receive(
        mut self,
        incoming: &mut MessageStream,
        publisher: &Publisher,
        config: &config::Broker,
    ) -> LinkError {
        loop {
            match incoming.poll().await {
                Ok(ClientEvent::LoggedIn { retains }) => {
                    if let Some(login) = self.login.take() {
                        // An error means that the connection is being closed.
                        let _ = login.send(retains);
                    }
                }
                Ok(ClientEvent::Message(message)) => self.take(message, config),
                Ok(ClientEvent::Refused(said)) => {
                    let text = format!(
                        "publish: the broker refused a message: {said}; let {} write status, info, evt and rsp/+ below \
                         {} in the broker's ACL",
                        who(config),
                        self.topics.status().trim_end_matches("/status"),
                    );
                    self.error_log.about(config, &LinkError::new(LinkErrorKind::Publication, text));
                }
                Ok(ClientEvent::Other) => {}
                Err(link_error) => return link_error,
            }
            self.hold.release(publisher);
        }
    }

    fn take(&self, message: Message, config: &config::Broker) {
        let Message { topic, payload, skipped, retain, correlation, ack } = message;
        let ticket = ack.and_then(|ack| self.hold.lock().acks.add(ack));
        let length = skipped.unwrap_or(payload.len());
        // In MQTT 3.1.1 only a message from before the subscription has the flag. The next one of the device replaces
        // it.
        let stood = retain && config.version == MqttVersion::V311;
        let issuers = self.issuers.map(|issuers| Arc::clone(&issuers.borrow())).unwrap_or_default();
        let sorted =
            sort(self.topics, self.published, &topic, (payload, correlation), skipped, (retain, stood), &issuers);
        let shown = topic.escape_ascii();
        match sorted {
            Sorted::Request(LinkEvent::Message { ref viewer, .. } | LinkEvent::Oversize { ref viewer, .. })
                if !self.reads.has(viewer) => {}
            Sorted::Request(event) => {
                if matches!(event, LinkEvent::Oversize { .. }) {
                    let text = format!(
                        "a message of {length} bytes came on {shown} and was not read: a viewer's has at most {MESSAGE_MAX}"
                    );
                    self.error_log.about(config, &LinkError::new(LinkErrorKind::Oversize, text));
                }
                let full = self.hold.lock().held.push(event, ticket);
                if let Err(ticket) = full {
                    self.hold.done(ticket);
                    self.counts.overflow.fetch_add(1, Ordering::Relaxed);
                    let text = format!("more messages on {shown} than can be looked at; some are dropped");
                    self.error_log.about(config, &LinkError::new(LinkErrorKind::Busy, text));
                } else {
                    self.hold.filled.notify_one();
                }
                return;
            }
            Sorted::Status => self.contradicted.status.notify_one(),
            Sorted::Info => self.contradicted.info.notify_one(),
            Sorted::Echo => {}
            Sorted::Retained => {
                self.counts.retained.fetch_add(1, Ordering::Relaxed);
                debug!("broker: dropped a retained message on {shown}");
            }
            Sorted::Foreign => {
                self.counts.foreign.fetch_add(1, Ordering::Relaxed);
                debug!("broker: dropped a message on {shown}");
            }
        }
        if retain && skipped.is_some() && sorted != Sorted::Foreign {
            let text = format!(
                "a retained message of {length} bytes stands on {shown}; it is not read, and may come again with each \
                 connection; to remove it: mosquitto_pub -t {shown} -r -n"
            );
            self.error_log.about(config, &LinkError::new(LinkErrorKind::Retained, text));
        }
        self.hold.done(ticket);
    }
}

/// Passes messages on to signalling. This is the only place where the link waits for it. The broker gets its
/// acknowledgement afterwards.
pub(super) async fn deliver(
    hold: &PendingAcks,
    up: oneshot::Receiver<()>,
    events: mpsc::Sender<LinkEvent>,
    publisher: &Publisher,
    conn: u64,
) -> Infallible {
    if up.await.is_ok() {
        // An error means that signalling has ended, and the link is about to be stopped.
        drop(events.send(LinkEvent::Up { conn }).await);
        loop {
            let next = hold.lock().held.pop();
            match next {
                Some((event, ticket)) => {
                    drop(events.send(event).await);
                    hold.done(ticket);
                    hold.release(publisher);
                }
                None => hold.filled.notified().await,
            }
        }
    }
    pending().await
}

fn sort(
    topics: &Topics,
    published: &Published,
    topic: &[u8],
    (payload, correlation): (Bytes, Option<Correlation>),
    skipped: Option<usize>,
    (retain, stood): (bool, bool),
    issuers: &[Id],
) -> Sorted {
    let Ok(topic) = str::from_utf8(topic) else { return Sorted::Foreign };
    for (own, name, contradiction) in
        [(Own::Status, topics.status(), Sorted::Status), (Own::Info, topics.info(), Sorted::Info)]
    {
        if topic == name {
            let stood = stood && !status::says_offline(&payload);
            return if stood || published.has(own, &payload) { Sorted::Echo } else { contradiction };
        }
    }
    let Some(viewer) = topics.viewer(topic) else { return Sorted::Foreign };
    if retain && !issuers.contains(&viewer) {
        return Sorted::Retained;
    }
    Sorted::Request(match skipped.unwrap_or(payload.len()) {
        0..=MESSAGE_MAX => LinkEvent::Message { viewer, payload, correlation },
        len => LinkEvent::Oversize { viewer, len, correlation },
    })
}

/// The user that the broker's access list names.
pub(super) fn who(config: &config::Broker) -> String {
    config.login.as_ref().map_or_else(|| "anonymous clients".to_owned(), |login| format!("user {}", login.user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_by_topic_flag_and_size() {
        let topics = Topics::new("fanlight/v1", &Id::new("cam").unwrap());
        let viewer = Id::new("anna").unwrap();
        let small = Bytes::from_static(b"{}");
        let limit = Bytes::from(vec![b' '; MESSAGE_MAX]);
        let large = Bytes::from(vec![b' '; MESSAGE_MAX + 1]);
        let request = |payload: &Bytes| {
            Sorted::Request(LinkEvent::Message { viewer: viewer.clone(), payload: payload.clone(), correlation: None })
        };
        let offline = Bytes::from_static(br#"{"state":"offline"}"#);
        let published = Published::default();
        let said = Bytes::from_static(br#"{"state":"online"}"#);
        published.add(Own::Status, &said);
        published.add(Own::Info, &small);
        let issuers = [Id::new("the-issuer").unwrap()];
        let list = Sorted::Request(LinkEvent::Message {
            viewer: issuers[0].clone(),
            payload: small.clone(),
            correlation: None,
        });
        let rows = [
            ("fanlight/v1/cam/req/the-issuer", &small, true, list),
            ("fanlight/v1/cam/req/the-issuer2", &small, true, Sorted::Retained),
            ("fanlight/v1/cam/req/anna", &small, false, request(&small)),
            ("fanlight/v1/cam/req/anna", &limit, false, request(&limit)),
            (
                "fanlight/v1/cam/req/anna",
                &large,
                false,
                Sorted::Request(LinkEvent::Oversize {
                    viewer: viewer.clone(),
                    len: MESSAGE_MAX + 1,
                    correlation: None,
                }),
            ),
            ("fanlight/v1/cam/req/anna", &small, true, Sorted::Retained),
            ("fanlight/v1/cam/req/an na", &small, false, Sorted::Foreign),
            ("fanlight/v1/cam/req/anna/x", &small, false, Sorted::Foreign),
            ("fanlight/v1/camera/req/anna", &small, false, Sorted::Foreign),
            ("fanlight/v1/cam/status", &said, false, Sorted::Echo),
            ("fanlight/v1/cam/status", &small, false, Sorted::Status),
            ("fanlight/v1/cam/status", &small, true, Sorted::Status),
            ("fanlight/v1/cam/status", &offline, false, Sorted::Status),
            ("fanlight/v1/cam/status", &large, true, Sorted::Status),
            ("fanlight/v1/cam/info", &small, true, Sorted::Echo),
            ("fanlight/v1/cam/info", &said, false, Sorted::Info),
            ("fanlight/v1/other/status", &offline, false, Sorted::Foreign),
        ];
        for (topic, payload, retain, expected) in rows {
            let message = (payload.clone(), None);
            let sorted = sort(&topics, &published, topic.as_bytes(), message, None, (retain, false), &issuers);
            assert_eq!(sorted, expected, "{topic}");
        }
        let sort = |topic: &[u8], skipped| {
            sort(&topics, &published, topic, (small.clone(), None), skipped, (false, false), &[])
        };
        assert_eq!(sort(b"\xff", None), Sorted::Foreign);
        let skipped = Sorted::Request(LinkEvent::Oversize { viewer, len: 1_200_000, correlation: None });
        assert_eq!(sort(b"fanlight/v1/cam/req/anna", Some(1_200_000)), skipped);
    }

    #[test]
    fn what_stood_there_before_is_no_contradiction_unless_it_says_offline() {
        let topics = Topics::new("fanlight/v1", &Id::new("cam").unwrap());
        let sort = |payload: &'static [u8], stood| {
            let none = Published::default();
            let message = (Bytes::from_static(payload), None);
            sort(&topics, &none, topics.status().as_bytes(), message, None, (stood, stood), &[])
        };
        assert_eq!(sort(br#"{"state":"online","conn":1}"#, true), Sorted::Echo);
        assert_eq!(sort(br#"{"state":"offline"}"#, true), Sorted::Status);
        assert_eq!(sort(br#"{"state":"online","conn":1}"#, false), Sorted::Status);
    }

    #[test]
    fn only_the_last_words_are_known_again() {
        let published = Published::default();
        let word = |n: u32| Bytes::from(n.to_string());
        (0..100).for_each(|n| published.add(Own::Status, &word(n)));
        assert_eq!((0..100).filter(|n| published.has(Own::Status, &word(*n))).count(), ECHOES);
        assert!(!published.has(Own::Info, &word(99)));
    }
}
