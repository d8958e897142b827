//! What a peer connection tells of itself, on its way from the connection's driver to the viewer's task.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rtc::peer_connection::{
    event::RTCPeerConnectionIceEvent,
    state::{RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState},
};
use tokio::sync::{mpsc, watch};
use tracing::debug;
use webrtc::peer_connection::PeerConnectionEventHandler;

use super::pump::Stage;
use crate::protocol::{
    Candidate,
    candidate::{Verdict, judge},
};

/// What a peer connection tells its viewer task, through a queue that the driver never waits for: a queue that is full
/// means a viewer that no longer works, and the event is lost with it.
#[derive(Debug)]
pub enum PeerEvent {
    /// A local candidate.
    Candidate(Candidate),
    /// No more local candidates in this generation.
    GatheringDone,
    /// ICE has a pair; DTLS goes on from here.
    IceConnected,
    /// ICE lost its pair; it may come back.
    IceDisconnected,
    /// ICE has no pair and gave up.
    IceFailed,
    /// DTLS is up: media flows.
    Connected,
    /// DTLS failed.
    DtlsFailed,
    /// The connection was closed from the other side.
    Closed,
}

/// The connection's events. Called on its driver: nothing here may wait.
pub(super) struct Handler {
    events: mpsc::Sender<PeerEvent>,
    stage: watch::Sender<Stage>,
    gathered: watch::Sender<bool>,
    secured: AtomicBool,
}

impl Handler {
    /// Tells events to `events`, the connection's progress to `stage`, and to `gathered` that there are candidates.
    pub(super) fn new(
        events: mpsc::Sender<PeerEvent>,
        stage: watch::Sender<Stage>,
        gathered: watch::Sender<bool>,
    ) -> Self {
        Self { events, stage, gathered, secured: AtomicBool::new(false) }
    }

    fn tell(&self, event: PeerEvent) {
        if let Err(e) = self.events.try_send(event) {
            debug!("an event of a peer connection was dropped: {e}");
        }
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(init) = event.candidate.to_json()
            && is_of_use(&init.candidate)
        {
            let candidate = Candidate {
                candidate: init.candidate,
                mid: init.sdp_mid.filter(|m| !m.is_empty()),
                mline: init.sdp_mline_index.or(Some(0)),
            };
            self.tell(PeerEvent::Candidate(candidate));
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
                self.stage.send_if_modified(|stage| {
                    let first = *stage == Stage::Connecting;
                    if first {
                        *stage = Stage::Securing;
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

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => {
                if !self.secured.swap(true, Ordering::AcqRel) {
                    self.stage.send_replace(Stage::Live);
                }
                self.tell(PeerEvent::Connected);
            }
            // ICE failures are told as such above; what fails with a pair in place is DTLS.
            RTCPeerConnectionState::Failed if *self.stage.borrow() == Stage::Securing => {
                self.tell(PeerEvent::DtlsFailed)
            }
            RTCPeerConnectionState::Closed => self.tell(PeerEvent::Closed),
            _ => {}
        }
    }
}

/// A description without the own candidates that are of no use: the stack names each one for RTCP as well, as component 2,
/// and where there is no interface of a family it makes one of the unspecified address.
pub(super) fn presentable(sdp: &str) -> String {
    let kept =
        |line: &&str| line.strip_prefix("a=").is_none_or(|rest| !rest.starts_with("candidate:") || is_of_use(rest));
    sdp.split_inclusive('\n').filter(kept).collect()
}

/// Own candidates obey the rules that hold for others.
fn is_of_use(candidate: &str) -> bool {
    matches!(judge(candidate, true), Verdict::Take { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_of_no_address_or_for_rtcp_is_not_shown() {
        let kept = "v=0\r\nm=video 9 X 102\r\na=candidate:1 1 udp 5 192.0.2.1 9 typ host\r\n";
        let sdp = format!(
            "{kept}a=candidate:2 1 udp 5 :: 9 typ host\r\na=candidate:3 1 udp 5 0.0.0.0 9 typ host\r\na=candidate:1 2 udp 5 192.0.2.1 9 typ host\r\na=mid:0\r\n"
        );
        assert_eq!(presentable(&sdp), format!("{kept}a=mid:0\r\n"));
    }
}
