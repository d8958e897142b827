//! A viewer that assembles pictures, requests missing packets and sends transport feedback, as a browser does.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::{
    rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
        TransportLayerCc,
    },
    rtp,
};

use super::{AGAIN, NUMBER, PICTURE, scenarios::Scenario};

/// Between two transport reports, ms.
const REPORT: u64 = 100;
/// Between two receiver reports, ms.
const RECEIVER_REPORT: u64 = 1_000;
/// A hole that was not filled in this time is given up, ms.
const GIVE_UP: u64 = 1_000;
/// A unit of the reference time, and of the times that follow it, in microseconds.
const REFERENCE: u64 = 64_000;
const TICK: u64 = 250;

/// What the viewer says.
#[derive(Debug)]
pub enum Report {
    /// Transport feedback.
    Feedback(TransportLayerCc),
    /// A receiver report of the picture: the fraction lost in 256ths, and the highest sequence number.
    Receiver(u8, u16),
    /// Packets of the picture that it misses, by their sequence number.
    Lost(Vec<u16>),
    /// It needs a keyframe.
    Key,
}

/// What a packet says of the picture that it is a part of.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Which part, and of how many.
    pub part: usize,
    pub parts: usize,
    pub key: bool,
    /// When the picture was made, ms.
    pub made: u64,
}

impl Part {
    /// A payload of so many bytes that says so.
    pub fn payload(self, bytes: usize) -> Bytes {
        let mut payload = BytesMut::with_capacity(bytes);
        payload.put_u64(self.made);
        payload.put_u16(self.part as u16);
        payload.put_u16(self.parts as u16);
        payload.put_u8(self.key.into());
        payload.resize(bytes.max(payload.len()), 0);
        payload.freeze()
    }

    fn read(payload: &[u8]) -> Self {
        let number = |from: usize, to: usize| payload[from..to].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Self { made: number(0, 8), part: number(8, 10) as usize, parts: number(10, 12) as usize, key: payload[12] == 1 }
    }
}

/// A number of 16 bits, as the one nearest to `near` that ends so.
fn unwrap(near: u64, number: u16) -> u64 {
    near.wrapping_add_signed(i64::from(number.wrapping_sub(near as u16) as i16))
}

/// The viewer's state.
pub struct Viewer<'a> {
    scenario: &'a Scenario,
    /// Arrivals that were not reported yet, in ms, by number; all numbers begin with a turn of the ring, so that none
    /// is negative.
    arrivals: BTreeMap<u64, u64>,
    next: u64,
    /// Packets of pictures, by sequence number.
    packets: BTreeMap<u64, Part>,
    /// What was asked for: since when, and when last.
    missed: BTreeMap<u64, (u64, u64)>,
    /// The sequence number that the next picture begins with.
    base: u64,
    /// The highest sequence number, that of the last receiver report, and packets since then.
    highest: u64,
    reported: u64,
    received: u64,
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
            next: 1 << 16,
            packets: BTreeMap::new(),
            missed: BTreeMap::new(),
            base: (1 << 16) + 1,
            highest: 1 << 16,
            reported: 1 << 16,
            received: 0,
            shown: Vec::new(),
            way: VecDeque::new(),
            asked_key: 0,
        }
    }

    /// A packet arrives.
    pub fn take(&mut self, packet: &rtp::Packet, ms: u64) {
        if let Some(number) = packet.header.get_extension(NUMBER) {
            self.arrivals.insert(unwrap(self.next, u16::from_be_bytes([number[0], number[1]])), ms);
        }
        let (sequence, payload) = match packet.header.ssrc {
            PICTURE => {
                let sequence = unwrap(self.highest, packet.header.sequence_number);
                self.highest = self.highest.max(sequence);
                self.received += 1;
                (sequence, &packet.payload[..])
            }
            AGAIN => {
                let original = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
                (unwrap(self.highest, original), &packet.payload[2..])
            }
            _ => return,
        };
        if sequence < self.base {
            return;
        }
        self.missed.remove(&sequence);
        self.packets.insert(sequence, Part::read(payload));
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
        let seconds = ms as f64 / 1_000.0;
        if ms.is_multiple_of(REPORT) && !(self.scenario.feedback_lost)(seconds) && !(self.scenario.unnumbered)(seconds)
        {
            self.report(arrive);
        }
        if ms.is_multiple_of(RECEIVER_REPORT) && !(self.scenario.feedback_lost)(seconds) {
            self.receiver_report(arrive);
        }
        self.ask(ms, arrive);
        let there = self.way.iter().take_while(|(at, _)| *at <= ms).count();
        self.way.drain(..there).map(|(_, report)| report).collect()
    }

    fn report(&mut self, arrive: u64) {
        let (Some((_, &first)), Some((&last, _))) = (self.arrivals.first_key_value(), self.arrivals.last_key_value())
        else {
            return;
        };
        let clock = |at: u64| (1e9 + at as f64 * 1_000.0 * (1.0 + self.scenario.drift)) as u64 / TICK * TICK;
        let reference = clock(first) / REFERENCE;
        let mut time = reference * REFERENCE;
        let (mut symbols, mut recv_deltas) = (Vec::new(), Vec::new());
        for number in self.next..=last {
            let Some(&at) = self.arrivals.get(&number) else {
                symbols.push(SymbolTypeTcc::PacketNotReceived);
                continue;
            };
            let type_tcc_packet = SymbolTypeTcc::PacketReceivedLargeDelta;
            symbols.push(type_tcc_packet);
            recv_deltas.push(RecvDelta { type_tcc_packet, delta: clock(at) as i64 - time as i64 });
            time = clock(at);
        }
        let chunk = |symbols: &[SymbolTypeTcc]| {
            PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list: symbols.to_vec(),
            })
        };
        let said = TransportLayerCc {
            base_sequence_number: self.next as u16,
            packet_status_count: symbols.len() as u16,
            reference_time: reference as u32 % (1 << 24),
            packet_chunks: symbols.chunks(7).map(chunk).collect(),
            recv_deltas,
            ..Default::default()
        };
        self.arrivals.clear();
        self.way.push_back((arrive, Report::Feedback(said)));
        self.next = last + 1;
    }

    /// What RFC 3550 section 6.4.1 asks for.
    fn receiver_report(&mut self, arrive: u64) {
        let expected = self.highest - self.reported;
        let lost = expected.saturating_sub(self.received);
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0);
        (self.reported, self.received) = (self.highest, 0);
        self.way.push_back((arrive, Report::Receiver(fraction as u8, self.highest as u16)));
    }

    /// The first packet of the picture to be shown: the next one, or a keyframe.
    fn showable(&self) -> Option<u64> {
        let whole = |first: u64, parts: usize| self.packets.range(first..first + parts as u64).count() == parts;
        let next = self.packets.get(&self.base).filter(|p| whole(self.base, p.parts)).map(|_| self.base);
        let key = || self.packets.iter().find(|(at, p)| p.key && p.part == 0 && whole(**at, p.parts));
        next.or_else(|| key().map(|(at, _)| *at))
    }

    /// Asks for what is missing, once a round trip, and for a keyframe where that does not help.
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
                lost.push(sequence as u16);
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
