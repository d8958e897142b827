//! The adaptive jitter buffer of one Opus stream: packets in, playout steps out. Pure: time is an argument.
//!
//! A packet waits here until its turn. Its turn comes when the cursor, the next sample to play, reaches its time stamp.
//! The playback calls `pop` when it needs more sound. Each step moves the cursor by its own length, so packets of 2.5
//! to 120 ms work alike. How long packets wait follows [`DelayTarget`], in four ways:
//!
//! - A stream that starts, or that starts again after silence, waits for the target first.
//! - If no packet is here, sound is concealed and the cursor stands still. The packet is played when it comes, so the
//!   delay grows at once, by what was needed. A lost packet adds nothing: the next one shows how long the gap is.
//! - Playback is a little faster or slower (`clock_drift.rs`). [`DelayFill::tempo`] says which.
//! - What waits for more than `EXCESS` beyond the target, after an outage, is discarded.
//!
//! # Bounds
//! The sender may lie about everything, so each of these holds for any input:
//!
//! | lie | bound |
//! |---|---|
//! | size | a payload above 1500 bytes is discarded; 128 packets wait at most, in 192 kB; each is copied |
//! | rate | a packet costs one pass over the 128; packets that overlap in time are discarded, so nothing is decoded |
//! | | faster than it sounds: 2.5 ms of sound take two steps at most |
//! | length | a packet is as long as its TOC says; above 120 ms it is discarded. Mono and stereo are alike |
//! | time stamp, number, SSRC | what does not fit is discarded. The next one, if it follows on, restarts the stream |
//! | waiting | 480 ms wait at most; the target is 200 ms at most |
//! | DTX | silence needs no packets, and nothing waits for its end |
//! | loss | 100 ms are concealed, then it is silent |

use std::{collections::VecDeque, fmt, time::Duration};

use super::{
    delay_fill::{DelayFill, FillWindow, samples_to_ns},
    delay_target::DelayTarget,
    opus_toc::{OPUS_RATE, OpusToc},
    playout::{IncomingOpus, JitterCounters, Playout, Pushed},
    rtp_order::RtpOrder,
};
use crate::clock::Mono;

/// The largest payload: a whole Ethernet packet.
const MAX_PAYLOAD: usize = 1_500;
/// The most packets that wait: 320 ms of the shortest ones, of 2.5 ms.
const MAX_PACKETS: usize = 128;
/// The most sound that waits, in samples: the longest target, `EXCESS`, and a packet of 120 ms.
const MAX_SPAN: i64 = ms(480);
/// What waits for longer than the target by this is discarded.
const EXCESS: i64 = ms(100);
/// A packet that is later than this is not of this stream.
const LATE_SPAN: i64 = ms(2_000);
/// The most that is concealed at a time. The concealment of Opus fades out in about this time.
const CONCEAL_MAX: i64 = ms(100);
/// The length of a step without a packet.
const STEP: i64 = ms(10);
/// The decoder conceals in units of this: 2.5 ms.
const UNIT: i64 = 120;
/// The longest delay of a device that is believed.
const DEVICE_MAX: Duration = Duration::from_secs(1);

const fn ms(n: i64) -> i64 {
    n * OPUS_RATE as i64 / 1000
}

/// The buffer.
#[derive(Debug)]
pub struct JitterBuffer {
    stream: Option<Stream>,
    /// In the order of their sequence numbers and of their times.
    queue: VecDeque<Waiting>,
    delay: DelayTarget,
    counters: JitterCounters,
    /// SSRC and sequence number that the next packet must have, so that a stream that does not fit is a new one.
    probation: Option<(u32, u16)>,
    fill: FillWindow,
}

#[derive(Debug)]
struct Stream {
    order: RtpOrder,
    /// The next sample to play.
    cursor: i64,
    /// The last number whose turn is over, once there is one.
    played: Option<i64>,
    phase: Phase,
    /// Samples that were concealed since the last packet; and how many of them while the cursor stood still.
    hole: i64,
    dry: i64,
    /// Whether the last packet said that the sender is silent.
    dtx: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The next packet begins.
    Idle,
    /// Playback begins at this time.
    Starting(Mono),
    Playing,
}

