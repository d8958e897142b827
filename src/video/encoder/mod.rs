//! From planes to coded pictures. Closed choice: a hardware encoder becomes a further arm.

mod options;
mod software;

pub(crate) use software::Software;

use crate::{
    clock::Mono,
    video::{h264::Cut, pace::Rate, planes::Planes},
};

/// An H.264 encoder.
pub(crate) enum Encoder {
    /// OpenH264, on the processor.
    Software(Software),
}

impl Encoder {
    /// Prepares an encoder for pictures like this one, `rate` of them a second. Never asked for more than `ceiling`
    /// bits a second.
    pub(crate) fn new(planes: &Planes, rate: Rate, bitrate: u32, ceiling: u32) -> Result<Self, String> {
        Software::new(planes, rate, bitrate, ceiling).map(Self::Software)
    }

    /// Whether it takes pictures like this one.
    pub(crate) fn fits(&self, planes: &Planes) -> bool {
        match self {
            Self::Software(software) => software.fits(planes),
        }
    }

    /// Aims at another bitrate from the next picture on.
    pub(crate) fn set_bitrate(&mut self, bits: u32) {
        match self {
            Self::Software(software) => software.set_bitrate(bits),
        }
    }

    /// Is given so many pictures a second from the next one on.
    pub(crate) fn set_rate(&mut self, fps: f64) {
        match self {
            Self::Software(software) => software.set_rate(fps),
        }
    }

    /// Codes one picture, as a key frame if asked; `None` where the encoder left it out.
    pub(crate) fn encode(&mut self, planes: &Planes, key: bool, at: Mono) -> Result<Option<Cut>, String> {
        match self {
            Self::Software(software) => software.encode(planes, key, at),
        }
    }
}
