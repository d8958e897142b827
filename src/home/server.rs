//! The HTTPS server of home mode: accepts, limits, TLS, HTTP/1.1. What it answers is in `site`.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    credentials::Credentials,
    plain::{self, FirstBytes},
    requests::{LinkRefusal, RequestLinks},
    site::{self, Site, SiteAnswer},
    slots::{ConnectionSlot, Slots},
    tunnel::{self, MESSAGE, TunnelLimits},
};

/// The pause after a failed `accept`, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest head of a request, in bytes. hyper needs at least 8 KiB.
const HEAD: usize = 16 << 10;
/// Most header lines of a request.
const HEADERS: usize = 48;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 64;

/// What the server allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at a time, in all.
    pub connections: usize,
    /// Connections at a time of one address.
    pub each: usize,
    /// Until the TLS handshake is done.
    pub handshake: Duration,
    /// Until the head of a request is whole, also of the next request on a connection.
    pub head: Duration,
    /// The life of a connection that is no WebSocket. A browser opens another one.
    pub life: Duration,
    /// For the WebSockets.
    pub tunnel: TunnelLimits,
}

impl Default for ServerLimits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { connections: 64, each: 16, handshake: s(10), head: s(10), life: s(120), tunnel: TunnelLimits::default() }
    }
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct HomeServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    credentials: Credentials,
    site: Site,
    broker: SocketAddr,
    limits: ServerLimits,
    slots: Arc<Mutex<Slots>>,
    links: RequestLinks,
}

/// Listens on this port of all addresses: of IPv6 and IPv4, or of IPv4 if the kernel has no IPv6.
pub fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).or_else(|error| match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        _ => Err(error),
    })
}

/// Listens on one address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // After a restart, connections of before may still wait for their end.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl HomeServer {
    /// A server for this site. `broker` is the broker's port on loopback.
    pub fn new(
        listener: TcpListener,
        credentials: Credentials,
        site: Site,
        broker: SocketAddr,
        limits: ServerLimits,
    ) -> Self {
        let slots = Slots::new(limits.connections, limits.each);
        Self {
            listener,
            shared: Arc::new(Shared { credentials, site, broker, limits, slots, links: RequestLinks::default() }),
        }
    }

    /// Serves for ever. Dropping the future closes all connections.
    pub async fn run(self) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_ended) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => match ConnectionSlot::take(&self.shared.slots, from.ip()) {
                    Ok(slot) => drop(connections.spawn(connection(stream, slot, Arc::clone(&self.shared)))),
                    Err(why) => debug!("home: {} is refused: {why}", from.ip()),
                },
                Err(error) => {
                    debug!("home: accept: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection until its end.
async fn connection(stream: TcpStream, slot: ConnectionSlot, shared: Arc<Shared>) {
    let Ok(from) = stream.peer_addr() else { return };
    let why = match timeout(shared.limits.handshake, handshake(stream, &shared)).await {
        Ok(Ok(Some(stream))) => http(stream, &shared).await,
        Ok(Ok(None)) => "it spoke plain HTTP".into(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the TLS handshake takes too long".into(),
    };
    debug!("home: {}: {why}", from.ip());
    drop(slot);
}

/// Makes a TLS connection. `None`: the client spoke HTTP in clear and was told where the page is.
async fn handshake(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<Option<TlsStream<TcpStream>>> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match plain::first_bytes(first[0]) {
        FirstBytes::Tls => {}
        FirstBytes::Http => {
            let mut request = Vec::new();
            while !plain::is_whole(&request) && stream.read_buf(&mut request).await? > 0 {}
            stream.write_all(&plain::answer(&request)).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
        FirstBytes::Other => return Err(io::Error::other("neither TLS nor HTTP")),
    }
    let local = stream.local_addr()?.ip();
    let credentials = shared.credentials.clone();
    // The first connection to an address waits for its certificate to be written to disk.
    let config = tokio::task::spawn_blocking(move || credentials.config(local)).await.map_err(io::Error::other)?;
    TlsAcceptor::from(config.map_err(io::Error::other)?).accept(stream).await.map(Some)
}

/// What a connection has become.
#[derive(Debug, Default)]
struct Becomes {
    /// It becomes a WebSocket.
    upgrade: Mutex<Option<OnUpgrade>>,
    /// Its response carries MQTT. The moment is when the page last sent something.
    heard: Mutex<Option<watch::Receiver<Instant>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves HTTP, and then the WebSocket if the connection becomes one. Returns why it ended.
async fn http(stream: TlsStream<TcpStream>, shared: &Arc<Shared>) -> String {
    let becomes = Arc::new(Becomes::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, becomes) = (Arc::clone(shared), Arc::clone(&becomes));
        async move { Ok::<_, Infallible>(answer(request, &shared, &becomes).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let ended = tokio::select! {
        ended = connection => ended.map_or_else(|error| error.to_string(), |()| "done".into()),
        () = life(&becomes, &shared.limits) => "the connection is old enough".into(),
    };
    let Some(upgraded) = lock(&becomes.upgrade).take() else { return ended };
    match timeout(shared.limits.handshake, upgraded).await {
        Ok(Ok(stream)) => {
            let board = shared.site.device().as_str();
            tunnel::run(TokioIo::new(stream), shared.broker, board, shared.limits.tunnel).await
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the WebSocket does not begin".into(),
    }
}

/// Returns when a connection has lived long enough. One that carries MQTT lives for as long as its page sends
/// something.
async fn life(becomes: &Becomes, limits: &ServerLimits) {
    sleep(limits.life).await;
    loop {
        let Some(heard) = lock(&becomes.heard).as_ref().map(|heard| *heard.borrow()) else { return };
        let until = heard + limits.tunnel.silence;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// Answers a request.
async fn answer(request: Request<Incoming>, shared: &Shared, becomes: &Becomes) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let token = match shared.site.answer(&parts) {
        SiteAnswer::Respond(response) => return response,
        SiteAnswer::Mqtt(response) => {
            *lock(&becomes.upgrade) = parts.extensions.remove::<OnUpgrade>();
            return response;
        }
        SiteAnswer::Open => None,
        SiteAnswer::Send(token) => Some(token),
    };
    let limits = shared.limits.tunnel;
    let read = timeout(limits.patience, to_bytes(Body::new(body), MESSAGE)).await;
    let Ok(Ok(bytes)) = read else { return site::empty(StatusCode::PAYLOAD_TOO_LARGE) };
    let Some(token) = token else {
        return match shared.links.open(&bytes, shared.broker, shared.site.device().as_str(), limits).await {
            Ok(opened) => {
                *lock(&becomes.heard) = Some(opened.heard);
                site::opened(&opened.token, opened.body)
            }
            Err(LinkRefusal::Packet(why)) => {
                debug!("home: a request: {why}");
                site::empty(StatusCode::FORBIDDEN)
            }
            Err(LinkRefusal::Broker) => site::empty(StatusCode::BAD_GATEWAY),
        };
    };
    match shared.links.send(&token, &bytes, limits).await {
        true => site::empty(StatusCode::NO_CONTENT),
        false => site::empty(StatusCode::NOT_FOUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_serves_both_families() {
        let listener = listen_everywhere(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let taken = listen_everywhere(port).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
