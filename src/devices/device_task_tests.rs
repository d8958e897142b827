//! A device's life with bodies that end, fail, panic and hang.

use std::sync::{atomic::AtomicUsize, mpsc};

use super::*;
use crate::{
    clock::Mono,
    feed::{AccessUnit, Frame},
    gpio::{LampHandle, lamp::LampDevice},
    liveness::{self, LEFT_MAX},
};

/// A camera whose lamp is one of these.
fn lit_by(lamps: &LampHandle) -> DeviceLabel {
    DeviceLabel { name: "video", lamp: lamps.of_device(LampDevice::Camera) }
}

/// A device without a lamp.
fn unlit(name: &'static str) -> DeviceLabel {
    DeviceLabel { name, lamp: DeviceLamp::default() }
}

/// The privacy switch of a board on which nobody uses it.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}

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
    let (source, task) = spawn(unlit("test"), 4, Duration::ZERO, body, stop.subscribe(), never(), &Liveness::default());
    assert!(!source.is_on());
    let mut on = source.on.clone();
    for round in 1..=3 {
        let (one, two) = (source.lease(), source.lease());
        on.wait_for(|on| *on).await.unwrap();
        drop(one);
        assert!(source.is_on());
        drop(two);
        on.wait_for(|on| !*on).await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), round);
    }
    let _held = source.lease();
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
    let (source, task) = spawn(unlit("test"), 4, Duration::ZERO, body, stop.subscribe(), never(), &Liveness::default());
    let _lease = source.lease();
    source.on.clone().wait_for(|on| *on).await.unwrap();
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
        let (source, _task) =
            spawn(unlit("test"), 4, Duration::ZERO, body, stop.subscribe(), never(), &Liveness::default());
        let _lease = source.lease();
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
    let (source, _task) =
        spawn(unlit("test"), 4, Duration::ZERO, body, stop.subscribe(), never(), &Liveness::default());
    let _lease = source.lease();
    let mut health = source.health();
    health.wait_for(|h| *h == Health::Stalled).await.unwrap();
    health.wait_for(|h| *h == Health::Ok).await.unwrap();
    assert_eq!(starts.load(Ordering::SeqCst), 2);
}

