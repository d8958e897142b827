//! ICE over TCP (RFC 6544): the stack's listener and its streams. Each received packet passes the packet filter. A
//! stream is closed if it does not prove within seconds to be the viewer's, or if it does not read.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout, timeout_at},
};
use tracing::debug;
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

use crate::viewer::{
    send::interceptor::SendShared,
    sockets::{
        checks::{CONSENT, PacketPath, Transport},
        filter::{OutboundVerdict, SenderClaim, SharedFilter},
    },
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many streams of a session may be without proof of being the viewer's. One more closes the oldest.
const SILENT: usize = 8;
/// How long a stream may take for the proof. A browser sends its first connectivity check at once.
const PROOF: Duration = Duration::from_secs(5);
/// The longest packet accepted, in bytes. Viewers send less, since packets fit into a path's MTU.
const LONGEST: usize = 2048;
/// How long the stack waits for a stream whose send buffer is full. It does nothing else meanwhile.
const STUCK: Duration = Duration::from_millis(250);
/// The pause after a failed `accept`. The usual cause is a lack of file descriptors, so the next call would fail too.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes per read.
const PIECE: usize = 4096;

/// The streams of one session without proof, the oldest first. `true` closes a stream.
#[derive(Debug, Default)]
pub(crate) struct UnprovenStreams(Mutex<VecDeque<watch::Sender<bool>>>);

impl UnprovenStreams {
    /// Adds a stream.
    fn push(&self, stream: watch::Sender<bool>) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Closed streams have no receiver any more.
        silent.retain(|stream| !*stream.borrow() && stream.receiver_count() > 0);
        if silent.len() >= SILENT
            && let Some(oldest) = silent.pop_front()
        {
            oldest.send_replace(true);
        }
        silent.push_back(stream);
    }

    /// The stream proved to be the viewer's.
    fn remove(&self, stream: &watch::Sender<bool>) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|other| !other.same_channel(stream));
    }
}

/// The stack's listener on one address.
#[derive(Debug)]
pub(crate) struct FilteredListener {
    pub(crate) listener: Arc<dyn AsyncTcpListener>,
    pub(crate) filter: Arc<SharedFilter>,
    pub(crate) shared: Arc<SendShared>,
    pub(crate) silent: Arc<UnprovenStreams>,
}

impl AsyncTcpListener for FilteredListener {
    fn accept<'a>(&'a self) -> BoxFuture<'a, io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>> {
        Box::pin(async move {
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => return Ok((self.stream(stream, peer), peer)),
                    // The stack would log a line and call `accept` again at once.
                    Err(e) => {
                        debug!("accept a TCP connection of a viewer: {e}");
                        sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl FilteredListener {
    fn stream(&self, stream: Arc<dyn AsyncTcpStream>, peer: SocketAddr) -> Arc<dyn AsyncTcpStream> {
        let local = stream.local_addr().or_else(|_| self.listener.local_addr()).unwrap_or(peer);
        let (closed, seen) = watch::channel(false);
        self.silent.push(closed.clone());
        Arc::new(TcpStream {
            stream,
            path: PacketPath { local, transport: Transport::Tcp, peer },
            filter: Arc::clone(&self.filter),
            shared: Arc::clone(&self.shared),
            silent: Arc::clone(&self.silent),
            closed,
            reading: tokio::sync::Mutex::new(ReadState::new(Instant::now() + PROOF, seen)),
        })
    }
}

/// One TCP stream from a viewer.
#[derive(Debug)]
struct TcpStream {
    stream: Arc<dyn AsyncTcpStream>,
    path: PacketPath,
    filter: Arc<SharedFilter>,
    shared: Arc<SendShared>,
    silent: Arc<UnprovenStreams>,
    /// Whether the stream was closed by us. The stack sees the end of the stream, for which it logs nothing.
    closed: watch::Sender<bool>,
    /// Used by the one reader.
    reading: tokio::sync::Mutex<ReadState>,
}

#[derive(Debug)]
struct ReadState {
    frames: Frames,
    /// The deadline for the next accepted packet.
    until: Instant,
    closed: watch::Receiver<bool>,
}

impl ReadState {
    fn new(until: Instant, closed: watch::Receiver<bool>) -> Self {
        Self { frames: Frames::default(), until, closed }
    }
}

/// Packets with a length prefix (RFC 4571): the bytes received, and the framed packets that were accepted.
#[derive(Debug, Default)]
struct Frames {
    came: Vec<u8>,
    taken: VecDeque<u8>,
}

impl Frames {
    /// Adds received bytes, and keeps the packets for which `is_let_in` is true. Returns `false` if a packet is too
    /// long.
    fn take(&mut self, piece: &[u8], mut is_let_in: impl FnMut(&[u8]) -> bool) -> bool {
        self.came.extend_from_slice(piece);
        let mut rest = &self.came[..];
        while let [a, b, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*a, *b]));
            if length > LONGEST {
                return false;
            }
            let Some(packet) = after.get(..length) else { break };
            if is_let_in(packet) {
                self.taken.extend(&rest[..2 + length]);
            }
            rest = &after[length..];
        }
        let done = self.came.len() - rest.len();
        self.came.drain(..done);
        true
    }

    /// Copies as many accepted bytes as fit into `space`, and returns how many.
    fn give(&mut self, space: &mut [u8]) -> usize {
        let count = space.len().min(self.taken.len());
        space.iter_mut().zip(self.taken.drain(..count)).for_each(|(to, byte)| *to = byte);
        count
    }
}

