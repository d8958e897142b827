//! The stack's way to the sockets: tokio's own, with a `Latch` in front of each UDP socket.

use std::{
    future::Future,
    io,
    io::IoSliceMut,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tracing::info;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use super::{feedback::Said, rebind::Latch};

type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One connection's runtime.
#[derive(Debug)]
pub(super) struct Followed {
    /// Who is followed, for the log.
    pub(super) viewer: String,
    pub(super) said: Arc<Said>,
}

impl Runtime for Followed {
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        let (viewer, said) = (self.viewer.clone(), Arc::clone(&self.said));
        Ok(Arc::new(Socket { socket, viewer, said, latch: Mutex::default() }))
    }

    fn spawn(&self, future: Waiting<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, size: usize, future: Waiting<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(size, future)
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Waiting<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Waiting<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Waiting<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Waiting<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        TokioRuntime.name()
    }
}

#[derive(Debug)]
struct Socket {
    socket: Arc<dyn AsyncUdpSocket>,
    viewer: String,
    said: Arc<Said>,
    /// Of the connection's driver alone: never waited for.
    latch: Mutex<Latch>,
}

impl Socket {
    fn arrived(&self, from: SocketAddr, packet: &[u8], now: Instant) -> SocketAddr {
        let mut latch = self.latch.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = latch.incoming(from, packet, now, || self.said.password());
        drop(latch);
        if arrival.found {
            info!("viewer {}: followed to another address of its network", self.viewer);
            self.said.wish_key();
        }
        arrival.from
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let mut latch = self.latch.lock().unwrap_or_else(PoisonError::into_inner);
        let way = latch.outgoing(transmit.destination, transmit.contents, Instant::now());
        drop(latch);
        let sending = |destination| Transmit { destination, ..*transmit };
        if let Some(also) = way.also {
            // A check like others: one that is lost is followed by the next.
            let _ = self.socket.poll_send(cx, &sending(also));
        }
        self.socket.poll_send(cx, &sending(way.to))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.socket.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(n)) = polled {
            let now = Instant::now();
            for (buf, meta) in bufs.iter().zip(meta.iter_mut()).take(n) {
                // Packets that the kernel handed over as one are of one sender.
                let (from, packets) = (meta.addr, buf.get(..meta.len).unwrap_or_default());
                for packet in packets.chunks(meta.stride.max(1)) {
                    meta.addr = self.arrived(from, packet, now);
                }
            }
        }
        polled
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}
