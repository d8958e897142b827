//! V4L2 nodes: their identity, their formats, and their streams.

mod controls;
mod m2m;
mod stream;
mod sys;
mod wait;
mod word;

use std::{
    io,
    path::{Path, PathBuf},
};

use v4l::v4l_sys as raw;

pub use controls::Control;
pub(crate) use controls::{FORCE_KEY_FRAME, PRIVACY, REPEAT_SEQ_HEADER, VIDEO_BITRATE, codec};
pub(crate) use m2m::{Asked, Done, Queue, Side};
pub(crate) use stream::{Buffer, CaptureStream, Shared};
pub(crate) use wait::pause;

use crate::video::{
    capture::modes::{FormatOffer, FourCc, Range, Rates, Sizes},
    decode::planes::Colour,
    frame_pace::Rate,
};

/// How many formats are listed at most, in case a driver's list never ends.
const MOST: u32 = 256;
/// The same for the sizes of a format, and the rates of a size.
const MOST_SIZES: u32 = 64;

/// An open node.
#[derive(Debug)]
pub(crate) struct Node {
    fd: sys::Fd,
    /// Its path, as it was given.
    pub(crate) path: PathBuf,
}

/// What VIDIOC_QUERYCAP returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The device's name.
    pub(crate) card: String,
    /// The driver's name.
    pub(crate) driver: String,
    /// Its bus address.
    pub(crate) bus: String,
    capabilities: u32,
}

/// The layout of a node's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planarity {
    /// One memory plane for a frame.
    Single,
    /// One memory plane for each colour plane.
    Multi,
}

impl Planarity {
    fn buffer_type(self) -> u32 {
        match self {
            Self::Single => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::Multi => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

impl Identity {
    /// How frames are captured from the node, or why they cannot be.
    pub(crate) fn capture(&self) -> Result<Planarity, &'static str> {
        let has = |flags: u32| self.capabilities & flags != 0;
        if has(raw::V4L2_CAP_VIDEO_M2M | raw::V4L2_CAP_VIDEO_M2M_MPLANE) {
            return Err("a codec or converter, not a camera");
        }
        let planarity = if has(raw::V4L2_CAP_VIDEO_CAPTURE) {
            Planarity::Single
        } else if has(raw::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
            Planarity::Multi
        } else if has(raw::V4L2_CAP_META_CAPTURE) {
            return Err("delivers metadata, not pictures");
        } else if has(raw::V4L2_CAP_VIDEO_OUTPUT | raw::V4L2_CAP_VIDEO_OUTPUT_MPLANE) {
            return Err(
                "an output, which delivers no pictures (a loopback device delivers once a program writes to it)",
            );
        } else {
            return Err("captures no pictures");
        };
        if has(raw::V4L2_CAP_STREAMING) { Ok(planarity) } else { Err("cannot stream into mapped memory") }
    }
}

/// The format that the driver set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Pixel format.
    pub(crate) fourcc: FourCc,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Bytes per row, for each memory plane.
    pub(crate) strides: Vec<usize>,
    /// Bytes of each memory plane.
    pub(crate) lengths: Vec<usize>,
    /// The colour space of the samples.
    pub(crate) colour: Colour,
    /// Whether the rows of two fields are interleaved.
    pub(crate) interlaced: bool,
}

/// An event of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeEvent {
    /// The source has a new size or rate.
    SourceChange,
    /// The stream has ended.
    EndOfStream,
    /// A control has a new value.
    Control {
        /// Its id.
        id: u32,
        /// The value.
        value: i64,
    },
}

