//! What all peer connections share, and how a connection is opened.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rtc::peer_connection::{
    configuration::{RTCConfigurationBuilder, RTCIceTransportPolicy},
    transport::RTCIceServer,
};
use tokio::sync::{mpsc, watch};
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder};

use crate::{
    addresses::BoardAddresses,
    clock::Mono,
    config::Webrtc,
    ice::{Ice, SessionServers},
    protocol::Wanted,
    units::Bitrate,
    viewer::{
        peer::{
            Peer, PeerError,
            certificates::Certificates,
            events::{PeerEvent, PeerEventHandler},
            internal, media_engine,
            relays::{MissingRelays, Relays},
        },
        random::random_u32,
        send::{
            interceptor::{SendInterceptor, SendShared},
            pump::TransportState,
            rtp_stream::{MAX_PLAYOUT_DELAY, playout_delay},
            start_rate::StartRates,
        },
        sockets::{
            bind::{self, BindAddrs},
            checks::LoginBuckets,
            filter::SharedFilter,
            runtime::RebindRuntime,
        },
    },
};

/// What all peer connections share: configuration, a stock of DTLS certificates, ICE servers, start rates.
pub struct PeerFactory {
    config: Mutex<Webrtc>,
    stereo: bool,
    certificates: Certificates,
    pub(crate) ice: Ice,
    /// Sends the board's addresses when they change.
    pub moved: watch::Sender<BoardAddresses>,
    /// The last bandwidth estimate of each login.
    pub(crate) networks: StartRates,
    /// TURN servers that gave no relay.
    pub(crate) missed: Mutex<MissingRelays>,
    /// The budget of connectivity checks for each login.
    checks: Mutex<LoginBuckets>,
}

impl std::fmt::Debug for PeerFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerFactory").finish_non_exhaustive()
    }
}

impl PeerFactory {
    /// Prepares what all connections share. Makes the first DTLS certificates now, so that no viewer waits for one.
    pub fn new(config: &Webrtc, stereo: bool) -> Result<Arc<Self>, PeerError> {
        let config = Mutex::new(config.clone());
        Ok(Arc::new(Self {
            config,
            stereo,
            certificates: Certificates::new()?,
            ice: Ice::default(),
            moved: watch::Sender::new(BoardAddresses::now()),
            networks: StartRates::default(),
            missed: Mutex::default(),
            checks: Mutex::default(),
        }))
    }

    /// Applies new settings. Open connections keep theirs.
    pub fn configure(&self, config: Webrtc) {
        self.ice.marks.forget();
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Sets the highest bitrates that video and audio need. Open connections use them at once.
    pub fn set_need(&self, video: Bitrate, audio: Bitrate) {
        self.networks.set_need(video, audio);
    }

    /// The current settings.
    pub(crate) fn config(&self) -> Webrtc {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a peer connection for the login `viewer`. `media` is what the connection will carry: for a `request` what
    /// the viewer wants, for an offer all that the board has. The bandwidth estimate starts with that of an earlier
    /// session of this login.
    pub async fn open(
        self: &Arc<Self>,
        viewer: &str,
        media: Wanted,
        events: mpsc::Sender<PeerEvent>,
    ) -> Result<Peer, PeerError> {
        let config = self.config();
        let mut resolved = self.ice.open(&config).await;
        let bounds = self.networks.bounds(viewer, Mono::now());
        let (ceiling, number) = (self.networks.ceiling(), login_number(viewer));
        let shared = Arc::new(SendShared { start: bounds.start, ceiling, login: number, ..SendShared::default() });
        let login = self.checks.lock().unwrap_or_else(PoisonError::into_inner).of(viewer, Instant::now());
        let (filter, ended) = (Arc::new(SharedFilter::new(login, config.loopback)), watch::Sender::new(false));
        let transport_state = watch::Sender::new(TransportState::default());
        let gathered = watch::Sender::new(false);
        let servers = std::mem::take(&mut resolved.servers);
        let addresses = std::mem::take(&mut resolved.addresses);
        let asked = Arc::new(SessionServers { addresses, marks: Arc::clone(&self.ice.marks) });
        let relays = Relays { resolved, gained: Arc::default() };
        let (found, public) = (Arc::clone(&relays.gained), config.public_addresses.clone());
        let handler = PeerEventHandler::new(events, transport_state.clone(), gathered.clone(), found, public.clone());
        let interceptor = SendInterceptor::new(Arc::clone(&shared), bounds, Instant::now());
        let runtime =
            RebindRuntime::new(viewer.to_owned(), Arc::clone(&shared), Arc::clone(&filter), asked, ended.clone());
        let mut peer = Peer {
            connection: self.connect(&config, servers, handler, interceptor, runtime).await?,
            transport_state,
            gathered,
            gathers_at_once: !config.relay_only,
            shared,
            filter,
            ended: ended.subscribe(),
            bind_addrs: BindAddrs::udp(&config),
            present: Mutex::new(self.moved.borrow().clone()),
            mdns: config.mdns,
            counts: Arc::default(),
            video: None,
            audio: None,
            playout_delay: config
                .playout_delay
                .map(|(least, most)| (playout_delay(least, most), playout_delay(least, most.max(MAX_PLAYOUT_DELAY)))),
            pumps: Mutex::default(),
            relays,
            viewer: viewer.to_owned(),
            public,
            peers: Arc::clone(self),
        };
        self.add_tracks(&mut peer, media).await?;
        Ok(peer)
    }

    /// Opens the connection of the WebRTC stack.
    async fn connect(
        &self,
        config: &Webrtc,
        servers: Vec<RTCIceServer>,
        handler: PeerEventHandler,
        interceptor: SendInterceptor,
        runtime: RebindRuntime,
    ) -> Result<Arc<dyn PeerConnection>, PeerError> {
        let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(servers)
            .with_ice_transport_policy(policy)
            .with_certificates(vec![self.certificates.take()?])
            .build();
        let opening = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media_engine::media_engine(self.stereo).map_err(internal("set up the codecs"))?)
            .with_interceptor_registry(media_engine::registry(interceptor))
            .with_setting_engine(media_engine::settings(config.loopback, bind::names(config)))
            .with_runtime(Arc::new(runtime))
            .with_handler(Arc::new(handler))
            .with_udp_addrs(vec![BindAddrs::udp(config)])
            .with_tcp_addrs(BindAddrs::tcp(config))
            .build();
        // Boxed because the future takes 20 kB, which would stay in each viewer's task for its whole life.
        let connection = Box::pin(opening).await.map_err(internal("open a peer connection"))?;
        Ok(Arc::new(connection))
    }

    /// Adds a track for each medium, sound first.
    async fn add_tracks(&self, peer: &mut Peer, media: Wanted) -> Result<(), PeerError> {
        if media.audio {
            let ssrc = random_u32();
            peer.audio = Some(peer.add(media_engine::audio_track(ssrc, self.stereo), ssrc).await?);
        }
        if media.video {
            let (ssrc, rtx) = (random_u32(), random_u32());
            peer.video = Some(peer.add(media_engine::video_track(ssrc, rtx), ssrc).await?);
        }
        Ok(())
    }
}

/// A number that identifies a login in all its sessions; never 0.
fn login_number(viewer: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    viewer.hash(&mut hasher);
    hasher.finish().max(1)
}
