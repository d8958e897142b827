//! The system calls of V4L2. Only here does video code rely on memory and pointers from the kernel.
//!
//! Numbers, structures, `mmap` and `munmap` come from the `v4l` crate. Its `Device` and `Stream` are not used. They
//! panic if a device is unplugged or has a name that is not UTF-8, and they support neither planes nor events.
#![allow(unsafe_code)] // ioctl, mmap and the unions of V4L2 have no safe form

use std::{
    fs::{File, OpenOptions},
    io,
    marker::PhantomData,
    mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
    sync::Arc,
};

use v4l::{
    v4l_sys as raw,
    v4l2::{self, vidioc},
};

use crate::liveness::{self, Closes};

/// An ioctl number with its argument type. The size of the type is checked against the one encoded in the number.
pub(crate) struct Ioctl<T> {
    number: vidioc::_IOC_TYPE,
    /// Its name, for messages.
    name: &'static str,
    argument: PhantomData<T>,
}

/// A structure of numbers and unions of numbers, for which all zeros is a valid value.
///
/// # Safety
/// No field may be a reference, a function or another type for which zero is invalid.
pub(crate) unsafe trait Plain: Copy {}

macro_rules! requests {
    ($($name:ident: $argument:ty = $number:expr;)*) => {
        $(pub(crate) const $name: Ioctl<$argument> =
            Ioctl { number: $number, name: concat!("VIDIOC_", stringify!($name)), argument: PhantomData };)*
        // An ioctl number holds the size of its argument in bits 16 to 29: a mismatch does not compile.
        $(const _: () = assert!(($number as u32 >> 16) & 0x3FFF == size_of::<$argument>() as u32);)*
    };
}

macro_rules! plain {
    ($($name:ty),*) => {
        $(
            // SAFETY: made of integers, arrays, unions of these and (in v4l2_buffer, v4l2_plane) raw pointers.
            unsafe impl Plain for $name {}
        )*
    };
}

plain!(
    i32,
    raw::v4l2_capability,
    raw::v4l2_fmtdesc,
    raw::v4l2_frmsizeenum,
    raw::v4l2_frmivalenum,
    raw::v4l2_format,
    raw::v4l2_streamparm,
    raw::v4l2_requestbuffers,
    raw::v4l2_buffer,
    raw::v4l2_plane,
    raw::v4l2_query_ext_ctrl,
    raw::v4l2_querymenu,
    raw::v4l2_control,
    raw::v4l2_event_subscription,
    raw::v4l2_event,
    raw::v4l2_input,
    raw::v4l2_selection,
    raw::v4l2_exportbuffer
);

/// `_IOR('V', 89, struct v4l2_event)`, which the crate lacks. The size differs between 32 and 64 bits.
const TAKE_EVENT: vidioc::_IOC_TYPE = number(2, 89, size_of::<raw::v4l2_event>());
/// `_IOW('V', 90, struct v4l2_event_subscription)`
const SUBSCRIBE: vidioc::_IOC_TYPE = number(1, 90, size_of::<raw::v4l2_event_subscription>());

/// `_IOWR('V', 95, struct v4l2_selection)`
const SET_SELECTION: vidioc::_IOC_TYPE = number(3, 95, size_of::<raw::v4l2_selection>());

/// An ioctl number of V4L2 (asm-generic/ioctl.h).
const fn number(direction: u32, nr: u32, size: usize) -> vidioc::_IOC_TYPE {
    (direction << 30 | (size as u32) << 16 | (b'V' as u32) << 8 | nr) as vidioc::_IOC_TYPE
}

