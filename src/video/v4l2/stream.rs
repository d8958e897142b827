//! A running capture, with its mapped buffers.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use v4l::v4l_sys as raw;

use super::{
    Node, Planarity,
    sys::{self, BufferCall, Mapping, MappingAccess},
    word::{QueuedBuffers, extent},
};
use crate::clock::Mono;

/// Buffers to request: one being filled, one ready, one in use, one in reserve.
const BUFFERS: u32 = 4;
/// A time stamp older than this is not valid.
const OLDEST: Duration = Duration::from_secs(1);

/// A capture. Dropping it stops it and frees its buffers.
#[derive(Debug)]
pub(crate) struct CaptureStream {
    node: Arc<Node>,
    planarity: Planarity,
    /// The memory planes of each buffer.
    buffers: Vec<Vec<Mapping>>,
    queued: QueuedBuffers,
    sequence: Option<u32>,
}

/// A memory plane that another device may read (DMABUF).
#[derive(Debug)]
pub(crate) struct Shared {
    /// The file descriptor for the other device.
    pub(crate) fd: OwnedFd,
    /// Its length in bytes.
    pub(crate) length: usize,
}

/// A filled buffer. It must go back to the driver.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) index: u32,
    /// The begin and end of the data in each memory plane.
    pub(crate) used: Vec<(usize, usize)>,
    /// Why the frame must not be used: the driver marked it as broken, or reported impossible values.
    pub(crate) wrong: Option<String>,
    /// Frames lost between the frame before and this one.
    pub(crate) lost: u32,
    /// When the frame was captured.
    pub(crate) at: Mono,
    /// Whether it is the last buffer of the stream.
    pub(crate) last: bool,
}

impl CaptureStream {
    /// Maps the buffers, gives them to the driver and starts capture.
    pub(crate) fn start(node: Arc<Node>, planarity: Planarity) -> io::Result<Self> {
        let mut request: raw::v4l2_requestbuffers = sys::zeroed();
        request.count = BUFFERS;
        request.type_ = planarity.buffer_type();
        request.memory = raw::v4l2_memory_V4L2_MEMORY_MMAP;
        node.fd.call(&sys::REQBUFS, &mut request)?;
        // From here on, dropping the stream frees everything.
        let mut stream =
            Self { node, planarity, buffers: Vec::new(), queued: QueuedBuffers::default(), sequence: None };
        for index in 0..request.count.min(raw::VIDEO_MAX_FRAME) {
            let buffer = stream.map(index)?;
            stream.buffers.push(buffer);
        }
        if stream.buffers.len() < 2 {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        stream.queued = QueuedBuffers::new(stream.buffers.len());
        for index in 0..stream.buffers.len() as u32 {
            stream.queue(index)?;
        }
        stream.switch(&sys::STREAMON)?;
        Ok(stream)
    }

    /// A filled buffer; `None` if there is none yet.
    pub(crate) fn take(&mut self) -> io::Result<Option<Buffer>> {
        let (mut buffer, mut planes) = self.blank(0);
        match self.node.fd.buffer(BufferCall::Dequeue, &mut buffer, planes.as_mut()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
        self.queued.take(buffer.index).map_err(io::Error::other)?;
        let pieces = self.buffers.get(buffer.index as usize).map_or(&[][..], Vec::as_slice);
        let lengths = pieces.iter().map(Mapping::len);
        let used: Result<_, String> = match &planes {
            None => lengths.take(1).map(|length| extent(0, buffer.bytesused, length)).collect(),
            Some(planes) => {
                lengths.zip(planes).map(|(length, plane)| extent(plane.data_offset, plane.bytesused, length)).collect()
            }
        };
        let (used, lie) = used.map_or_else(|lie| (Vec::new(), Some(lie)), |used| (used, None));
        let flagged = buffer.flags & raw::V4L2_BUF_FLAG_ERROR != 0;
        let wrong = lie.or_else(|| flagged.then(|| "the driver marked it as broken".to_owned()));
        let lost = lost(self.sequence.replace(buffer.sequence), buffer.sequence);
        let time = (buffer.timestamp.tv_sec, buffer.timestamp.tv_usec);
        Ok(Some(Buffer {
            index: buffer.index,
            used,
            wrong,
            lost,
            at: stamp(buffer.flags, time, Mono::now()),
            last: buffer.flags & raw::V4L2_BUF_FLAG_LAST != 0,
        }))
    }

    /// The data in a buffer: one slice for each memory plane.
    pub(crate) fn pieces<'a>(&'a self, buffer: &'a Buffer) -> impl Iterator<Item = &'a [u8]> {
        let pieces = self.buffers.get(buffer.index as usize).map_or(&[][..], Vec::as_slice);
        pieces.iter().zip(&buffer.used).map(|(piece, &(from, to))| piece.bytes(to).get(from..).unwrap_or(&[]))
    }

    /// Exports all buffers, for another device to read. An error if the driver cannot export them.
    pub(crate) fn export(&self) -> io::Result<Vec<Vec<Shared>>> {
        let export = |index: u32, plane: usize, length: usize| {
            let mut request: raw::v4l2_exportbuffer = sys::zeroed();
            (request.type_, request.index, request.plane) = (self.planarity.buffer_type(), index, plane as u32);
            Ok(Shared { fd: self.node.fd.export(&mut request)?, length })
        };
        let buffers = (0_u32..).zip(&self.buffers);
        buffers
            .map(|(index, pieces)| pieces.iter().enumerate().map(|(n, piece)| export(index, n, piece.len())).collect())
            .collect()
    }

    /// Gives a buffer back to the driver.
    pub(crate) fn give(&mut self, buffer: Buffer) -> io::Result<()> {
        self.queue(buffer.index)
    }

    fn map(&self, index: u32) -> io::Result<Vec<Mapping>> {
        let (mut buffer, mut planes) = self.blank(index);
        self.node.fd.buffer(BufferCall::Query, &mut buffer, planes.as_mut())?;
        match planes {
            None => Ok(vec![self.node.fd.map(sys::offset(&buffer), buffer.length, MappingAccess::Read)?]),
            Some(planes) => planes
                .iter()
                .take(buffer.length as usize)
                .map(|plane| self.node.fd.map(sys::plane_offset(plane), plane.length, MappingAccess::Read))
                .collect(),
        }
    }

    fn queue(&mut self, index: u32) -> io::Result<()> {
        let (mut buffer, mut planes) = self.blank(index);
        self.node.fd.buffer(BufferCall::Queue, &mut buffer, planes.as_mut())?;
        self.queued.give(index);
        Ok(())
    }

    fn blank(&self, index: u32) -> (raw::v4l2_buffer, Option<[raw::v4l2_plane; sys::PLANES]>) {
        let mut buffer: raw::v4l2_buffer = sys::zeroed();
        buffer.index = index;
        buffer.type_ = self.planarity.buffer_type();
        buffer.memory = raw::v4l2_memory_V4L2_MEMORY_MMAP;
        (buffer, (self.planarity == Planarity::Multi).then(|| [sys::zeroed(); sys::PLANES]))
    }

    fn switch(&self, request: &sys::Ioctl<i32>) -> io::Result<()> {
        self.node.fd.call(request, &mut i32::try_from(self.planarity.buffer_type()).unwrap_or_default())
    }
}

impl Drop for CaptureStream {
    fn drop(&mut self) {
        // An unplugged device answers with errors, and has nothing to stop.
        let _ = self.switch(&sys::STREAMOFF);
        // The driver cannot free buffers that are still mapped.
        self.buffers.clear();
        let mut request: raw::v4l2_requestbuffers = sys::zeroed();
        request.type_ = self.planarity.buffer_type();
        request.memory = raw::v4l2_memory_V4L2_MEMORY_MMAP;
        let _ = self.node.fd.call(&sys::REQBUFS, &mut request);
    }
}

/// The time of capture: the driver's time stamp if it is of the monotonic clock and plausible, else now. Its numbers
/// are as long as C's `long`: 32 bits on armv7.
fn stamp<Long>(flags: u32, (seconds, micros): (Long, Long), now: Mono) -> Mono
where
    u64: TryFrom<Long>,
{
    let monotonic = flags & raw::V4L2_BUF_FLAG_TIMESTAMP_MASK == raw::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    let nanos = u64::try_from(seconds)
        .ok()
        .zip(u64::try_from(micros).ok())
        .and_then(|(seconds, micros)| seconds.checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1000)?));
    match nanos.map(Mono) {
        Some(at) if monotonic && at <= now && now.since(at) <= OLDEST => at,
        _ => now,
    }
}

