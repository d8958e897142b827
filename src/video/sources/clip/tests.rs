use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use openh264::formats::YUVSource;

use super::*;
use crate::{
    config::{EncoderChoice, Video},
    units::Bitrate,
    video::{
        encode::VideoEncoder,
        sources::{clockstrip, pattern::Pattern},
    },
};

const SIZE: (u32, u32) = (320, 180);

/// A file in a folder that lives as long as the test.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Frames of the test picture whose picture clock counts from 0.
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

/// An H.264 stream with keyframes at these frames.
fn h264_stream(count: u32, keys: &[u32]) -> Vec<u8> {
    use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};
    let config = Video { encoder: EncoderChoice::Software, bitrate: Bitrate::from_kbps(300), ..Video::default() };
    let mut coder = VideoEncoder::new(&config, Rate::whole(30), config.bitrate);
    let mut bytes = Vec::new();
    for (n, planes) in (0..).zip(pictures(count)) {
        let at = Mono(u64::from(n) * 33_000_000);
        coder.put(&planes, keys.contains(&n), at, &mut Counts::default()).unwrap();
        let cut = coder.take().unwrap().cut;
        let mut receiver = H264Packet::default();
        cut.unit.payloads().for_each(|p| bytes.extend_from_slice(&receiver.depacketize(&p).unwrap()));
    }
    bytes
}

/// The next frame, whenever it is due.
fn next<'a>(clip: &'a mut VideoClip, counts: &mut Counts) -> SourceFrame<'a> {
    let due = clip.due();
    clip.next(due, counts).unwrap()
}

/// The picture clocks of the next frames.
fn clocks(clip: &mut VideoClip, count: usize) -> Vec<u32> {
    let mut counts = Counts::default();
    let read = |_| match next(clip, &mut counts) {
        SourceFrame::Planes { planes, .. } => {
            clockstrip::read(planes.y(), planes.size().0, planes.size().0).expect("the clock can be read")
        }
        _ => panic!("no picture"),
    };
    (0..count).map(read).collect()
}

