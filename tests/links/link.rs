//! A link with a rate, a tail-drop buffer, a delay, loss and jitter.

use std::collections::VecDeque;

use rtc::rtp;

use super::scenarios::Scenario;

/// Numbers that look like chance, the same ones each time (xorshift, Marsaglia 2003).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// A series of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number, from 0 up to 1.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next number, between two.
    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + self.next() * (most - least)
    }
}

/// The link from camera to viewer.
pub struct Link<'a> {
    scenario: &'a Scenario,
    /// Until when the packets at hand keep it busy, ms.
    busy: f64,
    /// What is on its way: when it arrives, the packet, and its bytes on the wire.
    way: VecDeque<(f64, rtp::Packet, usize)>,
    last: f64,
    cross: f64,
}

impl<'a> Link<'a> {
    /// An empty link.
    pub fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, busy: 0.0, way: VecDeque::new(), last: 0.0, cross: 0.0 }
    }

    /// A packet of so many bytes enters; `false` where it is lost.
    pub fn take(&mut self, packet: rtp::Packet, bytes: usize, ms: u64, chance: &mut Chance) -> bool {
        let (now, seconds) = (ms as f64, ms as f64 / 1_000.0);
        let rate = (self.scenario.capacity)(seconds).max(1.0);
        // What others send through the same buffer.
        let others = (self.scenario.others)(seconds) * (now - self.cross) / 1_000.0;
        self.cross = now;
        self.busy = self.busy.max(now) + others / rate * 1_000.0;
        if chance.next() < (self.scenario.loss)(seconds) {
            return false;
        }
        let takes = bytes as f64 * 8_000.0 / rate;
        if self.busy - now + takes > self.scenario.buffer {
            self.busy = self.busy.min(now + self.scenario.buffer);
            return false;
        }
        self.busy += takes;
        let jitter = chance.between(0.0, self.scenario.jitter);
        // A queue does not let packets overtake each other.
        self.last = (self.busy + self.scenario.delay + jitter).max(self.last);
        self.way.push_back((self.last, packet, bytes));
        true
    }

    /// What arrives by now, with its bytes on the wire.
    pub fn give(&mut self, ms: u64) -> Vec<(rtp::Packet, usize)> {
        let arrived = self.way.iter().take_while(|(at, ..)| *at <= ms as f64).count();
        self.way.drain(..arrived).map(|(_, packet, bytes)| (packet, bytes)).collect()
    }

    /// How long a packet would wait, ms.
    pub fn queue(&self, ms: u64) -> f64 {
        (self.busy - ms as f64).max(0.0)
    }
}
