//! One MQTT connection, in either version: what the rest of the link says and hears, without the version.

mod v311;
mod v5;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    broker::{
        backoff::GOOD,
        link_error::{Kind, LinkError},
        transport::{Local, TransportNotes},
    },
    config::{self, Id, MqttVersion, Transport},
    protocol::Correlation,
};

/// Messages of ours that the broker has not acknowledged, at most; then the mouth waits.
const INFLIGHT: u16 = 64;
/// Messages of the broker that we have not acknowledged, at most: announced in MQTT 5.
const UNACKNOWLEDGED: u16 = 32;
/// Requests between mouth and MQTT client. Holds every acknowledgement that can be due, so none is ever refused.
const REQUESTS: usize = 256;
/// Largest packet that is read. MQTT 5 announces it, and a broker sends nothing larger; of a larger PUBLISH the payload is
/// skipped (`skip.rs`), and any other packet of that size ends the connection.
pub(super) const PACKET_MAX: u32 = 64 << 10;
/// Largest packet of ours with MQTT 3.1.1.
const SENT_MAX: usize = 1 << 20;
/// How long the broker keeps the session of a board that is gone, with the requests that come meanwhile.
const SESSION_EXPIRY_S: u32 = 30;
/// How long the broker waits with the Will: a short break in the radio is not news.
const WILL_DELAY_S: u32 = 10;

/// What a connection is opened with.
pub(super) struct Setup<'a> {
    pub(super) config: &'a Arc<config::Broker>,
    pub(super) device: &'a Id,
    pub(super) will_topic: String,
    pub(super) will: Bytes,
    pub(super) will_expiry: u32,
    /// Told which of the board's addresses the connection is bound to.
    pub(super) local: Arc<Local>,
}

/// The side that says. Cheap to clone; every method only queues.
#[derive(Clone)]
pub(super) enum Publisher {
    V5(mqtt_v5::AsyncClient),
    V311(mqtt_v4::AsyncClient),
}

/// The side that hears, and that does the work of both. Its `poll` must not be given up half-way.
pub(super) enum MessageStream {
    V5(v5::MessageStream),
    V311(v311::MessageStream),
}

/// What the ears hear.
pub(super) enum Inbound {
    /// The broker took the login; whether it keeps retained messages.
    LoggedIn { retains: bool },
    /// A message on a subscribed topic.
    Message(Message),
    /// The broker refused a message of ours.
    Refused(String),
    /// Bookkeeping.
    Other,
}

/// A message on a subscribed topic.
pub(super) struct Message {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    /// The true length of the payload, where it was too large and skipped.
    pub(super) skipped: Option<usize>,
    pub(super) retain: bool,
    /// What the sender wants back with the answer.
    pub(super) correlation: Option<Correlation>,
    /// With QoS 0 the broker wants none.
    pub(super) ack: Option<Ack>,
}

/// What is given back to the broker once a message was handed on.
#[derive(Debug, Clone)]
pub(super) enum Ack {
    V5(mqtt_v5::ManualAck),
    V311(mqtt_v4::ManualAck),
}

/// How a message of ours is to be treated by the broker.
#[derive(Debug, Clone)]
pub(super) struct Handling {
    /// Kept for those who subscribe later.
    pub(super) retain: bool,
    /// Forgotten after so many seconds (MQTT 5 only).
    pub(super) expiry: Option<u32>,
    /// Given back to who asked (MQTT 5 only).
    pub(super) correlation: Option<Correlation>,
}

/// The connection is over: what was asked for will not happen.
#[derive(Debug)]
pub(super) struct Disconnected;

/// Prepares a connection; it is made by the first `poll`.
pub(super) fn open(setup: Setup<'_>) -> Result<(Publisher, MessageStream, Arc<TransportNotes>), LinkError> {
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
    /// Goes on with the connection until something is heard. After an error the connection is over.
    pub(super) async fn poll(&mut self) -> Result<Inbound, LinkError> {
        match self {
            Self::V5(incoming) => incoming.poll().await,
            Self::V311(incoming) => incoming.poll().await,
        }
    }
}

impl Publisher {
    /// Subscribes with QoS 1; tells what the broker said to each filter, and waits for that.
    pub(super) async fn subscribe(&self, filters: &[String]) -> Result<Vec<Result<(), String>>, Disconnected> {
        match self {
            Self::V5(client) => v5::subscribe(client, filters).await,
            Self::V311(client) => v311::subscribe(client, filters).await,
        }
    }