#[test]
fn raw_clips_go_round_at_their_own_rate() {
    let (_folder, path) = file("a.y4m", &y4m(3));
    let mut clip = VideoClip::open(&path, 30).unwrap();
    assert_eq!(clip.rate(), Rate::whole(50));
    let first = clip.due();
    assert_eq!(clocks(&mut clip, 8), [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(clip.due(), first + Duration::from_millis(160));
}

#[test]
fn jpeg_clips_go_round_at_the_configured_rate() {
    let stream: Vec<u8> = pictures(3).flat_map(|planes| jpeg(&planes)).collect();
    let (_folder, path) = file("a.MJPEG", &stream);
    let mut clip = VideoClip::open(&path, 12).unwrap();
    assert_eq!(clip.rate(), Rate::whole(12));
    assert_eq!(clocks(&mut clip, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn damaged_pictures_are_passed_over_and_counted() {
    let mut jpegs: Vec<Vec<u8>> = pictures(3).map(|planes| jpeg(&planes)).collect();
    let half = jpegs[1].len() / 2;
    jpegs[1].truncate(half);
    let (_folder, path) = file("a.mjpeg", &jpegs.concat());
    let mut clip = VideoClip::open(&path, 30).unwrap();
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
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    let mut units = Vec::new();
    for _ in 0..14 {
        match next(&mut clip, &mut counts) {
            SourceFrame::Coded { stream, .. } => units.push(stream.to_vec()),
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
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    let is_key = |taken: SourceFrame<'_>| matches!(taken, SourceFrame::Coded { stream, .. } if h264::has_idr(stream));
    assert!(is_key(next(&mut clip, &mut counts)));
    assert!(!is_key(next(&mut clip, &mut counts)));
    clip.seek_key();
    assert!(is_key(next(&mut clip, &mut counts)), "picture 6");
    clip.seek_key();
    assert!(is_key(next(&mut clip, &mut counts)), "round to picture 0");
}

/// A stream of one keyframe and this many other frames before and after it.
fn one_key(before: usize, after: usize) -> (Vec<u8>, Vec<u8>) {
    let (_folder, path) = file("a.h264", &h264_stream(3, &[]));
    let (mut clip, mut counts) = (VideoClip::open(&path, 30).unwrap(), Counts::default());
    let [key, other, _] = [(); 3].map(|()| match next(&mut clip, &mut counts) {
        SourceFrame::Coded { stream, .. } => stream.to_vec(),
        _ => panic!("no unit"),
    });
    ([other.repeat(before), key.clone(), other.repeat(after)].concat(), key)
}

#[test]
fn a_viewer_that_joins_a_long_clip_with_one_key_frame_gets_that_at_once() {
    for (before, after) in [(0, 40 * SEARCH), (3, 2 * SEARCH)] {
        let (stream, key) = one_key(before, after);
        let (_folder, path) = file("a.h264", &stream);
        let mut clip = VideoClip::open(&path, 30).unwrap();
        let mut counts = Counts::default();
        for round in 0..3 {
            for n in 0..10 {
                let SourceFrame::Coded { stream, .. } = next(&mut clip, &mut counts) else { panic!("no unit") };
                assert_eq!(stream == key, n == 0, "{n} in round {round}");
            }
            clip.seek_key();
        }
        let skipped = before + 2 * FAR;
        assert_eq!(counts.taken as usize, 30 + skipped, "the skipped ones are counted");
    }
}

#[test]
fn a_clip_that_begins_late_is_played_whole_in_each_round() {
    let (mut stream, key) = one_key(FAR + 30, 5);
    stream.extend(one_key(0, 5).0);
    let (_folder, path) = file("a.h264", &stream);
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    let mut round = || {
        let mut places = Vec::new();
        for n in 0..12 {
            let SourceFrame::Coded { stream, .. } = next(&mut clip, &mut counts) else { panic!("no unit") };
            assert_eq!(stream == key, n % 6 == 0, "{n}");
            places.push(clip.reader.at);
        }
        places
    };
    let first = round();
    assert!(first.is_sorted_by(|a, b| a < b), "{first:?}");
    assert_eq!((round(), round()), (first.clone(), first));
}

#[test]
fn the_frames_before_a_late_key_frame_are_counted() {
    let (stream, key) = one_key(5 * SEARCH / 2, 1);
    let (_folder, path) = file("a.h264", &stream);
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    for calls in 1..=2 {
        assert!(matches!(next(&mut clip, &mut counts), SourceFrame::Nothing));
        assert_eq!(counts.taken as usize, calls * SEARCH);
    }
    assert!(matches!(next(&mut clip, &mut counts), SourceFrame::Coded { stream, .. } if stream == key));
}

#[test]
fn what_is_no_clip_is_refused_with_a_sentence() {
    let cut_short = &y4m(1)[..500];
    for (name, bytes, part) in [
        ("a.mp4", &b"ftyp"[..], "clips are .h264, .mjpeg or .y4m"),
        ("a.y4m", b"RIFF", "not a YUV4MPEG2 file"),
        ("a.y4m", b"YUV4MPEG2 W8 H180 F30:1\n", "16x16 to 3840x2160"),
        ("a.y4m", b"YUV4MPEG2 W99999999 H99999999 F30:1\n", "16x16 to 3840x2160"),
        ("a.y4m", b"YUV4MPEG2 W321 H180 F30:1\n", "no picture"),
        ("a.y4m", cut_short, "no picture"),
        ("a.mjpeg", b"", "no picture"),
        ("a.mjpeg", &[0x55; 5000], "no picture"),
        ("a.h264", b"", "no picture"),
        ("a.h264", b"nothing like a stream", "no picture"),
        ("a.h264", &h264_stream(3, &[])[400..], "a decoder cannot start with any of 2 H.264 pictures"),
    ] {
        let (_folder, path) = file(name, bytes);
        let result = VideoClip::open(&path, 30).and_then(|mut clip| {
            let mut counts = Counts::default();
            clip.next(Mono::now(), &mut counts).map(drop)
        });
        match result {
            Err(Fault::Failed(text)) => assert!(text.contains(part) && text.starts_with("clip /"), "{text}"),
            other => panic!("{name} {part}: {other:?}"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let Err(Fault::Failed(text)) = VideoClip::open(folder.path(), 30) else { panic!("a folder is no clip") };
    assert!(text.contains("not a regular file"), "{text}");
}

#[test]
fn a_stream_without_end_is_given_up_in_bounded_memory() {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDA, 0, 2];
    bytes.resize(LONGEST + 2 * CHUNK, 0x11);
    let (_folder, path) = file("a.mjpeg", &bytes);
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let begin = Instant::now();
    let Err(Fault::Failed(text)) = clip.next(Mono::now(), &mut Counts::default()) else { panic!("it has no picture") };
    assert!(text.contains("no end of a picture within 16 MiB"), "{text}");
    assert!(clip.reader.buffer.capacity() <= 4 * LONGEST, "after {:?}", begin.elapsed());
}

#[test]
fn what_lies_between_pictures_is_skipped() {
    let jpegs: Vec<Vec<u8>> = pictures(4).map(|planes| jpeg(&planes)).collect();
    let header = |jpeg: &[u8]| format!("--x\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
    let open = |jpeg: &[u8]| jpeg[..jpeg.len() - 2].to_vec();
    type Way<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let ways: [(&str, Way<'_>); 8] = [
        ("nothing", &<[u8]>::to_vec),
        ("padding", &|jpeg| [jpeg, &[0; 3]].concat()),
        ("two ends", &|jpeg| [jpeg, &[0xFF, 0xD9]].concat()),
        ("two beginnings", &|jpeg| [&[0xFF, 0xD8], jpeg].concat()),
        ("headers of a stream", &|jpeg| [header(jpeg).as_bytes(), jpeg, b"\r\n"].concat()),
        ("no end", &open),
        ("no end, and headers", &|jpeg| [header(jpeg).as_bytes(), &open(jpeg), b"\r\n"].concat()),
        ("a lot of rubbish", &|jpeg| [jpeg, &vec![0x55; 2 * CHUNK]].concat()),
    ];
    for (what, way) in ways {
        let stream: Vec<u8> = jpegs.iter().flat_map(|jpeg| way(jpeg)).collect();
        let (_folder, path) = file("a.mjpeg", &stream);
        let mut clip = VideoClip::open(&path, 30).unwrap();
        assert_eq!(clocks(&mut clip, 10), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1], "{what}");
        let mut counts = Counts::default();
        for _ in 0..4 {
            let _ = next(&mut clip, &mut counts);
        }
        assert_eq!((counts.taken, counts.damaged), (4, 0), "{what}: {}", counts.why);
        let around = stream.len().saturating_sub(jpegs.concat().len());
        // Bytes after a frame without an end marker belong to it.
        assert_eq!(counts.rubbish > 0, around > 0, "{what}: {}", counts.rubbish);
    }
}

#[test]
fn a_clip_of_which_nothing_can_be_shown_says_what_came() {
    let cut: Vec<u8> = pictures(3).flat_map(|planes| jpeg(&planes)[..900].to_vec()).collect();
    let keys = h264_stream(6, &[2]);
    let without = |kinds: &[u8]| -> Vec<u8> {
        let kept = h264::nals(&keys).filter(|nal| !kinds.contains(&(nal[0] & 31)));
        kept.flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect()
    };
    for (name, bytes, part) in [
        ("a.mjpeg", cut, "it contains no usable picture: 3 were refused: its coded data is cut"),
        ("a.h264", without(&[7, 8]), "2 keyframes among them, and no parameter sets"),
        ("a.h264", without(&[8]), "2 keyframes among them, and no parameter sets"),
        ("a.h264", without(&[5]), "a decoder cannot start with any of 4 H.264 pictures: no keyframe"),
    ] {
        let (_folder, path) = file(name, &bytes);
        let mut clip = VideoClip::open(&path, 30).unwrap();
        match clip.next(Mono::now(), &mut Counts::default()) {
            Err(Fault::Failed(text)) => assert!(text.contains(part), "{text}"),
            _ => panic!("{name}: {part}"),
        }
    }
}

#[test]
fn a_coded_picture_that_is_too_long_is_left_out() {
    let mut stream = h264_stream(2, &[]);
    stream.extend([0, 0, 0, 1, 0x41, 0x9A]);
    stream.resize(stream.len() + h264::LONGEST, 0x55);
    let (_folder, path) = file("a.h264", &stream);
    let mut clip = VideoClip::open(&path, 30).unwrap();
    let mut counts = Counts::default();
    for _ in 0..4 {
        assert!(matches!(next(&mut clip, &mut counts), SourceFrame::Coded { stream, .. } if stream.len() < 100_000));
    }
    assert_eq!(counts.damaged, 1);
    assert!(counts.why.contains("4096 KiB are possible"), "{}", counts.why);
}

#[test]
fn raw_clips_of_odd_sizes_and_with_a_cut_end_are_played() {
    let mut bytes = b"YUV4MPEG2 W33 H19 F0:0 Ip\n".to_vec();
    for n in 0..3_u8 {
        bytes.extend(b"FRAME\n");
        bytes.extend(vec![n * 40; 33 * 19]);
        bytes.extend(vec![n * 40 + 1; 17 * 10]);
        bytes.extend(vec![n * 40 + 2; 17 * 10]);
    }
    bytes.extend(b"rubbishFRAME\n12345");
    let (_folder, path) = file("a.y4m", &bytes);
    let mut clip = VideoClip::open(&path, 25).unwrap();
    assert_eq!(clip.rate(), Rate::whole(25));
    let mut counts = Counts::default();
    for n in [0, 1, 2, 0, 1, 2, 0_u8] {
        let SourceFrame::Planes { planes, .. } = next(&mut clip, &mut counts) else { panic!("no picture") };
        assert_eq!(planes.size(), (32, 18));
        let all = |plane: &[u8], value| plane.iter().all(|&byte| byte == value);
        assert!(all(planes.y(), n * 40) && all(planes.u(), n * 40 + 1) && all(planes.v(), n * 40 + 2), "{n}");
    }
    assert_eq!((counts.damaged, counts.rubbish), (0, 2 * 18));
}
