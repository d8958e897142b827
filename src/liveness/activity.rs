//! What a device thread is doing, as other threads see it.
//!
//! A thread cannot report that it hangs. Its watcher has to see when it last moved, and in which system call or
//! library call it is. Device operations mark themselves with [`during`], loops with [`tick`]. Both find the thread's
//! [`Activity`] in a thread-local, so that no code in between passes it on. On a thread without an activity both do
//! nothing.

use std::{
    cell::RefCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use crate::clock::Mono;

/// Abandoned threads that have not ended: their devices must not be opened again.
static LEFT_BEHIND: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

thread_local!(static CURRENT: RefCell<Option<Activity>> = const { RefCell::new(None) });

/// The activity of one thread. Clones share it.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Shared>);

/// Threads that a device thread started to close something for it.
#[derive(Debug, Clone, Default)]
pub struct Helpers(Arc<Mutex<Vec<Activity>>>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    begun: Mono,
    helpers: Helpers,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When it last began or ended an operation, or its loop ran.
    moved: Mono,
    operation: Option<Operation>,
    /// Whether its loop has run. Before that, the device is being opened.
    has_ticked: bool,
    /// Whether a device was refused to it, because an abandoned thread still hangs on that device.
    refused: bool,
    over: bool,
}

/// An operation that may hang.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operation {
    what: &'static str,
    on: Arc<str>,
}

/// A snapshot of a thread's activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it last moved.
    pub moved: Mono,
    /// The marked operation that it is in, such as `VIDIOC_STREAMON on /dev/video0`; `None` if it is in none.
    pub operation: Option<String>,
    /// Whether its loop has run at least once.
    pub has_ticked: bool,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.what, self.on)
    }
}

impl fmt::Display for Seen {
    /// Where it hangs, for a sentence that begins with the thread's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            Some(operation) => write!(f, "hangs in {operation}"),
            None => f.write_str("its thread does not move"),
        }
    }
}

impl Seen {
    /// How long it has not moved.
    pub fn stuck(&self, now: Mono) -> Duration {
        now.since(self.moved)
    }
}

impl Activity {
    /// The activity of a thread that is about to start.
    pub fn new(name: &'static str, helpers: Helpers, now: Mono) -> Self {
        let state = State { moved: now, operation: None, has_ticked: false, refused: false, over: false };
        Self(Arc::new(Shared { name, begun: now, helpers, state: Mutex::new(state) }))
    }

    /// The name of the thread.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Whether both belong to the same thread.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// When it began.
    pub fn begun(&self) -> Mono {
        self.0.begun
    }

    /// Makes this the activity of the calling thread. Dropping the guard ends it.
    pub fn enter(&self) -> Entered {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        Entered(self.clone())
    }

    /// A snapshot of the thread's activity.
    pub fn seen(&self) -> Seen {
        let state = self.lock();
        let operation = state.operation.as_ref().map(ToString::to_string);
        Seen { moved: state.moved, operation, has_ticked: state.has_ticked }
    }

    /// Whether [`still_hangs`] refused a device to this thread.
    pub fn was_refused(&self) -> bool {
        self.lock().refused
    }

    /// Whether the thread has ended.
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Marks the thread as abandoned. The device it hangs on is not opened again before the thread has ended.
    pub fn leave_behind(&self) {
        let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|other| other.strong_count() > 0);
        left.push(Arc::downgrade(&self.0));
    }

    fn begin(&self, what: &'static str, on: &Arc<str>) {
        let mut state = self.lock();
        state.moved = Mono::now();
        state.operation = Some(Operation { what, on: Arc::clone(on) });
    }

    fn end(&self) {
        let mut state = self.lock();
        state.moved = Mono::now();
        state.operation = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in which a thread has an activity.
#[derive(Debug)]
pub struct Entered(Activity);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| *current.borrow_mut() = None);
        let mut state = self.0.lock();
        (state.operation, state.over) = (None, true);
    }
}

impl Helpers {
    /// The threads that have not ended.
    pub fn running(&self) -> Vec<Activity> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|helper| !helper.is_over());
        all.clone()
    }
}

/// The activity of a thread that helps the calling one. The watcher of this thread watches that one, too.
pub fn helper(name: &'static str) -> Activity {
    let helpers = CURRENT.with(|current| current.borrow().as_ref().map(|own| own.0.helpers.clone()));
    let helpers = helpers.unwrap_or_default();
    let helper = Activity::new(name, Helpers::default(), Mono::now());
    helpers.0.lock().unwrap_or_else(PoisonError::into_inner).push(helper.clone());
    helper
}

/// The loop of the calling thread ran.
pub fn tick() {
    CURRENT.with(|current| {
        if let Some(own) = &*current.borrow() {
            let mut state = own.lock();
            (state.moved, state.has_ticked, state.operation) = (Mono::now(), true, None);
        }
    });
}

