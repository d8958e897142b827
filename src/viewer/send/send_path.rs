//! What leaves for one viewer, and when: estimator, pacer, numbers and history behind one door. Pure but for a line in the
//! log: packets in, packets out, time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtc::{rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc, rtp};
use tracing::{debug, trace};

use crate::{
    feed::Evidence,
    viewer::{
        bandwidth::BandwidthEstimator,
        send::{
            pacer::{Dropped, Pacer, Pacing},
            rtx::RtxBuffer,
            twcc::{PACKET_OVERHEAD, TwccReport, TwccSender},
        },
    },
};

/// A packet is sent again at most this often, if the round trip is shorter.
const RESEND_PAUSE: Duration = Duration::from_millis(20);
/// From this round trip on a packet that is sent again has a twin where packets get lost without a queue: losing it once more would
/// cost a freeze.
const LONG_ROUND_TRIP: Duration = Duration::from_millis(60);
/// How much later the twin leaves: a hiccup of the path should not take both.
const DUPLICATE_DELAY: Duration = Duration::from_millis(15);
/// Twins that wait; what finds no place has none.
const MAX_DUPLICATES: usize = 64;
/// Queue in ms from which on loss is the queue's.
const QUEUE: f64 = 50.0;
/// Of the estimate, what a probe may be: a queue of so many seconds is the most that it makes.
const PROBE_MOST: f64 = 0.1;
/// A thin viewer's key frame takes its time: seconds that it may be spread over.
const THIN_SPREAD: f64 = 4.0;
/// A key frame is spread over this at the most, whatever the estimate says.
const SPREAD: f64 = 0.5;

/// What a viewer's network may be given, in bits per second on the wire.
#[derive(Debug, Clone, Copy)]
pub struct RateBounds {
    /// The first guess.
    pub start: u32,
    /// More is never needed.
    pub ceiling: u32,
    /// Whether the guess comes from an earlier session.
    pub known: bool,
}

/// What the negotiation gave; 0 is what was refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct NegotiatedIds {
    /// Id of the header extension that numbers packets of the picture.
    pub picture: u8,
    /// The same for the sound.
    pub sound: u8,
    /// The payload type of what is sent again. Each codec has its own (RFC 4588 section 8.6): by that of another one, a
    /// browser takes the packet for that other codec's, and begins a new decoder in the middle of the stream.
    pub retransmission: u8,
}

/// A packet that waits to leave.
#[derive(Debug)]
struct QueuedPacket {
    packet: rtp::Packet,
    train: u32,
    kind: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Of a picture; the first one of a key frame is marked.
    Video { key: bool },
    /// Sent again.
    Retransmission,
}

/// A packet that leaves now.
#[derive(Debug)]
pub struct OutgoingPacket {
    /// What leaves.
    pub packet: rtp::Packet,
    /// Whether it was sent before.
    pub retransmission: bool,
}

/// The way of pictures and sound to one viewer.
#[derive(Debug)]
pub struct SendPath {
    estimator: BandwidthEstimator,
    pacer: Pacer<QueuedPacket>,
    twcc: TwccSender,
    rtx: Option<RtxBuffer>,
    /// What leaves a second time, and when.
    duplicates: VecDeque<(Instant, u16)>,
    /// The ids of the number's header extension, for pictures and for sound; 0: not agreed on.
    ids: (u8, u8),
    /// The sequence number of the next packet of a picture: given when it leaves, so that what is dropped leaves no hole.
    sequence: Option<u16>,
    train: u32,
    keyframe_only: bool,
    /// Since when packets have left that no receiver report has followed.
    unanswered: Option<Instant>,
    /// The highest sequence number of a picture's packet that a receiver report told of.
    reported: Option<u16>,
    /// The viewer fell silent, which nobody has been told yet.
    feedback_lost: bool,
    /// The estimate that the log knows.
    logged: u32,
}

impl SendPath {
    /// A way of which nothing is known.
    pub fn new(bounds: RateBounds, now: Instant) -> Self {
        let mut path = Self {
            estimator: BandwidthEstimator::new(bounds.start, bounds.ceiling, bounds.known, now),
            pacer: Pacer::new(now),
            twcc: TwccSender::default(),
            rtx: None,
            duplicates: VecDeque::new(),
            ids: (0, 0),
            sequence: None,
            train: 0,
            keyframe_only: false,
            unanswered: None,
            reported: None,
            feedback_lost: false,
            logged: 0,
        };
        path.update_pacing(now);
        path
    }

    /// The stream on which what was lost is sent again.
    pub fn set_rtx_ssrc(&mut self, ssrc: Option<u32>) {
        self.rtx = ssrc.map(RtxBuffer::new);
    }

    /// What the negotiation gave.
    pub fn set_negotiated(&mut self, agreed: NegotiatedIds) {
        self.ids = (agreed.picture, agreed.sound);
        if let Some(rtx) = &mut self.rtx {
            rtx.set_payload_type(agreed.retransmission);
        }
    }

