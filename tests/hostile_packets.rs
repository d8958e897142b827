//! The media port of a connection gets packets from strangers and unexpected packets from its viewer. The viewer is the
//! WebRTC stack itself. The test uses its sockets to send packets that no browser sends.

use std::{
    fs, io,
    io::IoSliceMut,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use fanlight::{
    config::Webrtc,
    protocol::{Candidate, Wanted},
    viewer::peer::{Peer, PeerEvent, PeerFactory},
};
use ring::hmac;
use rtc::{
    media_stream::MediaStreamTrack,
    peer_connection::{
        configuration::{
            media_engine::{MIME_TYPE_OPUS, MediaEngine},
            setting_engine::SettingEngineBuilder,
        },
        event::RTCPeerConnectionIceEvent,
        sdp::RTCSessionDescription,
        state::RTCPeerConnectionState,
        transport::RTCIceCandidateInit,
    },
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use webrtc::{
    data_channel::DataChannel,
    media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    peer_connection::{PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler},
    runtime::{
        AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
        Transmit,
    },
};

use crate::rig::{in_own_process, within};

type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the viewer's sockets carried, and the sockets.
#[derive(Debug, Default)]
struct Tap {
    sockets: Mutex<Vec<UdpSocket>>,
    /// Datagrams of DTLS application data, in and out.
    data: [AtomicU64; 2],
    /// The first ClientHello of the device.
    hello: Mutex<Option<Vec<u8>>>,
}

/// The runtime of a viewer that is tapped.
#[derive(Debug)]
struct Tapped(Arc<Tap>);

#[derive(Debug)]
struct Socket(Arc<dyn AsyncUdpSocket>, Arc<Tap>);

/// Bytes of a ClientHello before its session id: the headers of the record and the message, version and random numbers.
const HELLO: usize = 13 + 12 + 2 + 32;

/// The ciphers and the profiles of SRTP that a ClientHello offers (RFC 6347 section 4.3.2, RFC 5764 section 4.1.1), by
/// their numbers.
fn offered(hello: &[u8]) -> [Vec<u16>; 2] {
    fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, left) = rest.split_at(length);
        *rest = left;
        taken
    }
    fn number(bytes: &[u8]) -> usize {
        bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }
    fn sized<'a>(rest: &mut &'a [u8], width: usize) -> &'a [u8] {
        let length = number(take(rest, width));
        take(rest, length)
    }
    let numbers = |bytes: &[u8]| bytes.chunks(2).map(|two| number(two) as u16).collect::<Vec<_>>();
    let mut rest = &hello[HELLO..];
    let (_session, _cookie) = (sized(&mut rest, 1), sized(&mut rest, 1));
    let ciphers = numbers(sized(&mut rest, 2));
    let _compression = sized(&mut rest, 1);
    let mut extensions = sized(&mut rest, 2);
    while !extensions.is_empty() {
        let (kind, mut data) = (number(take(&mut extensions, 2)), sized(&mut extensions, 2));
        if kind == 14 {
            return [ciphers, numbers(sized(&mut data, 2))];
        }
    }
    [ciphers, Vec::new()]
}

fn is_data(packet: &[u8]) -> bool {
    packet.first() == Some(&23)
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.1.data[1].fetch_add(u64::from(is_data(transmit.contents)), Ordering::Relaxed);
        self.0.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.0.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(_)) = polled {
            let packet = &bufs[0][..meta[0].len];
            self.1.data[0].fetch_add(u64::from(is_data(packet)), Ordering::Relaxed);
            if packet.len() > HELLO && packet[0] == 22 && packet[13] == 1 {
                self.1.hello.lock().unwrap().get_or_insert_with(|| packet.to_vec());
            }
        }
        polled
    }
}