struct Waiting {
    number: i64,
    at: i64,
    toc: OpusToc,
    payload: Vec<u8>,
}

impl fmt::Debug for Waiting {
    /// Without the sound.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet {} at {}, {} bytes", self.number, self.at, self.payload.len())
    }
}

impl Waiting {
    /// How many samples before this packet its copy restores, if `played` is the last packet before it.
    fn copy(&self, played: Option<i64>) -> i64 {
        if self.toc.fec && self.is_after_loss(played) { self.toc.frame.into() } else { 0 }
    }

    fn is_after_loss(&self, played: Option<i64>) -> bool {
        played.is_some_and(|played| self.number != played + 1)
    }

    fn end(&self) -> i64 {
        self.at + i64::from(self.toc.samples)
    }
}

/// Where a packet belongs: number and time.
enum Place {
    At(i64, i64),
    /// Its turn is over.
    Late(i64, i64),
    Duplicate,
    /// Its time is that of another packet, or no place is free.
    Overlap,
    /// Nowhere in this stream.
    Stray,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self {
            stream: None,
            queue: VecDeque::new(),
            delay: DelayTarget::new(),
            counters: JitterCounters::default(),
            probation: None,
            fill: FillWindow::default(),
        }
    }
}

impl JitterBuffer {
    /// What happened so far.
    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// How long the fastest packets should wait.
    pub fn target(&self) -> Duration {
        self.delay.target()
    }

    /// Adds a packet that arrived now.
    pub fn push(&mut self, packet: IncomingOpus<'_>, now: Mono) -> Pushed {
        self.counters.received += 1;
        let toc = OpusToc::read(packet.payload).filter(|_| packet.payload.len() <= MAX_PAYLOAD);
        let pushed = toc.map_or(Pushed::Discarded, |toc| self.place(&packet, toc, now));
        match pushed {
            Pushed::Queued => {}
            Pushed::Late => self.counters.late += 1,
            Pushed::Duplicate => self.counters.duplicate += 1,
            Pushed::Discarded => self.counters.discarded += 1,
        }
        pushed
    }

    /// The delay of the last half second, once after each.
    pub fn take_fill(&mut self, now: Mono) -> Option<DelayFill> {
        self.fill.take(self.delay.target(), now)
    }

    /// What to play next. `device`: how much sound is decoded and not yet heard.
    pub fn pop(&mut self, now: Mono, device: Duration) -> Playout {
        let out = self.step(now);
        if let Playout::Conceal { samples } = out {
            self.counters.concealed += u64::from(samples);
        }
        if let Some(stream) = self.stream.as_ref().filter(|stream| stream.phase == Phase::Playing) {
            let length = samples_to_ns(out.samples().into()).unsigned_abs();
            let heard = now + device.min(DEVICE_MAX) + Duration::from_nanos(length);
            self.fill.set_heard(stream.cursor, heard);
        }
        out
    }

    fn place(&mut self, packet: &IncomingOpus<'_>, toc: OpusToc, now: Mono) -> Pushed {
        let mut place = self.find(packet, toc);
        if matches!(place, Place::Stray) {
            let expected = Some((packet.ssrc, packet.sequence));
            if self.stream.is_some() && self.probation != expected {
                self.probation = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
                return Pushed::Discarded;
            }
            self.restart(packet);
            place = self.find(packet, toc);
        }
        self.probation = None;
        match place {
            Place::At(number, at) => {
                self.insert(Waiting { number, at, toc, payload: packet.payload.to_vec() }, now);
                Pushed::Queued
            }
            Place::Late(number, at) => {
                self.observe(number, at, toc.samples, now);
                Pushed::Late
            }
            Place::Duplicate => Pushed::Duplicate,
            Place::Overlap | Place::Stray => Pushed::Discarded,
        }
    }