requests! {
    QUERYCAP: raw::v4l2_capability = vidioc::VIDIOC_QUERYCAP;
    ENUM_FMT: raw::v4l2_fmtdesc = vidioc::VIDIOC_ENUM_FMT;
    ENUM_FRAMESIZES: raw::v4l2_frmsizeenum = vidioc::VIDIOC_ENUM_FRAMESIZES;
    ENUM_FRAMEINTERVALS: raw::v4l2_frmivalenum = vidioc::VIDIOC_ENUM_FRAMEINTERVALS;
    G_INPUT: i32 = vidioc::VIDIOC_G_INPUT;
    ENUM_INPUT: raw::v4l2_input = vidioc::VIDIOC_ENUMINPUT;
    G_FMT: raw::v4l2_format = vidioc::VIDIOC_G_FMT;
    S_FMT: raw::v4l2_format = vidioc::VIDIOC_S_FMT;
    S_PARM: raw::v4l2_streamparm = vidioc::VIDIOC_S_PARM;
    REQBUFS: raw::v4l2_requestbuffers = vidioc::VIDIOC_REQBUFS;
    STREAMON: i32 = vidioc::VIDIOC_STREAMON;
    STREAMOFF: i32 = vidioc::VIDIOC_STREAMOFF;
    QUERY_EXT_CTRL: raw::v4l2_query_ext_ctrl = vidioc::VIDIOC_QUERY_EXT_CTRL;
    QUERYMENU: raw::v4l2_querymenu = vidioc::VIDIOC_QUERYMENU;
    G_CTRL: raw::v4l2_control = vidioc::VIDIOC_G_CTRL;
    S_CTRL: raw::v4l2_control = vidioc::VIDIOC_S_CTRL;
    S_SELECTION: raw::v4l2_selection = SET_SELECTION;
    EXPBUF: raw::v4l2_exportbuffer = vidioc::VIDIOC_EXPBUF;
    SUBSCRIBE_EVENT: raw::v4l2_event_subscription = SUBSCRIBE;
    DQEVENT: raw::v4l2_event = TAKE_EVENT;
}

/// The calls for buffers. They take a pointer to another structure, so they have a function of their own,
/// [`Fd::buffer`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum BufferCall {
    /// Asks for its offset and length (VIDIOC_QUERYBUF).
    Query,
    /// Gives it to the driver (VIDIOC_QBUF).
    Queue,
    /// Takes a filled one (VIDIOC_DQBUF).
    Dequeue,
}

const _: () = assert!(raw::VIDEO_MAX_PLANES as usize == PLANES);
/// The most memory planes of a frame.
pub(crate) const PLANES: usize = 8;

