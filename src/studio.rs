//! Switches camera and microphone on and off. One task per device; it alone starts and ends the device's thread.

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
use tracing::{info, warn};

use crate::{
    clock::Mono,
    config,
    demand::{Action, Demand, Event},
    feed::{self, Fault, Health, Writer},
    protocol::MediaHealth,
    pulse::{Beat, Pulse, TURN, TURNING},
    stage::Stage,
};

/// The body of a device thread.
type Body = Arc<dyn Fn(&Writer, &AtomicBool) -> Result<(), Fault> + Send + Sync>;

/// Camera and microphone.
#[derive(Debug)]
pub struct Studio {
    /// The picture; `None` where it is switched off in the config.
    pub video: Option<Stage>,
    /// The sound; `None` where it is switched off in the config.
    pub audio: Option<Stage>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Studio {
    /// Makes both stages; nothing is opened before somebody asks.
    pub fn new(video: &config::Video, audio: &config::Audio, pulse: &Pulse) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = Vec::new();
        let mut stage = |name, ring, linger, body: Body| {
            let (stage, task) =
                Stage::new(name, ring, linger, body, stop.subscribe(), pulse.register(name, TURNING, Mono::now()));
            tasks.push(task);
            stage
        };
        let (v, a) = (video.clone(), audio.clone());
        let video = (video.source != config::VideoSource::Off).then(|| {
            let body: Body = Arc::new(move |out, stop| crate::video::run(&v, out, stop));
            stage("video", feed::VIDEO_RING, video.linger, body)
        });
        let audio = (audio.source != config::AudioSource::Off).then(|| {
            let body: Body = Arc::new(move |out, stop| crate::audio::run(&a, out, stop));
            stage("audio", feed::AUDIO_RING, audio.linger, body)
        });
        Self { video, audio, tasks, stop }
    }

    /// How picture and sound are doing now.
    pub fn health(&self) -> MediaHealth {
        let of = |stage: &Option<Stage>| stage.as_ref().map_or(Health::Absent, |s| s.writer.health());
        MediaHealth { video: of(&self.video), audio: of(&self.audio) }
    }

