//! The thread of a device as its owner sees it: one that runs, and one that was abandoned.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;

use crate::{
    clock::Mono,
    feed::{Fault, FeedWriter},
    liveness::{Activity, Deadline, Phase},
};

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
