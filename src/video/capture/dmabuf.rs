//! DMABUF export: an encoder reads a camera's frames in the camera's buffers, without a copy.

use crate::{
    clock::Mono,
    video::{
        capture::modes::FourCc,
        decode::planes::Colour,
        v4l2::{Buffer, Shared},
    },
};

/// The exported buffers of a camera, and the layout of a frame in them.
#[derive(Debug)]
pub(crate) struct DmabufExport {
    /// Pixel format.
    pub(crate) fourcc: FourCc,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Bytes from one row to the next, for each piece of memory.
    pub(crate) strides: Vec<usize>,
    /// The meaning of the sample values.
    pub(crate) colour: Colour,
    /// The memory planes of each buffer.
    pub(crate) buffers: Vec<Vec<Shared>>,
}

/// A raw frame in the camera's buffer. The buffer must be queued at the camera again.
#[derive(Debug)]
pub(crate) struct DmabufFrame {
    /// The camera's buffer.
    pub(crate) buffer: Buffer,
    /// When the frame was captured.
    pub(crate) at: Mono,
}
