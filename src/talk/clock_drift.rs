//! How much faster or slower the loudspeaker plays than its nominal rate. Pure.
//!
//! The sound cards of viewer and board have clocks of their own. If the viewer's is 200 parts per million (ppm) faster,
//! the buffers grow by 12 ms each minute. So the sound is resampled by a few ppm, and the delay stays at its target.
//!
//! The microphone has no such controller to use again: its sound is not resampled for drift. `SampleClock`
//! (`src/audio/sample_clock.rs`) moves the time stamps instead, and the browser corrects. What is the same is the
//! design: the least late observation of each half second steers a second-order loop with the same damping, and drift
//! has the same limit. What differs is the result, a rate instead of a time. People hear a rate, so this loop is
//! three times slower, and its changes are limited.
//!
//! - Drift: up to 1000 ppm, learned slowly. It is kept while the sender is silent.
//! - Correction of the delay around its target: up to 500 ppm.
//! - A delay that is clearly wrong ([`Tempo`]): up to 5000 ppm, which is 9 cents, less than listeners notice in speech.
//!   Nothing is learned from it.
//! - The rate changes by at most 500 ppm per half second. The resampler must reach it by a ramp, not by a step.

use std::{f64::consts::SQRT_2, time::Duration};

use super::delay_fill::{DelayFill, FILL_WINDOW, Tempo};

/// The largest drift that is assumed, in ppm; as in `SampleClock`.
const DRIFT_MAX: f64 = 1_000.0;
/// The largest correction of the delay, in ppm: near its target, and far from it.
const CORRECTION_MAX: f64 = 500.0;
const TEMPO_MAX: f64 = 5_000.0;
/// The largest change of the rate per window, in ppm.
const CHANGE_MAX: f64 = 500.0;
/// The natural frequency of the loop, in radians per window (1/63 Hz).
const OMEGA: f64 = 0.05;

/// The rate of playback.
#[derive(Debug)]
pub struct PlaybackRate {
    /// How much sound should be behind the jitter buffer.
    device: Duration,
    /// The drift of the sender's clock against the device's, in ppm.
    drift: f64,
    /// The rate, in ppm above the nominal one.
    rate: f64,
}

impl PlaybackRate {
    /// The nominal rate. `device`: how much sound is decoded and not yet heard, while all is well.
    pub fn new(device: Duration) -> Self {
        Self { device, drift: 0.0, rate: 0.0 }
    }

    /// The rate in ppm: 100 means that 48,004.8 samples of the sender are played in a second of the device.
    pub fn ppm(&self) -> f64 {
        self.rate
    }

    /// Corrects the rate by a measured delay. It is called for each [`DelayFill`], so at most once per half second.
    pub fn steer(&mut self, fill: DelayFill) -> f64 {
        // The error per window, in ppm.
        let error = fill.error(self.device) / FILL_WINDOW.as_secs_f64() * 1e6;
        let limit = match fill.tempo(self.device) {
            Tempo::Keep => {
                self.drift = (self.drift + OMEGA * OMEGA * error).clamp(-DRIFT_MAX, DRIFT_MAX);
                CORRECTION_MAX
            }
            Tempo::Faster | Tempo::Slower => TEMPO_MAX,
        };
        let wanted = self.drift + (SQRT_2 * OMEGA * error).clamp(-limit, limit);
        self.rate += (wanted - self.rate).clamp(-CHANGE_MAX, CHANGE_MAX);
        self.rate
    }

    /// Another playback device: its drift is another one.
    pub fn reset(&mut self, device: Duration) {
        *self = Self::new(device);
    }
}

#[cfg(test)]
#[path = "clock_drift_tests.rs"]
mod tests;
