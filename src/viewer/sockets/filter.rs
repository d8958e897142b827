//! The packet filter of the media port: which packets come in, and which connectivity checks leave. Pure: packets and
//! times in, yes or no out.
//!
//! The stack keeps state for every SSRC before it authenticates a packet. It gives DTLS from any address to its one
//! connection, and remembers every address from which a signed check comes. So only these packets reach it:
//! - STUN: responses to its own requests, and checks that are signed with its password, from a limited number of
//!   addresses;
//! - DTLS handshakes, alerts and RTCP from the viewer's address. That is an address from which a signed check or
//!   response came within 30 s (RFC 7675). RTCP is limited to authentic senders and a few others.
//!
//! RTP is refused, except for the sound of a viewer that may talk, once that is negotiated. DTLS application data is
//! refused, except for a viewer with a data channel, once that is negotiated. Both have a budget.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    config::Secret,
    protocol::candidate::reachable,
    viewer::{
        send::rtcp_senders::ViewerIdentity,
        sockets::{
            answers::{ServerRequests, ServerVerdict, push},
            channel_budget::ChannelBudget,
            checks::{CheckPacer, PacketPath, TokenBucket, Transport},
            refused::{RefusedPackets, RefusedReason},
            rtcp_budget::RtcpBudget,
            rtp_budget::RtpBudget,
            stun::{
                BINDING_REQUEST, BINDING_SUCCESS, CHANNEL_BIND, DATA, PacketClass, SEND, StunMessage, Transaction,
                channel_data, class, is_mdns,
            },
        },
    },
};

/// How many addresses signed checks may come from: the 24 candidates of a viewer, with the ports that its NATs assign.
/// Then one more each 20 s, for viewers whose NAT changes the port.
const ADDRESSES: (f64, f64) = (32.0, 0.05);
/// Signed checks: at once, and each second. A browser sends 20 a second for all its pairs.
const REQUESTS: (f64, f64) = (200.0, 100.0);
/// Bytes of DTLS: enough for a handshake with several repeats, later for an alert now and then.
const HANDSHAKE: (f64, f64) = (49_152.0, 16.0);
/// The shortest SRTCP packet: header, index and tag (RFC 3711 section 3.4).
const SHORTEST_REPORT: usize = 8 + 4 + 10;
/// How many of our checks may wait for a response.
const WAITING: usize = 512;
/// How many TURN channels are remembered. When there are more, the oldest is forgotten.
const CHANNELS: usize = 256;
/// How many local descriptions are remembered: the current one, and the one of an ICE restart.
const DESCRIPTIONS: usize = 2;

/// The decision about a packet that the stack sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutboundVerdict {
    /// It leaves for the viewer, or for an address where the viewer may be.
    ToViewer,
    /// It leaves for a STUN or TURN server.
    ToServer,
    /// It is a connectivity check that may not leave now.
    HeldBack,
}

/// What a packet from an unknown address claims about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SenderClaim {
    Nothing,
    /// RTCP with an SSRC of the viewer.
    Report,
    /// A signed check.
    Signed,
}

/// The packet filter of one session.
#[derive(Debug)]
pub(crate) struct PacketFilter {
    checks: CheckPacer,
    /// ICE username fragment and password of the local descriptions, the newest first.
    own: VecDeque<(String, Secret)>,
    addresses: TokenBucket,
    requests: TokenBucket,
    handshake: TokenBucket,
    rtcp: RtcpBudget,
    /// The sound of the viewer. `None`: it may not talk.
    talk: Option<RtpBudget>,
    /// What the data channel carries. `None`: the viewer has none.
    channel: Option<ChannelBudget>,
    /// Our checks that wait for a response.
    asked: VecDeque<(Transaction, PacketPath, Instant)>,
    servers: ServerRequests,
    /// Local socket, TURN server and channel number, with the peer of the channel.
    channels: VecDeque<((SocketAddr, SocketAddr, u16), SocketAddr)>,
    refused: RefusedPackets,
    /// Whether packets may be sent to loopback.
    loopback: bool,
}

