//! MQTT 5.

use std::{pin::Pin, sync::Arc, time::Instant};

use bytes::Bytes;
use mqtt_v5::{
    AckMode, AsyncClient, Broker, ConnectReturnCode as Code, ConnectionError, DisconnectReasonCode as Reason, Event,
    EventLoop, LastWill, LastWillProperties, MqttOptions, Packet, PersistedAckMode, PersistedSession, PubAckReason,
    PublishOptions, PublishProperties, QoS, RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey,
    StateError, SubscribeFilter, SubscribeReasonCode, mqttbytes::Error as PacketError,
};

use super::{
    Ack, BATCH, ClientEvent, ClientSetup, Disconnected, Handling, INFLIGHT, Login, Message, PACKET_MAX, REQUESTS,
    Retained, SESSION_EXPIRY_S, UNACKNOWLEDGED, WILL_DELAY_S, closed, keep_alive_s, oversize, silent, version_refused,
};
use crate::{
    broker::{
        link_error::{LinkError, LinkErrorKind},
        transport::{self, TransportNotes},
    },
    config::{self, Id},
    protocol::Correlation,
};

pub(in crate::broker) struct V5Stream {
    events: Box<EventLoop>,
    config: Arc<config::Broker>,
    device: Id,
    notes: Arc<TransportNotes>,
    logged_in: Option<Instant>,
}

pub(super) fn open(setup: ClientSetup<'_>, notes: Arc<TransportNotes>) -> Result<(AsyncClient, V5Stream), LinkError> {
    let config = Arc::clone(setup.config);
    // TLS and WebSocket are handled in `transport.rs`. To the client, every broker is a TCP one.
    let broker = Broker::tcp(config.host.clone(), config.port);
    let mut options = MqttOptions::new(setup.device.as_str(), broker);
    options
        .set_keep_alive(keep_alive_s(&config))
        .set_connect_timeout(transport::DEADLINE)
        .set_read_batch_size(BATCH)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
        .set_session_store(NothingOwed)
        .set_max_packet_size(Some(PACKET_MAX))
        .set_receive_maximum(Some(UNACKNOWLEDGED))
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_ack_mode(AckMode::Manual)
        .set_last_will(LastWill::new(
            setup.will_topic,
            setup.will,
            QoS::AtLeastOnce,
            true,
            Some(LastWillProperties {
                delay_interval: Some(WILL_DELAY_S),
                message_expiry_interval: Some(setup.will_expiry),
                payload_format_indicator: Some(1),
                content_type: None,
                response_topic: None,
                correlation_data: None,
                user_properties: Vec::new(),
            }),
        ));
    if let Some(login) = &config.login {
        options.set_credentials(login.user.as_str(), Bytes::copy_from_slice(login.password.expose().as_bytes()));
    }
    let (dialled, noted) = (Arc::clone(&config), Arc::clone(&notes));
    options.set_socket_connector(move |_, _| transport::dial(Arc::clone(&dialled), Arc::clone(&noted)));
    let (client, events) = AsyncClient::builder(options)
        .capacity(REQUESTS)
        .try_build()
        .map_err(|e| LinkError::new(LinkErrorKind::Protocol, format!("prepare MQTT: {e}")))?;
    Ok((client, V5Stream { events: Box::new(events), config, device: setup.device.clone(), notes, logged_in: None }))
}

pub(super) async fn subscribe(
    client: &AsyncClient,
    filters: &[String],
    retained: Retained,
) -> Result<Vec<Result<(), String>>, Disconnected> {
    let filters = filters.iter().map(|filter| {
        let mut filter = SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce);
        // The RETAIN flag is needed to drop retained requests. Old ones are not even sent, unless they are wanted.
        filter.preserve_retain = true;
        filter.retain_forward_rule = match retained {
            Retained::Wanted => RetainForwardRule::OnEverySubscribe,
            Retained::Unwanted => RetainForwardRule::Never,
        };
        filter
    });
    let notice = client.subscribe_many_tracked(filters).await.map_err(|_| Disconnected)?;
    let answer = notice.wait_async().await.map_err(|_| Disconnected)?;
    let said = answer.return_codes.iter().map(|code| match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        refused => Err(format!("{refused:?}")),
    });
    Ok(said.collect())
}

pub(super) fn handling(handling: Handling) -> PublishOptions {
    PublishOptions::at_least_once().retain(handling.retain).properties(PublishProperties {
        message_expiry_interval: handling.expiry,
        payload_format_indicator: Some(1),
        correlation_data: handling.correlation.map(|correlation| correlation.bytes()),
        ..PublishProperties::default()
    })
}