    /// Ends both devices and waits until their threads have ended.
    pub async fn close(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

impl Stage {
    fn new(
        name: &'static str,
        ring: usize,
        linger: Duration,
        body: Body,
        stop: watch::Receiver<bool>,
        beat: Beat,
    ) -> (Self, JoinHandle<()>) {
        let writer = feed::feed(ring);
        writer.set_health(Health::Ok);
        let (on, on_seen) = watch::channel(false);
        let wanted = watch::Sender::new(0);
        let demand = Demand::new(linger);
        let (linger, lingers) = watch::channel(linger);
        let keeper = Keeper {
            beat,
            name,
            body,
            writer: writer.clone(),
            wanted: wanted.subscribe(),
            on,
            demand,
            lingers,
            thread: None,
            told: None,
        };
        (Self { writer, wanted, on: on_seen, linger }, tokio::spawn(keeper.run(stop)))
    }
}

/// A running device thread.
struct Running {
    stop: Arc<AtomicBool>,
    ended: oneshot::Receiver<Result<(), Fault>>,
}

impl Drop for Running {
    /// Whoever forgets a device does not leave it on.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// The owner of one device.
struct Keeper {
    beat: Beat,
    name: &'static str,
    body: Body,
    writer: Writer,
    wanted: watch::Receiver<usize>,
    on: watch::Sender<bool>,
    demand: Demand,
    lingers: watch::Receiver<Duration>,
    thread: Option<Running>,
    /// The last fault that was logged: told once, then silence until something changes.
    told: Option<Fault>,
}

impl Keeper {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut health = self.writer.watch_health();
        loop {
            self.beat.tick(Mono::now());
            let deadline = self.demand.deadline();
            let event = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                ended = wait_end(&mut self.thread) => self.ended(ended),
                changed = self.wanted.changed() => match changed {
                    Ok(()) => Event::Wanted(*self.wanted.borrow_and_update()),
                    Err(_) => break,
                },
                _ = health.changed() => match *health.borrow_and_update() {
                    Health::Ok | Health::Privacy => self.first_frame(),
                    _ => continue,
                },
                () = wait_until(deadline) => Event::Tick,
                () = tokio::time::sleep(TURN) => continue,
            };
            self.demand.set_linger(*self.lingers.borrow());
            match self.demand.on(event, Mono::now()) {
                Some(Action::Start) => self.start(),
                Some(Action::Stop) => self.tell_stop(),
                None => {}
            }
        }
        self.tell_stop();
        if self.thread.is_some() {
            let _ = wait_end(&mut self.thread).await;
        }
    }

    fn start(&mut self) {
        let stop = Arc::new(AtomicBool::new(false));
        let (done, ended) = oneshot::channel();
        let (body, writer, flag) = (Arc::clone(&self.body), self.writer.clone(), Arc::clone(&stop));
        self.writer.set_health(match self.told {
            Some(Fault::Absent(_)) => Health::Absent,
            Some(Fault::Failed(_)) => Health::Stalled,
            None => Health::Starting,
        });
        self.on.send_replace(true);
        let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            let result = body(&writer, &flag);
            let _ = done.send(result);
        });
        match spawned {
            Ok(_) => {}
            Err(e) => warn!("{}: start its thread: {e}", self.name),
        }
        self.thread = Some(Running { stop, ended });
    }

    /// It works: what went wrong before would be news again.
    fn first_frame(&mut self) -> Event {
        if self.told.take().is_some() {
            info!("{}: back", self.name);
        }
        Event::FirstFrame
    }

    fn tell_stop(&mut self) {
        if let Some(thread) = &self.thread {
            thread.stop.store(true, Ordering::Release);
        }
    }

    fn ended(&mut self, result: Result<(), Fault>) -> Event {
        self.on.send_replace(false);
        let absent = matches!(result, Err(Fault::Absent(_)));
        match result {
            Ok(()) => {
                self.told = None;
                self.writer.set_health(Health::Ok);
                info!("{}: off", self.name);
            }
            Err(fault) => {
                self.writer.set_health(if absent { Health::Absent } else { Health::Stalled });
                if self.told.as_ref() != Some(&fault) {
                    warn!("{}: {fault}", self.name);
                    self.told = Some(fault);
                }
            }
        }
        Event::Ended { absent }
    }
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
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn a_device_runs_only_while_leased() {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let body: Body = Arc::new(move |out, stop| {
            counted.fetch_add(1, Ordering::SeqCst);
            out.set_health(Health::Ok);
            while !stop.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let stop = watch::Sender::new(false);
        let (stage, task) = Stage::new("test", 4, Duration::ZERO, body, stop.subscribe(), Beat::default());
        assert!(!stage.is_on());
        let mut on = stage.on.clone();
        for round in 1..=3 {
            let (one, two) = (stage.lease(), stage.lease());
            on.wait_for(|on| *on).await.unwrap();
            drop(one);
            assert!(stage.is_on());
            drop(two);
            on.wait_for(|on| !*on).await.unwrap();
            assert_eq!(starts.load(Ordering::SeqCst), round);
        }
        let _held = stage.lease();
        on.wait_for(|on| *on).await.unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_device_whose_owner_is_gone_goes_off() {
        let (tell, mut off) = tokio::sync::mpsc::unbounded_channel();
        let body: Body = Arc::new(move |_, stop| {
            while !stop.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            let _ = tell.send(());
            Ok(())
        });
        let stop = watch::Sender::new(false);
        let (stage, task) = Stage::new("test", 4, Duration::ZERO, body, stop.subscribe(), Beat::default());
        let _lease = stage.lease();
        stage.on.clone().wait_for(|on| *on).await.unwrap();
        task.abort();
        off.recv().await.unwrap();
    }

    #[tokio::test]
    async fn a_device_that_is_tried_again_is_called_what_it_was_until_it_works() {
        for (fault, expected) in
            [(Fault::Absent("unplugged".into()), Health::Absent), (Fault::Failed("no picture".into()), Health::Stalled)]
        {
            let (tell, mut seen) = tokio::sync::mpsc::unbounded_channel();
            let body: Body = Arc::new(move |out, _| {
                let _ = tell.send(out.health());
                Err(fault.clone())
            });
            let stop = watch::Sender::new(false);
            let (stage, _task) = Stage::new("test", 4, Duration::ZERO, body, stop.subscribe(), Beat::default());
            let _lease = stage.lease();
            assert_eq!(seen.recv().await, Some(Health::Starting));
            assert_eq!(seen.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_panicking_device_is_a_fault_and_is_started_again() {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let body: Body = Arc::new(move |out, stop| {
            assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first start panics");
            out.set_health(Health::Ok);
            while !stop.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let stop = watch::Sender::new(false);
        let (stage, _task) = Stage::new("test", 4, Duration::ZERO, body, stop.subscribe(), Beat::default());
        let _lease = stage.lease();
        let mut health = stage.health();
        health.wait_for(|h| *h == Health::Stalled).await.unwrap();
        health.wait_for(|h| *h == Health::Ok).await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }
}
