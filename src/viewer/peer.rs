//! One peer connection: descriptions, candidates, state, and the pumps that carry feeds into it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use rtc::{
    crypto::SignatureScheme,
    peer_connection::{
        certificate::{CertificateParams, RTCCertificate},
        configuration::{RTCConfigurationBuilder, RTCIceTransportPolicy},
        sdp::RTCSessionDescription,
        transport::{RTCDtlsTransportState, RTCIceCandidateInit},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;
use webrtc::{
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{PeerConnection, PeerConnectionBuilder, transport::DtlsTransport},
    rtp_transceiver::RtpSender,
    runtime::TokioRuntime,
};

pub use super::handler::PeerEvent;
use super::{
    engine,
    feedback::{Feedback, Said},
    handler::{Handler, presentable},
    pump::{self, Counts, Stage},
    relays::{Missed, Relays},
    route,
    sockets::{self, Places},
    track::{Line, Track, playout_delay},
};
use crate::{
    config::Webrtc,
    ice::Ice,
    protocol::{Candidate, Wanted},
    stage::Lease,
};

/// How long a description waits for the candidates at hand: those of the board's own addresses need no network, only a
/// turn of the driver.
const AT_HAND: Duration = Duration::from_millis(20);
/// How long a connection may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// What all peer connections share: settings, certificate, resolved servers.
pub struct Peers {
    config: Mutex<Webrtc>,
    stereo: bool,
    certificate: RTCCertificate,
    pub(super) ice: Ice,
    /// TURN servers that give no relay.
    pub(super) missed: Mutex<Missed>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
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
}

/// One sender and the track behind it.
struct Outgoing {
    sender: Arc<dyn RtpSender>,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

/// One peer connection.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    stage: watch::Sender<Stage>,
    /// Whether the running generation of ICE has candidates.
    gathered: watch::Sender<bool>,
    /// Whether it has some without asking a server.
    gathers_at_once: bool,
    said: Arc<Said>,
    counts: Arc<Counts>,
    video: Option<Outgoing>,
    audio: Option<Outgoing>,
    playout_delay: Option<bytes::Bytes>,
    pumps: Mutex<JoinSet<()>>,
    /// What viewers are told beside the addresses of the board.
    public: Vec<IpAddr>,
    relays: Relays,
    peers: Arc<Peers>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("stage", &*self.stage.borrow()).finish_non_exhaustive()
    }
}

impl Peers {
    /// Prepares what all connections share; makes the DTLS certificate, so that no viewer waits for it.
    pub fn new(config: &Webrtc, stereo: bool) -> Result<Arc<Self>, PeerError> {
        let provider = rtc::crypto::default_provider().map_err(internal("find a crypto provider"))?;
        let params =
            CertificateParams::new(vec!["fanlight".to_owned()]).map_err(internal("name the DTLS certificate"))?;
        let certificate = RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, params)
            .map_err(internal("make the DTLS certificate"))?;
        let config = Mutex::new(config.clone());
        Ok(Arc::new(Self { config, stereo, certificate, ice: Ice::default(), missed: Mutex::default() }))
    }

    /// Takes new settings; connections that are open keep theirs.
    pub fn configure(&self, config: Webrtc) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The settings in force.
    pub(super) fn config(&self) -> Webrtc {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a peer connection. `media` says what it will carry: with a `request` what was wanted, with an offer all
    /// that the board has.
    pub async fn open(self: &Arc<Self>, media: Wanted, events: mpsc::Sender<PeerEvent>) -> Result<Peer, PeerError> {
        let config = self.config();
        let mut ways = self.ice.open(&config).await;
        let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let said = Arc::new(Said::default());
        let stage = watch::Sender::new(Stage::default());
        let gathered = watch::Sender::new(false);
        let servers = std::mem::take(&mut ways.servers);
        let relays = Relays { ways, gained: Arc::default() };
        let (found, public) = (Arc::clone(&relays.gained), config.public_addresses.clone());
        let handler = Handler::new(events, stage.clone(), gathered.clone(), found, public.clone());
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(servers)
            .with_ice_transport_policy(policy)
            .with_certificates(vec![self.certificate.clone()])
            .build();
        let opening = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(engine::media_engine(self.stereo).map_err(internal("set up the codecs"))?)
            .with_interceptor_registry(engine::registry(Feedback::new(Arc::clone(&said))))
            .with_setting_engine(engine::settings(config.loopback, sockets::names(&config)))
            .with_runtime(Arc::new(TokioRuntime))
            .with_handler(Arc::new(handler))
            .with_udp_addrs(vec![Places::udp(&config)])
            .with_tcp_addrs(Places::tcp(&config))
            .build();
        // Boxed: the future is 20 kB, which would otherwise be part of each viewer's task for life.
        let connection = Box::pin(opening).await.map_err(internal("open a peer connection"))?;
        let mut peer = Peer {
            connection: Arc::new(connection),
            stage,
            gathered,
            gathers_at_once: !config.relay_only,
            said,
            counts: Arc::default(),
            video: None,
            audio: None,
            playout_delay: config.playout_delay.map(|(least, most)| playout_delay(least, most)),
            pumps: Mutex::default(),
            relays,
            public,
            peers: Arc::clone(self),
        };
        if media.audio {
            let ssrc = random_u32();
            peer.audio = Some(peer.add(engine::audio_track(ssrc, self.stereo), ssrc).await?);
        }
        if media.video {
            let (ssrc, rtx) = (random_u32(), random_u32());
            peer.video = Some(peer.add(engine::video_track(ssrc, rtx), ssrc).await?);
        }
        Ok(peer)
    }
}