impl Node {
    /// Opens a node.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: sys::Fd::open(path)?, path: path.to_owned() })
    }

    /// Asks the driver for its identity (VIDIOC_QUERYCAP).
    pub(crate) fn identity(&self) -> io::Result<Identity> {
        let mut caps: raw::v4l2_capability = sys::zeroed();
        self.fd.call(&sys::QUERYCAP, &mut caps)?;
        let own = caps.capabilities & raw::V4L2_CAP_DEVICE_CAPS != 0;
        Ok(Identity {
            card: text(&caps.card),
            driver: text(&caps.driver),
            bus: text(&caps.bus_info),
            // For a device with several nodes, the capabilities of this node.
            capabilities: if own { caps.device_caps } else { caps.capabilities },
        })
    }

    /// All formats of the node, with sizes and rates.
    pub(crate) fn offers(&self, planarity: Planarity) -> Vec<FormatOffer> {
        let mut offers = Vec::new();
        for fourcc in self.enumerated(planarity.buffer_type()) {
            if offers.iter().any(|offer: &FormatOffer| offer.fourcc == fourcc) {
                // Listed twice; its sizes would be too.
                continue;
            }
            // The sizes of formats that cannot be used would only cost time.
            let sizes = if fourcc.format().is_some() { self.sizes(fourcc) } else { Sizes::Unknown };
            offers.push(FormatOffer { fourcc, sizes });
        }
        offers
    }

    /// The formats of one buffer type.
    fn enumerated(&self, kind: u32) -> impl Iterator<Item = FourCc> {
        word::listed(MOST, move |index| {
            let mut format: raw::v4l2_fmtdesc = sys::zeroed();
            (format.index, format.type_) = (index, kind);
            self.fd.call(&sys::ENUM_FMT, &mut format).ok().map(|()| FourCc(format.pixelformat))
        })
    }

    fn sizes(&self, fourcc: FourCc) -> Sizes {
        let mut listed = Vec::new();
        let next = |index| {
            let mut size: raw::v4l2_frmsizeenum = sys::zeroed();
            (size.index, size.pixel_format) = (index, fourcc.0);
            self.fd.call(&sys::ENUM_FRAMESIZES, &mut size).ok().map(|()| size)
        };
        for size in word::listed(MOST_SIZES, next) {
            let [width, height] = sys::frame_size(&size);
            if size.type_ != raw::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // Rates are asked for at the largest size. Smaller sizes can do them too.
                let rates = self.rates(fourcc, (width[1], height[1]));
                let range = |[min, max, step]: [u32; 3]| Range { min, max, step };
                return Sizes::Ranges { width: range(width), height: range(height), rates };
            }
            let size = (width[0], height[0]);
            listed.push((size, self.rates(fourcc, size)));
        }
        if listed.is_empty() { Sizes::Unknown } else { Sizes::Listed(listed) }
    }

    fn rates(&self, fourcc: FourCc, (width, height): (u32, u32)) -> Rates {
        let mut listed = Vec::new();
        let next = |index| {
            let mut interval: raw::v4l2_frmivalenum = sys::zeroed();
            (interval.index, interval.pixel_format) = (index, fourcc.0);
            (interval.width, interval.height) = (width, height);
            self.fd.call(&sys::ENUM_FRAMEINTERVALS, &mut interval).ok().map(|()| interval)
        };
        for interval in word::listed(MOST_SIZES, next) {
            let [shortest, longest] = sys::interval(&interval).map(|(n, d)| Rate::checked(d, n));
            if interval.type_ == raw::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                listed.extend(shortest);
            } else if let Some(fastest) = shortest {
                // A slowest rate near zero does not matter.
                return Rates::Between(longest.unwrap_or(Rate::whole(1)), fastest);
            }
        }
        if listed.is_empty() { Rates::Unknown } else { Rates::Listed(listed) }
    }

    /// Requests a format. Returns the format that the driver set.
    pub(crate) fn set_format(&self, planarity: Planarity, fourcc: FourCc, size: (u32, u32)) -> io::Result<Given> {
        let mut format: raw::v4l2_format = sys::zeroed();
        format.type_ = planarity.buffer_type();
        match planarity {
            Planarity::Single => {
                format.fmt.pix = raw::v4l2_pix_format {
                    width: size.0,
                    height: size.1,
                    pixelformat: fourcc.0,
                    field: raw::v4l2_field_V4L2_FIELD_ANY,
                    ..zeroed_pix()
                };
            }
            Planarity::Multi => {
                format.fmt.pix_mp = raw::v4l2_pix_format_mplane {
                    width: size.0,
                    height: size.1,
                    pixelformat: fourcc.0,
                    field: raw::v4l2_field_V4L2_FIELD_ANY,
                    num_planes: fourcc.planes(),
                    ..zeroed_mplane()
                };
            }
        }
        self.fd.call(&sys::S_FMT, &mut format)?;
        Ok(given(&sys::layout(&format)))
    }

    /// How the current format differs from the one that was set; `None` if it does not, or cannot be read.
    pub(crate) fn changed(&self, planarity: Planarity, settled: &Given) -> Option<String> {
        let mut format: raw::v4l2_format = sys::zeroed();
        format.type_ = planarity.buffer_type();
        self.fd.call(&sys::G_FMT, &mut format).ok()?;
        word::changed(settled, &given(&sys::layout(&format)))
    }

    /// Requests a rate. Returns the rate that the driver set; `None` if it does not report it.
    pub(crate) fn set_rate(&self, planarity: Planarity, rate: Rate) -> Option<Rate> {
        let mut parm: raw::v4l2_streamparm = sys::zeroed();
        parm.type_ = planarity.buffer_type();
        parm.parm.capture.timeperframe = raw::v4l2_fract { numerator: rate.seconds, denominator: rate.frames };
        // Cameras with a fixed rate refuse the call.
        self.fd.call(&sys::S_PARM, &mut parm).ok()?;
        let (seconds, frames) = sys::settled_interval(&parm)?;
        Rate::checked(frames, seconds)
    }

    /// What the input lacks, such as power or a signal, if the driver reports it.
    pub(crate) fn trouble(&self) -> Option<&'static str> {
        let mut index = 0;
        self.fd.call(&sys::G_INPUT, &mut index).ok()?;
        let mut input: raw::v4l2_input = sys::zeroed();
        input.index = u32::try_from(index).ok()?;
        self.fd.call(&sys::ENUM_INPUT, &mut input).ok()?;
        let problems = [
            (raw::V4L2_IN_ST_NO_POWER, "has no power"),
            (raw::V4L2_IN_ST_NO_SIGNAL, "has no signal"),
            (raw::V4L2_IN_ST_NO_SYNC | raw::V4L2_IN_ST_NO_H_LOCK, "cannot lock to its signal"),
        ];
        problems.iter().find(|(flags, _)| input.status & flags != 0).map(|(_, text)| *text)
    }

    /// Subscribes to events. Drivers without events refuse, which is no fault.
    pub(crate) fn subscribe(&self) {
        for event in [raw::V4L2_EVENT_SOURCE_CHANGE, raw::V4L2_EVENT_EOS] {
            let mut subscription: raw::v4l2_event_subscription = sys::zeroed();
            subscription.type_ = event;
            let _ = self.fd.call(&sys::SUBSCRIBE_EVENT, &mut subscription);
        }
    }

    /// Subscribes to the changes and the current value of a control. Drivers without events refuse, which is no fault.
    pub(crate) fn subscribe_to(&self, control: u32) {
        let mut subscription: raw::v4l2_event_subscription = sys::zeroed();
        (subscription.type_, subscription.id) = (raw::V4L2_EVENT_CTRL, control);
        subscription.flags = raw::V4L2_EVENT_SUB_FL_SEND_INITIAL;
        let _ = self.fd.call(&sys::SUBSCRIBE_EVENT, &mut subscription);
    }

    /// Takes a pending event.
    pub(crate) fn event(&self) -> Option<NodeEvent> {
        let mut event: raw::v4l2_event = sys::zeroed();
        self.fd.call(&sys::DQEVENT, &mut event).ok()?;
        match event.type_ {
            raw::V4L2_EVENT_SOURCE_CHANGE => Some(NodeEvent::SourceChange),
            raw::V4L2_EVENT_EOS => Some(NodeEvent::EndOfStream),
            raw::V4L2_EVENT_CTRL => Some(NodeEvent::Control { id: event.id, value: sys::control_value(&event).into() }),
            _ => None,
        }
    }
}

