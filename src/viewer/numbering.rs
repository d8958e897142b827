//! Transport-wide numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01): each packet that leaves gets one, whatever
//! its stream, and the viewer says when each arrived. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtc::{
    rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc},
    rtp::Header,
};

use super::bandwidth::Seen;

/// The header extension that carries the number.
pub(super) const NUMBER: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Packets that wait to be spoken of: ten seconds at 2 Mbit/s. Older ones are forgotten.
const WAITING: usize = 2048;
/// What a packet has around its payload, in bytes: IP and UDP, the RTP header with extensions, and the tag of SRTP.
pub(super) const AROUND: usize = 28 + 12 + 12 + 16;
/// A unit of the reference time.
const REFERENCE: i64 = 64_000;
/// The reference time's range, in its units.
const RANGE: i64 = 1 << 24;

/// Numbers packets, and reads what is said of them.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    next: u16,
    waiting: VecDeque<Sent>,
    /// The last reference time, unwrapped, in its units.
    reference: Option<i64>,
    /// Whether the viewer ever spoke.
    pub(super) heard: bool,
}

#[derive(Debug)]
struct Sent {
    number: u16,
    bytes: u16,
    train: u32,
    at: Instant,
}

impl Numbering {
    /// Gives a packet of `payload` bytes its number, in the extension with this id, and remembers when it left.
    pub(super) fn number(&mut self, header: &mut Header, id: u8, payload: usize, train: u32, now: Instant) {
        let number = self.next;
        // Ids that do not fit the one-byte form are not negotiated (RFC 8285 section 4.2).
        if header.set_extension(id, Bytes::copy_from_slice(&number.to_be_bytes())).is_err() {
            return;
        }
        self.next = number.wrapping_add(1);
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        let bytes = u16::try_from(payload + AROUND).unwrap_or(u16::MAX);
        self.waiting.push_back(Sent { number, bytes, train, at: now });
    }

    /// Since when packets have been waiting to be spoken of.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting.front().map(|sent| sent.at)
    }

    /// What the viewer says of packets, in the order they left. Packets before those it speaks of are forgotten: a report
    /// about them was lost.
    pub(super) fn read(&mut self, said: &TransportLayerCc) -> Vec<Seen> {
        let mut time = self.unwrap(said.reference_time) * REFERENCE;
        self.heard = true;
        let mut deltas = said.recv_deltas.iter();
        let mut seen = Vec::new();
        let mut number = said.base_sequence_number;
        let statuses = said.packet_chunks.iter().flat_map(statuses).take(usize::from(said.packet_status_count));
        for status in statuses {
            let arrived = match status {
                SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta => {
                    let Some(delta) = deltas.next() else { break };
                    time += delta.delta;
                    Some(Duration::from_micros(u64::try_from(time).unwrap_or(0)))
                }
                // Received, but nobody knows when: as good as not spoken of.
                SymbolTypeTcc::PacketReceivedWithoutDelta => {
                    number = number.wrapping_add(1);
                    continue;
                }
                SymbolTypeTcc::PacketNotReceived => None,
            };
            // Distances on the ring of numbers; those ahead of what waits were spoken of before.
            while self.waiting.front().is_some_and(|sent| (1..0x8000).contains(&number.wrapping_sub(sent.number))) {
                self.waiting.pop_front();
            }
            if self.waiting.front().is_some_and(|sent| sent.number == number)
                && let Some(sent) = self.waiting.pop_front()
            {
                seen.push(Seen { sent: sent.at, bytes: sent.bytes.into(), train: sent.train, arrived });
            }
            number = number.wrapping_add(1);
        }
        seen
    }

    /// The reference time without its wrap: the value nearest to the last one. Starts in the middle of nowhere, so that it
    /// never becomes negative.
    fn unwrap(&mut self, reference: u32) -> i64 {
        let reference = i64::from(reference);
        let unwrapped = match self.reference {
            None => RANGE + reference,
            Some(last) => last + (reference - last).wrapping_add(RANGE / 2).rem_euclid(RANGE) - RANGE / 2,
        };
        self.reference = Some(unwrapped);
        unwrapped
    }
}

