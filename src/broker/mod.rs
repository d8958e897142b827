//! The MQTT link: ears and mouth in one task, for ever.

use bytes::Bytes;

use crate::config::Id;

/// What the ears hand to the sessions.
#[derive(Debug)]
pub enum Event {
    /// Connected and subscribed; `conn` counts the connections since start.
    Up { conn: u64 },
    /// The link is gone; it is being made again.
    Down,
    /// A message on `req/{viewer}`.
    Message { viewer: Id, payload: Bytes },
    /// A message on `req/{viewer}` that was larger than is read; `len` is its size in bytes.
    Oversize { viewer: Id, len: usize },
}
