//! One peer connection: session descriptions, candidates, state, and the pumps that send feeds over it.

mod certificates;
mod channel;
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
pub use self::{channel::OpenedChannel, error::PeerError, events::PeerEvent, factory::PeerFactory};
use crate::{
    addresses::BoardAddresses,
    clock::Mono,
    config::Secret,
    feed::Evidence,
    level::Level,
    media_source::Lease,
    protocol::{Candidate, sdp::Description},
    talk::turns::Talker,
    units::Bitrate,
    viewer::{
        peer::relays::Relays,
        random::random_u32,
        receive::{TalkLine, TalkStream},
        send::{
            interceptor::SendShared,
            pump::{self, SendCounters, TransportState},
            rtp_stream::{RtpStream, StreamParameters},
            shared_streams::SharedStream,
            start_rate::LastEstimate,
            stream_state::NegotiatedIds,
            twcc::TWCC_URI,
        },
        sockets::{bind::BindAddrs, filter::SharedFilter},
    },
};

/// How long a session description waits for host candidates. They need no network, only one run of the driver.
const AT_HAND: Duration = Duration::from_millis(20);
/// How long a connection may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// The figures of one session, for the log.
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
    /// Bytes of RTP that were sent, with headers, also of packets that were sent again.
    pub bytes: u64,
    /// The last measured bandwidth estimate of the viewer's network, with all headers. `None` if there was none at the
    /// end.
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

/// One outgoing track and its `RTCRtpSender`.
pub(crate) struct OutgoingTrack {
    sender: Arc<dyn RtpSender>,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

/// One peer connection.
pub struct Peer {
    pub(crate) connection: Arc<dyn PeerConnection>,
    pub(crate) transport_state: watch::Sender<TransportState>,
    /// Whether the current ICE generation has local candidates.
    pub(crate) gathered: watch::Sender<bool>,
    /// Whether host candidates are used, which need no server. `false` with `webrtc.relay_only`.
    pub(crate) gathers_at_once: bool,
    pub(crate) shared: Arc<SendShared>,
    pub(crate) filter: Arc<SharedFilter>,
    /// Whether the connection's driver has ended.
    pub(crate) ended: watch::Receiver<bool>,
    /// Which addresses the connection may bind.
    pub(crate) bind_addrs: BindAddrs,
    /// The board's addresses at the last call of `moved`.
    pub(crate) present: Mutex<BoardAddresses>,
    /// Whether multicast DNS is configured.
    pub(crate) mdns: bool,
    pub(crate) counts: Arc<SendCounters>,
    pub(crate) video: Option<OutgoingTrack>,
    pub(crate) audio: Option<OutgoingTrack>,
    /// The `playout-delay` values for the header extension: the configured one, and the one for a network that loses
    /// packets.
    pub(crate) playout_delay: Option<(bytes::Bytes, bytes::Bytes)>,
    pub(crate) pumps: Mutex<JoinSet<()>>,
    pub(crate) viewer: String,
    /// Addresses from which a router forwards ports to this board; viewers get them as candidates too.
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
    /// Adds an outgoing track to the connection.
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

    /// Applies a remote offer (the first one, or an ICE restart) and returns the local answer. Gathering starts. Both
    /// are in the SDP form of the stack.
    pub async fn answer(&self, sdp: &str) -> Result<String, PeerError> {
        let offer = RTCSessionDescription::offer(sdp.to_owned()).map_err(bad_sdp)?;
        if self.connection.current_local_description().await.is_some() {
            self.can_restart()?;
        }
        if self.connection.pending_local_description().await.is_some() {
            // Glare: both sides made an offer. The device rolls back its own (JSEP, RFC 8829).
            let rollback = RTCSessionDescription::rollback(None).map_err(internal("roll back the local offer"))?;
            self.connection.set_local_description(rollback).await.map_err(internal("roll back the local offer"))?;
        }
        self.connection.set_remote_description(offer).await.map_err(bad_sdp)?;
        self.keep_remote_password(sdp);
        let answer = self.connection.create_answer(None).await.map_err(bad_sdp)?;
        self.describe(answer).await.map_err(bad_sdp)
    }

