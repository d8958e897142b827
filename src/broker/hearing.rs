//! What a connection hears: sorted, counted, and handed on to the sessions without ever holding up the link.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::debug;

use super::{
    Counts, Event, MESSAGE_MAX,
    client::{self, Ears, Heard, Message, Mouth},
    held::Held,
    trouble::{Complaints, Kind, Trouble},
};
use crate::{
    config,
    protocol::{Topics, status},
};

/// What a message is, by its topic and flags.
#[derive(Debug, PartialEq, Eq)]
enum Sorted {
    Request(Event),
    /// Our own `status`, saying `offline`.
    Contradiction,
    /// Our own `status`, as we said it.
    Echo,
    Retained,
    Foreign,
}

/// What the ears need to know what they hear.
pub(super) struct Hearing<'a> {
    pub(super) topics: &'a Topics,
    pub(super) status_topic: String,
    pub(super) counts: &'a Counts,
    pub(super) complaints: &'a Complaints,
    pub(super) contradicted: &'a Notify,
    pub(super) login: Option<oneshot::Sender<bool>>,
    pub(super) hold: &'a Hold,
}

/// Between ears and carrier, who are never in it at the same time: they share a task.
#[derive(Default)]
pub(super) struct Hold {
    held: Mutex<Held<client::Receipt>>,
    filled: Notify,
}

impl Hearing<'_> {
    /// The ears: hear until the connection is over, and never wait for anybody else.
    pub(super) async fn listen(mut self, ears: &mut Ears, mouth: &Mouth, config: &config::Broker) -> Trouble {
        loop {
            match ears.poll().await {
                Ok(Heard::LoggedIn { retains }) => {
                    if let Some(login) = self.login.take() {
                        // Whoever waited may have left already.
                        let _ = login.send(retains);
                    }
                }
                Ok(Heard::Message(message)) => self.take(message, mouth, config),
                Ok(Heard::Refused(said)) => {
                    let text = format!(
                        "publish: the broker refused a message: {said}; let {} write status, info, evt and rsp/+ below \
                         {} in the broker's ACL",
                        who(config),
                        self.status_topic.trim_end_matches("/status"),
                    );
                    self.complaints.about(config, &Trouble::new(Kind::Publication, text));
                }
                Ok(Heard::Other) => {}
                Err(trouble) => return trouble,
            }
        }
    }

    fn take(&self, message: Message, mouth: &Mouth, config: &config::Broker) {
        let Message { topic, payload, retain, receipt } = message;
        let count = match sort(self.topics, &self.status_topic, &topic, payload, retain) {
            Sorted::Request(event) => {
                let whose = topic.escape_ascii().to_string();
                let full = self.hold.held.lock().unwrap_or_else(PoisonError::into_inner).push(event, receipt);
                match full {
                    Ok(()) => self.hold.filled.notify_one(),
                    Err(receipt) => {
                        mouth.acknowledge(receipt);
                        self.counts.overflow.fetch_add(1, Ordering::Relaxed);
                        let text = format!("more messages on {whose} than can be looked at; some are dropped");
                        self.complaints.about(config, &Trouble::new(Kind::Busy, text));
                    }
                }
                return;
            }
            Sorted::Contradiction => {
                self.contradicted.notify_one();
                None
            }
            Sorted::Echo => None,
            Sorted::Retained => Some(&self.counts.retained),
            Sorted::Foreign => Some(&self.counts.foreign),
        };
        mouth.acknowledge(receipt);
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
            debug!("broker: dropped a message on {}", topic.escape_ascii());
        }
    }
}

/// Hands on what was heard. Here, and only here, the link waits for the sessions; the broker gets its receipt after.
pub(super) async fn carry(
    hold: &Hold,
    up: oneshot::Receiver<()>,
    events: mpsc::Sender<Event>,
    mouth: &Mouth,
    conn: u64,
) -> Infallible {
    if up.await.is_ok() {
        // An error means that the sessions are gone, and the link is about to be stopped.
        drop(events.send(Event::Up { conn }).await);
        loop {
            let next = hold.held.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match next {
                Some((event, receipt)) => {
                    drop(events.send(event).await);
                    mouth.acknowledge(receipt);
                }
                None => hold.filled.notified().await,
            }
        }
    }
    pending().await
}

fn sort(topics: &Topics, status_topic: &str, topic: &[u8], payload: Bytes, retain: bool) -> Sorted {
    let Ok(topic) = str::from_utf8(topic) else { return Sorted::Foreign };
    if topic == status_topic {
        return if status::says_offline(&payload) { Sorted::Contradiction } else { Sorted::Echo };
    }
    let Some(viewer) = topics.viewer(topic) else { return Sorted::Foreign };
    if retain {
        return Sorted::Retained;
    }
    Sorted::Request(match payload.len() {
        0..=MESSAGE_MAX => Event::Message { viewer, payload },
        len => Event::Oversize { viewer, len },
    })
}

/// Whose access list it is about.
pub(super) fn who(config: &config::Broker) -> String {
    config.login.as_ref().map_or_else(|| "anonymous clients".to_owned(), |login| format!("user {}", login.user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Id;

    #[test]
    fn messages_are_sorted_by_topic_flag_and_size() {
        let topics = Topics::new("fanlight/v1", &Id::new("cam").unwrap());
        let viewer = Id::new("anna").unwrap();
        let small = Bytes::from_static(b"{}");
        let limit = Bytes::from(vec![b' '; MESSAGE_MAX]);
        let large = Bytes::from(vec![b' '; MESSAGE_MAX + 1]);
        let request =
            |payload: &Bytes| Sorted::Request(Event::Message { viewer: viewer.clone(), payload: payload.clone() });
        let offline = Bytes::from_static(br#"{"state":"offline"}"#);
        let rows = [
            ("fanlight/v1/cam/req/anna", &small, false, request(&small)),
            ("fanlight/v1/cam/req/anna", &limit, false, request(&limit)),
            (
                "fanlight/v1/cam/req/anna",
                &large,
                false,
                Sorted::Request(Event::Oversize { viewer: viewer.clone(), len: MESSAGE_MAX + 1 }),
            ),
            ("fanlight/v1/cam/req/anna", &small, true, Sorted::Retained),
            ("fanlight/v1/cam/req/an na", &small, false, Sorted::Foreign),
            ("fanlight/v1/cam/req/anna/x", &small, false, Sorted::Foreign),
            ("fanlight/v1/camera/req/anna", &small, false, Sorted::Foreign),
            ("fanlight/v1/cam/status", &small, false, Sorted::Echo),
            ("fanlight/v1/cam/status", &offline, false, Sorted::Contradiction),
            ("fanlight/v1/other/status", &offline, false, Sorted::Foreign),
        ];
        for (topic, payload, retain, expected) in rows {
            let sorted = sort(&topics, &topics.status(), topic.as_bytes(), payload.clone(), retain);
            assert_eq!(sorted, expected, "{topic}");
        }
        assert_eq!(sort(&topics, &topics.status(), b"\xff", small, false), Sorted::Foreign);
    }
}
