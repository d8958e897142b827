//! The estimate as a whole, on a path of a few lines: a rate, a queue and a delay.

use super::*;
use crate::feed::Evidence;

const CEILING: u32 = 3_000_000;
const FRAME: u64 = 33;

/// A path, and a viewer at its end that reports each tenth of a second.
struct Path {
    start: Instant,
    ms: u64,
    estimator: BandwidthEstimator,
    /// Bits per second that go.
    capacity: f64,
    /// Each how many-th packet gets lost; 0: none.
    lose: u64,
    /// Whether transport feedback comes back.
    told: bool,
    /// The fraction that receiver reports tell, once a second; `None`: there are none.
    reports: Option<f64>,
    /// Until when the packets under way keep the path busy, in ms.
    busy: f64,
    waiting: Vec<PacketResult>,
    packets: u64,
}

impl Path {
    fn new(capacity: f64) -> Self {
        let start = Instant::now();
        let estimator = BandwidthEstimator::new(1_000_000, CEILING, false, start);
        let (waiting, packets) = (Vec::new(), 0);
        Self { start, ms: 0, estimator, capacity, lose: 0, told: true, reports: None, busy: 0.0, waiting, packets }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    /// Goes on for so many seconds.
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
        let bits = f64::from(self.estimator.estimate()) * FRAME as f64 / 1_000.0;
        let parts = (bits / 9_600.0).ceil().max(1.0) as usize;
        let bytes = (bits / 8.0) as usize / parts;
        for _ in 0..parts {
            self.packets += 1;
            self.busy = self.busy.max(self.ms as f64) + bytes as f64 * 8_000.0 / self.capacity;
            let lost = self.lose > 0 && self.packets.is_multiple_of(self.lose);
            let arrived = (!lost).then(|| Duration::from_secs_f64(1_000.0 + (self.busy + 20.0) / 1_000.0));
            self.waiting.push(PacketResult { sent: now, bytes, train: self.packets as u32 / 1_000 + 1, arrived });
        }
    }

    fn sending(&self) -> Option<Instant> {
        self.waiting.first().map(|seen| seen.sent)
    }

    fn evidence(&self) -> Evidence {
        self.estimator.evidence(self.now(), self.sending()).0
    }

    fn estimate(&self) -> u32 {
        self.estimator.estimate()
    }
}

#[test]
fn a_free_path_is_filled_and_a_narrow_one_is_not_overfilled() {
    for (name, capacity, lose, least, most, limited) in [
        ("free", 50e6, 0, CEILING, CEILING, false),
        ("narrow", 0.8e6, 0, 500_000, 880_000, true),
        ("free, and the air loses one in twenty", 50e6, 20, 900_000, CEILING, false),
    ] {
        let mut path = Path::new(capacity);
        path.lose = lose;
        path.play(25);
        let (estimate, is_limited) = (path.estimate(), path.estimator.is_limited());
        assert!((least..=most).contains(&estimate), "{name}: {estimate}");
        assert_eq!(is_limited, limited, "{name}");
        assert_eq!(path.evidence(), Evidence::Measured, "{name}");
    }
}

#[test]
fn a_silence_is_no_measurement_and_what_was_before_it_is_tried_again() {
    let mut path = Path::new(50e6);
    assert_eq!(path.evidence(), Evidence::Guessed);
    path.play(20);
    assert_eq!((path.estimate(), path.evidence()), (CEILING, Evidence::Measured));
    path.told = false;
    path.play(1);
    assert_eq!(path.evidence(), Evidence::Silent);
    path.play(9);
    assert!(path.estimate() <= FLOOR as u32, "nothing is dared in a silence: {}", path.estimate());
    assert!(!path.estimator.is_limited(), "and nothing is learnt of the network");
    path.told = true;
    path.ms = path.ms.next_multiple_of(1_000) - 1;
    path.play(1);
    assert!(path.estimate() >= CEILING / 2, "half of it at once: {}", path.estimate());
    path.play(1);
    assert_eq!(path.evidence(), Evidence::Measured, "it counts after a second");
}

#[test]
fn reports_take_over_where_transport_feedback_ceases_and_the_other_way_round() {
    let mut path = Path::new(50e6);
    path.play(20);
    (path.told, path.reports) = (false, Some(0.0));
    path.play(4);
    assert!(path.estimate() > CEILING * 9 / 10, "as before the silence: {}", path.estimate());
    path.play(60);
    assert_eq!((path.estimate(), path.evidence()), (CEILING, Evidence::Measured));
    path.reports = Some(0.5);
    path.play(5);
    assert!(path.estimate() < CEILING / 2 && path.estimator.is_limited(), "they are believed: {}", path.estimate());
    (path.told, path.reports) = (true, Some(0.5));
    path.waiting.clear();
    path.play(30);
    assert_eq!(path.estimate(), CEILING, "transport feedback is preferred again");
}

#[test]
fn the_receivers_own_estimate_is_used_for_as_long_as_there_is_nothing_better() {
    let mut path = Path::new(50e6);
    path.play(5);
    path.told = false;
    path.play(3);
    for bits in [2_000_000, 500_000, 1_500_000, 900_000] {
        let now = path.now();
        path.estimator.remb(now, bits);
        assert_eq!(u64::from(path.estimate()), bits);
        path.play(3);
        assert_eq!(u64::from(path.estimate()), bits, "time alone changes nothing");
        assert_eq!(path.evidence(), Evidence::Measured);
    }
    path.play(10);
    assert_eq!(path.evidence(), Evidence::Silent, "it ceased, too");
}

#[test]
fn transport_feedback_that_reports_contradict_is_not_believed() {
    let mut path = Path::new(50e6);
    path.reports = Some(0.0);
    path.play(20);
    assert_eq!(path.estimate(), CEILING);
    // All but the last packet of a report are said to be lost, and the receiver's reports know of none.
    path.lose = 1;
    for _ in 0..80 {
        path.play_a_lie();
    }
    assert_eq!(path.evidence(), Evidence::Measured, "by the reports");
    assert!(path.estimate() > CEILING * 9 / 10, "{}", path.estimate());
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
        let mut estimator = BandwidthEstimator::new(1_000_000, CEILING, false, start);
        estimator.remb(start, bits);
        assert_eq!(u64::from(estimator.estimate()), bits.clamp(FLOOR as u64, CEILING.into()), "REMB {bits}");
    }
    for lost in [1.0, 0.999, 0.0] {
        let mut estimator = BandwidthEstimator::new(1_000_000, CEILING, false, start);
        for n in 0..200 {
            estimator.receiver_report(start + Duration::from_secs(n), lost);
            assert!((FLOOR as u32..=CEILING).contains(&estimator.estimate()), "{lost}");
        }
        assert_eq!(estimator.estimate(), if lost > 0.0 { FLOOR as u32 } else { CEILING }, "{lost}");
    }
}

#[test]
fn a_ceiling_that_is_raised_is_reached_and_one_that_is_lowered_holds_at_once() {
    let mut path = Path::new(50e6);
    path.play(20);
    path.estimator.set_ceiling(500_000);
    assert_eq!(path.estimate(), 500_000);
    path.estimator.set_ceiling(6_000_000);
    assert!(path.estimator.probe(path.now()).is_some(), "more is looked for at once");
    path.play(40);
    assert_eq!(path.estimate(), 6_000_000);
}
