//! The byte stream under MQTT: name lookup, TCP, TLS. It is done here and not by the MQTT client, so that each failure
//! can be explained, an address that does not answer does not hide the next one, and a dead peer is noticed. WebSocket
//! frames are read here too (`websocket.rs`), and messages that are too large are skipped (`oversized.rs`), before the
//! MQTT client sees them.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{self, pki_types::ServerName},
};

use crate::{
    broker::{
        client::{PACKET_MAX, websocket_refused, websocket_url},
        link_error::{LinkError, LinkErrorKind, Step},
        oversized::{OversizedSkipper, SkipMarks},
        tls,
        websocket::{self, Frames},
    },
    config::{self, MqttTransport, MqttVersion},
};

/// The longest time from the name lookup to the broker's answer to the login.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// The address of the board that the connection is bound to, while there is one.
pub(super) type Local = Mutex<Option<IpAddr>>;

/// Bytes that are read at once.
const READ: usize = 8 << 10;
/// While a large message is skipped, the client gets an answer to its ping this often. The broker's answer waits behind
/// the message.
const ALIVE: Duration = Duration::from_millis(500);
/// After this time without a byte, the rest of a message is no longer expected.
const STALLED: Duration = Duration::from_secs(10);
/// The answer to a ping (MQTT 3.1.1 and 5, section 3.13).
const PINGRESP: [u8; 2] = [0xd0, 0];

/// What happened below MQTT. It explains failures.
#[derive(Debug)]
pub(super) struct TransportNotes {
    noted: Mutex<Noted>,
    marks: SkipMarks,
    local: Arc<Local>,
}

#[derive(Debug, Default)]
struct Noted {
    /// A description of the current action, and its step.
    doing: String,
    step: Step,
    /// The first failure. Later ones are its consequences.
    link_error: Option<LinkError>,
    /// The last bytes that were read.
    tail: [u8; 3],
    /// When the last byte of a skipped message came.
    skipping: Option<Instant>,
}

