//! Encodes planes to H.264, on the board's hardware encoder or in software.

pub(crate) mod budget;
mod closing;
pub(crate) mod coder;
mod controls;
mod discovery;
mod encoder_setup;
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
    video::{decode::planes::Colour, frame_pace::Rate, h264::Packetized},
};

/// The lowest bitrate. Below it, the picture is useless.
const FLOOR: Bitrate = Bitrate::from_kbps(50);

/// An encoded frame.
pub(crate) struct Coded {
    /// Its bytes, cut into RTP payloads.
    pub(crate) cut: Packetized,
    /// When it was captured.
    pub(crate) at: Mono,
    /// How long it was in the encoder.
    pub(crate) took: Duration,
}

/// What an encoder is opened for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    /// Width and height in pixels.
    size: (usize, usize),
    colour: Colour,
    /// The highest frame rate.
    rate: Rate,
    /// The bitrate at the start.
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
    /// OpenH264 on the processor, and the frame it has just encoded.
    Software(Box<Software>, Option<Coded>),
    /// The board's hardware encoder.
    Hardware(Box<Hardware>),
}

impl Encoder {
    fn fits(&self, shape: Shape) -> bool {
        match self {
            Self::Software(software, _) => software.fits(shape.size, shape.colour),
            Self::Hardware(hardware) => hardware.fits(shape),
        }
    }

    /// Sets the highest bitrate; `false` if the stream's level does not allow it.
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
