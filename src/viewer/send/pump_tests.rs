use bytes::Bytes;

use super::*;
use crate::{
    feed::{AccessUnit, FeedWriter, Health, VIDEO_RING, feed},
    media_source::MediaSource,
    viewer::{
        peer::media_engine::video_track,
        send::{rtp_stream::StreamParameters, stream_state::NegotiatedIds},
    },
};

/// A video pump with its feed and its connection.
struct Pumped {
    writer: FeedWriter,
    state: watch::Sender<TransportState>,
    ticks: u64,
}

impl Pumped {
    fn start() -> Self {
        let writer = feed(VIDEO_RING);
        let source = MediaSource {
            writer: writer.clone(),
            wanted: watch::Sender::new(0),
            on: watch::Sender::new(true).subscribe(),
            trouble: watch::Sender::new(None).subscribe(),
            linger: watch::Sender::new(Duration::ZERO),
            seen: watch::Sender::new(Health::Ok).subscribe(),
        };
        let ids = NegotiatedIds::default();
        let stream = StreamParameters { ssrc: 1, payload_type: 102, playout_delay: None, ids };
        let lease = source.lease();
        let line = OutgoingStream {
            track: RtpStream::new(stream, 0, 0),
            shared: Arc::new(SharedStream::video(1, ids, &lease.reader)),
            out: Arc::new(TrackLocalStaticRTP::new(video_track(1, 2))),
            limit: None,
        };
        let state = watch::Sender::new(TransportState::Connecting);
        tokio::spawn(video(line, lease, state.subscribe(), Arc::default(), Arc::default()));
        Self { writer, state, ticks: 0 }
    }

    /// Lets the pump run until it waits.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// The encoder sends a keyframe and this many frames after it.
    async fn pictures(&mut self, after: usize) {
        for n in 0..=after {
            self.ticks += 3000;
            let unit = AccessUnit::whole(Bytes::from("x"));
            let frame = Frame { unit, key: n == 0, level: None, ticks: self.ticks, at: Mono(0) };
            self.writer.send(frame);
            self.settle().await;
        }
    }

    /// The connection reaches another state. Returns whether the pump requests a keyframe at once.
    async fn reach(&self, state: TransportState) -> bool {
        self.state.send_replace(state);
        self.settle().await;
        self.writer.requests().take_key()
    }
}

#[tokio::test]
async fn a_viewer_whose_handshake_takes_long_gets_a_keyframe_as_soon_as_it_is_connected() {
    let mut pumped = Pumped::start();
    pumped.pictures(MAX_PREBUFFERED).await;
    assert!(pumped.reach(TransportState::DtlsHandshake).await, "what was kept was given up while ICE took long");
    pumped.pictures(MAX_PREBUFFERED).await;
    assert!(pumped.reach(TransportState::Connected).await, "and again while DTLS took long");
}

#[tokio::test]
async fn a_keyframe_that_is_kept_or_on_its_way_is_not_requested_again() {
    let mut pumped = Pumped::start();
    pumped.pictures(MAX_PREBUFFERED - 1).await;
    assert!(!pumped.reach(TransportState::DtlsHandshake).await, "one is kept");
    assert!(!pumped.reach(TransportState::Connected).await, "it was sent");
    let pumped = Pumped::start();
    assert!(pumped.reach(TransportState::DtlsHandshake).await, "none has come yet");
    assert!(!pumped.reach(TransportState::Connected).await, "the encoder has still to answer");
}

#[test]
fn a_thin_network_has_a_key_frame_each_so_often_and_one_when_it_counts_again() {
    let start = Instant::now();
    let mut keyframe_only = KeyframeOnly::default();
    for (ms, is_keyframe_only, key, expected) in [
        (0, false, false, FrameDecision::Send),
        (100, true, false, FrameDecision::Skip),
        (4_050, true, false, FrameDecision::Skip),
        (4_100, true, false, FrameDecision::SkipAndRequestKeyframe),
        (4_200, true, true, FrameDecision::Send),
        (8_150, true, false, FrameDecision::Skip),
        (8_200, true, false, FrameDecision::SkipAndRequestKeyframe),
        (8_300, false, false, FrameDecision::SkipAndRequestKeyframe),
        (8_350, false, false, FrameDecision::Send),
        (9_000, true, true, FrameDecision::Send),
        (9_100, false, true, FrameDecision::Send),
        (9_200, false, false, FrameDecision::Send),
    ] {
        let now = start + Duration::from_millis(ms);
        assert_eq!(keyframe_only.on(is_keyframe_only, key, now), expected, "{ms} ms");
    }
}

#[test]
fn no_picture_beyond_the_level_that_was_agreed_on() {
    let level = |idc| Some(Level::of([0x42, 0xe0, idc]));
    for (picture, limit, is_beyond) in [
        (level(31), None, false),
        (level(52), None, false),
        (level(30), level(31), false),
        (level(31), level(31), false),
        (level(32), level(31), true),
        (level(10), level(9), false),
        (None, level(10), false),
    ] {
        assert_eq!(beyond(picture, limit).is_some(), is_beyond, "{picture:?} {limit:?}");
    }
}

#[test]
fn what_is_held_begins_with_the_newest_key_frame_and_is_given_up_when_it_is_old() {
    let unit = AccessUnit::default;
    let frame = |ticks, key| Arc::new(Frame { unit: unit(), key, level: None, ticks, at: Mono(0) });
    let ticks = |held: &Prebuffer| held.frames.iter().map(|f| f.ticks).collect::<Vec<_>>();
    let mut held = Prebuffer::default();
    assert!(!held.push(frame(1, false)), "before a keyframe nothing is of use");
    assert!(held.push(frame(2, true)) && held.push(frame(3, false)));
    assert_eq!(ticks(&held), [2, 3]);
    assert!(held.push(frame(4, true)));
    assert_eq!(ticks(&held), [4]);
    assert!((5..9).all(|n| held.push(frame(n, false))));
    assert!(held.push(frame(9, false)) && !held.push(frame(10, false)), "too many");
    assert!(held.frames.is_empty() && !held.push(frame(11, false)));
    assert!(held.push(frame(12, true)));
    assert_eq!(ticks(&held), [12]);
    assert_eq!((held.take().len(), held.take().len()), (1, 0));
}