    fn find(&self, packet: &IncomingOpus<'_>, toc: OpusToc) -> Place {
        let known = self.stream.as_ref().filter(|stream| stream.order.ssrc == packet.ssrc);
        let Some(stream) = known else { return Place::Stray };
        let Some((number, at)) = stream.order.unwrap(packet.sequence, packet.timestamp) else { return Place::Stray };
        let (early, end) = (at - stream.cursor, at + i64::from(toc.samples));
        let begun = stream.phase != Phase::Idle;
        if stream.order.has_seen(number) {
            return Place::Duplicate;
        }
        if begun && (end - stream.cursor > MAX_SPAN || early < -LATE_SPAN) {
            return Place::Stray;
        }
        if stream.played.is_some_and(|played| number <= played) || stream.phase == Phase::Playing && early < 0 {
            return Place::Late(number, at);
        }
        let next = self.queue.partition_point(|waiting| waiting.number < number);
        let before = next.checked_sub(1).and_then(|last| self.queue.get(last));
        let overlaps = before.is_some_and(|before| before.end() > at)
            || self.queue.get(next).is_some_and(|after| after.at < end)
            || self.queue.back().is_some_and(|last| last.end() - at > MAX_SPAN)
            || self.queue.len() >= MAX_PACKETS;
        if overlaps { Place::Overlap } else { Place::At(number, at) }
    }

    /// Starts a stream with this packet. What is known about the path stays.
    fn restart(&mut self, packet: &IncomingOpus<'_>) {
        self.counters.discarded += self.queue.len() as u64;
        self.queue.clear();
        self.fill.restart();
        self.delay.forget_clock();
        self.stream = Some(Stream {
            order: RtpOrder::new(packet.ssrc, packet.sequence, packet.timestamp),
            cursor: packet.timestamp.into(),
            played: None,
            phase: Phase::Idle,
            hole: 0,
            dry: 0,
            dtx: false,
        });
    }

    /// Measures a packet of the stream. Returns how much later it is than the fastest ones, and whether it was
    /// overtaken.
    fn observe(&mut self, number: i64, at: i64, samples: u32, now: Mono) -> (Duration, bool) {
        let overtaken = self.stream.as_mut().is_some_and(|stream| stream.order.mark(number, at));
        let sound = Duration::from_nanos(samples_to_ns(samples.into()).unsigned_abs());
        let transit = i64::try_from(now.0).unwrap_or(i64::MAX).saturating_sub(samples_to_ns(at));
        (self.delay.observe(transit, sound, now), overtaken)
    }

    fn insert(&mut self, packet: Waiting, now: Mono) {
        let (number, at) = (packet.number, packet.at);
        let (relative, overtaken) = self.observe(number, at, packet.toc.samples, now);
        self.counters.reordered += u64::from(overtaken);
        let Some(stream) = &mut self.stream else { return };
        match stream.phase {
            Phase::Idle => {
                stream.cursor = at;
                (stream.hole, stream.dry, stream.dtx) = (0, 0, false);
                stream.phase = Phase::Starting(now + self.delay.target().saturating_sub(relative));
                self.fill.restart();
            }
            Phase::Starting(start) if at < stream.cursor => {
                let earlier = samples_to_ns(stream.cursor - at).unsigned_abs();
                stream.cursor = at;
                stream.phase = Phase::Starting(Mono(start.0.saturating_sub(earlier)));
            }
            Phase::Starting(_) => {}
            Phase::Playing if stream.dry == 0 => self.fill.arrived(at, relative, now),
            Phase::Playing => {}
        }
        let place = self.queue.partition_point(|waiting| waiting.number < number);
        self.queue.insert(place, packet);
    }

