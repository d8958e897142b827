//! One client of the broker, from login to end, and the session that it leaves for a while.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use mqtt_v5::mqttbytes::{
    QoS,
    v5::{
        ConnAck, ConnAckProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet, PubAck, SubAck,
        UnsubAck, UnsubAckReason,
    },
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{
    LOGIN, PACKET,
    router::{Rest, Router, Welcome},
    wire::{self, Ended, Reader, Version},
};

/// A client that does not read for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

type Shared = Arc<Mutex<Router>>;

fn lock(router: &Shared) -> MutexGuard<'_, Router> {
    router.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a connection ended.
enum End {
    /// The client disconnected, or its connection broke.
    Theirs(Option<DisconnectReasonCode>),
    /// The broker disconnects the client, for this reason.
    Ours(DisconnectReasonCode),
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Closed => Self::Theirs(None),
            Ended::Bad(reason) => Self::Ours(reason),
        }
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Theirs(None)
    }
}

struct Client {
    reader: Reader,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    version: Version,
    out: BytesMut,
}

/// Serves a client, and then keeps its session for as long as the client requested.
pub(super) async fn run(mut reader: Reader, writer: Box<dyn AsyncWrite + Send + Unpin>, router: Shared) {
    let Ok(Ok(Packet::Connect(connect, will, _anybody))) = timeout(LOGIN, reader.next()).await else { return };
    let Some(version) = reader.version else { return };
    // MQTT 5 section 3.1.2.10: one and a half times the keep-alive interval.
    let silence = match connect.keep_alive {
        0 => Duration::MAX,
        seconds => Duration::from_millis(1500 * u64::from(seconds)),
    };
    let unnamed = connect.client_id.is_empty();
    let mut client = Client { reader, writer, version, out: BytesMut::new() };
    let welcome = lock(&router).connect(connect, will);
    let Some(welcome) = welcome else {
        client.put(refused());
        let _ = client.flush().await;
        return;
    };
    client.put(accepted(&welcome, unnamed));
    welcome.again.iter().for_each(|publish| client.put(Packet::Publish(publish.clone())));
    let farewell = match client.serve(&welcome, &router, silence).await {
        End::Theirs(farewell) => farewell,
        End::Ours(reason) => {
            client.put(Packet::Disconnect(Disconnect::new(reason)));
            let _ = client.flush().await;
            None
        }
    };
    let _ = timeout(PATIENCE, client.writer.shutdown()).await;
    drop(client);
    let rest = lock(&router).ended(&welcome.id, welcome.number, farewell);
    if let Some(rest) = rest {
        keep(&welcome, &router, rest).await;
    }
}

/// Publishes the will and ends the session when their time has come. Returns at once if the client is back.
async fn keep(welcome: &Welcome, router: &Shared, rest: Rest) {
    let start = Instant::now();
    let back = async {
        loop {
            welcome.wake.notified().await;
            // Without a new connection, the wake-up is about a queued message.
            if !lock(router).belongs(&welcome.id, welcome.number) {
                return;
            }
        }
    };
    tokio::pin!(back);
    if timeout_at(start + rest.will, &mut back).await.is_ok() {
        return;
    }
    lock(router).publish_will(&welcome.id, welcome.number);
    if timeout_at(start + rest.kept, &mut back).await.is_err() {
        lock(router).forget(&welcome.id, welcome.number);
    }
}

impl Client {
    async fn serve(&mut self, welcome: &Welcome, router: &Shared, silence: Duration) -> End {
        match self.converse(welcome, router, silence).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn converse(&mut self, welcome: &Welcome, router: &Shared, silence: Duration) -> Result<End, End> {
        let (id, number) = (welcome.id.as_str(), welcome.number);
        let mut heard = Instant::now();
        loop {
            let due = lock(router).due(id, number);
            let Some(due) = due else { return Ok(End::Ours(DisconnectReasonCode::SessionTakenOver)) };
            due.into_iter().for_each(|packet| self.put(packet));
            self.flush().await?;
            let until = heard.checked_add(silence).unwrap_or_else(|| heard + Duration::from_secs(86_400 * 365));
            let packet = tokio::select! {
                packet = timeout_at(until, self.reader.next()) => packet,
                () = welcome.wake.notified() => continue,
            };
            let Ok(packet) = packet else { return Ok(End::Ours(DisconnectReasonCode::KeepAliveTimeout)) };
            heard = Instant::now();
            match packet? {
                Packet::Publish(publish) => {
                    if publish.qos == QoS::ExactlyOnce {
                        return Ok(End::Ours(DisconnectReasonCode::QoSNotSupported));
                    }
                    // CONNACK announced that there are no topic aliases.
                    if publish.properties.as_ref().is_some_and(|it| it.topic_alias.is_some()) {
                        return Ok(End::Ours(DisconnectReasonCode::TopicAliasInvalid));
                    }
                    let (qos, packet) = (publish.qos, publish.pkid);
                    let reason = lock(router).publish(id, publish);
                    if qos == QoS::AtLeastOnce {
                        self.put(Packet::PubAck(PubAck { reason, ..PubAck::new(packet, None) }));
                    }
                }
                Packet::PubAck(ack) => lock(router).acknowledged(id, number, ack.pkid),
                Packet::Subscribe(request) => {
                    let return_codes = lock(router).subscribe(id, number, request.filters);
                    self.put(Packet::SubAck(SubAck { pkid: request.pkid, return_codes, properties: None }));
                }
                Packet::Unsubscribe(request) => {
                    let were = lock(router).unsubscribe(id, number, &request.filters);
                    let reasons = were.into_iter().map(|was| match was {
                        true => UnsubAckReason::Success,
                        false => UnsubAckReason::NoSubscriptionExisted,
                    });
                    let reasons = reasons.collect();
                    self.put(Packet::UnsubAck(UnsubAck { pkid: request.pkid, reasons, properties: None }));
                }
                Packet::PingReq => self.put(Packet::PingResp),
                Packet::Disconnect(farewell) => return Ok(End::Theirs(Some(farewell.reason_code))),
                _ => return Ok(End::Ours(DisconnectReasonCode::ProtocolError)),
            }
        }
    }

    /// Queues a packet. One that cannot be written is dropped.
    fn put(&mut self, packet: Packet) {
        if let Err(error) = wire::write(packet, self.version, &mut self.out) {
            tracing::debug!("embedded broker: a packet is left out: {error}");
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = self.out.split();
        let written = async {
            self.writer.write_all(&out).await?;
            self.writer.flush().await
        };
        timeout(PATIENCE, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn accepted(welcome: &Welcome, unnamed: bool) -> Packet {
    let properties = ConnAckProperties {
        session_expiry_interval: Some(welcome.kept.as_secs() as u32),
        max_qos: Some(1),
        max_packet_size: Some(PACKET as u32),
        assigned_client_identifier: unnamed.then(|| welcome.id.clone()),
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(0),
        ..nothing_special()
    };
    let session_present = welcome.present;
    Packet::ConnAck(ConnAck { session_present, code: ConnectReturnCode::Success, properties: Some(properties) })
}

fn refused() -> Packet {
    Packet::ConnAck(ConnAck { session_present: false, code: ConnectReturnCode::ServerBusy, properties: None })
}

fn nothing_special() -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}