impl PacketFilter {
    /// The filter of a new session. `login` is the budget of checks that all sessions of its login share.
    pub(crate) fn new(login: Arc<Mutex<TokenBucket>>, loopback: bool) -> Self {
        Self {
            loopback,
            checks: CheckPacer::new(login),
            own: VecDeque::new(),
            addresses: TokenBucket::new(ADDRESSES),
            requests: TokenBucket::new(REQUESTS),
            handshake: TokenBucket::new(HANDSHAKE),
            rtcp: RtcpBudget::new(),
            talk: None,
            channel: None,
            asked: VecDeque::new(),
            servers: ServerRequests::default(),
            channels: VecDeque::new(),
            refused: RefusedPackets::default(),
        }
    }

    /// A local description is about to be used. If its credentials are new, ICE restarts.
    pub(crate) fn describe(&mut self, ufrag: &str, password: &str, now: Instant) {
        if self.own.front().is_some_and(|(known, _)| known == ufrag) {
            return;
        }
        if !self.own.is_empty() {
            self.checks.restart(now);
            self.addresses = TokenBucket::new(ADDRESSES);
        }
        self.own.push_front((ufrag.to_owned(), Secret::new(password.to_owned())));
        self.own.truncate(DESCRIPTIONS);
    }

    /// The viewer may talk, with this payload type.
    pub(crate) fn allow_talk(&mut self, payload_type: u8) {
        self.talk = Some(RtpBudget::new(payload_type));
    }

    /// The viewer may open a data channel.
    pub(crate) fn allow_channel(&mut self) {
        self.channel.get_or_insert_with(ChannelBudget::new);
    }

    /// The session read a message of the data channel.
    pub(crate) fn channel_read(&mut self, length: usize, now: Instant) {
        if let Some(budget) = &mut self.channel {
            budget.read(length, now);
        }
    }

    /// The next verdict about a server, for the log.
    pub(crate) fn found_out(&mut self) -> Option<ServerVerdict> {
        self.servers.found()
    }

    /// The packets refused so far.
    pub(crate) fn refused(&self) -> RefusedPackets {
        self.refused
    }

    /// The peer tracker proved that the viewer is at this address.
    pub(crate) fn found(&mut self, path: PacketPath, now: Instant) {
        self.checks.answered(path, now);
    }

    /// The stack sends a packet to `to`.
    pub(crate) fn outgoing(
        &mut self,
        local: SocketAddr,
        transport: Transport,
        to: SocketAddr,
        packet: &[u8],
        now: Instant,
    ) -> OutboundVerdict {
        let relayed = |peer| PacketPath { local, transport: Transport::Relay(to), peer };
        match class(packet) {
            PacketClass::Channel => {
                let inside = channel_data(packet);
                match inside.and_then(|(channel, inner)| Some((self.peer_of(local, to, channel)?, inner))) {
                    Some((peer, inner)) => self.check(relayed(peer), inner, now),
                    None => OutboundVerdict::ToServer,
                }
            }
            PacketClass::StunMessage => {
                let Some(message) = StunMessage::read(packet) else { return OutboundVerdict::ToViewer };
                match message.kind() {
                    SEND => match message.peer().zip(message.data()) {
                        Some((peer, inner)) => self.check(relayed(peer), inner, now),
                        None => OutboundVerdict::ToServer,
                    },
                    BINDING_REQUEST if message.username().is_some() => {
                        self.check(PacketPath { local, transport, peer: to }, packet, now)
                    }
                    _ if message.is_response() => OutboundVerdict::ToViewer,
                    kind => {
                        if let (CHANNEL_BIND, Some(channel), Some(peer)) = (kind, message.channel(), message.peer()) {
                            let key = (local, to, channel);
                            self.channels.retain(|(known, _)| *known != key);
                            push(&mut self.channels, CHANNELS, (key, peer));
                        }
                        match self.servers.ask(local, to, message, now) {
                            true => OutboundVerdict::ToServer,
                            false => OutboundVerdict::HeldBack,
                        }
                    }
                }
            }
            // Without a data channel, such a record could only open one that nobody asked for.
            PacketClass::DtlsData if self.channel.is_none() => OutboundVerdict::HeldBack,
            _ => OutboundVerdict::ToViewer,
        }
    }

