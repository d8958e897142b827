//! One peer connection: codecs, ICE servers, interceptors, and the pumps that carry feeds into it.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    config::Webrtc,
    protocol::{Candidate, Wanted},
    studio::Lease,
};

/// What all peer connections share: settings, certificate, resolved servers.
#[derive(Debug)]
pub struct Peers {
    config: Webrtc,
}

/// What a peer connection tells its viewer task. Sent to a bounded queue (64); when it is full the event is dropped and counted, but for
/// the state events, which replace each other.
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

/// Why a description was refused.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not SDP, or SDP that cannot be applied.
    #[error("{0}")]
    BadSdp(String),
    /// No H.264 (for a picture) and no Opus (for a sound) in common.
    #[error("{0}")]
    NoCommonCodec(String),
    /// A candidate that cannot be applied.
    #[error("{0}")]
    BadCandidate(String),
    /// Anything that is not the viewer's fault.
    #[error("{0}")]
    Internal(String),
}

/// What one session came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The selected pair: `host-host udp`, `relay-srflx udp` …; empty if there never was one.
    pub route: String,
    /// Video frames handed to the transport.
    pub frames: u64,
    /// Video frames left out because this viewer was late.
    pub skipped: u64,
    /// Audio packets handed to the transport.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// One peer connection.
#[derive(Debug)]
pub struct Peer {}

impl Peers {
    /// Prepares what all connections share; makes the DTLS certificate, so that no viewer waits for it.
    pub fn new(config: &Webrtc) -> Result<Arc<Self>, PeerError> {
        Ok(Arc::new(Self { config: config.clone() }))
    }

    /// Opens a peer connection. `media` says what it will carry: with a `request` what was wanted, with an offer both.
    pub async fn open(self: &Arc<Self>, _media: Wanted, _events: mpsc::Sender<PeerEvent>) -> Result<Peer, PeerError> {
        let _ = &self.config;
        Ok(Peer {})
    }
}

impl Peer {
    /// Takes the viewer's offer (first or ICE restart) and gives the answer; gathering begins.
    pub async fn answer(&self, _sdp: &str) -> Result<String, PeerError> {
        Ok(String::new())
    }

    /// Makes the device's offer; with `restart` one that restarts ICE. Gathering begins.
    pub async fn offer(&self, _restart: bool) -> Result<String, PeerError> {
        Ok(String::new())
    }

    /// Takes the viewer's answer.
    pub async fn accept(&self, _sdp: &str) -> Result<(), PeerError> {
        Ok(())
    }

    /// Adds a remote candidate that passed the limits. Only after `answer` or `accept`.
    pub async fn add_candidate(&self, _candidate: &Candidate) -> Result<(), PeerError> {
        Ok(())
    }

    /// The user fragment of the local description, which names the ICE generation.
    pub async fn ufrag(&self) -> String {
        String::new()
    }

    /// What the negotiated m-lines carry.
    pub async fn media(&self) -> Wanted {
        Wanted { video: true, audio: true, talk: false }
    }

    /// Starts the pumps: frames flow as soon as DTLS is up. Dropping the leases is the peer's duty from here on.
    pub fn play(&self, _video: Option<Lease>, _audio: Option<Lease>) {}

    /// What the session came to so far.
    pub async fn summary(&self) -> Summary {
        Summary::default()
    }

    /// Stops the pumps and closes the connection; at most 2 s.
    pub async fn close(&self) {}
}
