//! The picture: newest picture → coded frame → feed. One thread, alive only while somebody watches.

mod budget;
mod camera;
mod clip;
pub mod clockstrip;
mod encoder;
pub(crate) mod fuzz;
mod h264;
mod jpeg;
mod keys;
mod loan;
mod modes;
mod pace;
mod pattern;
mod picture;
mod planes;
pub mod probe;
mod source;
mod sps;
mod stage;
mod v4l2;
mod y4m;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use encoder::{HardwareEncoder, encoders, library_fault};
pub(crate) use source::nodes;
pub use source::{Choice, choose};

use crate::{
    clock::Mono,
    config::Video,
    feed::{Fault, Health, Writer},
    pulse,
    video::{loan::Loan, planes::Planes, source::Source, stage::Stage},
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
    let asked = Mono::now();
    let mut source = Source::open(config)?;
    out.set_health(Health::Starting);
    let mut stage = Stage::new(config, &source, out, asked);
    stage.meet(&source)?;
    while !stop.load(Ordering::Acquire) {
        pulse::turn();
        stage.steer(&mut source);
        let until = Mono::now() + TICK;
        let encoder = stage.waited_for();
        match source.next(until, encoder.as_deref(), &mut stage.meter.counts)? {
            Taken::Nothing => stage.nothing(&source)?,
            Taken::Planes { planes, at } => stage.code(planes, at)?,
            Taken::Lent(loan) => stage.lend(loan),
            Taken::Coded { stream, at } => stage.pass(stream, at),
            Taken::Changed => {
                let asked = Mono::now();
                // Closed before it is opened again: a device is never open twice.
                drop(source);
                source = Source::open(config)?;
                out.set_health(Health::Starting);
                stage = Stage::new(config, &source, out, asked).after(stage);
                stage.meet(&source)?;
            }
        }
        stage.collect(&mut source)?;
        stage.tell();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
