//! The pacer: when each packet leaves. Pure: time is an argument.
//!
//! Audio leaves at once, retransmissions leave before video, and a frame is spread so that it does not fill queues on
//! the path. Frames that would wait too long are dropped whole, up to the next keyframe.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::units::{Bitrate, DataSize};

/// A frame that would wait this long is dropped.
const MAX_WAIT: Duration = Duration::from_millis(300);
/// The timer's step: what leaves in it at the pacing rate may leave at once.
const TIMER_STEP: Duration = Duration::from_millis(4);
/// What may leave at once on an unconstrained path.
const UNCONSTRAINED_BURST: DataSize = DataSize::from_bits(128_000);
/// The lowest pacing rate on an unconstrained path.
const UNCONSTRAINED_RATE: Bitrate = Bitrate::from_kbps(20_000);
/// A shorter spread of a keyframe counts as this one.
const MIN_SPREAD: Duration = Duration::from_millis(10);
/// The longest wait that `Pacer::wait` returns.
const LONGEST: Duration = Duration::from_secs(3600);
/// The share of the estimate that retransmissions may use.
const RTX_SHARE: f64 = 0.1;
/// Retransmissions that are allowed beyond that share, so that a first picture with a hole can be repaired.
const RTX_BURST: DataSize = DataSize::from_bits(150_000);
/// The budget holds at most what the estimate carries in this time.
const RTX_SPAN: Duration = Duration::from_secs(1);
/// The most frames and packets in the queue.
const PICTURES: usize = 64;
const PACKETS: usize = 256;

/// How fast packets may leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacing {
    /// The bandwidth estimate, with all headers.
    pub estimate: Bitrate,
    /// Frames leave faster than the estimate by this factor, so that they are not late by their own length.
    pub pacing_factor: f64,
    /// A keyframe is spread over this time at most, whatever the estimate.
    pub spread: Duration,
    /// Whether the path has shown no limit yet.
    pub unconstrained: bool,
}

/// A packet and its size on the wire.
pub type Queued<P> = (P, DataSize);

/// The queue of one viewer.
#[derive(Debug)]
pub struct Pacer<P> {
    pictures: VecDeque<Picture<P>>,
    /// Retransmissions.
    retransmissions: VecDeque<Queued<P>>,
    /// Probes; they leave before all others.
    probes: VecDeque<Queued<P>>,
    pacing: Pacing,
    /// How much data left ahead of the pacing rate.
    debt: DataSize,
    /// How much data retransmissions may still use.
    credit: DataSize,
    /// The time of `debt` and `credit`.
    at: Instant,
    /// Frames are dropped until the next keyframe.
    broken: bool,
}

#[derive(Debug)]
struct Picture<P> {
    key: bool,
    since: Instant,
    packets: VecDeque<Queued<P>>,
    /// Whether a part of it has left.
    begun: bool,
    /// The lowest rate at which it leaves.
    min_rate: Bitrate,
}

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Frames that will not be sent.
    pub pictures: u64,
    /// Whether the stream breaks here, so that a keyframe is needed.
    pub breaks: bool,
}

impl<P> Pacer<P> {
    /// An empty queue.
    pub fn new(now: Instant) -> Self {
        Self {
            pictures: VecDeque::new(),
            retransmissions: VecDeque::new(),
            probes: VecDeque::new(),
            pacing: Pacing {
                estimate: Bitrate::from_kbps(1_000),
                pacing_factor: 2.5,
                spread: Duration::from_millis(500),
                unconstrained: true,
            },
            debt: DataSize::ZERO,
            credit: RTX_BURST,
            at: now,
            broken: false,
        }
    }

    /// Sets how fast packets may leave.
    pub fn set_pacing(&mut self, pacing: Pacing) {
        self.pacing = pacing;
    }

    /// Queues the packets of a frame. Returns what was dropped for it; the frame itself may be part of that.
    pub fn enqueue(&mut self, now: Instant, key: bool, packets: Vec<Queued<P>>) -> Dropped {
        let mut dropped = Dropped::default();
        if key {
            // Frames that wait before a keyframe would only delay it.
            dropped = self.drop_waiting();
            self.broken = false;
        } else if self.broken || self.wait(now) > MAX_WAIT || self.pictures.len() >= PICTURES {
            return Dropped { pictures: 1, breaks: !std::mem::replace(&mut self.broken, true) };
        }
        let min_rate = if key { size(&packets) / self.pacing.spread.max(MIN_SPREAD) } else { Bitrate::ZERO };
        self.pictures.push_back(Picture { key, since: now, packets: packets.into(), begun: false, min_rate });
        dropped
    }

    /// Drops frames that became too old because the estimate fell.
    pub fn expire(&mut self, now: Instant) -> Dropped {
        let old = |p: &Picture<P>| !p.key && !p.begun && now.saturating_duration_since(p.since) > MAX_WAIT;
        if !self.pictures.iter().any(old) {
            return Dropped::default();
        }
        let kept = self.pictures.iter().rposition(|p| p.key).map_or(0, |place| place + 1);
        let mut dropped = Dropped::default();
        // Only frames after the last keyframe: `enqueue` has dropped those before it.
        while self.pictures.len() > kept && self.pictures.back().is_some_and(|p| !p.begun) {
            self.pictures.pop_back();
            dropped.pictures += 1;
        }
        dropped.breaks = dropped.pictures > 0 && !std::mem::replace(&mut self.broken, true);
        dropped
    }

