use openh264::formats::YUVSource;

use super::*;

const SIZE: (u32, u32) = (96, 64);

/// A smooth picture with full chroma, encoded with this subsampling.
fn jpeg(subsamp: Subsamp, size: (u32, u32)) -> Vec<u8> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|i| {
            let (x, y) = (i % width, i / width);
            [(x * 2) as u8, (y * 3) as u8, 100]
        })
        .collect();
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_quality(95).unwrap();
    compressor.set_subsamp(subsamp).unwrap();
    let image = Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    compressor.compress_to_vec(image).unwrap()
}

/// A grey picture of 64x32 with flat blocks, and a restart marker after every `interval` blocks. `mark` returns each
/// marker, or none.
fn restarted(interval: u16, mark: impl Fn(u8) -> Option<u8>) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    out.extend([8; 64]);
    out.extend([0xFF, 0xC0, 0, 11, 8, 0, 32, 0, 64, 1, 1, 0x11, 0]);
    out.extend(tables::standard());
    out.extend([0xFF, 0xDD, 0, 4]);
    out.extend(interval.to_be_bytes());
    out.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    let (mut bits, mut before, mut restarts) = (String::new(), 0_i32, 0);
    for block in 0..32 {
        if block > 0
            && block % i32::from(interval) == 0
            && let Some(marker) = mark(restarts)
        {
            flush(&mut bits, &mut out);
            out.extend([0xFF, marker]);
            (before, restarts) = (0, restarts + 1);
        }
        let value = block * 7 % 60 - 30;
        let step = value - before;
        before = value;
        let length = 32 - step.unsigned_abs().leading_zeros();
        // Codes from the table in K.3.
        bits += ["00", "010", "011", "100", "101", "110", "1110", "11110"][length as usize];
        let low = if step < 0 { step + (1 << length) - 1 } else { step };
        (0..length).rev().for_each(|bit| bits.push(if low >> bit & 1 == 1 { '1' } else { '0' }));
        bits += "1010";
    }
    flush(&mut bits, &mut out);
    out.extend([0xFF, 0xD9]);
    out
}

/// Fills the last byte with ones, and stuffs a zero byte after each FF.
fn flush(bits: &mut String, out: &mut Vec<u8>) {
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0_u8, |byte, bit| byte << 1 | (bit - b'0'));
        out.push(byte);
        out.extend((byte == 0xFF).then_some(0));
    }
    bits.clear();
}

fn decoded(decoder: &mut Jpeg, jpeg: &[u8]) -> Result<Planes, PictureError> {
    let mut planes = None;
    decoder.decode(jpeg, &mut planes).map(|()| planes.unwrap())
}

fn taken(jpeg: &[u8]) -> Result<Planes, PictureError> {
    decoded(&mut Jpeg::new(None).unwrap(), jpeg)
}

fn same(a: &Planes, b: &Planes) -> bool {
    a.size() == b.size() && (a.y(), a.u(), a.v()) == (b.y(), b.u(), b.v())
}

fn worst(a: &Planes, b: &Planes) -> u8 {
    assert_eq!(a.size(), b.size());
    let planes = [(a.y(), b.y()), (a.u(), b.u()), (a.v(), b.v())];
    planes.iter().flat_map(|(a, b)| a.iter().zip(*b)).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// The offset of the first marker of this kind.
fn marker(jpeg: &[u8], marker: u8) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

fn inserted(jpeg: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&jpeg[..at], bytes, &jpeg[at..]].concat()
}

/// Removes all segments of this kind.
fn without(jpeg: &[u8], kind: u8) -> Vec<u8> {
    let mut jpeg = jpeg.to_vec();
    while let Some(at) = jpeg.windows(2).position(|pair| pair == [0xFF, kind]) {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        jpeg.drain(at..at + 2 + length);
    }
    jpeg
}

#[test]
fn every_subsampling_gives_the_same_picture() {
    let expected = taken(&jpeg(Subsamp::Sub2x2, SIZE)).unwrap();
    assert!(expected.u().iter().max() > expected.u().iter().min(), "there is colour in it");
    for subsamp in [Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::None, Subsamp::Sub4x1, Subsamp::Sub1x4] {
        for size in [SIZE, (97, 65), (98, 66)] {
            let planes = taken(&jpeg(subsamp, size)).unwrap_or_else(|e| panic!("{subsamp:?} {size:?}: {e:?}"));
            assert_eq!(planes.colour, Colour::JPEG);
            let expected = taken(&jpeg(Subsamp::Sub2x2, (size.0 & !1, size.1 & !1))).unwrap();
            let worst = worst(&planes, &expected);
            assert!(worst <= 6, "{subsamp:?} {size:?}: {worst}");
        }
    }
    let grey = taken(&jpeg(Subsamp::Gray, SIZE)).unwrap();
    assert!(grey.u().iter().chain(grey.v()).all(|&b| b == 128));
    assert!(grey.y().iter().max() > Some(&60));
}

