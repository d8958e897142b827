//! Which feedback is used, and when its absence is a silence. Pure.
//!
//! TWCC says most and comes often, so it is preferred. If a viewer's TWCC stops, or never made sense, while its
//! receiver reports or REMB go on, the viewer is alive, and those are used.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// TWCC is missed after this long, plus a round trip.
const SILENCE: Duration = Duration::from_millis(800);
/// The most of a round trip that is added: the viewer's figure may be false.
const TRIP_MOST: Duration = Duration::from_secs(1);
/// Receiver reports and REMB are used after TWCC has been silent for this long.
const FALLBACK: Duration = Duration::from_secs(2);
/// These are missed after this long: RTCP packets of a session are 5 s apart, with a random part of half of that (RFC
/// 3550 section 6.2).
const REPORTS: Duration = Duration::from_secs(8);
/// A viewer that reports again counts after this long: what piled up in a silence says nothing about the network.
const RECOVERY: Duration = Duration::from_secs(1);
/// During a silence the estimate is lowered once in this time.
const CUT_PAUSE: Duration = Duration::from_millis(400);
/// A viewer without packets in flight need not report; its last report is believed for this long.
const IDLE: Duration = Duration::from_secs(5);

/// What is known about a viewer's feedback.
#[derive(Debug, Default)]
pub struct FeedbackSources {
    /// The last TWCC report.
    transport: Option<Instant>,
    /// The last receiver report or REMB that was used.
    report: Option<Instant>,
    silence: Option<Silence>,
    /// When a silence ended.
    resumed: Option<Instant>,
}

#[derive(Debug)]
struct Silence {
    cuts: u32,
    next_cut: Instant,
    /// The estimate when it began.
    before: Bitrate,
}

/// What to do about a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Nothing.
    Nothing,
    /// Lower the estimate.
    Cut,
    /// Lower the estimate; the silence began just now, or has lasted for a second.
    CutAndTell,
}

impl FeedbackSources {
    /// A TWCC report came. Returns the estimate before the silence, if it ends one.
    pub fn transport(&mut self, now: Instant) -> Option<Bitrate> {
        self.transport = Some(now);
        self.report = None;
        self.end_silence(now)
    }

    /// TWCC cannot be believed: treated as if none had ever come.
    pub fn drop_transport(&mut self) {
        self.transport = None;
    }

    /// A receiver report or REMB came. `None` if it is not used; otherwise the estimate before the silence, if it
    /// ends one.
    pub fn report(&mut self, now: Instant) -> Option<Option<Bitrate>> {
        if self.transport.is_some_and(|at| now.saturating_duration_since(at) < FALLBACK) {
            return None;
        }
        self.report = Some(now);
        Some(self.end_silence(now))
    }

    fn end_silence(&mut self, now: Instant) -> Option<Bitrate> {
        let silence = self.silence.take()?;
        self.resumed = Some(now);
        Some(silence.before)
    }

    /// From when on the viewer is silent if no report comes; `None` if it never reported. `sending`: since when
    /// packets have been in flight without a report.
    pub fn until(&self, now: Instant, sending: Option<Instant>, round_trip: Duration) -> Option<Instant> {
        let (last, patience) = match (self.report, self.transport) {
            (Some(at), _) => (at, REPORTS),
            (None, Some(at)) => (at, SILENCE + round_trip.min(TRIP_MOST)),
            (None, None) => return None,
        };
        Some(sending.map_or(now + IDLE, |sending| last.max(sending) + patience))
    }

    /// Whether the estimate counts for other viewers: the viewer reports, and has done so for a while.
    pub fn is_steady(&self, now: Instant) -> bool {
        self.silence.is_none() && self.resumed.is_none_or(|at| now.saturating_duration_since(at) >= RECOVERY)
    }

