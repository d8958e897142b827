use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use openh264::formats::YUVSource;

use super::*;
use crate::{
    config::{EncoderChoice, Video},
    video::{clockstrip, encoder::Coder, pattern::Pattern},
};

const SIZE: (u32, u32) = (320, 180);

/// A file in a folder that lives as long as the test.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Test pictures whose clock counts from 0.
fn pictures(count: u32) -> impl Iterator<Item = Planes> {
    let mut pattern = Pattern::new(SIZE, 30).unwrap();
    (0..count).map(move |n| pattern.draw(Duration::from_millis(u64::from(n) * 33), n).clone())
}

fn y4m(count: u32) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W320 H180 F50:1 Ip C420jpeg\n".to_vec();
    for planes in pictures(count) {
        bytes.extend(b"FRAME\n");
        [planes.y(), planes.u(), planes.v()].iter().for_each(|plane| bytes.extend_from_slice(plane));
    }
    bytes
}

fn jpeg(planes: &Planes) -> Vec<u8> {
    let pixels = [planes.y(), planes.u(), planes.v()].concat();
    let (width, height) = planes.size();
    let image =
        turbojpeg::YuvImage { pixels: &pixels[..], width, align: 1, height, subsamp: turbojpeg::Subsamp::Sub2x2 };
    turbojpeg::compress_yuv(image, 90).unwrap().to_vec()
}

/// An elementary stream with key frames at these pictures.
fn h264_stream(count: u32, keys: &[u32]) -> Vec<u8> {
    use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};
    let config = Video { encoder: EncoderChoice::Software, bitrate: 300_000, ..Video::default() };
    let mut coder = Coder::new(&config, Rate::whole(30), 300_000);
    let mut bytes = Vec::new();
    for (n, planes) in (0..).zip(pictures(count)) {
        let at = Mono(u64::from(n) * 33_000_000);
        coder.put(&planes, keys.contains(&n), at, &mut Counts::default()).unwrap();
        let cut = coder.take().unwrap().cut;
        let mut receiver = H264Packet::default();
        cut.payloads.iter().for_each(|p| bytes.extend_from_slice(&receiver.depacketize(p).unwrap()));
    }
    bytes
}

/// The next picture that is found, whenever it is due.
fn next<'a>(clip: &'a mut Clip, counts: &mut Counts) -> Taken<'a> {
    let due = clip.due();
    clip.next(due, counts).unwrap()
}

/// The values of the picture clock of the next pictures.
fn clocks(clip: &mut Clip, count: usize) -> Vec<u32> {
    let mut counts = Counts::default();
    let read = |_| match next(clip, &mut counts) {
        Taken::Planes { planes, .. } => {
            clockstrip::read(planes.y(), planes.size().0, planes.size().0).expect("the clock can be read")
        }
        _ => panic!("no picture"),
    };
    (0..count).map(read).collect()
}