#[test]
fn unusual_sampling_and_rgb_are_shown_too() {
    let expected = taken(&jpeg(Subsamp::None, SIZE)).unwrap();
    // Luma 1x1, chroma 2x1 and 1x1, which TurboJPEG has no name for. Four blocks in each of 16 groups, all flat.
    let mut odd = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    odd.extend([8; 64]);
    odd.extend([0xFF, 0xC0, 0, 17, 8, 0, 32, 0, 64, 3, 1, 0x11, 0, 2, 0x21, 0, 3, 0x11, 0]);
    odd.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    flush(&mut "001010".repeat(64), &mut odd);
    let flat = taken(&odd).unwrap();
    assert!(flat.size() == (64, 32) && flat.y().iter().chain(flat.u()).all(|sample| sample.abs_diff(128) < 2));
    odd.truncate(odd.len() - 3);
    assert!(taken(&odd).is_err(), "cut");
    let mut rgb = without(&jpeg(Subsamp::None, SIZE), 0xE0);
    rgb = inserted(&rgb, 2, b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0");
    let planes = taken(&rgb).unwrap();
    assert!(!same(&planes, &expected), "the samples are read as red, green and blue");
}

/// What cameras do to their frames, and decoders accept.
fn oddities(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let length = whole.len();
    let thumbnail = [&b"\xFF\xE1\0\x20Exif\0\0"[..], &whole[..20], &[0xFF, 0xD9, 0, 0]].concat();
    let (quantizers, scan) = (marker(whole, 0xDB), marker(whole, 0xDA));
    let mut spectral = whole.to_vec();
    let fields = scan + 5 + 2 * usize::from(whole[scan + 4]);
    spectral[fields..fields + 3].copy_from_slice(&[0, 0, 0]);
    let mut version = whole.to_vec();
    version[11..13].copy_from_slice(&[9, 99]);
    vec![
        ("no end", whole[..length - 2].to_vec()),
        ("half an end", whole[..length - 1].to_vec()),
        ("filled up with zeros", [whole, &[0; 7]].concat()),
        ("filled up in front of its end", inserted(whole, length - 2, &[0; 7])),
        ("no end, filled up", [&whole[..length - 2], &[0; 600]].concat()),
        ("two ends", [whole, &[0xFF, 0xD9]].concat()),
        ("two beginnings", [&[0xFF, 0xD8], whole].concat()),
        ("rubbish in front", [&[0, 0xFF, 0xD8, 3], whole].concat()),
        ("rubbish between segments", inserted(whole, quantizers, &[0; 5])),
        ("rubbish behind SOI", inserted(whole, 2, &[0xFF, 0xFF])),
        ("a thumbnail", inserted(whole, 2, &thumbnail)),
        ("a comment", inserted(whole, 2, b"\xFF\xFE\0\x08\xFF\xD8\xFF\xD9ab")),
        ("an unknown version of JFIF", version),
        ("an unknown transform of Adobe", inserted(whole, 2, b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\x07")),
        ("no JFIF", without(whole, 0xE0)),
        ("the standard's Huffman tables left out", without(whole, 0xC4)),
        ("restarts announced that do not come", inserted(whole, quantizers, &[0xFF, 0xDD, 0, 4, 0, 3])),
        ("spectral selection of nothing", spectral),
        ("a second picture behind it", [whole, whole].concat()),
        ("a picture without an end and a second one", [&whole[..length - 2], whole].concat()),
        (
            "the header of a stream behind it",
            [&whole[..length - 2], b"\r\n--x\r\nContent-Type: image/jpeg\r\n"].concat(),
        ),
    ]
}

#[test]
fn what_is_wrong_around_the_coded_data_does_not_matter() {
    for subsamp in [Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Gray] {
        let whole = jpeg(subsamp, SIZE);
        let expected = taken(&whole).unwrap();
        // One decoder for all, so that tables of one frame must not be missing in the next.
        let mut decoder = Jpeg::new(Some(SIZE)).unwrap();
        for (what, odd) in oddities(&whole) {
            for decoder in [&mut decoder, &mut Jpeg::new(None).unwrap()] {
                let planes = decoded(decoder, &odd).unwrap_or_else(|e| panic!("{subsamp:?}, {what}: {e:?}"));
                assert!(same(&planes, &expected), "{subsamp:?}, {what}: another picture");
            }
        }
    }
}

/// Another decoder shows the same picture, so these oddities are realistic.
#[test]
fn ffmpeg_takes_the_same_oddities() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let by_ffmpeg = |jpeg: &[u8]| {
        std::fs::write(&path, jpeg).unwrap();
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "quiet", "-f", "mjpeg", "-i"]).arg(&path).args(["-frames:v", "1", "-f", "rawvideo", "-"]);
        ffmpeg.output().expect("ffmpeg is installed").stdout
    };
    let whole = jpeg(Subsamp::Sub2x1, SIZE);
    let expected = by_ffmpeg(&whole);
    assert_eq!(expected.len(), (SIZE.0 * SIZE.1 * 2) as usize);
    for (what, odd) in oddities(&whole) {
        // Its demuxer needs SOI at the start, and accepts no other spectral selection.
        if !["rubbish in front", "spectral selection of nothing"].contains(&what) {
            assert_eq!(by_ffmpeg(&odd), expected, "{what}");
        }
    }
}

