//! Starts the parts of the daemon and connects them by channels.

use std::{future::Future, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::error;

use super::{
    Error,
    access::{AccessParts, issuer_ids},
    buttons, status,
};
use crate::{
    addresses,
    audit::AuditLog,
    broker::{self, EVENTS, Link, LinkKeys, Outbox, ReadTopics},
    clock::Mono,
    commands::restore_controls,
    config::{self, Config, Id},
    devices::Devices,
    gpio::{LampHandle, WatchedButton},
    grant::Grant,
    liveness::{Liveness, MAX_TICK},
    memory,
    message_limits::MessageLimits,
    owner::{OwnerSettings, socket_of_process},
    privacy::PrivacyHandle,
    protocol::{
        Presence,
        info::{info, sealed_info},
    },
    sessions::{SessionSurroundings, Sessions},
    signalling::{self, REPLIES, REQUESTS, SignallingQueues, inbound::Inbound},
    state_folder::StateFolder,
    trust::board_keys::{Announcement, BoardKeys},
    viewer::{SessionTerms, peer::PeerFactory},
};

/// How long after the start, or after the last device was switched off, free heap is returned.
const REST: Duration = Duration::from_secs(3);
/// How often free heap is returned while nobody watches.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// The running parts.
pub(super) struct Daemon {
    pub(super) devices: Devices,
    pub(super) peers: Arc<PeerFactory>,
    pub(super) outbox: Outbox,
    pub(super) settings: Settings,
    pub(super) audit: AuditLog,
    pub(super) buttons: Vec<WatchedButton>,
    pub(super) parts: Parts,
    pub(super) background: Background,
}

/// The values that a reload replaces. The parts follow them.
pub(super) struct Settings {
    pub(super) terms: watch::Sender<Arc<SessionTerms>>,
    pub(super) broker: watch::Sender<config::Broker>,
    /// What viewers on the list, or all in the mode `broker`, learn of the device.
    pub(super) info: watch::Sender<Bytes>,
    /// What is published as `info`.
    pub(super) announced: watch::Sender<Bytes>,
    pub(super) owner: watch::Sender<OwnerSettings>,
    /// The ids of the issuers.
    pub(super) issuers: watch::Sender<Arc<[Id]>>,
    /// The longest time for which a device stays open after its last viewer.
    linger: watch::Sender<Duration>,
    /// Sign `info`. `None` in the mode `broker`.
    keys: Option<Arc<BoardKeys>>,
}

impl Settings {
    fn new(config: &Config, owner: watch::Sender<OwnerSettings>, keys: Option<Arc<BoardKeys>>) -> Self {
        Self {
            terms: watch::Sender::new(Arc::new(SessionTerms::new(config))),
            broker: watch::Sender::new(config.broker.clone()),
            info: watch::Sender::new(info(config)),
            announced: watch::Sender::new(announced(config, keys.as_deref())),
            owner,
            issuers: watch::Sender::new(issuer_ids(config)),
            linger: watch::Sender::new(longest_linger(config)),
            keys,
        }
    }

    /// What the broker link needs in a signed mode.
    fn link_keys(&self, config: &Config) -> Option<LinkKeys> {
        let board = self.keys.clone()?;
        Some(LinkKeys { board, auth: config.access.mode.word(), issuers: self.issuers.subscribe() })
    }

    /// Describes the device anew, and takes its new lingers.
    pub(super) fn describe(&self, config: &Config) {
        self.linger.send_replace(longest_linger(config));
        self.info.send_replace(info(config));
        self.announced.send_replace(announced(config, self.keys.as_deref()));
    }
}

/// `info` as it is published.
fn announced(config: &Config, keys: Option<&BoardKeys>) -> Bytes {
    let Some(keys) = keys else { return info(config) };
    let signed = keys.announce(Announcement::Info, &sealed_info(config, keys.identity()));
    signed.map(Bytes::from).unwrap_or_else(|e| {
        error!("info cannot be signed: {e}");
        Bytes::new()
    })
}

/// The parts that every viewer needs, and the way to stop them.
pub(super) struct Parts {
    pub(super) sessions: JoinHandle<()>,
    pub(super) stop_sessions: watch::Sender<bool>,
    pub(super) signalling: JoinHandle<()>,
    pub(super) link: JoinHandle<()>,
    pub(super) stop_link: watch::Sender<bool>,
    /// The name of the first part that ended.
    pub(super) ended: mpsc::Receiver<&'static str>,
}

/// Tasks that are aborted at the end.
pub(super) struct Background {
    pub(super) status: JoinHandle<()>,
    pub(super) memory: JoinHandle<()>,
    pub(super) addresses: JoinHandle<()>,
    /// Keeps the logins of ICE servers valid.
    pub(super) ice_servers: JoinHandle<()>,
    /// Has the list of viewers and the control socket.
    pub(super) owner: JoinHandle<()>,
}

impl Daemon {
    /// Starts all parts. An error if there are no random bytes, or the WebRTC stack cannot be set up.
    pub(super) fn start(config: &Config, liveness: &Liveness, note: watch::Receiver<String>) -> Result<Self, Error> {
        let secret: [u8; 32] = random()?;
        let epoch: [u8; 16] = random()?;
        let peers = PeerFactory::new(&config.webrtc, config.audio.channels == 2)?;
        peers.set_need(config.video.bitrate, config.audio.bitrate);
        let (out, replies) = mpsc::channel(REPLIES);
        let (audit, news) = AuditLog::start();
        let AccessParts { grant, keys, trust, owner, privacy, settings } =
            AccessParts::new(config, &secret, out.clone(), &audit, liveness)?;
        let devices = start_devices(config, &privacy, liveness);
        let settings = Settings::new(config, settings, keys.clone());
        let limits = MessageLimits::new(config.limits.messages_per_second, Mono::now());
        let (sessions, presence) = Sessions::new(SessionSurroundings {
            grant: Arc::clone(&grant),
            limits: limits.clone(),
            terms: settings.terms.subscribe(),
            peers: Arc::clone(&peers),
            sources: devices.sources.clone(),
            privacy: privacy.clone(),
            folder: StateFolder::of_process(),
            info: settings.info.subscribe(),
            out: out.clone(),
            audit: audit.clone(),
            news,
        });
        let (events, messages) = mpsc::channel(EVENTS);
        let (stop_link, stop) = watch::channel(false);
        let (outbox, link) = broker::link(Link {
            config: settings.broker.subscribe(),
            device: config.device.clone(),
            keys: settings.link_keys(config),
            reads: read_topics(&grant),
            epoch: URL_SAFE_NO_PAD.encode(epoch),
            info: settings.announced.subscribe(),
            presence: presence.clone(),
            events,
            stop,
            heartbeat: liveness.register("broker link", MAX_TICK, Mono::now()),
        });
        let (requests, incoming) = mpsc::channel(REQUESTS);
        let inbound = Inbound::new(grant, limits, audit.clone());
        let heartbeat = liveness.register("signalling", MAX_TICK, Mono::now());
        let destinations = SignallingQueues { requests, refusals: out, trust };
        let signalling = signalling::run(inbound, messages, destinations, replies, keys, outbox.clone(), heartbeat);

        let memory = tokio::spawn(return_memory(presence.clone(), settings.linger.subscribe()));
        let line = status_line(config, &devices, &outbox, presence, note);
        let background = Background {
            status: tokio::spawn(line.report()),
            memory,
            addresses: tokio::spawn(addresses::follow(peers.moved.clone())),
            ice_servers: keep_ice_servers(&peers),
            owner: tokio::spawn(owner.run(socket_of_process())),
        };
        let heartbeat = liveness.register("sessions", MAX_TICK, Mono::now());
        let run_sessions = |stop| sessions.run(incoming, stop, heartbeat);
        let parts = Parts::start(run_sessions, signalling, link, stop_link);
        let buttons = buttons::start(config, &audit, &outbox, &privacy);
        Ok(Self { devices, peers, outbox, settings, audit, buttons, parts, background })
    }
}

impl Parts {
    fn start<S: Future<Output = ()> + Send + 'static>(
        sessions: impl FnOnce(watch::Receiver<bool>) -> S,
        signalling: impl Future<Output = ()> + Send + 'static,
        link: impl Future<Output = ()> + Send + 'static,
        stop_link: watch::Sender<bool>,
    ) -> Self {
        let (over, ended) = mpsc::channel(1);
        let (stop_sessions, stop) = watch::channel(false);
        Self {
            link: essential("the broker link", &over, link),
            signalling: essential("signalling", &over, signalling),
            sessions: essential("sessions", &over, sessions(stop)),
            stop_sessions,
            stop_link,
            ended,
        }
    }
}

