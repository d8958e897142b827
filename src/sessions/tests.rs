//! Long: the stage that all files of this folder share, and its first tests.

use base64::Engine;
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    broker::LinkEvent,
    config::{Audio, AudioSource, IceLogin, IceServer, Limits, Speaker, Video, VideoSource, Webrtc},
    devices::Devices,
    gpio::LampHandle,
    liveness::Liveness,
    privacy::{BoardPrivacy, PrivacyHandle},
    protocol::{Addressed, Authorised, Correlation, PermittedBy, RequestHead, Right, Rights, contract_tests, envelope},
    signalling::{self, SignallingQueues, inbound::Inbound, outbound},
    viewer::SessionRequest,
};

mod audit;
mod clients;
mod commands;
mod correlation;
mod descriptions;
mod ends;
mod floods;
mod handles;
mod levels;
mod live;
mod permissions;
mod rows;

/// What a browser offers, cut down to one m-line of sound.
const OFFER: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=ice-options:trickle\r\na=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:\
    16:17:18:19:1A:1B:1C:1D:1E:1F\r\na=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";

/// The sessions with signalling in front of them, as a daemon has them. Only loopback is used.
struct House {
    terms: watch::Sender<Arc<SessionTerms>>,
    peers: Arc<PeerFactory>,
    events: mpsc::Sender<LinkEvent>,
    said: SentReplies,
    presence: watch::Receiver<Presence>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    audit: AuditLog,
    privacy: PrivacyHandle,
    _devices: Devices,
}

/// The replies of the sessions and of signalling.
struct SentReplies(mpsc::Receiver<OutgoingReply>);

impl SentReplies {
    /// The next reply, as the link gets it.
    async fn recv(&mut self) -> Option<Addressed> {
        self.0.recv().await.map(|reply| outbound::message(&reply, None).unwrap())
    }