/// Runs an operation that may hang, and marks it as what the calling thread is doing. Inside another operation it
/// replaces that mark.
pub fn during<T>(what: &'static str, on: &Arc<str>, work: impl FnOnce() -> T) -> T {
    struct Guard(Option<Activity>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.iter().for_each(Activity::end);
        }
    }
    let own = CURRENT.with(|current| current.borrow().clone());
    own.iter().for_each(|own| own.begin(what, on));
    let _guard = Guard(own);
    work()
}

/// Why a device must not be opened: an abandoned thread still hangs on it. The activity of the calling thread then says
/// that it [was refused](Activity::was_refused) a device.
pub fn still_hangs(on: &str) -> Option<String> {
    let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|thread| thread.strong_count() > 0);
    let why = left.iter().filter_map(Weak::upgrade).find_map(|thread| {
        let state = thread.state.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = state.operation.as_ref().filter(|operation| !state.over && &*operation.on == on)?;
        Some(format!("an earlier use of it still hangs in {}", operation.what))
    });
    drop(left);
    if why.is_some() {
        CURRENT.with(|current| current.borrow().iter().for_each(|own| own.lock().refused = true));
    }
    why
}

/// A value whose drop is an operation that may hang.
#[derive(Debug)]
pub struct Closes<T> {
    /// `None` only while it is being dropped.
    inner: Option<T>,
    what: &'static str,
    on: Arc<str>,
}

impl<T> Closes<T> {
    /// Marks the drop of `inner` as the operation `what` on `on`.
    pub fn new(inner: T, what: &'static str, on: Arc<str>) -> Self {
        Self { inner: Some(inner), what, on }
    }

    /// The value.
    pub fn on(&self) -> &Arc<str> {
        &self.on
    }
}

impl<T> Deref for Closes<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect("there until it is dropped")
    }
}

impl<T> DerefMut for Closes<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect("there until it is dropped")
    }
}

impl<T> Drop for Closes<T> {
    fn drop(&mut self) {
        during(self.what, &self.on, || drop(self.inner.take()));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn what_a_thread_hangs_in_is_seen_from_outside_and_no_longer_once_it_moves() {
        let activity = Activity::new("video", Helpers::default(), Mono::now());
        let (at, reached) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let own = activity.clone();
        let thread = thread::spawn(move || {
            let _entered = own.enter();
            during("VIDIOC_STREAMON", &"/dev/video-a".into(), || {
                at.send(()).unwrap();
                gate.recv().unwrap();
            });
            at.send(()).unwrap();
            gate.recv().unwrap();
            let closes = Closes::new(gate, "close", "/dev/video-a".into());
            tick();
            closes.recv().unwrap();
        });
        reached.recv().unwrap();
        let seen = activity.seen();
        assert_eq!(seen.to_string(), "hangs in VIDIOC_STREAMON on /dev/video-a");
        assert!(!seen.has_ticked && !activity.is_over());
        assert_eq!(still_hangs("/dev/video-a"), None, "it has not been given up");
        activity.leave_behind();
        let told = "an earlier use of it still hangs in VIDIOC_STREAMON";
        assert_eq!(still_hangs("/dev/video-a").as_deref(), Some(told));
        assert_eq!(still_hangs("/dev/video-b"), None);
        go.send(()).unwrap();
        reached.recv().unwrap();
        let later = activity.seen();
        assert_eq!(later.to_string(), "its thread does not move");
        assert!(later.moved > seen.moved);
        assert_eq!(still_hangs("/dev/video-a"), None, "it got out of it");
        go.send(()).unwrap();
        go.send(()).unwrap();
        thread.join().unwrap();
        assert!(activity.is_over() && activity.seen().has_ticked);
    }

    #[test]
    fn a_panic_ends_operation_and_activity() {
        let activity = Activity::new("video", Helpers::default(), Mono::now());
        let own = activity.clone();
        let thread = thread::spawn(move || {
            let _entered = own.enter();
            during("open", &"/dev/video-c".into(), || panic!("of this test"))
        });
        assert!(thread.join().is_err());
        assert!(activity.is_over() && activity.seen().operation.is_none());
    }

    #[test]
    fn helpers_are_known_to_whoever_watches_the_thread_they_help() {
        let helpers = Helpers::default();
        let activity = Activity::new("video", helpers.clone(), Mono::now());
        let own = thread::spawn(move || {
            let _entered = activity.enter();
            helper("encoder")
        });
        let helper = own.join().unwrap();
        assert_eq!(helpers.running().iter().map(Activity::name).collect::<Vec<_>>(), ["encoder"]);
        drop(helper.enter());
        assert!(helpers.running().is_empty());
    }

    #[test]
    fn without_an_activity_nothing_is_marked() {
        tick();
        assert_eq!(during("open", &"/dev/video-d".into(), || 7), 7);
        assert!(!helper("encoder").is_over());
    }
}
