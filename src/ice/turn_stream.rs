//! TURN over TCP and TLS (RFC 8656 section 2.1), for a stack that supports TURN over UDP only.
//! ```text
//! stack ── UDP ──► 127.0.0.1:port ── queue (64) ──► TCP or TLS ──► server     one stream per socket of the stack
//!       ◄── UDP ──                ◄────────────────────────────
//! ```
//! It works because STUN authenticates messages and not the transport below them. The stream behaves like a network: if
//! it is too slow, messages that wait too long are dropped, and the stack's congestion control sees the loss. If a
//! stream breaks, its allocation ends. ICE then loses the pair and restarts from new sockets, which get new streams.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::UdpSocket,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    dial::{ServerStream, TrustStore, dial, explain},
    framing::{MESSAGE_MAX, StreamFramer, is_request, opens, put, refusal},
    url::IceUrl,
};

/// How many sockets of the stack are served: one for each address of the board. Others are refused.
const SOURCES: usize = 16;
/// How many messages may wait for a stream. When the queue is full, the next one is dropped.
const QUEUE: usize = 64;
/// Media that waited longer than this is dropped.
const STALE: Duration = Duration::from_millis(250);
/// How many bytes are written at once, so that a frame needs one or two TLS records instead of fifty.
const BATCH: usize = 12 << 10;
/// How long one write may take.
const STALLED: Duration = Duration::from_secs(10);
/// A stream without data for this long belongs to a closed socket. Open allocations are refreshed more often.
const IDLE: Duration = Duration::from_secs(60);

/// The server that a stream connects to.
#[derive(Debug, Clone)]
pub(super) struct TurnServer {
    pub(super) url: Arc<IceUrl>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ca: Option<PathBuf>,
    pub(super) trust: Arc<TrustStore>,
}