    /// Queues a retransmission; `false` if the budget does not allow it.
    pub fn enqueue_retransmission(&mut self, now: Instant, packet: P, size: DataSize) -> bool {
        self.refill(now);
        if self.credit < size || self.retransmissions.len() >= PACKETS {
            return false;
        }
        self.credit = self.credit - size;
        self.retransmissions.push_back((packet, size));
        true
    }

    /// Whether at least half of the retransmission budget is free. Optional packets leave the rest to necessary ones.
    pub fn has_spare(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.credit >= self.max_credit() / 2.0
    }

    /// Queues a packet of a probe; all of them leave at once.
    pub fn enqueue_probe(&mut self, now: Instant, packet: P, size: DataSize) {
        self.refill(now);
        if self.probes.len() < PACKETS {
            self.probes.push_back((packet, size));
        }
    }

    /// Counts an audio packet, which does not wait here.
    pub fn count_audio(&mut self, now: Instant, size: DataSize) {
        self.refill(now);
        self.debt += size;
    }

    /// The next packet that may leave now.
    pub fn pop(&mut self, now: Instant) -> Option<P> {
        self.refill(now);
        if let Some((packet, size)) = self.probes.pop_front() {
            self.debt += size;
            return Some(packet);
        }
        if self.debt > self.burst() {
            return None;
        }
        let (packet, size) = match self.retransmissions.pop_front() {
            Some(packet) => packet,
            None => self.pop_picture()?,
        };
        self.debt += size;
        Some(packet)
    }

    /// When `pop` should be called again; `None` if the queue is empty.
    pub fn due(&self) -> Option<Instant> {
        if !self.probes.is_empty() {
            return Some(self.at);
        }
        if self.retransmissions.is_empty() && self.pictures.is_empty() {
            return None;
        }
        Some(self.at + ((self.debt - self.burst()) / self.rate()).min(LONGEST))
    }

    /// How long a new packet would wait.
    pub fn wait(&self, now: Instant) -> Duration {
        let waiting = (self.debt - self.burst()) + self.waiting();
        let paid = self.rate() * now.saturating_duration_since(self.at);
        ((waiting - paid) / self.rate()).min(LONGEST)
    }

    fn pop_picture(&mut self) -> Option<Queued<P>> {
        let picture = self.pictures.front_mut()?;
        picture.begun = true;
        let packet = picture.packets.pop_front();
        if picture.packets.is_empty() {
            self.pictures.pop_front();
        }
        packet
    }

    fn drop_waiting(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        while self.pictures.back().is_some_and(|p| !p.begun) {
            self.pictures.pop_back();
            dropped.pictures += 1;
        }
        dropped
    }

    /// Lets time reduce the debt and refill the retransmission budget.
    fn refill(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.at);
        self.at = now.max(self.at);
        self.debt = self.debt - self.rate() * past;
        self.credit = (self.credit + self.pacing.estimate * RTX_SHARE * past).min(self.max_credit());
    }

    /// The largest retransmission budget.
    fn max_credit(&self) -> DataSize {
        RTX_BURST.min(self.pacing.estimate * RTX_SPAN)
    }

    /// The pacing rate of frames.
    fn rate(&self) -> Bitrate {
        let min_rate = self.pictures.iter().map(|p| p.min_rate).max().unwrap_or_default();
        let rate = (self.pacing.estimate * self.pacing.pacing_factor).max(min_rate);
        if self.pacing.unconstrained { rate.max(UNCONSTRAINED_RATE) } else { rate }
    }

    /// How much data may leave at once.
    fn burst(&self) -> DataSize {
        if self.pacing.unconstrained { UNCONSTRAINED_BURST } else { self.rate() * TIMER_STEP }
    }

    /// How much data waits.
    fn waiting(&self) -> DataSize {
        size(self.pictures.iter().flat_map(|p| &p.packets).chain(&self.retransmissions))
    }
}

