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
    viewer::send::{interceptor::SendShared, rtp_stream::RtpStream, shared_streams::SharedStream},
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
    /// What the interceptor knows of it.
    pub shared: Arc<SharedStream>,
    /// The track of the peer connection.
    pub out: Arc<TrackLocalStaticRTP>,
    /// The highest level of H.264 that the viewer takes; `None`: any.
    pub limit: Option<Level>,
}

impl OutgoingStream {
    /// Sends a frame: its first packet through the driver's queue, the others directly behind it (`burst`).
    async fn picture(&mut self, frame: &Frame) -> bool {
        self.set_clock(frame);
        let mut packets = self.track.packets(frame, true, self.shared.network.is_lossy());
        let Some(first) = packets.next() else { return true };
        let bursts = &self.shared.bursts;
        bursts.push(first.header.sequence_number, frame.key, packets.collect()) && write(&self.out, first).await
    }

    async fn sound(&mut self, packet: &Frame) {
        self.set_clock(packet);
        for packet in self.track.packets(packet, false, false) {
            write(&self.out, packet).await;
        }
    }

    /// Lets the next sender report relate RTP time to the capture time of this frame.
    fn set_clock(&self, frame: &Frame) {
        self.shared.clock.set(self.track.timestamp(frame.ticks), frame.at);
    }

    /// Requests a keyframe as soon as possible, because the viewer's first one came too early.
    fn request_keyframe(&self) {
        self.shared.requests.as_ref().inspect(|requests| requests.request_keyframe());
    }

    /// Requests a keyframe because frames are missing.
    fn request_repair(&self) {
        self.shared.requests.as_ref().inspect(|requests| requests.request_repair());
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
    stream: OutgoingStream,
    mut lease: Lease,
    mut transport_state: watch::Receiver<TransportState>,
    shared: Arc<SendShared>,
    counts: Arc<SendCounters>,
) {
    let mut pump = VideoPump::new(stream, shared, counts);
    loop {
        tokio::select! {
            biased;
            changed = transport_state.changed() => {
                if changed.is_err() {
                    return;
                }
                let reached = *transport_state.borrow_and_update();
                pump.transport_reached(reached).await;
            }
            next = lease.reader.next() => {
                let Some(item) = next else { return };
                let state = *transport_state.borrow();
                pump.take(item, state).await;
            }
        }
    }
}

/// The video pump of one viewer.
struct VideoPump {
    stream: OutgoingStream,
    shared: Arc<SendShared>,
    counts: Arc<SendCounters>,
    held: Prebuffer,
    keyframe_only: KeyframeOnly,
    /// Whether frames are left out until the next keyframe.
    broken: bool,
}

impl VideoPump {
    fn new(stream: OutgoingStream, shared: Arc<SendShared>, counts: Arc<SendCounters>) -> Self {
        let network = &stream.shared.network;
        network.set_login(shared.login);
        let (bitrate, until) = (shared.start, Mono::now());
        network.update(NetworkReport { bitrate, loss: 0.0, evidence: Evidence::Guessed, until });
        let (held, keyframe_only) = (Prebuffer::default(), KeyframeOnly::default());
        Self { stream, shared, counts, held, keyframe_only, broken: true }
    }

    /// The connection reached another state.
    async fn transport_reached(&mut self, reached: TransportState) {
        // ICE took longer than frames are kept: request another keyframe, in time for the end of DTLS. Or DTLS took
        // longer, as with a distant viewer: a repair would come up to a second later.
        if self.broken && reached != TransportState::Connecting && self.held.needs_keyframe() {
            self.stream.request_keyframe();
        }
        if reached == TransportState::Connected {
            for frame in self.held.take() {
                // What was kept is gone once the privacy switch was set.
                self.broken |= self.stream.shared.is_stopped() || !self.send(&frame).await;
            }
        }
    }

    /// Takes the next item of the feed. `state` is that of the connection.
    async fn take(&mut self, item: FeedItem, state: TransportState) {
        match item {
            FeedItem::Missed(n) => {
                self.skip(n);
                self.held = Prebuffer::default();
                self.broken = true;
            }
            FeedItem::Frame(_) if self.stream.shared.is_stopped() => {
                self.skip(1);
                self.held = Prebuffer::default();
                self.broken = true;
                return;
            }
            FeedItem::Frame(frame) if !self.admits(&frame) => {
                self.skip(1);
                self.broken = true;
                return;
            }
            FeedItem::Frame(frame) if state != TransportState::Connected => self.broken = !self.held.push(frame),
            FeedItem::Frame(frame) if frame.key || !self.broken => self.broken = !self.send(&frame).await,
            FeedItem::Frame(_) => {
                self.skip(1);
                return;
            }
        }
        if self.broken && state >= TransportState::DtlsHandshake && !is_silent(&self.stream.shared.network) {
            self.stream.request_repair();
        }
    }

    /// Whether this frame is for this viewer: its decoder can take it, and the viewer is not keyframe-only.
    fn admits(&mut self, frame: &Frame) -> bool {
        self.held.requested &= !frame.key;
        let beyond = beyond(frame.level, self.stream.limit);
        self.shared.beyond.send_if_modified(|told| std::mem::replace(told, beyond) != beyond);
        if beyond.is_some() {
            // Another keyframe would have the same level, so none is requested.
            self.held.take();
            return false;
        }
        let is_keyframe_only = self.stream.shared.network.is_keyframe_only();
        let decision = self.keyframe_only.on(is_keyframe_only, frame.key, Instant::now());
        if decision == FrameDecision::SkipAndRequestKeyframe {
            self.stream.request_repair();
        }
        decision == FrameDecision::Send
    }

    async fn send(&mut self, frame: &Frame) -> bool {
        send_picture(&mut self.stream, frame, &self.counts).await
    }

    fn skip(&self, frames: u64) {
        self.counts.skipped.fetch_add(frames, Ordering::Relaxed);
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
struct Prebuffer {
    frames: Vec<Arc<Frame>>,
    /// A keyframe was requested and has not come yet.
    requested: bool,
}

impl Prebuffer {
    /// Keeps a frame if a decoder could use it; `false` if not. More than [`MAX_PREBUFFERED`] frames would be a burst
    /// of old pictures, so all of them are given up.
    fn push(&mut self, frame: Arc<Frame>) -> bool {
        if frame.key || self.frames.len() == MAX_PREBUFFERED {
            self.frames.clear();
        }
        if frame.key || !self.frames.is_empty() {
            self.frames.push(frame);
        }
        !self.frames.is_empty()
    }

    fn take(&mut self) -> Vec<Arc<Frame>> {
        std::mem::take(&mut self.frames)
    }

    /// Whether to request a keyframe: none is kept, and none is on its way. The caller requests it.
    fn needs_keyframe(&mut self) -> bool {
        let needs = self.frames.is_empty() && !self.requested;
        self.requested |= needs;
        needs
    }
}

async fn send_picture(line: &mut OutgoingStream, frame: &Frame, counts: &SendCounters) -> bool {
    let whole = line.picture(frame).await;
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
    line.shared.network.set_login(shared.login);
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
            Some(FeedItem::Frame(_)) if line.shared.is_stopped() => {}
            Some(FeedItem::Frame(packet)) => {
                line.sound(&packet).await;
                counts.packets.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
