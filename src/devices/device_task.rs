//! The owner of one device: starts its thread, watches it, ends it, and leaves it behind where it hangs.
//!
//! A thread that hangs in the kernel or in a library cannot be ended. It is named after `NAMED_AFTER`, given up after
//! `GIVEN_UP_AFTER`, and cut off from the feed; the device is tried again by a new thread, which does not touch what the old one
//! hangs on. The `Liveness` bounds how many there may be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tracing::{error, info, warn};

use crate::{
    clock::Mono,
    demand::{Action, Demand, Event},
    feed::{self, Fault, FeedWriter, Health},
    liveness::{Activity, Deadline, GIVEN_UP_AFTER, Heartbeat, Helpers, Liveness, MAX_TURN, Phase, TURN, Verdict},
    media_source::MediaSource,
};

/// The body of a device thread.
pub(super) type Body = Arc<dyn Fn(&FeedWriter, &AtomicBool) -> Result<(), Fault> + Send + Sync>;

/// How often threads are looked at, while there are any.
const LOOK: Duration = Duration::from_millis(500);
/// On the way down, a thread that has not moved for this long is not waited for.
const PATIENCE: Duration = Duration::from_millis(700);

/// Makes a device whose thread does `body`, and the task that keeps it until `stop`.
pub(super) fn spawn(
    name: &'static str,
    ring: usize,
    linger: Duration,
    body: Body,
    stop: watch::Receiver<bool>,
    liveness: &Liveness,
) -> (MediaSource, JoinHandle<()>) {
    let writer = feed::feed(ring);
    writer.set_health(Health::Ok);
    let (on, on_seen) = watch::channel(false);
    let (trouble, trouble_seen) = watch::channel(None);
    let wanted = watch::Sender::new(0);
    let demand = Demand::new(linger);
    let (linger, lingers) = watch::channel(linger);
    let device_task = DeviceTask {
        heartbeat: liveness.register(name, MAX_TURN, Mono::now()),
        liveness: liveness.clone(),
        name,
        body,
        writer: writer.clone(),
        wanted: wanted.subscribe(),
        on,
        trouble,
        demand,
        lingers,
        thread: None,
        left: Vec::new(),
        helpers: Helpers::default(),
        watched: Vec::new(),
        told: None,
    };
    let seen = writer.watch_health();
    (
        MediaSource { writer, wanted, on: on_seen, trouble: trouble_seen, linger, seen },
        tokio::spawn(device_task.run(stop)),
    )
}

/// A running device thread.
struct Running {
    stop: Arc<AtomicBool>,
    ended: oneshot::Receiver<Result<(), Fault>>,
    /// Its own end of the feed.
    writer: FeedWriter,
    activity: Activity,
    deadline: Deadline,
    /// When it was told to stop.
    stopping: Option<Mono>,
}

impl Running {
    fn phase(&self) -> Phase {
        match self.stopping {
            Some(since) => Phase::Stopping(since),
            None if self.activity.seen().turned => Phase::Running,
            None => Phase::Opening(self.activity.begun()),
        }
    }
}

