//! A broker that sends what a test says, packet by packet, for behaviour that no real broker shows.

use fanlight::config::MqttVersion;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::within;

/// The listening socket.
pub struct ScriptedBroker {
    listener: TcpListener,
    version: MqttVersion,
    pub port: u16,
}

/// One connection of a board.
pub struct Peer {
    stream: TcpStream,
    version: MqttVersion,
}

impl ScriptedBroker {
    pub async fn new(version: MqttVersion) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, version, port }
    }

    /// The next connection.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = within(60, "a connection", self.listener.accept()).await.unwrap();
        Peer { stream, version: self.version }
    }

    /// The next connection, logged in and subscribed.
    pub async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        assert_eq!(peer.packet().await.unwrap().0 >> 4, 1, "CONNECT");
        peer.say(if self.version == MqttVersion::V5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] }).await;
        peer.grant().await;
        peer
    }
}

impl Peer {
    /// The next packet: its first byte, and what follows its length. `None` when the board has hung up.
    pub async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let first = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((first, body))
        };
        within(60, "a packet, or the end", read).await
    }

    /// The next packet of this type. Skips others, and acknowledges messages of the board.
    pub async fn next(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let (first, body) = self.packet().await?;
            if first >> 4 == 3 && first & 0b110 != 0 {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                self.say(&[0x40, 2, body[2 + topic], body[3 + topic]]).await;
            }
            if first >> 4 == kind {
                return Some(body);
            }
        }
    }

    /// Grants the next SUBSCRIBE.
    pub async fn grant(&mut self) {
        let body = self.next(8).await.unwrap();
        let mut filters = &body[if self.version == MqttVersion::V5 { 3 } else { 2 }..];
        let mut answer = body[..2].to_vec();
        if self.version == MqttVersion::V5 {
            answer.push(0);
        }
        while let Some(length) = filters.first_chunk() {
            answer.push(1);
            filters = &filters[2 + usize::from(u16::from_be_bytes(*length)) + 1..];
        }
        self.say(&[&[0x90, u8::try_from(answer.len()).unwrap()][..], &answer].concat()).await;
    }

    /// Sends these bytes. Ignores a closed connection.
    pub async fn say(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Publishes with QoS 1.
    pub async fn publish(&mut self, topic: &str, identifier: u16, payload: &[u8]) {
        self.say(&publish(self.version, 0x32, topic, identifier, payload)).await;
    }
}

/// A PUBLISH packet with this first byte.
pub fn publish(version: MqttVersion, first: u8, topic: &str, identifier: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if first & 0b110 != 0 {
        body.extend_from_slice(&identifier.to_be_bytes());
    }
    if version == MqttVersion::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    let mut packet = vec![first];
    let mut length = body.len();
    while length > 0x7f {
        packet.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend_from_slice(&body);
    packet
}