fn size<'a, P: 'a>(packets: impl IntoIterator<Item = &'a Queued<P>>) -> DataSize {
    packets.into_iter().map(|packet| packet.1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIN: Pacing = Pacing {
        estimate: Bitrate::from_kbps(400),
        pacing_factor: 2.5,
        spread: Duration::from_millis(500),
        unconstrained: false,
    };
    const PACKET: DataSize = DataSize::from_bytes(1_250);

    fn pacer(pacing: Pacing) -> (Pacer<u32>, Instant) {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_pacing(pacing);
        (pacer, start)
    }

    fn picture(first: u32, packets: u32) -> Vec<Queued<u32>> {
        (first..first + packets).map(|n| (n, PACKET)).collect()
    }

    /// The packets that leave between two times in ms, with the time of each.
    fn leave(pacer: &mut Pacer<u32>, start: Instant, from: u64, to: u64) -> Vec<(u64, u32)> {
        let at = |ms| start + Duration::from_millis(ms);
        (from..=to)
            .flat_map(|ms| std::iter::from_fn(|| pacer.pop(at(ms))).map(|n| (ms, n)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_picture_is_spread_and_no_more_than_its_haste() {
        let (mut pacer, start) = pacer(THIN);
        assert_eq!(pacer.enqueue(start, false, picture(0, 10)), Dropped::default());
        // 10 000 bits each at 1 Mbit/s: one each 10 ms.
        let left = leave(&mut pacer, start, 0, 200);
        assert_eq!(left.iter().map(|l| l.1).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!((75..=100).contains(&left[9].0), "{left:?}");
        assert_eq!(pacer.due(), None);
    }

    #[test]
    fn a_path_without_an_end_in_sight_takes_a_picture_at_once() {
        let (mut pacer, start) = pacer(Pacing { unconstrained: true, ..THIN });
        pacer.enqueue(start, true, picture(0, 13));
        assert_eq!(leave(&mut pacer, start, 0, 0).len(), 13);
    }

    #[test]
    fn a_key_frame_takes_half_a_second_at_the_most() {
        let (mut pacer, start) = pacer(Pacing { estimate: Bitrate::from_kbps(60), ..THIN });
        pacer.enqueue(start, true, picture(0, 50));
        let left = leave(&mut pacer, start, 0, 600);
        assert!(left.len() == 50 && (450..=500).contains(&left[49].0), "{}: {:?}", left.len(), left.last());
    }

    #[test]
    fn what_would_wait_too_long_is_dropped_up_to_the_next_key_frame() {
        let (mut pacer, start) = pacer(THIN);
        assert_eq!(pacer.enqueue(start, false, picture(0, 32)).pictures, 0);
        assert_eq!(pacer.enqueue(start, false, picture(100, 2)), Dropped { pictures: 1, breaks: true });
        leave(&mut pacer, start, 0, 400);
        let later = start + Duration::from_millis(400);
        assert_eq!(
            pacer.enqueue(later, false, picture(200, 2)),
            Dropped { pictures: 1, breaks: false },
            "still broken"
        );
        assert_eq!(pacer.enqueue(later, true, picture(300, 2)).pictures, 0);
        assert_eq!(leave(&mut pacer, start, 400, 500).iter().map(|l| l.1).collect::<Vec<_>>(), [300, 301]);
    }

    #[test]
    fn a_key_frame_overtakes_whole_pictures_only() {
        let (mut pacer, start) = pacer(THIN);
        pacer.enqueue(start, false, picture(0, 5));
        pacer.enqueue(start, false, picture(100, 5));
        assert_eq!(leave(&mut pacer, start, 0, 0).len(), 1);
        assert_eq!(pacer.enqueue(start, true, picture(200, 2)), Dropped { pictures: 1, breaks: false });
        let left: Vec<u32> = leave(&mut pacer, start, 1, 200).iter().map(|l| l.1).collect();
        assert_eq!(left, [1, 2, 3, 4, 200, 201]);
    }

    #[test]
    fn an_estimate_that_falls_lets_what_waits_expire() {
        let (mut pacer, start) = pacer(THIN);
        (0..3).for_each(|n| assert_eq!(pacer.enqueue(start, false, picture(n * 100, 9)).pictures, 0));
        pacer.set_pacing(Pacing { estimate: Bitrate::from_kbps(60), ..THIN });
        leave(&mut pacer, start, 0, 290);
        assert_eq!(pacer.expire(start + Duration::from_millis(290)).pictures, 0);
        let dropped = pacer.expire(start + Duration::from_millis(310));
        assert_eq!(dropped, Dropped { pictures: 2, breaks: true }, "the one that has begun is finished");
    }

    #[test]
    fn what_is_sent_again_goes_first_and_has_a_budget() {
        let (mut pacer, start) = pacer(THIN);
        pacer.enqueue(start, false, picture(0, 20));
        let taken = (0..100).filter(|n| pacer.enqueue_retransmission(start, 1000 + n, PACKET)).count();
        assert_eq!(taken, 15, "the first burst");
        let left = leave(&mut pacer, start, 0, 100);
        assert_eq!(left[0].1, 1000);
        // A tenth of 400 kbit/s is a packet of 10 000 bits each 250 ms.
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|n| pacer.enqueue_retransmission(later, 2000 + n, PACKET)).count(), 4);
    }

    #[test]
    fn a_probe_leaves_at_once_and_is_paid_for() {
        let (mut pacer, start) = pacer(THIN);
        pacer.enqueue(start, false, picture(0, 3));
        (0..6).for_each(|n| pacer.enqueue_probe(start, 500 + n, PACKET));
        let left = leave(&mut pacer, start, 0, 50);
        assert_eq!(left.iter().map(|l| l.1).collect::<Vec<_>>(), [500, 501, 502, 503, 504, 505]);
        assert!(pacer.due().is_some_and(|due| due > start + Duration::from_millis(50)));
    }
}
