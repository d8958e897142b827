//! The picture: newest picture → coded frame → feed. One thread, alive only while somebody watches.

mod budget;
mod camera;
mod clip;
pub mod clockstrip;
mod condition;
mod encoder;
pub(crate) mod fuzz;
mod h264;
mod intake;
mod jpeg;
mod keys;
mod loan;
mod modes;
mod pace;
mod pattern;
mod picture;
mod planes;
pub mod probe;
mod reopen;
mod shutter;
mod source;
mod sps;
mod stage;
mod unit;
mod v4l2;
mod y4m;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use encoder::{HardwareEncoder, encoders, library_fault};
pub(crate) use source::nodes;
pub use source::{Choice, choose};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    config::Video,
    feed::{Fault, Health, Writer},
    pulse,
    video::{condition::Again, loan::Loan, planes::Planes, source::Source, stage::Stage},
};

/// How long a wait for a picture may take: a stop is noticed within it.
const TICK: Duration = Duration::from_millis(50);

/// What a source gave.
enum Taken<'a> {
    /// Nothing yet.
    Nothing,
    /// A picture to be coded, captured then.
    Planes { planes: &'a mut Planes, at: Mono },
    /// A picture in the camera's own memory.
    Lent(Loan),
    /// A picture that is coded already (Annex B), captured then.
    Coded { stream: &'a [u8], at: Mono },
    /// The source has another size or rate now: it has to be opened again.
    Changed,
}

/// Captures and encodes until `stop` is set or the source fails. Blocks: it is the body of the thread `video`.
pub fn run(config: &Video, out: &Writer, stop: &AtomicBool) -> Result<(), Fault> {
    let ended = play(config, out, stop);
    if let Err(fault) = &ended {
        let health = if matches!(fault, Fault::Absent(_)) { Health::Absent } else { Health::Stalled };
        out.set_trouble(health, &fault.to_string());
    }
    ended
}

fn play(config: &Video, out: &Writer, stop: &AtomicBool) -> Result<(), Fault> {
    let asked = Mono::now();
    // Whether a camera's own H.264 is taken.
    let mut coded = true;
    let mut source = Source::open(config, coded)?;
    out.set_health(Health::Starting);
    let mut stage = Stage::new(config, &source, out, asked);
    stage.meet(&source)?;
    while !stop.load(Ordering::Acquire) {
        pulse::turn();
        stage.steer(&mut source);
        let until = Mono::now() + TICK;
        let encoder = stage.waited_for();
        let changed = match source.next(until, encoder.as_deref(), &mut stage.meter.counts)? {
            Taken::Nothing => stage.nothing(&source).map(|()| false)?,
            Taken::Planes { planes, at } => stage.code(planes, at).map(|()| false)?,
            Taken::Lent(loan) => {
                stage.lend(loan);
                false
            }
            Taken::Coded { stream, at } => {
                stage.pass(stream, at);
                false
            }
            Taken::Changed => true,
        };
        let again = stage.again(&source)?;
        match again {
            Some(Again::Key) => {
                info!("video: {source}: a viewer waits for a keyframe: opened again, it begins with one")
            }
            Some(Again::Raw) => warn!("video: {source}: viewers cannot use its H.264: opened again in another format"),
            None => {}
        }
        coded &= again != Some(Again::Raw);
        if changed || again.is_some() {
            let asked = Mono::now();
            // Closed before it is opened again: a device is never open twice.
            drop(source);
            source = Source::open(config, coded)?;
            if changed {
                out.set_health(Health::Starting);
            }
            stage = Stage::new(config, &source, out, asked).after(stage);
            stage.meet(&source)?;
        }
        stage.collect(&mut source)?;
        stage.tell();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
