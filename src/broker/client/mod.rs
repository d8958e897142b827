//! One MQTT connection. The rest of the link does not know its MQTT version.

mod v311;
mod v5;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    broker::{
        backoff::GOOD,
        link_error::{LinkError, LinkErrorKind},
        transport::{Local, TransportNotes},
    },
    config::{self, Id, MqttTransport, MqttVersion},
    protocol::Correlation,
};

/// The most messages that the broker has not acknowledged. Above this, publishing waits.
const INFLIGHT: u16 = 64;
/// The most messages that the device has not acknowledged. MQTT 5 announces it (Receive Maximum).
const UNACKNOWLEDGED: u16 = 32;
/// Requests that wait for the MQTT client. It holds every acknowledgement that can be due, so none is ever refused.
const REQUESTS: usize = 256;
/// Largest packet that is read. MQTT 5 announces it, and a broker sends nothing larger; of a larger PUBLISH the payload
/// is skipped (`oversized.rs`), and any other packet of that size ends the connection.
pub(super) const PACKET_MAX: u32 = 64 << 10;
/// Packets that the client reads before it passes them on. Its own choice, half of `INFLIGHT`, holds some hundred
/// kilobytes of a crowd's offers, and leaves holes in the heap.
const BATCH: usize = 4;
/// The largest packet that is sent with MQTT 3.1.1.
const SENT_MAX: usize = 1 << 20;
/// How long the broker keeps the session of a board that is gone, with the requests that arrive meanwhile.
const SESSION_EXPIRY_S: u32 = 30;
/// How long the broker waits with the Will, so that a short radio loss does not show.
const WILL_DELAY_S: u32 = 10;

/// The parameters of a connection.
pub(super) struct ClientSetup<'a> {
    pub(super) config: &'a Arc<config::Broker>,
    pub(super) device: &'a Id,
    pub(super) will_topic: String,
    pub(super) will: Bytes,
    pub(super) will_expiry: u32,
    /// Set to the board's address that the connection is bound to.
    pub(super) local: Arc<Local>,
}

/// The sending side. Cheap to clone; every method only queues.
#[derive(Clone)]
pub(super) enum Publisher {
    V5(mqtt_v5::AsyncClient),
    V311(mqtt_v4::AsyncClient),
}

/// The receiving side, which does the work of both. Its `poll` is not cancel safe.
pub(super) enum MessageStream {
    V5(v5::V5Stream),
    V311(v311::V311Stream),
}

/// What a connection receives.
pub(super) enum ClientEvent {
    /// The broker accepted the login. `retains`: whether it keeps retained messages.
    LoggedIn { retains: bool },
    /// A message on a subscribed topic.
    Message(Message),
    /// The broker refused a message of the device.
    Refused(String),
    /// Anything else, which needs no action.
    Other,
}

/// A message on a subscribed topic.
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// The true length of a payload that was too large and was skipped.
    pub(super) skipped: Option<usize>,
    pub(super) retain: bool,
    /// Returned with each reply.
    pub(super) correlation: Option<Correlation>,
    /// `None`: with QoS 0 there is no acknowledgement.
    pub(super) ack: Option<Ack>,
}

/// The acknowledgement that is sent once a message was passed on.
#[derive(Debug, Clone)]
pub(super) enum Ack {
    V5(mqtt_v5::ManualAck),
    V311(mqtt_v4::ManualAck),
}

/// How the broker handles a message of the device.
#[derive(Debug, Clone)]
pub(super) struct Handling {
    /// Whether the broker keeps it for later subscribers.
    pub(super) retain: bool,
    /// After how many seconds the broker drops it (MQTT 5 only).
    pub(super) expiry: Option<u32>,
    /// The Correlation Data of the request (MQTT 5 only).
    pub(super) correlation: Option<Correlation>,
}

/// Whether a subscription is for retained messages, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retained {
    Wanted,
    Unwanted,
}

/// The connection has ended, so the request is not carried out.
#[derive(Debug)]
pub(super) struct Disconnected;

/// Prepares a connection. The first `poll` makes it.
pub(super) fn open(setup: ClientSetup<'_>) -> Result<(Publisher, MessageStream, Arc<TransportNotes>), LinkError> {
    let notes = Arc::new(TransportNotes::new(Arc::clone(&setup.local)));
    Ok(match setup.config.version {
        MqttVersion::V5 => {
            let (publisher, incoming) = v5::open(setup, Arc::clone(&notes))?;
            (Publisher::V5(publisher), MessageStream::V5(incoming), notes)
        }
        MqttVersion::V311 => {
            let (publisher, incoming) = v311::open(setup, Arc::clone(&notes))?;
            (Publisher::V311(publisher), MessageStream::V311(incoming), notes)
        }
    })
}