    /// Publishes with QoS 1. Waits while the broker owes too many acknowledgements.
    pub(super) async fn publish(&self, topic: String, payload: Bytes, handling: Handling) -> Result<(), Disconnected> {
        match self {
            Self::V5(c) => c.publish(topic, payload, v5::handling(handling)).await.map_err(|_| Disconnected),
            Self::V311(c) => c.publish(topic, payload, v311::handling(handling)).await.map_err(|_| Disconnected),
        }
    }

    /// As `publish`, and waits for the broker's acknowledgement.
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

    /// Tells the broker that a message was taken. `false` where the client has no room for that now, or its connection is
    /// over; in that case the broker sends the message again.
    pub(super) fn acknowledge(&self, ack: &Ack) -> bool {
        match (self, ack) {
            (Self::V5(client), Ack::V5(ack)) => client.try_manual_ack(ack.clone()).is_ok(),
            (Self::V311(client), Ack::V311(ack)) => client.try_manual_ack(ack.clone()).is_ok(),
            _ => true,
        }
    }

    /// Says goodbye: the broker will not publish the Will.
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

/// Why a login was refused, in either version's words.
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
                Kind::Login,
                format!("log in with {user}: refused; check user, password and the broker's ACL"),
            ),
            Self::ClientId => LinkError::new(Kind::Login, format!("log in: the broker refuses the client id {device}")),
            Self::Version => version_refused(setup.version),
            Self::Busy => LinkError::new(Kind::Busy, "log in: the broker has no room now"),
            Self::Other(said) => LinkError::new(Kind::Login, format!("log in with {user}: the broker said {said}")),
        }
    }
}

fn version_refused(ours: MqttVersion) -> LinkError {
    let text = match ours {
        MqttVersion::V5 => {
            "log in: the answer is not MQTT 5; set version = \"3.1.1\", or write wss:// or ws:// if this port is the one for browsers"
        }
        MqttVersion::V311 => "log in: the broker does not speak MQTT 3.1.1; set version = \"5\"",
    };
    LinkError::new(Kind::Version, text)
}

/// The stream ended. Before the login that is how brokers say that they expected something else: TLS, or an older
/// version, whose refusal is no valid MQTT 5.
fn closed(config: &config::Broker, device: &Id, lasted: Option<Duration>) -> LinkError {
    let text = match (lasted, config.transport, config.port, config.version) {
        // What MQTT 3.1.1 has no word for, and some MQTT 5 brokers do not say.
        (Some(lasted), ..) if lasted < GOOD => format!(
            "the broker closed the connection after {} s; if this repeats, does another client use the id {device}?",
            lasted.as_secs()
        ),
        (Some(_), ..) => "the broker closed the connection".to_owned(),
        (None, Transport::Tcp, 8883, _) => {
            "log in: the broker closed the connection; port 8883 is usually TLS: use mqtts://".to_owned()
        }
        (None, _, _, MqttVersion::V5) => "log in: the broker closed the connection without an answer; if it does not \
             speak MQTT 5, set version = \"3.1.1\""
            .to_owned(),
        (None, ..) => "log in: the broker closed the connection without an answer".to_owned(),
    };
    LinkError::new(Kind::Lost, text)
}

pub(super) fn websocket_refused(config: &config::Broker, said: impl std::fmt::Display) -> LinkError {
    LinkError::new(
        Kind::WebSocket,
        format!("open the WebSocket at path {}: {said}; is it the broker's WebSocket port and path?", config.path),
    )
}

fn silent(keep_alive: Duration) -> LinkError {
    LinkError::new(Kind::Lost, format!("no answer to a ping within {} s", keep_alive.as_secs()))
}

fn oversize(bytes: usize) -> LinkError {
    LinkError::new(
        Kind::Oversize,
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
    fn a_refused_login_names_the_user_and_never_the_password() {
        let login = config::Login { user: "cam1".into(), password: config::Secret::new("hunter2") };
        let config = config::Broker { login: Some(login), ..config::Broker::default() };
        let device = Id::new("cam1").unwrap();
        let rows = [
            (Login::Credentials, Kind::Login, "log in with user cam1: refused"),
            (Login::ClientId, Kind::Login, "client id cam1"),
            (Login::Version, Kind::Version, "version = \"3.1.1\""),
            (Login::Busy, Kind::Busy, "no room"),
            (Login::Other("Banned".into()), Kind::Login, "Banned"),
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
