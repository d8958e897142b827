//! A browser as the server sees it: TLS, HTTP, WebSocket, MQTT.

use std::sync::Arc;

use async_tungstenite::{
    WebSocketStream,
    tokio::{TokioAdapter, client_async},
    tungstenite::{Message, client::IntoClientRequest},
};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::ServerName},
};

use crate::rig::within;

/// A browser that has installed the board's authority.
pub struct Browser {
    pub port: u16,
    tls: TlsConnector,
}

/// A response.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Page {
    /// A header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

impl Browser {
    pub fn new(port: u16, authority: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.to_vec().into()).unwrap();
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { port, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A TLS connection to this host, which is this machine.
    pub async fn connect(&self, host: &str) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        self.tls.connect(ServerName::try_from(host.to_owned()).unwrap(), tcp).await.unwrap()
    }

    pub async fn get(&self, host: &str, path: &str) -> Page {
        let port = self.port;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
        self.raw(host, request.as_bytes()).await
    }

    /// Sends these bytes, and reads one response.
    pub async fn raw(&self, host: &str, request: &[u8]) -> Page {
        let mut stream = self.connect(host).await;
        // The server may answer and close before it has read all.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let read = async {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece).await {
                bytes.extend(&piece[..length]);
                if is_whole(&bytes) {
                    break;
                }
            }
        };
        within(20, "a response", read).await;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        Page { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// A WebSocket at this host, as the page opens it.
    pub async fn open(&self, host: &str) -> Viewer {
        let stream = self.connect(host).await;
        let mut request = format!("wss://{host}:{}/mqtt", self.port).into_client_request().unwrap();
        request.headers_mut().insert("origin", format!("https://{host}:{}", self.port).parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
        let (socket, response) = client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
        Viewer(socket)
    }
}

/// Whether a response with a length is whole.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= head.len() + 4 + length)
}

/// The WebSocket of a page.
pub struct Viewer(pub WebSocketStream<TokioAdapter<TlsStream<TcpStream>>>);

impl Viewer {
    /// One that has logged in with MQTT 3.1.1.
    pub async fn logged_in(browser: &Browser, id: &str) -> Self {
        let mut viewer = browser.open("garden.local").await;
        viewer.send(connect(4, id, None)).await;
        assert_eq!(viewer.next().await[..4], [0x20, 2, 0, 0], "CONNACK");
        viewer
    }

    pub async fn send(&mut self, packet: Vec<u8>) {
        self.0.send(Message::Binary(packet.into())).await.unwrap();
    }

    /// The next bytes of the broker.
    pub async fn next(&mut self) -> Vec<u8> {
        let next = async {
            loop {
                match self.0.next().await.expect("the WebSocket is open").unwrap() {
                    Message::Binary(bytes) => return bytes.to_vec(),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
        };
        within(20, "a packet of the broker", next).await
    }

    /// Waits for the end. Returns the code of the server, if it gave one.
    pub async fn closed(&mut self) -> Option<u16> {
        let end = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        within(20, "the server closes the WebSocket", end).await
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 128);
    [&[kind, body.len() as u8], body].concat()
}

/// CONNECT with a clean start.
pub fn connect(version: u8, id: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    let flags = 2 | if login.is_some() { 0xc0 } else { 0 };
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let login = login.map(|(user, password)| [text(user), text(password)].concat()).unwrap_or_default();
    packet(0x10, &[&text("MQTT"), &[version, flags, 0, 60][..], properties, &text(id), &login].concat())
}

/// SUBSCRIBE of MQTT 3.1.1 with QoS 0.
pub fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &text(filter)[..], &[0]].concat())
}

/// PUBLISH of MQTT 3.1.1 with QoS 0.
pub fn publish(topic: &str, payload: &str) -> Vec<u8> {
    packet(0x30, &[&text(topic), payload.as_bytes()].concat())
}