/// A structure of zeros.
pub(crate) fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` promises that all zeros is a value.
    unsafe { mem::zeroed() }
}

/// One ioctl, through the C library's function. libcamera's compatibility layer replaces that function; the crate makes
/// the system call directly, which bypasses the layer.
///
/// # Safety
/// `argument` is what the kernel takes for `number`.
unsafe fn ioctl(fd: &OwnedFd, number: vidioc::_IOC_TYPE, argument: *mut libc::c_void) -> io::Result<()> {
    // SAFETY: promised by the caller.
    match unsafe { libc::ioctl(fd.as_raw_fd(), number, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// An open node. Each call is marked for the liveness report, since any may hang, even close().
#[derive(Debug)]
pub(crate) struct Fd(Closes<OwnedFd>);

impl Fd {
    /// Opens the node for reading and writing, in non-blocking mode.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let on: Arc<str> = path.to_string_lossy().into();
        if let Some(why) = liveness::still_hangs(&on) {
            return Err(io::Error::other(why));
        }
        let open = || OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file: File = liveness::during("open", &on, open)?;
        Ok(Self(Closes::new(file.into(), "close", on)))
    }

    /// The file descriptor, for poll().
    pub(crate) fn owned(&self) -> &OwnedFd {
        &self.0
    }

    /// One ioctl.
    pub(crate) fn call<T: Plain>(&self, request: &Ioctl<T>, argument: &mut T) -> io::Result<()> {
        // SAFETY: the number carries the size of `T`, so the kernel reads and writes within `argument`. None of the
        // structures paired with an `Ioctl` holds a pointer that the kernel follows.
        self.retry(request.name, || unsafe { ioctl(&self.0, request.number, (&raw mut *argument).cast()) })
    }

    /// One ioctl for a buffer. The planes are used only if `buffer.type_` is multi-planar.
    pub(crate) fn buffer(
        &self,
        call: BufferCall,
        buffer: &mut raw::v4l2_buffer,
        planes: Option<&mut [raw::v4l2_plane; PLANES]>,
    ) -> io::Result<()> {
        let (name, number) = match call {
            BufferCall::Query => ("VIDIOC_QUERYBUF", vidioc::VIDIOC_QUERYBUF),
            BufferCall::Queue => ("VIDIOC_QBUF", vidioc::VIDIOC_QBUF),
            BufferCall::Dequeue => ("VIDIOC_DQBUF", vidioc::VIDIOC_DQBUF),
        };
        if let Some(planes) = planes {
            buffer.length = PLANES as u32;
            buffer.m.planes = planes.as_mut_ptr();
        }
        // SAFETY: the numbers carry the size of v4l2_buffer. The kernel follows `m.planes` only for the multi-planar
        // types, and writes at most `length` planes there. The caller's array has that many and outlives the call.
        // Memory is always MMAP or DMABUF, so no user pointer is followed.
        let result = self.retry(name, || unsafe { ioctl(&self.0, number, (&raw mut *buffer).cast()) });
        // The pointer must not outlive the borrow it came from.
        if is_multi(buffer.type_) {
            buffer.m.planes = std::ptr::null_mut();
        }
        result
    }

    /// Repeats a call that a signal interrupted.
    fn retry(&self, name: &'static str, mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        self.during(name, || {
            loop {
                match call() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        })
    }

    /// Marks a call on this node for the liveness report.
    pub(crate) fn during<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        liveness::during(name, self.0.on(), call)
    }

    /// Exports a buffer as a file descriptor for another device (DMABUF).
    pub(crate) fn export(&self, request: &mut raw::v4l2_exportbuffer) -> io::Result<OwnedFd> {
        request.flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u32;
        self.call(&EXPBUF, request)?;
        // SAFETY: the kernel made this descriptor for us just now; nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
    }

    /// Maps a buffer of the driver, for reading or also for writing.
    pub(crate) fn map(&self, offset: u32, length: u32, access: MappingAccess) -> io::Result<Mapping> {
        let offset = libc::off_t::from(i32::try_from(offset).map_err(|_| io::Error::other("buffer offset too large"))?);
        let length = length as usize;
        let fd = self.0.as_raw_fd();
        // SAFETY: a new mapping at an address the kernel chooses touches no memory of ours.
        let start = self.during("mmap", || unsafe {
            v4l2::mmap(std::ptr::null_mut(), length, access.protection(), libc::MAP_SHARED, fd, offset)
        })?;
        Ok(Mapping { start: start.cast(), length, access })
    }
}

/// The access to a mapped buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MappingAccess {
    /// Only for reading.
    Read,
    /// Also for writing.
    Write,
}

impl MappingAccess {
    fn protection(self) -> i32 {
        match self {
            Self::Read => libc::PROT_READ,
            Self::Write => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

/// A mapped buffer of the driver.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    length: usize,
    access: MappingAccess,
}

// SAFETY: the mapping is plain memory that belongs to this value alone; no thread is special to it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The first `used` bytes. Call it only while the buffer is dequeued: `stream` gives out the bytes while it has the
    /// buffer.
    pub(crate) fn bytes(&self, used: usize) -> &[u8] {
        // SAFETY: the mapping is readable for `length` bytes until it is dropped, also after the device is gone. While
        // the buffer is dequeued the driver does not write to it.
        unsafe { std::slice::from_raw_parts(self.start, used.min(self.length)) }
    }

    /// All bytes, for writing; empty if the buffer was mapped for reading only. Call it only while the buffer is not
    /// queued.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let length = if self.access == MappingAccess::Write { self.length } else { 0 };
        // SAFETY: the mapping is writable for `length` bytes until it is dropped. `self` is borrowed as a whole, and
        // while the buffer is not queued the driver leaves it alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what `map` mapped, once; slices of it borrow this value and are gone. An error leaves it
        // mapped, which harms nothing.
        let _ = unsafe { v4l2::munmap(self.start.cast(), self.length) };
    }
}

/// The two arms of the format union, selected by the buffer type.
pub(crate) enum PixelLayout {
    /// Single-planar: one memory plane.
    Single(raw::v4l2_pix_format),
    /// Multi-planar: a memory plane for each colour plane.
    Multi(raw::v4l2_pix_format_mplane),
}

/// Whether a buffer type is multi-planar.
fn is_multi(kind: u32) -> bool {
    kind == raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
        || kind == raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
}

/// Reads the format union.
pub(crate) fn layout(format: &raw::v4l2_format) -> PixelLayout {
    // SAFETY: every arm is plain numbers, so whichever the kernel wrote can be read; `type_` says which has meaning.
    unsafe {
        match format.type_ {
            multi if is_multi(multi) => PixelLayout::Multi(format.fmt.pix_mp),
            _ => PixelLayout::Single(format.fmt.pix),
        }
    }
}

/// The Y'CbCr encoding of a format; the union has two names for the same number.
pub(crate) fn encoding(layout: &PixelLayout) -> u32 {
    // SAFETY: both arms are the same integer.
    unsafe {
        match layout {
            PixelLayout::Single(pix) => pix.__bindgen_anon_1.ycbcr_enc,
            PixelLayout::Multi(pix) => u32::from(pix.__bindgen_anon_1.ycbcr_enc),
        }
    }
}

/// Width and height, each as (min, max, step).
pub(crate) fn frame_size(size: &raw::v4l2_frmsizeenum) -> [[u32; 3]; 2] {
    // SAFETY: both arms are plain numbers; `type_` says which has meaning.
    unsafe {
        match size.type_ {
            raw::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE => {
                let size = size.__bindgen_anon_1.discrete;
                [[size.width, size.width, 1], [size.height, size.height, 1]]
            }
            _ => {
                let range = size.__bindgen_anon_1.stepwise;
                [
                    [range.min_width, range.max_width, range.step_width.max(1)],
                    [range.min_height, range.max_height, range.step_height.max(1)],
                ]
            }
        }
    }
}

/// The shortest and the longest frame interval, each as (numerator, denominator) of a second.
pub(crate) fn interval(interval: &raw::v4l2_frmivalenum) -> [(u32, u32); 2] {
    // SAFETY: both arms are plain numbers; `type_` says which has meaning.
    let (min, max) = unsafe {
        match interval.type_ {
            raw::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE => {
                (interval.__bindgen_anon_1.discrete, interval.__bindgen_anon_1.discrete)
            }
            _ => (interval.__bindgen_anon_1.stepwise.min, interval.__bindgen_anon_1.stepwise.max),
        }
    };
    [(min.numerator, min.denominator), (max.numerator, max.denominator)]
}

/// The interval that the driver set, if it reports one.
pub(crate) fn settled_interval(parm: &raw::v4l2_streamparm) -> Option<(u32, u32)> {
    // SAFETY: the capture arm is plain numbers, and the one that belongs to the capture types this is called for.
    let capture = unsafe { parm.parm.capture };
    (capture.capability & raw::V4L2_CAP_TIMEPERFRAME != 0)
        .then_some((capture.timeperframe.numerator, capture.timeperframe.denominator))
}

/// The new value of a 32-bit control, from an event of type `V4L2_EVENT_CTRL`.
pub(crate) fn control_value(event: &raw::v4l2_event) -> i32 {
    // SAFETY: all arms are plain memory of the size of the union, and the kernel wrote the one of controls.
    unsafe { event.u.ctrl.__bindgen_anon_1.value }
}

/// The name of an item of a menu, and the number of an item of an integer menu.
pub(crate) fn menu_item(item: &raw::v4l2_querymenu) -> ([u8; 32], i64) {
    // Copied first: the structure is packed.
    let names = item.__bindgen_anon_1;
    // SAFETY: both arms are plain memory, and the whole union was zero before the kernel wrote to it.
    unsafe { (names.name, names.value) }
}

/// The offset at which a single-planar buffer is mapped.
pub(crate) fn offset(buffer: &raw::v4l2_buffer) -> u32 {
    // SAFETY: all arms are plain memory; for MMAP buffers of single-planar types the kernel wrote the offset.
    unsafe { buffer.m.offset }
}

/// The offset at which a memory plane is mapped.
pub(crate) fn plane_offset(plane: &raw::v4l2_plane) -> u32 {
    // SAFETY: all arms are plain memory; for MMAP buffers the kernel wrote the offset.
    unsafe { plane.m.mem_offset }
}