    fn try_recv(&mut self) -> Result<Addressed, mpsc::error::TryRecvError> {
        self.0.try_recv().map(|reply| outbound::message(&reply, None).unwrap())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Sends new terms to the sessions.
type Changes = watch::Sender<Arc<SessionTerms>>;

/// The parts of a [`House`].
type Parts = (Sessions, SentReplies, watch::Receiver<Presence>, Changes, Arc<PeerFactory>, Devices);

/// Settings that use only loopback.
fn loopback() -> Webrtc {
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    Webrtc { addresses, loopback: true, ipv6: false, ..Webrtc::default() }
}

fn sessions(limits: Limits, audio: AudioSource) -> Parts {
    sessions_with(limits, audio, VideoSource::Off)
}

fn sessions_with(limits: Limits, audio: AudioSource, video: VideoSource) -> Parts {
    let video = Video { source: video, ..Video::default() };
    let (privacy, _) = PrivacyHandle::new(BoardPrivacy::restore(None));
    let audio = Audio { source: audio, ..Audio::default() };
    let (lamps, liveness) = (LampHandle::default(), Liveness::default());
    let devices = Devices::new(&video, &audio, &Speaker::default(), &privacy.follow(), lamps, &liveness);
    let peers = PeerFactory::new(&loopback(), false).unwrap();
    let sources = devices.sources.clone();
    let (terms, seen) = watch::channel(Arc::new(SessionTerms { limits, loopback: true }));
    let (out, said) = mpsc::channel(64);
    let grant = Arc::new(Grant::by_broker(&[7; 32]));
    let message_limits = MessageLimits::new(terms.borrow().limits.messages_per_second, Mono::now());
    let info = watch::channel(Bytes::from_static(b"{}")).1;
    let (audit, news) = AuditLog::kept();
    let limits = message_limits;
    let around = SessionSurroundings {
        grant,
        limits,
        terms: seen,
        peers: Arc::clone(&peers),
        sources,
        privacy,
        folder: None,
        info,
        out,
        audit,
        news,
    };
    let (sessions, presence) = Sessions::new(around);
    (sessions, SentReplies(said), presence, terms, peers, devices)
}

/// A message of session `session` (one letter) with further fields.
fn message(session: char, seq: u64, kind: &str, mut fields: Value) -> String {
    let all = fields.as_object_mut().unwrap();
    all.insert("v".into(), 1.into());
    all.insert("type".into(), kind.into());
    all.insert("session".into(), session.to_string().repeat(22).into());
    all.insert("seq".into(), seq.into());
    fields.to_string()
}

impl House {
    fn new(limits: Limits, audio: AudioSource) -> Self {
        Self::with(sessions(limits, audio))
    }

    fn with((sessions, said, presence, terms, peers, devices): Parts) -> Self {
        let (events, messages) = mpsc::channel(32);
        let (requests, incoming) = mpsc::channel(signalling::REQUESTS);
        let inbound = Inbound::new(Arc::clone(&sessions.grant), sessions.limits.clone(), sessions.audit.clone());
        let (audit, privacy) = (sessions.audit.clone(), sessions.commands.privacy_handle().clone());
        let refusals = sessions.out.clone();
        let queues = SignallingQueues { requests, refusals, trust: None };
        tokio::spawn(signalling::receive(inbound, messages, queues, Heartbeat::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(sessions.run(incoming, stopped, Heartbeat::default()));
        Self { terms, peers, events, said, presence, stop, task, audit, privacy, _devices: devices }
    }

    fn usual() -> Self {
        Self::new(Limits::default(), AudioSource::Tone)
    }

    async fn send(&self, viewer: &str, payload: impl Into<Bytes>) {
        self.send_with(viewer, payload, None).await;
    }

    /// Sends a message with this Correlation Data.
    async fn send_with(&self, viewer: &str, payload: impl Into<Bytes>, correlation: Option<&str>) {
        let viewer = Id::new(viewer).unwrap();
        let correlation = correlation.and_then(|data| Correlation::new(data.as_bytes()));
        self.events.send(LinkEvent::Message { viewer, payload: payload.into(), correlation }).await.unwrap();
    }

    /// Sends a message of session `session` (one letter) with further fields.
    async fn say(&self, viewer: &str, session: char, seq: u64, kind: &str, fields: Value) {
        self.send(viewer, message(session, seq, kind, fields)).await;
    }

    /// The next message to any viewer, and the viewer. It is checked against its schema.
    async fn next_of_all(&mut self) -> (Id, Value) {
        let Addressed { viewer: to, payload, .. } = self.said.recv().await.expect("the sessions run");
        let message: Value = serde_json::from_slice(&payload).unwrap();
        contract_tests::check(message["type"].as_str().unwrap(), &message);
        (to, message)
    }

    /// The next message to `viewer`.
    async fn next(&mut self, viewer: &str) -> Value {
        let wait = async {
            loop {
                let (to, message) = self.next_of_all().await;
                if to.as_str() == viewer {
                    return message;
                }
            }
        };
        timeout(Duration::from_secs(40), wait).await.unwrap_or_else(|_| panic!("nothing came to {viewer}"))
    }

    /// The next message of this type to `viewer`. Others are skipped, except for errors, which fail the test.
    async fn receive(&mut self, viewer: &str, kind: &str) -> Value {
        loop {
            let message = self.next(viewer).await;
            if message["type"] == kind {
                return message;
            }
            assert_ne!(message["type"], "error", "instead of {kind}: {message}");
        }
    }

    /// The next error to `viewer`. Other messages are skipped.
    async fn error(&mut self, viewer: &str) -> Value {
        loop {
            let message = self.next(viewer).await;
            if message["type"] == "error" {
                return message;
            }
        }
    }

    async fn refused(&mut self, viewer: &str, code: u16, name: &str) -> Value {
        let error = self.receive(viewer, "error").await;
        assert_eq!((&error["code"], &error["name"]), (&json!(code), &json!(name)), "{error}");
        error
    }

    async fn open(&mut self, viewer: &str, session: char) -> Value {
        self.say(viewer, session, 0, "offer", json!({"sdp": OFFER})).await;
        self.receive(viewer, "answer").await
    }

    async fn viewers(&mut self, n: usize) {
        let wait = self.presence.wait_for(|presence| presence.viewers == n);
        timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("never {n} viewers")).unwrap();
    }
}

#[tokio::test]
async fn hello_is_welcomed_with_a_nonce_and_leaves_no_trace() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "hello", json!({})).await;
    let welcome = house.receive("anna", "welcome").await;
    assert_eq!(welcome["nonce"], house.presence.borrow().nonce.as_str());
    assert_eq!(house.presence.borrow().viewers, 0);
    house.say("anna", 'A', 1, "ping", json!({"n": 1})).await;
    house.refused("anna", 404, "no_session").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_exact_name() {
    let mut house = House::usual();
    for (payload, code, name) in [
        (vec![b'x'; 33_000], 413, "too_large"),
        (b"\xff\xfe".to_vec(), 400, "bad_request"),
        (b"{}".to_vec(), 400, "bad_request"),
        (br#"{"v":2,"type":"offer"}"#.to_vec(), 426, "version"),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.c2ln".to_vec(), 401, "unauthorized"),
    ] {
        house.send("anna", payload).await;
        house.refused("anna", code, name).await;
    }
    house
        .events
        .send(LinkEvent::Oversize { viewer: Id::new("anna").unwrap(), len: 70_000, correlation: None })
        .await
        .unwrap();
    house.refused("anna", 413, "too_large").await;
}

#[tokio::test]
async fn an_offer_is_answered_with_what_the_contract_says() {
    let mut house = House::usual();
    let answer = house.open("anna", 'A').await;
    let hash = ring::digest::digest(&ring::digest::SHA256, OFFER.as_bytes());
    assert_eq!(answer["offer_hash"], base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash));
    assert_eq!((&answer["seq"], &answer["ice_servers"]), (&json!(0), &json!([])));
    assert!((598..=600).contains(&answer["lease_s"].as_u64().unwrap()));
    let media = house.receive("anna", "media").await;
    assert_eq!((&media["video"], &media["seq"]), (&json!("absent"), &json!(1)));
    house.viewers(1).await;
    let mut last = house.receive("anna", "candidates").await;
    while last["end"] != true {
        last = house.receive("anna", "candidates").await;
    }
}

#[tokio::test]
async fn a_request_is_answered_with_an_offer_and_the_means_to_answer_it() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "request", json!({"media": {"video": true, "audio": true}})).await;
    let offer = house.receive("anna", "offer").await;
    assert!(offer["sdp"].as_str().unwrap().contains("m=audio"));
    assert!(!offer["sdp"].as_str().unwrap().contains("m=video"), "there is no picture here");
    assert!(offer["lease_s"].is_u64() && offer["ice_servers"].is_array() && offer["restart"].is_null());
    house.say("anna", 'A', 1, "answer", json!({"sdp": OFFER, "offer_hash": "other"})).await;
    house.refused("anna", 409, "conflict").await;
}