impl Runtime for Tapped {
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.0.sockets.lock().unwrap().push(socket.try_clone()?);
        Ok(Arc::new(Socket(TokioRuntime.wrap_udp_socket(socket)?, Arc::clone(&self.0))))
    }
    fn spawn(&self, future: Waiting<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }
    fn spawn_reactor(&self, size: usize, future: Waiting<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(size, future)
    }
    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }
    fn connect_tcp<'a>(&'a self, remote: SocketAddr) -> Waiting<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }
    fn resolve_host<'a>(&'a self, host: &'a str) -> Waiting<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }
    fn sleep(&self, duration: Duration) -> Waiting<'static, ()> {
        TokioRuntime.sleep(duration)
    }
    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}

/// What the viewer tells.
struct Heard {
    candidates: mpsc::UnboundedSender<RTCIceCandidateInit>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Heard {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if let Ok(candidate) = event.candidate.to_json() {
            let _ = self.candidates.send(candidate);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }
}

/// A device's connection and the viewer's, which are one.
struct Pair {
    device: Peer,
    events: mpsc::Receiver<PeerEvent>,
    viewer: Arc<dyn PeerConnection>,
    candidates: mpsc::UnboundedReceiver<RTCIceCandidateInit>,
    state: watch::Receiver<RTCPeerConnectionState>,
    tap: Arc<Tap>,
    /// Sound that the viewer sends.
    sound: Arc<TrackLocalStaticRTP>,
    channel: Option<Arc<dyn DataChannel>>,
    offer: String,
    answer: String,
    /// Where the device's media port is.
    port: SocketAddr,
}

fn loopback() -> Webrtc {
    Webrtc { addresses: vec!["127.0.0.1".parse().unwrap()], loopback: true, ..Webrtc::default() }
}

/// The device's end alone.
async fn device(config: Webrtc) -> (Peer, mpsc::Receiver<PeerEvent>) {
    let (tell, events) = mpsc::channel(64);
    let wanted = Wanted { video: false, audio: true, talk: false, commands: false };
    let peer = Box::pin(PeerFactory::new(&config, false).unwrap().open("anna", wanted, tell)).await.unwrap();
    (peer, events)
}

impl Pair {
    /// Describes both to each other; `data`: the viewer wants a data channel as well.
    async fn describe(data: bool) -> Self {
        let pair = Self::half(data).await;
        let answer = RTCSessionDescription::answer(pair.answer.clone()).unwrap();
        pair.viewer.set_remote_description(answer).await.unwrap();
        pair
    }

