//! TURN over TCP and TLS, for a stack that speaks TURN by UDP only.
//!
//! ```text
//! stack ── UDP ──► 127.0.0.1:port ── queue (64) ──► TCP or TLS ──► server     one stream per socket of the stack
//!       ◄── UDP ──                ◄────────────────────────────
//! ```
//! It works because STUN vouches for its messages and not for what carries them. The stream stands in for a network: where
//! it does not keep up, what waits too long is dropped, and the stack's congestion control sees a loss. A stream that
//! breaks takes its allocation with it; ICE notices that its pair is gone and begins anew, from new sockets, for which
//! new streams are made.

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
    dial::{Stream, Trust, dial, explain},
    framing::{MESSAGE_MAX, StreamFramer, is_request, opens, put, refusal},
    url::Url,
};

/// Sockets of the stack that are served: one for each address of the board. More are refused.
const SOURCES: usize = 16;
/// Messages that wait for a stream; when it is full the next one is dropped.
const QUEUE: usize = 64;
/// How long media may wait for a stream before it is of no use.
const STALE: Duration = Duration::from_millis(250);
/// Bytes that are written at once: a picture in one TLS record or two and not in fifty.
const BATCH: usize = 12 << 10;
/// How long one write may take.
const STALLED: Duration = Duration::from_secs(10);
/// A stream on which nothing is said for so long belongs to a socket that is gone: allocations are refreshed more often.
const IDLE: Duration = Duration::from_secs(60);

/// Where a stream goes to.
#[derive(Debug, Clone)]
pub(super) struct TurnServer {
    pub(super) url: Arc<Url>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ca: Option<PathBuf>,
    pub(super) trust: Arc<Trust>,
}

/// A TURN server by TCP or TLS, as a UDP address on loopback. It lasts as long as this value.
#[derive(Debug)]
pub struct TurnStream {
    place: SocketAddr,
    fault: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl TurnStream {
    /// Listens on loopback; the server is only connected to when somebody asks for it there.
    pub(super) fn open(far: TurnServer, ipv4: bool) -> io::Result<Self> {
        let loopback: IpAddr = if ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let socket = std::net::UdpSocket::bind((loopback, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let place = socket.local_addr()?;
        let fault = Arc::default();
        let near = LocalEnd { socket, fault: Arc::clone(&fault) };
        Ok(Self { place, fault, task: tokio::spawn(serve(near, far)) })
    }

    /// Where the stack finds the server.
    pub fn place(&self) -> SocketAddr {
        self.place
    }

    /// What went wrong last: which step, and what was said.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        // The server frees the allocations of a stream that ends.
        self.task.abort();
    }
}

/// The stack's side.
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

/// A datagram, and when it came.
type Queued = (Instant, Bytes);

async fn serve(near: LocalEnd, far: TurnServer) {
    let mut sources: Vec<(SocketAddr, mpsc::Sender<Queued>)> = Vec::new();
    let mut streams = JoinSet::new();
    let mut space = vec![0; MESSAGE_MAX];
    loop {
        tokio::select! {
            received = near.socket.recv_from(&mut space) => {
                // An error here is about an earlier answer to a socket that is gone.
                let Ok((length, source)) = received else { continue };
                let message = &space[..length];
                if let Some((_, queue)) = sources.iter().find(|(known, _)| *known == source) {
                    // Full or gone: dropped, as on a network.
                    let _ = queue.try_send((Instant::now(), Bytes::copy_from_slice(message)));
                } else if opens(message) && sources.len() < SOURCES {
                    let (queue, queued) = mpsc::channel(QUEUE);
                    let _ = queue.try_send((Instant::now(), Bytes::copy_from_slice(message)));
                    sources.push((source, queue));
                    let (near, far) = (near.clone(), far.clone());
                    streams.spawn(async move {
                        carry(&near, &far, source, queued).await;
                        source
                    });
                } else if let Some(refusal) = refusal(message).filter(|_| opens(message)) {
                    let _ = near.socket.try_send_to(&refusal, source);
                }
            }
            Some(ended) = streams.join_next() => {
                sources.retain(|(source, queue)| !queue.is_closed() && ended.as_ref().ok() != Some(source));
            }
        }
    }
}

/// One stream, from its first message to its end.
async fn carry(near: &LocalEnd, far: &TurnServer, source: SocketAddr, mut queued: mpsc::Receiver<Queued>) {
    let url = &far.url;
    let dropped = match dial(url, &far.addresses, far.ca.as_ref(), &far.trust).await {
        Ok(stream) => {
            near.note(None);
            let (ended, dropped) = match stream {
                Stream::Tcp(tcp) => pass(near, url, source, &mut queued, tcp).await,
                Stream::Tls(tls) => pass(near, url, source, &mut queued, *tls).await,
            };
            near.note(Some(ended));
            dropped
        }
        Err(fault) => {
            near.note(Some(fault));
            // Told at once: the stack would ask again for half a minute before it gives up.
            while let Ok((_, message)) = queued.try_recv() {
                if let Some(refusal) = refusal(&message).filter(|_| is_request(&message)) {
                    let _ = near.socket.try_send_to(&refusal, source);
                }
            }
            0
        }
    };
    let fault = near.fault.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
    debug!("{url}: {fault}; {dropped} messages were dropped on the way out");
}

/// Carries messages both ways until the stream ends; gives why, and how many messages were too old to be sent.
async fn pass<S: AsyncRead + AsyncWrite>(
    near: &LocalEnd,
    url: &Url,
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
                    return "it hung up without a word; is this the port of a TURN server?".to_owned();
                }
                Err(_) => return format!("nothing was said for {} s", IDLE.as_secs()),
            };
            framer.read(count);
            heard = true;
            loop {
                match framer.next() {
                    // A full buffer of loopback is a loss like any other.
                    Ok(Some(message)) => drop(near.socket.try_send_to(message, source)),
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
                Err(_) => return format!("it took nothing for {} s", STALLED.as_secs()),
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

    fn far(port: u16) -> TurnServer {
        let url = Url::parse(&format!("turn:127.0.0.1:{port}?transport=tcp")).unwrap();
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
        let stream = TurnStream::open(far(server.local_addr().unwrap().port()), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.place()).await.unwrap();
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
        // What it finds in the end is what the kernel held, and the last word, which is a request and goes through.
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
        let stream = TurnStream::open(far(gone), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.place()).await.unwrap();
        stack.send(&allocate()).await.unwrap();
        let mut space = [0; 100];
        let length = within("an answer", stack.recv(&mut space)).await.unwrap();
        assert_eq!(super::super::framing::error_code(&space[..length]), Some(500));
        assert!(stream.fault().unwrap().contains("connection refused"), "{:?}", stream.fault());
    }

    #[tokio::test]
    async fn words_about_an_allocation_that_is_gone_open_no_stream() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TurnStream::open(far(server.local_addr().unwrap().port()), true).unwrap();
        let stack = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stack.connect(stream.place()).await.unwrap();
        let mut refresh = allocate();
        refresh[1] = 4;
        for message in [&refresh[..], b"\x40\x01\x00\x00", b"", b"\xff"] {
            stack.send(message).await.unwrap();
        }
        stack.send(&allocate()).await.unwrap();
        let (mut tcp, _) = within("a connection", server.accept()).await.unwrap();
        let mut space = [0; 100];
        let length = within("the first message", tcp.read(&mut space)).await.unwrap();
        assert_eq!(space[..length], allocate(), "only what may open a stream");
    }
}
