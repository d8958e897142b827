//! MQTT 3.1.1. Its sessions never end by themselves, so this one is clean. It has no expiry, no reasons and no
//! announced limits.

use std::{sync::Arc, time::Instant};

use mqtt_v4::{
    AckMode, AsyncClient, Broker, ConnectReturnCode as Code, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    NetworkOptions, Packet, PublishOptions, QoS, StateError, SubscribeFilter, SubscribeReasonCode,
    mqttbytes::Error as PacketError,
};

use super::{
    Ack, BATCH, ClientEvent, ClientSetup, Disconnected, Handling, INFLIGHT, Login, Message, PACKET_MAX, REQUESTS,
    SENT_MAX, closed, keep_alive_s, oversize, silent, version_refused,
};
use crate::{
    broker::{
        link_error::{LinkError, LinkErrorKind},
        transport::{self, TransportNotes},
    },
    config::{self, Id},
};

pub(in crate::broker) struct V311Stream {
    events: Box<EventLoop>,
    config: Arc<config::Broker>,
    device: Id,
    notes: Arc<TransportNotes>,
    logged_in: Option<Instant>,
}

pub(super) fn open(setup: ClientSetup<'_>, notes: Arc<TransportNotes>) -> Result<(AsyncClient, V311Stream), LinkError> {
    let config = Arc::clone(setup.config);
    // TLS and WebSocket are handled in `transport.rs`. To the client, every broker is a TCP one.
    let broker = Broker::tcp(config.host.clone(), config.port);
    let mut options = MqttOptions::new(setup.device.as_str(), broker);
    options
        .set_keep_alive(keep_alive_s(&config))
        .set_clean_session(true)
        .set_max_packet_size(usize::try_from(PACKET_MAX).unwrap_or(usize::MAX), SENT_MAX)
        .set_inflight(INFLIGHT)
        .set_read_batch_size(BATCH)
        .set_ack_mode(AckMode::Manual)
        .set_last_will(LastWill::new(setup.will_topic, setup.will, QoS::AtLeastOnce, true));
    if let Some(login) = &config.login {
        options.set_credentials(login.user.as_str(), login.password.expose().to_owned());
    }
    let (dialled, noted) = (Arc::clone(&config), Arc::clone(&notes));
    options.set_socket_connector(move |_, _| transport::dial(Arc::clone(&dialled), Arc::clone(&noted)));
    let (client, mut events) = AsyncClient::builder(options)
        .capacity(REQUESTS)
        .try_build()
        .map_err(|e| LinkError::new(LinkErrorKind::Protocol, format!("prepare MQTT: {e}")))?;
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(transport::DEADLINE.as_secs());
    events.set_network_options(network);
    Ok((client, V311Stream { events: Box::new(events), config, device: setup.device.clone(), notes, logged_in: None }))
}

pub(super) async fn subscribe(
    client: &AsyncClient,
    filters: &[String],
) -> Result<Vec<Result<(), String>>, Disconnected> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
    let notice = client.subscribe_many_tracked(filters).await.map_err(|_| Disconnected)?;
    let answer = notice.wait_async().await.map_err(|_| Disconnected)?;
    let said = answer.return_codes.iter().map(|code| match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::Failure => Err("refused".to_owned()),
    });
    Ok(said.collect())
}

pub(super) fn handling(handling: Handling) -> PublishOptions {
    PublishOptions::at_least_once().retain(handling.retain)
}

impl V311Stream {
    pub(super) async fn poll(&mut self) -> Result<ClientEvent, LinkError> {
        let event = match self.events.poll().await {
            Ok(event) => event,
            Err(error) => return Err(self.explain(&error)),
        };
        Ok(match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                self.logged_in = Some(Instant::now());
                self.notes.logged_in();
                ClientEvent::LoggedIn { retains: true }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                let ack = match publish.qos {
                    QoS::AtMostOnce => None,
                    QoS::AtLeastOnce => Some(mqtt_v4::ManualAck::PubAck(mqtt_v4::PubAck::new(publish.pkid))),
                    QoS::ExactlyOnce => Some(mqtt_v4::ManualAck::PubRec(mqtt_v4::PubRec::new(publish.pkid))),
                };
                ClientEvent::Message(Message {
                    topic: publish.topic,
                    skipped: self.notes.skipped(&publish.payload),
                    payload: publish.payload,
                    retain: publish.retain,
                    correlation: None,
                    ack: ack.map(Ack::V311),
                })
            }
            _ => ClientEvent::Other,
        })
    }

    fn explain(&self, error: &ConnectionError) -> LinkError {
        match error {
            ConnectionError::ConnectionRefused(code) => login(*code).explain(&self.config, &self.device),
            ConnectionError::NetworkTimeout => self.notes.timed_out(),
            ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(bytes))) => {
                oversize(*bytes)
            }
            ConnectionError::Io(io) => self.notes.cause(Some(io)).unwrap_or_else(|| self.broken(error)),
            other => self.notes.cause(None).unwrap_or_else(|| self.broken(other)),
        }
    }

    fn broken(&self, error: &ConnectionError) -> LinkError {
        match error {
            ConnectionError::MqttState(StateError::AwaitPingResp) | ConnectionError::FlushTimeout => {
                silent(self.config.keep_alive)
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) | ConnectionError::Io(_) => {
                closed(&self.config, &self.device, self.logged_in.map(|at| at.elapsed()))
            }
            ConnectionError::MqttState(StateError::Deserialization(PacketError::Io(_))) => {
                closed(&self.config, &self.device, self.logged_in.map(|at| at.elapsed()))
            }
            ConnectionError::MqttState(StateError::Deserialization(_)) if self.logged_in.is_none() => {
                version_refused(self.config.version)
            }
            other => LinkError::new(LinkErrorKind::Protocol, format!("MQTT: {other}")),
        }
    }
}

fn login(code: Code) -> Login {
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized => Login::Credentials,
        Code::BadClientId => Login::ClientId,
        Code::RefusedProtocolVersion => Login::Version,
        Code::ServiceUnavailable => Login::Busy,
        Code::Success => Login::Other("success".to_owned()),
    }
}
