//! The thread of a device as its owner sees it: one that runs, and one that was abandoned.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    clock::Mono,
    feed::{Fault, FeedWriter},
    liveness::{Activity, Deadline, Phase, Seen},
};

/// How often running threads are checked.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// A running device thread.
pub(super) struct RunningThread {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) ended: oneshot::Receiver<Result<(), Fault>>,
    /// Its own end of the feed.
    pub(super) writer: FeedWriter,
    pub(super) activity: Activity,
    pub(super) deadline: Deadline,
    /// When it was asked to stop.
    pub(super) stopping: Option<Mono>,
}

impl RunningThread {
    /// What it does now.
    pub(super) fn phase(&self) -> Phase {
        match self.stopping {
            Some(since) => Phase::Stopping(since),
            None if self.activity.seen().has_ticked => Phase::Running,
            None => Phase::Opening(self.activity.begun()),
        }
    }
}

impl Drop for RunningThread {
    /// A task that is dropped does not leave its device open.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// An abandoned thread.
pub(super) struct AbandonedThread {
    pub(super) activity: Activity,
    pub(super) why: String,
    pub(super) since: Mono,
}

/// Waits for the thread to end. Returns its result, and whether it was refused a device on which an abandoned thread
/// hangs. Such a fault names its cause itself. A panic of the thread is a fault like any other.
pub(super) async fn wait_end(thread: &mut Option<RunningThread>) -> (Result<(), Fault>, bool) {
    let Some(running) = thread else { return std::future::pending().await };
    let result = (&mut running.ended).await.unwrap_or_else(|_| Err(Fault::Failed("its thread panicked".into())));
    let refused = running.activity.was_refused();
    *thread = None;
    (result, refused)
}

/// Why a thread is abandoned: what it still does, and the sentence for the log.
pub(super) fn reason(phase: Phase, seen: &Seen, now: Mono) -> (String, String) {
    let moves = seen.stuck(now) < LOOK * 2;
    if let (Phase::Opening(begun), true) = (phase, moves) {
        let told = format!("could not open its device in {} s ({seen})", seconds(now.since(begun)));
        return (format!("does not open its device ({seen})"), told);
    }
    let (why, since) = match phase {
        Phase::Stopping(asked) if moves => ("does not stop, though it moves".to_owned(), asked.min(seen.moved)),
        Phase::Stopping(asked) => (seen.to_string(), asked.min(seen.moved)),
        Phase::Opening(_) | Phase::Running => (seen.to_string(), seen.moved),
    };
    let told = format!("{why} for {} s", seconds(now.since(since)));
    (why, told)
}

/// Whole seconds, for a person.
pub(super) fn seconds(time: Duration) -> u64 {
    (time.as_millis() as u64 + 500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_why_a_thread_is_abandoned_and_after_how_long() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        for (phase, moved, told) in [
            (Phase::Running, 50, "hangs in open on /dev/video0 for 10 s"),
            (Phase::Opening(at(30)), 50, "hangs in open on /dev/video0 for 10 s"),
            (Phase::Opening(at(30)), 60, "could not open its device in 30 s (hangs in open on /dev/video0)"),
            (Phase::Stopping(at(50)), 60, "does not stop, though it moves for 10 s"),
            (Phase::Stopping(at(50)), 58, "hangs in open on /dev/video0 for 10 s"),
        ] {
            let operation = Some("open on /dev/video0".to_owned());
            let seen = Seen { moved: at(moved), operation, has_ticked: false };
            assert_eq!(reason(phase, &seen, at(60)).1, told, "{phase:?}");
        }
    }
}