    /// Describes the viewer to the device. The viewer does not know of it, and keeps silent.
    async fn half(data: bool) -> Self {
        let (device, mut events) = device(loopback()).await;
        let tap = Arc::new(Tap::default());
        let (told, candidates) = mpsc::unbounded_channel();
        let (changed, state) = watch::channel(RTCPeerConnectionState::New);
        let opus =
            RTCRtpCodec { mime_type: MIME_TYPE_OPUS.to_owned(), clock_rate: 48_000, channels: 2, ..Default::default() };
        let mut codecs = MediaEngine::default();
        codecs
            .register_codec(RTCRtpCodecParameters { rtp_codec: opus.clone(), payload_type: 111 }, RtpCodecKind::Audio)
            .unwrap();
        let opening = PeerConnectionBuilder::new()
            .with_media_engine(codecs)
            .with_setting_engine(SettingEngineBuilder::new().with_include_loopback_candidate(true).build())
            .with_runtime(Arc::new(Tapped(Arc::clone(&tap))))
            .with_handler(Arc::new(Heard { candidates: told, state: changed }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build();
        let viewer = Box::pin(opening).await.unwrap();
        let coding = RTCRtpCodingParameters { ssrc: Some(4711), ..Default::default() };
        let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec: opus, ..Default::default() };
        let track = MediaStreamTrack::new("v".into(), "v".into(), "v".into(), RtpCodecKind::Audio, vec![encoding]);
        let sound = Arc::new(TrackLocalStaticRTP::new(track));
        viewer.add_track(Arc::clone(&sound) as Arc<dyn TrackLocal>).await.unwrap();
        let channel = match data {
            true => Some(viewer.create_data_channel("unasked", None).await.unwrap()),
            false => None,
        };
        let offer = viewer.create_offer(None).await.unwrap();
        viewer.set_local_description(offer.clone()).await.unwrap();
        let answer = device.answer(&offer.sdp).await.unwrap();
        let (mut answer, mut found) = (answer, String::new());
        while !answer.contains("a=candidate:") {
            // A busy machine: it comes after the description.
            if let PeerEvent::Candidate(candidate) = within(20, "a candidate", events.recv()).await.unwrap() {
                found = format!("a={}\r\n", candidate.candidate);
            }
            answer = format!("{answer}{found}");
        }
        let (viewer, offer, port) = (Arc::new(viewer) as Arc<dyn PeerConnection>, offer.sdp, port(&answer));
        Self { device, events, viewer, candidates, state, tap, sound, channel, offer, answer, port }
    }

    /// Until DTLS is up on both sides.
    async fn connect(&mut self) {
        let connected = async {
            loop {
                tokio::select! {
                    Some(event) = self.events.recv() => if matches!(event, PeerEvent::Connected) { break },
                    Some(found) = self.candidates.recv() => {
                        if !found.candidate.is_empty() {
                            let mid = found.sdp_mid.or(Some("0".to_owned()));
                            let candidate = Candidate { candidate: found.candidate, mid, mline: Some(0) };
                            self.device.add_candidate(&candidate).await.unwrap();
                        }
                    }
                }
            }
        };
        within(20, "a connection", connected).await;
        let up = self.state.wait_for(|state| *state == RTCPeerConnectionState::Connected);
        within(20, "the viewer's end of it", up).await.unwrap();
    }

    async fn connected(data: bool) -> Self {
        let mut pair = Self::describe(data).await;
        pair.connect().await;
        pair
    }

    /// The connection is as it was: the viewer is heard, and hears.
    async fn still_works(&mut self) {
        // Silence would be noticed within 1.2 s and twice that for the viewer.
        sleep(Duration::from_millis(2600)).await;
        while let Ok(event) = self.events.try_recv() {
            let broken = matches!(
                event,
                PeerEvent::IceDisconnected | PeerEvent::IceFailed | PeerEvent::DtlsFailed | PeerEvent::Closed
            );
            assert!(!broken, "{event:?}");
        }
        assert_eq!(*self.state.borrow(), RTCPeerConnectionState::Connected);
        assert!(timeout(Duration::ZERO, self.device.ended()).await.is_err());
        assert!(self.device.route().await.is_some());
    }
}

fn port(sdp: &str) -> SocketAddr {
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:") && line.contains(" udp ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().unwrap()
}

fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).unwrap().trim()
}

/// Resident memory of this process, in KiB.
fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// Bytes that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    /// A packet of this length that begins so.
    fn packet(&mut self, begins: &[u8], length: usize) -> Vec<u8> {
        let mut packet = begins.to_vec();
        packet.extend(std::iter::repeat_with(|| self.next() as u8).take(length.saturating_sub(begins.len())));
        packet
    }
}

/// A connectivity check, signed with `password`.
fn check(name: &str, transaction: u64, password: &str) -> Vec<u8> {
    let mut packet = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0];
    packet.extend(transaction.to_be_bytes());
    let mut put = |kind: u16, value: &[u8]| {
        packet.extend(kind.to_be_bytes());
        packet.extend((value.len() as u16).to_be_bytes());
        packet.extend(value);
        packet.resize(packet.len().next_multiple_of(4), 0);
    };
    put(0x0006, name.as_bytes());
    put(0x0024, &[0x6e, 0, 0, 1]);
    put(0x802a, &[9; 8]);
    let ends = (packet.len() as u16 - 20 + 24).to_be_bytes();
    packet[2..4].copy_from_slice(&ends);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let signature = hmac::sign(&key, &packet);
    packet.extend([0, 8, 0, 20]);
    packet.extend(signature.as_ref());
    packet
}

/// A hello of DTLS with no cipher but NULL.
fn hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    let length = body.len() as u8;
    let mut packet =
        vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, length + 12, 1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length];
    packet.extend(body);
    packet
}

