//! The picture: newest picture → coded frame → feed. One thread, alive only while somebody watches.

use std::sync::atomic::AtomicBool;

use crate::{
    config::Video,
    feed::{Fault, Writer},
};

/// Captures and encodes until `stop` is set or the source fails. Blocks: it is the body of the thread `video`.
pub fn run(_config: &Video, _out: &Writer, _stop: &AtomicBool) -> Result<(), Fault> {
    Ok(())
}