    /// A check of our own is about to go to `path`. Returns whether it may leave. If so, its response may come from
    /// there.
    pub(crate) fn probe(&mut self, path: PacketPath, check: &[u8], now: Instant) -> bool {
        self.check(path, check, now) == OutboundVerdict::ToViewer
    }

    /// Any packet that is not a connectivity check leaves. A check that leaves is remembered.
    fn check(&mut self, path: PacketPath, packet: &[u8], now: Instant) -> OutboundVerdict {
        let Some(message) = StunMessage::read(packet).filter(|m| m.kind() == BINDING_REQUEST) else {
            return OutboundVerdict::ToViewer;
        };
        // A `.local` name or a server may have answered with any address.
        if reachable(path.peer.ip(), self.loopback).is_err() || !self.checks.may_leave(path, now) {
            self.refused.held_back += 1;
            return OutboundVerdict::HeldBack;
        }
        push(&mut self.asked, WAITING, (message.transaction(), path, now));
        OutboundVerdict::ToViewer
    }

    fn peer_of(&self, local: SocketAddr, server: SocketAddr, channel: u16) -> Option<SocketAddr> {
        let key = (local, server, channel);
        self.channels.iter().find(|(known, _)| *known == key).map(|(_, peer)| *peer)
    }

    /// A packet arrived from `from`. Returns whether it may reach the stack, and what its sender claims.
    pub(crate) fn incoming(
        &mut self,
        local: SocketAddr,
        transport: Transport,
        from: SocketAddr,
        packet: &[u8],
        now: Instant,
        viewer: &impl ViewerIdentity,
    ) -> (Result<(), RefusedReason>, SenderClaim) {
        let (path, class) = (PacketPath { local, transport, peer: from }, class(packet));
        let is_server = transport == Transport::Udp && self.servers.has(local, from);
        let answer = match class {
            // An mDNS answer belongs to another socket, but the stack would accept it here too.
            _ if is_mdns(from) => Err(RefusedReason::Stranger),
            PacketClass::Channel if is_server => match channel_data(packet) {
                Some((channel, inner)) => match self.peer_of(local, from, channel) {
                    Some(peer) => return self.take_inner(local, from, peer, inner, now, viewer),
                    None => Err(RefusedReason::Stranger),
                },
                None => Err(RefusedReason::Stranger),
            },
            PacketClass::StunMessage => match StunMessage::read(packet) {
                Some(message) if is_server && message.kind() == DATA => match (message.peer(), message.data()) {
                    (Some(peer), Some(inner)) => return self.take_inner(local, from, peer, inner, now, viewer),
                    _ => Err(RefusedReason::Stranger),
                },
                Some(message) if message.is_response() => {
                    match self.servers.answer(local, message, self.loopback, now) {
                        Some(true) => Ok(()),
                        Some(false) => Err(RefusedReason::Stranger),
                        None => return self.take(path, class, packet, now, viewer),
                    }
                }
                _ => return self.take(path, class, packet, now, viewer),
            },
            _ => return self.take(path, class, packet, now, viewer),
        };
        self.counted(answer, SenderClaim::Nothing)
    }

    /// A packet that a TURN server forwards from a peer.
    fn take_inner(
        &mut self,
        local: SocketAddr,
        server: SocketAddr,
        peer: SocketAddr,
        inner: &[u8],
        now: Instant,
        viewer: &impl ViewerIdentity,
    ) -> (Result<(), RefusedReason>, SenderClaim) {
        self.take(PacketPath { local, transport: Transport::Relay(server), peer }, class(inner), inner, now, viewer)
    }

