//! Memory-to-memory devices: raw frames go into one queue, encoded frames come out of another.

use std::{io, os::fd::AsRawFd, sync::Arc};

use v4l::v4l_sys as raw;

use super::{
    FourCc, Given, Identity, Node, Shared, given,
    sys::{self, BufferCall, Mapping, MappingAccess},
    word::{QueuedBuffers, extent},
};
use crate::video::{decode::planes::Colour, frame_pace::Rate};

/// A queue of a memory-to-memory device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The queue for raw frames; the kernel calls it OUTPUT.
    Raw,
    /// The queue for encoded frames; the kernel calls it CAPTURE.
    Coded,
}

impl Side {
    fn buffer_type(self) -> u32 {
        match self {
            Self::Raw => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
            Self::Coded => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }
}

/// The format to request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Pixel format.
    pub(crate) fourcc: FourCc,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Bytes per row; 0: the driver chooses.
    pub(crate) stride: u32,
    /// Bytes of the first memory plane; 0: the driver chooses.
    pub(crate) length: u32,
    /// The colour space of the samples.
    pub(crate) colour: Colour,
}

impl Identity {
    /// Whether the node is a memory-to-memory device with multi-planar buffers.
    pub(crate) fn is_m2m(&self) -> bool {
        let needed = raw::V4L2_CAP_VIDEO_M2M_MPLANE | raw::V4L2_CAP_STREAMING;
        self.capabilities & needed == needed
    }
}

impl Node {
    /// The formats of a queue.
    pub(crate) fn formats(&self, side: Side) -> Vec<FourCc> {
        self.enumerated(side.buffer_type()).collect()
    }

    /// Requests the format of a queue. Returns the format that the driver set.
    pub(crate) fn set_queue_format(&self, side: Side, asked: &Asked) -> io::Result<Given> {
        let mut format: raw::v4l2_format = sys::zeroed();
        format.type_ = side.buffer_type();
        let mut pix = super::zeroed_mplane();
        (pix.width, pix.height) = asked.size;
        (pix.pixelformat, pix.num_planes) = (asked.fourcc.0, asked.fourcc.planes());
        pix.field = raw::v4l2_field_V4L2_FIELD_NONE;
        pix.plane_fmt[0].bytesperline = asked.stride;
        pix.plane_fmt[0].sizeimage = asked.length;
        let Colour { bt709, full_range } = asked.colour;
        pix.colorspace = match (bt709, full_range) {
            (true, _) => raw::v4l2_colorspace_V4L2_COLORSPACE_REC709,
            (false, true) => raw::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
            (false, false) => raw::v4l2_colorspace_V4L2_COLORSPACE_SMPTE170M,
        };
        pix.quantization = match full_range {
            true => raw::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE,
            false => raw::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE,
        } as u8;
        format.fmt.pix_mp = pix;
        self.fd.call(&sys::S_FMT, &mut format)?;
        Ok(given(&sys::layout(&format)))
    }

    /// Sets the part of raw frames that is encoded: the upper left part of this size.
    pub(crate) fn set_crop(&self, (width, height): (u32, u32)) -> io::Result<()> {
        let mut selection: raw::v4l2_selection = sys::zeroed();
        // Selections use only the single-planar types (kernel documentation of VIDIOC_S_SELECTION).
        selection.type_ = raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_OUTPUT;
        selection.target = raw::V4L2_SEL_TGT_CROP;
        (selection.r.width, selection.r.height) = (width, height);
        self.fd.call(&sys::S_SELECTION, &mut selection)?;
        if (selection.r.left, selection.r.top, selection.r.width, selection.r.height) == (0, 0, width, height) {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::InvalidInput))
        }
    }

    /// Sets the frames per second that an encoder gets.
    pub(crate) fn set_encoder_rate(&self, rate: Rate) -> io::Result<()> {
        let mut parm: raw::v4l2_streamparm = sys::zeroed();
        parm.type_ = Side::Raw.buffer_type();
        parm.parm.output.timeperframe = raw::v4l2_fract { numerator: rate.seconds, denominator: rate.frames };
        self.fd.call(&sys::S_PARM, &mut parm)
    }
}

