//! Statistics for receiver reports (RFC 3550 sections 6.4.1, A.1, A.3 and A.8), of one SSRC at a time. Pure.

use std::time::Instant;

use rtc::rtcp::reception_report::ReceptionReport;

/// The clock of Opus over RTP (RFC 7587 section 4.1).
const RATE: f64 = 48_000.0;
/// A number that is further ahead begins a new sequence (RFC 3550, appendix A.1).
const MAX_DROPOUT: i64 = 3_000;
/// The largest number of lost packets that fits a report.
const MAX_LOST: i64 = 0x7f_ffff;

/// What was received of the current SSRC.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    stream: Option<Stream>,
    /// SSRC and middle bits of the newest sender report, and when it came.
    sender_report: Option<(u32, u32, Instant)>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// The first number, and the highest one; they count on where those of RTP wrap.
    base: i64,
    highest: i64,
    received: i64,
    /// Expected and received at the last report.
    before: (i64, i64),
    /// Arrival and time stamp of the newest packet, and the jitter in samples.
    last: (Instant, u32),
    jitter: f64,
}

impl Reception {
    /// A packet arrived.
    pub(crate) fn arrived(&mut self, ssrc: u32, sequence: u16, timestamp: u32, now: Instant) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == ssrc) else {
            return self.begin(ssrc, sequence, timestamp, now);
        };
        let ahead = i64::from(sequence.wrapping_sub(stream.highest as u16) as i16);
        if ahead.abs() > MAX_DROPOUT {
            return self.begin(ssrc, sequence, timestamp, now);
        }
        stream.highest = stream.highest.max(stream.highest + ahead);
        stream.received += 1;
        let (at, before) = stream.last;
        let passed = now.saturating_duration_since(at).as_secs_f64() * RATE;
        let difference = (passed - f64::from(timestamp.wrapping_sub(before) as i32)).abs();
        stream.jitter += (difference.min(RATE) - stream.jitter) / 16.0;
        stream.last = (now, timestamp);
    }

    fn begin(&mut self, ssrc: u32, sequence: u16, timestamp: u32, now: Instant) {
        let first = i64::from(sequence);
        let (before, last) = ((0, 0), (now, timestamp));
        self.stream = Some(Stream { ssrc, base: first, highest: first, received: 1, before, last, jitter: 0.0 });
    }

    /// A sender report arrived.
    pub(crate) fn handle_sender_report(&mut self, ssrc: u32, ntp: u64, now: Instant) {
        self.sender_report = Some((ssrc, (ntp >> 16) as u32, now));
    }

    /// The block for a receiver report. `None`: nothing was received.
    pub(crate) fn report(&mut self, now: Instant) -> Option<ReceptionReport> {
        let stream = self.stream.as_mut()?;
        let expected = stream.highest - stream.base + 1;
        let (expected_before, received_before) = stream.before;
        let (interval, received) = (expected - expected_before, stream.received - received_before);
        stream.before = (expected, stream.received);
        let lost = (interval - received).clamp(0, interval.max(0));
        let fraction = if interval > 0 { lost * 256 / interval } else { 0 };
        let known = self.sender_report.filter(|(ssrc, ..)| *ssrc == stream.ssrc);
        let (last_sender_report, delay) = known
            .map_or((0, 0), |(_, ntp, at)| (ntp, (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32));
        Some(ReceptionReport {
            ssrc: stream.ssrc,
            fraction_lost: fraction.min(255) as u8,
            total_lost: (expected - stream.received).clamp(0, MAX_LOST) as u32,
            // The number of wraps is above the 16 bits of the number.
            last_sequence_number: stream.highest as u32,
            jitter: stream.jitter as u32,
            last_sender_report,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn losses_wraps_and_jitter_are_reported() {
        let (mut reception, start) = (Reception::default(), Instant::now());
        let at = |n: u64| start + Duration::from_millis(n * 20);
        assert!(reception.report(start).is_none());
        for n in (0..100_u64).filter(|n| n % 4 != 3) {
            reception.arrived(7, 65_500_u16.wrapping_add(n as u16), 960 * n as u32, at(n));
        }
        reception.handle_sender_report(7, 0x0001_2345_6789_abcd, at(90));
        let report = reception.report(at(100)).unwrap();
        // Number 99 is lost, and nobody knows it yet: 24 of 99.
        assert_eq!((report.ssrc, report.total_lost, report.fraction_lost), (7, 24, 62));
        assert_eq!(report.last_sequence_number, 65_500 + 98);
        assert_eq!((report.jitter, report.last_sender_report, report.delay), (0, 0x2345_6789, 13_107));
        let nothing = reception.report(at(101)).unwrap();
        assert_eq!((nothing.fraction_lost, nothing.total_lost), (0, 24), "nothing arrived since");
        for n in 100..200_u64 {
            let late = Duration::from_millis(n % 2 * 10);
            reception.arrived(7, 65_500_u16.wrapping_add(n as u16), 960 * n as u32, at(n) + late);
        }
        let jitter = reception.report(at(200)).unwrap().jitter;
        assert!((400..=480).contains(&jitter), "{jitter} samples for 10 ms");
    }

    #[test]
    fn lies_break_nothing() {
        let (mut reception, now) = (Reception::default(), Instant::now());
        for n in 0..10_000_u32 {
            let odd = n.wrapping_mul(2_654_435_761);
            reception.arrived(odd & 1, (odd >> 3) as u16, odd, now);
            reception.handle_sender_report(odd & 1, u64::MAX, now);
            let report = reception.report(now).unwrap();
            assert!(report.jitter <= 48_000 && i64::from(report.total_lost) <= MAX_LOST);
        }
        // The same packet again and again.
        (0..1_000).for_each(|_| reception.arrived(9, 1, 1, now));
        assert_eq!(reception.report(now).map(|report| (report.total_lost, report.fraction_lost)), Some((0, 0)));
    }
}
