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
    /// The SSRCs of streams whose frames are dropped until the next keyframe.
    broken: Vec<u32>,
}

#[derive(Debug)]
struct Picture<P> {
    /// The SSRC of its stream.
    stream: u32,
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
            broken: Vec::new(),
        }
    }

    /// Sets how fast packets may leave.
    pub fn set_pacing(&mut self, pacing: Pacing) {
        self.pacing = pacing;
    }

    /// Queues the packets of a frame of the stream with this SSRC. Returns what was dropped of that stream; the frame
    /// itself may be part of it.
    pub fn enqueue(&mut self, now: Instant, stream: u32, key: bool, packets: Vec<Queued<P>>) -> Dropped {
        let mut dropped = Dropped::default();
        if key {
            // Frames that wait before a keyframe would only delay it.
            dropped.pictures = self.drop_waiting(stream, 0);
            self.broken.retain(|broken| *broken != stream);
        } else if self.broken.contains(&stream) || self.wait(now) > MAX_WAIT || self.pictures.len() >= PICTURES {
            return Dropped { pictures: 1, breaks: self.break_off(stream) };
        }
        let min_rate = if key { size(&packets) / self.pacing.spread.max(MIN_SPREAD) } else { Bitrate::ZERO };
        self.pictures.push_back(Picture { stream, key, since: now, packets: packets.into(), begun: false, min_rate });
        dropped
    }

    /// Drops the frames of one stream that became too old because the estimate fell, and returns the SSRC of the
    /// stream. Other streams may have such frames, too: call it until it returns `None`.
    pub fn expire(&mut self, now: Instant) -> Option<(u32, Dropped)> {
        let old = |p: &&Picture<P>| !p.key && !p.begun && now.saturating_duration_since(p.since) > MAX_WAIT;
        let stream = self.pictures.iter().find(old)?.stream;
        let key = self.pictures.iter().rposition(|p| p.stream == stream && p.key);
        // Only frames after the last keyframe: `enqueue` has dropped those before it.
        let pictures = self.drop_waiting(stream, key.map_or(0, |place| place + 1));
        (pictures > 0).then(|| (stream, Dropped { pictures, breaks: self.break_off(stream) }))
    }

    /// Drops everything that waits. Each stream goes on with a keyframe.
    pub fn clear(&mut self) {
        let streams: Vec<_> = self.pictures.drain(..).map(|picture| picture.stream).collect();
        for stream in streams {
            self.break_off(stream);
        }
        self.retransmissions.clear();
        self.probes.clear();
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

    /// Drops the frames of a stream that have not begun to leave, from this place in the queue on. Returns how many.
    fn drop_waiting(&mut self, stream: u32, from: usize) -> u64 {
        let (before, mut place) = (self.pictures.len(), 0);
        self.pictures.retain(|p| {
            place += 1;
            place <= from || p.stream != stream || p.begun
        });
        (before - self.pictures.len()) as u64
    }

    /// Drops further frames of a stream up to its next keyframe. Returns whether they were not dropped already.
    fn break_off(&mut self, stream: u32) -> bool {
        let breaks = !self.broken.contains(&stream);
        if breaks {
            self.broken.push(stream);
        }
        breaks
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
#[path = "pacer_tests.rs"]
mod tests;