    /// Creates and sets a local offer; with `restart` one that restarts ICE. Gathering starts.
    pub async fn offer(&self, restart: bool) -> Result<String, PeerError> {
        if restart {
            self.can_restart()?;
            self.connection.restart_ice().await.map_err(internal("restart ICE"))?;
        }
        let offer = self.connection.create_offer(None).await.map_err(internal("make an offer"))?;
        self.describe(offer).await.map_err(internal("set the local offer"))
    }

    /// Sets the local description and returns it with the host candidates, which saves the viewer a message. Gathering
    /// continues.
    async fn describe(&self, own: RTCSessionDescription) -> Result<String, webrtc::error::Error> {
        let bare = own.sdp.clone();
        // The filter must know the new credentials before the first check for them arrives.
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

    /// The candidate lines that a viewer gets for one line of the local description; see `events::shown`.
    pub fn shown(&self, candidate: &str) -> Vec<String> {
        events::shown(candidate, &self.public)
    }

    /// Applies a remote answer, in the SDP form of the stack.
    pub async fn accept(&self, sdp: &str) -> Result<(), PeerError> {
        let answer = RTCSessionDescription::answer(sdp.to_owned()).map_err(bad_sdp)?;
        self.connection.set_remote_description(answer).await.map_err(bad_sdp)?;
        self.keep_remote_password(sdp);
        Ok(())
    }

    /// Keeps the viewer's ICE password for the peer tracker, which checks signatures itself.
    fn keep_remote_password(&self, sdp: &str) {
        let password = credentials(sdp).map(|(_, password)| Secret::new(password));
        *self.shared.password.lock().unwrap_or_else(PoisonError::into_inner) = password;
    }

    /// Requests a keyframe, since frames were lost while the viewer could not be reached.
    pub fn repair(&self) {
        self.shared.request_keyframe();
    }

    /// Adds a remote candidate that passed the limits of `protocol::candidate`. Only after `answer` or `accept`.
    pub async fn add_candidate(&self, candidate: &Candidate) -> Result<(), PeerError> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.mid.clone(),
            sdp_mline_index: candidate.mline,
            ..Default::default()
        };
        self.connection.add_ice_candidate(init).await.map_err(|e| PeerError::BadCandidate(e.to_string()))
    }

    /// Gathering is complete: logs which TURN servers gave no relay, and why.
    pub fn log_missing_relays(&self) {
        self.peers.log_missing_relays(&self.relays);
    }

