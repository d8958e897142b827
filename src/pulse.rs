//! Whether every loop that the daemon cannot do without still turns: what the watchdog wants to know. Pure: time is an argument.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Mono;

/// A loop that nothing else wakes turns so often.
pub const TURN: Duration = Duration::from_secs(5);
/// A loop that waits for nobody may take so long for a turn, on a board that is busy.
pub const TURNING: Duration = Duration::from_secs(15);

/// All loops. Copies are of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    loops: Arc<Mutex<Vec<Loop>>>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    period: Duration,
    last: Arc<AtomicU64>,
}

/// One loop's end of the pulse. One that was not registered is nobody's.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    last: Arc<AtomicU64>,
}

impl Beat {
    /// The loop turned.
    pub fn tick(&self, now: Mono) {
        self.last.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Adds a loop that promises to turn at least once in every `period`, from `now` on.
    pub fn register(&self, name: &'static str, period: Duration, now: Mono) -> Beat {
        let last = Arc::new(AtomicU64::new(now.0));
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(Loop { name, period, last: Arc::clone(&last) });
        Beat { last }
    }

    /// The loops that did not turn within their period.
    pub fn late(&self, now: Mono) -> Vec<&'static str> {
        let last = |l: &Loop| Mono(l.last.load(Ordering::Relaxed));
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().filter(|l| now.since(last(l)) > l.period).map(|l| l.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn every_loop_has_to_turn_within_its_own_period() {
        let pulse = Pulse::default();
        assert!(pulse.late(seconds(99)).is_empty());
        let studio = pulse.register("studio", Duration::from_secs(2), seconds(10));
        let broker = pulse.register("broker", Duration::from_secs(60), seconds(10));
        for (now, expected) in [(10, &[][..]), (12, &[]), (13, &["studio"]), (71, &["studio", "broker"])] {
            assert_eq!(pulse.late(seconds(now)), expected, "at {now} s");
        }
        studio.tick(seconds(71));
        assert_eq!(pulse.late(seconds(72)), ["broker"]);
        broker.tick(seconds(72));
        broker.tick(seconds(11));
        assert!(pulse.late(seconds(73)).is_empty(), "an older tick takes nothing back");
        assert!(pulse.late(seconds(0)).is_empty());
        Beat::default().tick(seconds(500));
        assert_eq!(pulse.clone().late(seconds(500)), ["studio", "broker"], "a copy is of the same loops");
    }
}
