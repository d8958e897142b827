//! The kernel's interface of GPIO chips, version 2 (linux/gpio.h, since Linux 5.10).
//!
//! The structures are written down here, because there are few of them, and libc has none. Only this file of the part
//! relies on memory that the kernel fills.
#![allow(unsafe_code)] // ioctl has no safe form

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

/// `GPIO_V2_LINE_FLAG_…`
pub(super) const USED: u64 = 1;
pub(super) const INPUT: u64 = 1 << 2;
pub(super) const OUTPUT: u64 = 1 << 3;
pub(super) const BOTH_EDGES: u64 = 1 << 4 | 1 << 5;
pub(super) const PULL_UP: u64 = 1 << 8;
pub(super) const PULL_DOWN: u64 = 1 << 9;
pub(super) const BIAS_DISABLED: u64 = 1 << 10;
/// `GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES`
pub(super) const OUTPUT_VALUES: u32 = 2;
/// `GPIO_V2_LINE_EVENT_RISING_EDGE`
pub(super) const RISING_EDGE: u32 = 1;

/// `struct gpiochip_info`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct ChipInfo {
    pub(super) name: [u8; 32],
    pub(super) label: [u8; 32],
    pub(super) lines: u32,
}

/// `struct gpio_v2_line_attribute`. The value is a union, of which only 64 bits are used here.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct LineAttribute {
    pub(super) id: u32,
    pub(super) padding: u32,
    pub(super) value: u64,
}

/// `struct gpio_v2_line_config_attribute`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct ConfigAttribute {
    pub(super) attribute: LineAttribute,
    pub(super) mask: u64,
}

/// `struct gpio_v2_line_config`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct LineConfig {
    pub(super) flags: u64,
    pub(super) attribute_count: u32,
    pub(super) padding: [u32; 5],
    pub(super) attributes: [ConfigAttribute; 10],
}

/// `struct gpio_v2_line_request`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct LineRequest {
    pub(super) offsets: [u32; 64],
    pub(super) consumer: [u8; 32],
    pub(super) config: LineConfig,
    pub(super) line_count: u32,
    pub(super) event_buffer_size: u32,
    pub(super) padding: [u32; 5],
    pub(super) fd: i32,
}

/// `struct gpio_v2_line_info`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct LineInfo {
    pub(super) name: [u8; 32],
    pub(super) consumer: [u8; 32],
    pub(super) offset: u32,
    pub(super) attribute_count: u32,
    pub(super) flags: u64,
    pub(super) attributes: [LineAttribute; 10],
    pub(super) padding: [u32; 4],
}

/// `struct gpio_v2_line_values`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)] // for the kernel
pub(super) struct LineValues {
    pub(super) bits: u64,
    pub(super) mask: u64,
}

/// `struct gpio_v2_line_event`
#[repr(C)]
#[allow(dead_code)] // only its size is used
pub(super) struct LineEvent {
    pub(super) time: u64,
    pub(super) id: u32,
    pub(super) offset: u32,
    pub(super) numbers: [u32; 2],
    pub(super) padding: [u32; 6],
}

pub(super) const NO_ATTRIBUTE: LineAttribute = LineAttribute { id: 0, padding: 0, value: 0 };

/// An ioctl number with its argument. The number has the size of the argument, so the kernel stays within it.
pub(super) struct IoctlRequest<T> {
    number: u32,
    name: &'static str,
    argument: PhantomData<fn(T)>,
}

impl<T> IoctlRequest<T> {
    /// `direction`: 2 if the kernel only writes, 3 if it also reads.
    const fn new(direction: u32, number: u32, name: &'static str) -> Self {
        let size = size_of::<T>() as u32;
        Self { number: direction << 30 | size << 16 | 0xB4 << 8 | number, name, argument: PhantomData }
    }
}

pub(super) const CHIP_INFO: IoctlRequest<ChipInfo> = IoctlRequest::new(2, 0x01, "GPIO_GET_CHIPINFO");
pub(super) const LINE_INFO: IoctlRequest<LineInfo> = IoctlRequest::new(3, 0x05, "GPIO_V2_GET_LINEINFO");
const GET_LINE: IoctlRequest<LineRequest> = IoctlRequest::new(3, 0x07, "GPIO_V2_GET_LINE");
pub(super) const GET_VALUES: IoctlRequest<LineValues> = IoctlRequest::new(3, 0x0E, "GPIO_V2_LINE_GET_VALUES");
pub(super) const SET_VALUES: IoctlRequest<LineValues> = IoctlRequest::new(3, 0x0F, "GPIO_V2_LINE_SET_VALUES");

/// One ioctl. The error names it.
pub(super) fn call<T>(fd: &impl AsFd, request: &IoctlRequest<T>, argument: &mut T) -> Result<(), String> {
    let argument: *mut T = argument;
    // SAFETY: the number is made of the size of `T`, so the kernel reads and writes within `argument`. Each `T` of this
    // file is made of integers only, so all that the kernel may write is a value of it, and it holds no pointer.
    match unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request.number as libc::Ioctl, argument) } {
        -1 => Err(format!("{}: {}", request.name, io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// Takes the line that the request names. The kernel frees it when the result is dropped.
pub(super) fn get_line(chip: &impl AsFd, mut request: LineRequest) -> Result<OwnedFd, String> {
    request.fd = -1;
    call(chip, &GET_LINE, &mut request)?;
    if request.fd < 0 {
        return Err(format!("{}: the kernel gave no file descriptor", GET_LINE.name));
    }
    // SAFETY: the kernel has just made this file descriptor, for this call, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_kernel() {
        // As the C compiler makes them of linux/gpio.h, on each of the processors that fanlight is built for.
        for (number, expected) in [
            (CHIP_INFO.number, 0x8044_B401),
            (LINE_INFO.number, 0xC100_B405),
            (GET_LINE.number, 0xC250_B407),
            (GET_VALUES.number, 0xC010_B40E),
            (SET_VALUES.number, 0xC010_B40F),
        ] {
            assert_eq!(number, expected, "{number:x} {expected:x}");
        }
        assert_eq!(size_of::<LineEvent>(), 48);
    }
}
