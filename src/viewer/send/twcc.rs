//! Transport-wide congestion control, the sender's side (draft-holmer-rmcat-transport-wide-cc-extensions-01). Each
//! packet gets a number, whatever its stream, and the viewer reports when each arrived. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtc::{
    rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc},
    rtp::Header,
};

use crate::{units::DataSize, viewer::bandwidth::PacketResult};

/// The URI of the header extension.
pub(crate) const TWCC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Packets in flight without a report: ten seconds at 2 Mbit/s. Older ones are forgotten.
const MAX_IN_FLIGHT: usize = 2048;
/// Bytes around a payload: IP and UDP, RTP header with extensions, SRTP tag.
pub(crate) const PACKET_OVERHEAD: usize = 28 + 12 + 12 + 16;
/// The unit of the reference time, in microseconds (draft, section 3.1).
const REFERENCE: i64 = 64_000;
/// The range of the reference time, in units.
const RANGE: i64 = 1 << 24;
/// How far a viewer's clock may be ahead of its start: the first report may have been late by this much.
const AHEAD: Duration = Duration::from_secs(2);
/// How much faster than ours it may run: one part in this many.
const DRIFT: u32 = 1000;
/// A viewer's clock that was ahead for this long has jumped.
const LEAP: Duration = Duration::from_secs(5);

/// Numbers packets and reads the reports about them.
#[derive(Debug, Default)]
pub(crate) struct TwccSender {
    next: u16,
    /// How many numbers were given.
    sent: u64,
    /// Packets with consecutive numbers, up to the newest one.
    in_flight: VecDeque<SentPacket>,
    /// The last reference time, unwrapped, in units.
    reference: Option<i64>,
    clock: Clock,
    /// How often a packet was looked up.
    #[cfg(test)]
    looked_at: std::sync::atomic::AtomicUsize,
}

/// The result of one report.
#[derive(Debug, Default)]
pub(crate) struct TwccReport {
    /// Sent and lost packets, in the order in which they left.
    pub seen: Vec<PacketResult>,
    /// How many packets in flight will get no report any more.
    pub skipped: usize,
}

#[derive(Debug)]
struct SentPacket {
    /// Its size on the wire.
    bytes: u16,
    train: u32,
    at: Instant,
}

impl TwccSender {
    /// Gives a packet of `payload` bytes its number, in the header extension `id`, and remembers when it left.
    pub(crate) fn assign(&mut self, header: &mut Header, id: u8, payload: usize, train: u32, now: Instant) {
        let number = self.next;
        // Ids that do not fit the one-byte form are not negotiated (RFC 8285 section 4.2).
        if header.set_extension(id, Bytes::copy_from_slice(&number.to_be_bytes())).is_err() {
            return;
        }
        self.next = number.wrapping_add(1);
        self.sent += 1;
        if self.in_flight.len() == MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        let bytes = u16::try_from(payload + PACKET_OVERHEAD).unwrap_or(u16::MAX);
        self.in_flight.push_back(SentPacket { bytes, train, at: now });
    }

    /// Since when packets have been without a report.
    pub(crate) fn in_flight_since(&self) -> Option<Instant> {
        self.in_flight.front().map(|sent| sent.at)
    }