#[tokio::test]
async fn the_rules_of_an_open_session() {
    let mut house = House::usual();
    let answer = house.open("anna", 'A').await;
    house.say("anna", 'A', 0, "offer", json!({"sdp": OFFER})).await;
    assert_eq!(house.receive("anna", "answer").await, answer, "a repeat is answered again, word for word");
    house.say("anna", 'A', 1, "ping", json!({"n": 5})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 5);
    house.say("anna", 'A', 2, "renew", json!({})).await;
    assert!(house.receive("anna", "renewed").await["lease_s"].as_u64().unwrap() >= 590);
    house.say("anna", 'A', 3, "offer", json!({"sdp": OFFER})).await;
    house.refused("anna", 409, "conflict").await;
    house.say("anna", 'A', 4, "request", json!({"media": {"audio": true}})).await;
    house.refused("anna", 409, "conflict").await;
    house.say("anna", 'A', 5, "answer", json!({"sdp": OFFER})).await;
    house.refused("anna", 409, "conflict").await;
    let bad = json!([{"candidate": "candidate:1 1 udp 5 224.0.0.1 9 typ host", "mid": "0", "mline": 0}]);
    house.say("anna", 'A', 6, "candidates", json!({"ufrag": "abcd", "candidates": bad})).await;
    house.refused("anna", 400, "bad_request").await;
    house.say("anna", 'A', 7, "offer", json!({"sdp": "hello", "restart": true})).await;
    house.refused("anna", 400, "bad_sdp").await;
    house.say("anna", 'A', 9, "ping", json!({"n": 9})).await;
    let conflict = house.refused("anna", 409, "conflict").await;
    assert!(conflict["message"].as_str().unwrap().contains("message 8"), "{conflict}");
    house.say("anna", 'A', 10, "ping", json!({"n": 10})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 10, "and the order continues");
    assert_eq!(house.presence.borrow().viewers, 1, "none of it ended the session");
}

#[tokio::test]
async fn nobody_touches_the_session_of_another() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.say("mallory", 'A', 1, "bye", json!({})).await;
    house.say("mallory", 'A', 2, "renew", json!({})).await;
    house.refused("mallory", 404, "no_session").await;
    house.say("anna", 'A', 1, "ping", json!({"n": 1})).await;
    house.receive("anna", "pong").await;
}

#[tokio::test]
async fn bye_ends_at_once_and_the_dead_are_gone() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.viewers(1).await;
    house.say("anna", 'A', 40, "bye", json!({"reason": "closed"})).await;
    assert_eq!(house.receive("anna", "bye").await["reason"], "bye");
    house.viewers(0).await;
    house.say("anna", 'A', 41, "bye", json!({})).await;
    house.say("anna", 'A', 42, "candidates", json!({"end": true})).await;
    house.say("anna", 'A', 43, "renew", json!({})).await;
    house.refused("anna", 410, "gone").await;
    house.open("anna", 'B').await;
}