fn zeroed_pix() -> raw::v4l2_pix_format {
    let format: raw::v4l2_format = sys::zeroed();
    match sys::layout(&format) {
        sys::PixelLayout::Single(pix) => pix,
        sys::PixelLayout::Multi(_) => unreachable!("type 0 is read as single-planar"),
    }
}

fn zeroed_mplane() -> raw::v4l2_pix_format_mplane {
    let mut format: raw::v4l2_format = sys::zeroed();
    format.type_ = Planarity::Multi.buffer_type();
    match sys::layout(&format) {
        sys::PixelLayout::Multi(pix) => pix,
        sys::PixelLayout::Single(_) => unreachable!("the multi-planar type is read as such"),
    }
}

fn given(layout: &sys::PixelLayout) -> Given {
    let encoding = sys::encoding(layout);
    match layout {
        sys::PixelLayout::Single(pix) => Given {
            fourcc: FourCc(pix.pixelformat),
            size: (pix.width, pix.height),
            strides: vec![pix.bytesperline as usize],
            lengths: vec![pix.sizeimage as usize],
            colour: word::colour(pix.colorspace, encoding, pix.quantization),
            interlaced: pix.field > raw::v4l2_field_V4L2_FIELD_NONE,
        },
        sys::PixelLayout::Multi(pix) => {
            let planes = pix.plane_fmt;
            let each = |value: fn(&raw::v4l2_plane_pix_format) -> u32| {
                planes.iter().take(pix.num_planes.into()).map(|plane| value(plane) as usize).collect()
            };
            Given {
                fourcc: FourCc(pix.pixelformat),
                size: (pix.width, pix.height),
                strides: each(|plane| plane.bytesperline),
                lengths: each(|plane| plane.sizeimage),
                colour: word::colour(pix.colorspace, encoding, u32::from(pix.quantization)),
                interlaced: pix.field > raw::v4l2_field_V4L2_FIELD_NONE,
            }
        }
    }
}

