//! Loss-based estimation: how much of the loss a lower rate would avoid.
//!
//! Google congestion control (draft-ietf-rmcat-gcc-02 section 6) lowers the rate by half of the loss above a tenth. A
//! radio link loses as much at any rate, and would be cut to nothing. So we lower the rate once. If the loss stays,
//! it is radio loss, and only additional loss counts from then on.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// How long packets are counted before a verdict, at least and at most.
const WINDOW: Duration = Duration::from_millis(300);
const WINDOW_MOST: Duration = Duration::from_secs(1);
/// A verdict needs this many packets. After `WINDOW_MOST` a few are enough.
const SAMPLE: u32 = 80;
const SAMPLE_LEAST: u32 = 12;
/// Loss above this leads to a cut.
const CUT: f64 = 0.1;
/// Loss above this stops growth.
const HOLD: f64 = 0.04;
/// How long a cut takes to show: a queue has to empty first.
const PATIENCE: Duration = Duration::from_millis(600);
/// The sent rate has to fall by this much for a cut to show.
const DEEP: f64 = 0.85;
/// At most this share of the loss is taken as the link's own.
const OWN_MOST: f64 = 0.5;

/// What to do about the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advice {
    /// No loss that matters.
    Grow,
    /// Some loss: keep the rate.
    Hold,
    /// Multiply the rate by this.
    Cut(f64),
}

/// Counts lost packets.
#[derive(Debug, Default)]
pub struct LossEstimator {
    sent: u32,
    lost: u32,
    since: Option<Instant>,
    /// Loss in the last window, 0 to 1.
    fraction: f64,
    /// The loss of this link at any rate.
    own: f64,
    experiment: Option<Experiment>,
}

/// Cuts that have to show: the loss and the sent rate before the first of them.
#[derive(Debug)]
struct Experiment {
    since: Instant,
    loss: f64,
    sent: Bitrate,
}

impl LossEstimator {
    /// The recent loss fraction, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// Whether the rate may grow.
    pub fn may_grow(&self) -> bool {
        self.fraction - self.own <= HOLD
    }

    /// Feedback reported this many packets, and this many of them as lost; `arriving` is the acknowledged
    /// bitrate. Gives advice once per window.
    pub fn count(&mut self, packets: u32, lost: u32, arriving: Bitrate, now: Instant) -> Option<Advice> {
        self.sent += packets;
        self.lost += lost;
        let since = *self.since.get_or_insert(now);
        let counted = now.saturating_duration_since(since);
        let enough = if counted < WINDOW_MOST { SAMPLE } else { SAMPLE_LEAST };
        if counted < WINDOW || self.sent < enough {
            return None;
        }
        self.fraction = f64::from(self.lost) / f64::from(self.sent);
        (self.sent, self.lost, self.since) = (0, 0, Some(now));
        Some(self.advise(arriving / (1.0 - self.fraction).max(0.1), now))
    }

    fn advise(&mut self, sent: Bitrate, now: Instant) -> Advice {
        if self.fraction < self.own {
            // The link itself loses less than assumed. Only another cut can raise this value again.
            self.own = 0.7 * self.own + 0.3 * self.fraction;
        }
        if let Some(experiment) = &self.experiment
            && sent < experiment.sent * DEEP
            && now.saturating_duration_since(experiment.since) >= PATIENCE
        {
            if self.fraction > 0.7 * experiment.loss {
                self.own = self.fraction.min(OWN_MOST);
            }
            self.experiment = None;
        }
        let excess = self.fraction - self.own;
        if excess > CUT {
            let since = Experiment { since: now, loss: self.fraction, sent };
            let experiment = self.experiment.get_or_insert(since);
            // The cuts are deep enough: wait for their effect.
            let waits = sent < experiment.sent * DEEP && now.saturating_duration_since(experiment.since) < PATIENCE;
            return if waits { Advice::Hold } else { Advice::Cut(1.0 - excess / 2.0) };
        }
        if excess > HOLD {
            return Advice::Hold;
        }
        self.experiment = None;
        Advice::Grow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of 100 packets each 400 ms: lost ones of each, and kbit/s that arrive. Returns the advice after each.
    fn advice(windows: &[(u32, u32)]) -> Vec<Advice> {
        let (start, mut loss) = (Instant::now(), LossEstimator::default());
        assert_eq!(loss.count(0, 0, Bitrate::ZERO, start), None, "nothing is known yet");
        let each = windows.iter().zip(1_u32..);
        let mut count = |((lost, arriving), n): (&(u32, u32), u32)| {
            loss.count(100, *lost, Bitrate::from_kbps(*arriving), start + n * Duration::from_millis(400))
        };
        each.map(&mut count).map(|advice| advice.expect("a full window")).collect()
    }

    #[test]
    fn loss_is_cut_held_or_left_alone() {
        use Advice::{Cut, Grow, Hold};
        for (name, windows, expected) in [
            ("none", &[(0, 1_000), (1, 1_000), (4, 1_000)][..], vec![Grow, Grow, Grow]),
            ("some", &[(5, 1_000), (10, 1_000)], vec![Hold, Hold]),
            ("much, and it is cured", &[(20, 1_000), (20, 500), (0, 500)], vec![Cut(0.9), Hold, Grow]),
            (
                "much, and it is the air's",
                &[(20, 1_000), (20, 600), (20, 600), (20, 600), (20, 1_000)],
                vec![Cut(0.9), Hold, Grow, Grow, Grow],
            ),
            (
                "the air's, and more on top",
                &[(20, 1_000), (20, 600), (20, 600), (40, 600)],
                vec![Cut(0.9), Hold, Grow, Cut(0.9)],
            ),
            ("a cut that nobody followed is repeated", &[(20, 1_000), (20, 1_000), (20, 1_000)], vec![Cut(0.9); 3]),
            ("all", &[(100, 0)], vec![Cut(0.5)]),
        ] {
            let found = advice(windows);
            let same = |(one, other): (&Advice, &Advice)| match (one, other) {
                (Cut(one), Cut(other)) => (one - other).abs() < 1e-9,
                _ => one == other,
            };
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(same), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_verdict_takes_enough_packets_or_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut loss, rate) = (LossEstimator::default(), Bitrate::from_kbps(1_000));
        assert_eq!(loss.count(79, 20, rate, at(0)), None);
        assert_eq!(loss.count(0, 0, rate, at(900)), None, "79 are too few for less than a second");
        assert_eq!(loss.count(1, 0, rate, at(901)), Some(Advice::Cut(0.875)));
        assert!((loss.fraction() - 0.25).abs() < 1e-9 && !loss.may_grow());
        assert_eq!(loss.count(11, 11, rate, at(3_000)), None, "eleven packets are always too few");
        assert!(loss.count(1, 1, rate, at(3_001)).is_some());
    }
}
