//! Audio: source → blocks of 20 ms → Opus packets → feed. It is one thread, which runs only while somebody listens.
//!
//! ```text
//! microphone (ALSA) ─ samples ─┐             sample clock: ticks and capture times
//! clip (WAV) ──────── pace ────┼─ resample ─ pipeline ─ encoder ─► feed
//! tone ────────────── pace ────┘
//! ```
//! `Frame::ticks` counts samples at 48 kHz. `Frame::at` is when the first sample that a decoder makes of the packet was
//! captured. A card's clock drift is in `at`, never in `ticks`. Lost samples are a gap in both.

mod alsa_messages;
mod capture;
mod cards;
mod choose;
mod clip;
mod encoder;
pub(crate) mod fuzz;
mod pacing;
mod pcm;
mod pipeline;
mod probe;
mod resample;
mod sample_clock;
mod samples;
pub mod speaker;
mod terms;
mod tone;
mod wav;
mod wording;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use tracing::{debug, info};

use crate::{
    config::{Audio, AudioSource},
    feed::{Fault, FeedWriter, Health},
};

pub use choose::{AudioChoice, UnusableSource, choose};
pub use probe::{Microphone, probe};

use capture::{Capture, CaptureEnd};
use pipeline::AudioPipeline;

/// Captures and encodes until `stop` is set or the source fails. It blocks, since it is the body of the thread `audio`.
/// It notices `stop` within 100 ms.
pub fn run(config: &Audio, out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    let mut pipeline = AudioPipeline::new(config, out)?;
    let channels = pipeline.channels();
    let ended = match &config.source {
        AudioSource::Off => Err(Fault::Absent("audio is switched off in the configuration".into())),
        AudioSource::Tone => {
            out.set_health(Health::Starting);
            let mut tone = tone::Tone::default();
            pacing::play(&mut pipeline, stop, |at, block| {
                tone.render(at.wall(), block, channels);
                Ok(())
            })
        }
        AudioSource::Clip(path) => clip::SoundClip::open(path, channels).and_then(|mut clip| {
            info!("audio: {}", clip.describe());
            out.set_health(Health::Starting);
            pacing::play(&mut pipeline, stop, |_, block| clip.render(block))
        }),
        AudioSource::Microphone(name) => listen(&mut pipeline, stop, || Capture::open(name, channels)),
        AudioSource::Auto => listen(&mut pipeline, stop, || {
            let (capture, refused) = choose::first(channels)?;
            refused.iter().for_each(|r| debug!("audio: not {r}"));
            Ok(capture)
        }),
    };
    pipeline.report();
    if let Err(fault) = &ended {
        let health = if matches!(fault, Fault::Absent(_)) { Health::Absent } else { Health::Stalled };
        out.set_trouble(health, &fault.to_string());
    }
    ended
}

/// If a microphone falls silent again before this many packets, opening it again did not help.
const HELPED: u64 = 10;

/// Captures from a microphone. One that falls silent is opened again; if that does not help, it has failed.
fn listen(
    pipeline: &mut AudioPipeline<'_>,
    stop: &AtomicBool,
    open: impl Fn() -> Result<Capture, Fault>,
) -> Result<(), Fault> {
    let mut before: Option<u64> = None;
    loop {
        let capture = open()?;
        info!("audio: {capture}");
        if before.is_none() {
            pipeline.set_health(Health::Starting);
        }
        match capture.listen(stop, pipeline)? {
            CaptureEnd::Stopped => return Ok(()),
            CaptureEnd::Silent => {
                pipeline.set_trouble(Health::Stalled, "no samples for 2 s; opening it again");
                if before.is_some_and(|before| pipeline.packets() < before + HELPED) {
                    return Err(Fault::Failed(format!(
                        "{}: no samples come, even after opening it again",
                        capture.name()
                    )));
                }
                before = Some(pipeline.packets());
                info!("audio: {}: no samples for 2 s; opening it again", capture.name());
            }
        }
    }
}
