//! What leaves for one viewer, and when: estimator, pacer, numbers and history behind one door. Pure but for a line in the
//! log: packets in, packets out, time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtc::{rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc, rtp};
use tracing::debug;

use super::{
    bandwidth::Estimator,
    history::History,
    numbering::{AROUND, Numbering},
    pacer::{Dropped, Pace, Pacer},
};

/// A packet is sent again at most this often, if the round trip is shorter.
const RESEND_PAUSE: Duration = Duration::from_millis(20);
/// From this round trip on a packet that is sent again has a twin where packets get lost without a queue: losing it once more would
/// cost a freeze.
const FAR: Duration = Duration::from_millis(60);
/// How much later the twin leaves: a hiccup of the path should not take both.
const TWIN: Duration = Duration::from_millis(15);
/// Twins that wait; what finds no place has none.
const TWINS: usize = 64;
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
pub(super) struct Bounds {
    /// The first guess.
    pub start: u32,
    /// More is never needed.
    pub ceiling: u32,
    /// Whether the guess comes from an earlier session.
    pub known: bool,
}

/// What the negotiation gave; 0 is what was refused.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Agreed {
    /// Id of the header extension that numbers packets of the picture.
    pub picture: u8,
    /// The same for the sound.
    pub sound: u8,
    /// The payload type of what is sent again. Each codec has its own (RFC 4588 section 8.6): by that of another one, a
    /// browser takes the packet for that other codec's, and begins a new decoder in the middle of the stream.
    pub again: u8,
}

/// A packet that waits to leave.
#[derive(Debug)]
struct Waiting {
    packet: rtp::Packet,
    train: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a picture; the first one of a key frame is marked.
    Picture { key: bool },
    /// Sent again.
    Again,
}

/// A packet that leaves now.
#[derive(Debug)]
pub(super) struct Leaving {
    pub packet: rtp::Packet,
    /// Whether it was sent before.
    pub again: bool,
}

/// The way of pictures and sound to one viewer.
#[derive(Debug)]
pub(super) struct Flow {
    estimator: Estimator,
    pacer: Pacer<Waiting>,
    numbering: Numbering,
    history: Option<History>,
    /// What leaves a second time, and when.
    twins: VecDeque<(Instant, u16)>,
    /// The ids of the number's header extension, for pictures and for sound; 0: not agreed on.
    ids: (u8, u8),
    /// The sequence number of the next packet of a picture: given when it leaves, so that what is dropped leaves no hole.
    sequence: Option<u16>,
    train: u32,
    thin: bool,
    /// The viewer fell silent, which nobody has been told yet.
    deaf: bool,
    /// The estimate that the log knows.
    told: u32,
}

impl Flow {
    /// A way of which nothing is known.
    pub(super) fn new(bounds: Bounds, now: Instant) -> Self {
        let mut flow = Self {
            estimator: Estimator::new(bounds.start, bounds.ceiling, bounds.known, now),
            pacer: Pacer::new(now),
            numbering: Numbering::default(),
            history: None,
            twins: VecDeque::new(),
            ids: (0, 0),
            sequence: None,
            train: 0,
            thin: false,
            deaf: false,
            told: 0,
        };
        flow.pace(now);
        flow
    }

    /// The stream on which what was lost is sent again.
    pub(super) fn set_again(&mut self, ssrc: Option<u32>) {
        self.history = ssrc.map(History::new);
    }

    /// What the negotiation gave.
    pub(super) fn set_agreed(&mut self, agreed: Agreed) {
        self.ids = (agreed.picture, agreed.sound);
        if let Some(history) = &mut self.history {
            history.set_payload_type(agreed.again);
        }
    }

    /// Whether the viewer is given key frames only.
    pub(super) fn set_thin(&mut self, thin: bool) {
        self.thin = thin;
    }

    /// Whether the viewer fell silent since the last call. What it missed it cannot ask for then, even where packets still
    /// reach it: its NAT, or that of the board, may let them through one way only until it notices.
    pub(super) fn take_silence(&mut self) -> bool {
        std::mem::take(&mut self.deaf)
    }

    /// Whether the viewer tells what arrives.
    pub(super) fn is_told(&self) -> bool {
        self.numbering.heard
    }

    /// What goes, in bits per second on the wire.
    pub(super) fn estimate(&self) -> u32 {
        self.estimator.estimate()
    }