impl TransportNotes {
    /// Notes of a new connection. `local` is set to the address that it is bound to.
    pub(super) fn new(local: Arc<Local>) -> Self {
        let mut random = [0; 16];
        // Without random numbers, a sender could make a small message look like a skipped one. This gains nothing.
        let _ = getrandom::fill(&mut random);
        Self { noted: Mutex::default(), marks: SkipMarks::new(random), local }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Noted) -> T) -> T {
        f(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn doing(&self, step: Step, what: impl Into<String>) {
        self.with(|noted| (noted.step, noted.doing) = (step, what.into()));
    }

    /// A description of the current action, and its step.
    fn now(&self) -> (Step, String) {
        self.with(|noted| (noted.step, noted.doing.clone()))
    }

    fn read(&self, bytes: &[u8]) {
        self.with(|noted| {
            for byte in &bytes[bytes.len().saturating_sub(noted.tail.len())..] {
                noted.tail = [noted.tail[1], noted.tail[2], *byte];
            }
        });
    }

    /// The true length of a message whose payload was skipped.
    pub(super) fn skipped(&self, payload: &[u8]) -> Option<usize> {
        self.marks.length(payload)
    }

    /// Whether a large message is arriving, so that what follows it has to wait.
    pub(super) fn is_skipping(&self) -> bool {
        self.with(|noted| noted.skipping.is_some_and(|at| at.elapsed() < STALLED))
    }

    /// The reason of a DISCONNECT without properties that ended the stream. The MQTT client takes this short form
    /// (MQTT 5, section 3.14.2.2.1) for the beginning of a longer one, and loses the reason.
    pub(super) fn dismissal(&self) -> Option<u8> {
        self.with(|noted| match noted.tail {
            [0xe0, 1, reason] => Some(reason),
            _ => None,
        })
    }

    /// The broker accepted the login. Later failures are failures of the connection.
    pub(super) fn logged_in(&self) {
        self.doing(Step::Login, "connection");
    }

    /// The cause of an I/O error that came up through MQTT: a failure of `dial` or of TLS. `None` if the stream just
    /// ended: then the caller knows more.
    pub(super) fn cause(&self, error: Option<&io::Error>) -> Option<LinkError> {
        let dialling = error.and_then(|error| error.get_ref()?.downcast_ref::<LinkError>());
        let noted = || self.with(|noted| noted.link_error.clone());
        dialling.cloned().or_else(|| noted().filter(|link_error| link_error.kind != LinkErrorKind::Lost))
    }

    /// Nothing failed, but the time is over.
    pub(super) fn timed_out(&self) -> LinkError {
        let (step, doing) = self.now();
        LinkError::new(LinkErrorKind::TimedOut, format!("{doing}: no answer within {} s", DEADLINE.as_secs()))
            .during(step)
    }
}

/// A connected stream.
pub(super) struct BrokerStream {
    stream: Stream,
    host: String,
    notes: Arc<TransportNotes>,
    skipper: OversizedSkipper,
    /// When the client last got an answer to its ping.
    alive: Option<Instant>,
}

enum Stream {
    Plain(Socket),
    WebSocket(Box<Frames<Socket>>),
}

enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects as configured. The error contains a `LinkError`.
pub(super) async fn dial(config: Arc<config::Broker>, notes: Arc<TransportNotes>) -> io::Result<BrokerStream> {
    let socket = reach(&config, &notes).await.map_err(io::Error::other)?;
    let stream = match config.transport {
        MqttTransport::Tcp | MqttTransport::Tls => Stream::Plain(socket),
        MqttTransport::WebSocket | MqttTransport::WebSocketTls => {
            notes.doing(Step::Login, "open the WebSocket");
            let opened = websocket::open(&websocket_url(&config), socket).await;
            Stream::WebSocket(Box::new(opened.map_err(|said| io::Error::other(websocket_refused(&config, said)))?))
        }
    };
    notes.doing(Step::Login, "log in");
    let most = usize::try_from(PACKET_MAX).unwrap_or(usize::MAX);
    let skipper = OversizedSkipper::new(notes.marks, most - PACKET_FRAME, config.version == MqttVersion::V5);
    Ok(BrokerStream { stream, host: config.host.clone(), notes, skipper, alive: None })
}

/// Bytes of a packet that its remaining length does not count.
const PACKET_FRAME: usize = 5;

async fn reach(config: &Arc<config::Broker>, notes: &TransportNotes) -> Result<Socket, LinkError> {
    let tcp = connect(config, notes).await?;
    *notes.local.lock().unwrap_or_else(PoisonError::into_inner) = tcp.local_addr().ok().map(|local| local.ip());
    if !config.transport.is_tls() {
        return Ok(Socket::Tcp(tcp));
    }
    notes.doing(Step::Tls, "TLS handshake");
    let files = Arc::clone(config);
    let tls = tokio::task::spawn_blocking(move || tls::client(&files))
        .await
        .map_err(|_| LinkError::new(LinkErrorKind::Tls, "prepare TLS: reading the certificate files broke off"))??;
    let name = ServerName::try_from(config.host.clone()).map_err(|_| {
        LinkError::new(LinkErrorKind::Name, format!("{} is no name that a certificate can hold", config.host))
    })?;
    match TlsConnector::from(Arc::new(tls)).connect(name, tcp).await {
        Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
        Err(error) => Err(explain((Step::Tls, "TLS handshake"), &error, &config.host)),
    }
}

/// Tries each address in turn, each with its share of the time that is left. Boards with an IPv6 address and no IPv6
/// route are common.
async fn connect(config: &config::Broker, notes: &TransportNotes) -> Result<TcpStream, LinkError> {
    let deadline = Instant::now() + DEADLINE * 2 / 3;
    notes.doing(Step::Name, format!("look up {}", config.host));
    let addresses: Vec<_> = lookup_host((config.host.as_str(), config.port))
        .await
        .map_err(|e| {
            let said = e.to_string();
            let said = said.strip_prefix("failed to lookup address information: ").unwrap_or(&said);
            let text = format!("look up {}: {said}; check the host name and this board's DNS", config.host);
            LinkError::new(LinkErrorKind::Name, text)
        })?
        .collect();
    let mut link_error = LinkError::new(LinkErrorKind::Name, format!("look up {}: no address", config.host));
    for (i, address) in addresses.iter().enumerate() {
        let doing = format!("connect to {address}");
        notes.doing(Step::Tcp, doing.as_str());
        let left = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        link_error = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return tune(tcp, config.keep_alive).map_err(|e| LinkError::io(Step::Tcp, &doing, &e)),
            Ok(Err(error)) => LinkError::io(Step::Tcp, &doing, &error),
            Err(_) => LinkError::io(Step::Tcp, &doing, &io::ErrorKind::TimedOut.into()),
        };
    }
    Err(link_error)
}