    /// Reads a report: what became of the packets, in the order in which they left. `None` if the report cannot be
    /// true; it is then ignored. Packets before the reported ones are forgotten, because a report about them was
    /// lost.
    ///
    /// A report costs no more than the packets in flight and its own arrival times, whatever count it claims.
    pub(crate) fn handle_report(&mut self, report: &TransportLayerCc, now: Instant) -> Option<TwccReport> {
        let back = self.next.wrapping_sub(report.base_sequence_number);
        // Only packets that were sent can have arrived or been lost.
        if report.packet_status_count == 0 || report.packet_status_count > back || u64::from(back) > self.sent {
            return None;
        }
        let reference = self.unwrap(report.reference_time);
        let mut time = reference * REFERENCE;
        let mut newest = None;
        let mut deltas = report.recv_deltas.iter();
        let mut left = usize::from(report.packet_status_count);
        // The reported place in `in_flight`. Packets before its start were reported earlier.
        let mut place = self.in_flight.len() as isize - back as isize;
        let mut seen = Vec::new();
        for (status, run) in report.packet_chunks.iter().flat_map(runs) {
            let run = run.min(left);
            let places = place..place + run as isize;
            match status {
                SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta => {
                    for place in places.clone() {
                        time += deltas.next()?.delta;
                        newest = newest.max(Some(time));
                        let arrived = Some(Duration::from_micros(u64::try_from(time).unwrap_or(0)));
                        seen.extend(self.in_flight_at(place).map(|sent| sent.seen(arrived)));
                    }
                }
                // Received at an unknown time: treated as not reported.
                SymbolTypeTcc::PacketReceivedWithoutDelta => {}
                SymbolTypeTcc::PacketNotReceived => {
                    let in_flight = self.in_flight.len() as isize;
                    let known = places.start.clamp(0, in_flight)..places.end.clamp(0, in_flight);
                    seen.extend(known.filter_map(|place| self.in_flight_at(place)).map(|sent| sent.seen(None)));
                }
            }
            (place, left) = (places.end, left - run);
            if left == 0 {
                break;
            }
        }
        // A receiver reports because a packet arrived, and it cannot have arrived in the future.
        if !self.clock.can_be(newest?, now) {
            return None;
        }
        self.reference = Some(reference);
        let spoken_of = usize::try_from(place).unwrap_or(0).min(self.in_flight.len());
        self.in_flight.drain(..spoken_of);
        Some(TwccReport { skipped: spoken_of.saturating_sub(seen.len()), seen })
    }

    fn in_flight_at(&self, place: isize) -> Option<&SentPacket> {
        #[cfg(test)]
        self.looked_at.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.in_flight.get(usize::try_from(place).ok()?)
    }

    /// The reference time without its wrap: the value nearest to the last one. It starts in the middle of the range,
    /// so that it never becomes negative.
    fn unwrap(&self, reference: u32) -> i64 {
        let reference = i64::from(reference);
        match self.reference {
            None => RANGE + reference,
            Some(last) => last + (reference - last).wrapping_add(RANGE / 2).rem_euclid(RANGE) - RANGE / 2,
        }
    }
}

impl SentPacket {
    fn seen(&self, arrived: Option<Duration>) -> PacketResult {
        let size = DataSize::from_bytes(self.bytes.into());
        PacketResult { sent: self.at, size, train: self.train, arrived }
    }
}

/// Compares the viewer's clock with ours. Packets cannot arrive faster than time passes. A viewer that claims it has
/// a wrong clock, or lies.
#[derive(Debug, Default)]
struct Clock {
    /// The first report, and the newest arrival in it, in microseconds.
    first: Option<(Instant, i64)>,
    /// Since when all reports have been ahead of time.
    ahead: Option<Instant>,
}

impl Clock {
    /// Whether a report of an arrival at `arrived` can be true now.
    fn can_be(&mut self, arrived: i64, now: Instant) -> bool {
        let (at, first) = *self.first.get_or_insert((now, arrived));
        let passed = now.saturating_duration_since(at);
        let most = i64::try_from((passed + passed / DRIFT + AHEAD).as_micros()).unwrap_or(i64::MAX);
        if arrived.saturating_sub(first) <= most {
            self.ahead = None;
            return true;
        }
        // A clock that jumped and then runs on can be used.
        if now.saturating_duration_since(*self.ahead.get_or_insert(now)) > LEAP {
            (self.first, self.ahead) = (Some((now, arrived)), None);
        }
        false
    }
}

