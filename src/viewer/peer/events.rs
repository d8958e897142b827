//! The events of a peer connection, on their way from the connection's driver to the viewer's task.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use rtc::peer_connection::{
    event::RTCPeerConnectionIceEvent,
    state::{RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState},
};
use tokio::sync::{mpsc, watch};
use tracing::debug;
use webrtc::{data_channel::DataChannel, peer_connection::PeerConnectionEventHandler};

use crate::{
    protocol::{
        Candidate,
        candidate::{CandidateVerdict, judge},
    },
    viewer::{
        peer::{channel::OpenedChannel, relays::RelayOrigins},
        send::pump::TransportState,
    },
};

/// An event that the driver sends to the viewer's task. The driver never waits for the queue. If the queue is full, the
/// viewer's task no longer works, and the event is dropped.
#[derive(Debug)]
pub enum PeerEvent {
    /// A local candidate.
    Candidate(Candidate),
    /// ICE gathering is complete for this generation (RFC 8838 section 13).
    GatheringDone,
    /// ICE selected a pair; the DTLS handshake follows.
    IceConnected,
    /// ICE gets no answers on the selected pair. It may recover.
    IceDisconnected,
    /// ICE found no pair that works, and gave up.
    IceFailed,
    /// The DTLS handshake is done: media flows.
    Connected,
    /// The DTLS handshake failed.
    DtlsFailed,
    /// The viewer closed the connection.
    Closed,
    /// The viewer opened a data channel.
    Channel(OpenedChannel),
}

/// Handles the stack's callbacks. They run on the connection's driver, so nothing here may wait.
pub(crate) struct PeerEventHandler {
    events: mpsc::Sender<PeerEvent>,
    transport_state: watch::Sender<TransportState>,
    gathered: watch::Sender<bool>,
    secured: AtomicBool,
    relays: Arc<RelayOrigins>,
    public: Vec<IpAddr>,
}

impl PeerEventHandler {
    /// Sends events to `events` and the connection's progress to `transport_state`. Sets `gathered` once there are
    /// candidates. `relays` records which server gave each relay. `public` are the addresses from which a router
    /// forwards ports to this board (`webrtc.public_addresses`).
    pub(crate) fn new(
        events: mpsc::Sender<PeerEvent>,
        transport_state: watch::Sender<TransportState>,
        gathered: watch::Sender<bool>,
        relays: Arc<RelayOrigins>,
        public: Vec<IpAddr>,
    ) -> Self {
        Self { events, transport_state, gathered, secured: AtomicBool::new(false), relays, public }
    }

    /// Queues an event without waiting.
    fn tell(&self, event: PeerEvent) {
        if let Err(e) = self.events.try_send(event) {
            debug!("an event of a peer connection was dropped: {e}");
        }
    }
}

#[async_trait]
impl PeerConnectionEventHandler for PeerEventHandler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        self.relays.note(&event.candidate, &event.url);
        if let Ok(init) = event.candidate.to_json()
            && is_of_use(&init.candidate)
        {
            let mid = init.sdp_mid.filter(|m| !m.is_empty());
            let mline = init.sdp_mline_index.or(Some(0));
            for candidate in forwarded(&init.candidate, &self.public) {
                self.tell(PeerEvent::Candidate(Candidate { candidate, mid: mid.clone(), mline }));
            }
            self.tell(PeerEvent::Candidate(Candidate { candidate: init.candidate, mid, mline }));
            self.gathered.send_replace(true);
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell(PeerEvent::GatheringDone);
            self.gathered.send_replace(true);
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        match state {
            RTCIceConnectionState::Connected => {
                self.transport_state.send_if_modified(|state| {
                    let first = *state == TransportState::Connecting;
                    if first {
                        *state = TransportState::DtlsHandshake;
                    }
                    first
                });
                self.tell(PeerEvent::IceConnected);
            }
            RTCIceConnectionState::Disconnected => self.tell(PeerEvent::IceDisconnected),
            RTCIceConnectionState::Failed => self.tell(PeerEvent::IceFailed),
            _ => {}
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(PeerEvent::Channel(OpenedChannel(channel)));
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => {
                if !self.secured.swap(true, Ordering::AcqRel) {
                    self.transport_state.send_replace(TransportState::Connected);
                }
                self.tell(PeerEvent::Connected);
            }
            // ICE failures are reported above. With a selected pair, a failed connection means that DTLS failed.
            RTCPeerConnectionState::Failed if *self.transport_state.borrow() == TransportState::DtlsHandshake => {
                self.tell(PeerEvent::DtlsFailed)
            }
            RTCPeerConnectionState::Closed => self.tell(PeerEvent::Closed),
            _ => {}
        }
    }
}

