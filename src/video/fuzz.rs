//! Bodies of fuzz targets: pictures and streams of cameras and files.

use std::path::Path;

use super::{
    Taken,
    clip::Clip,
    h264::{Cutter, nals},
    jpeg::Jpeg,
    planes::{Colour, Planes},
    sps,
};
use crate::meter::Counts;

/// Pictures of a file that are read.
const PICTURES: usize = 40;
/// Pixels of the largest picture that is decoded here: larger ones take long and find nothing more.
const PIXELS: u32 = 640 * 480;

/// One JPEG picture of a camera.
pub(crate) fn jpeg(data: &[u8]) {
    let Ok(mut decoder) = Jpeg::new() else { return };
    let Ok(size) = decoder.size(data) else { return };
    if size.0.saturating_mul(size.1) > PIXELS {
        return;
    }
    let Ok(mut planes) = Planes::new(size, Colour::default()) else { return };
    let _ = decoder.decode(data, &mut planes);
}

/// Access units: parameter sets are read, and each unit is cut into RTP payloads.
pub(crate) fn h264(data: &[u8]) {
    let units: Vec<&[u8]> = nals(data).collect();
    for unit in &units {
        let _ = sps::parse(unit);
        let _ = sps::with_colour(unit, Colour::JPEG);
    }
    let mut packetizer = Cutter::default();
    for unit in units.chunks(4) {
        if let Some(cut) = packetizer.cut(unit) {
            assert!(cut.payloads.iter().all(|payload| (1..=1200).contains(&payload.len())));
        }
    }
}

/// A file, played from its start.
pub(crate) fn clip(path: &Path) {
    let Ok(mut clip) = Clip::open(path, 30) else { return };
    let mut counts = Counts::default();
    for _ in 0..PICTURES {
        match clip.next(clip.due(), &mut counts) {
            Ok(Taken::Planes { planes, .. }) => assert!(planes.size().0 > 0),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
