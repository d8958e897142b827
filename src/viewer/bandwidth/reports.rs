//! The estimate without transport feedback: receiver reports, REMB, silence; and how far it can be trusted.

use std::time::Instant;

use super::{
    BandwidthEstimator, Cause, DelayEstimator, FLOOR, GROWTH, LossEstimator, Missed, crosscheck::CrossCheckVerdict,
};
use crate::{feed::Evidence, units::Bitrate};

/// What is left of the estimate each time that feedback is missed.
const SILENT: f64 = 0.7;

impl BandwidthEstimator {
    /// Sets another ceiling, with all headers.
    pub fn set_ceiling(&mut self, ceiling: Bitrate) {
        let ceiling = ceiling.max(FLOOR);
        // More is needed: look for it now.
        self.probing |= ceiling > self.ceiling;
        self.ceiling = ceiling;
        self.estimate = self.estimate.min(ceiling);
    }

    /// How far the estimate can be trusted, and until when if no report comes. `sending`: since when packets have been
    /// in flight without a report.
    pub fn evidence(&self, now: Instant, sending: Option<Instant>) -> (Evidence, Instant) {
        match self.sources.until(now, sending, self.round_trip) {
            None => (Evidence::Guessed, now),
            Some(until) if until < now || !self.sources.is_steady(now) => (Evidence::Silent, now),
            Some(until) => (Evidence::Measured, until),
        }
    }

    /// Whether delay or loss showed that the path carries no more than the estimate. Otherwise the estimate may be low
    /// only because more was not needed.
    pub fn is_limited(&self) -> bool {
        self.limited && self.estimate < self.ceiling
    }

    /// TWCC left out this many packets.
    pub fn skipped(&mut self, packets: u32) {
        self.crosscheck.skipped(packets);
    }

    /// Reads the receiver's own estimate (REMB). It is used if the viewer sends no TWCC.
    pub fn remb(&mut self, now: Instant, rate: Bitrate) {
        if self.sources.report(now).is_some() {
            self.most = rate.max(FLOOR);
            self.limited = self.most < self.ceiling;
            self.set(self.most, Cause::Receiver);
        }
    }

    /// Reads the loss fraction of a receiver report. It is used if the viewer sends no TWCC, and to check TWCC.
    pub fn receiver_report(&mut self, now: Instant, lost: f64) {
        let contradicted = self.crosscheck.is_contradicted();
        match self.crosscheck.report(lost) {
            CrossCheckVerdict::Agrees => self.agreed = self.estimate,
            CrossCheckVerdict::Contradicted if !contradicted => {
                self.sources.drop_transport();
                (self.loss, self.lossy, self.cut) = (LossEstimator::default(), None, None);
                self.delay = DelayEstimator::new(now);
                self.set(self.agreed, Cause::Receiver);
            }
            CrossCheckVerdict::Doubtful | CrossCheckVerdict::Contradicted => {}
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

    /// Time passes. Lowers the estimate while feedback is missing. `sending`: since when packets have been in flight
    /// without a report. Returns whether a silence began just now, or has lasted for a second.
    pub fn tick(&mut self, now: Instant, sending: Option<Instant>) -> bool {
        let missed = self.sources.tick(now, sending, self.round_trip, self.estimate);
        if missed != Missed::Nothing {
            self.set(self.estimate * SILENT, Cause::Silence);
        }
        missed == Missed::CutAndTell
    }
}
