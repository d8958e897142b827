//! Resamples to 48 kHz, for cards and files with another rate.
//!
//! The filter's delay is cut off at the front. So sample `n` of the output is from the time `n / 48000` s of the input,
//! and capture times need no correction. The remaining delay is waiting: half the filter, 32 input samples (0.7 ms at
//! 44.1 kHz), and at most one step of 2.5 ms.

use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
    audioadapter_buffers::direct::InterleavedSlice,
};

use crate::audio::sample_clock::RATE;

/// Output frames per step.
const STEP: usize = 120;
/// The length of the filter, in input samples.
const TAPS: usize = 64;
/// The sample rates that a card or file may have, in Hz.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Resamples a stream of interleaved samples to 48 kHz.
pub(super) struct Resampler {
    inner: Async<f32>,
    channels: usize,
    waiting: Vec<f32>,
    step: Vec<f32>,
    /// Output frames that must still be cut off: the filter's delay.
    cut: usize,
}

impl Resampler {
    /// Resamples from `rate`, which must be within `RATES`. 48 kHz works but is a waste.
    pub(super) fn new(rate: u32, channels: usize) -> Result<Self, String> {
        if !RATES.contains(&rate) {
            return Err(format!("{rate} Hz: {} to {} Hz are possible", RATES.start(), RATES.end()));
        }
        let filter = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2)
            .oversampling_factor(256)
            .interpolation(SincInterpolationType::Linear);
        let ratio = f64::from(RATE) / f64::from(rate);
        let inner = Async::new_sinc(ratio, 1.0, &filter, STEP, channels, FixedAsync::Output)
            .map_err(|e| format!("{rate} Hz: {e}"))?;
        let cut = inner.output_delay();
        Ok(Self { inner, channels, waiting: Vec::new(), step: vec![0.0; STEP * channels], cut })
    }

    /// Adds interleaved samples, and appends the finished ones to `out`. At most the input of one step stays inside.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        self.waiting.extend_from_slice(samples);
        let mut used = 0;
        loop {
            let needed = self.inner.input_frames_next() * self.channels;
            let Some(input) = self.waiting.get(used..used + needed) else { break };
            let frames = needed / self.channels;
            let input = InterleavedSlice::new(input, self.channels, frames).map_err(|e| e.to_string())?;
            let mut output =
                InterleavedSlice::new_mut(&mut self.step, self.channels, STEP).map_err(|e| e.to_string())?;
            let (_, made) = self.inner.process_into_buffer(&input, &mut output, None).map_err(|e| e.to_string())?;
            let cut = self.cut.min(made);
            self.cut -= cut;
            out.extend_from_slice(&self.step[cut * self.channels..made * self.channels]);
            used += needed;
        }
        self.waiting.drain(..used);
        Ok(())
    }

    /// Clears the state: the next samples do not follow the ones before.
    pub(super) fn reset(&mut self) {
        self.inner.reset();
        self.waiting.clear();
        self.cut = self.inner.output_delay();
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn sine(hz: f32, rate: u32, frames: usize) -> Vec<f32> {
        (0..frames).map(|n| (TAU * (hz * n as f32 / rate as f32).fract()).sin() * 0.5).collect()
    }

    /// Pushes in pieces of 10 ms, like a card.
    fn run(resampler: &mut Resampler, input: &[f32], piece: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for piece in input.chunks(piece) {
            resampler.push(piece, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn every_sample_comes_out_at_its_own_time() {
        for rate in [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 47_999, 88_200, 96_000, 192_000] {
            let mut resampler = Resampler::new(rate, 1).unwrap();
            let out = run(&mut resampler, &sine(997.0, rate, rate as usize), rate as usize / 100);
            let expected = sine(997.0, RATE, out.len());
            let (mut noise, mut signal) = (0.0, 0.0);
            for (got, want) in out.iter().zip(&expected).skip(480) {
                noise += (got - want).powi(2);
                signal += want.powi(2);
            }
            // The filter's delay is cut to a whole sample. Up to one sample of 997 Hz remains, which is -18 dB.
            let ratio = 10.0 * (signal / noise).log10();
            assert!(ratio > 17.0, "{rate} Hz: {ratio} dB");
            // Of one second, everything but half the filter and one step has come out.
            let held = 48_000 - out.len();
            let most = STEP + TAPS * 48_000 / rate as usize + STEP;
            assert!(held <= most, "{rate} Hz: {held} of {most} frames held back");
        }
    }

    #[test]
    fn no_hum_no_hiss() {
        let rate = 44_100;
        let mut resampler = Resampler::new(rate, 1).unwrap();
        let out = run(&mut resampler, &sine(1000.0, rate, rate as usize), 441);
        // The rest after subtracting the best-fitting 1 kHz sine.
        let window = &out[4_800..4_800 + 38_400];
        let (mut s, mut c) = (0.0f64, 0.0f64);
        for (n, x) in window.iter().enumerate() {
            let phase = f64::from(TAU) * (n as f64 / 48.0).fract();
            s += f64::from(*x) * phase.sin();
            c += f64::from(*x) * phase.cos();
        }
        let (s, c) = (s * 2.0 / 38_400.0, c * 2.0 / 38_400.0);
        let rest: f64 = window
            .iter()
            .enumerate()
            .map(|(n, x)| {
                let phase = f64::from(TAU) * (n as f64 / 48.0).fract();
                (f64::from(*x) - s * phase.sin() - c * phase.cos()).powi(2)
            })
            .sum();
        let ratio = 10.0 * (0.125 * 38_400.0 / rest).log10();
        assert!(ratio > 75.0, "{ratio} dB");
    }

    #[test]
    fn channels_stay_apart() {
        let mut resampler = Resampler::new(44_100, 2).unwrap();
        let left = sine(440.0, 44_100, 4_410);
        let both: Vec<f32> = left.iter().flat_map(|l| [*l, 0.0]).collect();
        let out = run(&mut resampler, &both, 882);
        assert!(out.chunks_exact(2).all(|f| f[1] == 0.0));
        assert!(out.chunks_exact(2).any(|f| f[0] > 0.4));
    }

    #[test]
    fn a_reset_forgets_and_keeps_time() {
        let mut resampler = Resampler::new(16_000, 1).unwrap();
        run(&mut resampler, &[1.0; 1_000], 160);
        resampler.reset();
        // Silence, then a step at 50 ms, which must come out at 50 ms.
        let input: Vec<f32> = (0..1_600).map(|n| if n < 800 { 0.0 } else { 0.5 }).collect();
        let out = run(&mut resampler, &input, 160);
        assert!(out[..2_000].iter().all(|s| s.abs() < 1e-3));
        let onset = out.iter().position(|s| *s > 0.25).unwrap();
        assert!(onset.abs_diff(2_400) <= 3, "{onset}");
    }

    #[test]
    fn rates_beyond_reason_are_refused() {
        for rate in [0, 1, 3_999, 400_000, u32::MAX] {
            assert!(Resampler::new(rate, 1).is_err(), "{rate}");
        }
    }
}
