//! Finds the V4L2 nodes that are H.264 encoders, by their abilities and not by their names.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::video::{
    capture::modes::FourCc,
    encode::layout::WRITTEN,
    sources,
    v4l2::{Control, FORCE_KEY_FRAME, Node, Side, VIDEO_BITRATE},
};

/// An H.264 encoder of this board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HardwareEncoder {
    /// Its node.
    pub node: PathBuf,
    /// The device's name.
    pub card: String,
    /// The driver's name.
    pub driver: String,
    /// Its bus address, as the driver reports it.
    pub bus: String,
    /// The raw formats it accepts (FourCC).
    pub formats: Vec<String>,
    /// Its controls.
    pub controls: Vec<Control>,
    /// Why it cannot be used; `None` if it can.
    pub refused: Option<String>,
}

/// The abilities of a memory-to-memory node that matter.
#[derive(Debug, Default)]
struct Facts {
    raw: Vec<FourCc>,
    coded: Vec<FourCc>,
    makes_keyframes: bool,
    has_bitrate: bool,
}

/// Whether a node can be used.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Not an H.264 encoder.
    Other,
    /// An H.264 encoder that cannot be used, and why.
    Refused(&'static str),
    /// An H.264 encoder that can be used.
    Usable,
}

fn verdict(facts: &Facts) -> Verdict {
    if !facts.coded.contains(&FourCc::H264) {
        return Verdict::Other;
    }
    // Import of a camera's buffers needs other formats. Here, only the formats that we can write count.
    if !facts.raw.iter().any(|fourcc| WRITTEN.contains(fourcc)) {
        return Verdict::Refused("accepts none of YU12, NV12, YM12 and NM12");
    }
    if !facts.makes_keyframes {
        return Verdict::Refused("makes no keyframes on request, so viewers who join would see nothing");
    }
    if !facts.has_bitrate {
        return Verdict::Refused("has no bitrate control");
    }
    Verdict::Usable
}

/// All H.264 encoders, in the order of their nodes.
pub fn encoders() -> Vec<HardwareEncoder> {
    sources::nodes(Path::new("/dev")).into_iter().filter_map(look).collect()
}

fn look(path: PathBuf) -> Option<HardwareEncoder> {
    let node = Node::open(&path).ok()?;
    let identity = node.identity().ok()?;
    if !identity.is_m2m() {
        return None;
    }
    let facts = Facts {
        raw: node.formats(Side::Raw),
        coded: node.formats(Side::Coded),
        makes_keyframes: node.has_control(FORCE_KEY_FRAME),
        has_bitrate: node.has_control(VIDEO_BITRATE),
    };
    let refused = match verdict(&facts) {
        Verdict::Other => return None,
        Verdict::Refused(why) => Some(why.to_owned()),
        Verdict::Usable => None,
    };
    Some(HardwareEncoder {
        node: path,
        card: identity.card,
        driver: identity.driver,
        bus: identity.bus,
        formats: facts.raw.iter().map(ToString::to_string).collect(),
        controls: node.controls(),
        refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fourcc(name: &[u8; 4]) -> FourCc {
        FourCc(u32::from_le_bytes(*name))
    }

    #[test]
    fn encoders_are_known_by_what_they_can_do() {
        let facts = |raw: &[&[u8; 4]], coded: &[&[u8; 4]], makes_keyframes, has_bitrate| Facts {
            raw: raw.iter().map(|name| fourcc(name)).collect(),
            coded: coded.iter().map(|name| fourcc(name)).collect(),
            makes_keyframes,
            has_bitrate,
        };
        for (facts, expected, what) in [
            (facts(&[b"YU12", b"NV12", b"YUYV"], &[b"H264"], true, true), Verdict::Usable, "bcm2835-codec's encoder"),
            (facts(&[b"NM12"], &[b"VP80", b"H264"], true, true), Verdict::Usable, "one with planes and other codecs"),
            (facts(&[b"H264", b"MJPG"], &[b"YU12", b"NV12"], true, true), Verdict::Other, "a decoder"),
            (facts(&[b"YU12", b"RGB3"], &[b"YU12", b"RGB3"], false, false), Verdict::Other, "a converter"),
            (facts(&[b"YU12"], &[b"FWHT"], true, true), Verdict::Other, "vicodec"),
            (facts(&[], &[], false, false), Verdict::Other, "nothing at all"),
        ] {
            assert_eq!(verdict(&facts), expected, "{what}");
        }
        for (facts, part) in [
            (facts(&[b"RGB3"], &[b"H264"], true, true), "YU12"),
            (facts(&[b"YU12"], &[b"H264"], false, true), "keyframes"),
            (facts(&[b"YU12"], &[b"H264"], true, false), "bitrate"),
        ] {
            assert!(matches!(verdict(&facts), Verdict::Refused(why) if why.contains(part)), "{facts:?}");
        }
    }

    #[test]
    fn other_nodes_are_passed_over() {
        assert_eq!(look("/dev/null".into()), None);
        assert_eq!(look("/dev/no-such-node".into()), None);
    }
}
