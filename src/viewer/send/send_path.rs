//! The send path of one viewer: bandwidth estimator, pacer, TWCC numbers and retransmission buffers together. Pure
//! except for a log line: packets in, packets out, time is an argument.
//!
//! All streams of the viewer share the path, and so estimator, pacer and TWCC numbers. The rest belongs to one stream,
//! which its SSRC names (RFC 3550 section 3).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtc::{rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc, rtp};
use tracing::{debug, trace};

use crate::{
    feed::Evidence,
    units::{Bitrate, DataSize},
    viewer::{
        bandwidth::BandwidthEstimator,
        send::{
            pacer::{Dropped, Pacer, Pacing},
            rtx::RtxBuffer,
            stream_state::{NegotiatedIds, StreamState},
            twcc::{PACKET_OVERHEAD, TwccReport, TwccSender},
        },
    },
};

/// The shortest time between two retransmissions of one packet, if the round trip is shorter.
const RESEND_PAUSE: Duration = Duration::from_millis(20);
/// From this round trip on, a retransmitted packet gets a duplicate, if packets are lost without a queue. Losing it a
/// second time would freeze the picture.
const LONG_ROUND_TRIP: Duration = Duration::from_millis(60);
/// The duplicate leaves this much later, so that one short interruption does not take both.
const DUPLICATE_DELAY: Duration = Duration::from_millis(15);
/// The most duplicates that wait. Above this a packet gets none.
const MAX_DUPLICATES: usize = 64;
/// A queue of this length and more explains the loss: then there are no duplicates.
const QUEUE: Duration = Duration::from_millis(50);
/// The longest queue that a probe may make, at the rate of the estimate.
const PROBE_MOST: Duration = Duration::from_millis(100);
/// A keyframe for a keyframe-only viewer is spread over this time at most.
const KEYFRAME_ONLY_SPREAD: Duration = Duration::from_secs(4);
/// Any other keyframe is spread over this time at most, whatever the estimate.
const SPREAD: Duration = Duration::from_millis(500);

/// The limits of a viewer's estimate, with all headers.
#[derive(Debug, Clone, Copy)]
pub struct RateBounds {
    /// The first guess.
    pub start: Bitrate,
    /// The most that picture and sound can need.
    pub ceiling: Bitrate,
    /// Whether the guess comes from an earlier session.
    pub known: bool,
}

/// A packet in the pacer's queue.
#[derive(Debug)]
struct QueuedPacket {
    packet: rtp::Packet,
    /// The SSRC of its stream. A retransmission has another SSRC itself.
    stream: u32,
    train: u32,
    kind: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Video; `key` marks the first packet of a keyframe.
    Video { key: bool },
    /// A retransmission, a duplicate or a probe.
    Retransmission,
}

/// A packet that leaves now.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// The packet.
    pub packet: rtp::Packet,
    /// Whether it was sent before.
    pub retransmission: bool,
}

/// The send path of one viewer.
#[derive(Debug)]
pub struct SendPath {
    estimator: BandwidthEstimator,
    pacer: Pacer<QueuedPacket>,
    twcc: TwccSender,
    streams: Vec<StreamState>,
    /// Duplicates: when each leaves, its stream's SSRC, and its sequence number.
    duplicates: VecDeque<(Instant, u32, u16)>,
    train: u32,
    /// Since when packets have left without a receiver report.
    unanswered: Option<Instant>,
    /// The viewer's feedback stopped, and nobody has been told yet.
    feedback_lost: bool,
    /// The estimate in the newest log line.
    logged: Bitrate,
}

impl SendPath {
    /// A send path of an unknown network.
    pub fn new(bounds: RateBounds, now: Instant) -> Self {
        let mut path = Self {
            estimator: BandwidthEstimator::new(bounds.start, bounds.ceiling, bounds.known, now),
            pacer: Pacer::new(now),
            twcc: TwccSender::default(),
            streams: Vec::new(),
            duplicates: VecDeque::new(),
            train: 0,
            unanswered: None,
            feedback_lost: false,
            logged: Bitrate::ZERO,
        };
        path.update_pacing(now);
        path
    }

