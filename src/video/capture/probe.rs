//! Lists the cameras with their abilities, and the configuration lines for each.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    config::{PixelFormat, Video},
    video::{
        capture::{
            camera::{self, CaptureNode},
            modes::{self, FormatOffer, Mode, Rates, Sizes},
        },
        sources,
        v4l2::{Control, Node},
    },
};

/// A V4L2 node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbedCamera {
    /// Its path.
    pub node: PathBuf,
    /// A path that stays the same if cameras are plugged in in another order.
    pub stable: Option<PathBuf>,
    /// The device's name.
    pub card: String,
    /// The driver's name.
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// The formats it offers.
    pub formats: Vec<ProbedFormat>,
    /// Its controls.
    pub controls: Vec<Control>,
    /// Why it cannot be used; `None` if it can.
    pub refused: Option<String>,
    /// The configuration lines for this camera, with the mode that the defaults lead to. Empty if it cannot be used.
    pub config: String,
}

/// A pixel format.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbedFormat {
    /// The driver's name of it.
    pub fourcc: String,
    /// Its name in the configuration; `None` if it cannot be used.
    pub name: Option<&'static str>,
    /// The sizes, and the frame rates at each.
    pub modes: Vec<Size>,
}

/// A size of a format.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// `1280x720`, or `32x32 to 4096x4096`.
    pub size: String,
    /// `30`, `12.50`, or `1 to 60`; empty if the driver does not report it.
    pub fps: Vec<String>,
}

/// All V4L2 nodes of this board, in the order of their numbers.
pub fn probe() -> Vec<ProbedCamera> {
    sources::nodes(Path::new("/dev")).into_iter().map(look).collect()
}

fn look(node: PathBuf) -> ProbedCamera {
    let stable = stable(&node);
    let empty = ProbedCamera {
        node,
        stable,
        card: String::new(),
        driver: String::new(),
        bus: String::new(),
        formats: Vec::new(),
        controls: Vec::new(),
        refused: None,
        config: String::new(),
    };
    match camera::find(&empty.node) {
        Err(fault) => {
            // The name is useful even if the node is not a camera.
            let identity = Node::open(&empty.node).and_then(|node| node.identity()).ok();
            let (card, driver, bus) = identity.map(|i| (i.card, i.driver, i.bus)).unwrap_or_default();
            ProbedCamera { card, driver, bus, refused: Some(fault.to_string()), ..empty }
        }
        Ok(found) => {
            let mode = camera::mode(&found, &Video::default());
            let CaptureNode { node, identity, planarity } = found;
            ProbedCamera {
                card: identity.card,
                driver: identity.driver,
                bus: identity.bus,
                formats: node.offers(planarity).iter().map(format).collect(),
                controls: node.controls(),
                refused: mode.as_ref().err().map(ToString::to_string),
                config: mode
                    .map_or_else(|_| String::new(), |mode| lines(empty.stable.as_ref().unwrap_or(&empty.node), &mode)),
                ..empty
            }
        }
    }
}

fn lines(path: &Path, mode: &Mode) -> String {
    let (width, height) = mode.size;
    // `fps` is a whole number. It is rounded up, so that no frame of the camera is dropped.
    let fps = mode.rate.map_or(Video::default().fps, |rate| rate.fps().ceil().clamp(1.0, 1000.0) as u32);
    let format = modes::name(mode.format);
    let path = path.display();
    format!("[video]\nsource = \"{path}\"\nformat = \"{format}\"\nsize = \"{width}x{height}\"\nfps = {fps}\n")
}

fn format(offer: &FormatOffer) -> ProbedFormat {
    let modes = match &offer.sizes {
        Sizes::Unknown => Vec::new(),
        Sizes::Ranges { width, height, rates } => {
            let size = format!("{}x{} to {}x{}", width.min, height.min, width.max, height.max);
            vec![Size { size, fps: fps(rates) }]
        }
        Sizes::Listed(sizes) => sizes
            .iter()
            .map(|((width, height), rates)| Size { size: format!("{width}x{height}"), fps: fps(rates) })
            .collect(),
    };
    let usable: Option<PixelFormat> = offer.fourcc.format();
    ProbedFormat { fourcc: offer.fourcc.to_string(), name: usable.map(modes::name), modes }
}

fn fps(rates: &Rates) -> Vec<String> {
    match rates {
        Rates::Unknown => Vec::new(),
        Rates::Listed(rates) => rates.iter().map(ToString::to_string).collect(),
        Rates::Between(slowest, fastest) => vec![format!("{slowest} to {fastest}")],
    }
}

/// The link to a node in `/dev/v4l` by serial number, or else by port.
fn stable(node: &Path) -> Option<PathBuf> {
    let node = node.canonicalize().ok()?;
    ["/dev/v4l/by-id", "/dev/v4l/by-path"].iter().find_map(|folder| {
        let links = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let mut links: Vec<PathBuf> = links.filter(|link| link.canonicalize().is_ok_and(|to| to == node)).collect();
        links.sort();
        links.into_iter().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::{capture::modes::FourCc, frame_pace::Rate};

    #[test]
    fn the_lines_are_ready_to_be_pasted() {
        let fourcc = FourCc::NV12;
        let mode = Mode { fourcc, format: PixelFormat::Mjpeg, size: (1280, 720), rate: Rate::checked(25, 2) };
        let text = lines(Path::new("/dev/video0"), &mode);
        assert_eq!(text, "[video]\nsource = \"/dev/video0\"\nformat = \"mjpeg\"\nsize = \"1280x720\"\nfps = 13\n");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["video"]["fps"].as_integer(), Some(13));
    }

    #[test]
    fn offers_are_shown_as_they_are() {
        let listed = Rates::Listed(vec![Rate::whole(30), Rate::checked(25, 2).unwrap()]);
        let offer = FormatOffer { fourcc: FourCc::NV12, sizes: Sizes::Listed(vec![((640, 480), listed)]) };
        let json = serde_json::to_value(format(&offer)).unwrap();
        let expected = serde_json::json!({
            "fourcc": "NV12", "name": "nv12", "modes": [{"size": "640x480", "fps": ["30", "12.50"]}]
        });
        assert_eq!(json, expected);
        let grey = FormatOffer { fourcc: FourCc(u32::from_le_bytes(*b"GREY")), sizes: Sizes::Unknown };
        assert_eq!(format(&grey).name, None);
    }

    #[test]
    fn a_node_that_is_no_camera_says_why() {
        let camera = look("/dev/null".into());
        assert_eq!(camera.refused.as_deref(), Some("camera /dev/null: not a V4L2 device"));
        assert_eq!(camera.config, "");
    }
}
