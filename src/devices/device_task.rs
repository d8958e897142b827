//! The owner of one device: starts its thread, watches it, ends it, and abandons it if it hangs.
//!
//! A thread that hangs in the kernel or in a library cannot be ended. It is named in the log after `NAMED_AFTER`.
//! After `GIVEN_UP_AFTER` it is abandoned and cut off from the feed, and a new thread tries the device again without
//! touching what the old one hangs on. `Liveness` limits how many abandoned threads there may be.

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

use super::device_thread::{AbandonedThread, LOOK, RunningThread, reason, seconds, wait_end};
use crate::{
    clock::Mono,
    demand::{Action, Demand, DemandEvent},
    feed::{self, Fault, FeedWriter, Health},
    gpio::DeviceLamp,
    liveness::{
        Activity, Deadline, GIVEN_UP_AFTER, Heartbeat, Helpers, Liveness, MAX_TICK, Phase, TICK, ThreadVerdict,
    },
    media_source::MediaSource,
};

/// The body of a device thread.
pub(super) type Body = Arc<dyn Fn(&FeedWriter, &AtomicBool) -> Result<(), Fault> + Send + Sync>;

/// At shutdown, a thread that has not moved for this long is not waited for.
const PATIENCE: Duration = Duration::from_millis(700);

/// A device: its name in the log, and its lamp.
pub(super) struct DeviceLabel {
    pub(super) name: &'static str,
    pub(super) lamp: DeviceLamp,
}