impl MessageStream {
    /// Runs the connection until something is received. After an error the connection has ended.
    pub(super) async fn poll(&mut self) -> Result<ClientEvent, LinkError> {
        match self {
            Self::V5(incoming) => incoming.poll().await,
            Self::V311(incoming) => incoming.poll().await,
        }
    }
}

impl Publisher {
    /// Subscribes with QoS 1. Waits for the broker's answer to each filter, and returns it. `retained`: whether
    /// retained messages are wanted. With MQTT 3.1.1 they always come.
    pub(super) async fn subscribe(
        &self,
        filters: &[String],
        retained: Retained,
    ) -> Result<Vec<Result<(), String>>, Disconnected> {
        match self {
            Self::V5(client) => v5::subscribe(client, filters, retained).await,
            Self::V311(client) => v311::subscribe(client, filters).await,
        }
    }

    /// Publishes with QoS 1. Waits while too many messages wait for their acknowledgement.
    pub(super) async fn publish(&self, topic: String, payload: Bytes, handling: Handling) -> Result<(), Disconnected> {
        match self {
            Self::V5(c) => c.publish(topic, payload, v5::handling(handling)).await.map_err(|_| Disconnected),
            Self::V311(c) => c.publish(topic, payload, v311::handling(handling)).await.map_err(|_| Disconnected),
        }
    }

    /// Like `publish`, and waits for the broker's acknowledgement.
    pub(super) async fn publish_surely(
        &self,
        topic: String,
        payload: Bytes,
        handling: Handling,
    ) -> Result<(), Disconnected> {
        match self {
            Self::V5(c) => {
                let notice =
                    c.publish_tracked(topic, payload, v5::handling(handling)).await.map_err(|_| Disconnected)?;
                notice.wait_completion_async().await.map_err(|_| Disconnected)
            }
            Self::V311(c) => {
                let notice =
                    c.publish_tracked(topic, payload, v311::handling(handling)).await.map_err(|_| Disconnected)?;
                notice.wait_completion_async().await.map_err(|_| Disconnected)
            }
        }
    }

    /// Acknowledges a message. `false`: the client has no room for that now, or the connection has ended. Then the
    /// broker sends the message again.
    pub(super) fn acknowledge(&self, ack: &Ack) -> bool {
        match (self, ack) {
            (Self::V5(client), Ack::V5(ack)) => client.try_manual_ack(ack.clone()).is_ok(),
            (Self::V311(client), Ack::V311(ack)) => client.try_manual_ack(ack.clone()).is_ok(),
            _ => true,
        }
    }

    /// Sends DISCONNECT, so that the broker does not publish the Will.
    pub(super) fn disconnect(&self) {
        match self {
            Self::V5(client) => drop(client.try_disconnect_now()),
            Self::V311(client) => drop(client.try_disconnect_now()),
        }
    }
}

/// The URL of a WebSocket's handshake. Always `ws`: TLS is done below it.
pub(super) fn websocket_url(config: &config::Broker) -> String {
    let host = if config.host.contains(':') { format!("[{}]", config.host) } else { config.host.clone() };
    format!("ws://{host}:{}{}", config.port, if config.path.is_empty() { "/" } else { &config.path })
}

fn keep_alive_s(config: &config::Broker) -> u16 {
    u16::try_from(config.keep_alive.as_secs()).unwrap_or(u16::MAX)
}

/// Why a login was refused, in either MQTT version.
enum Login {
    Credentials,
    ClientId,
    Version,
    Busy,
    Other(String),
}

impl Login {
    fn explain(self, setup: &config::Broker, device: &Id) -> LinkError {
        let user = match &setup.login {
            Some(login) => format!("user {}", login.user),
            None => "no user".to_owned(),
        };
        match self {
            Self::Credentials => LinkError::new(
                LinkErrorKind::Login,
                format!("log in with {user}: refused; check user, password and the broker's ACL"),
            ),
            Self::ClientId => {
                LinkError::new(LinkErrorKind::Login, format!("log in: the broker refuses the client id {device}"))
            }
            Self::Version => version_refused(setup.version),
            Self::Busy => LinkError::new(LinkErrorKind::Busy, "log in: the broker has no room now"),
            Self::Other(said) => {
                LinkError::new(LinkErrorKind::Login, format!("log in with {user}: the broker said {said}"))
            }
        }
    }
}

