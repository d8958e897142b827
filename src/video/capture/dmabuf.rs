//! A camera's pictures lent to an encoder: it reads them where the camera's driver has put them, and nothing is copied.

use crate::{
    clock::Mono,
    video::{
        capture::modes::FourCc,
        decode::planes::Colour,
        v4l2::{Buffer, Shared},
    },
};

/// Memory of a camera that can be lent, and how a picture lies in it.
#[derive(Debug)]
pub(crate) struct DmabufExport {
    /// Pixel format.
    pub(crate) fourcc: FourCc,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Bytes from one row to the next, for each piece of memory.
    pub(crate) strides: Vec<usize>,
    /// What the numbers mean.
    pub(crate) colour: Colour,
    /// Of each buffer, the pieces.
    pub(crate) buffers: Vec<Vec<Shared>>,
}

/// A picture that was lent; its buffer has to come back to the camera.
#[derive(Debug)]
pub(crate) struct BorrowedFrame {
    /// The camera's buffer.
    pub(crate) buffer: Buffer,
    /// When it was captured.
    pub(crate) at: Mono,
}
