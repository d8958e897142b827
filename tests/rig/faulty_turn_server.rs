//! A STUN and TURN server that gives wrong answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// The answer to a request of this message type, without or with a login: its message type and its attributes.
pub type FaultyAnswer = fn(u16, bool) -> (u16, Vec<(u16, Vec<u8>)>);

/// The server. It runs until this value is dropped.
pub struct FaultyTurnServer {
    pub port: u16,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultyTurnServer {
    pub async fn start(faulty_answer: FaultyAnswer) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, asked) = (socket.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut space = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut space).await {
                let request = &space[..length];
                if length < 20 || request[0] > 3 {
                    continue;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let kind = u16::from_be_bytes([request[0], request[1]]);
                let (kind, attributes) = faulty_answer(kind, has_username(&request[20..]));
                let _ = socket.send_to(&answer(kind, &request[8..20], &attributes), from).await;
            }
        });
        Self { port, asked, task }
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyTurnServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn has_username(mut rest: &[u8]) -> bool {
    while let [a, b, c, d, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        if u16::from_be_bytes([*a, *b]) == 6 {
            return true;
        }
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

fn answer(kind: u16, transaction: &[u8], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &length, &0x2112_A442_u32.to_be_bytes(), transaction, &body].concat()
}

/// An ERROR-CODE attribute whose reason is not UTF-8.
pub fn error(code: u16) -> (u16, Vec<u8>) {
    (9, vec![0, 0, u8::try_from(code / 100).unwrap(), u8::try_from(code % 100).unwrap(), 0xff, 0xfe])
}

/// The attributes of the answer to a request without a login.
pub fn challenge() -> Vec<(u16, Vec<u8>)> {
    vec![error(401), (0x14, b"fanlight.test".to_vec()), (0x15, b"5f2c".to_vec())]
}

/// An IPv4 address as an attribute.
pub fn address(kind: u16, ip: [u8; 4], port: u16) -> (u16, Vec<u8>) {
    let cookie = 0x2112_A442_u32.to_be_bytes();
    let ip: Vec<u8> = ip.iter().zip(cookie).map(|(byte, mask)| byte ^ mask).collect();
    (kind, [&[0, 1], &(port ^ 0x2112).to_be_bytes()[..], &ip].concat())
}
