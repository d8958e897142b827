//! Whether a viewer's transport feedback and its receiver reports can both be true. Pure.
//!
//! Both come from the same receiver, the same way. Heavy loss in the one that is not in the other is a fault of that receiver
//! or a lie: what is sent again is a tenth of the rate at most, so it cannot mend a third. And where receiver reports come
//! back, most of the transport feedback has to: a stack that writes it wrongly leaves holes, since what cannot be read is
//! dropped, and the times of the rest are not to be relied on.

/// Loss in transport feedback above this has to show in receiver reports too.
const HEAVY: f64 = 0.3;
/// At least this share of it.
const SHOWS: f64 = 0.25;
/// More than this share of the packets is never spoken of: the feedback is broken.
const HOLES: f64 = 0.5;
/// Fewer packets between two reports tell nothing.
const SAMPLE: u32 = 20;
/// So many reports in a row decide, in both directions: the two speak of slightly different times.
const REPORTS: u32 = 2;

/// The two, side by side.
#[derive(Debug, Default)]
pub struct Crosscheck {
    /// What transport feedback said since the last receiver report.
    packets: u32,
    lost: u32,
    /// Packets that it left out.
    skipped: u32,
    /// Reports in a row that speak against the present verdict.
    against: u32,
    contradicted: bool,
}

/// What the comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against transport feedback.
    Agrees,
    /// This report speaks against it; one is not enough.
    Doubtful,
    /// It is not to be believed.
    Contradicted,
}

impl Crosscheck {
    /// Transport feedback left out so many packets.
    pub fn skipped(&mut self, packets: u32) {
        self.skipped = self.skipped.saturating_add(packets);
    }

    /// Transport feedback spoke of so many packets, so many of which got lost.
    pub fn transport(&mut self, packets: u32, lost: u32) {
        (self.packets, self.lost) = (self.packets.saturating_add(packets), self.lost.saturating_add(lost));
    }

    /// A receiver report of the picture says that this fraction got lost.
    pub fn report(&mut self, lost: f64) -> Verdict {
        let (packets, transport, skipped) = (self.packets, self.lost, self.skipped);
        (self.packets, self.lost, self.skipped) = (0, 0, 0);
        let all = packets.saturating_add(skipped);
        if all >= SAMPLE {
            let loss = f64::from(transport) / f64::from(packets.max(1));
            let holes = f64::from(skipped) / f64::from(all);
            let contradicts = holes > HOLES || (loss > HEAVY && lost < SHOWS * loss);
            self.against = if contradicts == self.contradicted { 0 } else { self.against + 1 };
            if self.against == REPORTS {
                (self.against, self.contradicted) = (0, contradicts);
            }
        }
        match (self.contradicted, self.against) {
            (true, _) => Verdict::Contradicted,
            (false, 0) => Verdict::Agrees,
            (false, _) => Verdict::Doubtful,
        }
    }

    /// Whether transport feedback is contradicted, and not to be believed.
    pub fn is_contradicted(&self) -> bool {
        self.contradicted
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    #[test]
    fn what_reports_speak_against_twice_is_not_believed() {
        // Packets, lost and skipped ones by transport feedback, the fraction by the report after it, and the verdict.
        for (name, rows) in [
            ("agreed", &[(100, 50, 0, 0.5, Agrees), (100, 50, 0, 0.4, Agrees), (100, 60, 0, 0.2, Agrees)][..]),
            ("mended by what is sent again", &[(100, 25, 0, 0.0, Agrees), (100, 25, 0, 0.0, Agrees)]),
            (
                "contradicted, then agreed",
                &[
                    (100, 99, 0, 0.0, Doubtful),
                    (100, 99, 0, 0.0, Contradicted),
                    (100, 0, 0, 0.0, Contradicted),
                    (100, 0, 0, 0.0, Agrees),
                ],
            ),
            ("once is nothing", &[(100, 99, 0, 0.0, Doubtful), (100, 0, 0, 0.0, Agrees), (100, 99, 0, 0.0, Doubtful)]),
            ("too few to tell", &[(10, 10, 0, 0.0, Agrees), (10, 10, 0, 0.0, Agrees), (10, 10, 0, 0.0, Agrees)]),
            ("some reports got lost", &[(70, 20, 30, 0.3, Agrees), (70, 20, 30, 0.3, Agrees)]),
            ("most cannot be read", &[(25, 0, 75, 0.0, Doubtful), (25, 0, 75, 0.0, Contradicted)]),
            ("none can be read", &[(0, 0, 100, 0.0, Doubtful), (0, 0, 100, 0.0, Contradicted)]),
        ] {
            let mut check = Crosscheck::default();
            for (n, (packets, lost, skipped, report, verdict)) in rows.iter().enumerate() {
                check.transport(*packets, *lost);
                check.skipped(*skipped);
                assert_eq!(check.report(*report), *verdict, "{name}, report {n}");
                assert_eq!(check.is_contradicted(), *verdict == Contradicted, "{name}, report {n}");
            }
        }
    }
}
