//! Probes: packet trains that are sent to see whether the path carries more.

use std::time::{Duration, Instant};

use super::{BandwidthEstimator, LASTING, PROBE_CALM, PROBE_FACTOR, PROBE_PAUSE, QUIET, Usage};
use crate::units::DataSize;

/// How long a probe lasts at the rate that it tries.
const PROBE_TIME: Duration = Duration::from_millis(25);

/// A packet train that should be sent, to see whether the path carries more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its size, without headers.
    pub size: DataSize,
}

impl BandwidthEstimator {
    /// A probe, if it is time for one.
    pub fn probe(&mut self, now: Instant) -> Option<Probe> {
        let first = self.first?;
        let calm = self.delay.usage() == Usage::Normal && self.delay.standing() < QUIET && self.loss.fraction() < 0.04;
        let since = |at: Option<Instant>| now.saturating_duration_since(at.unwrap_or(first));
        let due = self.estimate < self.ceiling
            && calm
            && since(self.cut) > PROBE_CALM
            && (since(self.probed) > self.pause || (self.probing && since(self.probed) > self.round_trip * 2));
        if !due {
            return None;
        }
        if self.raised.is_some_and(|at| now.saturating_duration_since(at) > LASTING) {
            self.pause = PROBE_PAUSE;
        }
        self.probed = Some(now);
        self.probing = false;
        let rate = (self.estimate * PROBE_FACTOR).min(self.ceiling * 1.1);
        Some(Probe { size: DataSize::from_bytes((rate * PROBE_TIME).as_bytes()) })
    }
}
