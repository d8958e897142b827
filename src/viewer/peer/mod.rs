//! One peer connection: descriptions, candidates, state, and the pumps that carry feeds into it.

pub(crate) mod driver;
mod error;
pub(crate) mod events;
pub(crate) mod factory;
pub(crate) mod media_engine;
mod missing_relays;
pub(crate) mod relays;
pub(crate) mod route;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use rtc::peer_connection::{
    sdp::RTCSessionDescription,
    transport::{RTCDtlsTransportState, RTCIceCandidateInit},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::{debug, info};
use webrtc::{
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{PeerConnection, transport::DtlsTransport},
    rtp_transceiver::RtpSender,
};

use self::error::bad_sdp;
pub(crate) use self::error::internal;
pub use self::{error::PeerError, events::PeerEvent, factory::PeerFactory};
use crate::{
    addresses::BoardAddresses,
    clock::Mono,
    config::Secret,
    feed::Evidence,
    level::Level,
    media_source::Lease,
    protocol::{Candidate, sdp::Description},
    units::Bitrate,
    viewer::{
        peer::relays::Relays,
        send::{
            interceptor::SendShared,
            pump::{self, SendCounters, TransportState},
            rtp_stream::{RtpStream, StreamParameters},
            start_rate::LastEstimate,
            twcc::TWCC_URI,
        },
        sockets::{bind::BindAddrs, filter::SharedFilter},
    },
};

/// How long a description waits for the candidates at hand: those of the board's own addresses need no network, only a
/// turn of the driver.
const AT_HAND: Duration = Duration::from_millis(20);
/// How long a connection may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// What one session came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerSummary {
    /// The selected pair: `host-host udp`, `relay-srflx tls by turns:host:5349` …; empty if there never was one.
    pub route: String,
    /// Video frames handed to the transport.
    pub frames: u64,
    /// Video frames left out because this viewer was late.
    pub skipped: u64,
    /// Audio packets handed to the transport.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// What its network was last found to carry, with all headers; `None`: the viewer did not report it up to the end.
    pub carries: Option<Bitrate>,
}

impl std::fmt::Display for PeerSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { route, frames, skipped, packets, carries, .. } = self;
        let route = if route.is_empty() { "no route" } else { route };
        write!(f, "{route}, {frames} frames sent, {skipped} skipped, {packets} sound packets")?;
        match carries {
            None => Ok(()),
            Some(bitrate) => write!(f, ", network takes {bitrate}"),
        }
    }
}

/// One sender and the track behind it.
pub(crate) struct OutgoingTrack {
    sender: Arc<dyn RtpSender>,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

/// One peer connection.
pub struct Peer {
    pub(crate) connection: Arc<dyn PeerConnection>,
    pub(crate) transport_state: watch::Sender<TransportState>,
    /// Whether the running generation of ICE has candidates.
    pub(crate) gathered: watch::Sender<bool>,
    /// Whether it has some without asking a server.
    pub(crate) gathers_at_once: bool,
    pub(crate) shared: Arc<SendShared>,
    pub(crate) filter: Arc<SharedFilter>,
    /// Whether the connection's driver has ended.
    pub(crate) ended: watch::Receiver<bool>,
    /// What it may bind to, and the board's addresses when it last looked.
    pub(crate) places: BindAddrs,
    pub(crate) present: Mutex<BoardAddresses>,
    pub(crate) mdns: bool,
    pub(crate) counts: Arc<SendCounters>,
    pub(crate) video: Option<OutgoingTrack>,
    pub(crate) audio: Option<OutgoingTrack>,
    pub(crate) playout_delay: Option<(bytes::Bytes, bytes::Bytes)>,
    pub(crate) pumps: Mutex<JoinSet<()>>,
    pub(crate) viewer: String,
    /// What viewers are told beside the addresses of the board.
    pub(crate) public: Vec<IpAddr>,
    pub(crate) relays: Relays,
    pub(crate) peers: Arc<PeerFactory>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("stage", &*self.transport_state.borrow()).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) async fn add(
        &self,
        track: rtc::media_stream::MediaStreamTrack,
        ssrc: u32,
    ) -> Result<OutgoingTrack, PeerError> {
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let local: Arc<dyn TrackLocal> = Arc::clone(&track) as Arc<dyn TrackLocal>;
        let sender = self.connection.add_track(local).await.map_err(internal("add a track"))?;
        Ok(OutgoingTrack { sender, track, ssrc })
    }

