//! Sound that no card clocks: blocks at the pace of the monotonic clock.

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

/// Time of one block: a whole number of nanoseconds, so that deadlines never drift.
const PERIOD: Duration = Duration::from_millis(20);
/// Later than this, what was missed is left out, as a card would: catching up would be heard as a burst.
const LATE: Duration = Duration::from_millis(200);

/// Has `render` fill block after block until `stop`; it is given when the first sample is heard. Like a microphone's,
/// a block is ready when its last sample has been heard.
pub(super) fn play(
    pipeline: &mut AudioPipeline<'_>,
    stop: &AtomicBool,
    mut render: impl FnMut(Mono, &mut [f32]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut block = vec![0.0; BLOCK * pipeline.channels()];
    let mut at = Mono::now();
    pipeline.begin(at)?;
    while !stop.load(Ordering::Acquire) {
        liveness::turn();
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
