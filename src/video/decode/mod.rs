//! From the bytes of a camera or file to planes (I420).
//!
//! - `jpeg`: Motion JPEG, with the faults that cameras put into it.
//! - `pixel_formats`: raw formats of V4L2.
//! - `planes`: the picture that an encoder takes.
//! - `intake`: which pictures were refused, and why.

pub(crate) mod intake;
pub(crate) mod jpeg;
pub(crate) mod pixel_formats;
pub(crate) mod planes;
