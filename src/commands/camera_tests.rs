use std::future::Future;

use tokio::sync::watch;

use super::*;
use crate::{
    config::Id,
    feed::{self, CAMERA_QUESTIONS, ControlDescription, ControlKind, ControlsQuestion, TakenPicture},
    picture::{RawPicture, SampleColours},
    protocol::command_result::SnapshotPart,
};

/// A camera without a thread: the tests answer for it.
pub(in crate::commands) fn camera() -> MediaSource {
    let writer = feed::feed(4);
    writer.set_health(Health::Ok);
    MediaSource {
        seen: writer.watch_health(),
        wanted: watch::Sender::new(0),
        on: watch::channel(true).1,
        trouble: watch::channel(None).1,
        linger: watch::Sender::new(Duration::ZERO),
        writer,
    }
}

/// Waits for `work`, and lets `thread` answer as the camera's thread does.
async fn work_with<T>(
    source: &MediaSource,
    work: impl Future<Output = T>,
    mut thread: impl FnMut(&CameraRequests),
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_millis(5)) => thread(source.camera()),
        }
    }
}

fn args(width: Option<u16>, quality: u8) -> SnapshotArgs {
    SnapshotArgs { camera: Id::new("main").unwrap(), width, height: None, quality }
}

/// Gives everybody who waits a picture of noise, which was captured just now.
fn give_noise(requests: &CameraRequests, (width, height): (usize, usize)) {
    let luma: Vec<u8> = (0..width * height).map(|n| (n * n % 251) as u8).collect();
    let chroma = vec![128; width * height / 4];
    let samples = SampleColours { bt709: false, full_range: true };
    let picture = RawPicture::new((width, height), samples, [&luma, &chroma, &chroma]).unwrap();
    for answer in requests.take_pictures() {
        let _ = answer.send(Ok(TakenPicture { picture: Arc::new(picture.clone()), at: Mono::now() }));
    }
}

async fn snapshot(source: &MediaSource, args: SnapshotArgs, size: (usize, usize)) -> Worked {
    let snapshots = Snapshots::default();
    let entered = snapshots.enter().unwrap();
    work_with(source, snapshots.take(entered, source.clone(), args), |requests| {
        if requests.wants_picture() {
            assert_eq!(*source.wanted.borrow(), 1, "the camera is on");
            give_noise(requests, size);
        }
    })
    .await
}

#[tokio::test]
async fn a_snapshot_is_a_jpeg_in_parts_and_the_camera_is_on_for_it() {
    let source = camera();
    let (ok, jpeg) = snapshot(&source, args(Some(320), 90), (640, 360)).await.unwrap();
    assert_eq!(*source.wanted.borrow(), 0, "it is released");
    let CommandOk::Snapshot(head) = ok else { panic!("{ok:?}") };
    assert_eq!((head.camera.as_str(), head.width, head.height, head.bytes), ("main", 320, 180, jpeg.len()));
    assert_eq!((head.parts, head.age_ms < 5_000), (SnapshotPart::all(7, &jpeg).count(), true));
    assert!(jpeg.starts_with(&[0xFF, 0xD8]));
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_says_what_helps() {
    let refusal = snapshot(&camera(), args(None, 100), (1280, 720)).await.unwrap_err();
    assert_eq!(refusal.name, ErrorName::TooLarge);
    assert!(refusal.message.contains("256 KiB are possible: ask for a smaller size"), "{}", refusal.message);
}

#[test]
fn only_a_few_snapshots_are_taken_at_once() {
    let snapshots = Snapshots::default();
    let mut entered: Vec<_> = (0..SNAPSHOTS).map(|_| snapshots.clone().enter().unwrap()).collect();
    let refusal = snapshots.enter().unwrap_err();
    assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::Busy, Some(1000)));
    entered.pop();
    assert!(snapshots.enter().is_ok());
}

#[tokio::test]
async fn nobody_gets_a_picture_while_the_camera_is_private() {
    let source = camera();
    source.writer.set_health(Health::Privacy);
    let refusal = snapshot(&source, args(None, 85), (64, 32)).await.unwrap_err();
    assert_eq!((refusal.name, source.camera().wants_picture()), (ErrorName::Privacy, false));
    // The switch is set while the command waits.
    source.writer.set_health(Health::Ok);
    let refusal = work_with(&source, list(source.clone(), None), |_| source.writer.set_stopped(true, Health::Ok)).await;
    assert_eq!(refusal.unwrap_err().name, ErrorName::Privacy);
}