/// The candidate lines that a viewer gets for one local candidate of the stack's description: those of a forwarding
/// router first, then the candidate. The list is empty for candidates without use: the stack lists each one again for
/// RTCP (component 2), and makes one of the unspecified address if a family has no interface.
pub(crate) fn shown(candidate: &str, public: &[IpAddr]) -> Vec<String> {
    if !is_of_use(candidate) {
        return Vec::new();
    }
    let mut lines = forwarded(candidate, public);
    lines.push(candidate.to_owned());
    lines
}

/// Host candidates for the addresses of a router that forwards the same port numbers to this board. The stack does not
/// know them: such packets arrive at the socket of the host candidate.
fn forwarded(candidate: &str, public: &[IpAddr]) -> Vec<String> {
    let words: Vec<&str> = candidate.split(' ').collect();
    let [foundation, component, transport, priority, address, port, "typ", "host", rest @ ..] = &words[..] else {
        return Vec::new();
    };
    let (Ok(address), Ok(priority)) = (address.parse::<IpAddr>(), priority.parse::<u32>()) else { return Vec::new() };
    let of = |(n, ip): (usize, &IpAddr)| {
        let mut line = format!("{foundation}{n} {component} {transport} {} {ip} {port} typ host", priority - 1);
        for word in rest {
            line.push(' ');
            line.push_str(word);
        }
        line
    };
    let same_family = |ip: &&IpAddr| ip.is_ipv4() == address.is_ipv4() && **ip != address;
    if priority == 0 { Vec::new() } else { public.iter().filter(same_family).enumerate().map(of).collect() }
}

/// Whether a local candidate passes the limits that hold for remote candidates.
fn is_of_use(candidate: &str) -> bool {
    // With `webrtc.ice_tcp`, local candidates may be TCP. `judge` refuses TCP, since a remote TCP candidate is useless:
    // this side only listens.
    matches!(judge(&candidate.replacen(" tcp ", " udp ", 1), true), CandidateVerdict::Take { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_of_no_address_or_for_rtcp_is_not_shown() {
        let good = "candidate:1 1 udp 5 192.0.2.1 9 typ host";
        assert_eq!(shown(good, &[]), [good]);
        for bad in [
            "candidate:2 1 udp 5 :: 9 typ host",
            "candidate:3 1 udp 5 0.0.0.0 9 typ host",
            "candidate:1 2 udp 5 192.0.2.1 9 typ host",
        ] {
            assert_eq!(shown(bad, &[]), Vec::<String>::new());
        }
    }

    #[test]
    fn a_router_that_forwards_adds_its_address_to_host_candidates_of_its_family() {
        let public = ["203.0.113.9", "2001:db8::9"].map(|ip| ip.parse().unwrap());
        let host = "candidate:7 1 udp 2130706431 192.168.1.5 50000 typ host ufrag abcd";
        let added = "candidate:70 1 udp 2130706430 203.0.113.9 50000 typ host ufrag abcd";
        assert_eq!(forwarded(host, &public), [added]);
        assert!(is_of_use(added));
        let tcp = "candidate:7 1 tcp 5 2001:db8::5 50000 typ host tcptype passive";
        assert_eq!(forwarded(tcp, &public), ["candidate:70 1 tcp 4 2001:db8::9 50000 typ host tcptype passive"]);
        assert!(is_of_use(tcp));
        for other in [
            "candidate:7 1 udp 5 198.51.100.2 9 typ srflx raddr 192.168.1.5 rport 9",
            "candidate:7 1 udp 5 203.0.113.1 9 typ relay raddr 192.168.1.5 rport 9",
            "candidate:7 1 udp 5 203.0.113.9 9 typ host",
            "candidate:7 1 udp 5 x.local 9 typ host",
        ] {
            assert!(forwarded(other, &public).iter().all(|line| !line.contains("203.0.113.9 9 typ host")), "{other}");
        }
        assert_eq!(shown(host, &public), [added, host]);
    }
}