    /// Takes an offer (first or ICE restart), in the stack's words, and gives the stack's answer; gathering begins.
    pub async fn answer(&self, sdp: &str) -> Result<String, PeerError> {
        let offer = RTCSessionDescription::offer(sdp.to_owned()).map_err(bad_sdp)?;
        if self.connection.current_local_description().await.is_some() {
            self.can_restart()?;
        }
        if self.connection.pending_local_description().await.is_some() {
            // Glare: the device yields and forgets its own offer.
            let rollback = RTCSessionDescription::rollback(None).map_err(internal("take the own offer back"))?;
            self.connection.set_local_description(rollback).await.map_err(internal("take the own offer back"))?;
        }
        self.connection.set_remote_description(offer).await.map_err(bad_sdp)?;
        self.know(sdp);
        let answer = self.connection.create_answer(None).await.map_err(bad_sdp)?;
        self.describe(answer).await.map_err(bad_sdp)
    }

    /// Makes the stack's offer; with `restart` one that restarts ICE. Gathering begins.
    pub async fn offer(&self, restart: bool) -> Result<String, PeerError> {
        if restart {
            self.can_restart()?;
            self.connection.restart_ice().await.map_err(internal("restart ICE"))?;
        }
        let offer = self.connection.create_offer(None).await.map_err(internal("make an offer"))?;
        self.describe(offer).await.map_err(internal("set the own offer"))
    }

    /// Sets the own description and gives it with the candidates that are at hand, which saves the viewer a message and
    /// its wait; gathering goes on.
    async fn describe(&self, own: RTCSessionDescription) -> Result<String, webrtc::error::Error> {
        let bare = own.sdp.clone();
        // Before the stack takes checks to it.
        if let Some((ufrag, password)) = credentials(&bare) {
            self.filter.lock().describe(&ufrag, &password, Instant::now());
        }
        self.gathered.send_replace(false);
        self.connection.set_local_description(own).await?;
        if self.gathers_at_once {
            let mut gathered = self.gathered.subscribe();
            let _ = timeout(AT_HAND, gathered.wait_for(|gathered| *gathered)).await;
        }
        let described = self.connection.local_description().await.map_or(bare, |described| described.sdp);
        Ok(described)
    }

    /// What a viewer is told of an own candidate line.
    pub fn shown(&self, candidate: &str) -> Vec<String> {
        events::shown(candidate, &self.public)
    }

    /// Takes an answer, in the stack's words.
    pub async fn accept(&self, sdp: &str) -> Result<(), PeerError> {
        let answer = RTCSessionDescription::answer(sdp.to_owned()).map_err(bad_sdp)?;
        self.connection.set_remote_description(answer).await.map_err(bad_sdp)?;
        self.know(sdp);
        Ok(())
    }

    /// What the viewer's description says that is needed beside the stack.
    fn know(&self, sdp: &str) {
        let password = credentials(sdp).map(|(_, password)| Secret::new(password));
        *self.shared.password.lock().unwrap_or_else(PoisonError::into_inner) = password;
    }

    /// Wishes for a picture that does not need what was lost, now that the viewer is reached again.
    pub fn repair(&self) {
        self.shared.request_keyframe();
    }