/// A name from the kernel: any bytes up to the first zero.
fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(&bytes[..length]).chars().map(printable).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    mod board;

    use super::*;

    fn identity(capabilities: u32) -> Identity {
        Identity { card: "a".into(), driver: "b".into(), bus: "c".into(), capabilities }
    }

    #[test]
    fn only_capture_nodes_are_cameras() {
        let streaming = raw::V4L2_CAP_STREAMING;
        for (capabilities, expected) in [
            (raw::V4L2_CAP_VIDEO_CAPTURE | streaming, Ok(Planarity::Single)),
            (raw::V4L2_CAP_VIDEO_CAPTURE_MPLANE | streaming, Ok(Planarity::Multi)),
            (raw::V4L2_CAP_VIDEO_CAPTURE | raw::V4L2_CAP_READWRITE, Err("cannot stream")),
            (raw::V4L2_CAP_VIDEO_M2M_MPLANE | streaming, Err("codec")),
            (raw::V4L2_CAP_META_CAPTURE | streaming, Err("metadata")),
            (raw::V4L2_CAP_VIDEO_OUTPUT | streaming, Err("output")),
            (raw::V4L2_CAP_TUNER, Err("no pictures")),
        ] {
            match (identity(capabilities).capture(), expected) {
                (Ok(a), Ok(b)) => assert_eq!(a, b),
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (result, _) => panic!("{capabilities:x}: {result:?}"),
            }
        }
    }

    #[test]
    fn names_of_drivers_need_not_be_text() {
        assert_eq!(text(b"USB\xFFCam\x1b[2J\0rest"), "USB\u{FFFD}Cam [2J");
        assert_eq!(text(&[b'x'; 32]), "x".repeat(32));
    }

    #[test]
    fn what_is_not_a_camera_answers_with_an_error() {
        let null = Node::open(Path::new("/dev/null")).unwrap();
        assert!(null.identity().is_err());
        assert!(null.offers(Planarity::Single).is_empty());
        assert!(null.set_format(Planarity::Multi, FourCc::NV12, (640, 480)).is_err());
        assert_eq!(null.event(), None);
        assert_eq!(Node::open(Path::new("/dev/no-such-camera")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
