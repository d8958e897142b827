//! From planes to coded pictures. Closed choice: the board's encoder, or the processor.

pub(crate) mod budget;
mod closing;
pub(crate) mod coder;
mod controls;
mod discovery;
mod hardware;
pub(crate) mod keyframes;
mod layout;
mod level;
mod library;
mod options;
mod software;
mod trust;

pub(crate) use coder::VideoEncoder;
pub use discovery::{HardwareEncoder, encoders};
use hardware::Hardware;
pub use library::fault as library_fault;
use software::Software;

use std::time::Duration;

use crate::{
    clock::Mono,
    units::Bitrate,
    video::{decode::planes::Colour, frame_pace::Rate, h264::AccessUnit},
};

/// The least bitrate asked for: below it a picture is no picture.
const FLOOR: Bitrate = Bitrate::from_kbps(50);

/// A coded picture.
pub(crate) struct Coded {
    /// Its payloads.
    pub(crate) cut: AccessUnit,
    /// When it was captured.
    pub(crate) at: Mono,
    /// How long it was in the encoder.
    pub(crate) took: Duration,
}

/// What an encoder is made for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    /// Width and height in pixels.
    size: (usize, usize),
    colour: Colour,
    /// Pictures a second at most.
    rate: Rate,
    /// The bitrate at first.
    bitrate: Bitrate,
    /// The highest bitrate.
    ceiling: Bitrate,
}

impl Shape {
    fn is_of(&self, size: (u32, u32), colour: Colour) -> bool {
        self.size == (size.0 as usize, size.1 as usize) && self.colour == colour
    }
}

/// An H.264 encoder.
enum Encoder {
    /// OpenH264, on the processor, and the picture it has just made.
    Software(Box<Software>, Option<Coded>),
    /// The board's.
    Hardware(Box<Hardware>),
}

impl Encoder {
    fn fits(&self, shape: Shape) -> bool {
        match self {
            Self::Software(software, _) => software.fits(shape.size, shape.colour),
            Self::Hardware(hardware) => hardware.fits(shape),
        }
    }

    /// Takes another bound of the bitrate; `false` where what the stream promises does not allow it.
    fn set_ceiling(&mut self, ceiling: Bitrate) -> bool {
        match self {
            Self::Software(software, _) => software.set_ceiling(ceiling),
            Self::Hardware(hardware) => hardware.set_ceiling(ceiling),
        }
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) {
        match self {
            Self::Software(software, _) => software.set_bitrate(bitrate),
            Self::Hardware(hardware) => hardware.set_bitrate(bitrate),
        }
    }

    fn set_rate(&mut self, fps: f64) {
        match self {
            Self::Software(software, _) => software.set_rate(fps),
            Self::Hardware(hardware) => hardware.set_rate(fps),
        }
    }
}