fn version_refused(ours: MqttVersion) -> LinkError {
    let text = match ours {
        MqttVersion::V5 => {
            "log in: the answer is not MQTT 5; set version = \"3.1.1\", or write wss:// or ws:// if this port is the one for browsers"
        }
        MqttVersion::V311 => {
            "log in: the answer is not MQTT 3.1.1; set version = \"5\", or write wss:// or ws:// if this port is the one for browsers"
        }
    };
    LinkError::new(LinkErrorKind::Version, text)
}

/// The stream ended. Before the login this usually means that the broker expects TLS, or an older MQTT version, whose
/// refusal is no valid MQTT 5.
fn closed(config: &config::Broker, device: &Id, lasted: Option<Duration>) -> LinkError {
    let text = match (lasted, config.transport, config.port, config.version) {
        // MQTT 3.1.1 has no code for this, and some MQTT 5 brokers do not send it.
        (Some(lasted), ..) if lasted < GOOD => format!(
            "the broker closed the connection after {} s; if this repeats, does another client use the id {device}?",
            lasted.as_secs()
        ),
        (Some(_), ..) => "the broker closed the connection".to_owned(),
        (None, MqttTransport::Tcp, 8883, _) => {
            "log in: the broker closed the connection; port 8883 is usually TLS: use mqtts://".to_owned()
        }
        (None, _, _, MqttVersion::V5) => "log in: the broker closed the connection without an answer; if it does not \
             speak MQTT 5, set version = \"3.1.1\""
            .to_owned(),
        (None, ..) => "log in: the broker closed the connection without an answer".to_owned(),
    };
    LinkError::new(LinkErrorKind::Lost, text)
}

pub(super) fn websocket_refused(config: &config::Broker, said: impl std::fmt::Display) -> LinkError {
    LinkError::new(
        LinkErrorKind::WebSocket,
        format!("open the WebSocket at path {}: {said}; is it the broker's WebSocket port and path?", config.path),
    )
}

fn silent(keep_alive: Duration) -> LinkError {
    LinkError::new(LinkErrorKind::Lost, format!("no answer to a ping within {} s", keep_alive.as_secs()))
}

fn oversize(bytes: usize) -> LinkError {
    LinkError::new(
        LinkErrorKind::Oversize,
        format!(
            "the broker sent a packet of {bytes} bytes that is no message: this is not MQTT, or the broker is broken"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_url_is_made_from_any_host() {
        let rows = [
            ("mq.example", "/mqtt", "ws://mq.example:9001/mqtt"),
            ("::1", "", "ws://[::1]:9001/"),
            ("10.0.0.1", "/a/b?c=d", "ws://10.0.0.1:9001/a/b?c=d"),
        ];
        for (host, path, expected) in rows {
            let config =
                config::Broker { host: host.into(), path: path.into(), port: 9001, ..config::Broker::default() };
            assert_eq!(websocket_url(&config), expected);
        }
    }

    #[test]
    fn in_either_version_the_port_for_browsers_is_named() {
        for (ours, other) in [(MqttVersion::V5, "version = \"3.1.1\""), (MqttVersion::V311, "version = \"5\"")] {
            let text = version_refused(ours).to_string();
            assert!(text.contains(other) && text.contains("wss://"), "{text}");
        }
    }

    #[test]
    fn a_refused_login_names_the_user_and_never_the_password() {
        let login = config::Login { user: "cam1".into(), password: config::Secret::new("hunter2") };
        let config = config::Broker { login: Some(login), ..config::Broker::default() };
        let device = Id::new("cam1").unwrap();
        let rows = [
            (Login::Credentials, LinkErrorKind::Login, "log in with user cam1: refused"),
            (Login::ClientId, LinkErrorKind::Login, "client id cam1"),
            (Login::Version, LinkErrorKind::Version, "version = \"3.1.1\""),
            (Login::Busy, LinkErrorKind::Busy, "no room"),
            (Login::Other("Banned".into()), LinkErrorKind::Login, "Banned"),
        ];
        for (login, kind, words) in rows {
            let link_error = login.explain(&config, &device);
            assert_eq!(link_error.kind, kind);
            assert!(
                link_error.to_string().contains(words) && !link_error.to_string().contains("hunter2"),
                "{link_error}"
            );
        }
    }
}