    fn step(&mut self, now: Mono) -> Playout {
        let Some(stream) = &mut self.stream else { return silence(STEP) };
        match stream.phase {
            Phase::Idle => return silence(STEP),
            Phase::Starting(at) if now < at => return silence(STEP),
            _ => stream.phase = Phase::Playing,
        }
        if trim(stream, &mut self.queue, self.delay.target(), &mut self.counters) {
            self.fill.restart();
        }
        let Some(front) = self.queue.front() else { return stream.run_dry() };
        // The beginning of a gap was concealed while nobody knew how long it is.
        let (gap, copy) = (front.at - stream.cursor, front.copy(stream.played));
        let mut known = stream.dry.min(gap);
        let least = Duration::from_nanos(samples_to_ns(copy + STEP).unsigned_abs());
        if known > 0 && (1..=gap).contains(&copy) && self.delay.target() < least {
            // The copy came too late. It is played all the same, and the delay is then long enough for the next one.
            known = known.min(gap - copy);
            self.delay.raise(least);
        }
        if stream.dry > known {
            self.fill.restart();
        }
        stream.cursor += known;
        stream.dry = 0;
        if front.at > stream.cursor {
            let out = stream.bridge(front);
            self.counters.restored += u64::from(matches!(out, Playout::DecodeFec { .. }));
            return out;
        }
        let Some(packet) = self.queue.pop_front() else { return silence(STEP) };
        stream.pass(&packet, &mut self.counters);
        stream.cursor = packet.end();
        Playout::Decode { samples: packet.toc.samples, payload: packet.payload }
    }
}

impl Stream {
    /// The turn of this packet is over.
    fn pass(&mut self, packet: &Waiting, counters: &mut JitterCounters) {
        counters.lost += self.played.map_or(0, |played| (packet.number - played - 1).max(0).unsigned_abs());
        (self.played, self.dtx) = (Some(packet.number), packet.toc.dtx);
        (self.hole, self.dry) = (0, 0);
    }

    /// A step when no packet is here. The cursor stands still.
    fn run_dry(&mut self) -> Playout {
        if self.dtx || self.hole >= CONCEAL_MAX {
            self.phase = Phase::Idle;
            return silence(STEP);
        }
        self.dry += STEP;
        self.hole += STEP;
        Playout::Conceal { samples: count(STEP) }
    }

    /// A step of the gap before `next`.
    fn bridge(&mut self, next: &Waiting) -> Playout {
        let (gap, copy) = (next.at - self.cursor, next.copy(self.played));
        if gap == copy {
            self.cursor += gap;
            return Playout::DecodeFec { payload: next.payload.clone(), samples: next.toc.frame };
        }
        let (odd, is_lost) = (gap % UNIT, next.is_after_loss(self.played));
        let step = match gap - copy {
            _ if odd != 0 => odd,
            before if before > 0 => STEP.min(before),
            _ => STEP.min(gap),
        };
        self.cursor += step;
        if !is_lost || odd != 0 || self.hole >= CONCEAL_MAX {
            return silence(step);
        }
        self.hole += step;
        Playout::Conceal { samples: count(step) }
    }
}

/// Discards what waits for too long. The newest packets stay, as long as the target. Returns whether it discarded some.
fn trim(stream: &mut Stream, queue: &mut VecDeque<Waiting>, target: Duration, counters: &mut JitterCounters) -> bool {
    let target = i64::try_from(target.as_millis()).map_or(0, ms);
    let (Some(first), Some(end)) = (queue.front(), queue.back().map(Waiting::end)) else { return false };
    if end - stream.cursor <= target + EXCESS + i64::from(first.toc.samples) {
        return false;
    }
    while queue.get(1).is_some_and(|second| end - second.at >= target) {
        let Some(packet) = queue.pop_front() else { break };
        stream.pass(&packet, counters);
        counters.discarded += 1;
    }
    stream.cursor = queue.front().map_or(stream.cursor, |first| first.at);
    true
}

fn silence(samples: i64) -> Playout {
    Playout::Silence { samples: count(samples) }
}

fn count(samples: i64) -> u32 {
    u32::try_from(samples).unwrap_or(0)
}

#[cfg(test)]
#[path = "jitter_buffer_tests.rs"]
mod tests;
