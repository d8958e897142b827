//! Transport-wide congestion control, the receiver's side (draft-holmer-rmcat-transport-wide-cc-extensions-01): tells
//! the viewer when each of its packets arrived. Pure: time is an argument.
//!
//! A report has at most `MAX_SPAN` numbers, whatever the viewer writes into its packets. At most ten come a second.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    TransportLayerCc,
};

/// How long packets wait for their report: libwebrtc's usual interval.
const INTERVAL: Duration = Duration::from_millis(100);
/// The most numbers in a report, and so the most packets that wait for one.
const MAX_SPAN: i64 = 256;
/// The unit of the reference time, and of a delta, in microseconds.
const REFERENCE: i64 = 64_000;
const DELTA: i64 = 250;
/// Symbols in a chunk with two bits for each.
const SYMBOLS: usize = 7;

/// Collects arrivals, and reports them.
#[derive(Debug)]
pub(crate) struct TwccReceiver {
    start: Instant,
    /// Arrivals in microseconds since `start`, by number. Numbers count on where those of the packets wrap.
    arrivals: BTreeMap<i64, i64>,
    /// The newest number, and the first one that is not reported.
    newest: Option<i64>,
    next: Option<i64>,
    media: u32,
    due: Option<Instant>,
    count: u8,
}