impl TcpStream {
    /// Reads until a packet was accepted. Returns 0 at the end of the stream, whatever the cause.
    async fn read_on(&self, space: &mut [u8]) -> usize {
        let mut reading = self.reading.lock().await;
        let ReadState { frames, until, closed } = &mut *reading;
        let mut piece = [0; PIECE];
        loop {
            let given = frames.give(space);
            if given > 0 {
                return given;
            }
            let read = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return 0,
                read = timeout_at((*until).into(), self.stream.read(&mut piece)) => read,
            };
            let Ok(Ok(count @ 1..)) = read else { return 0 };
            let now = Instant::now();
            let is_let_in = |packet: &[u8]| {
                let PacketPath { local, transport, peer } = self.path;
                let (answer, claim) = self.filter.lock().incoming(local, transport, peer, packet, now, &*self.shared);
                if claim == SenderClaim::Signed {
                    self.silent.remove(&self.closed);
                }
                if answer.is_ok() {
                    *until = now + CONSENT;
                }
                answer.is_ok()
            };
            if !frames.take(&piece[..count], is_let_in) {
                return 0;
            }
        }
    }

    async fn write(&self, framed: &[u8]) {
        let PacketPath { local, transport, peer } = self.path;
        let packet = framed.get(2..).unwrap_or_default();
        let leaving = self.filter.lock().outgoing(local, transport, peer, packet, Instant::now());
        if leaving == OutboundVerdict::HeldBack || *self.closed.borrow() {
            return;
        }
        if !matches!(timeout(STUCK, self.stream.write_all(framed)).await, Ok(Ok(()))) {
            debug!("a viewer does not read its TCP connection: closing it");
            self.closed.send_replace(true);
        }
    }
}

impl AsyncTcpStream for TcpStream {
    fn read<'a, 'b>(&'a self, buf: &'b mut [u8]) -> BoxFuture<'b, io::Result<usize>>
    where
        'a: 'b,
    {
        Box::pin(async move { Ok(self.read_on(buf).await) })
    }

    fn write_all<'a, 'b>(&'a self, buf: &'b [u8]) -> BoxFuture<'b, io::Result<()>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            self.write(buf).await;
            Ok(())
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_let_in_one_by_one_however_they_are_cut() {
        let whole = [&[0, 3][..], b"yes", &[0, 2], b"no", &[0, 0], &[0, 4], b"yes!"].concat();
        let expected = [&[0, 3][..], b"yes", &[0, 4], b"yes!"].concat();
        for size in 1..=whole.len() {
            let (mut frames, mut given, mut space) = (Frames::default(), Vec::new(), [0; 5]);
            for piece in whole.chunks(size) {
                assert!(frames.take(piece, |packet| packet.starts_with(b"yes")));
                loop {
                    let count = frames.give(&mut space);
                    given.extend(&space[..count]);
                    if count == 0 {
                        break;
                    }
                }
            }
            assert_eq!((given, frames.came.len()), (expected.clone(), 0), "{size}");
        }
        let mut frames = Frames::default();
        assert!(frames.take(&[8, 0], |_| true), "2048");
        assert!(!Frames::default().take(&[8, 1], |_| true));
    }

    /// A listener whose `accept` fails for lack of file descriptors.
    #[derive(Debug, Default)]
    struct Exhausted(std::sync::atomic::AtomicU32);

    impl AsyncTcpListener for Exhausted {
        fn accept<'a>(&'a self) -> BoxFuture<'a, io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async { Err(io::Error::from_raw_os_error(libc::EMFILE)) })
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
        }
    }

    #[tokio::test]
    async fn an_accept_that_fails_is_not_tried_again_at_once_and_never_fails_for_the_stack() {
        let exhausted = Arc::new(Exhausted::default());
        let login = crate::viewer::sockets::checks::LoginBuckets::default().of("anna", Instant::now());
        let listener = FilteredListener {
            listener: Arc::clone(&exhausted) as Arc<dyn AsyncTcpListener>,
            filter: Arc::new(SharedFilter::new(login, true)),
            shared: Arc::default(),
            silent: Arc::default(),
        };
        assert!(timeout(PAUSE * 5 / 2, listener.accept()).await.is_err(), "it keeps trying");
        let tries = exhausted.0.load(std::sync::atomic::Ordering::Relaxed);
        assert!((2..=3).contains(&tries), "{tries} in 2.5 s");
    }

    #[test]
    fn of_those_that_say_nothing_the_oldest_go() {
        let silent = UnprovenStreams::default();
        let streams: Vec<_> = (0..20).map(|_| watch::channel(false)).collect();
        for (n, (stream, _)) in streams.iter().enumerate() {
            silent.push(stream.clone());
            if n == 0 {
                silent.remove(stream);
            }
        }
        let closed: Vec<_> = streams.iter().map(|(_, seen)| *seen.borrow()).collect();
        assert!(!closed[0], "it proved itself");
        assert!(closed[1..12].iter().all(|closed| *closed) && !closed[12..].contains(&true), "{closed:?}");
        // Streams that ended by themselves do not count.
        drop(streams);
        let (stream, seen) = watch::channel(false);
        (0..SILENT).for_each(|_| silent.push(watch::channel(false).0));
        silent.push(stream);
        assert!(!*seen.borrow() && silent.0.lock().unwrap().len() <= SILENT);
    }
}