/// Camera with the controls that viewers saved, microphone and loudspeaker, and the lamps that follow them.
fn start_devices(config: &Config, privacy: &PrivacyHandle, liveness: &Liveness) -> Devices {
    let lamps = LampHandle::start(&config.lamp);
    let (video, audio, speaker) = (&config.video, &config.audio, &config.speaker);
    let devices = Devices::new(video, audio, speaker, &privacy.follow(), lamps, liveness);
    devices.sources.cameras().for_each(|camera| camera.set_floor(video.floor));
    if let Some(folder) = StateFolder::of_process() {
        restore_controls(&folder, &devices.sources);
    }
    devices
}

fn status_line(
    config: &Config,
    devices: &Devices,
    outbox: &Outbox,
    presence: watch::Receiver<Presence>,
    note: watch::Receiver<String>,
) -> status::StatusLine {
    let (video, audio) = (devices.sources.camera().cloned(), devices.sources.microphone().cloned());
    status::StatusLine { device: config.device.clone(), broker: outbox.state(), presence, video, audio, note }
}

/// In the mode `keys`, only viewers on the list are read, and everybody while the board is pairing.
fn read_topics(grant: &Arc<Grant>) -> ReadTopics {
    let grant = Arc::clone(grant);
    ReadTopics::new(move |viewer| !grant.is_sealed() || grant.reads(viewer, Mono::now()).is_some())
}