/// A queue. Dropping it stops it and frees its buffers.
#[derive(Debug)]
pub(crate) struct Queue {
    node: Arc<Node>,
    side: Side,
    memory: u32,
    /// The memory planes of each buffer, if the driver allocated them.
    buffers: Vec<Vec<Mapping>>,
    queued: QueuedBuffers,
    count: usize,
}

/// A buffer that the driver has finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// Its index.
    pub(crate) index: u32,
    /// The begin and end of the data in the first memory plane.
    pub(crate) used: (usize, usize),
    /// Whether the driver marked it as broken (`V4L2_BUF_FLAG_ERROR`).
    pub(crate) flagged: bool,
    /// The time stamp that went in with the frame, in microseconds.
    pub(crate) stamp: i64,
}

impl Queue {
    /// A queue with buffers of the driver (`V4L2_MEMORY_MMAP`).
    pub(crate) fn mapped(node: Arc<Node>, side: Side, count: u32) -> io::Result<Self> {
        let mut queue = Self::new(node, side, raw::v4l2_memory_V4L2_MEMORY_MMAP, count)?;
        let access = if side == Side::Raw { MappingAccess::Write } else { MappingAccess::Read };
        for index in 0..queue.count as u32 {
            let (mut buffer, mut planes) = queue.blank(index);
            queue.node.fd.buffer(BufferCall::Query, &mut buffer, Some(&mut planes))?;
            let planes = planes.iter().take(buffer.length as usize);
            let pieces = planes.map(|plane| queue.node.fd.map(sys::plane_offset(plane), plane.length, access));
            let pieces = pieces.collect::<io::Result<_>>()?;
            queue.buffers.push(pieces);
        }
        Ok(queue)
    }

    /// A queue of frames in another device's buffers (`V4L2_MEMORY_DMABUF`).
    pub(crate) fn imported(node: Arc<Node>, count: u32) -> io::Result<Self> {
        Self::new(node, Side::Raw, raw::v4l2_memory_V4L2_MEMORY_DMABUF, count)
    }

    fn new(node: Arc<Node>, side: Side, memory: u32, count: u32) -> io::Result<Self> {
        let mut request: raw::v4l2_requestbuffers = sys::zeroed();
        (request.count, request.type_, request.memory) = (count, side.buffer_type(), memory);
        node.fd.call(&sys::REQBUFS, &mut request)?;
        let count = request.count.min(raw::VIDEO_MAX_FRAME) as usize;
        // From here on, dropping the queue frees everything.
        let queue = Self { node, side, memory, buffers: Vec::new(), queued: QueuedBuffers::new(count), count };
        if queue.count == 0 { Err(io::Error::from(io::ErrorKind::OutOfMemory)) } else { Ok(queue) }
    }

