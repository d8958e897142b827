//! Tests whether a STUN or TURN server works. For TURN it allocates a relay and sends a message through it to itself.
//! An error names the step that failed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rtc::{
    sansio::Protocol,
    shared::{TransportContext, TransportMessage, TransportProtocol},
    turn::client::{Client, ClientConfig, Event},
};
use tokio::{net::UdpSocket, time::timeout};

use super::{framing::error_code, marks::refusal, turn_stream::TurnStream};
use crate::config::Login;

/// How long a server may take for one answer. A TLS handshake over a slow link takes longest.
const ANSWER: Duration = Duration::from_secs(8);
/// How long the test message may take through the relay.
const ECHO: Duration = Duration::from_secs(2);
/// The interval at which the message is sent again, since it may be lost.
const ECHO_AGAIN: Duration = Duration::from_millis(300);
/// The test message.
const PAYLOAD: &[u8] = b"fanlight";

/// What a working server returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The address in its answer: this board's address as the server sees it, or the relay's.
    pub address: SocketAddr,
    /// A fault of a server that answers.
    pub but: Option<String>,
}

/// A STUN or TURN client of one server.
struct TurnClient<'a> {
    socket: UdpSocket,
    server: SocketAddr,
    client: Client,
    stream: Option<&'a TurnStream>,
    /// The code of the server's last error response.
    refused: Option<u16>,
}

/// Asks a STUN server for this board's public address (Binding request).
pub(super) async fn stun(server: SocketAddr) -> Result<Proof, String> {
    let mut probe = TurnClient::open(server, None, None).await?;
    probe.client.send_binding_request_to(Instant::now(), server).map_err(|e| format!("ask: {e}"))?;
    let response = probe.until(Instant::now() + ANSWER, |event| match event {
        Event::BindingResponse(_, address) => Some(Ok(address)),
        Event::BindingError(_, error) => Some(Err(error.to_string())),
        Event::TransactionTimeout(_) => Some(Err(silence(server))),
        _ => None,
    });
    let address = response.await?.unwrap_or_else(|| Err(silence(server)))?;
    Ok(Proof { address, but: None })
}

/// Allocates a relay, sends a message through it, and frees it. `server` is the address of the server, or of the local
/// end of its stream.
pub(super) async fn turn(
    server: SocketAddr,
    login: Option<&Login>,
    stream: Option<&TurnStream>,
) -> Result<Proof, String> {
    let mut probe = TurnClient::open(server, login, stream).await?;
    probe.client.allocate(Instant::now()).map_err(|e| format!("ask for a relay: {e}"))?;
    let response = probe.until(Instant::now() + ANSWER, |event| match event {
        Event::AllocateResponse(_, address) => Some(Ok(address)),
        Event::AllocateError(_, error) => Some(Err(Some(error.to_string()))),
        Event::TransactionTimeout(_) => Some(Err(None)),
        _ => None,
    });
    let address = match response.await? {
        Some(Ok(address)) => address,
        Some(Err(reason)) => return Err(probe.explain(reason)),
        None => return Err(probe.explain(None)),
    };
    let but = probe.echo(address).await.err();
    // Frees the allocation now instead of letting it expire after ten minutes, since services count them.
    if let Ok(mut relay) = probe.client.relay(address) {
        let _ = relay.close(Instant::now());
    }
    let _ = probe.flush().await;
    Ok(Proof { address, but })
}