    /// Adds the stream `ssrc`, whose retransmissions have the SSRC `rtx`. A stream that is added again goes on with its
    /// sequence numbers, and its earlier packets cannot be sent again.
    pub fn add_stream(&mut self, ssrc: u32, rtx: Option<u32>) {
        if self.stream(ssrc).is_none() {
            self.streams.push(StreamState::new(ssrc));
        }
        if let Some(stream) = self.stream(ssrc) {
            stream.rtx = rtx.map(RtxBuffer::new);
        }
    }

    /// Removes a stream for good. What waits of it is not sent.
    pub fn remove_stream(&mut self, ssrc: u32) {
        self.streams.retain(|stream| stream.ssrc != ssrc);
    }

    /// Sets what was negotiated for a stream.
    pub fn set_negotiated(&mut self, ssrc: u32, ids: NegotiatedIds) {
        if let Some(stream) = self.stream(ssrc) {
            stream.set_negotiated(ids);
        }
    }

    /// Sets whether the viewer gets only the keyframes of a stream.
    pub fn set_keyframe_only(&mut self, ssrc: u32, keyframe_only: bool) {
        if let Some(stream) = self.stream(ssrc) {
            stream.keyframe_only = keyframe_only;
        }
    }

    fn stream(&mut self, ssrc: u32) -> Option<&mut StreamState> {
        self.streams.iter_mut().find(|stream| stream.ssrc == ssrc)
    }

    /// Whether the feedback stopped since the last call. The viewer cannot ask for missing packets then, even if
    /// packets reach it: a NAT may pass them in one direction only.
    pub fn take_feedback_lost(&mut self) -> bool {
        std::mem::take(&mut self.feedback_lost)
    }

    /// How far the estimate can be trusted, and until when if no report comes.
    pub fn evidence(&self, now: Instant) -> (Evidence, Instant) {
        self.estimator.evidence(now, self.sending())
    }

    /// Whether delay or loss showed that the path carries no more than the estimate.
    pub fn is_limited(&self) -> bool {
        self.estimator.is_limited()
    }

    /// Sets another ceiling, with all headers.
    pub fn set_ceiling(&mut self, ceiling: Bitrate) {
        self.estimator.set_ceiling(ceiling);
    }

    /// Since when packets have been in flight without feedback.
    fn sending(&self) -> Option<Instant> {
        self.twcc.in_flight_since().or(self.unanswered)
    }

    fn count_sent(&mut self, now: Instant) {
        self.unanswered.get_or_insert(now);
    }

    /// The estimate, with all headers, in whole bits per second.
    pub fn estimate(&self) -> Bitrate {
        self.estimator.estimate()
    }

