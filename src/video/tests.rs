//! The whole video thread, from a source to the feed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use openh264::{decoder::Decoder, formats::YUVSource};
use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};

use super::*;
use crate::{
    config::{EncoderChoice, VideoSource},
    feed::{self, FeedItem, FeedReader, Frame},
    meter::Counts,
    units::Bitrate,
};

/// A running video thread; [`Running::stop`] ends it.
struct Running {
    out: FeedWriter,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Fault>>,
}

impl Running {
    fn start(config: &Video) -> (Self, FeedReader) {
        let (out, stop) = (feed::feed(feed::VIDEO_RING), Arc::new(AtomicBool::new(false)));
        let reader = out.subscribe();
        let (config, writer, flag) = (config.clone(), out.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || run(&config, &writer, &flag));
        (Self { out, stop, thread }, reader)
    }

    /// Stops the thread and returns how long that took.
    fn stop(self) -> (Result<(), Fault>, Duration) {
        let begin = Instant::now();
        self.stop.store(true, Ordering::Release);
        (self.thread.join().unwrap(), begin.elapsed())
    }
}

fn test_picture() -> Video {
    Video { source: VideoSource::Test, size: (320, 180), fps: 60, bitrate: Bitrate::from_kbps(400), ..Video::default() }
}

async fn frame(reader: &mut FeedReader) -> Arc<Frame> {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), reader.next()).await.expect("a frame in time") {
            Some(FeedItem::Frame(frame)) => return frame,
            Some(FeedItem::Missed(_)) => {}
            None => panic!("the feed ended"),
        }
    }
}

/// A decoder of another implementation.
#[derive(Default)]
struct Viewer {
    decoder: Option<Decoder>,
}

impl Viewer {
    /// Decodes a frame and returns its picture clock.
    fn see(&mut self, frame: &Frame) -> Option<u32> {
        let mut receiver = H264Packet::default();
        let stream: Vec<u8> = frame.unit.payloads().flat_map(|p| receiver.depacketize(&p).unwrap().to_vec()).collect();
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new().unwrap());
        let picture = decoder.decode(&stream).ok()??;
        let ((width, _), (stride, ..)) = (picture.dimensions(), picture.strides());
        sources::clockstrip::read(picture.y(), stride, width)
    }
}

#[tokio::test]
async fn a_viewer_sees_pictures_with_their_time_of_capture() {
    let (running, mut reader) = Running::start(&test_picture());
    let mut viewer = Viewer::default();
    let mut last: Option<(u64, Mono)> = None;
    for n in 0..30 {
        let frame = frame(&mut reader).await;
        assert_eq!(frame.key, n == 0, "frame {n}");
        assert!(frame.unit.payloads().all(|p| p.len() <= 1160));
        let clock = viewer.see(&frame).expect("decoded, with its clock");
        assert!(clock.abs_diff(sources::clockstrip::value(frame.at.wall())) <= 1, "frame {n}");
        assert_eq!(frame.ticks, frame.at.ticks(90_000));
        if let Some((ticks, at)) = last {
            assert!(frame.ticks > ticks && frame.at > at);
        }
        last = Some((frame.ticks, frame.at));
    }
    assert_eq!(running.out.health(), Health::Ok);
    let (result, time) = running.stop();
    assert_eq!(result, Ok(()));
    assert!(time < Duration::from_millis(100) * 5, "a stop took {time:?}");
}

#[tokio::test]
async fn wishes_become_key_frames() {
    let (running, mut reader) = Running::start(&test_picture());
    let start = frame(&mut reader).await;
    assert!(start.key);
    for round in 0..3 {
        reader.requests().request_keyframe();
        // The request may arrive while a frame is being encoded, so the second frame is a keyframe at the latest.
        let mut frames = Vec::new();
        while frames.last() != Some(&true) && frames.len() < 4 {
            frames.push(frame(&mut reader).await.key);
        }
        assert_eq!(frames.last(), Some(&true), "join {round}");
    }
    // Repairs are requested all the time, and served once a second.
    let mut keys = Vec::new();
    let begin = frame(&mut reader).await.at;
    loop {
        reader.requests().request_repair();
        let frame = frame(&mut reader).await;
        if frame.key {
            keys.push(frame.at);
        }
        if frame.at.since(begin) > Duration::from_millis(2500) {
            break;
        }
    }
    assert!((1..=3).contains(&keys.len()), "{} repairs in 2.5 s", keys.len());
    for pair in keys.windows(2) {
        assert!(pair[1].since(pair[0]) > Duration::from_millis(900), "{:?}", pair[1].since(pair[0]));
    }
    assert_eq!(running.stop().0, Ok(()));
}

#[tokio::test]
async fn a_clip_is_coded_with_the_clock_drawn_in_and_thinned_to_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grey.y4m");
    let mut clip = b"YUV4MPEG2 W320 H180 F120:1\n".to_vec();
    clip.extend(b"FRAME\n");
    clip.resize(clip.len() + 320 * 180 * 3 / 2, 90);
    std::fs::write(&path, clip).unwrap();
    let config = Video { source: VideoSource::Clip(path), fps: 20, clock: true, ..test_picture() };
    let (running, mut reader) = Running::start(&config);
    let mut viewer = Viewer::default();
    let first = frame(&mut reader).await;
    assert!(viewer.see(&first).is_some());
    let mut last = first.at;
    for _ in 0..10 {
        let frame = frame(&mut reader).await;
        let clock = viewer.see(&frame).expect("the clock is drawn in");
        assert!(clock.abs_diff(sources::clockstrip::value(frame.at.wall())) <= 1);
        last = frame.at;
    }
    // A frame may be early after a late one, but not all together.
    let took = last.since(first.at);
    assert!(took > Duration::from_millis(400), "10 pictures in {took:?} where 500 ms are wished");
    assert_eq!(running.stop().0, Ok(()));
}