impl Drop for Running {
    /// Whoever forgets a device does not leave it on.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// A thread that was given up.
struct Left {
    activity: Activity,
    why: String,
    since: Mono,
}

/// The owner of one device.
struct DeviceTask {
    heartbeat: Heartbeat,
    liveness: Liveness,
    name: &'static str,
    body: Body,
    writer: FeedWriter,
    wanted: watch::Receiver<usize>,
    on: watch::Sender<bool>,
    trouble: watch::Sender<Option<Arc<str>>>,
    demand: Demand,
    lingers: watch::Receiver<Duration>,
    thread: Option<Running>,
    /// Threads that hang.
    left: Vec<Left>,
    /// Threads that close something for the device's thread, and those of them that are watched.
    helpers: Helpers,
    watched: Vec<(Activity, Deadline)>,
    /// The last fault that was logged: told once, then silence until something changes.
    told: Option<Fault>,
}

impl DeviceTask {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut health = self.writer.watch_health();
        let mut looked = Mono::now();
        loop {
            let now = Mono::now();
            if self.moves(now) {
                self.heartbeat.tick(now);
            }
            let deadline = self.demand.deadline();
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                // Comes first: whatever else happens, the threads are looked at.
                () = wait_until(Some(looked + self.pause())) => {
                    looked = Mono::now();
                    self.check_helpers(looked);
                    match self.check_abandoned_threads().or_else(|| self.check_thread_deadline(looked)) {
                        Some(event) => event,
                        None => continue,
                    }
                }
                ended = wait_end(&mut self.thread) => self.ended(ended),
                changed = self.wanted.changed() => match changed {
                    Ok(()) => Event::Wanted(*self.wanted.borrow_and_update()),
                    Err(_) => break,
                },
                _ = health.changed() => match *health.borrow_and_update() {
                    Health::Ok | Health::Privacy => self.first_frame(),
                    Health::Stalled => Event::Stalled,
                    Health::Starting | Health::Absent => continue,
                },
                () = wait_until(deadline) => Event::Tick,
            };
            self.demand.set_linger(*self.lingers.borrow());
            match self.demand.on(event, Mono::now()) {
                Some(Action::Start) => self.start(),
                Some(Action::Stop) => self.request_stop(),
                None => {}
            }
        }
        self.request_stop();
        self.end().await;
    }

    /// Waits for the thread to end, but not for one that hangs.
    async fn end(&mut self) {
        let asked = Mono::now();
        while let Some(thread) = &self.thread {
            let seen = thread.activity.seen();
            if Mono::now().since(asked.max(seen.moved)) >= PATIENCE {
                warn!("{}: {seen}; it is not waited for", self.name);
                return;
            }
            tokio::select! {
                _ = wait_end(&mut self.thread) => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// How long until threads are looked at again.
    fn pause(&self) -> Duration {
        let idle = self.thread.is_none() && self.left.is_empty() && self.watched.is_empty();
        if idle && self.helpers.running().is_empty() { TURN } else { LOOK }
    }

    /// Whether the device's own thread moves, or is none any more: without that the watchdog is not fed.
    fn moves(&self, now: Mono) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.activity.seen().stuck(now) < GIVEN_UP_AFTER + TURN)
    }

    fn check_thread_deadline(&mut self, now: Mono) -> Option<Event> {
        let name = self.name;
        let thread = self.thread.as_mut()?;
        let seen = thread.activity.seen();
        let phase = thread.phase();
        match thread.deadline.check(phase, seen.moved, now)? {
            Verdict::Name => {
                let asked = if matches!(phase, Phase::Stopping(_)) { ", and was told to stop" } else { "" };
                warn!("{name}: {seen} for {} s{asked}", seconds(seen.stuck(now)));
                self.trouble.send_replace(Some(seen.to_string().into()));
                self.writer.set_health(Health::Stalled);
                None
            }
            Verdict::Moves => {
                info!("{name}: moves again");
                self.trouble.send_replace(None);
                None
            }
            Verdict::GiveUp => Some(self.abandon_thread(now)),
        }
    }

    /// Leaves a thread behind.
    fn abandon_thread(&mut self, now: Mono) -> Event {
        let Some(thread) = self.thread.take() else { return Event::Tick };
        thread.writer.cut_off();
        let seen = thread.activity.seen();
        let why = match thread.phase() {
            Phase::Stopping(_) if seen.stuck(now) < LOOK * 2 => "does not stop, though it moves".to_owned(),
            Phase::Opening(_) if seen.stuck(now) < LOOK * 2 => format!("does not get its device open: {seen}"),
            _ => seen.to_string(),
        };
        let spent = seconds(now.since(seen.moved.min(thread.stopping.unwrap_or(seen.moved))));
        error!("{}: {why} for {spent} s: given up; its thread is left behind", self.name);
        self.liveness.left_behind(thread.activity.clone(), true, now);
        self.left.push(Left { activity: thread.activity.clone(), why: why.clone(), since: now });
        self.on.send_replace(false);
        // That was told just now.
        self.told = Some(Fault::Failed(why.clone()));
        self.fail(Fault::Failed(why));
        Event::Ended { absent: false }
    }

    /// Threads that were given up and have ended after all.
    fn check_abandoned_threads(&mut self) -> Option<Event> {
        let (name, now, before) = (self.name, Mono::now(), self.left.len());
        self.left.retain(|left| {
            let over = left.activity.is_over();
            if over {
                info!(
                    "{name}: the thread that was given up ({}) ended {} s later",
                    left.why,
                    seconds(now.since(left.since))
                );
            }
            !over
        });
        (self.left.len() < before).then_some(Event::Freed)
    }

    /// Threads that close something have the same deadlines; nobody waits for them.
    fn check_helpers(&mut self, now: Mono) {
        for helper in self.helpers.running() {
            let known = self.watched.iter().any(|(watched, _)| watched.is(&helper));
            if !known {
                self.watched.push((helper, Deadline::default()));
            }
        }
        let (name, liveness) = (self.name, &self.liveness);
        self.watched.retain_mut(|(helper, deadline)| {
            let seen = helper.seen();
            if helper.is_over() {
                return false;
            }
            // One that was given up is looked at no more, and so stays in the list until it ends.
            match deadline.check(Phase::Stopping(helper.begun()), seen.moved, now) {
                Some(Verdict::Name) => warn!("{name}: {}: {seen} for {} s", helper.name(), seconds(seen.stuck(now))),
                Some(Verdict::GiveUp) => {
                    error!("{name}: {}: {seen}: given up; its thread is left behind", helper.name());
                    liveness.left_behind(helper.clone(), false, now);
                }
                _ => {}
            }
            true
        });
    }

    fn start(&mut self) {
        let now = Mono::now();
        let activity = Activity::new(self.name, self.helpers.clone(), now);
        let stop = Arc::new(AtomicBool::new(false));
        let (done, ended) = oneshot::channel();
        let writer = self.writer.for_thread();
        self.writer.set_health(match self.told {
            Some(Fault::Absent(_)) => Health::Absent,
            Some(Fault::Failed(_)) => Health::Stalled,
            None => Health::Starting,
        });
        let deadline = Deadline::default();
        let thread =
            Running { stop: Arc::clone(&stop), ended, writer: writer.clone(), activity, deadline, stopping: None };
        if self.liveness.is_full() {
            let told = "too many threads hang; no other is started before one of them ends".to_owned();
            let _ = done.send(Err(Fault::Failed(told)));
        } else {
            self.on.send_replace(true);
            let (body, own) = (Arc::clone(&self.body), thread.activity.clone());
            let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                // The end is told before the activity is over, and also by a panic, which drops `done`.
                let _entered = own.enter();
                let _ = done.send(body(&writer, &stop));
            });
            if let Err(e) = spawned {
                warn!("{}: start its thread: {e}", self.name);
            }
        }
        self.thread = Some(thread);
    }

    /// It works: what went wrong before would be news again.
    fn first_frame(&mut self) -> Event {
        if self.told.take().is_some() {
            info!("{}: back", self.name);
        }
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
        Event::FirstFrame
    }

    fn request_stop(&mut self) {
        if let Some(thread) = &mut self.thread {
            thread.stop.store(true, Ordering::Release);
            thread.stopping.get_or_insert(Mono::now());
        }
    }

    fn ended(&mut self, result: Result<(), Fault>) -> Event {
        self.on.send_replace(false);
        let absent = matches!(result, Err(Fault::Absent(_)));
        match result {
            Ok(()) => {
                self.told = None;
                self.trouble.send_replace(None);
                self.writer.set_health(Health::Ok);
                info!("{}: off", self.name);
            }
            Err(fault) => {
                let fault = self.with_cause(fault);
                self.fail(fault);
            }
        }
        Event::Ended { absent }
    }

    /// A device that is busy, because a thread that hangs has it, is not another program's.
    fn with_cause(&self, fault: Fault) -> Fault {
        match (fault, self.left.last()) {
            (Fault::Failed(what), Some(left)) if !what.contains("still hangs") => {
                Fault::Failed(format!("{what}; an earlier thread still {}", left.why))
            }
            (fault, _) => fault,
        }
    }

    /// Says what went wrong, once.
    fn fail(&mut self, fault: Fault) {
        let absent = matches!(fault, Fault::Absent(_));
        self.trouble.send_replace(Some(fault.to_string().into()));
        self.writer.set_health(if absent { Health::Absent } else { Health::Stalled });
        if self.told.as_ref() != Some(&fault) {
            warn!("{}: {fault}", self.name);
            self.told = Some(fault);
        }
    }
}

/// Whole seconds, for a person.
fn seconds(time: Duration) -> u64 {
    (time.as_millis() as u64 + 500) / 1000
}

/// The end of the device thread; a thread that panicked is a fault like any other.
async fn wait_end(thread: &mut Option<Running>) -> Result<(), Fault> {
    let Some(running) = thread else { return std::future::pending().await };
    let result = (&mut running.ended).await.unwrap_or_else(|_| Err(Fault::Failed("its thread panicked".into())));
    *thread = None;
    result
}

async fn wait_until(deadline: Option<Mono>) {
    match deadline {
        Some(t) => tokio::time::sleep(t.since(Mono::now())).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "device_task_tests.rs"]
mod tests;
