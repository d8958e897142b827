//! Reads and writes packets of both MQTT versions. The rest of the broker knows MQTT 5 only. Where 3.1.1 lacks a field,
//! its implied value is filled in here.

use std::io;

use bytes::{Bytes, BytesMut};
use mqtt_v4::mqttbytes as v4;
use mqtt_v5::mqttbytes::{
    Error, QoS,
    v5::{
        Connect, ConnectAuth, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, LastWill, Packet,
        PubAck, Publish, Subscribe, SubscribeFilter, SubscribeReasonCode, Unsubscribe,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::PACKET;

/// The MQTT version of a client, by its CONNECT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum Version {
    V311,
    V5,
}

/// Why no further packet can be read.
#[derive(Debug)]
pub(in crate::demo) enum Ended {
    /// The stream ended or broke.
    Closed,
    /// The bytes are not valid MQTT.
    Bad(DisconnectReasonCode),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Reads the packets of a client.
pub(in crate::demo) struct Reader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    /// Known from the first packet on.
    pub(in crate::demo) version: Option<Version>,
}

impl Reader {
    pub(in crate::demo) fn new(stream: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        Self { stream, buffer: BytesMut::new(), version: None }
    }

    /// The next packet. It is cancel safe: no bytes are lost if the future is dropped.
    pub(in crate::demo) async fn next(&mut self) -> Result<Packet, Ended> {
        loop {
            if let Some(packet) = self.parse()? {
                return Ok(packet);
            }
            self.buffer.reserve(4096);
            // Complete packets leave the buffer, and no packet is larger than PACKET.
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Ended::Closed);
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Packet>, Ended> {
        match self.version {
            Some(Version::V5) => read_v5(&mut self.buffer),
            Some(Version::V311) => read_v311(&mut self.buffer),
            None => {
                // The version is known only after CONNECT. A packet that turns out to be of the other version is parsed
                // again.
                let mut again = self.buffer.clone();
                let (version, packet) = match Packet::read(&mut self.buffer, Some(PACKET as u32)) {
                    Err(Error::InvalidProtocolLevel(4)) => (Version::V311, read_v311(&mut again)),
                    other => (Version::V5, taken(other)),
                };
                if version == Version::V311 {
                    self.buffer = again;
                }
                if let Ok(Some(_)) = packet {
                    self.version = Some(version);
                }
                packet
            }
        }
    }
}

fn read_v5(buffer: &mut BytesMut) -> Result<Option<Packet>, Ended> {
    taken(Packet::read(buffer, Some(PACKET as u32)))
}

fn taken(read: Result<Packet, Error>) -> Result<Option<Packet>, Ended> {
    match read {
        Ok(packet) => Ok(Some(packet)),
        Err(Error::InsufficientBytes(_)) => Ok(None),
        Err(Error::ProtocolViolation(reason)) => Err(Ended::Bad(reason)),
        Err(Error::PayloadSizeLimitExceeded { .. }) => Err(Ended::Bad(DisconnectReasonCode::PacketTooLarge)),
        Err(_) => Err(Ended::Bad(DisconnectReasonCode::MalformedPacket)),
    }
}

fn read_v311(buffer: &mut BytesMut) -> Result<Option<Packet>, Ended> {
    match v4::v4::Packet::read(buffer, PACKET) {
        Ok(packet) => upgraded(packet).map(Some),
        Err(v4::Error::InsufficientBytes(_)) => Ok(None),
        Err(_) => Err(Ended::Bad(DisconnectReasonCode::MalformedPacket)),
    }
}

/// Converts a packet of MQTT 3.1.1 to MQTT 5.
fn upgraded(packet: v4::v4::Packet) -> Result<Packet, Ended> {
    use v4::v4::Packet as Old;
    Ok(match packet {
        Old::Connect(connect) => {
            // Without a clean session, 3.1.1 keeps the session for ever. Here the router's limit applies.
            let kept = (!connect.clean_session).then_some(u32::MAX);
            let properties = ConnectProperties { session_expiry_interval: kept, ..ConnectProperties::new() };
            let will = connect.last_will.map(|will| LastWill {
                topic: Bytes::from(will.topic),
                message: will.message,
                qos: will.qos,
                retain: will.retain,
                properties: None,
            });
            let connect = Connect {
                keep_alive: connect.keep_alive,
                client_id: connect.client_id,
                clean_start: connect.clean_session,
                properties: Some(properties),
            };
            Packet::Connect(connect, will, ConnectAuth::None)
        }
        Old::Publish(old) => {
            let mut publish = Publish { dup: old.dup, qos: old.qos, retain: old.retain, ..Publish::default() };
            (publish.topic, publish.pkid, publish.payload) = (old.topic, old.pkid, old.payload);
            Packet::Publish(publish)
        }
        Old::PubAck(ack) => Packet::PubAck(PubAck::new(ack.pkid, None)),
        Old::Subscribe(subscribe) => {
            let filters = subscribe.filters.into_iter().map(|filter| SubscribeFilter::new(filter.path, filter.qos));
            Packet::Subscribe(Subscribe { pkid: subscribe.pkid, filters: filters.collect(), properties: None })
        }
        Old::Unsubscribe(old) => {
            Packet::Unsubscribe(Unsubscribe { pkid: old.pkid, filters: old.topics, properties: None })
        }
        Old::PingReq => Packet::PingReq,
        Old::Disconnect => Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)),
        _ => return Err(Ended::Bad(DisconnectReasonCode::ProtocolError)),
    })
}

/// Appends a packet for a client. Packets that 3.1.1 does not have are left out.
pub(in crate::demo) fn write(packet: Packet, version: Version, out: &mut BytesMut) -> Result<(), Error> {
    if version == Version::V5 {
        return packet.write(out, None).map(drop);
    }
    let old = match packet {
        Packet::ConnAck(ack) => {
            let code = match ack.code {
                ConnectReturnCode::Success => v4::v4::ConnectReturnCode::Success,
                _ => v4::v4::ConnectReturnCode::ServiceUnavailable,
            };
            v4::v4::Packet::ConnAck(v4::v4::ConnAck::new(code, ack.session_present))
        }
        Packet::Publish(publish) => v4::v4::Packet::Publish(v4::v4::Publish {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: publish.topic,
            pkid: publish.pkid,
            payload: publish.payload,
        }),
        Packet::PubAck(ack) => v4::v4::Packet::PubAck(v4::v4::PubAck::new(ack.pkid)),
        Packet::SubAck(ack) => {
            let codes = ack.return_codes.into_iter().map(|code| match code {
                SubscribeReasonCode::Success(qos) => v4::v4::SubscribeReasonCode::Success(qos),
                _ => v4::v4::SubscribeReasonCode::Failure,
            });
            v4::v4::Packet::SubAck(v4::v4::SubAck::new(ack.pkid, codes.collect()))
        }
        Packet::UnsubAck(ack) => v4::v4::Packet::UnsubAck(v4::v4::UnsubAck::new(ack.pkid)),
        Packet::PingResp => v4::v4::Packet::PingResp,
        _ => return Ok(()),
    };
    old.write(out, usize::MAX).map(drop).map_err(|_| Error::MalformedPacket)
}

/// The lower of two QoS levels.
pub(in crate::demo) fn lower(a: QoS, b: QoS) -> QoS {
    if (a as u8) < (b as u8) { a } else { b }
}
