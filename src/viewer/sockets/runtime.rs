//! The stack's runtime: tokio's, with the packet filter and a peer tracker before each UDP socket, and the packet
//! filter before each TCP stream (`tcp.rs`).

use std::{
    future::Future,
    io,
    io::IoSliceMut,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tracing::info;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use crate::{
    ice::SessionServers,
    viewer::{
        send::interceptor::SendShared,
        sockets::{
            checks::{PacketPath, Transport},
            filter::{OutboundVerdict, SharedFilter},
            rebind::PeerTracker,
            stun::{StunMessage, Transaction, is_mdns, is_mdns_answer},
            tcp::{FilteredListener, UnprovenStreams},
        },
    },
};

/// How many refused packets are skipped in one call. Otherwise, the stack's loop would run through all its work for
/// each.
const READ_ON: usize = 16;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime of one connection.
#[derive(Debug)]
pub(crate) struct RebindRuntime {
    /// The viewer's login, for the log.
    viewer: String,
    shared: Arc<SendShared>,
    filter: Arc<SharedFilter>,
    servers: Arc<SessionServers>,
    /// TCP streams without proof that they are the viewer's.
    silent: Arc<UnprovenStreams>,
    ended: watch::Sender<bool>,
    /// Whether the first task was started; it is the connection's driver.
    drives: AtomicBool,
}

impl RebindRuntime {
    /// `ended` becomes true when the connection's driver ends, for any reason.
    pub(crate) fn new(
        viewer: String,
        shared: Arc<SendShared>,
        filter: Arc<SharedFilter>,
        servers: Arc<SessionServers>,
        ended: watch::Sender<bool>,
    ) -> Self {
        Self { viewer, shared, filter, servers, silent: Arc::default(), ended, drives: AtomicBool::new(false) }
    }
}

/// Reports that it was dropped.
struct SignalsEnd(watch::Sender<bool>);

impl Drop for SignalsEnd {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Runtime for RebindRuntime {
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        let (viewer, shared, filter) = (self.viewer.clone(), Arc::clone(&self.shared), Arc::clone(&self.filter));
        let servers = Arc::clone(&self.servers);
        Ok(Arc::new(FilteredSocket { socket, local, viewer, shared, filter, servers, tracker: Mutex::default() }))
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) -> Box<dyn JoinHandle> {
        if self.drives.swap(true, Ordering::AcqRel) {
            return TokioRuntime.spawn(future);
        }
        let ended = SignalsEnd(self.ended.clone());
        TokioRuntime.spawn(Box::pin(async move {
            let _ended = ended;
            future.await;
        }))
    }

    fn spawn_reactor(&self, size: usize, future: BoxFuture<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(size, future)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        let listener = TokioRuntime.wrap_tcp_listener(listener)?;
        let (filter, shared, silent) = (Arc::clone(&self.filter), Arc::clone(&self.shared), Arc::clone(&self.silent));
        Ok(Arc::new(FilteredListener { listener, filter, shared, silent }))
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> BoxFuture<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> BoxFuture<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        TokioRuntime.name()
    }
}

#[derive(Debug)]
struct FilteredSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    viewer: String,
    shared: Arc<SendShared>,
    filter: Arc<SharedFilter>,
    servers: Arc<SessionServers>,
    /// Used by the connection's driver only, so nobody waits for it.
    tracker: Mutex<PeerTracker>,
}

impl FilteredSocket {
    fn path(&self, peer: SocketAddr) -> PacketPath {
        PacketPath { local: self.local, transport: Transport::Udp, peer }
    }

    /// The sender's address that the stack sees; `None` if the packet is refused. A response to a check of our own
    /// becomes one to the stack's.
    fn arrived(&self, from: SocketAddr, packet: &mut [u8], now: Instant) -> Option<SocketAddr> {
        if is_mdns(self.local) {
            return is_mdns_answer(from, packet).then_some(from);
        }
        let mut gate = self.filter.lock();
        let (answer, claim) = gate.incoming(self.local, Transport::Udp, from, packet, now, &*self.shared);
        while let Some(verdict) = gate.found_out() {
            self.servers.note(verdict.server, verdict.turn, verdict.outcome);
        }
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = tracker.incoming(from, packet, claim, now, || self.shared.password());
        drop(tracker);
        if arrival.found.is_some() {
            gate.found(self.path(from), now);
        }
        drop(gate);
        if let Some(stacks) = arrival.found {
            let password = self.shared.password()?;
            let renewed = StunMessage::read(packet)?.renewed(stacks, password.as_bytes())?;
            if renewed.len() == packet.len() {
                packet.copy_from_slice(&renewed);
            }
            info!("viewer {}: its NAT changed the port; sending to the new one", self.viewer);
            self.shared.request_keyframe();
        }
        answer.is_ok().then_some(arrival.from)
    }