#[test]
fn restart_markers_need_not_be_counted_right() {
    let right = |n: u8| Some(0xD0 + n % 8);
    let expected = taken(&restarted(4, right)).unwrap();
    assert!(expected.y().iter().min() < Some(&110) && expected.y().iter().max() > Some(&150), "it is no flat picture");
    type Mark = fn(u8) -> Option<u8>;
    let wrong: [(&str, Mark); 5] = [
        ("from 1 up", |n| Some(0xD0 + (n + 1) % 8)),
        ("all the same", |_| Some(0xD0)),
        ("backwards", |n| Some(0xD7 - n % 8)),
        ("two for one", |n| Some(0xD0 + n * 2 % 8)),
        ("none", |_| None),
    ];
    for (what, mark) in wrong {
        assert!(same(&taken(&restarted(4, mark)).unwrap_or_else(|e| panic!("{what}: {e:?}")), &expected), "{what}");
    }
    let mut trailing = restarted(4, right);
    trailing.splice(trailing.len() - 2.., [0xFF, 0xD7, 0xFF, 0xD9]);
    assert!(same(&taken(&trailing).unwrap(), &expected), "a restart marker after the last block");
    // A missing part is cut data, whatever the marker numbers are.
    let whole = restarted(4, right);
    let (from, to) = (marker(&whole, 0xD2), marker(&whole, 0xD3));
    let lost = [&whole[..from], &whole[to..]].concat();
    assert!(taken(&lost).is_err());
}

#[test]
fn a_picture_that_is_cut_is_refused_and_the_next_is_fine() {
    const SMALL: (u32, u32) = (48, 32);
    for (name, whole) in [
        ("4:2:2", jpeg(Subsamp::Sub2x1, SMALL)),
        ("4:2:0", jpeg(Subsamp::Sub2x2, SMALL)),
        ("4:1:1", jpeg(Subsamp::Sub4x1, SMALL)),
        ("grey", jpeg(Subsamp::Gray, SMALL)),
        ("restarts", restarted(4, |n| Some(0xD0 + n % 8))),
    ] {
        let mut decoder = Jpeg::new(None).unwrap();
        decoded(&mut decoder, &whole).unwrap();
        let scan = marker(&whole, 0xDA);
        // Each byte of the coded data, and some of the tables.
        for length in (0..scan).step_by(23).chain(scan..whole.len() - 2) {
            for tail in [&[][..], &[0xFF, 0xD9], &[0; 40], &whole] {
                // Cut before its coded data, a frame may count as none, and the next one is found.
                let next = tail == whole && length <= scan + 4;
                // Zeros are valid codes, and may look like the end of a frame that is nearly complete.
                let codes = tail == [0; 40] && length + 60 > whole.len();
                let cut = [&whole[..length], tail].concat();
                let taken = decoded(&mut decoder, &cut).is_ok();
                assert!(!taken || next || codes, "{name}: {length} of {}, then {tail:x?}", whole.len());
            }
        }
        decoded(&mut decoder, &whole).unwrap();
    }
}

#[test]
fn no_byte_of_a_broken_picture_spoils_the_next() {
    let mut decoder = Jpeg::new(None).unwrap();
    let whole = jpeg(Subsamp::Sub2x1, SIZE);
    let expected = decoded(&mut decoder, &whole).unwrap();
    for i in (0..whole.len()).step_by(if cfg!(debug_assertions) { 3 } else { 1 }) {
        let mut damaged = whole.clone();
        damaged[i] = !damaged[i];
        let _ = decoded(&mut decoder, &damaged);
        let planes = decoded(&mut decoder, &whole).unwrap_or_else(|e| panic!("after damage at {i}: {e:?}"));
        assert!(same(&planes, &expected), "after damage at {i}");
    }
}

