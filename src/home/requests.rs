//! MQTT by HTTPS requests, for browsers that refuse the WebSocket.
//!
//! Safari on iOS applies an accepted certificate warning to requests, but not to WebSockets (WebKit bug 145819). So the
//! page can also POST the first packet: the response's body is what the broker sends, for as long as it lasts, and
//! further requests carry what the page sends.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    first_packet::{self, FirstPacket},
    tunnel::TunnelLimits,
};

/// Bytes of the broker in one piece of the body.
const PIECE: usize = 16 << 10;

/// The connections to the broker that pages hold by requests. Each also holds an HTTPS connection, so their number is
/// bounded by that of the connections.
#[derive(Debug, Clone, Default)]
pub struct RequestLinks(Arc<Mutex<HashMap<String, Arc<Uplink>>>>);

/// The direction from the page to the broker.
#[derive(Debug)]
struct Uplink {
    /// Requests are written one after the other.
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    /// When the page last sent something.
    heard: watch::Sender<Instant>,
}

/// A connection that a page has opened.
#[derive(Debug)]
pub struct OpenedLink {
    /// The secret name by which further requests belong to it.
    pub token: String,
    /// What the broker sends.
    pub body: Body,
    /// When the page last sent something.
    pub heard: watch::Receiver<Instant>,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefusal {
    /// The first packet is not that of a viewer.
    Packet(&'static str),
    /// The broker is away.
    Broker,
}

impl RequestLinks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Uplink>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the broker and sends it the first packet.
    pub async fn open(
        &self,
        first: &[u8],
        broker: SocketAddr,
        board: &str,
        limits: TunnelLimits,
    ) -> Result<OpenedLink, LinkRefusal> {
        match first_packet::read(first, board) {
            FirstPacket::Accepted => {}
            FirstPacket::Refused(why) => return Err(LinkRefusal::Packet(why)),
            FirstPacket::More => return Err(LinkRefusal::Packet("the first packet is not whole")),
        }
        let connected = async {
            let mut stream = TcpStream::connect(broker).await?;
            stream.set_nodelay(true)?;
            stream.write_all(first).await?;
            Ok::<_, io::Error>(stream)
        };
        let Ok(Ok(stream)) = timeout(limits.patience, connected).await else { return Err(LinkRefusal::Broker) };
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(|_| LinkRefusal::Broker)?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(secret);
        let (reader, writer) = stream.into_split();
        let (heard, hears) = watch::channel(Instant::now());
        let uplink = Arc::new(Uplink { writer: tokio::sync::Mutex::new(writer), heard });
        self.lock().insert(token.clone(), uplink);
        let entry = Entry { links: self.clone(), token: token.clone() };
        let down = Downlink { reader, heard: hears.clone(), limits, _entry: entry };
        Ok(OpenedLink { token, body: Body::from_stream(stream::unfold(down, Downlink::next)), heard: hears })
    }

    /// Sends bytes of the page to the broker. `false`: there is no such connection, or it is at its end.
    pub async fn send(&self, token: &str, bytes: &[u8], limits: TunnelLimits) -> bool {
        let Some(uplink) = self.lock().get(token).cloned() else { return false };
        uplink.heard.send_replace(Instant::now());
        let write = async { uplink.writer.lock().await.write_all(bytes).await };
        let written = matches!(timeout(limits.patience, write).await, Ok(Ok(())));
        if !written {
            // Perhaps half of a packet was written. Nothing may follow it.
            self.lock().remove(token);
        }
        written
    }
}

/// Removes a connection from the list at its end.
struct Entry {
    links: RequestLinks,
    token: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.links.lock().remove(&self.token);
    }
}

/// The direction from the broker to the page. It is read only as fast as the page reads.
struct Downlink {
    reader: OwnedReadHalf,
    heard: watch::Receiver<Instant>,
    limits: TunnelLimits,
    _entry: Entry,
}

impl Downlink {
    /// The next piece. `None`: the broker has closed, or the page is silent.
    async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        let mut buffer = vec![0; PIECE];
        loop {
            let silent = *self.heard.borrow_and_update() + self.limits.silence;
            tokio::select! {
                read = timeout_at(silent, self.reader.read(&mut buffer)) => {
                    let length = read.ok()?.ok().filter(|length| *length > 0)?;
                    buffer.truncate(length);
                    return Some((Ok(buffer.into()), self));
                }
                changed = self.heard.changed() => changed.ok()?,
            }
        }
    }
}