/// The statuses of a chunk, one for each packet.
fn statuses(chunk: &PacketStatusChunk) -> impl Iterator<Item = SymbolTypeTcc> + '_ {
    let (run, list) = match chunk {
        PacketStatusChunk::RunLengthChunk(run) => ((run.packet_status_symbol, run.run_length), [].as_slice()),
        PacketStatusChunk::StatusVectorChunk(vector) => {
            ((SymbolTypeTcc::PacketNotReceived, 0), vector.symbol_list.as_slice())
        }
    };
    std::iter::repeat_n(run.0, run.1.into()).chain(list.iter().copied())
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    };

    use super::*;

    fn sent(numbering: &mut Numbering, count: u16, start: Instant) {
        for n in 0..count {
            let mut header = Header { version: 2, ..Default::default() };
            numbering.number(&mut header, 3, 1000, n.into(), start + Duration::from_millis(n.into()));
            assert_eq!(header.get_extension(3).unwrap().len(), 2);
        }
    }

    fn report(base: u16, reference: u32, arrived: &[Option<i64>]) -> TransportLayerCc {
        let symbol = |a: &Option<i64>| match a {
            Some(_) => SymbolTypeTcc::PacketReceivedLargeDelta,
            None => SymbolTypeTcc::PacketNotReceived,
        };
        let chunk = |part: &[Option<i64>]| {
            PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list: part.iter().map(symbol).collect(),
            })
        };
        TransportLayerCc {
            base_sequence_number: base,
            packet_status_count: arrived.len() as u16,
            reference_time: reference,
            packet_chunks: arrived.chunks(7).map(chunk).collect(),
            recv_deltas: arrived
                .iter()
                .flatten()
                .map(|delta| RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta, delta: *delta })
                .collect(),
            ..Default::default()
        }
    }

    /// Train numbers and arrivals in ms after the first, -1 for what did not arrive.
    fn read(numbering: &mut Numbering, said: &TransportLayerCc, zero: i64) -> Vec<(u32, i64)> {
        let millis = |d: Duration| d.as_millis() as i64 - zero;
        numbering.read(said).iter().map(|s| (s.train, s.arrived.map_or(-1, millis))).collect()
    }

    #[test]
    fn packets_meet_what_is_said_of_them_once() {
        let zero = (RANGE + 5) * 64;
        let mut numbering = Numbering { next: 65_534, ..Default::default() };
        sent(&mut numbering, 6, Instant::now());
        let said = report(65_534, 5, &[Some(1_000), None, Some(2_000), Some(-1_000)]);
        assert_eq!(read(&mut numbering, &said, zero), [(0, 1), (1, -1), (2, 3), (3, 2)]);
        assert!(read(&mut numbering, &said, zero).is_empty(), "a report that comes twice says nothing");
        // The report on number 2 got lost.
        assert_eq!(read(&mut numbering, &report(3, 6, &[Some(0)]), zero), [(5, 64)]);
        assert_eq!(numbering.waiting_since(), None);
    }

    #[test]
    fn the_viewers_clock_wraps() {
        let mut numbering = Numbering::default();
        sent(&mut numbering, 2, Instant::now());
        let before = numbering.read(&report(0, (RANGE - 1) as u32, &[Some(0)]));
        let after = numbering.read(&report(1, 0, &[Some(0)]));
        let step = after[0].arrived.unwrap() - before[0].arrived.unwrap();
        assert_eq!(step, Duration::from_micros(REFERENCE as u64));
    }

    #[test]
    fn nonsense_is_survived_and_nothing_grows() {
        let mut numbering = Numbering::default();
        sent(&mut numbering, 5_000, Instant::now());
        assert_eq!(numbering.waiting.len(), WAITING);
        let run = RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: SymbolTypeTcc::PacketReceivedSmallDelta,
            run_length: 8_191,
        };
        let said = TransportLayerCc {
            base_sequence_number: 60_000,
            packet_status_count: 65_535,
            packet_chunks: vec![PacketStatusChunk::RunLengthChunk(run); 9],
            recv_deltas: Vec::new(),
            ..Default::default()
        };
        assert!(numbering.read(&said).is_empty(), "no times");
        assert_eq!(numbering.read(&report(4_990, 0, &[None; 20])).len(), 10);
    }
}