    /// The negotiated parameters of an outgoing stream; `None` if the viewer refused it.
    async fn stream_parameters(&self, out: &OutgoingTrack, mime: &str) -> Option<StreamParameters> {
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
            ids: NegotiatedIds {
                twcc: id(TWCC_URI).unwrap_or(0),
                rtx: route::rtx_payload_type(&parameters.codecs, codec.payload_type).unwrap_or(0),
            },
        })
    }

    /// Starts the pumps. Frames flow once DTLS is connected. The pumps hold the leases from here on. `limit` is the
    /// highest H.264 level that the viewer decodes; `None`: any.
    pub async fn play(&self, video: Option<Lease>, audio: Option<Lease>, limit: Option<Level>) {
        if let (Some(out), Some(lease)) = (&self.video, video)
            && let Some(parameters) = self.stream_parameters(out, "video/H264").await
        {
            let shared = self.shared.streams.add(SharedStream::video(out.ssrc, parameters.ids, &lease.reader));
            let stream = out.start(parameters, shared, limit);
            let pump = pump::video(
                stream,
                lease,
                self.transport_state.subscribe(),
                Arc::clone(&self.shared),
                Arc::clone(&self.counts),
            );
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
        if let (Some(out), Some(lease)) = (&self.audio, audio)
            && let Some(parameters) = self.stream_parameters(out, "audio/opus").await
        {
            let shared = self.shared.streams.add(SharedStream::audio(out.ssrc, parameters.ids, &lease.reader));
            let stream = out.start(parameters, shared, None);
            let pump = pump::audio(
                stream,
                lease,
                self.transport_state.subscribe(),
                Arc::clone(&self.shared),
                Arc::clone(&self.counts),
            );
            self.pumps.lock().unwrap_or_else(PoisonError::into_inner).spawn(pump);
        }
    }

    /// Receives the sound of the viewer from now on. Later descriptions of the session change nothing.
    pub(crate) fn receive_talk(&self, line: TalkLine, join: impl FnOnce() -> Talker) {
        self.shared.talk.get_or_init(|| {
            self.filter.lock().allow_talk(line.payload_type);
            TalkStream { line, talker: Arc::new(join()) }
        });
    }

    /// The viewer as a talker. `None`: it cannot talk.
    pub fn talker(&self) -> Option<&Arc<Talker>> {
        self.shared.talk.get().map(|stream| &stream.talker)
    }

    /// The level of the video and the viewer's highest level, while the former is higher and no video is sent. Else
    /// `None`.
    pub fn beyond(&self) -> watch::Receiver<Option<(Level, Level)>> {
        self.shared.beyond.subscribe()
    }

    /// The session's figures so far.
    pub async fn summary(&self) -> PeerSummary {
        let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        // `counts.frames` includes frames that the pacer dropped later.
        let dropped = count(&self.shared.dropped);
        PeerSummary {
            route: self.route().await.unwrap_or_default(),
            frames: count(&self.counts.frames).saturating_sub(dropped),
            skipped: count(&self.counts.skipped) + dropped,
            packets: count(&self.counts.packets),
            bytes: count(&self.shared.sent),
            carries: self.carries(),
        }
    }

    /// Packets that were sent again.
    pub fn retransmitted(&self) -> u64 {
        self.shared.resent.load(Ordering::Relaxed)
    }

    /// Whether the viewer closed the connection: it sent a DTLS alert close_notify, for which the stack has no event.
    pub async fn is_closed(&self) -> bool {
        match self.transport().await {
            Some(transport) => matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed)),
            None => false,
        }
    }

    /// The DTLS transport; both tracks share it (BUNDLE, RFC 9143).
    pub(crate) async fn transport(&self) -> Option<Arc<dyn DtlsTransport>> {
        self.video.as_ref().or(self.audio.as_ref())?.sender.transport().await.ok()?
    }

    /// The selected pair as text, such as `host-prflx udp`; `None` while there is none.
    pub async fn route(&self) -> Option<String> {
        let transport = self.transport().await?;
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok()??;
        let relay = pair.local().address.parse().ok().map(|ip| SocketAddr::new(ip, pair.local().port));
        Some(route::name(&pair, relay.and_then(|relay| self.relays.server(relay))))
    }

    /// Tells the bandwidth estimates whether the viewer can be reached.
    pub fn set_lost(&self, lost: bool) {
        self.shared.streams.for_each(|stream| stream.network.set_lost(lost));
    }

    /// The bandwidth estimate, with all headers; `None` unless it is measured and current.
    fn carries(&self) -> Option<Bitrate> {
        let estimate = self.shared.streams.video()?.network.estimate(Mono::now())?;
        (estimate.evidence == Evidence::Measured).then_some(estimate.bitrate)
    }

    /// Stops the pumps and closes the connection. Takes at most 2 s.
    pub async fn close(&self) {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.talker().inspect(|talker| talker.leave());
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
    fn start(
        &self,
        parameters: StreamParameters,
        shared: Arc<SharedStream>,
        limit: Option<Level>,
    ) -> pump::OutgoingStream {
        let track = RtpStream::new(parameters, random_u32() as u16, random_u32());
        pump::OutgoingStream { track, shared, out: Arc::clone(&self.track), limit }
    }
}

/// The ICE username fragment and password of a session description (RFC 8839 section 5.4).
fn credentials(sdp: &str) -> Option<(String, String)> {
    let lines = Description::parse(sdp).map(|description| description.lines).unwrap_or_default();
    lines.into_iter().find_map(|line| line.ufrag.zip(line.password))
}