    /// Filters datagrams that the kernel delivered together (GRO); all are from one sender. The accepted ones are moved
    /// together. Returns the sender that the stack sees, and how many bytes remain.
    fn sift(&self, buffer: &mut [u8], from: SocketAddr, stride: usize, now: Instant) -> (SocketAddr, usize) {
        let (mut sender, mut kept, mut at) = (from, 0, 0);
        while at < buffer.len() {
            let end = buffer.len().min(at + stride);
            if let Some(from) = self.arrived(from, &mut buffer[at..end], now) {
                sender = from;
                buffer.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        (sender, kept)
    }

    /// A check of our own, made from one of the stack's.
    fn own_check(&self, check: &[u8]) -> Option<Vec<u8>> {
        let mut transaction = Transaction::default();
        getrandom::fill(&mut transaction).ok()?;
        let password = self.shared.password()?;
        StunMessage::read(check)?.renewed(transaction, password.as_bytes())
    }

    /// Sends one datagram, or several of the same size to the same address (GSO).
    fn send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        if is_mdns(self.local) {
            return self.socket.poll_send(cx, transmit);
        }
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let destinations = tracker.outgoing(transmit.destination, transmit.contents, now);
        drop(tracker);
        let mut gate = self.filter.lock();
        let leaving = gate.outgoing(self.local, Transport::Udp, destinations.to, transmit.contents, now);
        let probe = destinations.probe.and_then(|to| {
            let check = self.own_check(transmit.contents)?;
            gate.probe(self.path(to), &check, now).then_some((to, check))
        });
        drop(gate);
        let sending = |destination| Transmit { destination, ..*transmit };
        if let Some((destination, check)) = probe {
            self.tracker.lock().unwrap_or_else(PoisonError::into_inner).probed(&check, transmit.contents);
            // If it is lost, another one follows with the next check of the stack.
            let _ =
                self.socket.poll_send(cx, &Transmit { destination, contents: &check, segment_size: None, ..*transmit });
        }
        match leaving {
            OutboundVerdict::HeldBack => Poll::Ready(Ok(transmit.contents.len())),
            OutboundVerdict::ToServer => self.socket.poll_send(cx, &sending(destinations.to)),
            // If the network is down, the packet counts as lost. Otherwise, the stack would log a line for each packet.
            OutboundVerdict::ToViewer => match self.socket.poll_send(cx, &sending(destinations.to)) {
                Poll::Ready(Err(_)) => Poll::Ready(Ok(transmit.contents.len())),
                polled => polled,
            },
        }
    }
}

impl AsyncUdpSocket for FilteredSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let Some(size) = transmit.segment_size.filter(|size| *size > 0 && matches!(transmit.contents, [0..=3, ..]))
        else {
            return self.send(cx, transmit);
        };
        // Each check is filtered on its own.
        for contents in transmit.contents.chunks(size) {
            let one = Transmit { contents, segment_size: None, ..*transmit };
            match self.send(cx, &one) {
                // Checks that were sent must not be sent twice, so the rest is dropped.
                Poll::Pending => break,
                polled if matches!(polled, Poll::Ready(Err(_))) => return polled,
                Poll::Ready(_) => {}
            }
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READ_ON {
            let Poll::Ready(read) = self.socket.poll_recv(cx, bufs, meta) else { return Poll::Pending };
            let (count, now) = (read?, Instant::now());
            let mut kept = 0;
            for (buffer, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(count) {
                let Some(datagrams) = buffer.get_mut(..meta.len) else { continue };
                (meta.addr, meta.len) = self.sift(datagrams, meta.addr, meta.stride.max(1), now);
                kept += meta.len;
            }
            if kept > 0 {
                return Poll::Ready(Ok(count));
            }
        }
        // Nothing was accepted so far, but more may be waiting.
        for meta in meta.iter_mut() {
            meta.len = 0;
        }
        Poll::Ready(Ok(1))
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sockets::checks::LoginBuckets;

    fn runtime() -> (RebindRuntime, watch::Receiver<bool>) {
        let (ended, seen) = watch::channel(false);
        let login = LoginBuckets::default().of("anna", Instant::now());
        (
            RebindRuntime::new(
                "anna".into(),
                Arc::default(),
                Arc::new(SharedFilter::new(login, true)),
                Arc::default(),
                ended,
            ),
            seen,
        )
    }

    #[tokio::test]
    async fn a_driver_that_ends_is_noticed_whatever_it_ends_of() {
        let panics = async { panic!("on purpose") };
        for driver in [Box::pin(async {}) as BoxFuture<'static, ()>, Box::pin(panics)] {
            let (runtime, mut seen) = runtime();
            assert!(!*seen.borrow());
            runtime.spawn(driver);
            seen.wait_for(|ended| *ended).await.unwrap();
        }
        let (runtime, mut seen) = runtime();
        let driver = runtime.spawn(Box::pin(std::future::pending()));
        // Other tasks of the connection may end.
        let (done, mut is_done) = watch::channel(false);
        runtime.spawn(Box::pin(async move {
            done.send_replace(true);
        }));
        is_done.wait_for(|done| *done).await.unwrap();
        assert!(!*seen.borrow());
        driver.abort();
        seen.wait_for(|ended| *ended).await.unwrap();
    }
}
