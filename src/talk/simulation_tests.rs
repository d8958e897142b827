//! A sender, a path and a playback device in simulated time, for the tests of the jitter buffer and of its rate.

use std::{fmt::Write as _, time::Duration};

use super::{
    clock_drift::PlaybackRate,
    jitter_buffer::JitterBuffer,
    playout::{IncomingOpus, Playout},
};
use crate::clock::Mono;

pub(super) const MS: u64 = 1_000_000;
/// 20 ms of SILK with and without a copy of the packet before, 20 ms of CELT, silence.
pub(super) const COPY: u8 = 0;
pub(super) const SILK: u8 = 1;
pub(super) const CELT: u8 = 2;
pub(super) const DTX: u8 = 3;
/// When the first packet is sent, in ms.
pub(super) const START: u64 = 1_000;

/// A packet of 20 ms.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at: Mono,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

/// Packet number `n`, which arrives `late` ms after it was sent. Numbers and times wrap soon.
pub(super) fn sent(n: u64, late: u64, kind: u8) -> Sent {
    let payload = match kind {
        COPY => vec![1 << 3, 0x40, n as u8],
        SILK => vec![1 << 3, 0, n as u8],
        CELT => vec![31 << 3, 0, n as u8],
        _ => vec![31 << 3, n as u8],
    };
    let (sequence, timestamp) = (65_530_u16.wrapping_add(n as u16), 4_294_960_000_u32.wrapping_add(960 * n as u32));
    Sent { at: Mono((START + n * 20 + late) * MS), ssrc: 1, sequence, timestamp, payload }
}

/// A playback device that reads every 10 ms of its own clock.
pub(super) struct Room {
    pub(super) buffer: JitterBuffer,
    pub(super) rate: Option<PlaybackRate>,
    /// How much faster than ours the device's clock is.
    pub(super) ppm: f64,
    now: f64,
    /// How many packets have arrived.
    arrived: usize,
    /// Samples that are decoded and not yet read.
    fifo: f64,
    /// What was played: `n` for packets, `+n` for the copy in packet n, `c` for 10 ms of concealment, `-` for silence.
    pub(super) played: String,
    /// Rate in ppm and delay to the loudspeaker in ms, at each correction.
    pub(super) rates: Vec<(f64, f64)>,
}

impl Room {
    pub(super) fn new(ppm: f64) -> Self {
        let now = (START * MS) as f64;
        let (played, rates) = (String::new(), Vec::new());
        Self { buffer: JitterBuffer::default(), rate: None, ppm, now, arrived: 0, fifo: 0.0, played, rates }
    }

    /// Plays until `end` (ms). The packets are in the order of their arrival. Another call goes on in the same ones.
    pub(super) fn play(&mut self, packets: &[Sent], end: u64) {
        while self.now < (end * MS) as f64 {
            while let Some(packet) = packets.get(self.arrived).filter(|packet| packet.at.0 as f64 <= self.now) {
                self.arrived += 1;
                let Sent { ssrc, sequence, timestamp, ref payload, at } = *packet;
                self.buffer.push(IncomingOpus { ssrc, sequence, timestamp, payload }, at);
                self.steer(at);
            }
            while self.fifo < 480.0 {
                let out = self.buffer.pop(Mono(self.now as u64), Duration::from_secs_f64(self.fifo / 48_000.0));
                assert!((1..=5_760).contains(&out.samples()), "{out:?}");
                let rate = self.rate.as_ref().map_or(0.0, PlaybackRate::ppm);
                self.fifo += f64::from(out.samples()) / (1.0 + rate * 1e-6);
                self.note(&out);
            }
            self.fifo -= 480.0;
            self.now += 10.0 * MS as f64 / (1.0 + self.ppm * 1e-6);
        }
    }

    fn steer(&mut self, now: Mono) {
        let (Some(fill), Some(rate)) = (self.buffer.take_fill(now), &mut self.rate) else { return };
        self.rates.push((rate.steer(fill), fill.delay.as_secs_f64() * 1e3));
    }

    fn note(&mut self, out: &Playout) {
        let last = |payload: &[u8]| payload.last().copied().unwrap_or(0);
        let _ = match out {
            Playout::Decode { payload, .. } => write!(self.played, "{} ", last(payload)),
            Playout::DecodeFec { payload, .. } => write!(self.played, "+{} ", last(payload)),
            Playout::Conceal { samples } if samples % 120 != 0 => panic!("a decoder conceals no {samples} samples"),
            Playout::Conceal { samples } => write!(self.played, "{} ", "c".repeat(*samples as usize / 480)),
            Playout::Silence { .. } => write!(self.played, "- "),
        };
    }
}

/// Noise in 0..range that is the same in every run (the finalizer of SplitMix64).
pub(super) fn noise(n: u64, range: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) % range
}