    /// The fraction lost of late, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        self.estimator.loss()
    }

    /// Whether packets got lost in the last while.
    pub(super) fn is_lossy(&self, now: Instant) -> bool {
        self.estimator.is_lossy(now)
    }

    /// Sound leaves at once, with its number.
    pub(super) fn sound(&mut self, packet: &mut rtp::Packet, now: Instant) {
        // Where there is no picture, sound alone tells that feedback is missing.
        self.deaf |= self.estimator.tick(now, self.numbering.waiting_since());
        let bytes = packet.payload.len();
        if self.ids.1 != 0 {
            self.numbering.number(&mut packet.header, self.ids.1, bytes, 0, now);
        }
        self.pacer.sent_beside(now, bytes + AROUND);
    }

    /// A picture wants to leave, as the packets that it was cut into.
    pub(super) fn picture(&mut self, packets: Vec<rtp::Packet>, key: bool, now: Instant) -> Dropped {
        self.deaf |= self.estimator.tick(now, self.numbering.waiting_since());
        self.probe(now);
        self.pace(now);
        self.train = self.train.wrapping_add(1).max(1);
        let train = self.train;
        if self.sequence.is_none() {
            self.sequence = packets.first().map(|p| p.header.sequence_number);
        }
        let waiting = |(n, packet): (usize, rtp::Packet)| {
            let bytes = packet.payload.len() + AROUND;
            (Waiting { packet, train, kind: Kind::Picture { key: key && n == 0 } }, bytes)
        };
        self.pacer.picture(now, key, packets.into_iter().enumerate().map(waiting).collect())
    }

    /// The viewer misses a packet of a picture; whether it will be sent again.
    pub(super) fn again(&mut self, sequence: u16, now: Instant) -> bool {
        let pause = self.estimator.round_trip().max(RESEND_PAUSE);
        let Some(history) = &mut self.history else { return false };
        let Some(packet) = history.again(sequence, pause, now) else { return false };
        let bytes = packet.payload.len() + AROUND;
        let sent = self.pacer.again(now, Waiting { packet, train: 0, kind: Kind::Again }, bytes);
        if !sent {
            history.not_sent(sequence);
        } else if self.estimator.round_trip() >= FAR
            && self.estimator.is_lossy(now)
            && self.estimator.queue() < QUEUE
            && self.twins.len() < TWINS
        {
            self.twins.push_back((now + TWIN, sequence));
        }
        sent
    }

    /// Twins whose time has come join what is sent again, within its budget.
    fn call_twins(&mut self, now: Instant) {
        while let Some((_, sequence)) = self.twins.pop_front_if(|(due, _)| *due <= now) {
            let spare = self.pacer.has_spare(now);
            if let Some(packet) = self.history.as_mut().filter(|_| spare).and_then(|history| history.twin(sequence)) {
                let bytes = packet.payload.len() + AROUND;
                self.pacer.again(now, Waiting { packet, train: 0, kind: Kind::Again }, bytes);
            }
        }
    }

    /// What has waited too long is dropped.
    pub(super) fn expire(&mut self, now: Instant) -> Dropped {
        self.pacer.expire(now)
    }

    /// The next packet that leaves now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Leaving> {
        self.call_twins(now);
        let Waiting { mut packet, train, kind } = self.pacer.pop(now)?;
        if let Kind::Picture { key } = kind {
            let sequence = self.sequence.unwrap_or(packet.header.sequence_number);
            packet.header.sequence_number = sequence;
            self.sequence = Some(sequence.wrapping_add(1));
            if let Some(history) = &mut self.history {
                history.keep(&packet, key);
            }
        }
        if self.ids.0 != 0 {
            self.numbering.number(&mut packet.header, self.ids.0, packet.payload.len(), train, now);
        }
        Some(Leaving { packet, again: kind == Kind::Again })
    }

    /// When `pop` should be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pacer.due().into_iter().chain(self.twins.front().map(|(due, _)| *due)).min()
    }

    /// What the viewer says of the packets that were numbered.
    pub(super) fn feedback(&mut self, said: &TransportLayerCc, now: Instant) {
        let seen = self.numbering.read(said);
        self.estimator.feedback(now, &seen);
        self.tell();
        self.pace(now);
    }

    /// The viewer's own estimate (REMB), used where it does not speak of packets.
    pub(super) fn remb(&mut self, bits: u64, now: Instant) {
        self.estimator.remb(now, bits);
        self.pace(now);
    }

    /// The fraction lost by a receiver report, used where the viewer does not speak of packets.
    pub(super) fn receiver_report(&mut self, lost: f64, now: Instant) {
        if !self.numbering.heard {
            self.estimator.receiver_report(now, lost);
            self.pace(now);
        }
    }

    /// As if the path's end had been met.
    #[cfg(test)]
    pub(super) fn set_unfree(&mut self, now: Instant) {
        self.estimator = Estimator::new(200_000, 3_000_000, true, now);
        self.pace(now);
    }

    /// For those who wonder why a picture is as it is: each change of a tenth.
    fn tell(&mut self) {
        let bits = self.estimator.estimate();
        if bits.abs_diff(self.told) > self.told / 10 {
            let estimator = &self.estimator;
            let (before, after) = (self.told / 1000, bits / 1000);
            let (queue, lost, trip) = (estimator.queue(), estimator.loss() * 100.0, estimator.round_trip().as_millis());
            debug!(
                "network {before} → {after} kbit/s ({:?}; queue {queue:.0} ms, {lost:.1} % lost, round trip {trip} ms)",
                estimator.cause()
            );
            self.told = bits;
        }
    }

    fn pace(&mut self, now: Instant) {
        let estimator = &self.estimator;
        self.pacer.set_pace(Pace {
            estimate: estimator.estimate(),
            haste: if self.thin { 1.0 } else { estimator.haste(now) },
            spread: if self.thin { THIN_SPREAD } else { SPREAD },
            free: estimator.is_free(now),
        });
    }

    /// Sends again, unasked, what makes a train fast enough to see whether more goes.
    fn probe(&mut self, now: Instant) {
        let Some(history) = &mut self.history else { return };
        if self.ids.0 == 0 {
            return;
        }
        let Some(probe) = self.estimator.probe(now) else { return };
        let most = (f64::from(self.estimator.estimate()) * PROBE_MOST / 8.0) as usize;
        self.train = self.train.wrapping_add(1).max(1);
        for packet in history.probe(probe.bytes, most) {
            let bytes = packet.payload.len() + AROUND;
            self.pacer.at_once(now, Waiting { packet, train: self.train, kind: Kind::Again }, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::bandwidth::Seen;

    #[test]
    fn what_is_sent_again_over_a_far_lossy_path_has_a_twin() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for (trip, loses, copies) in [(100, true, 2), (100, false, 1), (20, true, 1)] {
            let mut flow = Flow::new(Bounds { start: 2_000_000, ceiling: 2_000_000, known: true }, start);
            flow.set_again(Some(8));
            flow.set_agreed(Agreed { picture: 3, sound: 0, again: 109 });
            let header = |n| rtp::Header { version: 2, sequence_number: n, ..Default::default() };
            for n in 0..40_u16 {
                let ms = u64::from(n) * 33;
                flow.picture(vec![rtp::Packet { header: header(n), payload: vec![1; 900].into() }], n == 0, at(ms));
                while flow.pop(at(ms)).is_some() {}
                let arrived = (!loses || n % 8 != 7).then(|| Duration::from_millis(ms));
                flow.estimator.feedback(at(ms + trip), &[Seen { sent: at(ms), bytes: 960, train: 0, arrived }]);
            }
            assert!(flow.again(31, at(2000)));
            let mut left = Vec::new();
            for ms in 2000..2100 {
                left.extend(std::iter::from_fn(|| flow.pop(at(ms))).map(|one| one.packet.header.sequence_number));
            }
            assert_eq!(left.len(), copies, "round trip {trip} ms, loss {loses}");
            assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "each with a number of its own");
        }
    }

    #[test]
    fn a_viewer_that_falls_silent_is_told_of_twice() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut flow = Flow::new(Bounds { start: 1_000_000, ceiling: 2_000_000, known: false }, start);
        flow.set_agreed(Agreed { picture: 0, sound: 3, again: 0 });
        let sound = |flow: &mut Flow, ms: u64| {
            flow.sound(&mut rtp::Packet { payload: vec![0; 80].into(), ..Default::default() }, at(ms));
            flow.take_silence()
        };
        let seen = |ms: u64| Seen { sent: at(ms), bytes: 120, train: 0, arrived: Some(Duration::from_millis(ms)) };
        assert!(!(0..2000).step_by(20).any(|ms| sound(&mut flow, ms)), "it may have no such feedback at all");
        flow.estimator.feedback(at(2000), &[seen(1980)]);
        let told: Vec<u64> = (2000..5000).step_by(20).filter(|ms| sound(&mut flow, *ms)).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!((2800..3000).contains(&told[0]) && (4000..4300).contains(&told[1]), "{told:?}");
        flow.estimator.feedback(at(5000), &[seen(4980)]);
        assert_eq!((5000..8000).step_by(20).filter(|ms| sound(&mut flow, *ms)).count(), 2, "and again");
    }
}