/// A body whose loop ticks until it is told to stop.
fn works(out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    out.set_health(Health::Ok);
    while !stop.load(Ordering::Acquire) {
        liveness::tick();
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Its first thread hangs until something is sent or the sender is gone, then writes into the feed; later ones work.
fn hangs_once(on: &'static str) -> (Body, mpsc::Sender<()>, Arc<AtomicUsize>) {
    let (go, gate) = mpsc::channel::<()>();
    let (gate, starts) = (std::sync::Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&starts);
    let body: Body = Arc::new(move |out, stop| {
        if counted.fetch_add(1, Ordering::SeqCst) > 0 {
            if let Some(why) = liveness::still_hangs(on) {
                return Err(Fault::Failed(why));
            }
            return works(out, stop);
        }
        out.set_health(Health::Ok);
        liveness::tick();
        liveness::during("VIDIOC_DQBUF", &on.into(), || gate.lock().unwrap().recv().is_ok());
        out.send(Frame { unit: AccessUnit::default(), key: true, level: None, ticks: 77, at: Mono(77) });
        out.set_health(Health::Privacy);
        Ok(())
    });
    (body, go, starts)
}

#[tokio::test]
async fn a_thread_that_hangs_is_named_given_up_and_cut_off_and_the_device_is_back_when_it_lets_go() {
    let (body, go, starts) = hangs_once("/dev/video-hangs");
    let (stop, liveness, lamps) = (watch::Sender::new(false), Liveness::default(), LampHandle::simulated());
    let (mut source, task) = spawn(lit_by(&lamps), 4, Duration::ZERO, body, stop.subscribe(), never(), &liveness);
    let _lease = source.lease();
    source.on.clone().wait_for(|on| *on).await.unwrap();
    let mut health = source.health();
    health.wait_for(|h| *h == Health::Ok).await.unwrap();
    assert_eq!(source.described(), "on");
    health.wait_for(|h| *h == Health::Stalled).await.unwrap();
    assert_eq!(source.described(), "stalled (hangs in VIDIOC_DQBUF on /dev/video-hangs)");
    assert!(source.is_on() && liveness.late(Mono::now()).is_empty(), "named, and not given up yet");
    // Given up, and tried again by a thread that keeps away from what hangs.
    let mut told = source.trouble.clone();
    let why = "an earlier use of it still hangs in VIDIOC_DQBUF";
    told.wait_for(|told| told.as_deref() == Some(why)).await.unwrap();
    assert!(starts.load(Ordering::SeqCst) >= 2 && !source.is_on());
    assert!(lamps.are_used(), "the abandoned thread may still have it open");
    assert_eq!(*health.borrow_and_update(), Health::Stalled);
    assert!(
        liveness.late(Mono::now() + liveness::LEFT_LONG).iter().any(|late| late.starts_with("video: hangs in VIDIOC"))
    );
    go.send(()).unwrap();
    health.wait_for(|h| *h == Health::Ok).await.unwrap();
    assert_eq!(source.writer.last_ticks(), None, "frames of the abandoned thread are dropped");
    assert_eq!(source.described(), "on");
    source.changed().await;
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn a_thread_that_hangs_holds_up_no_stop() {
    let (body, _go, _) = hangs_once("/dev/video-stops");
    let stop = watch::Sender::new(false);
    let (source, task) =
        spawn(unlit("video"), 4, Duration::ZERO, body, stop.subscribe(), never(), &Liveness::default());
    let _lease = source.lease();
    source.on.clone().wait_for(|on| *on).await.unwrap();
    source.health().wait_for(|h| *h == Health::Ok).await.unwrap();
    stop.send_replace(true);
    // Before it would be given up, and though it never ends.
    tokio::time::timeout(GIVEN_UP_AFTER / 2, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_helper_that_hangs_is_counted_and_the_device_goes_on() {
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let body: Body = Arc::new(move |out, stop| {
        if let Some(gate) = gate.lock().unwrap().take() {
            let helper = liveness::helper("encoder");
            thread::spawn(move || {
                let _entered = helper.enter();
                liveness::during("close", &"/dev/video-encodes".into(), || gate.recv().is_ok());
            });
        }
        works(out, stop)
    });
    let (stop, liveness) = (watch::Sender::new(false), Liveness::default());
    // With two others that hang: only if the helper is counted, too, are there too many.
    for name in ["video", "audio"] {
        liveness.left_behind(Activity::new(name, Helpers::default(), Mono::now()), false, Mono::now());
    }
    assert_eq!(LEFT_MAX, 3);
    let (source, task) = spawn(unlit("video"), 4, Duration::ZERO, body, stop.subscribe(), never(), &liveness);
    let _lease = source.lease();
    let end = tokio::time::Instant::now() + GIVEN_UP_AFTER * 6;
    while !liveness.is_full() {
        assert!(tokio::time::Instant::now() < end, "{liveness:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let late = liveness.late(Mono::now());
    assert!(late.contains(&"encoder: hangs in close on /dev/video-encodes".to_owned()), "{late:?}");
    assert_eq!(source.described(), "on");
    drop(go);
    while liveness.is_full() {
        assert!(tokio::time::Instant::now() < end, "{liveness:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn no_thread_is_started_beside_too_many_that_hang() {
    let liveness = Liveness::default();
    for _ in 0..LEFT_MAX {
        liveness.left_behind(Activity::new("video", Helpers::default(), Mono::now()), true, Mono::now());
    }
    let body: Body = Arc::new(|_, _| panic!("no thread was to be started"));
    let stop = watch::Sender::new(false);
    let (source, task) = spawn(unlit("video"), 4, Duration::ZERO, body, stop.subscribe(), never(), &liveness);
    let _lease = source.lease();
    source.health().wait_for(|h| *h == Health::Stalled).await.unwrap();
    assert!(source.described().starts_with("stalled (too many threads hang"), "{}", source.described());
    stop.send_replace(true);
    task.await.unwrap();
}

/// A body that sends a frame each millisecond, whatever it is asked for, until `stop` and a while longer.
fn stubborn(longer: Duration) -> Body {
    Arc::new(move |out, stop| {
        let (mut ticks, mut end) = (0, None);
        while end.is_none_or(|end| Mono::now() < end) {
            if stop.load(Ordering::Acquire) {
                end.get_or_insert(Mono::now() + longer);
            }
            out.set_health(Health::Ok);
            ticks += 1;
            let at = Mono::now();
            out.send(Frame { unit: AccessUnit::whole(vec![0; 10].into()), key: true, level: None, ticks, at });
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })
}

#[tokio::test]
async fn the_privacy_switch_stops_frames_at_once_and_closes_the_device() {
    let (stop, privacy) = (watch::Sender::new(false), watch::Sender::new(false));
    let (body, seen) = (stubborn(Duration::from_millis(300)), privacy.subscribe());
    let (source, task) = spawn(unlit("video"), 64, Duration::ZERO, body, stop.subscribe(), seen, &Liveness::default());
    let (mut lease, mut on, mut health) = (source.lease(), source.on.clone(), source.health());
    lease.reader.next().await.unwrap();
    assert!(source.figures(Mono::now()).frames > 0);
    privacy.send_replace(true);
    health.wait_for(|health| *health == Health::Privacy).await.unwrap();
    assert!(source.is_on(), "the thread needs a while to close its device");
    lease.reader.skip_to_now();
    let late = tokio::time::timeout(Duration::from_millis(100), lease.reader.next()).await;
    assert!(late.is_err(), "{late:?}");
    on.wait_for(|on| !*on).await.unwrap();
    assert_eq!((*health.borrow(), source.described()), (Health::Privacy, "off for privacy".to_owned()));
    // A second viewer does not open it.
    let _second = source.lease();
    assert!(tokio::time::timeout(Duration::from_millis(50), on.wait_for(|on| *on)).await.is_err());
    privacy.send_replace(false);
    lease.reader.next().await.unwrap();
    assert_eq!(*health.borrow(), Health::Ok);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn a_device_of_a_board_that_starts_with_the_switch_on_is_never_opened() {
    let (stop, privacy) = (watch::Sender::new(false), watch::Sender::new(true));
    let seen = privacy.subscribe();
    let body = stubborn(Duration::ZERO);
    let (source, _task) = spawn(unlit("video"), 4, Duration::ZERO, body, stop.subscribe(), seen, &Liveness::default());
    let (_lease, mut on) = (source.lease(), source.on.clone());
    assert_eq!(*source.health().borrow(), Health::Privacy);
    assert!(tokio::time::timeout(Duration::from_millis(50), on.wait_for(|on| *on)).await.is_err());
}

#[tokio::test]
async fn the_lamp_is_lit_from_before_the_device_opens_until_it_is_closed() {
    let (lamps, closed) = (LampHandle::simulated(), Arc::new(AtomicBool::new(true)));
    let (seen, of_body) = (lamps.clone(), Arc::clone(&closed));
    let body: Body = Arc::new(move |out, stop| {
        if !seen.are_used() {
            return Err(Fault::Failed("opened in the dark".into()));
        }
        of_body.store(false, Ordering::SeqCst);
        let ended = works(out, stop);
        of_body.store(true, Ordering::SeqCst);
        ended
    });
    let stop = watch::Sender::new(false);
    let liveness = Liveness::default();
    let (source, task) = spawn(lit_by(&lamps), 4, Duration::ZERO, body, stop.subscribe(), never(), &liveness);
    let mut on = source.on.clone();
    for _ in 0..3 {
        assert!(!lamps.are_used());
        let lease = source.lease();
        on.wait_for(|on| *on).await.unwrap();
        source.health().wait_for(|health| *health == Health::Ok).await.unwrap();
        assert!(lamps.are_used() && !closed.load(Ordering::SeqCst), "{}", source.described());
        drop(lease);
        while lamps.are_used() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(closed.load(Ordering::SeqCst), "dark, and not closed");
    }
    let _held = source.lease();
    on.wait_for(|on| *on).await.unwrap();
    stop.send_replace(true);
    task.await.unwrap();
    assert!(!lamps.are_used());
}