/// Random bytes from the kernel.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}

/// Keeps the logins of ICE servers valid, until aborted.
pub(super) fn keep_ice_servers(peers: &Arc<PeerFactory>) -> JoinHandle<()> {
    let factory = Arc::clone(peers);
    tokio::spawn(async move { factory.keep().await })
}

/// Runs a part that must not end before the daemon. When it ends or panics, its name is sent to `over`.
fn essential(
    name: &'static str,
    over: &mpsc::Sender<&'static str>,
    part: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    struct End(&'static str, mpsc::Sender<&'static str>);
    impl Drop for End {
        fn drop(&mut self) {
            // Only the first part that ends matters, and none during the shutdown.
            let _ = self.1.try_send(self.0);
        }
    }
    let end = End(name, over.clone());
    tokio::spawn(async move {
        let _end = end;
        part.await;
    })
}

/// The longest time for which a device stays open after its last viewer.
fn longest_linger(config: &Config) -> Duration {
    let speaker = match config.speaker.output {
        config::SpeakerOutput::Off => Duration::ZERO,
        _ => config.speaker.linger,
    };
    config.video.linger.max(config.audio.linger).max(speaker)
}

/// Returns free heap to the kernel while nobody watches: first what the start or ended sessions needed, then once a
/// minute what messages to the broker needed.
async fn return_memory(mut presence: watch::Receiver<Presence>, linger: watch::Receiver<Duration>) {
    let mut rest = REST;
    loop {
        if presence.wait_for(|presence| presence.viewers == 0).await.is_err() {
            return;
        }
        while timeout(rest, presence.wait_for(|presence| presence.viewers > 0)).await.is_err() {
            memory::return_free();
            rest = HOUSEKEEPING;
        }
        if presence.wait_for(|presence| presence.viewers > 0).await.is_err() {
            return;
        }
        rest = *linger.borrow() + REST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_or_panics_is_reported() {
        let (over, mut ended) = mpsc::channel(1);
        let one = essential("one", &over, async {});
        assert_eq!(ended.recv().await, Some("one"));
        let other = essential("other", &over, async { panic!("of this test") });
        assert_eq!(ended.recv().await, Some("other"));
        assert!(one.await.is_ok() && other.await.is_err());
    }
}