    /// The recent loss fraction, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.estimator.loss()
    }

    /// Whether packets were lost recently.
    pub fn is_lossy(&self, now: Instant) -> bool {
        self.estimator.is_lossy(now)
    }

    /// Sends an audio packet at once, with its TWCC number.
    pub fn send_audio(&mut self, packet: &mut rtp::Packet, now: Instant) {
        // Without video, only audio shows that feedback is missing.
        self.feedback_lost |= self.estimator.tick(now, self.sending());
        let bytes = packet.payload.len();
        let twcc_id = self.stream(packet.header.ssrc).map_or(0, |stream| stream.twcc_id);
        if twcc_id != 0 {
            self.twcc.assign(&mut packet.header, twcc_id, bytes, 0, now);
        }
        self.count_sent(now);
        self.pacer.count_audio(now, size_on_wire(packet));
        // Audio is frequent. Where frames are rare, a probe can go with it.
        self.send_probe(now);
    }

    /// Queues the packets of one access unit. All have the SSRC of a stream that was added; else they are not sent.
    pub fn enqueue_access_unit(&mut self, packets: Vec<rtp::Packet>, key: bool, now: Instant) -> Dropped {
        let Some((ssrc, sequence)) = packets.first().map(|first| (first.header.ssrc, first.header.sequence_number))
        else {
            return Dropped::default();
        };
        self.feedback_lost |= self.estimator.tick(now, self.sending());
        self.send_probe(now);
        self.update_pacing(now);
        self.train = self.train.wrapping_add(1).max(1);
        let train = self.train;
        if let Some(stream) = self.stream(ssrc) {
            stream.sequence.get_or_insert(sequence);
        }
        let waiting = |(n, packet): (usize, rtp::Packet)| {
            let size = size_on_wire(&packet);
            (QueuedPacket { packet, stream: ssrc, train, kind: Purpose::Video { key: key && n == 0 } }, size)
        };
        self.pacer.enqueue(now, ssrc, key, packets.into_iter().enumerate().map(waiting).collect())
    }

    /// Answers one lost packet of a NACK for the stream `ssrc`. Returns whether the packet is sent again.
    pub fn retransmit(&mut self, ssrc: u32, sequence: u16, now: Instant) -> bool {
        let pause = self.estimator.round_trip().max(RESEND_PAUSE);
        let Some(rtx) = rtx_of(&mut self.streams, ssrc) else { return false };
        let Some(packet) = rtx.retransmit(sequence, pause, now) else { return false };
        let sent = Self::enqueue_retransmission(&mut self.pacer, ssrc, packet, now);
        if !sent {
            rtx.undo_retransmit(sequence);
        } else if self.estimator.round_trip() >= LONG_ROUND_TRIP
            && self.estimator.is_lossy(now)
            && self.estimator.queue() < QUEUE
            && self.duplicates.len() < MAX_DUPLICATES
        {
            self.duplicates.push_back((now + DUPLICATE_DELAY, ssrc, sequence));
        }
        sent
    }

    /// Queues a packet that repeats one of `stream`; `false` if the retransmission budget does not allow it.
    fn enqueue_retransmission(pacer: &mut Pacer<QueuedPacket>, stream: u32, packet: rtp::Packet, now: Instant) -> bool {
        let size = size_on_wire(&packet);
        let queued = QueuedPacket { packet, stream, train: 0, kind: Purpose::Retransmission };
        pacer.enqueue_retransmission(now, queued, size)
    }

    /// Queues the duplicates that are due, within the retransmission budget.
    fn send_duplicates(&mut self, now: Instant) {
        while let Some((_, ssrc, sequence)) = self.duplicates.pop_front_if(|(due, ..)| *due <= now) {
            let spare = self.pacer.has_spare(now);
            let rtx = rtx_of(&mut self.streams, ssrc).filter(|_| spare);
            if let Some(packet) = rtx.and_then(|rtx| rtx.duplicate(sequence)) {
                Self::enqueue_retransmission(&mut self.pacer, ssrc, packet, now);
            }
        }
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        self.pacer.clear();
        self.duplicates.clear();
    }

    /// Drops what has waited too long in one stream, and returns its SSRC. Call it until it returns `None`.
    pub fn expire(&mut self, now: Instant) -> Option<(u32, Dropped)> {
        self.pacer.expire(now)
    }

    /// The next packet that leaves now.
    pub fn pop(&mut self, now: Instant) -> Option<OutgoingPacket> {
        self.send_duplicates(now);
        let (QueuedPacket { mut packet, train, kind, .. }, stream) = loop {
            let queued = self.pacer.pop(now)?;
            // A stream that is gone sends nothing more.
            if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == queued.stream) {
                break (queued, stream);
            }
        };
        if let Purpose::Video { key } = kind {
            stream.number(&mut packet, key);
        }
        if stream.twcc_id != 0 {
            self.twcc.assign(&mut packet.header, stream.twcc_id, packet.payload.len(), train, now);
        }
        self.count_sent(now);
        Some(OutgoingPacket { packet, retransmission: kind == Purpose::Retransmission })
    }

    /// When `pop` should be called again.
    pub fn due(&self) -> Option<Instant> {
        self.pacer.due().into_iter().chain(self.duplicates.front().map(|(due, ..)| *due)).min()
    }

    /// Reads a TWCC report.
    pub fn handle_twcc(&mut self, report: &TransportLayerCc, now: Instant) {
        let Some(TwccReport { seen, skipped }) = self.twcc.handle_report(report, now) else {
            trace!("transport feedback that cannot be true is left aside");
            return;
        };
        self.unanswered = None;
        self.estimator.skipped(u32::try_from(skipped).unwrap_or(u32::MAX));
        self.estimator.feedback(now, &seen);
        self.log_estimate();
        self.update_pacing(now);
    }

    /// Reads the viewer's own estimate (REMB). It is used if the viewer sends no TWCC.
    pub fn handle_remb(&mut self, rate: Bitrate, now: Instant) {
        self.unanswered = None;
        self.estimator.remb(now, rate);
        self.update_pacing(now);
    }

    /// Reads the receiver report of a video stream: the fraction lost in 256ths, and the highest sequence number that
    /// arrived. It is used if the viewer sends no TWCC.
    pub fn handle_receiver_report(&mut self, ssrc: u32, lost: u8, highest: u16, now: Instant) {
        let Some(stream) = self.stream(ssrc) else { return };
        if !stream.take_receiver_report(lost, highest) {
            trace!("a receiver report that cannot be true is left aside");
            return;
        }
        self.unanswered = None;
        self.estimator.receiver_report(now, f64::from(lost) / 256.0);
        self.update_pacing(now);
    }

    /// Behaves as if the estimator had met the end of the path.
    #[cfg(test)]
    pub(crate) fn set_constrained(&mut self, now: Instant) {
        self.estimator = BandwidthEstimator::new(Bitrate::from_kbps(200), Bitrate::from_kbps(3_000), true, now);
        self.update_pacing(now);
    }

    /// Logs each change of the estimate by a tenth or more.
    fn log_estimate(&mut self) {
        let estimate = self.estimator.estimate();
        if estimate.abs_diff(self.logged) > (self.logged / 10.0).floor() {
            let estimator = &self.estimator;
            let (before, queue, lost) = (self.logged.as_kbps(), estimator.queue(), estimator.loss() * 100.0);
            debug!(
                "network {before} → {estimate} ({:?}; queue {:.0} ms, {lost:.1} % lost, round trip {} ms)",
                estimator.cause(),
                queue.as_secs_f64() * 1_000.0,
                estimator.round_trip().as_millis()
            );
            self.logged = estimate;
        }
    }

    fn update_pacing(&mut self, now: Instant) {
        let estimator = &self.estimator;
        let keyframe_only = self.streams.iter().any(|stream| stream.keyframe_only);
        self.pacer.set_pacing(Pacing {
            estimate: estimator.estimate(),
            pacing_factor: if keyframe_only { 1.0 } else { estimator.pacing_factor(now) },
            spread: if keyframe_only { KEYFRAME_ONLY_SPREAD } else { SPREAD },
            unconstrained: estimator.is_unconstrained(now),
        });
    }

    /// Sends known packets again as a packet train, fast enough to show whether the path carries more.
    fn send_probe(&mut self, now: Instant) {
        let with_rtx = |stream: &&mut StreamState| stream.twcc_id != 0 && stream.rtx.is_some();
        let Some(StreamState { ssrc, rtx: Some(rtx), .. }) = self.streams.iter_mut().find(with_rtx) else { return };
        let Some(probe) = self.estimator.probe(now) else { return };
        let most = self.estimator.estimate() * PROBE_MOST;
        self.train = self.train.wrapping_add(1).max(1);
        for packet in rtx.probe(probe.size, most) {
            let size = size_on_wire(&packet);
            let queued = QueuedPacket { packet, stream: *ssrc, train: self.train, kind: Purpose::Retransmission };
            self.pacer.enqueue_probe(now, queued, size);
        }
    }
}

/// The retransmission buffer of a stream.
fn rtx_of(streams: &mut [StreamState], ssrc: u32) -> Option<&mut RtxBuffer> {
    streams.iter_mut().find(|stream| stream.ssrc == ssrc)?.rtx.as_mut()
}

/// A packet with all its headers.
fn size_on_wire(packet: &rtp::Packet) -> DataSize {
    DataSize::from_bytes(packet.payload.len() + PACKET_OVERHEAD)
}

#[cfg(test)]
#[path = "send_path_tests.rs"]
mod tests;
