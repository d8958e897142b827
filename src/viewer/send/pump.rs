//! Pumps: tasks that write frames from the feeds into one peer connection. Each viewer has its own, so a slow viewer
//! loses only its own frames.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rtc::rtp;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use webrtc::media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP};

use crate::{
    clock::Mono,
    feed::{Evidence, FeedItem, Frame, Network, NetworkReport},
    level::Level,
    media_source::Lease,
    viewer::send::{interceptor::SendShared, rtp_stream::RtpStream},
};

/// The state of the transport; the pumps follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum TransportState {
    /// ICE looks for a pair.
    #[default]
    Connecting,
    /// ICE has a pair and DTLS starts: time to request a keyframe.
    DtlsHandshake,
    /// Media can flow.
    Connected,
}

/// Counters of the pumps.
#[derive(Debug, Default)]
pub(crate) struct SendCounters {
    /// Video frames handed to the transport.
    pub frames: AtomicU64,
    /// Video frames left out because this viewer was late.
    pub skipped: AtomicU64,
    /// Audio packets handed to the transport.
    pub packets: AtomicU64,
    /// Bytes of payload.
    pub bytes: AtomicU64,
}

/// Frames that are kept until the connection is up, from a keyframe on: a fifth of a second at 30/s.
const MAX_PREBUFFERED: usize = 6;
/// A keyframe-only viewer gets one keyframe in this time.
const KEYFRAME_ONLY_PERIOD: Duration = Duration::from_secs(4);
/// The driver takes a packet within microseconds. If it needs this long, it is stuck, and the frame is dropped.
const STUCK: Duration = Duration::from_millis(500);

/// One outgoing stream and the track that it is written to.
pub(crate) struct OutgoingStream {
    /// The RTP state.
    pub track: RtpStream,
    /// The track of the peer connection.
    pub out: Arc<TrackLocalStaticRTP>,
    /// The highest level of H.264 that the viewer takes; `None`: any.
    pub limit: Option<Level>,
}

impl OutgoingStream {
    /// Sends a frame: its first packet through the driver's queue, the others directly behind it (`burst`).
    async fn picture(&mut self, frame: &Frame, shared: &SendShared) -> bool {
        let patient = shared.picture.get().is_some_and(|(_, network)| network.is_lossy());
        let mut packets = self.track.packets(frame, true, patient);
        let Some(first) = packets.next() else { return true };
        shared.bursts.push(first.header.sequence_number, frame.key, packets.collect()) && write(&self.out, first).await
    }

    async fn sound(&mut self, packet: &Frame) {
        for packet in self.track.packets(packet, false, false) {
            write(&self.out, packet).await;
        }
    }
}

async fn write(out: &TrackLocalStaticRTP, packet: rtp::Packet) -> bool {
    matches!(timeout(STUCK, out.write_rtp(packet)).await, Ok(Ok(())))
}