impl Peer {
    async fn add(&self, track: rtc::media_stream::MediaStreamTrack, ssrc: u32) -> Result<Outgoing, PeerError> {
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let local: Arc<dyn TrackLocal> = Arc::clone(&track) as Arc<dyn TrackLocal>;
        let sender = self.connection.add_track(local).await.map_err(internal("add a track"))?;
        Ok(Outgoing { sender, track, ssrc })
    }

    /// Takes the viewer's offer (first or ICE restart) and gives the answer; gathering begins.
    pub async fn answer(&self, sdp: &str) -> Result<String, PeerError> {
        let offer = RTCSessionDescription::offer(sdp.to_owned()).map_err(bad_sdp)?;
        if self.connection.pending_local_description().await.is_some() {
            // Glare: the device yields and forgets its own offer.
            let rollback = RTCSessionDescription::rollback(None).map_err(internal("take the own offer back"))?;
            self.connection.set_local_description(rollback).await.map_err(internal("take the own offer back"))?;
        }
        self.connection.set_remote_description(offer).await.map_err(bad_sdp)?;
        let answer = self.connection.create_answer(None).await.map_err(bad_sdp)?;
        let sdp = self.describe(answer).await.map_err(bad_sdp)?;
        self.refuse_without_codec().await?;
        Ok(sdp)
    }

    /// Makes the device's offer; with `restart` one that restarts ICE. Gathering begins.
    pub async fn offer(&self, restart: bool) -> Result<String, PeerError> {
        if restart {
            self.connection.restart_ice().await.map_err(internal("restart ICE"))?;
        }
        let offer = self.connection.create_offer(None).await.map_err(internal("make an offer"))?;
        self.describe(offer).await.map_err(internal("set the own offer"))
    }

    /// Sets the own description and gives it with the candidates that are at hand, which saves the viewer a message and
    /// its wait; gathering goes on.
    async fn describe(&self, own: RTCSessionDescription) -> Result<String, webrtc::error::Error> {
        let bare = own.sdp.clone();
        self.gathered.send_replace(false);
        self.connection.set_local_description(own).await?;
        if self.gathers_at_once {
            let mut gathered = self.gathered.subscribe();
            let _ = timeout(AT_HAND, gathered.wait_for(|gathered| *gathered)).await;
        }
        let described = self.connection.local_description().await.map_or(bare, |described| described.sdp);
        Ok(presentable(&described, &self.public))
    }

    /// Takes the viewer's answer.
    pub async fn accept(&self, sdp: &str) -> Result<(), PeerError> {
        let answer = RTCSessionDescription::answer(sdp.to_owned()).map_err(bad_sdp)?;
        self.connection.set_remote_description(answer).await.map_err(bad_sdp)?;
        self.refuse_without_codec().await
    }

