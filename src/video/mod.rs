//! The picture: newest picture → coded frame → feed. One thread, alive only while somebody watches.

pub mod capture;
mod decode;
mod encode;
mod frame_pace;
pub(crate) mod fuzz;
mod h264;
mod pipeline;
mod source_health;
pub mod sources;
mod v4l2;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

pub use encode::{HardwareEncoder, encoders, library_fault};
pub(crate) use sources::nodes;
pub use sources::{Choice, choose};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    config::Video,
    feed::{Fault, FeedWriter, Health},
    idle::Idle,
    liveness,
    video::{
        capture::dmabuf::BorrowedFrame, decode::planes::Planes, pipeline::VideoPipeline, source_health::Reopening,
        sources::Source,
    },
};

/// How long a wait for a picture may take: a stop is noticed within it.
const TICK: Duration = Duration::from_millis(50);
/// A source that changes its size or rate so often without a picture between is not opened again at once.
const CHANGES: u32 = 4;

/// What a source gave.
pub(crate) enum SourceFrame<'a> {
    /// Nothing yet.
    Nothing,
    /// A picture to be coded, captured then.
    Planes { planes: &'a mut Planes, at: Mono },
    /// A picture in the camera's own memory.
    Lent(BorrowedFrame),
    /// A picture that is coded already (Annex B), captured then.
    Coded { stream: &'a [u8], at: Mono },
    /// The source has another size or rate now: it has to be opened again.
    Changed,
}

/// Captures and encodes until `stop` is set or the source fails. Blocks: it is the body of the thread `video`.
pub fn run(config: &Video, out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    let ended = play(config, out, stop);
    if let Err(fault) = &ended {
        let health = if matches!(fault, Fault::Absent(_)) { Health::Absent } else { Health::Stalled };
        out.set_trouble(health, &fault.to_string());
    }
    ended
}

fn play(config: &Video, out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    let asked = Mono::now();
    // Whether a camera's own H.264 is taken.
    let mut coded = true;
    let mut source = Source::open(config, coded)?;
    out.set_health(Health::Starting);
    let mut pipeline = VideoPipeline::new(config, &source, out, asked);
    pipeline.import_from(&source)?;
    let (mut idle, mut changes) = (Idle::default(), 0);
    while !stop.load(Ordering::Acquire) {
        liveness::turn();
        pipeline.steer(&mut source);
        let until = Mono::now() + TICK;
        let encoder = pipeline.waited_for();
        thread::sleep(idle.pause());
        let taken = source.next(until, encoder.as_deref(), &mut pipeline.meter.counts)?;
        match &taken {
            SourceFrame::Nothing if Mono::now() < until => {}
            SourceFrame::Nothing => idle.rest(),
            SourceFrame::Changed if changes >= CHANGES => {
                return Err(Fault::Failed(format!("{source}: it changes its size or rate again and again")));
            }
            SourceFrame::Changed => changes += 1,
            SourceFrame::Planes { .. } | SourceFrame::Lent(_) | SourceFrame::Coded { .. } => {
                (idle, changes) = (Idle::default(), 0)
            }
        }
        let changed = match taken {
            SourceFrame::Nothing => pipeline.nothing(&source).map(|()| false)?,
            SourceFrame::Planes { planes, at } => pipeline.code(planes, at).map(|()| false)?,
            SourceFrame::Lent(loan) => {
                pipeline.lend(loan);
                false
            }
            SourceFrame::Coded { stream, at } => {
                pipeline.pass(stream, at);
                false
            }
            SourceFrame::Changed => true,
        };
        let again = pipeline.again(&source)?;
        match again {
            Some(Reopening::Key) => {
                info!("video: {source}: a viewer waits for a keyframe: opened again, it begins with one")
            }
            Some(Reopening::Raw) => {
                warn!("video: {source}: viewers cannot use its H.264: opened again in another format")
            }
            None => {}
        }
        coded &= again != Some(Reopening::Raw);
        if changed || again.is_some() {
            let asked = Mono::now();
            // Closed before it is opened again: a device is never open twice.
            drop(source);
            source = Source::open(config, coded)?;
            if changed {
                out.set_health(Health::Starting);
            }
            pipeline = VideoPipeline::new(config, &source, out, asked).after(pipeline);
            pipeline.import_from(&source)?;
        }
        pipeline.collect(&mut source)?;
        pipeline.tell();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