/// The frames lost between two sequence numbers, which may wrap. A step back is a new count, not a loss.
fn lost(before: Option<u32>, now: u32) -> u32 {
    let Some(before) = before else { return 0 };
    match now.wrapping_sub(before).wrapping_sub(1) {
        gap if gap < 1 << 31 => gap,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_stamps_of_our_clock_are_believed() {
        let now = Mono(100_500_000_000);
        let monotonic = raw::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        let believed = Mono(100_480_000_000);
        for (flags, time, expected, why) in [
            (monotonic, (100, 480_000), believed, "a good one"),
            (monotonic | raw::V4L2_BUF_FLAG_TSTAMP_SRC_SOE, (100, 480_000), believed, "start of exposure"),
            (0, (100, 480_000), now, "of an unknown clock"),
            (raw::V4L2_BUF_FLAG_TIMESTAMP_COPY, (100, 480_000), now, "copied from elsewhere"),
            (monotonic, (99, 499_999), now, "too old"),
            (monotonic, (100, 500_001), now, "in the future"),
            (monotonic, (0, 0), now, "not set"),
            (monotonic, (-1, 5), now, "negative"),
            (monotonic, (i64::MAX, 999_999), now, "beyond all numbers"),
        ] {
            assert_eq!(stamp(flags, time, now), expected, "{why}");
        }
        assert_eq!(stamp(monotonic, (100_i32, 480_000), now), believed, "of a 32-bit board");
        assert_eq!(stamp(monotonic, (i32::MIN, -1), now), now, "negative there");
    }

    #[test]
    fn gaps_are_counted_across_the_wrap_and_a_restart_is_none() {
        for (before, now, expected) in [
            (None, 7, 0),
            (Some(7), 8, 0),
            (Some(7), 11, 3),
            (Some(u32::MAX), 0, 0),
            (Some(u32::MAX), 2, 2),
            (Some(500), 0, 0),
            (Some(5), 5, 0),
        ] {
            assert_eq!(lost(before, now), expected, "{before:?} {now}");
        }
    }

    #[test]
    fn a_stream_that_cannot_start_is_an_error_and_no_panic() {
        let node = Arc::new(Node::open(std::path::Path::new("/dev/null")).unwrap());
        assert!(CaptureStream::start(Arc::clone(&node), Planarity::Single).is_err());
        assert!(CaptureStream::start(node, Planarity::Multi).is_err());
    }
}