    async fn refuse_without_codec(&self) -> Result<(), PeerError> {
        let media = self.media().await;
        if media.video || media.audio {
            return Ok(());
        }
        Err(PeerError::NoCommonCodec(
            "no codec in common: this board sends H.264 (packetization-mode 1) and Opus".into(),
        ))
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
    pub fn tell_relays(&self) {
        self.relays.tell(&self.peers);
    }

    /// What the negotiated m-lines carry.
    pub async fn media(&self) -> Wanted {
        let video = match &self.video {
            Some(out) => self.line(out, "video/H264").await.is_some(),
            None => false,
        };
        let audio = match &self.audio {
            Some(out) => self.line(out, "audio/opus").await.is_some(),
            None => false,
        };
        Wanted { video, audio, talk: false }
    }

    /// What the negotiation gave an outgoing stream; `None` where it was refused.
    async fn line(&self, out: &Outgoing, mime: &str) -> Option<Line> {
        let remote = self.connection.remote_description().await?;
        let kind = mime.split('/').next()?;
        if !route::receives(&remote.sdp, kind) {
            return None;
        }
        let parameters = out.sender.get_parameters().await.ok()?.rtp_parameters;
        let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(mime))?;
        let extension = parameters.header_extensions.iter().find(|e| e.uri == engine::PLAYOUT_DELAY);
        let id = extension.and_then(|e| u8::try_from(e.id).ok());
        Some(Line {
            ssrc: out.ssrc,
            payload_type: codec.payload_type,
            playout_delay: id.zip(self.playout_delay.clone()),
        })
    }

    /// Starts the pumps: frames flow as soon as DTLS is up. Dropping the leases is the peer's duty from here on.
    pub async fn play(&self, video: Option<Lease>, audio: Option<Lease>) {
        if let (Some(out), Some(lease)) = (&self.video, video)
            && let Some(line) = self.line(out, "video/H264").await
        {
            let line = out.start(line);
            let pump =
                pump::video(line, lease, self.stage.subscribe(), Arc::clone(&self.said), Arc::clone(&self.counts));
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
        if let (Some(out), Some(lease)) = (&self.audio, audio)
            && let Some(line) = self.line(out, "audio/opus").await
        {
            let line = out.start(line);
            let pump =
                pump::audio(line, lease, self.stage.subscribe(), Arc::clone(&self.said), Arc::clone(&self.counts));
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
    }

    /// What the session came to so far.
    pub async fn summary(&self) -> Summary {
        let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        Summary {
            route: self.route().await.unwrap_or_default(),
            frames: count(&self.counts.frames),
            skipped: count(&self.counts.skipped),
            packets: count(&self.counts.packets),
            bytes: count(&self.counts.bytes),
        }
    }

    /// Whether the other side has closed the connection: it said so by DTLS, of which the stack makes no event.
    pub async fn is_closed(&self) -> bool {
        match self.transport().await {
            Some(transport) => matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed)),
            None => false,
        }
    }

    async fn transport(&self) -> Option<Arc<dyn DtlsTransport>> {
        self.video.as_ref().or(self.audio.as_ref())?.sender.transport().await.ok()?
    }

    /// The pair that ICE chose; `None` while there is none.
    pub async fn route(&self) -> Option<String> {
        let transport = self.transport().await?;
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok()??;
        let relay = pair.local().address.parse().ok().map(|ip| SocketAddr::new(ip, pair.local().port));
        Some(route::name(&pair, relay.and_then(|relay| self.relays.server(relay))))
    }

    /// Stops the pumps and closes the connection; at most 2 s.
    pub async fn close(&self) {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        if timeout(CLOSE_DEADLINE, self.connection.close()).await.is_err() {
            debug!("a peer connection took longer than {CLOSE_DEADLINE:?} to close");
        }
    }
}

impl Outgoing {
    fn start(&self, line: Line) -> pump::Line {
        let track = Track::new(line, random_u32() as u16, random_u32());
        pump::Line { track, out: Arc::clone(&self.track) }
    }
}

pub(super) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    // The kernel's generator does not fail after boot; a constant would still work, since SSRC collisions are legal.
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

fn bad_sdp(error: impl std::fmt::Display) -> PeerError {
    PeerError::BadSdp(format!("session description: {error}"))
}

fn internal<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> PeerError {
    move |error| PeerError::Internal(format!("{doing}: {error}"))
}
