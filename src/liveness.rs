//! Liveness: whether every essential loop of the daemon runs, and how many device threads hang. The watchdog depends
//! on it. Pure except for [`activity`]: time is an argument.

mod activity;
mod deadline;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::clock::Mono;
pub use crate::liveness::{
    activity::{Activity, Closes, Entered, Helpers, Seen, during, helper, still_hangs, tick},
    deadline::{Deadline, GIVEN_UP_AFTER, NAMED_AFTER, OPENING, Phase, ThreadVerdict},
};

/// A loop without other work wakes up this often, and ticks its heartbeat.
pub const TICK: Duration = Duration::from_secs(2);
/// The longest time between two ticks of a loop that waits for nobody, on a busy board.
pub const MAX_TICK: Duration = Duration::from_secs(8);
/// The most device threads that may hang at a time. With the last of them the watchdog is no longer fed.
pub const LEFT_MAX: usize = 3;
/// A device whose thread hangs for this long is released only when the process ends.
pub const LEFT_LONG: Duration = Duration::from_secs(120);

/// All essential loops. Clones share the same loops.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    loops: Arc<Mutex<Vec<Loop>>>,
    left: Arc<Mutex<Vec<Left>>>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    period: Duration,
    last: Arc<AtomicU64>,
}

/// An abandoned thread.
#[derive(Debug)]
struct Left {
    activity: Activity,
    since: Mono,
    /// Whether its device cannot be used until the thread ends.
    holds_device: bool,
}

/// The heartbeat of one loop. An unregistered heartbeat is ignored.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// The loop ran at this time.
    pub fn tick(&self, now: Mono) {
        self.last.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl Liveness {
    /// Registers a loop that promises to run at least once per `period`, from `now` on.
    pub fn register(&self, name: &'static str, period: Duration, now: Mono) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(now.0));
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(Loop { name, period, last: Arc::clone(&last) });
        Heartbeat { last }
    }

    /// Counts an abandoned thread. `holds_device`: whether its device cannot be used until the thread ends.
    pub fn left_behind(&self, activity: Activity, holds_device: bool, now: Mono) {
        activity.leave_behind();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(Left { activity, since: now, holds_device });
    }

    /// Whether no other device thread may be started, because too many hang.
    pub fn is_full(&self) -> bool {
        self.hanging(|left| left.len() >= LEFT_MAX)
    }

    /// Why the watchdog must not be fed: loops that did not run within their period, and device threads that hang for
    /// good.
    pub fn late(&self, now: Mono) -> Vec<String> {
        let last = |l: &Loop| Mono(l.last.load(Ordering::Relaxed));
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let late = loops.iter().filter(|l| now.since(last(l)) > l.period);
        let mut late: Vec<String> = late.map(|l| l.name.to_owned()).collect();
        self.hanging(|left| {
            let full = left.len() >= LEFT_MAX;
            let hopeless = |l: &&Left| full || l.holds_device && now.since(l.since) >= LEFT_LONG;
            late.extend(left.iter().filter(hopeless).map(|l| format!("{}: {}", l.activity.name(), l.activity.seen())));
        });
        late
    }

    /// Looks at abandoned threads that have not ended.
    fn hanging<T>(&self, look: impl FnOnce(&[Left]) -> T) -> T {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|left| !left.activity.is_over());
        look(&left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn every_loop_has_to_tick_within_its_own_period() {
        let liveness = Liveness::default();
        assert!(liveness.late(seconds(99)).is_empty());
        let devices = liveness.register("devices", Duration::from_secs(2), seconds(10));
        let broker = liveness.register("broker", Duration::from_secs(60), seconds(10));
        for (now, expected) in [(10, &[][..]), (12, &[]), (13, &["devices"]), (71, &["devices", "broker"])] {
            assert_eq!(liveness.late(seconds(now)), expected, "at {now} s");
        }
        devices.tick(seconds(71));
        assert_eq!(liveness.late(seconds(72)), ["broker"]);
        broker.tick(seconds(72));
        broker.tick(seconds(11));
        assert!(liveness.late(seconds(73)).is_empty(), "an older tick changes nothing");
        assert!(liveness.late(seconds(0)).is_empty());
        Heartbeat::default().tick(seconds(500));
        assert_eq!(liveness.clone().late(seconds(500)), ["devices", "broker"], "a copy is of the same loops");
    }

    #[test]
    fn threads_that_hang_are_bounded_in_number_and_time() {
        let (liveness, helpers) = (Liveness::default(), Helpers::default());
        let threads = ["video", "encoder", "audio"].map(|name| Activity::new(name, helpers.clone(), seconds(10)));
        liveness.left_behind(threads[0].clone(), true, seconds(20));
        assert!(liveness.late(seconds(139)).is_empty() && !liveness.is_full(), "it may still end");
        assert_eq!(liveness.late(seconds(140)), ["video: its thread does not move"]);
        drop(threads[0].enter());
        assert!(liveness.late(seconds(500)).is_empty(), "it has ended");
        liveness.left_behind(threads[1].clone(), false, seconds(20));
        assert!(liveness.late(seconds(500)).is_empty(), "pictures are coded by another encoder");
        liveness.left_behind(threads[2].clone(), true, seconds(500));
        assert!(!liveness.is_full());
        liveness.left_behind(Activity::new("audio", helpers, seconds(510)), true, seconds(520));
        assert!(liveness.is_full());
        let told = ["encoder: its thread does not move", "audio: its thread does not move"];
        assert_eq!(liveness.late(seconds(521)), [told[0], told[1], told[1]]);
    }
}
