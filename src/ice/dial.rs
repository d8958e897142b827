//! Opens a byte stream to a server: TCP, or TLS over it. It has a deadline, and errors in plain English.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustix::net::sockopt;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, Error as TlsError, crypto::ring, pki_types::ServerName},
};

use super::url::IceUrl;
use crate::{clock::Mono, tls};

/// The limit for the whole of TCP connect and TLS handshake.
pub(super) const DEADLINE: Duration = Duration::from_secs(6);
/// TCP_USER_TIMEOUT in ms: how long sent data may stay unacknowledged (RFC 5482).
const DEAD_AFTER: u32 = 10_000;
/// TCP_NOTSENT_LOWAT: unsent bytes that may wait in the kernel. Data in the kernel can no longer be dropped.
const UNSENT: u32 = 16 << 10;
/// How long a TLS configuration is used before its CA file is read again.
const TRUST_FOR: Duration = Duration::from_secs(3600);

/// A connected stream.
pub(super) enum ServerStream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// TLS client configurations by CA file, and when each file was read.
type Read = HashMap<Option<PathBuf>, (Arc<ClientConfig>, Mono)>;

/// Which certificate authorities are trusted. Their files are read once an hour, not for each stream.
#[derive(Default)]
pub(super) struct TrustStore(Mutex<Read>);

impl std::fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustStore").finish_non_exhaustive()
    }
}

impl TrustStore {
    /// The TLS configuration that trusts the authorities in `ca`, or those of the system.
    async fn client(&self, ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
        let key = ca.cloned();
        let now = Mono::now();
        let known = |trust: &Read| {
            trust.get(&key).filter(|(_, read)| now.since(*read) < TRUST_FOR).map(|(client, _)| Arc::clone(client))
        };
        if let Some(client) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(client);
        }
        let file = ca.cloned();
        let client = tokio::task::spawn_blocking(move || {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|e| format!("prepare TLS: {e}"))?;
            let roots = tls::roots(file.as_deref())?;
            Ok::<_, String>(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
        });
        let client =
            client.await.map_err(|_| "prepare TLS: reading the certificate authorities failed".to_owned())??;
        let mut trust = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A reload may name other CA files; entries of the old ones must not stay for ever.
        trust.retain(|_, (_, read)| now.since(*read) < TRUST_FOR);
        trust.insert(key, (Arc::clone(&client), now));
        Ok(client)
    }
}

/// Connects to the server of `url`. It tries the addresses in order; each gets its share of the time.
pub(super) async fn dial(
    url: &IceUrl,
    addresses: &[IpAddr],
    ca: Option<&PathBuf>,
    trust: &TrustStore,
) -> Result<ServerStream, String> {
    let began = Instant::now();
    let tcp = connect(url, addresses).await?;
    if !url.secure {
        return Ok(ServerStream::Tcp(tcp));
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|_| format!("{} is not a valid DNS name", url.host))?;
    let client = trust.client(ca).await?;
    let left = DEADLINE.saturating_sub(began.elapsed()).max(DEADLINE / 3);
    match timeout(left, TlsConnector::from(client).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(ServerStream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(format!("TLS handshake: {}", explain(&error, &url.host))),
        Err(_) => Err("TLS handshake: no answer; is this the server's TLS port?".to_owned()),
    }
}

async fn connect(url: &IceUrl, addresses: &[IpAddr]) -> Result<TcpStream, String> {
    let deadline = Instant::now() + DEADLINE * 2 / 3;
    let mut fault = format!("look up {}: no address; check the name and this board's DNS", url.host);
    for (i, address) in addresses.iter().enumerate() {
        let target = SocketAddr::new(*address, url.port);
        let left = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        fault = match timeout(share, TcpStream::connect(target)).await {
            Ok(Ok(tcp)) => match tune(&tcp) {
                Ok(()) => return Ok(tcp),
                Err(error) => format!("connect to {target}: {}", plain(&error)),
            },
            Ok(Err(error)) => format!("connect to {target}: {}", plain(&error)),
            Err(_) => format!("connect to {target}: no answer; does a firewall stop it?"),
        };
    }
    Err(fault)
}

/// Sets the socket options of a TURN stream.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(tcp, DEAD_AFTER)?;
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT)
}

/// Describes an error of a TLS stream to `host`.
pub(super) fn explain(error: &io::Error, host: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(fault)) => tls::flaw(fault, "the server's", host, SystemTime::now()).1,
        Some(TlsError::InvalidMessage(_)) => "the answer is not TLS; is this the server's TLS port?".to_owned(),
        Some(other) => other.to_string(),
        None => plain(error),
    }
}

/// The text of an I/O error, without Rust's `(os error …)`.
pub(super) fn plain(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "closed by the other side".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
