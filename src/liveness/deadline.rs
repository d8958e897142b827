//! Deadlines of a device thread: how long it may stay in each state before the log names it, and before it is
//! abandoned. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// A thread that has not moved for this long is named in the log, and its health is `stalled`. The time is below five
/// seconds, so that people see it within five. A USB control transfer of a failing camera takes five seconds by
/// itself.
pub const NAMED_AFTER: Duration = Duration::from_millis(4_500);
/// A thread is abandoned if it has not moved for this long, or has not stopped this long after the request.
pub const GIVEN_UP_AFTER: Duration = Duration::from_millis(9_500);
/// Opening a device may take this long in all, as long as each operation ends.
pub const OPENING: Duration = Duration::from_secs(30);
/// Checks are closer together than this. After a longer pause the whole process stood still (SIGSTOP, suspend,
/// overload), and that time counts for no thread.
const ASLEEP: Duration = Duration::from_secs(2);

/// The state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has been opening the device since then.
    Opening(Mono),
    /// Its loop runs.
    Running,
    /// It was asked to stop at that time.
    Stopping(Mono),
}

/// What to do about a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadVerdict {
    /// Log where it hangs.
    Name,
    /// Abandon it.
    GiveUp,
    /// Log that it moves again.
    Moves,
}

/// The deadlines of one thread. Check them twice a second.
#[derive(Debug, Default)]
pub struct Deadline {
    named: bool,
    given_up: bool,
    looked: Option<Mono>,
    /// When the process last continued after it had stood still.
    woke: Mono,
}

impl Deadline {
    /// What to do about a thread that last moved at `moved`. A thread is abandoned once.
    pub fn check(&mut self, phase: Phase, moved: Mono, now: Mono) -> Option<ThreadVerdict> {
        if self.looked.replace(now).is_some_and(|last| now.since(last) >= ASLEEP) {
            self.woke = now;
        }
        let begun = match phase {
            Phase::Stopping(since) => since.min(moved),
            Phase::Opening(_) | Phase::Running => moved,
        };
        let stuck = now.since(begun.max(self.woke));
        let opening = matches!(phase, Phase::Opening(since) if now.since(since.max(self.woke)) >= OPENING);
        if self.given_up {
            return None;
        }
        if stuck >= GIVEN_UP_AFTER || opening {
            self.given_up = true;
            return Some(ThreadVerdict::GiveUp);
        }
        match (stuck >= NAMED_AFTER, self.named) {
            (true, false) => {
                self.named = true;
                Some(ThreadVerdict::Name)
            }
            (false, true) => {
                self.named = false;
                Some(ThreadVerdict::Moves)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(1_000_000_000_000 + n * 1_000_000)
    }

    /// Looks each half second but while `asleep`, for a minute. `moved` tells when it last
    /// moved before a time.
    fn watch(phase: Phase, moved: fn(u64) -> u64, asleep: std::ops::Range<u64>) -> Vec<(u64, ThreadVerdict)> {
        let (mut deadline, mut told) = (Deadline::default(), Vec::new());
        for now in (0..60_000).step_by(500).filter(|now| !asleep.contains(now)) {
            let verdict = deadline.check(phase, ms(moved(now)), ms(now));
            told.extend(verdict.map(|verdict| (now, verdict)));
        }
        told
    }

    #[test]
    fn every_state_has_an_end() {
        use ThreadVerdict::{GiveUp, Moves, Name};
        type Case = (&'static str, Phase, fn(u64) -> u64, &'static [(u64, ThreadVerdict)]);
        let hangs: &[(u64, ThreadVerdict)] = &[(4_500, Name), (9_500, GiveUp)];
        let table: [Case; 8] = [
            ("moves all the time", Phase::Running, |now| now, &[]),
            ("moves each four seconds", Phase::Running, |now| now - now % 4_000, &[]),
            ("hangs for good", Phase::Running, |_| 0, hangs),
            (
                "hangs for a while",
                Phase::Running,
                |now| if now < 7_000 { 0 } else { now },
                &[(4_500, Name), (7_000, Moves)],
            ),
            ("hangs while it opens", Phase::Opening(ms(0)), |_| 0, hangs),
            ("opens for ever, one operation after the other", Phase::Opening(ms(0)), |now| now, &[(30_000, GiveUp)]),
            ("hangs while it stops", Phase::Stopping(ms(0)), |_| 0, hangs),
            ("does not stop, though it moves", Phase::Stopping(ms(0)), |now| now, hangs),
        ];
        for (what, phase, moved, expected) in table {
            assert_eq!(watch(phase, moved, 0..0), expected, "{what}");
        }
    }

    #[test]
    fn a_thread_that_hung_before_it_was_told_to_stop_gets_no_more_time_for_it() {
        let told = watch(Phase::Stopping(ms(8_000)), |_| 0, 0..0);
        assert_eq!(told, [(4_500, ThreadVerdict::Name), (9_500, ThreadVerdict::GiveUp)]);
    }

    #[test]
    fn time_in_which_nobody_could_move_is_not_counted() {
        assert_eq!(watch(Phase::Running, |now| if now <= 20_500 { 1_000 } else { now }, 1_500..20_000), []);
        let told = watch(Phase::Running, |_| 1_000, 1_500..20_000);
        assert_eq!(told, [(24_500, ThreadVerdict::Name), (29_500, ThreadVerdict::GiveUp)]);
    }
}