fn control(name: &str, value: Option<i64>) -> ControlDescription {
    let (name, kind, items) = (name.to_owned(), ControlKind::Integer, Vec::new());
    ControlDescription { name, kind, min: 0, max: 9, step: 1, default: 0, value, unit: None, items, inactive: false }
}

/// Answers as a camera with a gain, and with a speed that cannot be read.
fn answer_controls(requests: &CameraRequests) {
    for question in requests.take_controls() {
        match question {
            ControlsQuestion::List(answer) => {
                drop(answer.send(Ok(vec![control("gain", Some(5)), control("speed", None)])))
            }
            ControlsQuestion::Set(values, answer) if values.contains_key("gain") => {
                drop(answer.send(Ok(values.into_iter().map(|(name, value)| (name, i64::from(value))).collect())));
            }
            ControlsQuestion::Set(_, answer) => drop(answer.send(Err(CameraRefusal::Failed("EIO".to_owned())))),
        }
    }
}

#[tokio::test]
async fn controls_are_listed_read_and_set() {
    let source = camera();
    let (ok, _) = work_with(&source, list(source.clone(), Some("gain".into())), answer_controls).await.unwrap();
    assert!(matches!(&ok, CommandOk::Controls(page) if page.controls.len() == 1 && !page.more), "{ok:?}");
    let values = |gain| (CommandOk::Values { values: [("gain".to_owned(), gain)].into() }, Vec::new());
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let read = work_with(&source, get(source.clone(), names(&["gain", "speed"])), answer_controls).await;
    assert_eq!(read, Ok(values(5)), "what cannot be read is left out");
    let read = work_with(&source, get(source.clone(), names(&["gain", "zoom"])), answer_controls).await;
    assert_eq!(read.unwrap_err().name, ErrorName::NotFound);
    let done = work_with(&source, set(source.clone(), [("gain".to_owned(), 7)].into(), None), answer_controls).await;
    assert_eq!(done, Ok(values(7)));
    let done = work_with(&source, set(source.clone(), [("speed".to_owned(), 7)].into(), None), answer_controls).await;
    let refusal = done.unwrap_err();
    assert_eq!((refusal.name, refusal.message.as_str()), (ErrorName::DeviceError, "controls.set: EIO"));
}

#[tokio::test]
async fn a_camera_that_closes_or_is_asked_too_much_refuses() {
    let source = camera();
    let closed = work_with(&source, list(source.clone(), None), |requests| drop(requests.take_controls())).await;
    assert_eq!(closed.unwrap_err().name, ErrorName::DeviceError);
    let _waiting: Vec<_> = (0..CAMERA_QUESTIONS).map(|_| source.camera().ask_controls().unwrap()).collect();
    assert_eq!(list(source.clone(), None).await.unwrap_err().name, ErrorName::Busy);
}

#[test]
fn a_silent_camera_is_absent_or_slow() {
    let source = camera();
    assert_eq!(silent(&source, "snapshot").name, ErrorName::Timeout);
    source.writer.set_trouble(Health::Absent, "camera /dev/video0: not there");
    let refusal = silent(&source, "snapshot");
    let expected = "snapshot: the camera gave no answer within 8s: camera /dev/video0: not there";
    assert_eq!((refusal.name, refusal.message.as_str()), (ErrorName::NoMedia, expected));
}

#[test]
fn each_refusal_of_a_camera_has_its_name() {
    for (refusal, expected) in [
        (CameraRefusal::Unsupported("x".into()), ErrorName::Unsupported),
        (CameraRefusal::NotFound("x".into()), ErrorName::NotFound),
        (CameraRefusal::OutOfRange("x".into()), ErrorName::OutOfRange),
        (CameraRefusal::Failed("x".into()), ErrorName::DeviceError),
    ] {
        let refusal = refused("snapshot", &refusal);
        assert_eq!((refusal.name, refusal.message.as_str()), (expected, "snapshot: x"));
    }
}
