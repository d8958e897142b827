//! From the bytes of a camera or file to planes (I420).
//!
//! - `jpeg`: Motion JPEG, with the typical faults of cameras.
//! - `pixel_formats`: raw formats of V4L2.
//! - `planes`: the frame that an encoder takes.
//! - `intake`: which frames were refused, and why.

pub(crate) mod intake;
pub(crate) mod jpeg;
pub(crate) mod pixel_formats;
pub(crate) mod planes;