/// Sends video until the feed or the connection ends.
///
/// The session requested a keyframe when it began. The pump keeps that keyframe and the frames after it until the
/// connection is up, so that the first picture is there when the handshakes are done.
pub(crate) async fn video(
    mut line: OutgoingStream,
    mut lease: Lease,
    mut transport_state: watch::Receiver<TransportState>,
    shared: Arc<SendShared>,
    counts: Arc<SendCounters>,
) {
    let requests = Arc::clone(lease.reader.requests());
    let network = Arc::clone(lease.reader.network());
    let _ = shared.picture.set((Arc::clone(&requests), Arc::clone(&network)));
    network.set_login(shared.login);
    network.update(NetworkReport { bits: shared.start, loss: 0.0, evidence: Evidence::Guessed, until: Mono::now() });
    let mut held = Prebuffer::default();
    let mut keyframe_only = KeyframeOnly::default();
    // Whether frames are left out until the next keyframe.
    let mut broken = true;
    loop {
        let next = tokio::select! {
            biased;
            changed = transport_state.changed() => {
                if changed.is_err() {
                    return;
                }
                let reached = *transport_state.borrow_and_update();
                match reached {
                    TransportState::Connecting => {}
                    // ICE took longer than frames are kept: request another keyframe, in time for the end of DTLS.
                    TransportState::DtlsHandshake if held.is_empty() => requests.request_keyframe(),
                    TransportState::DtlsHandshake => {}
                    TransportState::Connected => {
                        for frame in held.take() {
                            broken |= !send_picture(&mut line, &frame, &shared, &counts).await;
                        }
                    }
                }
                continue;
            }
            next = lease.reader.next() => next,
        };
        let now = *transport_state.borrow();
        if let Some(FeedItem::Frame(frame)) = &next {
            let beyond = beyond(frame.level, line.limit);
            shared.beyond.send_if_modified(|told| std::mem::replace(told, beyond) != beyond);
            if beyond.is_some() {
                // Another key frame would ask for as much: none is wished for.
                counts.skipped.fetch_add(1, Ordering::Relaxed);
                held.take();
                broken = true;
                continue;
            }
            let turn = keyframe_only.on(network.is_keyframe_only(), frame.key, Instant::now());
            if turn == FrameDecision::SkipAndRequestKeyframe {
                requests.request_repair();
            }
            if turn != FrameDecision::Send {
                counts.skipped.fetch_add(1, Ordering::Relaxed);
                broken = true;
                continue;
            }
        }
        match next {
            None => return,
            Some(FeedItem::Missed(n)) => {
                counts.skipped.fetch_add(n, Ordering::Relaxed);
                held.take();
                broken = true;
            }
            Some(FeedItem::Frame(frame)) if now == TransportState::Connected && (frame.key || !broken) => {
                broken = !send_picture(&mut line, &frame, &shared, &counts).await;
            }
            Some(FeedItem::Frame(_)) if now == TransportState::Connected => {
                counts.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Some(FeedItem::Frame(frame)) => broken = !held.push(frame),
        }
        if broken && now >= TransportState::DtlsHandshake && !is_silent(&network) {
            requests.request_repair();
        }
    }
}

/// The level of a frame and the one that the viewer takes, if that is lower. Such a parameter set must not reach the
/// viewer's decoder.
fn beyond(level: Option<Level>, limit: Option<Level>) -> Option<(Level, Level)> {
    level.zip(limit).filter(|(level, limit)| level > limit)
}

/// Whether the viewer may be gone. A keyframe costs all viewers, so none is requested for it.
fn is_silent(network: &Network) -> bool {
    network.estimate(Mono::now()).is_some_and(|estimate| estimate.evidence == Evidence::Silent)
}

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameDecision {
    /// It is sent.
    Send,
    /// It is left out.
    Skip,
    /// It is left out, and a keyframe is requested.
    SkipAndRequestKeyframe,
}

/// Keyframe-only mode: since when, or when the last keyframe was sent.
#[derive(Debug, Default)]
struct KeyframeOnly(Option<Instant>);

impl KeyframeOnly {
    /// Decides about a frame; `keyframe_only` is the current state of the network.
    fn on(&mut self, keyframe_only: bool, key: bool, now: Instant) -> FrameDecision {
        match (keyframe_only, key) {
            (_, true) => {
                self.0 = keyframe_only.then_some(now);
                FrameDecision::Send
            }
            (true, false) => {
                let since = *self.0.get_or_insert(now);
                if now.saturating_duration_since(since) < KEYFRAME_ONLY_PERIOD {
                    return FrameDecision::Skip;
                }
                self.0 = Some(now);
                FrameDecision::SkipAndRequestKeyframe
            }
            // The viewer gets all frames again and cannot wait for the next regular keyframe.
            (false, false) if self.0.take().is_some() => FrameDecision::SkipAndRequestKeyframe,
            (false, false) => FrameDecision::Send,
        }
    }
}

/// A keyframe and the frames after it, until they can be sent.
#[derive(Debug, Default)]
struct Prebuffer(Vec<Arc<Frame>>);

impl Prebuffer {
    /// Keeps a frame if a decoder could use it; `false` if not. More than [`MAX_PREBUFFERED`] frames would be a burst
    /// of old pictures, so all of them are given up.
    fn push(&mut self, frame: Arc<Frame>) -> bool {
        if frame.key || self.0.len() == MAX_PREBUFFERED {
            self.0.clear();
        }
        if frame.key || !self.0.is_empty() {
            self.0.push(frame);
        }
        !self.0.is_empty()
    }

    fn take(&mut self) -> Vec<Arc<Frame>> {
        std::mem::take(&mut self.0)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

async fn send_picture(line: &mut OutgoingStream, frame: &Frame, shared: &SendShared, counts: &SendCounters) -> bool {
    shared.video.set(line.track.timestamp(frame.ticks), frame.at);
    let whole = line.picture(frame, shared).await;
    if whole {
        counts.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
    }
    let count = if whole { &counts.frames } else { &counts.skipped };
    count.fetch_add(1, Ordering::Relaxed);
    whole
}

/// Sends audio until the feed or the connection ends.
pub(crate) async fn audio(
    mut line: OutgoingStream,
    mut lease: Lease,
    mut transport_state: watch::Receiver<TransportState>,
    shared: Arc<SendShared>,
    counts: Arc<SendCounters>,
) {
    if transport_state.wait_for(|s| *s == TransportState::Connected).await.is_err() {
        return;
    }
    lease.reader.network().set_login(shared.login);
    let _ = shared.sound.set(Arc::clone(lease.reader.network()));
    lease.reader.skip_to_now();
    loop {
        let next = tokio::select! {
            next = lease.reader.next() => next,
            gone = transport_state.changed() => if gone.is_err() { return } else { continue },
        };
        match next {
            None => return,
            // The gap is visible in the time stamps; the viewer's jitter buffer conceals it.
            Some(FeedItem::Missed(_)) => {}
            Some(FeedItem::Frame(packet)) => {
                shared.audio.set(line.track.timestamp(packet.ticks), packet.at);
                line.sound(&packet).await;
                counts.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
                counts.packets.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

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
        let frame = |ticks, key| Arc::new(Frame { payloads: vec![Bytes::new()], key, level: None, ticks, at: Mono(0) });
        let ticks = |held: &Prebuffer| held.0.iter().map(|f| f.ticks).collect::<Vec<_>>();
        let mut held = Prebuffer::default();
        assert!(!held.push(frame(1, false)), "before a key frame nothing is of use");
        assert!(held.push(frame(2, true)) && held.push(frame(3, false)));
        assert_eq!(ticks(&held), [2, 3]);
        assert!(held.push(frame(4, true)));
        assert_eq!(ticks(&held), [4]);
        assert!((5..9).all(|n| held.push(frame(n, false))));
        assert!(held.push(frame(9, false)) && !held.push(frame(10, false)), "too many");
        assert!(held.is_empty() && !held.push(frame(11, false)));
        assert!(held.push(frame(12, true)));
        assert_eq!(ticks(&Prebuffer(held.take())), [12]);
    }
}
