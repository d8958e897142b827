//! Carries MQTT between a browser's WebSocket and the broker on loopback.

use std::{io, net::SocketAddr, time::Duration};

use async_tungstenite::{
    WebSocketReceiver, WebSocketSender, WebSocketStream,
    tokio::TokioAdapter,
    tungstenite::{
        Message,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{Utf8Bytes, coding::CloseCode},
        },
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, timeout, timeout_at},
};

use super::first_packet::{self, FirstPacket};

/// The largest message of a browser, in bytes: no packet of the protocol is larger.
pub(super) const MESSAGE: usize = 64 << 10;
/// Bytes of the broker in one message to the browser.
const PIECE: usize = 16 << 10;
/// What is written to a browser that does not read, before writing waits.
const PENDING: usize = 128 << 10;

/// How long a tunnel waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelLimits {
    /// For the whole first packet.
    pub first: Duration,
    /// For anything from the browser. MQTT clients send a ping each minute.
    pub silence: Duration,
    /// Until a message is written, in either direction.
    pub patience: Duration,
}

impl Default for TunnelLimits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { first: s(10), silence: s(120), patience: s(20) }
    }
}

/// Why a tunnel ended, as the browser learns it (RFC 6455 section 7.4.1).
#[derive(Debug)]
struct TunnelEnd {
    code: CloseCode,
    why: String,
}

impl TunnelEnd {
    fn new(code: CloseCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

type FromBrowser<S> = WebSocketReceiver<TokioAdapter<S>>;
type ToBrowser<S> = WebSocketSender<TokioAdapter<S>>;

/// Carries MQTT until one side ends or is too slow. Returns the reason. `board` is the client id that viewers cannot
/// have.
pub async fn run<S>(stream: S, broker: SocketAddr, board: &str, limits: TunnelLimits) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
        .write_buffer_size(0)
        .max_write_buffer_size(PENDING)
        .read_buffer_size(PIECE);
    let socket = WebSocketStream::from_raw_socket(TokioAdapter::new(stream), Role::Server, Some(config)).await;
    let (mut sender, mut receiver) = socket.split();
    let end = match carry(&mut sender, &mut receiver, broker, board, limits).await {
        Ok(never) | Err(never) => never,
    };
    let frame = CloseFrame { code: end.code, reason: Utf8Bytes::default() };
    // The browser may be gone, or not read.
    let _ = timeout(limits.patience.min(Duration::from_secs(2)), sender.close(Some(frame))).await;
    end.why
}

async fn carry<S>(
    sender: &mut ToBrowser<S>,
    receiver: &mut FromBrowser<S>,
    broker: SocketAddr,
    board: &str,
    limits: TunnelLimits,
) -> Result<TunnelEnd, TunnelEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = first(receiver, board, limits.first).await?;
    let away = |error: io::Error| TunnelEnd::new(CloseCode::Again, format!("the broker at {broker}: {error}"));
    let connected = timeout(limits.patience, TcpStream::connect(broker)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(away)?;
    let _ = stream.set_nodelay(true);
    let (from_broker, mut to_broker) = stream.into_split();
    write(&mut to_broker, &first, limits.patience).await?;
    tokio::select! {
        end = up(receiver, to_broker, limits) => end,
        end = down(from_broker, sender, limits.patience) => end,
    }
}

/// The bytes of the first packet, and of what came with it.
async fn first<S>(receiver: &mut FromBrowser<S>, board: &str, limit: Duration) -> Result<Vec<u8>, TunnelEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let until = Instant::now() + limit;
    let mut bytes = Vec::new();
    loop {
        match first_packet::read(&bytes, board) {
            FirstPacket::Accepted => return Ok(bytes),
            FirstPacket::Refused(why) => return Err(TunnelEnd::new(CloseCode::Policy, why)),
            FirstPacket::More => {}
        }
        let piece = timeout_at(until, next(receiver)).await;
        bytes.extend(piece.unwrap_or_else(|_| Err(TunnelEnd::new(CloseCode::Policy, "it does not log in")))?);
    }
}

/// The next bytes of MQTT from the browser. A ping may be the answer to a wait, too: its bytes are none.
async fn next<S>(receiver: &mut FromBrowser<S>) -> Result<Bytes, TunnelEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match receiver.next().await {
        Some(Ok(Message::Binary(bytes))) => Ok(bytes),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Bytes::new()),
        // MQTT 5 section 6: packets come in binary frames only.
        Some(Ok(Message::Text(_))) => Err(TunnelEnd::new(CloseCode::Unsupported, "it sends text")),
        Some(Ok(Message::Close(_))) | None => Err(TunnelEnd::new(CloseCode::Normal, "the browser has closed")),
        Some(Err(error)) => Err(TunnelEnd::new(CloseCode::Size, error.to_string())),
    }
}

async fn write(to_broker: &mut OwnedWriteHalf, bytes: &[u8], patience: Duration) -> Result<(), TunnelEnd> {
    let written = timeout(patience, to_broker.write_all(bytes)).await;
    let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    written.map_err(|error| TunnelEnd::new(CloseCode::Again, format!("the broker: {error}")))
}

/// Browser → broker. One message is in memory at a time.
async fn up<S>(
    receiver: &mut FromBrowser<S>,
    mut to_broker: OwnedWriteHalf,
    limits: TunnelLimits,
) -> Result<TunnelEnd, TunnelEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let silent = |_| Err(TunnelEnd::new(CloseCode::Policy, "the browser is silent"));
        let bytes = timeout(limits.silence, next(receiver)).await.unwrap_or_else(silent)?;
        write(&mut to_broker, &bytes, limits.patience).await?;
    }
}

/// Broker → browser. One piece is in memory at a time; the broker keeps the rest, within its own limits.
async fn down<S>(
    mut from_broker: OwnedReadHalf,
    sender: &mut ToBrowser<S>,
    patience: Duration,
) -> Result<TunnelEnd, TunnelEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; PIECE];
    loop {
        let length = match from_broker.read(&mut buffer).await {
            Ok(0) => return Ok(TunnelEnd::new(CloseCode::Normal, "the broker has closed")),
            Ok(length) => length,
            Err(error) => return Err(TunnelEnd::new(CloseCode::Again, format!("the broker: {error}"))),
        };
        let message = Message::Binary(Bytes::copy_from_slice(&buffer[..length]));
        match timeout(patience, sender.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(TunnelEnd::new(CloseCode::Away, error.to_string())),
            Err(_) => return Err(TunnelEnd::new(CloseCode::Policy, "the browser does not read")),
        }
    }
}