fn tune(tcp: TcpStream, keep_alive: Duration) -> io::Result<TcpStream> {
    tcp.set_nodelay(true)?;
    // Without it, a write to a peer that is gone hangs for a quarter of an hour, and so do the pings behind it.
    let patience = (keep_alive * 2).max(Duration::from_secs(10)).as_millis();
    sockopt::set_tcp_user_timeout(&tcp, u32::try_from(patience).unwrap_or(u32::MAX))?;
    Ok(tcp)
}

/// Explains a failure of TLS, or of the connection below it.
fn explain((step, doing): (Step, &str), error: &io::Error, host: &str) -> LinkError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => LinkError::tls(error, host, SystemTime::now()),
        None => LinkError::io(step, doing, error),
    }
}

impl BrokerStream {
    /// In TLS 1.3 the broker's decision about a client certificate comes with the first read after the handshake.
    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            let (step, doing) = self.notes.now();
            let link_error = explain((step, &doing), error, &self.host);
            self.notes.with(|noted| {
                noted.link_error.get_or_insert(link_error);
            });
        }
        done
    }
}

impl BrokerStream {
    /// The ping answer that the client gets while a large message is skipped, so that it does not give up the broker.
    fn skip(&mut self, came: usize) {
        let now = self.skipper.is_skipping().then(Instant::now);
        if came > 0 || now.is_none() {
            self.notes.with(|noted| noted.skipping = now);
        }
        let Some(now) = now else {
            self.alive = None;
            return;
        };
        let since = *self.alive.get_or_insert(now);
        if now.saturating_duration_since(since) >= ALIVE {
            self.alive = Some(now);
            self.skipper.ready().extend_from_slice(&PINGRESP);
        }
    }
}

impl AsyncRead for BrokerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let ready = self.skipper.ready();
            if !ready.is_empty() {
                let piece = ready.split_to(ready.len().min(buf.remaining()));
                buf.put_slice(&piece);
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; READ];
            let mut read = ReadBuf::new(&mut bytes);
            let done = match &mut self.stream {
                Stream::Plain(s) => ready!(Pin::new(s).poll_read(cx, &mut read)),
                Stream::WebSocket(s) => ready!(Pin::new(&mut **s).poll_read(cx, &mut read)),
            };
            self.noted(done)?;
            let came = read.filled();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.notes.read(came);
            self.skipper.take(came);
            self.skip(came.len());
        }
    }
}

impl AsyncWrite for BrokerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = match &mut self.stream {
            Stream::Plain(s) => ready!(Pin::new(s).poll_write(cx, buf)),
            Stream::WebSocket(s) => ready!(Pin::new(&mut **s).poll_write(cx, buf)),
        };
        Poll::Ready(self.noted(done))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::WebSocket(s) => Pin::new(&mut **s).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::WebSocket(s) => Pin::new(&mut **s).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(&mut **s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(&mut **s).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(&mut **s).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(&mut **s).poll_shutdown(cx),
        }
    }
}