fn stranger() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends as fast as the receiver reads: what the kernel drops would prove nothing.
async fn flood(socket: &UdpSocket, to: SocketAddr, packets: impl Iterator<Item = Vec<u8>>) {
    for (n, packet) in packets.enumerate() {
        let _ = socket.send_to(&packet, to);
        if n % 32 == 31 {
            tokio::task::yield_now().await;
            sleep(Duration::from_micros(300)).await;
        }
    }
}

/// How many packets have come to a socket.
fn came(socket: &UdpSocket) -> usize {
    let mut space = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut space).ok()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_from_strangers_cost_no_memory_and_get_no_answer() {
    if !in_own_process("hostile_packets::packets_from_strangers_cost_no_memory_and_get_no_answer") {
        return;
    }
    let mut pair = Pair::connected(false).await;
    let (socket, to) = (stranger(), pair.port);
    let (mut dice, before) = (Dice(1), memory());
    // Sound and reports, each from a new sender, which the stack would remember one by one; hellos, and other classes.
    flood(&socket, to, (0..30_000).map(|_| dice.packet(&[0x80, 111], 40))).await;
    flood(&socket, to, (0..30_000).map(|_| dice.packet(&[0x80, 201, 0, 7], 40))).await;
    flood(&socket, to, (0..3_000).map(|_| hello())).await;
    flood(&socket, to, (0..3_000).map(|n| dice.packet(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, n as u8, 4, 0xa3], 1200)))
        .await;
    flood(&socket, to, (0..=255).map(|first| dice.packet(&[first], 300))).await;
    flood(&socket, to, (0..=255).map(|first| dice.packet(&[first], 65_000))).await;
    let name = format!("{}:{}", attribute(&pair.answer, "ice-ufrag"), attribute(&pair.offer, "ice-ufrag"));
    flood(&socket, to, (0..3_000).map(|n| check(&name, n, "not the password"))).await;
    flood(&socket, to, (0..3_000).map(|n| check("some:body", n, attribute(&pair.answer, "ice-pwd")))).await;
    pair.still_works().await;
    let grown = memory().saturating_sub(before);
    assert!(grown < 3_000, "{grown} KiB more for 70,000 packets of strangers");
    assert_eq!(came(&socket), 0, "strangers get no answer");
    // The very same socket, and one check that is as it has to be: that is answered.
    socket.send_to(&check(&name, 1, attribute(&pair.answer, "ice-pwd")), to).unwrap();
    within(5, "an answer to a check that is signed", async {
        while came(&socket) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_packets_from_a_viewer_cost_no_memory() {
    if !in_own_process("hostile_packets::unexpected_packets_from_a_viewer_cost_no_memory") {
        return;
    }
    let mut pair = Pair::connected(false).await;
    let socket = pair.tap.sockets.lock().unwrap()[0].try_clone().unwrap();
    let (to, mut dice, before) = (pair.port, Dice(2), memory());
    // From its own address: media and reports that are not authentic, each from a new sender.
    flood(&socket, to, (0..30_000).map(|_| dice.packet(&[0x80, 111], 40))).await;
    flood(&socket, to, (0..30_000).map(|_| dice.packet(&[0x80, 201, 0, 7], 40))).await;
    flood(&socket, to, (0..3_000).map(|_| dice.packet(&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 4, 0xa3], 1200))).await;
    flood(
        &socket,
        to,
        (0..3_000).map(|n| {
            // Fragments of one byte, of a message that never ends.
            dice.packet(
                &[
                    22,
                    0xfe,
                    0xfd,
                    0,
                    0,
                    0,
                    0,
                    0,
                    1,
                    (n >> 8) as u8,
                    n as u8,
                    0,
                    13,
                    11,
                    0xff,
                    0xff,
                    0xff,
                    0,
                    9,
                    0,
                    (n >> 8) as u8,
                    n as u8,
                    0,
                    0,
                    1,
                ],
                26,
            )
        }),
    )
    .await;
    // And sound as a microphone would send it, encrypted and all.
    for n in 0..2_000_u16 {
        let mut packet = rtc::rtp::Packet::default();
        (packet.header.ssrc, packet.header.payload_type) = (4711, 111);
        (packet.header.sequence_number, packet.header.timestamp) = (n, u32::from(n) * 960);
        packet.payload = BytesMut::from(&[7; 120][..]).freeze();
        let _ = pair.sound.write_rtp(packet).await;
    }
    pair.still_works().await;
    let grown = memory().saturating_sub(before);
    assert!(grown < 4_000, "{grown} KiB more for 68,000 packets that nobody asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_channel_opens_once_it_is_allowed_and_little_comes_in_that_nobody_reads() {
    let mut pair = Pair::describe(true).await;
    pair.device.allow_channel();
    pair.connect().await;
    let opened = async { while !matches!(pair.events.recv().await, Some(PeerEvent::Channel(_))) {} };
    within(20, "the data channel", opened).await;
    let channel = Arc::clone(pair.channel.as_ref().unwrap());
    let is_open = async {
        while !format!("{:?}", channel.ready_state().await).contains("Open") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(20, "the viewer's end of the channel", is_open).await;
    for _ in 0..50 {
        channel.send(BytesMut::from(&[7_u8; 60_000][..])).await.unwrap();
    }
    pair.still_works().await;
    // The device accepts 128 KiB with headers. The rest is still with the viewer.
    let unsent = channel.outstanding_bytes().await.unwrap();
    assert!((50 * 60_000 - 131_072..50 * 60_000).contains(&unsent), "{unsent} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_channel_never_opens_while_it_is_not_allowed() {
    let mut pair = Pair::connected(true).await;
    // Long enough for three tries of the device to open an association, which would be its part here.
    pair.still_works().await;
    assert_eq!(pair.tap.data[0].load(Ordering::Relaxed), 0);
    let state = pair.channel.as_ref().unwrap().ready_state().await;
    assert!(format!("{state:?}").contains("Connecting"), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_client_hellos_do_not_disturb_the_handshake() {
    for _ in 0..5 {
        let mut pair = Pair::describe(false).await;
        let (socket, to) = (stranger(), pair.port);
        let hostile = tokio::spawn(async move {
            let alert = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
            loop {
                let _ = socket.send_to(&hello(), to);
                let _ = socket.send_to(&alert, to);
                sleep(Duration::from_millis(1)).await;
            }
        });
        pair.connect().await;
        hostile.abort();
        pair.device.close().await;
        let _ = pair.viewer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_offers_only_authenticated_ciphers_and_long_tags() {
    let pair = Pair::connected(false).await;
    let hello = pair.tap.hello.lock().unwrap().clone().expect("the device is the client of the handshake");
    let [ciphers, profiles] = offered(&hello);
    // ECDHE with AES-128-GCM or ChaCha20-Poly1305, for certificates with a key of ECDSA or RSA.
    assert_eq!(ciphers, [0xc02b, 0xc02f, 0xcca9, 0xcca8]);
    // AES-128-GCM, AES-256-GCM, AES-128 with HMAC-SHA1 of 80 bits.
    assert_eq!(profiles, [7, 8, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_asked_gets_few_connectivity_checks() {
    let pair = Pair::half(false).await;
    let victims: Vec<_> = (0..24).map(|_| stranger()).collect();
    let began = Instant::now();
    for (n, victim) in victims.iter().enumerate() {
        let port = victim.local_addr().unwrap().port();
        let candidate = format!("candidate:{n} 1 udp {} 127.0.0.1 {port} typ host", 2_130_706_431 - n);
        let candidate = Candidate { candidate, mid: Some("0".into()), mline: Some(0) };
        pair.device.add_candidate(&candidate).await.unwrap();
    }
    sleep(Duration::from_secs(3)).await;
    let counts: Vec<_> = victims.iter().map(came).collect();
    let (sent, most) = (counts.iter().sum::<usize>(), 9.0 + 20.0 * began.elapsed().as_secs_f64());
    assert!(sent > 24 && (sent as f64) < most.min(61.0), "{sent} checks to one address in {:?}", began.elapsed());
    assert!(counts.iter().all(|count| *count > 0), "each candidate has its turn: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_hundreds_of_ports_with_valid_checks_only_a_few_get_answers() {
    if !in_own_process("hostile_packets::of_hundreds_of_ports_with_valid_checks_only_a_few_get_answers") {
        return;
    }
    let mut pair = Pair::connected(false).await;
    let name = format!("{}:{}", attribute(&pair.answer, "ice-ufrag"), attribute(&pair.offer, "ice-ufrag"));
    let (to, password) = (pair.port, attribute(&pair.answer, "ice-pwd").to_owned());
    let sockets: Vec<_> = (0..300).map(|_| stranger()).collect();
    let (before, mut sent) = (memory(), 0);
    for round in 0..10 {
        for socket in &sockets {
            let _ = socket.send_to(&check(&name, round, &password), to);
            sent += 1;
            if sent % 32 == 0 {
                sleep(Duration::from_micros(500)).await;
            }
        }
    }
    pair.still_works().await;
    let counts: Vec<_> = sockets.iter().map(came).collect();
    let (answered, packets) = (counts.iter().filter(|count| **count > 0).count(), counts.iter().sum::<usize>());
    assert!((1..=32).contains(&answered), "{answered} of 300 ports were answered");
    assert!(packets < 1_000, "{packets} packets for {sent} checks");
    let grown = memory().saturating_sub(before);
    assert!(grown < 3_000, "{grown} KiB more");
}

/// The next packet of a stream, without its length; `None` at the end.
async fn framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut packet = vec![0; length.into()];
    stream.read_exact(&mut packet).await.ok()?;
    Some(packet)
}

fn frame(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthenticated_tcp_connections_are_few_and_short() {
    let (device, mut events) = device(Webrtc { ice_tcp: true, ..loopback() }).await;
    let mut offered = Pair::half(false).await.offer;
    // Whoever it is, it never speaks by UDP.
    offered =
        offered.lines().filter(|line| !line.starts_with("a=candidate")).map(|line| format!("{line}\r\n")).collect();
    let mut answer = device.answer(&offered).await.unwrap();
    let passive = |sdp: &str| {
        let line = sdp.lines().find(|line| line.contains(" tcp ") && line.contains("passive"))?;
        let words: Vec<&str> = line.split(' ').collect();
        format!("{}:{}", words[4], words[5]).parse::<SocketAddr>().ok()
    };
    while passive(&answer).is_none() {
        if let PeerEvent::Candidate(candidate) = within(20, "a candidate by TCP", events.recv()).await.unwrap() {
            answer = format!("{answer}a={}\r\n", candidate.candidate);
        }
    }
    let to = passive(&answer).unwrap();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let mut silent = JoinSet::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        silent.spawn(async move { while framed(&mut stream).await.is_some() {} });
    }
    // All but eight go as the others come, and those after a while.
    for left in (0..100).rev() {
        within(30, &format!("the end of a silent connection, with {left} more"), silent.join_next()).await;
        if left == 8 {
            assert!(descriptors() < before + 60);
        }
    }
    // One that is signed is answered, whatever stands before it; then a report is let in; a packet too long ends it.
    let name = format!("{}:{}", attribute(&answer, "ice-ufrag"), attribute(&offered, "ice-ufrag"));
    let good = check(&name, 1, attribute(&answer, "ice-pwd"));
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&[frame(&[0x80; 30]), frame(&check("x:y", 1, "z")), frame(&good)].concat()).await.unwrap();
    let answered = within(20, "an answer by TCP", framed(&mut stream)).await.unwrap();
    assert!(answered[0] < 2 && answered.len() > 40, "{answered:?}");
    stream.write_all(&[0xff; 9]).await.unwrap();
    within(20, "the end of a connection that says nonsense", async { while framed(&mut stream).await.is_some() {} })
        .await;
}
