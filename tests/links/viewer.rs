//! A viewer: puts pictures together, asks for what is missing, and reports what arrived, as a browser does.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{link::Packet, scenarios::Scenario};

/// Between two reports, ms.
const REPORT: u64 = 100;
/// A hole that was not filled in this time is given up, ms.
const GIVE_UP: u64 = 1_000;

/// What the viewer says.
#[derive(Debug)]
pub enum Report {
    /// Arrivals of the packets from this number on.
    Feedback(u64, Vec<Option<Duration>>),
    /// Packets of the picture that it misses, by their sequence number.
    Lost(Vec<u64>),
    /// It needs a key frame.
    Key,
}

/// The viewer's state.
pub struct Viewer<'a> {
    scenario: &'a Scenario,
    arrivals: BTreeMap<u64, u64>,
    next: u64,
    /// Packets of pictures, by sequence number.
    packets: BTreeMap<u64, Packet>,
    /// What was asked for: since when, and when last.
    missed: BTreeMap<u64, (u64, u64)>,
    /// The sequence number that the next picture begins with.
    base: u64,
    /// When pictures were shown, and how old they were, s.
    pub shown: Vec<(f64, f64)>,
    way: VecDeque<(u64, Report)>,
    asked_key: u64,
}

impl<'a> Viewer<'a> {
    /// A viewer who has seen nothing.
    pub fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            arrivals: BTreeMap::new(),
            next: 0,
            packets: BTreeMap::new(),
            missed: BTreeMap::new(),
            base: 1,
            shown: Vec::new(),
            way: VecDeque::new(),
            asked_key: 0,
        }
    }

    /// A packet arrives.
    pub fn take(&mut self, packet: Packet, ms: u64) {
        self.arrivals.insert(packet.number, ms);
        if packet.sound || packet.sequence < self.base {
            return;
        }
        self.missed.remove(&packet.sequence);
        self.packets.insert(packet.sequence, packet);
        while let Some(first) = self.showable() {
            let picture = self.packets[&first];
            self.base = first + picture.parts as u64;
            self.packets = self.packets.split_off(&self.base);
            self.missed = self.missed.split_off(&self.base);
            self.shown.push((ms as f64 / 1_000.0, (ms - picture.made) as f64 / 1_000.0));
        }
    }

    /// What it says, as it reaches the sender.
    pub fn says(&mut self, ms: u64) -> Vec<Report> {
        let arrive = ms + self.scenario.delay as u64;
        if ms.is_multiple_of(REPORT) {
            self.report(ms, arrive);
        }
        self.ask(ms, arrive);
        let there = self.way.iter().take_while(|(at, _)| *at <= ms).count();
        self.way.drain(..there).map(|(_, report)| report).collect()
    }

    fn report(&mut self, ms: u64, arrive: u64) {
        if (self.scenario.deaf)(ms as f64 / 1_000.0) {
            return;
        }
        let Some((&last, _)) = self.arrivals.last_key_value() else { return };
        let clock = |at: u64| Duration::from_secs_f64(1_000.0 + at as f64 * (1.0 + self.scenario.drift) / 1_000.0);
        let arrivals = (self.next..=last).map(|n| self.arrivals.remove(&n).map(clock)).collect();
        self.arrivals.clear();
        self.way.push_back((arrive, Report::Feedback(self.next, arrivals)));
        self.next = last + 1;
    }

    /// The first packet of the picture to be shown: the next one, or a key frame.
    fn showable(&self) -> Option<u64> {
        let whole = |first: u64, parts: usize| self.packets.range(first..first + parts as u64).count() == parts;
        let next = self.packets.get(&self.base).filter(|p| whole(self.base, p.parts)).map(|_| self.base);
        let key = || self.packets.iter().find(|(at, p)| p.key && p.part == 0 && whole(**at, p.parts));
        next.or_else(|| key().map(|(at, _)| *at))
    }

    /// Asks for what is missing, once a round trip, and for a key frame where that does not help.
    fn ask(&mut self, ms: u64, arrive: u64) {
        let Some((&newest, _)) = self.packets.last_key_value() else { return };
        let trip = (2.0 * self.scenario.delay) as u64 + 20;
        let mut lost = Vec::new();
        for sequence in self.base..newest {
            if self.packets.contains_key(&sequence) {
                continue;
            }
            let (_, asked) = self.missed.entry(sequence).or_insert((ms, 0));
            if *asked == 0 || ms >= *asked + trip {
                *asked = ms;
                lost.push(sequence);
            }
        }
        if !lost.is_empty() {
            self.way.push_back((arrive, Report::Lost(lost)));
        }
        let hopeless = self.missed.values().any(|(since, _)| ms >= since + GIVE_UP);
        if hopeless && ms >= self.asked_key + 1_000 {
            self.asked_key = ms;
            self.way.push_back((arrive, Report::Key));
        }
    }
}
