//! The embedded broker: anonymous, on loopback, in memory, with limits for everything. It supports MQTT 3.1.1 and 5,
//! QoS 0 and 1, over TCP and WebSocket. A broker library would be a fifth of the whole program; the packet code is that
//! of the MQTT client.

mod connection;
pub(super) mod router;
#[cfg(test)]
mod tests;
pub(super) mod wire;

use std::{
    future::ready,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_tungstenite::{
    bytes::{ByteReader, ByteWriter},
    tokio::accept_hdr_async_with_config,
    tungstenite::{
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};
use futures_util::StreamExt;
use tokio::{
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{DemoError, listen};
use router::Router;

/// Connections at a time, including those that have not logged in: browser tabs and the daemon.
const CONNECTIONS: usize = 96;
/// The largest packet accepted, in bytes: twice what any message may have.
const PACKET: usize = 64 << 10;
/// How long a connection may take for the handshake and the login.
const LOGIN: Duration = Duration::from_secs(10);
/// The pause after a failed `accept`, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running broker.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Port of MQTT over TCP.
    pub(super) mqtt: u16,
    /// Port of MQTT over WebSocket.
    pub(super) websocket: u16,
    task: JoinHandle<()>,
}

/// Starts the broker; WebSocket clients must know `path`.
pub(super) fn start(mqtt: u16, websocket: u16, path: &str) -> Result<Embedded, DemoError> {
    let (tcp, mqtt) = open("embedded broker", mqtt)?;
    let (ws, websocket) = open("embedded broker (WebSocket)", websocket)?;
    let task = tokio::spawn(accept(tcp, ws, path.into()));
    Ok(Embedded { mqtt, websocket, task })
}

fn open(what: &'static str, port: u16) -> Result<(tokio::net::TcpListener, u16), DemoError> {
    let (listener, port) = listen(what, port)?;
    let asynchronous = |listener: TcpListener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    };
    Ok((asynchronous(listener).map_err(|said| DemoError::Listen { what, port, said })?, port))
}

/// Accepts connections for ever. Each gets a task, which ends with this one.
async fn accept(tcp: tokio::net::TcpListener, ws: tokio::net::TcpListener, path: Arc<str>) {
    let router = Arc::new(Mutex::new(Router::default()));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_ended) = connections.join_next() => continue,
            accepted = tcp.accept(), if connections.len() < CONNECTIONS => accepted.map(|(stream, _)| (stream, None)),
            accepted = ws.accept(), if connections.len() < CONNECTIONS => {
                accepted.map(|(stream, _)| (stream, Some(path.clone())))
            }
        };
        match accepted {
            Ok((stream, path)) => drop(connections.spawn(serve(stream, path, router.clone()))),
            Err(error) => {
                tracing::warn!("embedded broker: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. `path` is the path that a WebSocket client must request.
async fn serve(stream: TcpStream, path: Option<Arc<str>>, router: Arc<Mutex<Router>>) {
    let _ = stream.set_nodelay(true);
    let Some(path) = path else {
        let (reader, writer) = stream.into_split();
        return connection::run(wire::Reader::new(Box::new(reader)), Box::new(writer), router).await;
    };
    let limits = WebSocketConfig::default().max_message_size(Some(PACKET)).max_frame_size(Some(PACKET));
    #[expect(clippy::result_large_err)] // the callback's type is the library's
    let answer = |request: &Request, response: Response| upgrade(&path, request, response);
    if let Ok(Ok(socket)) = timeout(LOGIN, accept_hdr_async_with_config(stream, answer, Some(limits))).await {
        let (sender, receiver) = socket.split();
        // MQTT uses binary messages only. Answers to a ping are not part of it.
        let receiver =
            receiver.filter(|message| ready(message.as_ref().map_or(true, |it| it.is_binary() && !it.is_empty())));
        let (reader, writer) = (ByteReader::new(receiver), ByteWriter::new(sender));
        connection::run(wire::Reader::new(Box::new(reader)), Box::new(writer), router).await;
    }
}

/// Answers a WebSocket request. Only clients that know the path are accepted.
#[expect(clippy::result_large_err)] // the callback's type is the library's
fn upgrade(path: &str, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() != path {
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    // MQTT 5 section 6: the subprotocol is `mqtt`, and a server must name the one that it uses.
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|it| it.to_str().ok());
    if offered.flat_map(|list| list.split(',')).any(|name| name.trim() == "mqtt") {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
    }
    Ok(response)
}

impl Embedded {
    /// Ends the broker. Its ports are free when this returns.
    pub(super) async fn close(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.task.abort();
    }
}
