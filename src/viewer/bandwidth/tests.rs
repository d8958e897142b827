//! The whole estimator on a simple simulated path: a rate, a queue and a delay.

use super::*;
use crate::feed::Evidence;

const START: Bitrate = Bitrate::from_kbps(1_000);
const CEILING: Bitrate = Bitrate::from_kbps(3_000);
/// The time between two pictures, in ms.
const FRAME: u64 = 33;

/// A path, and a viewer at its end that reports each tenth of a second.
struct Path {
    start: Instant,
    ms: u64,
    estimator: BandwidthEstimator,
    capacity: Bitrate,
    /// One packet in this many is lost; 0: none.
    lose: u64,
    /// Whether TWCC reports come back.
    told: bool,
    /// The loss fraction in receiver reports, which come once a second; `None`: there are no reports.
    reports: Option<f64>,
    /// Until when the packets in flight keep the path busy, in ms.
    busy: f64,
    waiting: Vec<PacketResult>,
    packets: u64,
}

impl Path {
    fn new(capacity_kbps: u32) -> Self {
        let (start, capacity) = (Instant::now(), Bitrate::from_kbps(capacity_kbps));
        let estimator = BandwidthEstimator::new(START, CEILING, false, start);
        let (waiting, packets) = (Vec::new(), 0);
        Self { start, ms: 0, estimator, capacity, lose: 0, told: true, reports: None, busy: 0.0, waiting, packets }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    /// Plays this many seconds.
    fn play(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds * 1_000 {
            self.ms += 1;
            let now = self.now();
            if self.ms.is_multiple_of(FRAME) {
                self.send(now);
            }
            if self.ms.is_multiple_of(100) && self.told {
                let here = (self.ms as f64 - 20.0) / 1_000.0;
                let come = |seen: &PacketResult| seen.arrived.is_none_or(|at| at.as_secs_f64() <= 1_000.0 + here);
                let until = self.waiting.iter().position(|seen| !come(seen)).unwrap_or(self.waiting.len());
                let seen: Vec<PacketResult> = self.waiting.drain(..until).collect();
                self.estimator.feedback(now, &seen);
            }
            if self.ms.is_multiple_of(1_000)
                && let Some(lost) = self.reports
            {
                self.estimator.receiver_report(now, lost);
            }
            self.estimator.tick(now, self.sending());
        }
        self
    }

    /// A picture, as large as the estimate allows.
    fn send(&mut self, now: Instant) {
        let picture = self.estimator.estimate() * Duration::from_millis(FRAME);
        let parts = (picture / DataSize::from_bits(9_600)).ceil().max(1.0) as usize;
        let size = DataSize::from_bytes(picture.as_bytes() / parts);
        for _ in 0..parts {
            self.packets += 1;
            self.busy = self.busy.max(self.ms as f64) + (size / self.capacity).as_secs_f64() * 1_000.0;
            let lost = self.lose > 0 && self.packets.is_multiple_of(self.lose);
            let arrived = (!lost).then(|| Duration::from_secs_f64(1_000.0 + (self.busy + 20.0) / 1_000.0));
            self.waiting.push(PacketResult { sent: now, size, train: self.packets as u32 / 1_000 + 1, arrived });
        }
    }

    fn sending(&self) -> Option<Instant> {
        self.waiting.first().map(|seen| seen.sent)
    }

    fn evidence(&self) -> Evidence {
        self.estimator.evidence(self.now(), self.sending()).0
    }

    fn estimate(&self) -> Bitrate {
        self.estimator.estimate()
    }
}

#[test]
fn a_free_path_is_filled_and_a_narrow_one_is_not_overfilled() {
    for (name, capacity, lose, least, most, limited) in [
        ("free", 50_000, 0, 3_000, 3_000, false),
        ("narrow", 800, 0, 500, 880, true),
        ("free, and the air loses one in twenty", 50_000, 20, 900, 3_000, false),
    ] {
        let mut path = Path::new(capacity);
        path.lose = lose;
        path.play(25);
        let (estimate, is_limited) = (path.estimate(), path.estimator.is_limited());
        let expected = Bitrate::from_kbps(least)..=Bitrate::from_kbps(most);
        assert!(expected.contains(&estimate), "{name}: {estimate}");
        assert_eq!(is_limited, limited, "{name}");
        assert_eq!(path.evidence(), Evidence::Measured, "{name}");
    }
}

#[test]
fn a_silence_is_no_measurement_and_what_was_before_it_is_tried_again() {
    let mut path = Path::new(50_000);
    assert_eq!(path.evidence(), Evidence::Guessed);
    path.play(20);
    assert_eq!((path.estimate(), path.evidence()), (CEILING, Evidence::Measured));
    path.told = false;
    path.play(1);
    assert_eq!(path.evidence(), Evidence::Silent);
    path.play(9);
    assert!(path.estimate() <= FLOOR, "nothing is dared in a silence: {}", path.estimate());
    assert!(!path.estimator.is_limited(), "and nothing is learnt of the network");
    path.told = true;
    path.ms = path.ms.next_multiple_of(1_000) - 1;
    path.play(1);
    assert!(path.estimate() >= CEILING / 2.0, "half of it at once: {}", path.estimate());
    path.play(1);
    assert_eq!(path.evidence(), Evidence::Measured, "it counts after a second");
}

#[test]
fn reports_take_over_where_transport_feedback_ceases_and_the_other_way_round() {
    let mut path = Path::new(50_000);
    path.play(20);
    (path.told, path.reports) = (false, Some(0.0));
    path.play(4);
    assert!(path.estimate() > CEILING * 0.9, "as before the silence: {}", path.estimate());
    path.play(60);
    assert_eq!((path.estimate(), path.evidence()), (CEILING, Evidence::Measured));
    path.reports = Some(0.5);
    path.play(5);
    assert!(path.estimate() < CEILING / 2.0 && path.estimator.is_limited(), "they are believed: {}", path.estimate());
    (path.told, path.reports) = (true, Some(0.5));
    path.waiting.clear();
    path.play(30);
    assert_eq!(path.estimate(), CEILING, "transport feedback is preferred again");
}

#[test]
fn the_receivers_own_estimate_is_used_for_as_long_as_there_is_nothing_better() {
    let mut path = Path::new(50_000);
    path.play(5);
    path.told = false;
    path.play(3);
    for rate in [2_000, 500, 1_500, 900].map(Bitrate::from_kbps) {
        let now = path.now();
        path.estimator.remb(now, rate);
        assert_eq!(path.estimate(), rate);
        path.play(3);
        assert_eq!(path.estimate(), rate, "time alone changes nothing");
        assert_eq!(path.evidence(), Evidence::Measured);
    }
    path.play(10);
    assert_eq!(path.evidence(), Evidence::Silent, "the receiver reports ceased, too");
}

#[test]
fn transport_feedback_that_reports_contradict_is_not_believed() {
    let mut path = Path::new(50_000);
    path.reports = Some(0.0);
    path.play(20);
    assert_eq!(path.estimate(), CEILING);
    // TWCC reports all packets but the last as lost, while the receiver reports show no loss.
    path.lose = 1;
    for _ in 0..80 {
        path.play_a_lie();
    }
    assert_eq!(path.evidence(), Evidence::Measured, "by the reports");
    assert!(path.estimate() > CEILING * 0.9, "{}", path.estimate());
}

impl Path {
    /// A tenth of a second in which a report says that only its last packet arrived.
    fn play_a_lie(&mut self) {
        let last = Duration::from_secs_f64(1_000.0 + self.ms as f64 / 1_000.0);
        if let Some(seen) = self.waiting.last_mut() {
            seen.arrived = Some(last);
        }
        for _ in 0..100 {
            self.ms += 1;
            let now = self.now();
            if self.ms.is_multiple_of(FRAME) {
                self.send(now);
            }
            if self.ms.is_multiple_of(100) {
                let seen: Vec<PacketResult> = self.waiting.drain(..).collect();
                self.estimator.feedback(now, &seen);
            }
            if self.ms.is_multiple_of(1_000) {
                self.estimator.receiver_report(now, 0.0);
            }
            self.estimator.tick(now, self.sending());
        }
    }
}

#[test]
fn whatever_a_viewer_claims_the_estimate_stays_within_its_bounds() {
    let start = Instant::now();
    for bits in [0, 1, 59_999, 60_000, 1 << 40, 1 << 63, u64::MAX] {
        let mut estimator = BandwidthEstimator::new(START, CEILING, false, start);
        let rate = Bitrate::from_bps(bits);
        estimator.remb(start, rate);
        assert_eq!(estimator.estimate(), rate.clamp(FLOOR, CEILING), "REMB {bits}");
    }
    for lost in [1.0, 0.999, 0.0] {
        let mut estimator = BandwidthEstimator::new(START, CEILING, false, start);
        for n in 0..200 {
            estimator.receiver_report(start + Duration::from_secs(n), lost);
            assert!((FLOOR..=CEILING).contains(&estimator.estimate()), "{lost}");
        }
        assert_eq!(estimator.estimate(), if lost > 0.0 { FLOOR } else { CEILING }, "{lost}");
    }
}

#[test]
fn a_ceiling_that_is_raised_is_reached_and_one_that_is_lowered_holds_at_once() {
    let mut path = Path::new(50_000);
    path.play(20);
    let (low, high) = (Bitrate::from_kbps(500), Bitrate::from_kbps(6_000));
    path.estimator.set_ceiling(low);
    assert_eq!(path.estimate(), low);
    path.estimator.set_ceiling(high);
    assert!(path.estimator.probe(path.now()).is_some(), "more is looked for at once");
    path.play(40);
    assert_eq!(path.estimate(), high);
}