    /// Whether the viewer is given key frames only.
    pub fn set_keyframe_only(&mut self, keyframe_only: bool) {
        self.keyframe_only = keyframe_only;
    }

    /// Whether the viewer fell silent since the last call. What it missed it cannot ask for then, even where packets still
    /// reach it: its NAT, or that of the board, may let them through one way only until it notices.
    pub fn take_feedback_lost(&mut self) -> bool {
        std::mem::take(&mut self.feedback_lost)
    }

    /// How far the estimate can be trusted; and until when, if nothing more is heard.
    pub fn evidence(&self, now: Instant) -> (Evidence, Instant) {
        self.estimator.evidence(now, self.sending())
    }

    /// Whether delay or loss said that more than the estimate does not go.
    pub fn is_limited(&self) -> bool {
        self.estimator.is_limited()
    }

    /// Takes another bound of what is needed, in bits per second on the wire; 0: none was set.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        if ceiling != 0 {
            self.estimator.set_ceiling(ceiling);
        }
    }

    /// Since when packets have been under way of which the viewer has said nothing.
    fn sending(&self) -> Option<Instant> {
        self.twcc.in_flight_since().or(self.unanswered)
    }

    fn count_sent(&mut self, now: Instant) {
        self.unanswered.get_or_insert(now);
    }

    /// What goes, in bits per second on the wire.
    pub fn estimate(&self) -> u32 {
        self.estimator.estimate()
    }

    /// The fraction lost of late, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.estimator.loss()
    }

    /// Whether packets got lost in the last while.
    pub fn is_lossy(&self, now: Instant) -> bool {
        self.estimator.is_lossy(now)
    }

    /// Sound leaves at once, with its number.
    pub fn send_audio(&mut self, packet: &mut rtp::Packet, now: Instant) {
        // Where there is no picture, sound alone tells that feedback is missing.
        self.feedback_lost |= self.estimator.tick(now, self.sending());
        let bytes = packet.payload.len();
        if self.ids.1 != 0 {
            self.twcc.assign(&mut packet.header, self.ids.1, bytes, 0, now);
        }
        self.count_sent(now);
        self.pacer.count_audio(now, bytes + PACKET_OVERHEAD);
        // Sound comes often: where pictures are rare, it is what a probe waits for.
        self.send_probe(now);
    }

    /// A picture wants to leave, as the packets that it was cut into.
    pub fn enqueue_access_unit(&mut self, packets: Vec<rtp::Packet>, key: bool, now: Instant) -> Dropped {
        self.feedback_lost |= self.estimator.tick(now, self.sending());
        self.send_probe(now);
        self.update_pacing(now);
        self.train = self.train.wrapping_add(1).max(1);
        let train = self.train;
        if self.sequence.is_none() {
            self.sequence = packets.first().map(|p| p.header.sequence_number);
        }
        let waiting = |(n, packet): (usize, rtp::Packet)| {
            let bytes = packet.payload.len() + PACKET_OVERHEAD;
            (QueuedPacket { packet, train, kind: Purpose::Video { key: key && n == 0 } }, bytes)
        };
        self.pacer.enqueue(now, key, packets.into_iter().enumerate().map(waiting).collect())
    }

    /// The viewer misses a packet of a picture; whether it will be sent again.
    pub fn retransmit(&mut self, sequence: u16, now: Instant) -> bool {
        let pause = self.estimator.round_trip().max(RESEND_PAUSE);
        let Some(rtx) = &mut self.rtx else { return false };
        let Some(packet) = rtx.retransmit(sequence, pause, now) else { return false };
        let bytes = packet.payload.len() + PACKET_OVERHEAD;
        let sent = self.pacer.enqueue_retransmission(
            now,
            QueuedPacket { packet, train: 0, kind: Purpose::Retransmission },
            bytes,
        );
        if !sent {
            rtx.undo_retransmit(sequence);
        } else if self.estimator.round_trip() >= LONG_ROUND_TRIP
            && self.estimator.is_lossy(now)
            && self.estimator.queue() < QUEUE
            && self.duplicates.len() < MAX_DUPLICATES
        {
            self.duplicates.push_back((now + DUPLICATE_DELAY, sequence));
        }
        sent
    }

    /// Twins whose time has come join what is sent again, within its budget.
    fn send_duplicates(&mut self, now: Instant) {
        while let Some((_, sequence)) = self.duplicates.pop_front_if(|(due, _)| *due <= now) {
            let spare = self.pacer.has_spare(now);
            if let Some(packet) = self.rtx.as_mut().filter(|_| spare).and_then(|rtx| rtx.duplicate(sequence)) {
                let bytes = packet.payload.len() + PACKET_OVERHEAD;
                self.pacer.enqueue_retransmission(
                    now,
                    QueuedPacket { packet, train: 0, kind: Purpose::Retransmission },
                    bytes,
                );
            }
        }
    }

    /// What has waited too long is dropped.
    pub fn expire(&mut self, now: Instant) -> Dropped {
        self.pacer.expire(now)
    }

    /// The next packet that leaves now.
    pub fn pop(&mut self, now: Instant) -> Option<OutgoingPacket> {
        self.send_duplicates(now);
        let QueuedPacket { mut packet, train, kind } = self.pacer.pop(now)?;
        if let Purpose::Video { key } = kind {
            let sequence = self.sequence.unwrap_or(packet.header.sequence_number);
            packet.header.sequence_number = sequence;
            self.sequence = Some(sequence.wrapping_add(1));
            if let Some(rtx) = &mut self.rtx {
                rtx.store(&packet, key);
            }
        }
        if self.ids.0 != 0 {
            self.twcc.assign(&mut packet.header, self.ids.0, packet.payload.len(), train, now);
        }
        self.count_sent(now);
        Some(OutgoingPacket { packet, retransmission: kind == Purpose::Retransmission })
    }

    /// When `pop` should be asked again.
    pub fn due(&self) -> Option<Instant> {
        self.pacer.due().into_iter().chain(self.duplicates.front().map(|(due, _)| *due)).min()
    }

    /// What the viewer says of the packets that were numbered.
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

    /// The viewer's own estimate (REMB), used where it does not speak of packets.
    pub fn handle_remb(&mut self, bits: u64, now: Instant) {
        self.unanswered = None;
        self.estimator.remb(now, bits);
        self.update_pacing(now);
    }

    /// A receiver report of the picture: the fraction lost in 256ths, and the highest sequence number that arrived. Used
    /// where the viewer does not speak of packets.
    pub fn handle_receiver_report(&mut self, lost: u8, highest: u16, now: Instant) {
        let Some(next) = self.sequence else { return };
        // Nothing arrives that was not sent; and of those expected since the last report the highest did arrive.
        let ahead = next.wrapping_sub(1).wrapping_sub(highest) >= 0x8000;
        let expected = self.reported.map_or(u16::MAX, |before| highest.wrapping_sub(before));
        let most = u32::from(expected.saturating_sub(1)) * 256 / u32::from(expected.max(1));
        if ahead || u32::from(lost) > most {
            trace!("a receiver report that cannot be true is left aside");
            return;
        }
        self.reported = Some(highest);
        self.unanswered = None;
        self.estimator.receiver_report(now, f64::from(lost) / 256.0);
        self.update_pacing(now);
    }

    /// As if the path's end had been met.
    #[cfg(test)]
    pub(crate) fn set_constrained(&mut self, now: Instant) {
        self.estimator = BandwidthEstimator::new(200_000, 3_000_000, true, now);
        self.update_pacing(now);
    }

    /// For those who wonder why a picture is as it is: each change of a tenth.
    fn log_estimate(&mut self) {
        let bits = self.estimator.estimate();
        if bits.abs_diff(self.logged) > self.logged / 10 {
            let estimator = &self.estimator;
            let (before, after) = (self.logged / 1000, bits / 1000);
            let (queue, lost, trip) = (estimator.queue(), estimator.loss() * 100.0, estimator.round_trip().as_millis());
            debug!(
                "network {before} → {after} kbit/s ({:?}; queue {queue:.0} ms, {lost:.1} % lost, round trip {trip} ms)",
                estimator.cause()
            );
            self.logged = bits;
        }
    }

    fn update_pacing(&mut self, now: Instant) {
        let estimator = &self.estimator;
        self.pacer.set_pacing(Pacing {
            estimate: estimator.estimate(),
            pacing_factor: if self.keyframe_only { 1.0 } else { estimator.pacing_factor(now) },
            spread: if self.keyframe_only { THIN_SPREAD } else { SPREAD },
            unconstrained: estimator.is_unconstrained(now),
        });
    }

    /// Sends again, unasked, what makes a train fast enough to see whether more goes.
    fn send_probe(&mut self, now: Instant) {
        let Some(rtx) = &mut self.rtx else { return };
        if self.ids.0 == 0 {
            return;
        }
        let Some(probe) = self.estimator.probe(now) else { return };
        let most = (f64::from(self.estimator.estimate()) * PROBE_MOST / 8.0) as usize;
        self.train = self.train.wrapping_add(1).max(1);
        for packet in rtx.probe(probe.bytes, most) {
            let bytes = packet.payload.len() + PACKET_OVERHEAD;
            self.pacer.enqueue_probe(
                now,
                QueuedPacket { packet, train: self.train, kind: Purpose::Retransmission },
                bytes,
            );
        }
    }
}

#[cfg(test)]
#[path = "send_path_tests.rs"]
mod tests;