/// A TURN server over TCP or TLS, offered as a UDP address on loopback. It works until this value is dropped.
#[derive(Debug)]
pub struct TurnStream {
    address: SocketAddr,
    fault: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl TurnStream {
    /// Listens on loopback. The connection to the server opens with the first message.
    pub(super) fn open(server: TurnServer, ipv4: bool) -> io::Result<Self> {
        let loopback: IpAddr = if ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let socket = std::net::UdpSocket::bind((loopback, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let address = socket.local_addr()?;
        let fault = Arc::default();
        let local = LocalEnd { socket, fault: Arc::clone(&fault) };
        Ok(Self { address, fault, task: tokio::spawn(serve(local, server)) })
    }

    /// The UDP address on loopback that the stack uses as the server's.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last fault: the step, and what was reported.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        // The server frees the allocations of a closed stream.
        self.task.abort();
    }
}

/// The end towards the stack.
#[derive(Clone)]
struct LocalEnd {
    socket: Arc<UdpSocket>,
    fault: Arc<Mutex<Option<String>>>,
}

impl LocalEnd {
    fn note(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// A datagram with its time of arrival.
type Queued = (Instant, Bytes);

async fn serve(local: LocalEnd, server: TurnServer) {
    let mut sources: Vec<(SocketAddr, mpsc::Sender<Queued>)> = Vec::new();
    let mut streams = JoinSet::new();
    let mut space = vec![0; MESSAGE_MAX];
    loop {
        tokio::select! {
            received = local.socket.recv_from(&mut space) => {
                // An error here concerns an earlier message to a closed socket.
                let Ok((length, source)) = received else { continue };
                let message = &space[..length];
                if let Some((_, queue)) = sources.iter().find(|(known, _)| *known == source) {
                    // The queue is full or closed: the message is dropped, as on a network.
                    let _ = queue.try_send((Instant::now(), Bytes::copy_from_slice(message)));
                } else if opens(message) && sources.len() < SOURCES {
                    let (queue, queued) = mpsc::channel(QUEUE);
                    let _ = queue.try_send((Instant::now(), Bytes::copy_from_slice(message)));
                    sources.push((source, queue));
                    let (local, server) = (local.clone(), server.clone());
                    streams.spawn(async move {
                        carry(&local, &server, source, queued).await;
                        source
                    });
                } else if let Some(refusal) = refusal(message).filter(|_| opens(message)) {
                    let _ = local.socket.try_send_to(&refusal, source);
                }
            }
            Some(ended) = streams.join_next() => {
                sources.retain(|(source, queue)| !queue.is_closed() && ended.as_ref().ok() != Some(source));
            }
        }
    }
}

/// Runs one stream, from its first message to its end.
async fn carry(local: &LocalEnd, server: &TurnServer, source: SocketAddr, mut queued: mpsc::Receiver<Queued>) {
    let url = &server.url;
    let dropped = match dial(url, &server.addresses, server.ca.as_ref(), &server.trust).await {
        Ok(stream) => {
            local.note(None);
            let (ended, dropped) = match stream {
                ServerStream::Tcp(tcp) => pass(local, url, source, &mut queued, tcp).await,
                ServerStream::Tls(tls) => pass(local, url, source, &mut queued, *tls).await,
            };
            local.note(Some(ended));
            dropped
        }
        Err(fault) => {
            local.note(Some(fault));
            // Answered at once, since otherwise the stack would repeat its request for half a minute.
            while let Ok((_, message)) = queued.try_recv() {
                if let Some(refusal) = refusal(&message).filter(|_| is_request(&message)) {
                    let _ = local.socket.try_send_to(&refusal, source);
                }
            }
            0
        }
    };
    let fault = local.fault.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
    debug!("{url}: {fault}; {dropped} messages were dropped on the way out");
}

/// Forwards messages both ways until the stream ends. Returns why it ended, and how many messages were dropped because
/// they were too old.
async fn pass<S: AsyncRead + AsyncWrite>(
    local: &LocalEnd,
    url: &IceUrl,
    source: SocketAddr,
    queued: &mut mpsc::Receiver<Queued>,
    stream: S,
) -> (String, u64) {
    let (mut from, mut to) = split(stream);
    let mut dropped = 0;
    let inbound = async {
        let (mut framer, mut heard) = (StreamFramer::default(), false);
        loop {
            let count = match timeout(IDLE, from.read(framer.room())).await {
                Ok(Ok(0)) if heard => return "closed by the other side".to_owned(),
                Ok(Ok(count)) if count > 0 => count,
                Ok(Err(error)) if heard => return explain(&error, &url.host),
                Ok(Ok(_) | Err(_)) => {
                    return "it closed the connection without an answer; is this the port of a TURN server?".to_owned();
                }
                Err(_) => return format!("no data for {} s", IDLE.as_secs()),
            };
            framer.read(count);
            heard = true;
            loop {
                match framer.next() {
                    // If the loopback buffer is full, the message counts as lost.
                    Ok(Some(message)) => drop(local.socket.try_send_to(message, source)),
                    Ok(None) => break,
                    Err(fault) => return fault.to_string(),
                }
            }
        }
    };
    let outbound = async {
        let mut batch = Vec::with_capacity(BATCH + MESSAGE_MAX);
        while let Some(first) = queued.recv().await {
            let now = Instant::now();
            let mut next = Some(first);
            while let Some((since, message)) = next {
                let is_stale = now.saturating_duration_since(since) > STALE && !is_request(&message);
                if is_stale || !put(&message, &mut batch) {
                    dropped += 1;
                }
                next = if batch.len() < BATCH { queued.try_recv().ok() } else { None };
            }
            let written = timeout(STALLED, async {
                to.write_all(&batch).await?;
                to.flush().await
            });
            match written.await {
                Ok(Ok(())) => batch.clear(),
                Ok(Err(error)) => return explain(&error, &url.host),
                Err(_) => return format!("it accepted no data for {} s", STALLED.as_secs()),
            }
        }
        "no longer needed".to_owned()
    };
    let ended = tokio::select! { ended = inbound => ended, ended = outbound => ended };
    (ended, dropped)
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    fn turn_server(port: u16) -> TurnServer {
        let url = IceUrl::parse(&format!("turn:127.0.0.1:{port}?transport=tcp")).unwrap();
        TurnServer { url: Arc::new(url), addresses: vec![Ipv4Addr::LOCALHOST.into()], ca: None, trust: Arc::default() }
    }

    /// An Allocate request.
    fn allocate() -> Vec<u8> {
        let mut message = vec![0, 3, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([7; 12]);
        message
    }

    async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(20), work).await.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    #[tokio::test]
    async fn what_a_stream_cannot_carry_is_dropped_and_nothing_piles_up() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TurnStream::open(turn_server(server.local_addr().unwrap().port()), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.address()).await.unwrap();
        stack.send(&allocate()).await.unwrap();
        let (mut tcp, _) = within("a connection", server.accept()).await.unwrap();

        // 48 MB of ChannelData, while the server reads nothing.
        let mut media = vec![0x40, 1];
        media.extend(1196_u16.to_be_bytes());
        media.resize(1200, 5);
        const SENT: usize = 40_000;
        for _ in 0..SENT {
            stack.send(&media).await.unwrap();
            tokio::task::yield_now().await;
        }
        // The server finds what the kernel had buffered, and the last message, which is a request and gets through.
        let mut last = allocate();
        last[19] = 8;
        let mut found = Vec::new();
        let reading = async {
            let mut space = vec![0; 64 << 10];
            while !found.ends_with(&last) {
                let count = tcp.read(&mut space).await.unwrap();
                assert!(count > 0);
                found.extend_from_slice(&space[..count]);
            }
        };
        let asking = async {
            loop {
                stack.send(&last).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within("the last word", async {
            tokio::select! { () = reading => {}, () = asking => {} }
        })
        .await;
        assert!(found.len() < SENT * 1200 / 3, "{} bytes were kept", found.len());
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_told_at_once() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let stream = TurnStream::open(turn_server(gone), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.address()).await.unwrap();
        stack.send(&allocate()).await.unwrap();
        let mut space = [0; 100];
        let length = within("an answer", stack.recv(&mut space)).await.unwrap();
        assert_eq!(super::super::framing::error_code(&space[..length]), Some(500));
        assert!(stream.fault().unwrap().contains("connection refused"), "{:?}", stream.fault());
    }

    #[tokio::test]
    async fn words_about_an_allocation_that_is_gone_open_no_stream() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TurnStream::open(turn_server(server.local_addr().unwrap().port()), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.address()).await.unwrap();
        let mut refresh = allocate();
        refresh[1] = 4;
        for message in [&refresh[..], b"\x40\x01\x00\x00", b"", b"\xff"] {
            stack.send(message).await.unwrap();
        }
        stack.send(&allocate()).await.unwrap();
        let (mut tcp, _) = within("a connection", server.accept()).await.unwrap();
        let mut space = [0; 100];
        let length = within("the first message", tcp.read(&mut space)).await.unwrap();
        assert_eq!(space[..length], allocate(), "only a request that may open a stream");
    }
}