    /// The number of buffers.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Starts the queue.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.switch(&sys::STREAMON)
    }

    /// The memory planes of a buffer that is not queued.
    pub(crate) fn pieces(&mut self, index: u32) -> Vec<&mut [u8]> {
        self.buffers.get_mut(index as usize).into_iter().flatten().map(Mapping::bytes_mut).collect()
    }

    /// The data in a finished encoded buffer.
    pub(crate) fn bytes(&self, done: &Done) -> &[u8] {
        let piece = self.buffers.get(done.index as usize).and_then(|pieces| pieces.first());
        piece.map_or(&[][..], |piece| piece.bytes(done.used.1).get(done.used.0..).unwrap_or(&[]))
    }

    /// Queues a buffer. A raw frame has `lengths` bytes in its memory planes, and a time stamp in microseconds.
    pub(crate) fn put(&mut self, index: u32, lengths: &[usize], stamp: i64) -> io::Result<()> {
        self.queue(index, stamp, |n, plane| plane.bytesused = lengths.get(n).map_or(0, |length| *length as u32))
    }

    /// Queues a frame in a buffer of another device (DMABUF).
    pub(crate) fn put_dmabuf(
        &mut self,
        index: u32,
        pieces: &[Shared],
        lengths: &[usize],
        stamp: i64,
    ) -> io::Result<()> {
        self.queue(index, stamp, |n, plane| {
            let (Some(piece), Some(length)) = (pieces.get(n), lengths.get(n)) else { return };
            plane.m.fd = piece.fd.as_raw_fd();
            (plane.length, plane.bytesused) = (piece.length as u32, *length as u32);
        })
    }

    fn queue(&mut self, index: u32, stamp: i64, fill: impl Fn(usize, &mut raw::v4l2_plane)) -> io::Result<()> {
        let (mut buffer, mut planes) = self.blank(index);
        planes.iter_mut().enumerate().for_each(|(n, plane)| fill(n, plane));
        buffer.field = raw::v4l2_field_V4L2_FIELD_NONE;
        // 32 or 64 bits, depending on the board.
        buffer.timestamp.tv_sec = (stamp / 1_000_000) as _;
        buffer.timestamp.tv_usec = (stamp % 1_000_000) as _;
        self.node.fd.buffer(BufferCall::Queue, &mut buffer, Some(&mut planes))?;
        self.queued.give(index);
        Ok(())
    }

    /// A buffer that the driver has finished; `None` if there is none yet.
    pub(crate) fn take(&mut self) -> io::Result<Option<Done>> {
        let (mut buffer, mut planes) = self.blank(0);
        match self.node.fd.buffer(BufferCall::Dequeue, &mut buffer, Some(&mut planes)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
        self.queued.take(buffer.index).map_err(io::Error::other)?;
        let length = self.buffers.get(buffer.index as usize).and_then(|pieces| pieces.first()).map(Mapping::len);
        let used = match length {
            Some(length) => extent(planes[0].data_offset, planes[0].bytesused, length),
            // A frame in another device's buffer: nothing is read from it.
            None => Ok((0, 0)),
        };
        let (seconds, micros): (i64, i64) = (buffer.timestamp.tv_sec as _, buffer.timestamp.tv_usec as _);
        Ok(Some(Done {
            index: buffer.index,
            flagged: used.is_err() || buffer.flags & raw::V4L2_BUF_FLAG_ERROR != 0,
            used: used.unwrap_or_default(),
            stamp: seconds.saturating_mul(1_000_000).saturating_add(micros),
        }))
    }

    fn blank(&self, index: u32) -> (raw::v4l2_buffer, [raw::v4l2_plane; sys::PLANES]) {
        let mut buffer: raw::v4l2_buffer = sys::zeroed();
        (buffer.index, buffer.type_, buffer.memory) = (index, self.side.buffer_type(), self.memory);
        (buffer, [sys::zeroed(); sys::PLANES])
    }

    fn switch(&self, request: &sys::Ioctl<i32>) -> io::Result<()> {
        self.node.fd.call(request, &mut i32::try_from(self.side.buffer_type()).unwrap_or_default())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.switch(&sys::STREAMOFF);
        // The driver cannot free buffers that are still mapped.
        self.buffers.clear();
        let mut request: raw::v4l2_requestbuffers = sys::zeroed();
        (request.type_, request.memory) = (self.side.buffer_type(), self.memory);
        let _ = self.node.fd.call(&sys::REQBUFS, &mut request);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_streaming_m2m_nodes_with_planes_are_taken() {
        let identity =
            |capabilities| Identity { card: String::new(), driver: String::new(), bus: String::new(), capabilities };
        for (capabilities, expected) in [
            (raw::V4L2_CAP_VIDEO_M2M_MPLANE | raw::V4L2_CAP_STREAMING, true),
            (raw::V4L2_CAP_VIDEO_M2M | raw::V4L2_CAP_STREAMING, false),
            (raw::V4L2_CAP_VIDEO_M2M_MPLANE, false),
            (raw::V4L2_CAP_VIDEO_CAPTURE_MPLANE | raw::V4L2_CAP_STREAMING, false),
        ] {
            assert_eq!(identity(capabilities).is_m2m(), expected, "{capabilities:x}");
        }
    }

    #[test]
    fn what_has_no_queues_answers_with_an_error() {
        let node = Arc::new(Node::open(Path::new("/dev/null")).unwrap());
        assert!(node.formats(Side::Coded).is_empty());
        assert!(node.set_crop((640, 480)).is_err());
        assert!(Queue::mapped(Arc::clone(&node), Side::Coded, 2).is_err());
        assert!(Queue::imported(node, 2).is_err());
    }
}