#[test]
fn a_size_that_was_not_agreed_is_cropped_or_shown_as_it_is() {
    for (agreed, own, shown) in [
        ((96, 64), (96, 64), (96, 64)),
        ((96, 60), (96, 64), (96, 60)),
        ((90, 52), (96, 64), (90, 52)),
        ((96, 64), (97, 65), (96, 64)),
        ((96, 64), (640, 360), (640, 360)),
        ((96, 64), (95, 63), (94, 62)),
        ((96, 64), (112, 64), (112, 64)),
    ] {
        for subsamp in [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::Sub4x1, Subsamp::None] {
            let mut decoder = Jpeg::new(Some(agreed)).unwrap();
            let picture = jpeg(subsamp, own);
            let mut planes = decoded(&mut decoder, &picture);
            if shown != agreed {
                assert!(matches!(&planes, Err(PictureError(text)) if text.contains("size differs")), "{planes:?}");
                planes = decoded(&mut decoder, &picture);
            }
            let planes = planes.unwrap_or_else(|e| panic!("{agreed:?} {own:?}: {e:?}"));
            assert_eq!(planes.size(), (shown.0 as usize, shown.1 as usize), "{agreed:?} {own:?}");
            let cropped = jpeg(subsamp, shown);
            assert!(worst(&planes, &taken(&cropped).unwrap()) <= 16, "{agreed:?} {own:?} {subsamp:?}");
        }
    }
    // One frame of another size between others is a preview, or damaged.
    let mut decoder = Jpeg::new(None).unwrap();
    let (large, small) = (jpeg(Subsamp::Sub2x2, SIZE), jpeg(Subsamp::Sub2x2, (32, 32)));
    for _ in 0..3 {
        assert!(decoded(&mut decoder, &large).is_ok());
        assert!(decoded(&mut decoder, &small).is_err());
    }
    assert!(decoded(&mut decoder, &small).is_ok());
}

#[test]
fn what_can_never_be_shown_says_why() {
    let of = |jpeg: &[u8]| taken(jpeg).unwrap_err().0;
    assert!(of(b"hello").contains("contains no JPEG"));
    assert!(of(&[]).contains("contains no JPEG"));
    assert!(of(&jpeg(Subsamp::Sub2x2, (8, 8))).contains("16x16 to 3840x2160"));
    let mut four = jpeg(Subsamp::None, SIZE);
    let at = marker(&four, 0xC0);
    four[at + 9] = 4;
    assert!(of(&four).contains("4 components"), "{}", of(&four));
    let mut deep = jpeg(Subsamp::None, SIZE);
    deep[at + 4] = 12;
    assert!(of(&deep).contains("12 bits"));
    let mut huge = jpeg(Subsamp::None, SIZE);
    huge[at + 5..at + 9].fill(0x7F);
    assert!(of(&huge).contains("32638x32638"), "{}", of(&huge));
}

#[test]
fn the_standard_tables_are_those_of_the_library() {
    let jpeg = jpeg(Subsamp::Sub2x2, SIZE);
    let mut tidy = Tidy::default();
    let mut bare = Tidy::default();
    let without = without(&jpeg, 0xC4);
    assert_ne!(without.len(), jpeg.len());
    let tables = |picture: &[u8]| {
        let mut tables: Vec<Vec<u8>> = Vec::new();
        let mut rest = picture;
        while let Some(at) = rest.windows(2).position(|pair| pair == [0xFF, 0xC4]) {
            let length = usize::from(u16::from_be_bytes([rest[at + 2], rest[at + 3]]));
            tables.push(rest[at..at + 2 + length].to_vec());
            rest = &rest[at + 2 + length..];
        }
        tables.sort();
        tables
    };
    assert_eq!(tables(tidy.picture(&jpeg).unwrap()), tables(bare.picture(&without).unwrap()));
}

#[test]
fn a_jpeg_that_is_longer_than_its_picture_is_not_looked_at() {
    for (length, size, is_too_long) in [
        (4 << 20, (1280, 720), false),
        ((4 << 20) + 1, (1280, 720), true),
        (20 << 20, (1280, 720), true),
        (8 << 20, (3840, 2160), false),
        (20 << 20, (3840, 2160), true),
    ] {
        assert_eq!(too_long(length, size).is_some(), is_too_long, "{length} {size:?}");
    }
    assert_eq!(too_long(20 << 20, (640, 480)), Some(PictureError("a JPEG of 20480 KiB; 4096 KiB are possible".into())));
}