/// Makes a media source whose thread runs `body`, and the task that owns it until `stop`.
pub(super) fn spawn(
    label: DeviceLabel,
    ring: usize,
    linger: Duration,
    body: Body,
    stop: watch::Receiver<bool>,
    privacy: watch::Receiver<bool>,
    liveness: &Liveness,
) -> (MediaSource, JoinHandle<()>) {
    let DeviceLabel { name, lamp } = label;
    let writer = feed::feed(ring);
    writer.set_stopped(*privacy.borrow(), Health::Ok);
    let (on, on_seen) = watch::channel(false);
    let (trouble, trouble_seen) = watch::channel(None);
    let wanted = watch::Sender::new(0);
    let demand = Demand::new(linger);
    let (linger, lingers) = watch::channel(linger);
    let device_task = DeviceTask {
        heartbeat: liveness.register(name, MAX_TICK, Mono::now()),
        liveness: liveness.clone(),
        name,
        lamp,
        body,
        writer: writer.clone(),
        wanted: wanted.subscribe(),
        on,
        trouble,
        demand,
        lingers,
        privacy,
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

/// The owner of one device.
struct DeviceTask {
    heartbeat: Heartbeat,
    liveness: Liveness,
    name: &'static str,
    /// Lit from just before the device is opened until it is certainly closed.
    lamp: DeviceLamp,
    body: Body,
    writer: FeedWriter,
    wanted: watch::Receiver<usize>,
    on: watch::Sender<bool>,
    trouble: watch::Sender<Option<Arc<str>>>,
    demand: Demand,
    lingers: watch::Receiver<Duration>,
    /// Whether the privacy switch is on.
    privacy: watch::Receiver<bool>,
    thread: Option<RunningThread>,
    /// Abandoned threads.
    left: Vec<AbandonedThread>,
    /// Helper threads that close something for the device's thread, and the deadlines of those that are watched.
    helpers: Helpers,
    watched: Vec<(Activity, Deadline)>,
    /// The last fault in the log. It is logged once, and again only after a change.
    told: Option<Fault>,
}

impl DeviceTask {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut health = self.writer.watch_health();
        let mut looked = Mono::now();
        // Also at the start: the switch may be on since before it.
        let mut privacy = self.privacy.clone();
        privacy.mark_changed();
        loop {
            self.show();
            let now = Mono::now();
            if self.moves(now) {
                self.heartbeat.tick(now);
            }
            let deadline = self.demand.deadline();
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Ok(()) = privacy.changed() => {
                    let is_on = *privacy.borrow_and_update();
                    self.privacy_changed(is_on)
                }
                // First in the order: threads are checked whatever else happens.
                () = wait_until(Some(looked + self.pause())) => {
                    looked = Mono::now();
                    self.check_helpers(looked);
                    match self.check_abandoned_threads().or_else(|| self.check_for_hang(looked)) {
                        Some(event) => event,
                        None => continue,
                    }
                }
                (result, refused) = wait_end(&mut self.thread) => self.ended(result, refused),
                changed = self.wanted.changed() => match changed {
                    Ok(()) => DemandEvent::Wanted(*self.wanted.borrow_and_update()),
                    Err(_) => break,
                },
                _ = health.changed() => match *health.borrow_and_update() {
                    // Nothing that the device did.
                    _ if self.writer.is_stopped() => continue,
                    Health::Ok | Health::Privacy => self.first_frame(),
                    Health::Stalled => DemandEvent::Stalled,
                    Health::Starting | Health::Absent => continue,
                },
                () = wait_until(deadline) => DemandEvent::Tick,
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
        self.show();
    }

    /// Sets the lamp. An abandoned thread may still have the device open.
    fn show(&self) {
        self.lamp.set(*self.on.borrow() || !self.left.is_empty());
    }

    /// Waits for the thread to end, unless it hangs.
    async fn end(&mut self) {
        let asked = Mono::now();
        while let Some(thread) = &self.thread {
            let seen = thread.activity.seen();
            if Mono::now().since(asked.max(seen.moved)) >= PATIENCE {
                warn!("{}: {seen}; it is not waited for", self.name);
                return;
            }
            tokio::select! {
                _ = wait_end(&mut self.thread) => {
                    self.on.send_replace(false);
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// The time until the next check.
    fn pause(&self) -> Duration {
        let idle = self.thread.is_none() && self.left.is_empty() && self.watched.is_empty();
        if idle && self.helpers.running().is_empty() { TICK } else { LOOK }
    }

    /// Whether the device's thread moves, or has ended. Without that the watchdog is not fed.
    fn moves(&self, now: Mono) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.activity.seen().stuck(now) < GIVEN_UP_AFTER + TICK)
    }

    fn check_for_hang(&mut self, now: Mono) -> Option<DemandEvent> {
        let name = self.name;
        let thread = self.thread.as_mut()?;
        let seen = thread.activity.seen();
        let phase = thread.phase();
        match thread.deadline.check(phase, seen.moved, now)? {
            ThreadVerdict::Name => {
                let asked = if matches!(phase, Phase::Stopping(_)) { ", and was told to stop" } else { "" };
                warn!("{name}: {seen} for {} s{asked}", seconds(seen.stuck(now)));
                self.trouble.send_replace(Some(seen.to_string().into()));
                self.writer.set_health(Health::Stalled);
                None
            }
            ThreadVerdict::Moves => {
                info!("{name}: moves again");
                self.trouble.send_replace(None);
                None
            }
            ThreadVerdict::GiveUp => Some(self.abandon_thread(now)),
        }
    }

    /// Abandons the thread.
    fn abandon_thread(&mut self, now: Mono) -> DemandEvent {
        let Some(thread) = self.thread.take() else { return DemandEvent::Tick };
        thread.writer.cut_off();
        let seen = thread.activity.seen();
        let (why, told) = reason(thread.phase(), &seen, now);
        error!("{}: {told}: thread abandoned", self.name);
        self.liveness.left_behind(thread.activity.clone(), true, now);
        self.left.push(AbandonedThread { activity: thread.activity.clone(), why: why.clone(), since: now });
        self.on.send_replace(false);
        // That was logged just now.
        self.told = Some(Fault::Failed(why.clone()));
        self.fail(Fault::Failed(why));
        DemandEvent::Ended { absent: false }
    }

    /// Removes abandoned threads that have ended after all.
    fn check_abandoned_threads(&mut self) -> Option<DemandEvent> {
        let (name, now, before) = (self.name, Mono::now(), self.left.len());
        self.left.retain(|left| {
            let over = left.activity.is_over();
            if over {
                info!("{name}: the abandoned thread ({}) ended {} s later", left.why, seconds(now.since(left.since)));
            }
            !over
        });
        (self.left.len() < before).then_some(DemandEvent::Freed)
    }

    /// Helper threads have the same deadlines; nobody waits for them.
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
            // An abandoned helper is no longer checked; it stays in the list until it ends.
            match deadline.check(Phase::Stopping(helper.begun()), seen.moved, now) {
                Some(ThreadVerdict::Name) => {
                    warn!("{name}: {}: {seen} for {} s", helper.name(), seconds(seen.stuck(now)))
                }
                Some(ThreadVerdict::GiveUp) => {
                    error!("{name}: {}: {seen}: thread abandoned", helper.name());
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
        self.writer.reset_figures();
        self.writer.set_health(match self.told {
            Some(Fault::Absent(_)) => Health::Absent,
            Some(Fault::Failed(_)) => Health::Stalled,
            None => Health::Starting,
        });
        let deadline = Deadline::default();
        let thread = RunningThread {
            stop: Arc::clone(&stop),
            ended,
            writer: writer.clone(),
            activity,
            deadline,
            stopping: None,
        };
        if self.liveness.is_full() {
            let told = "too many threads hang; no other is started before one of them ends".to_owned();
            let _ = done.send(Err(Fault::Failed(told)));
        } else {
            self.on.send_replace(true);
            self.show();
            let (body, own, lamp) = (Arc::clone(&self.body), thread.activity.clone(), self.lamp.clone());
            let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                // The end is reported before the activity is over, also after a panic, which drops `done`.
                let _entered = own.enter();
                lamp.wait_lit();
                let _ = done.send(body(&writer, &stop));
            });
            if let Err(e) = spawned {
                warn!("{}: start its thread: {e}", self.name);
            }
        }
        self.thread = Some(thread);
    }

    /// The privacy switch was set or lifted. No frame is sent from here on, whether or not the thread stops.
    fn privacy_changed(&self, is_on: bool) -> DemandEvent {
        if is_on != self.writer.is_stopped() {
            info!("{}: {}", self.name, if is_on { "stopped by the privacy switch" } else { "privacy switch lifted" });
            self.writer.set_stopped(is_on, Health::Ok);
        }
        DemandEvent::Stopped(is_on)
    }

    /// The device works: later faults are logged again.
    fn first_frame(&mut self) -> DemandEvent {
        if self.told.take().is_some() {
            info!("{}: back", self.name);
        }
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
        DemandEvent::FirstFrame
    }

    fn request_stop(&mut self) {
        if let Some(thread) = &mut self.thread {
            thread.stop.store(true, Ordering::Release);
            thread.stopping.get_or_insert(Mono::now());
        }
    }

    /// The thread has ended. `refused`: it was refused a device on which an abandoned thread hangs.
    fn ended(&mut self, result: Result<(), Fault>, refused: bool) -> DemandEvent {
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
                let fault = if refused { fault } else { self.with_cause(fault) };
                self.fail(fault);
            }
        }
        DemandEvent::Ended { absent }
    }

    /// If an abandoned thread keeps the device busy, then no other program does.
    fn with_cause(&self, fault: Fault) -> Fault {
        match (fault, self.left.last()) {
            (Fault::Failed(what), Some(left)) => Fault::Failed(format!("{what}; an earlier thread still {}", left.why)),
            (fault, _) => fault,
        }
    }

    /// Logs a fault once.
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

async fn wait_until(deadline: Option<Mono>) {
    match deadline {
        Some(t) => tokio::time::sleep(t.since(Mono::now())).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "device_task_tests.rs"]
mod tests;