impl TwccReceiver {
    /// Times are relative to `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, arrivals: BTreeMap::new(), newest: None, next: None, media: 0, due: None, count: 0 }
    }

    /// A packet with this number arrived.
    pub(crate) fn arrived(&mut self, ssrc: u32, number: u16, now: Instant) {
        let newest = self.newest.unwrap_or(number.into());
        let unwrapped = newest + i64::from(number.wrapping_sub(newest as u16) as i16);
        if (unwrapped - newest).abs() >= MAX_SPAN {
            // The numbers jump: those before are of no use.
            self.arrivals.clear();
            self.next = None;
            self.newest = Some(unwrapped);
        }
        self.newest = self.newest.max(Some(unwrapped));
        let at = i64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(i64::MAX);
        self.arrivals.entry(unwrapped).or_insert(at);
        let oldest = self.newest.unwrap_or(unwrapped) - MAX_SPAN;
        while self.arrivals.first_key_value().is_some_and(|(number, _)| *number <= oldest) {
            self.arrivals.pop_first();
        }
        self.media = ssrc;
        self.due.get_or_insert(now + INTERVAL);
    }

    /// When a report is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The report that is due. `ssrc`: who reports.
    pub(crate) fn report(&mut self, ssrc: u32, now: Instant) -> Option<TransportLayerCc> {
        self.due.take_if(|due| now >= *due)?;
        let arrivals = std::mem::take(&mut self.arrivals);
        let ((&first, _), (&last, _)) = (arrivals.first_key_value()?, arrivals.last_key_value()?);
        // Numbers since the last report that did not arrive are lost, and said to be.
        let base = self.next.filter(|next| *next <= first && last - *next < MAX_SPAN).unwrap_or(first);
        self.next = Some(self.next.map_or(last + 1, |next| next.max(last + 1)));
        let reference = arrivals.values().min()? / REFERENCE;
        let (mut time, mut symbols, mut deltas) = (reference * REFERENCE / DELTA, Vec::new(), Vec::new());
        for number in base..=last {
            let delta = arrivals.get(&number).map(|at| at / DELTA - time);
            let symbol = match delta {
                None => SymbolTypeTcc::PacketNotReceived,
                Some(0..=255) => SymbolTypeTcc::PacketReceivedSmallDelta,
                // A longer delta does not fit: the packet counts as lost. The interval is too short for one.
                Some(delta) if i16::try_from(delta).is_err() => SymbolTypeTcc::PacketNotReceived,
                Some(_) => SymbolTypeTcc::PacketReceivedLargeDelta,
            };
            if let Some(delta) = delta.filter(|_| symbol != SymbolTypeTcc::PacketNotReceived) {
                time += delta;
                deltas.push(RecvDelta { type_tcc_packet: symbol, delta: delta * DELTA });
            }
            symbols.push(symbol);
        }
        let chunks = symbols.chunks(SYMBOLS).map(|symbols| {
            PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list: symbols.to_vec(),
            })
        });
        let count = self.count;
        self.count = count.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc: ssrc,
            media_ssrc: self.media,
            base_sequence_number: base as u16,
            packet_status_count: u16::try_from(symbols.len()).unwrap_or(0),
            // 24 bits.
            reference_time: (reference & 0xff_ffff) as u32,
            fb_pkt_count: count,
            packet_chunks: chunks.collect(),
            recv_deltas: deltas,
        })
    }
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::{Marshal, Unmarshal};

    use super::*;

    /// Number and arrival (ms) of what a report says, after it went over the wire. `None`: lost.
    fn read(report: &TransportLayerCc) -> Vec<(u16, Option<f64>)> {
        let bytes = report.marshal().unwrap();
        let report = TransportLayerCc::unmarshal(&mut bytes.clone()).unwrap();
        let mut time = f64::from(report.reference_time) * 64.0;
        let mut deltas = report.recv_deltas.iter();
        let symbols = report.packet_chunks.iter().flat_map(|chunk| match chunk {
            PacketStatusChunk::StatusVectorChunk(chunk) => chunk.symbol_list.clone(),
            PacketStatusChunk::RunLengthChunk(_) => panic!("a run"),
        });
        let numbers = (0..report.packet_status_count).map(|n| report.base_sequence_number.wrapping_add(n));
        let read = numbers.zip(symbols).map(|(number, symbol)| {
            let arrived = symbol != SymbolTypeTcc::PacketNotReceived;
            (
                number,
                arrived.then(|| {
                    time += deltas.next().unwrap().delta as f64 / 1e3;
                    time
                }),
            )
        });
        read.collect()
    }

    #[test]
    fn each_arrival_is_reported_once_and_losses_too() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut twcc = TwccReceiver::new(start);
        assert!(twcc.report(1, at(0)).is_none() && twcc.due().is_none());
        for (number, ms) in [(65_534, 1_000), (65_535, 1_020), (1, 1_045), (0, 1_050), (65_535, 1_060)] {
            twcc.arrived(7, number, at(ms));
        }
        assert!(twcc.report(1, at(1_099)).is_none());
        let report = twcc.report(1, at(1_100)).unwrap();
        assert_eq!((report.sender_ssrc, report.media_ssrc, report.fb_pkt_count), (1, 7, 0));
        let expected = [(65_534, 1_000.0), (65_535, 1_020.0), (0, 1_050.0), (1, 1_045.0)];
        assert_eq!(read(&report), expected.map(|(number, ms)| (number, Some(ms))));
        // Number 2 is lost, and number 1 is not reported again.
        twcc.arrived(7, 3, at(1_200));
        let report = twcc.report(1, at(1_300)).unwrap();
        assert_eq!((read(&report), report.fb_pkt_count), (vec![(2, None), (3, Some(1_200.0))], 1));
        assert!(twcc.report(1, at(2_000)).is_none());
    }

    #[test]
    fn a_report_is_short_whatever_the_numbers() {
        let start = Instant::now();
        let mut twcc = TwccReceiver::new(start);
        let mut now = start;
        for n in 0..20_000_u32 {
            let odd = n.wrapping_mul(2_654_435_761) >> 7;
            let number = if n % 3 == 0 { odd as u16 } else { n as u16 };
            now += Duration::from_micros(u64::from(odd % 3_000));
            twcc.arrived(1, number, now);
            assert!(twcc.arrivals.len() as i64 <= MAX_SPAN);
            if let Some(report) = twcc.report(1, now) {
                assert!(report.packet_status_count as i64 <= MAX_SPAN && !read(&report).is_empty());
            }
        }
    }
}