impl<'a> TurnClient<'a> {
    async fn open(server: SocketAddr, login: Option<&Login>, stream: Option<&'a TurnStream>) -> Result<Self, String> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let opened = async {
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(server).await?;
            let local = socket.local_addr()?;
            io::Result::Ok((socket, local))
        };
        let (socket, local_addr) =
            opened.await.map_err(|e| format!("send to {server}: {}; is the network up?", super::dial::plain(&e)))?;
        let config = ClientConfig {
            stun_serv_addr: server.to_string(),
            turn_serv_addr: server.to_string(),
            local_addr,
            username: login.map(|login| login.user.clone()).unwrap_or_default(),
            password: login.map(|login| login.password.expose().to_owned()).unwrap_or_default(),
            ..ClientConfig::default()
        };
        let provider = rtc::crypto::default_provider().map_err(|e| format!("find a crypto provider: {e}"))?;
        let client = Client::new(config, provider).map_err(|e| format!("prepare: {e}"))?;
        Ok(Self { socket, server, client, stream, refused: None })
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(message) = self.client.poll_write() {
            self.socket.send(&message.message).await?;
        }
        Ok(())
    }

    /// Exchanges messages until `wanted` returns a value, or until `end`.
    async fn until<T>(
        &mut self,
        end: Instant,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let mut space = [0; 2048];
        loop {
            let sent = self.flush().await;
            sent.map_err(|e| refused(self.server, &e))?;
            while let Some(event) = self.client.poll_event() {
                if let Some(found) = wanted(event) {
                    return Ok(Some(found));
                }
            }
            let now = Instant::now();
            if now >= end {
                return Ok(None);
            }
            let due = self.client.poll_timeout().map_or(end, |due| due.min(end));
            match timeout(due.saturating_duration_since(now), self.socket.recv(&mut space)).await {
                Ok(Ok(length)) => self.take(&space[..length]),
                Ok(Err(error)) => return Err(refused(self.server, &error)),
                Err(_) => drop(self.client.handle_timeout(Instant::now())),
            }
        }
    }

    fn take(&mut self, message: &[u8]) {
        self.refused = error_code(message).or(self.refused);
        let Ok(local_addr) = self.socket.local_addr() else { return };
        let transport = TransportContext {
            local_addr,
            peer_addr: self.server,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        // A message that cannot be read counts as lost.
        let _ = self.client.handle_read(TransportMessage {
            now: Instant::now(),
            transport,
            message: BytesMut::from(message),
        });
    }

    /// Sends a message through the relay to the relay's own address, and waits until it returns.
    async fn echo(&mut self, relay: SocketAddr) -> Result<(), String> {
        let permitted = self.client.relay(relay).and_then(|mut to| to.create_permission(Instant::now(), relay));
        permitted.map_err(|e| format!("ask for a permission: {e}"))?;
        let response = self.until(Instant::now() + ANSWER, |event| match event {
            Event::CreatePermissionResponse(..) => Some(Ok(())),
            Event::CreatePermissionError(_, error) => Some(Err(error.to_string())),
            _ => None,
        });
        match response.await? {
            Some(Ok(())) => {}
            Some(Err(reason)) => return Err(format!("it refuses a permission for its own relay: {reason}")),
            None => return Err("it does not answer a request for a permission".to_owned()),
        }
        let end = Instant::now() + ECHO;
        while Instant::now() < end {
            let sent = self.client.relay(relay).and_then(|mut to| to.send_to(Instant::now(), PAYLOAD, relay));
            sent.map_err(|e| format!("send through it: {e}"))?;
            let came = self.until(Instant::now() + ECHO_AGAIN, |event| match event {
                Event::DataIndicationOrChannelData(_, _, data) if data[..] == *PAYLOAD => Some(()),
                _ => None,
            });
            if came.await?.is_some() {
                return Ok(());
            }
        }
        Err("no packet came back through its relay; does its firewall let UDP through to its relay ports?".to_owned())
    }

    /// Why there is no relay.
    fn explain(&self, reason: Option<String>) -> String {
        if let Some(fault) = self.stream.and_then(TurnStream::fault) {
            return fault;
        }
        match (self.refused, reason) {
            (Some(401), None) => silence(self.server),
            (Some(code), _) => refusal(code),
            (_, Some(reason)) => reason,
            (_, None) => silence(self.server),
        }
    }
}

fn silence(server: SocketAddr) -> String {
    format!("no answer from {server} over UDP; does a firewall let UDP out to this port?")
}

fn refused(server: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("no program listens at {server} on UDP"),
        _ => format!("send to {server}: {}", super::dial::plain(error)),
    }
}