    /// Adds a remote candidate that passed the limits. Only after `answer` or `accept`.
    pub async fn add_candidate(&self, candidate: &Candidate) -> Result<(), PeerError> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.mid.clone(),
            sdp_mline_index: candidate.mline,
            ..Default::default()
        };
        self.connection.add_ice_candidate(init).await.map_err(|e| PeerError::BadCandidate(e.to_string()))
    }

    /// All own candidates are there: says which TURN servers gave no relay, and why.
    pub fn log_missing_relays(&self) {
        self.peers.log_missing_relays(&self.relays);
    }

    /// What the negotiation gave an outgoing stream; `None` where it was refused.
    async fn line(&self, out: &OutgoingTrack, mime: &str) -> Option<StreamParameters> {
        let remote = self.connection.remote_description().await?;
        let kind = mime.split('/').next()?;
        let lines = Description::parse(&remote.sdp).ok()?.lines;
        if !lines.iter().any(|line| line.kind.name() == kind && line.direction.receives()) {
            return None;
        }
        let parameters = out.sender.get_parameters().await.ok()?.rtp_parameters;
        let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(mime))?;
        let id = |uri: &str| {
            let extension = parameters.header_extensions.iter().find(|e| e.uri == uri);
            extension.and_then(|e| u8::try_from(e.id).ok())
        };
        Some(StreamParameters {
            ssrc: out.ssrc,
            payload_type: codec.payload_type,
            playout_delay: id(media_engine::PLAYOUT_DELAY)
                .zip(self.playout_delay.clone())
                .map(|(id, (usual, longer))| (id, usual, longer)),
            number: id(TWCC_URI).unwrap_or(0),
            retransmission: route::rtx_payload_type(&parameters.codecs, codec.payload_type).unwrap_or(0),
        })
    }

    /// Starts the pumps: frames flow as soon as DTLS is up. Dropping the leases is the peer's duty from here on. `limit`
    /// is the highest level of H.264 that the viewer takes; `None`: any.
    pub async fn play(&self, video: Option<Lease>, audio: Option<Lease>, limit: Option<Level>) {
        if let (Some(out), Some(lease)) = (&self.video, video)
            && let Some(line) = self.line(out, "video/H264").await
        {
            let mut agreed = self.shared.agreed.lock().unwrap_or_else(PoisonError::into_inner);
            (agreed.picture, agreed.retransmission) = (line.number, line.retransmission);
            drop(agreed);
            let line = out.start(line, limit);
            let pump = pump::video(
                line,
                lease,
                self.transport_state.subscribe(),
                Arc::clone(&self.shared),
                Arc::clone(&self.counts),
            );
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
        if let (Some(out), Some(lease)) = (&self.audio, audio)
            && let Some(line) = self.line(out, "audio/opus").await
        {
            self.shared.agreed.lock().unwrap_or_else(PoisonError::into_inner).sound = line.number;
            let line = out.start(line, None);
            let pump = pump::audio(
                line,
                lease,
                self.transport_state.subscribe(),
                Arc::clone(&self.shared),
                Arc::clone(&self.counts),
            );
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
    }

    /// The level of the picture and the one that the viewer takes, while that is too high and none is sent.
    pub fn beyond(&self) -> watch::Receiver<Option<(Level, Level)>> {
        self.shared.beyond.subscribe()
    }

    /// What the session came to so far.
    pub async fn summary(&self) -> PeerSummary {
        let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        // Counted as handed over by the pump, and dropped after that.
        let dropped = count(&self.shared.dropped);
        PeerSummary {
            route: self.route().await.unwrap_or_default(),
            frames: count(&self.counts.frames).saturating_sub(dropped),
            skipped: count(&self.counts.skipped) + dropped,
            packets: count(&self.counts.packets),
            bytes: count(&self.counts.bytes),
            carries: self.carries(),
        }
    }

    /// Whether the other side has closed the connection: it said so by DTLS, of which the stack makes no event.
    pub async fn is_closed(&self) -> bool {
        match self.transport().await {
            Some(transport) => matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed)),
            None => false,
        }
    }

    pub(crate) async fn transport(&self) -> Option<Arc<dyn DtlsTransport>> {
        self.video.as_ref().or(self.audio.as_ref())?.sender.transport().await.ok()?
    }

    /// The pair that ICE chose; `None` while there is none.
    pub async fn route(&self) -> Option<String> {
        let transport = self.transport().await?;
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok()??;
        let relay = pair.local().address.parse().ok().map(|ip| SocketAddr::new(ip, pair.local().port));
        Some(route::name(&pair, relay.and_then(|relay| self.relays.server(relay))))
    }

    /// The viewer's path is lost, or there is one again.
    pub fn set_lost(&self, lost: bool) {
        for network in self.shared.picture.get().map(|(_, network)| network).into_iter().chain(self.shared.sound.get())
        {
            network.set_lost(lost);
        }
    }

    /// What its network was found to carry, with all headers; `None` unless the viewer reports it up to now.
    fn carries(&self) -> Option<Bitrate> {
        let (_, network) = self.shared.picture.get()?;
        let estimate = network.estimate(Mono::now())?;
        (estimate.evidence == Evidence::Measured).then_some(estimate.bitrate)
    }

    /// Stops the pumps and closes the connection; at most 2 s.
    pub async fn close(&self) {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let refused = self.filter.lock().refused();
        if refused.is_notable() {
            info!("viewer {}: {refused}", self.viewer);
        }
        if let Some(bitrate) = self.carries() {
            let limited = self.shared.limited.load(Ordering::Relaxed);
            self.peers.networks.remember(&self.viewer, LastEstimate { bitrate, limited }, Mono::now());
        }
        if timeout(CLOSE_DEADLINE, self.connection.close()).await.is_err() {
            debug!("a peer connection took longer than {CLOSE_DEADLINE:?} to close");
        }
    }
}

impl OutgoingTrack {
    fn start(&self, line: StreamParameters, limit: Option<Level>) -> pump::OutgoingStream {
        let track = RtpStream::new(line, random_u32() as u16, random_u32());
        pump::OutgoingStream { track, out: Arc::clone(&self.track), limit }
    }
}

/// ICE fragment and password of a description.
fn credentials(sdp: &str) -> Option<(String, String)> {
    let lines = Description::parse(sdp).map(|description| description.lines).unwrap_or_default();
    lines.into_iter().find_map(|line| line.ufrag.zip(line.password))
}

pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    // The kernel's generator does not fail after boot; a constant would still work, since SSRC collisions are legal.
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