    /// Time passes. `estimate` is the present one.
    pub fn tick(&mut self, now: Instant, sending: Option<Instant>, round_trip: Duration, estimate: Bitrate) -> Missed {
        if self.until(now, sending, round_trip).is_none_or(|until| now <= until) {
            return Missed::Nothing;
        }
        let silence = self.silence.get_or_insert(Silence { cuts: 0, next_cut: now, before: estimate });
        if now < silence.next_cut {
            return Missed::Nothing;
        }
        silence.cuts += 1;
        silence.next_cut = now + CUT_PAUSE;
        if silence.cuts == 1 || silence.cuts == 4 { Missed::CutAndTell } else { Missed::Cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(100);
    const RATE: Bitrate = Bitrate::from_kbps(1_000);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn reports_are_listened_to_where_transport_feedback_is_missing() {
        let start = Instant::now();
        let mut sources = FeedbackSources::default();
        assert!(sources.until(start, Some(start), TRIP).is_none(), "it never spoke");
        assert!(sources.report(start).is_some(), "there never was any");
        assert_eq!(sources.until(start, Some(start), TRIP), Some(start + REPORTS));
        sources.transport(start + ms(10));
        assert!(sources.report(start + ms(1_900)).is_none(), "it is preferred");
        assert!(sources.report(start + ms(2_010)).is_some(), "it ceased");
        sources.transport(start + ms(3_000));
        assert_eq!(sources.until(start, Some(start), TRIP), Some(start + ms(3_000) + SILENCE + TRIP), "it is back");
        sources.drop_transport();
        assert!(sources.report(start + ms(3_001)).is_some(), "it is not believed any more");
    }

    #[test]
    fn a_silence_begins_after_what_is_usual_and_is_told_of_twice() {
        for (name, reports, sending, begins) in [
            ("transport feedback", false, Some(0), 900),
            ("packets that left later", false, Some(500), 1_400),
            ("receiver reports", true, Some(0), 8_000),
            ("nothing is under way", false, None, u64::MAX),
        ] {
            let start = Instant::now();
            let mut sources = FeedbackSources::default();
            if reports {
                assert!(sources.report(start).is_some());
            } else {
                sources.transport(start);
            }
            let sending = sending.map(|at| start + ms(at));
            let mut found = Vec::new();
            for at in (0..20_000).step_by(10) {
                let missed = sources.tick(start + ms(at), sending, TRIP, RATE);
                if missed != Missed::Nothing {
                    found.push((at, missed));
                }
            }
            let expected = match begins {
                u64::MAX => vec![],
                at => [10, 410, 810, 1_210, 1_610].iter().map(|n| at + n).collect::<Vec<_>>(),
            };
            assert_eq!(found.iter().map(|f| f.0).take(5).collect::<Vec<_>>(), expected, "{name}");
            let told: Vec<usize> = (0..found.len()).filter(|n| found[*n].1 == Missed::CutAndTell).collect();
            assert_eq!(told, if expected.is_empty() { vec![] } else { vec![0, 3] }, "{name}");
        }
    }

    #[test]
    fn who_speaks_again_counts_after_a_while_and_is_remembered_as_it_was() {
        let start = Instant::now();
        let mut sources = FeedbackSources::default();
        sources.transport(start);
        assert!(sources.is_steady(start));
        assert_eq!(sources.tick(start + ms(2_000), Some(start), TRIP, RATE), Missed::CutAndTell);
        assert_eq!(sources.tick(start + ms(2_500), Some(start), TRIP, RATE * 0.7), Missed::Cut);
        assert!(!sources.is_steady(start + ms(2_500)));
        assert_eq!(sources.transport(start + ms(3_000)), Some(RATE));
        assert!(!sources.is_steady(start + ms(3_900)) && sources.is_steady(start + ms(4_000)));
        assert_eq!(sources.transport(start + ms(4_100)), None);
        assert_eq!(sources.tick(start + ms(8_000), Some(start), TRIP, RATE * 2.0), Missed::CutAndTell, "and again");
        assert_eq!(
            sources.report(start + ms(8_100)),
            Some(Some(RATE * 2.0)),
            "a receiver report ends the silence, too"
        );
    }

    #[test]
    fn a_round_trip_that_is_claimed_is_not_waited_for_without_end() {
        let start = Instant::now();
        let mut sources = FeedbackSources::default();
        sources.transport(start);
        let until = sources.until(start, Some(start), Duration::from_secs(60));
        assert_eq!(until, Some(start + SILENCE + TRIP_MOST));
    }
}
