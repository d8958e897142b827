//! Whether a viewer's TWCC reports and its receiver reports can both be true. Pure.
//!
//! Both come from the same receiver over the same path. Heavy loss in one that is not in the other is a fault of the
//! receiver, or a lie: retransmissions are a tenth of the rate at most, so they cannot repair a third. If receiver
//! reports arrive, most TWCC reports have to arrive, too. A stack that writes them wrongly leaves gaps, because
//! unreadable reports are dropped, and the times in the others cannot be trusted.

/// Loss in TWCC reports above this has to show in receiver reports, too.
const HEAVY: f64 = 0.3;
/// At least this share of it.
const SHOWS: f64 = 0.25;
/// If more than this share of packets is never reported, TWCC is broken.
const HOLES: f64 = 0.5;
/// Fewer packets between two receiver reports show nothing.
const SAMPLE: u32 = 20;
/// This many reports in a row decide, in both directions: the two kinds cover slightly different times.
const REPORTS: u32 = 2;

/// Both kinds of feedback, side by side.
#[derive(Debug, Default)]
pub struct Crosscheck {
    /// Packets in TWCC reports since the last receiver report.
    packets: u32,
    lost: u32,
    /// Packets that TWCC left out.
    skipped: u32,
    /// Reports in a row that speak against the present verdict.
    against: u32,
    contradicted: bool,
}

/// The result of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossCheckVerdict {
    /// Nothing speaks against TWCC.
    Agrees,
    /// This report speaks against it; one is not enough.
    Doubtful,
    /// TWCC cannot be believed.
    Contradicted,
}

impl Crosscheck {
    /// TWCC left out this many packets.
    pub fn skipped(&mut self, packets: u32) {
        self.skipped = self.skipped.saturating_add(packets);
    }

    /// TWCC reported this many packets, and this many of them as lost.
    pub fn transport(&mut self, packets: u32, lost: u32) {
        (self.packets, self.lost) = (self.packets.saturating_add(packets), self.lost.saturating_add(lost));
    }

    /// A receiver report of the video stream, with this loss fraction.
    pub fn report(&mut self, lost: f64) -> CrossCheckVerdict {
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
            (true, _) => CrossCheckVerdict::Contradicted,
            (false, 0) => CrossCheckVerdict::Agrees,
            (false, _) => CrossCheckVerdict::Doubtful,
        }
    }

    /// Whether TWCC is contradicted and must not be believed.
    pub fn is_contradicted(&self) -> bool {
        self.contradicted
    }
}

#[cfg(test)]
mod tests {
    use super::{CrossCheckVerdict::*, *};

    #[test]
    fn what_reports_speak_against_twice_is_not_believed() {
        // From TWCC: packets, lost packets, packets without a report. Then the loss fraction of the next receiver
        // report, and the expected verdict.
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
