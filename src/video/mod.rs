//! Video: newest frame of the source → encoded frame → feed. It is one thread, which runs only while somebody watches.

pub mod capture;
mod decode;
mod encode;
mod frame_pace;
pub(crate) mod fuzz;
mod h264;
mod pipeline;
mod questions;
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
pub use sources::{VideoChoice, choose};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    config::Video,
    feed::{Fault, FeedWriter, Health},
    idle::Idle,
    liveness,
    video::{
        capture::dmabuf::DmabufFrame, decode::planes::Planes, pipeline::VideoPipeline, source_health::Reopening,
        sources::Source,
    },
};

/// How long a wait for a frame may take, and so how soon a stop is noticed.
const TICK: Duration = Duration::from_millis(50);
/// If a source changes its size or rate this often without a frame in between, it has failed.
const CHANGES: u32 = 4;

/// What a source delivered.
pub(crate) enum SourceFrame<'a> {
    /// Nothing yet.
    Nothing,
    /// A raw frame, with its time of capture.
    Planes { planes: &'a mut Planes, at: Mono },
    /// A raw frame in the camera's own memory (DMABUF).
    Dmabuf(DmabufFrame),
    /// A coded frame (H.264 Annex B), with its time of capture.
    Coded { stream: &'a [u8], at: Mono },
    /// The source has a new size or rate and must be opened again.
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
    // Whether the camera's own H.264 is accepted.
    let mut coded = true;
    let mut source = open(config, coded, out)?;
    out.set_health(Health::Starting);
    let mut pipeline = VideoPipeline::new(config, &source, out, asked);
    pipeline.import_from(&source)?;
    let (mut idle, mut changes) = (Idle::default(), 0);
    while !stop.load(Ordering::Acquire) {
        liveness::tick();
        pipeline.steer(&mut source);
        let until = Mono::now() + TICK;
        let encoder = pipeline.waited_for();
        thread::sleep(idle.pause());
        let taken = source.next(until, encoder.as_deref(), &mut pipeline.meter.counts)?;
        match &taken {
            SourceFrame::Nothing if Mono::now() < until => {}
            SourceFrame::Nothing => idle.rest(),
            SourceFrame::Changed if changes >= CHANGES => {
                return Err(Fault::Failed(format!("{source}: its size or rate changes again and again")));
            }
            SourceFrame::Changed => changes += 1,
            SourceFrame::Planes { .. } | SourceFrame::Dmabuf(_) | SourceFrame::Coded { .. } => {
                (idle, changes) = (Idle::default(), 0)
            }
        }
        let changed = matches!(taken, SourceFrame::Changed);
        match taken {
            SourceFrame::Nothing => pipeline.nothing(&source)?,
            SourceFrame::Planes { planes, at } => pipeline.code(planes, at)?,
            SourceFrame::Dmabuf(frame) => pipeline.encode_dmabuf(frame),
            SourceFrame::Coded { stream, at } => pipeline.pass(stream, at),
            SourceFrame::Changed => {}
        }
        let reopening = pipeline.reopening(&source)?;
        log_reopening(&source, reopening);
        coded &= reopening != Some(Reopening::Raw);
        if changed || reopening.is_some() {
            let asked = Mono::now();
            // Closed first: a device is never open twice.
            drop(source);
            source = open(config, coded, out)?;
            if changed {
                out.set_health(Health::Starting);
            }
            pipeline = VideoPipeline::new(config, &source, out, asked).after(pipeline);
            pipeline.import_from(&source)?;
        }
        pipeline.collect(&mut source)?;
        pipeline.report();
    }
    Ok(())
}

/// Opens the source, and sets the controls that viewers saved.
fn open(config: &Video, coded: bool, out: &FeedWriter) -> Result<Source, Fault> {
    let source = Source::open(config, coded)?;
    source.restore_controls(&out.requests().camera().saved());
    Ok(source)
}

fn log_reopening(source: &Source, reopening: Option<Reopening>) {
    match reopening {
        Some(Reopening::Key) => {
            info!(
                "video: {source}: a viewer waits for a keyframe: reopening the camera, because it starts with a keyframe"
            )
        }
        Some(Reopening::Raw) => {
            warn!("video: {source}: viewers cannot use its H.264: opening it again in another format")
        }
        None => {}
    }
}

#[cfg(test)]
mod tests;
