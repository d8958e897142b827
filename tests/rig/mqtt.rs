//! A bare MQTT client, 3.1.1 or 5, that sends what a test needs: other clients do not report what a broker refuses.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// The two versions of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

/// A connection that is logged in.
pub struct Client {
    stream: TcpStream,
    version: Version,
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A packet with its length in front.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut out, mut left) = (vec![kind], body.len());
    loop {
        let digit = u8::try_from(left % 128).unwrap();
        left /= 128;
        out.push(if left > 0 { digit | 128 } else { digit });
        if left == 0 {
            return [out, body.to_vec()].concat();
        }
    }
}

impl Client {
    /// Logs in; the client id is the user's name.
    pub async fn login(port: u16, version: Version, user: &str, password: &str) -> Self {
        let level = if version == Version::V5 { 5 } else { 4 };
        // User, password, clean start; keep-alive 60 s.
        let mut body = [text("MQTT"), vec![level, 0b1100_0010, 0, 60]].concat();
        if version == Version::V5 {
            body.push(0);
        }
        body.extend([text(user), text(user), text(password)].concat());
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut this = Self { stream, version };
        this.send(&packet(0x10, &body)).await;
        let (kind, body) = this.receive().await;
        assert_eq!((kind, body[1]), (0x20, 0), "{user} logs in by {version:?}");
        this
    }

    /// Subscribes with QoS 0, and waits for the answer.
    pub async fn subscribe(&mut self, filter: &str) {
        let properties: &[u8] = if self.version == Version::V5 { &[0] } else { &[] };
        let body = [&[0, 1], properties, &text(filter), &[0]].concat();
        self.send(&packet(0x82, &body)).await;
        while self.receive().await.0 != 0x90 {}
    }

    /// Publishes with QoS 0: a broker does not report refused messages.
    pub async fn publish(&mut self, topic: &str, payload: &str) {
        let properties: &[u8] = if self.version == Version::V5 { &[0] } else { &[] };
        self.send(&packet(0x30, &[&text(topic), properties, payload.as_bytes()].concat())).await;
    }

    /// The topics of the messages before the one on `last`.
    pub async fn topics_until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let (kind, body) = self.receive().await;
            if kind & 0xf0 != 0x30 {
                continue;
            }
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
            if topic == last {
                return seen;
            }
            seen.push(topic);
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn receive(&mut self) -> (u8, Vec<u8>) {
        within(20, "a packet of the broker", async {
            let kind = self.stream.read_u8().await.unwrap();
            let (mut length, mut shift) = (0_usize, 0);
            loop {
                let digit = self.stream.read_u8().await.unwrap();
                length |= usize::from(digit & 127) << shift;
                shift += 7;
                if digit & 128 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.unwrap();
            (kind, body)
        })
        .await
    }
}
