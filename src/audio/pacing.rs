//! Paces sources without a clock of their own by the monotonic clock.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    audio::{encoder::BLOCK, pipeline::AudioPipeline},
    clock::Mono,
    feed::Fault,
    liveness,
};

/// The duration of one block: a whole number of nanoseconds, so that deadlines do not drift.
const PERIOD: Duration = Duration::from_millis(20);
/// If it is later than this, the missed time is left out, as with a sound card. Catching up would sound like a burst.
const LATE: Duration = Duration::from_millis(200);

/// Calls `render` for block after block until `stop` is set, with the capture time of the first sample. As with a
/// microphone, a block is ready once its last sample is over.
pub(super) fn play(
    pipeline: &mut AudioPipeline<'_>,
    stop: &AtomicBool,
    mut render: impl FnMut(Mono, &mut [f32]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut block = vec![0.0; BLOCK * pipeline.channels()];
    let mut at = Mono::now();
    pipeline.begin(at)?;
    while !stop.load(Ordering::Acquire) {
        liveness::tick();
        let due = at + PERIOD;
        thread::sleep(due.since(Mono::now()));
        if Mono::now().since(due) > LATE {
            at = Mono::now();
            pipeline.begin(at)?;
            continue;
        }
        render(at, &mut block)?;
        pipeline.push(&block)?;
        at = due;
    }
    Ok(())
}