impl V5Stream {
    pub(super) async fn poll(&mut self) -> Result<ClientEvent, LinkError> {
        let event = match self.events.poll().await {
            Ok(event) => event,
            Err(error) => return Err(self.explain(&error)),
        };
        Ok(match event {
            Event::Incoming(Packet::ConnAck(ack)) => {
                self.logged_in = Some(Instant::now());
                self.notes.logged_in();
                let retains = ack.properties.and_then(|p| p.retain_available) != Some(0);
                ClientEvent::LoggedIn { retains }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                let ack = match publish.qos {
                    QoS::AtMostOnce => None,
                    _ => Some(ack(&publish)),
                };
                ClientEvent::Message(Message {
                    topic: publish.topic,
                    skipped: self.notes.skipped(&publish.payload),
                    payload: publish.payload,
                    retain: publish.retain,
                    correlation: publish
                        .properties
                        .and_then(|properties| properties.correlation_data)
                        .and_then(|data| Correlation::new(&data)),
                    ack,
                })
            }
            Event::Incoming(Packet::PubAck(ack))
                if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) =>
            {
                ClientEvent::Refused(format!("{:?}", ack.reason))
            }
            _ => ClientEvent::Other,
        })
    }

    fn explain(&self, error: &ConnectionError) -> LinkError {
        match error {
            ConnectionError::ConnectionRefused(code) => login(*code).explain(&self.config, &self.device),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                self.dismissed(*reason_code, reason_string.as_deref())
            }
            ConnectionError::Timeout(_) => self.notes.timed_out(),
            ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded {
                pkt_size,
                ..
            })) => oversize(*pkt_size),
            ConnectionError::Io(io) => self.notes.cause(Some(io)).unwrap_or_else(|| self.broken(error)),
            other => self.notes.cause(None).unwrap_or_else(|| self.broken(other)),
        }
    }

    fn broken(&self, error: &ConnectionError) -> LinkError {
        match error {
            ConnectionError::MqttState(StateError::AwaitPingResp) => silent(self.config.keep_alive),
            ConnectionError::MqttState(
                StateError::ConnectionAborted | StateError::Deserialization(PacketError::Io(_)),
            )
            | ConnectionError::Io(_) => match self.notes.dismissal().and_then(|reason| Reason::try_from(reason).ok()) {
                Some(reason) => self.dismissed(reason, None),
                None => closed(&self.config, &self.device, self.logged_in.map(|at| at.elapsed())),
            },
            // An older broker answers in its own version, which is no valid MQTT 5.
            ConnectionError::MqttState(StateError::Deserialization(_)) if self.logged_in.is_none() => {
                version_refused(self.config.version)
            }
            other => LinkError::new(LinkErrorKind::Protocol, format!("MQTT: {other}")),
        }
    }

    fn dismissed(&self, reason: Reason, words: Option<&str>) -> LinkError {
        let words = words.map_or_else(String::new, |words| format!(" ({words})"));
        match reason {
            Reason::SessionTakenOver => {
                let text = format!(
                    "another client logged in with the id {}; two boards with one id throw each other out: \
                     give each its own device id",
                    self.device
                );
                LinkError::new(LinkErrorKind::TakenOver, text)
            }
            Reason::ServerShuttingDown => LinkError::new(LinkErrorKind::Lost, format!("the broker shuts down{words}")),
            Reason::ServerBusy => LinkError::new(LinkErrorKind::Busy, format!("the broker has no room now{words}")),
            other => LinkError::new(LinkErrorKind::Lost, format!("the broker ended the connection: {other:?}{words}")),
        }
    }
}

fn ack(publish: &mqtt_v5::Publish) -> Ack {
    Ack::V5(match publish.qos {
        QoS::ExactlyOnce => mqtt_v5::ManualAck::PubRec(mqtt_v5::PubRec::new(publish.pkid, None)),
        _ => mqtt_v5::ManualAck::PubAck(mqtt_v5::PubAck::new(publish.pkid, None)),
    })
}

fn login(code: Code) -> Login {
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized | Code::BadAuthenticationMethod => Login::Credentials,
        Code::BadClientId | Code::ClientIdentifierNotValid => Login::ClientId,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => Login::Version,
        Code::ServiceUnavailable | Code::ServerUnavailable | Code::ServerBusy | Code::ConnectionRateExceeded => {
            Login::Busy
        }
        other => Login::Other(format!("{other:?}")),
    }
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// The client's half of a session, which is empty. Each connection is a new client with a new Will, but resumes the
/// broker's half, which holds back the Will and keeps the requests that came meanwhile. What the lost connection had
/// not sent is stale by then: `status` is published again, and replies live for 15 s.
#[derive(Debug)]
struct NothingOwed;

impl SessionStore for NothingOwed {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        Box::pin(async {
            Ok(Some(PersistedSession {
                format_version: 1,
                client_id: key.client_id().to_owned(),
                clean_start: false,
                session_expiry_interval: Some(SESSION_EXPIRY_S),
                outgoing_inflight_upper_limit: Some(INFLIGHT),
                ack_mode: PersistedAckMode::Manual,
                last_pkid: 0,
                last_puback: 0,
                replay: Vec::new(),
                incoming_qos2: Vec::new(),
            }))
        })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
