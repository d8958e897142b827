//! Cameras: which mode is chosen, when a camera is opened again, and its newest frame.
//!
//! - `camera`: one open V4L2 camera.
//! - `controls`: its controls, for commands.
//! - `modes`: which of a camera's formats, sizes and rates is used.
//! - `dmabuf`: camera buffers that a hardware encoder reads in place.
//! - `privacy`: whether the lens is covered.
//! - `reopen`: when a camera that encodes by itself is opened again for a keyframe.
//! - `probe`: which cameras there are, for `fanlight probe`.

pub(crate) mod camera;
pub(crate) mod controls;
pub(crate) mod dmabuf;
pub(crate) mod modes;
pub(crate) mod privacy;
pub mod probe;
pub(crate) mod reopen;
