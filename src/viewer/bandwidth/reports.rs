//! The estimate without transport feedback: receiver reports, REMB, silence; and how far it can be trusted.

use std::time::Instant;

use super::{BandwidthEstimator, Cause, DelayEstimator, FLOOR, GROWTH, LossEstimator, Missed, crosscheck::Verdict};
use crate::feed::Evidence;

/// What is left of the estimate each time that feedback is missed.
const SILENT: f64 = 0.7;

impl BandwidthEstimator {
    /// Takes another ceiling, in bits per second on the wire.
    pub fn set_ceiling(&mut self, ceiling: u32) {
        let ceiling = f64::from(ceiling).max(FLOOR);
        // More is needed: look for it now.
        self.probing |= ceiling > self.ceiling;
        self.ceiling = ceiling;
        self.estimate = self.estimate.min(ceiling);
    }

    /// How far the estimate can be trusted; and until when, if nothing more is heard. `sending`: since when packets have been
    /// under way of which nothing was said.
    pub fn evidence(&self, now: Instant, sending: Option<Instant>) -> (Evidence, Instant) {
        match self.sources.until(now, sending, self.round_trip) {
            None => (Evidence::Guessed, now),
            Some(until) if until < now || !self.sources.is_steady(now) => (Evidence::Silent, now),
            Some(until) => (Evidence::Measured, until),
        }
    }

    /// Whether the path's end was met, so that the estimate says what goes and not only what was needed so far.
    pub fn is_limited(&self) -> bool {
        self.limited && self.estimate < self.ceiling
    }

    /// Packets of which transport feedback left out what became of them.
    pub fn skipped(&mut self, packets: u32) {
        self.crosscheck.skipped(packets);
    }

    /// Takes a receiver's own estimate (REMB), where there is no transport feedback.
    pub fn remb(&mut self, now: Instant, bits: u64) {
        if self.sources.report(now).is_some() {
            self.most = (bits as f64).max(FLOOR);
            self.limited = self.most < self.ceiling;
            self.set(self.most, Cause::Receiver);
        }
    }

    /// Takes the fraction lost by a receiver report: used where there is no transport feedback, and to see whether there is
    /// any that can be true.
    pub fn receiver_report(&mut self, now: Instant, lost: f64) {
        let contradicted = self.crosscheck.is_contradicted();
        match self.crosscheck.report(lost) {
            Verdict::Agrees => self.agreed = self.estimate,
            Verdict::Contradicted if !contradicted => {
                self.sources.drop_transport();
                (self.loss, self.lossy, self.cut) = (LossEstimator::default(), None, None);
                self.delay = DelayEstimator::new(now);
                self.set(self.agreed, Cause::Receiver);
            }
            Verdict::Doubtful | Verdict::Contradicted => {}
        }
        let Some(before) = self.sources.report(now) else { return };
        if let Some(before) = before {
            self.set(self.estimate.max(before), Cause::Receiver);
        }
        if lost > 0.1 && self.may_cut(now) {
            self.set(self.estimate * (1.0 - lost / 2.0), Cause::Receiver);
            (self.cut, self.limited) = (Some(now), true);
        } else if lost < 0.02 {
            self.set((self.estimate * GROWTH).min(self.most), Cause::Receiver);
        }
    }

    /// Time passes while packets are under way: without feedback, less is dared. `sending`: since when packets have been
    /// under way of which nothing was said. Whether a silence began just now, or goes on for a second.
    pub fn tick(&mut self, now: Instant, sending: Option<Instant>) -> bool {
        let missed = self.sources.tick(now, sending, self.round_trip, self.estimate);
        if missed != Missed::Nothing {
            self.set(self.estimate * SILENT, Cause::Silence);
        }
        missed == Missed::CutAndTell
    }
}
