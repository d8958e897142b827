//! The bodies of fuzz targets: frames and streams from cameras and files.

use std::path::Path;

use crate::{
    meter::Counts,
    video::{
        SourceFrame,
        decode::{jpeg::Jpeg, planes::Colour},
        h264::{H264Packetizer, nals, sps},
        sources::clip::VideoClip,
    },
};

/// How many frames of a file are read.
const PICTURES: usize = 40;
/// The largest picture that is decoded here, in pixels. Larger ones take long and find nothing more.
const PIXELS: u32 = 640 * 480;

/// One JPEG frame of a camera.
pub(crate) fn jpeg(data: &[u8]) {
    // Looks for anything that could be a frame header (SOF), with its height and width.
    let is_large = |head: &[u8]| {
        let side = |at: usize| u32::from(u16::from_be_bytes([head[at], head[at + 1]]));
        head[0] == 0xFF && (0xC0..=0xCF).contains(&head[1]) && side(5) * side(7) > PIXELS
    };
    if data.windows(9).any(is_large) {
        return;
    }
    let Ok(mut decoder) = Jpeg::new(None) else { return };
    let _ = decoder.decode(data, &mut None);
}

/// Access units: reads the parameter sets, and cuts each unit into RTP payloads.
pub(crate) fn h264(data: &[u8]) {
    let units: Vec<&[u8]> = nals(data).collect();
    for unit in &units {
        let _ = sps::parse(unit);
        let _ = sps::with_colour(unit, Colour::JPEG);
    }
    let mut packetizer = H264Packetizer::default();
    for unit in units.chunks(4) {
        if let Some(cut) = packetizer.packetize(unit) {
            assert!(cut.unit.payloads().all(|payload| (1..=1200).contains(&payload.len())));
        }
    }
}

/// A media file, played from its start.
pub(crate) fn clip(path: &Path) {
    let Ok(mut clip) = VideoClip::open(path, 30) else { return };
    let mut counts = Counts::default();
    for _ in 0..PICTURES {
        match clip.next(clip.due(), &mut counts) {
            Ok(SourceFrame::Planes { planes, .. }) => assert!(planes.size().0 > 0),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