    fn take(
        &mut self,
        path: PacketPath,
        class: PacketClass,
        packet: &[u8],
        now: Instant,
        viewer: &impl ViewerIdentity,
    ) -> (Result<(), RefusedReason>, SenderClaim) {
        let mut claim = SenderClaim::Nothing;
        let is_heard = self.checks.is_heard(&path, now);
        let answer = match class {
            PacketClass::StunMessage => match StunMessage::read(packet) {
                Some(message) if message.kind() == BINDING_REQUEST => {
                    let answer = self.request(path, message, is_heard, now);
                    if answer.is_ok() {
                        claim = SenderClaim::Signed;
                    }
                    answer
                }
                Some(message) if message.kind() == BINDING_SUCCESS => self.response(path, message, now, viewer),
                _ => Err(RefusedReason::Stranger),
            },
            PacketClass::Dtls if !is_heard => Err(RefusedReason::Stranger),
            PacketClass::Dtls if self.handshake.take(packet.len() as f64, now) => Ok(()),
            PacketClass::Dtls => Err(RefusedReason::TooMuch),
            PacketClass::DtlsData if !is_heard => Err(RefusedReason::Stranger),
            PacketClass::DtlsData => match &mut self.channel {
                Some(budget) => budget.admit(packet.len(), now),
                None => Err(RefusedReason::Data),
            },
            PacketClass::Rtp if !is_heard => Err(RefusedReason::Stranger),
            PacketClass::Rtp => match &mut self.talk {
                Some(budget) => budget.admit(packet, |ssrc| viewer.is_authentic(ssrc), now),
                None => Err(RefusedReason::Media),
            },
            PacketClass::Rtcp(_) if packet.len() < SHORTEST_REPORT => Err(RefusedReason::Stranger),
            PacketClass::Rtcp(ssrc) => {
                let is_authentic = viewer.is_authentic(ssrc);
                if is_authentic && !is_heard {
                    claim = SenderClaim::Report;
                }
                match is_heard {
                    true => self.rtcp.admit(ssrc, is_authentic, now),
                    false => Err(RefusedReason::Stranger),
                }
            }
            PacketClass::Channel | PacketClass::Other => Err(RefusedReason::Stranger),
        };
        self.counted(answer, claim)
    }

    fn counted(
        &mut self,
        answer: Result<(), RefusedReason>,
        claim: SenderClaim,
    ) -> (Result<(), RefusedReason>, SenderClaim) {
        if let Err(why) = answer {
            self.refused.count(why);
        }
        (answer, claim)
    }

    /// A connectivity check. It must be for this side and signed. A wrong one gets no answer.
    fn request(
        &mut self,
        path: PacketPath,
        message: StunMessage<'_>,
        is_heard: bool,
        now: Instant,
    ) -> Result<(), RefusedReason> {
        let name = message.username().ok_or(RefusedReason::Stranger)?;
        let is_own = |own: &&(String, Secret)| {
            name.strip_prefix(own.0.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'))
        };
        let (_, password) = self.own.iter().find(is_own).ok_or(RefusedReason::Stranger)?;
        if !message.is_signed(password.expose().as_bytes()) {
            return Err(RefusedReason::Stranger);
        }
        if !is_heard && !self.addresses.take(1.0, now) || !self.requests.take(1.0, now) {
            return Err(RefusedReason::TooMuch);
        }
        self.checks.asked(path, now);
        Ok(())
    }

    /// A response to a check. It must come from the address that the check was sent to, and be signed by the viewer.
    fn response(
        &mut self,
        path: PacketPath,
        message: StunMessage<'_>,
        now: Instant,
        viewer: &impl ViewerIdentity,
    ) -> Result<(), RefusedReason> {
        let transaction = message.transaction();
        let is_its = |(known, to, _): &(Transaction, PacketPath, Instant)| *known == transaction && *to == path;
        let at = self.asked.iter().position(is_its).ok_or(RefusedReason::Stranger)?;
        if !viewer.password().is_some_and(|password| message.is_signed(password.as_bytes())) {
            return Err(RefusedReason::Stranger);
        }
        self.asked.remove(at);
        self.checks.answered(path, now);
        Ok(())
    }
}

/// The filter of one session, shared by its sockets and its peer.
#[derive(Debug)]
pub(crate) struct SharedFilter(Mutex<PacketFilter>);

impl SharedFilter {
    pub(crate) fn new(login: Arc<Mutex<TokenBucket>>, loopback: bool) -> Self {
        Self(Mutex::new(PacketFilter::new(login, loopback)))
    }

    /// Mostly used by the connection's driver; others hold the lock for a moment only. So it blocks nobody.
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, PacketFilter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