/// The statuses of a chunk, and how many packets each covers.
fn runs(chunk: &PacketStatusChunk) -> impl Iterator<Item = (SymbolTypeTcc, usize)> + '_ {
    let (run, list) = match chunk {
        PacketStatusChunk::RunLengthChunk(run) => {
            (Some((run.packet_status_symbol, usize::from(run.run_length))), [].as_slice())
        }
        PacketStatusChunk::StatusVectorChunk(vector) => (None, vector.symbol_list.as_slice()),
    };
    run.into_iter().chain(list.iter().map(|symbol| (*symbol, 1)))
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    };

    use super::*;

    fn sent(twcc: &mut TwccSender, count: u16, start: Instant) {
        for n in 0..count {
            let mut header = Header { version: 2, ..Default::default() };
            twcc.assign(&mut header, 3, 1000, n.into(), start + Duration::from_millis(n.into()));
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

    /// Train numbers, and arrivals in ms after the first one; -1: it did not arrive.
    fn read(twcc: &mut TwccSender, report: &TransportLayerCc, zero: i64) -> Vec<(u32, i64)> {
        let millis = |d: Duration| d.as_millis() as i64 - zero;
        twcc.handle_report(report, Instant::now())
            .unwrap_or_default()
            .seen
            .iter()
            .map(|s| (s.train, s.arrived.map_or(-1, millis)))
            .collect()
    }

    #[test]
    fn packets_meet_what_is_said_of_them_once() {
        let zero = (RANGE + 5) * 64;
        let mut twcc = TwccSender { next: 65_534, ..Default::default() };
        sent(&mut twcc, 6, Instant::now());
        let feedback = report(65_534, 5, &[Some(1_000), None, Some(2_000), Some(-1_000)]);
        assert_eq!(read(&mut twcc, &feedback, zero), [(0, 1), (1, -1), (2, 3), (3, 2)]);
        assert!(read(&mut twcc, &feedback, zero).is_empty(), "a report that comes twice says nothing");
        // The report about number 2 was lost.
        let heard = twcc.handle_report(&report(3, 6, &[Some(0)]), Instant::now()).unwrap();
        assert_eq!((heard.seen[0].train, heard.seen.len(), heard.skipped), (5, 1, 1));
        assert_eq!(twcc.in_flight_since(), None);
    }

    #[test]
    fn the_viewers_clock_wraps() {
        let mut twcc = TwccSender::default();
        sent(&mut twcc, 2, Instant::now());
        let now = Instant::now();
        let before = twcc.handle_report(&report(0, (RANGE - 1) as u32, &[Some(0)]), now).unwrap();
        let after = twcc.handle_report(&report(1, 0, &[Some(0)]), now).unwrap();
        let step = after.seen[0].arrived.unwrap() - before.seen[0].arrived.unwrap();
        assert_eq!(step, Duration::from_micros(REFERENCE as u64));
    }

    /// A report of runs of packets, with times for those that arrived.
    fn report_of_runs(base: u16, count: u16, runs: &[(SymbolTypeTcc, u16)], times: usize) -> TransportLayerCc {
        let chunk = |(symbol, length): &(SymbolTypeTcc, u16)| {
            PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: *symbol,
                run_length: *length,
            })
        };
        let delta = RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedSmallDelta, delta: 250 };
        TransportLayerCc {
            base_sequence_number: base,
            packet_status_count: count,
            packet_chunks: runs.iter().map(chunk).collect(),
            recv_deltas: vec![delta; times],
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_be_true_counts_for_nothing() {
        use SymbolTypeTcc::{PacketNotReceived as Lost, PacketReceivedSmallDelta as Came};
        for (name, report, expected) in [
            ("all that was sent", report_of_runs(0, 50, &[(Came, 50)], 50), Some(50)),
            ("all but one got lost", report_of_runs(0, 50, &[(Lost, 49), (Came, 1)], 1), Some(50)),
            ("nothing arrived, and yet there is a report", report_of_runs(0, 50, &[(Lost, 50)], 0), None),
            ("more than was sent", report_of_runs(0, 51, &[(Came, 51)], 51), None),
            ("what will be sent", report_of_runs(50, 1, &[(Came, 1)], 1), None),
            ("what was never sent", report_of_runs(60_000, 5, &[(Came, 5)], 5), None),
            ("the whole ring", report_of_runs(50, 65_535, &[(Lost, 8_191); 8], 0), None),
            ("times are missing", report_of_runs(0, 50, &[(Came, 50)], 20), None),
            ("no packets at all", report_of_runs(0, 0, &[], 0), None),
        ] {
            let mut twcc = TwccSender::default();
            let start = Instant::now();
            sent(&mut twcc, 50, start);
            let before = twcc.in_flight.len();
            let seen = twcc.handle_report(&report, start + Duration::from_secs(1));
            assert_eq!(seen.map(|heard| heard.seen.len()), expected, "{name}");
            assert_eq!(twcc.in_flight.len(), if expected.is_some() { 0 } else { before }, "{name}");
        }
    }

    #[test]
    fn a_report_on_the_whole_ring_costs_no_more_than_what_waits() {
        use SymbolTypeTcc::{PacketNotReceived as Lost, PacketReceivedSmallDelta as Came};
        let mut twcc = TwccSender::default();
        let start = Instant::now();
        (0..20).for_each(|_| sent(&mut twcc, 5_000, start));
        assert_eq!(twcc.in_flight.len(), MAX_IN_FLIGHT, "nothing grows");
        let looked_at = |twcc: &TwccSender| twcc.looked_at.load(std::sync::atomic::Ordering::Relaxed);
        let next = twcc.next;
        // A report about all numbers but the last ten, so that those packets stay in flight and it can be repeated.
        let lost = [(Lost, 8_191); 7];
        let report =
            report_of_runs(next.wrapping_add(1), 65_535 - 10, &[&lost[..], &[(Lost, 8_187), (Came, 1)]].concat(), 1);
        let heard = twcc.handle_report(&report, start).unwrap();
        assert_eq!(heard.seen.len(), MAX_IN_FLIGHT - 10, "each that waited, once");
        assert!(looked_at(&twcc) <= MAX_IN_FLIGHT + 1, "{}", looked_at(&twcc));
        assert_eq!(twcc.handle_report(&report, start).map(|heard| heard.seen.len()), Some(0), "said again");
        assert!(looked_at(&twcc) <= MAX_IN_FLIGHT + 2, "{}", looked_at(&twcc));
        assert_eq!(twcc.in_flight.len(), 10);
    }

    #[test]
    fn packets_do_not_arrive_faster_than_time_passes() {
        // For each second: how much later than the last packet this one is reported to have arrived, in ms, and
        // whether the report is believed.
        for (name, steps) in [
            ("a clock as ours", vec![(1_000, true); 20]),
            ("a clock that runs fast", vec![(1_001, true); 20]),
            ("a report that was late, and then in time", vec![(1_000, true), (0, true), (0, true), (3_000, true)]),
            (
                "all is late, and later",
                vec![(1_500, true), (1_500, true), (1_500, true), (1_500, true), (1_500, false)],
            ),
            ("a leap, and on from there", {
                let leap = [vec![(1_000, true), (60_000, false)], vec![(1_000, false); 6], vec![(1_000, true); 3]];
                leap.concat()
            }),
        ] {
            let mut clock = Clock::default();
            let start = Instant::now();
            assert!(clock.can_be(0, start));
            let (mut arrived, mut now) = (0, start);
            for (n, (step, believed)) in steps.into_iter().enumerate() {
                arrived += step * 1_000;
                now += Duration::from_secs(1);
                assert_eq!(clock.can_be(arrived, now), believed, "{name}, report {n}");
            }
        }
    }

    #[test]
    fn times_at_the_ends_of_what_can_be_said_are_survived() {
        let mut twcc = TwccSender::default();
        let start = Instant::now();
        sent(&mut twcc, 4, start);
        let ends = [-32_768 * 250, 32_767 * 250, -32_768 * 250, -32_768 * 250].map(Some);
        assert_eq!(twcc.handle_report(&report(0, 0, &ends), start).map(|heard| heard.seen.len()), Some(4));
        sent(&mut twcc, 1, start);
        assert!(twcc.handle_report(&report(4, (RANGE - 1) as u32, &[Some(-8_192_000)]), start).is_some());
    }
}
