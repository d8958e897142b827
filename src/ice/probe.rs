//! Whether a STUN or TURN server does what it is there for: asked by name of each transport, with a real allocation and a
//! message that goes through it and comes back. A failure is told by its step.

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

/// How long a server may take for one answer; a TLS handshake over a slow link is the longest.
const ANSWER: Duration = Duration::from_secs(8);
/// How long the message may be on its way through the relay.
const ECHO: Duration = Duration::from_secs(2);
/// How often it is sent meanwhile: it may be lost.
const ECHO_AGAIN: Duration = Duration::from_millis(300);
/// What is sent through the relay.
const WORDS: &[u8] = b"fanlight";

/// What a server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The address it gave: the own one as it is seen there, or that of a relay.
    pub address: SocketAddr,
    /// What is not as it should be, although it answers.
    pub but: Option<String>,
}

/// A conversation with one server.
struct TurnClient<'a> {
    socket: UdpSocket,
    place: SocketAddr,
    client: Client,
    stream: Option<&'a TurnStream>,
    /// The code of the last error it answered.
    refused: Option<u16>,
}

/// Asks a STUN server for the own address.
pub(super) async fn stun(place: SocketAddr) -> Result<Proof, String> {
    let mut talk = TurnClient::open(place, None, None).await?;
    talk.client.send_binding_request_to(Instant::now(), place).map_err(|e| format!("ask: {e}"))?;
    let told = talk.until(Instant::now() + ANSWER, |event| match event {
        Event::BindingResponse(_, address) => Some(Ok(address)),
        Event::BindingError(_, error) => Some(Err(error.to_string())),
        Event::TransactionTimeout(_) => Some(Err(silence(place))),
        _ => None,
    });
    let address = told.await?.unwrap_or_else(|| Err(silence(place)))?;
    Ok(Proof { address, but: None })
}

/// Allocates a relay, sends a message through it, and gives it back. `place` is that of the server or of its stream.
pub(super) async fn turn(
    place: SocketAddr,
    login: Option<&Login>,
    stream: Option<&TurnStream>,
) -> Result<Proof, String> {
    let mut talk = TurnClient::open(place, login, stream).await?;
    talk.client.allocate(Instant::now()).map_err(|e| format!("ask for a relay: {e}"))?;
    let told = talk.until(Instant::now() + ANSWER, |event| match event {
        Event::AllocateResponse(_, address) => Some(Ok(address)),
        Event::AllocateError(_, error) => Some(Err(Some(error.to_string()))),
        Event::TransactionTimeout(_) => Some(Err(None)),
        _ => None,
    });
    let address = match told.await? {
        Some(Ok(address)) => address,
        Some(Err(said)) => return Err(talk.explain(said)),
        None => return Err(talk.explain(None)),
    };
    let but = talk.echo(address).await.err();
    // Given back now and not in ten minutes: services count them.
    if let Ok(mut relay) = talk.client.relay(address) {
        let _ = relay.close(Instant::now());
    }
    let _ = talk.flush().await;
    Ok(Proof { address, but })
}

impl<'a> TurnClient<'a> {
    async fn open(place: SocketAddr, login: Option<&Login>, stream: Option<&'a TurnStream>) -> Result<Self, String> {
        let any: IpAddr = if place.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let opened = async {
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(place).await?;
            let local = socket.local_addr()?;
            io::Result::Ok((socket, local))
        };
        let (socket, local_addr) =
            opened.await.map_err(|e| format!("send to {place}: {}; is the network up?", super::dial::plain(&e)))?;
        let config = ClientConfig {
            stun_serv_addr: place.to_string(),
            turn_serv_addr: place.to_string(),
            local_addr,
            username: login.map(|login| login.user.clone()).unwrap_or_default(),
            password: login.map(|login| login.password.expose().to_owned()).unwrap_or_default(),
            ..ClientConfig::default()
        };
        let provider = rtc::crypto::default_provider().map_err(|e| format!("find a crypto provider: {e}"))?;
        let client = Client::new(config, provider).map_err(|e| format!("prepare: {e}"))?;
        Ok(Self { socket, place, client, stream, refused: None })
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some(message) = self.client.poll_write() {
            self.socket.send(&message.message).await?;
        }
        Ok(())
    }

    /// Talks until something is there that was waited for, or until `end`.
    async fn until<T>(
        &mut self,
        end: Instant,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let mut space = [0; 2048];
        loop {
            let sent = self.flush().await;
            sent.map_err(|e| refused(self.place, &e))?;
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
                Ok(Err(error)) => return Err(refused(self.place, &error)),
                Err(_) => drop(self.client.handle_timeout(Instant::now())),
            }
        }
    }

    fn take(&mut self, message: &[u8]) {
        self.refused = error_code(message).or(self.refused);
        let Ok(local_addr) = self.socket.local_addr() else { return };
        let transport = TransportContext {
            local_addr,
            peer_addr: self.place,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        // What cannot be read is as good as lost.
        let _ = self.client.handle_read(TransportMessage {
            now: Instant::now(),
            transport,
            message: BytesMut::from(message),
        });
    }

    /// Sends a message to the relay's own address, through it, and waits until it comes out again.
    async fn echo(&mut self, relay: SocketAddr) -> Result<(), String> {
        let permitted = self.client.relay(relay).and_then(|mut to| to.create_permission(Instant::now(), relay));
        permitted.map_err(|e| format!("ask for a permission: {e}"))?;
        let told = self.until(Instant::now() + ANSWER, |event| match event {
            Event::CreatePermissionResponse(..) => Some(Ok(())),
            Event::CreatePermissionError(_, error) => Some(Err(error.to_string())),
            _ => None,
        });
        match told.await? {
            Some(Ok(())) => {}
            Some(Err(said)) => return Err(format!("it permits no way through itself: {said}")),
            None => return Err("it does not answer a request for a permission".to_owned()),
        }
        let end = Instant::now() + ECHO;
        while Instant::now() < end {
            let sent = self.client.relay(relay).and_then(|mut to| to.send_to(Instant::now(), WORDS, relay));
            sent.map_err(|e| format!("send through it: {e}"))?;
            let came = self.until(Instant::now() + ECHO_AGAIN, |event| match event {
                Event::DataIndicationOrChannelData(_, _, data) if data[..] == *WORDS => Some(()),
                _ => None,
            });
            if came.await?.is_some() {
                return Ok(());
            }
        }
        Err("nothing came back through it; does its firewall let UDP through to its relay ports?".to_owned())
    }

    /// Why there is no relay.
    fn explain(&self, said: Option<String>) -> String {
        if let Some(fault) = self.stream.and_then(TurnStream::fault) {
            return fault;
        }
        match (self.refused, said) {
            (Some(401), None) => silence(self.place),
            (Some(code), _) => refusal(code),
            (_, Some(said)) => said,
            (_, None) => silence(self.place),
        }
    }
}

fn silence(place: SocketAddr) -> String {
    format!("no answer from {place} by UDP; does a firewall let UDP out to this port?")
}

fn refused(place: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nobody listens at {place} by UDP"),
        _ => format!("send to {place}: {}", super::dial::plain(error)),
    }
}