#[test]
fn raw_clips_go_round_at_their_own_rate() {
    let (_folder, path) = file("a.y4m", &y4m(3));
    let mut clip = Clip::open(&path, 30).unwrap();
    assert_eq!(clip.rate(), Rate::whole(50));
    let first = clip.due();
    assert_eq!(clocks(&mut clip, 8), [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(clip.due(), first + Duration::from_millis(160));
}

#[test]
fn jpeg_clips_go_round_at_the_configured_rate() {
    let stream: Vec<u8> = pictures(3).flat_map(|planes| jpeg(&planes)).collect();
    let (_folder, path) = file("a.MJPEG", &stream);
    let mut clip = Clip::open(&path, 12).unwrap();
    assert_eq!(clip.rate(), Rate::whole(12));
    assert_eq!(clocks(&mut clip, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn damaged_pictures_are_passed_over_and_counted() {
    let mut jpegs: Vec<Vec<u8>> = pictures(3).map(|planes| jpeg(&planes)).collect();
    let half = jpegs[1].len() / 2;
    jpegs[1].truncate(half);
    let (_folder, path) = file("a.mjpeg", &jpegs.concat());
    let mut clip = Clip::open(&path, 30).unwrap();
    assert_eq!(clocks(&mut clip, 4), [0, 2, 0, 2]);
    let mut counts = Counts::default();
    (0..2).for_each(|_| {
        let _ = next(&mut clip, &mut counts);
    });
    assert_eq!(counts.damaged, 1);
}

#[test]
fn coded_clips_come_unit_by_unit_and_begin_with_a_key_frame() {
    let stream = h264_stream(7, &[4]);
    let (_folder, path) = file("a.h264", &stream);
    let mut clip = Clip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    let mut units = Vec::new();
    for _ in 0..14 {
        match next(&mut clip, &mut counts) {
            Taken::Coded { stream, .. } => units.push(stream.to_vec()),
            _ => panic!("no unit"),
        }
    }
    assert_eq!(units[..7].concat(), stream, "nothing is lost and nothing added");
    assert_eq!(units[7..].concat(), stream, "round and round");
    let keys: Vec<bool> = units.iter().map(|unit| h264::has_idr(unit)).collect();
    assert_eq!(keys, [true, false, false, false, true, false, false].repeat(2));
}

#[test]
fn a_viewer_that_joins_a_coded_clip_gets_its_next_key_frame() {
    let (_folder, path) = file("a.h264", &h264_stream(9, &[6]));
    let mut clip = Clip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    let is_key = |taken: Taken<'_>| matches!(taken, Taken::Coded { stream, .. } if h264::has_idr(stream));
    assert!(is_key(next(&mut clip, &mut counts)));
    assert!(!is_key(next(&mut clip, &mut counts)));
    clip.seek_key();
    assert!(is_key(next(&mut clip, &mut counts)), "picture 6");
    clip.seek_key();
    assert!(is_key(next(&mut clip, &mut counts)), "round to picture 0");
}

#[test]
fn what_is_no_clip_is_refused_with_a_sentence() {
    let cut_short = &y4m(1)[..500];
    for (name, bytes, part) in [
        ("a.mp4", &b"ftyp"[..], "clips are .h264, .mjpeg or .y4m"),
        ("a.y4m", b"RIFF", "not a YUV4MPEG2 file"),
        ("a.y4m", b"YUV4MPEG2 W321 H180 F30:1\n", "even"),
        ("a.y4m", b"YUV4MPEG2 W320 H180 F30:1\n", "no picture"),
        ("a.y4m", cut_short, "no picture"),
        ("a.mjpeg", b"", "no picture"),
        ("a.mjpeg", &[0x55; 5000], "no picture"),
        ("a.h264", b"", "no picture"),
        ("a.h264", b"nothing like a stream", "no picture"),
        ("a.h264", &h264_stream(3, &[])[400..], "no picture"),
    ] {
        let (_folder, path) = file(name, bytes);
        let result = Clip::open(&path, 30).and_then(|mut clip| {
            let mut counts = Counts::default();
            clip.next(Mono::now(), &mut counts).map(drop)
        });
        match result {
            Err(Fault::Failed(text)) => assert!(text.contains(part) && text.starts_with("clip /"), "{text}"),
            other => panic!("{name} {part}: {other:?}"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let Err(Fault::Failed(text)) = Clip::open(folder.path(), 30) else { panic!("a folder is no clip") };
    assert!(text.contains("not a regular file"), "{text}");
}

#[test]
fn a_stream_without_end_is_given_up_in_bounded_memory() {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDA, 0, 2];
    bytes.resize(LONGEST + 2 * CHUNK, 0x11);
    let (_folder, path) = file("a.mjpeg", &bytes);
    let mut clip = Clip::open(&path, 30).unwrap();
    let begin = Instant::now();
    let Err(Fault::Failed(text)) = clip.next(Mono::now(), &mut Counts::default()) else { panic!("it has no picture") };
    assert!(text.contains("no end of a picture within 16 MiB"), "{text}");
    assert!(clip.reader.buffer.capacity() <= 4 * LONGEST, "after {:?}", begin.elapsed());
}

#[test]
fn the_end_of_a_jpeg_is_found_past_a_thumbnail() {
    let thumbnail = [0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 1, 2, 0xFF, 0xD9];
    let picture =
        [&[0xFF, 0xD8][..], &thumbnail, &[0xFF, 0xDA, 0, 2, 5, 0xFF, 0, 6, 0xFF, 0xD3, 7, 0xFF, 0xD9]].concat();
    let stream = [&[9, 9][..], &picture, &picture].concat();
    assert_eq!(jpeg_end(&stream), Some(2 + picture.len()));
    for length in 0..2 + picture.len() {
        assert_eq!(jpeg_end(&stream[..length]), None, "{length}");
    }
    let without_end = [&picture[..picture.len() - 2], &picture].concat();
    assert_eq!(jpeg_end(&without_end), Some(picture.len() - 2));
}