#[tokio::test]
async fn an_offer_that_cannot_be_used_leaves_nothing() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "offer", json!({"sdp": "hello"})).await;
    house.refused("anna", 400, "bad_sdp").await;
    house.say("anna", 'B', 0, "offer", json!({"sdp": OFFER.replace("opus", "G722")})).await;
    house.refused("anna", 415, "no_common_codec").await;
    house
        .say("anna", 'C', 0, "offer", json!({"sdp": OFFER.replace("m=audio", "m=video").replace("opus", "H264")}))
        .await;
    house.refused("anna", 480, "no_media").await;
    house.say("anna", 'D', 0, "offer", json!({"sdp": OFFER, "restart": true})).await;
    house.refused("anna", 404, "no_session").await;
    house.viewers(0).await;
}

#[tokio::test]
async fn a_device_that_sends_nothing_says_no_media() {
    let mut house = House::new(Limits::default(), AudioSource::Off);
    house.say("anna", 'A', 0, "request", json!({"media": {"video": true, "audio": true}})).await;
    house.refused("anna", 480, "no_media").await;
}

#[tokio::test]
async fn a_full_device_is_busy() {
    let mut house = House::new(Limits { viewers: 1, ..Limits::default() }, AudioSource::Tone);
    house.open("anna", 'A').await;
    house.say("bert", 'B', 0, "offer", json!({"sdp": OFFER})).await;
    let busy = house.refused("bert", 503, "busy").await;
    assert_eq!(busy["retry_after_ms"], 5000);
    house.say("anna", 'A', 1, "bye", json!({})).await;
    house.viewers(0).await;
    house.open("bert", 'B').await;
}

#[tokio::test]
async fn a_viewer_has_two_sessions_and_five_starts_a_minute() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.open("anna", 'B').await;
    house.say("anna", 'C', 0, "offer", json!({"sdp": OFFER})).await;
    house.refused("anna", 503, "busy").await;
    for (old, new) in [('A', 'D'), ('B', 'E'), ('D', 'F')] {
        house.say("anna", old, 1, "bye", json!({})).await;
        house.viewers(1).await;
        house.open("anna", new).await;
        house.viewers(2).await;
    }
    house.say("anna", 'G', 0, "offer", json!({"sdp": OFFER})).await;
    let limited = house.refused("anna", 429, "rate_limited").await;
    assert!(limited["retry_after_ms"].as_u64().unwrap() > 40_000);
}

#[tokio::test]
async fn candidates_may_overtake_their_offer() {
    let mut house = House::usual();
    let good = json!([{"candidate": "candidate:1 1 udp 5 127.0.0.1 9 typ host", "mid": "0", "mline": 0}]);
    house.say("anna", 'A', 1, "candidates", json!({"ufrag": "abcd", "candidates": good, "end": true})).await;
    house.open("anna", 'A').await;
    house.say("anna", 'A', 2, "ping", json!({"n": 2})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 2, "their number is used: no gap");
}

#[tokio::test]
async fn a_stop_says_bye_to_all_in_time() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.open("bert", 'B').await;
    let began = Mono::now();
    house.stop.send_replace(true);
    let (mut told, mut task) = (Vec::new(), house.task);
    while let Some(Addressed { viewer, payload, .. }) = house.said.recv().await {
        let message: Value = serde_json::from_slice(&payload).unwrap();
        if message["type"] == "bye" {
            assert_eq!(message["reason"], "shutdown");
            told.push(viewer.to_string());
        }
    }
    (&mut task).await.unwrap();
    told.sort();
    assert_eq!(told, ["anna", "bert"]);
    assert!(Mono::now().since(began) < Duration::from_secs(2));
}

#[tokio::test]
async fn new_terms_hold_for_new_sessions() {
    let mut house = House::new(Limits { viewers: 0, ..Limits::default() }, AudioSource::Tone);
    house.say("anna", 'A', 0, "offer", json!({"sdp": OFFER})).await;
    house.refused("anna", 503, "busy").await;
    let terms = SessionTerms { limits: Limits::default(), loopback: true };
    house.terms.send_replace(Arc::new(terms));
    house.presence.wait_for(|presence| presence.max_viewers == 8).await.unwrap();
    let server = IceServer { urls: vec!["stun:192.0.2.1".into()], login: IceLogin::None, ca_file: None };
    house.peers.configure(Webrtc { ice_servers: vec![server], ..loopback() });
    assert_eq!(house.open("anna", 'A').await["ice_servers"], json!([{"urls": ["stun:192.0.2.1"]}]));
}

#[tokio::test]
async fn on_glare_the_device_yields() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "request", json!({"media": {"audio": true}})).await;
    let offer = house.receive("anna", "offer").await;
    house.say("anna", 'A', 1, "offer", json!({"sdp": OFFER})).await;
    house.receive("anna", "answer").await;
    house.say("anna", 'A', 2, "answer", json!({"sdp": OFFER})).await;
    house.refused("anna", 409, "conflict").await;
    assert_eq!(offer["seq"], 0);
}
