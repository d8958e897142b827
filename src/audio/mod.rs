//! The sound: period → coded packet → feed. One thread, alive only while somebody listens.

use std::sync::atomic::AtomicBool;

use crate::{
    config::Audio,
    feed::{Fault, Writer},
};

/// Captures and encodes until `stop` is set or the source fails. Blocks: it is the body of the thread `audio`.
pub fn run(_config: &Audio, _out: &Writer, _stop: &AtomicBool) -> Result<(), Fault> {
    Ok(())
}