#[tokio::test]
async fn a_missing_camera_is_absent_and_a_broken_clip_failed() {
    let of = |source| {
        let out = feed::feed(4);
        run(&Video { source, ..test_picture() }, &out, &AtomicBool::new(false))
    };
    let missing = of(VideoSource::Camera("/dev/no-such-camera".into()));
    assert_eq!(missing, Err(Fault::Absent("camera /dev/no-such-camera: not there".into())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.mjpeg");
    std::fs::write(&path, "").unwrap();
    let broken = of(VideoSource::Clip(path.clone()));
    assert_eq!(broken, Err(Fault::Failed(format!("clip {}: it contains no picture", path.display()))));
}

/// A camera that encodes itself, played from a file. Its frames are sent unchanged, with the parameter sets repeated.
#[tokio::test]
async fn a_coded_clip_is_passed_through() {
    let mut pattern = sources::pattern::Pattern::new((320, 180), 60).unwrap();
    let (rate, mut stream) = (frame_pace::Rate::whole(60), Vec::new());
    let config = Video { encoder: EncoderChoice::Software, bitrate: Bitrate::from_kbps(300), ..Video::default() };
    let mut coder = encode::VideoEncoder::new(&config, rate, config.bitrate);
    for n in 0..12_u32 {
        let planes = pattern.draw(rate.time_of(n.into()), 1000 + n);
        coder.put(planes, n == 6, Mono(1) + rate.time_of(n.into()), &mut Counts::default()).unwrap();
        let cut = coder.take().unwrap().cut;
        let mut receiver = H264Packet::default();
        for payload in cut.unit.payloads() {
            let part = receiver.depacketize(&payload).unwrap();
            // Only the first keyframe has parameter sets, as with many cameras.
            let is_sets = h264::find_sps(&part).is_some();
            if !(n == 6 && is_sets) {
                stream.extend_from_slice(&part);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h264");
    std::fs::write(&path, stream).unwrap();
    let (running, mut reader) = Running::start(&Video { source: VideoSource::Clip(path), ..test_picture() });
    let mut viewer = Viewer::default();
    let mut clocks = Vec::new();
    for _ in 0..24 {
        let frame = frame(&mut reader).await;
        if frame.key {
            // A viewer that joins here has seen no parameter set yet.
            viewer = Viewer::default();
        }
        clocks.push(viewer.see(&frame).expect("decoded"));
    }
    assert_eq!(clocks, (1000..1012).chain(1000..1012).collect::<Vec<_>>());
    assert_eq!(running.stop().0, Ok(()));
}

/// A clip encoded by x264 with these options.
fn x264(folder: &std::path::Path, options: &str) -> std::path::PathBuf {
    let path = folder.join("a.h264");
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=128x96:rate=25:duration=2",
        "-c:v",
        "libx264",
    ]);
    ffmpeg.args(["-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x264-params", options]).arg(&path);
    let made = ffmpeg.output().expect("ffmpeg is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    path
}

/// Waits until the source has this health, or for a while.
async fn healthy(reader: &FeedReader, health: Health) {
    let mut seen = reader.health();
    let wait = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(|seen| *seen == health));
    wait.await.unwrap_or_else(|_| panic!("never {health:?}")).unwrap();
}

#[tokio::test]
async fn a_coded_clip_that_viewers_cannot_show_is_not_told_as_ok() {
    let folder = tempfile::tempdir().unwrap();
    let config = Video { source: VideoSource::Clip(x264(folder.path(), "bframes=3:b-adapt=0")), ..test_picture() };
    let (running, mut reader) = Running::start(&config);
    assert!(frame(&mut reader).await.key, "it is sent as it is");
    healthy(&reader, Health::Stalled).await;
    let why = running.out.trouble().unwrap();
    assert!(why.contains("out of order (B-frames)"), "{why}");
    assert_eq!(running.stop().0, Ok(()));

    let config = Video { source: VideoSource::Clip(x264(folder.path(), "bframes=0")), ..test_picture() };
    let (running, mut reader) = Running::start(&config);
    for _ in 0..30 {
        frame(&mut reader).await;
    }
    assert_eq!((running.out.health(), running.out.trouble()), (Health::Ok, None));
    assert_eq!(running.stop().0, Ok(()));
}

#[tokio::test]
async fn a_clip_of_which_nearly_nothing_can_be_shown_says_how_much() {
    let mut pattern = sources::pattern::Pattern::new((320, 180), 60).unwrap();
    let planes = pattern.draw(Duration::ZERO, 7).clone();
    let pixels = [planes.y(), planes.u(), planes.v()].concat();
    let image = turbojpeg::YuvImage {
        pixels: &pixels[..],
        width: 320,
        align: 1,
        height: 180,
        subsamp: turbojpeg::Subsamp::Sub2x2,
    };
    let jpeg = turbojpeg::compress_yuv(image, 90).unwrap().to_vec();
    let clip = [&jpeg[..], &jpeg[..jpeg.len() / 2].repeat(30)].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mjpeg");
    std::fs::write(&path, clip).unwrap();
    let (running, mut reader) = Running::start(&Video { source: VideoSource::Clip(path), ..test_picture() });
    frame(&mut reader).await;
    healthy(&reader, Health::Stalled).await;
    let why = running.out.trouble().unwrap();
    assert!(why.contains("were refused: its coded data is cut short"), "{why}");
    assert_eq!(running.stop().0, Ok(()));
}
