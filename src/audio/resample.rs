//! Resamples to 48 kHz, for cards and files with another rate; and from 48 kHz to a playback device, a little faster
//! or slower.
//!
//! The filter's delay is cut off at the front. So sample `n` of the output is from the time `n / 48000` s of the input,
//! and capture times need no correction. The remaining delay is waiting: half the filter, 32 input samples (0.7 ms at
//! 44.1 kHz), and at most one step of 2.5 ms.

use rubato::{
    Adjustable as _, Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction, audioadapter_buffers::direct::InterleavedSlice,
};

use crate::audio::sample_clock::RATE;

/// Output frames per step.
const STEP: usize = 120;
/// The length of the filter, in input samples.
const TAPS: usize = 64;
/// The sample rates that a card or file may have, in Hz.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// The largest change of the speed, as a factor: more than `talk::clock_drift` asks for.
const SPEED_MAX: f64 = 1.01;

/// Resamples a stream of interleaved samples.
pub(super) struct Resampler {
    inner: Async<f32>,
    channels: usize,
    waiting: Vec<f32>,
    step: Vec<f32>,
    /// Output frames that must still be cut off: the filter's delay.
    cut: usize,
}

impl Resampler {
    /// Resamples from `rate` to 48 kHz. It must be within `RATES`. 48 kHz works but is a waste.
    pub(super) fn new(rate: u32, channels: usize) -> Result<Self, String> {
        Self::between(rate, rate, RATE, channels, 1.0)
    }

    /// Resamples from 48 kHz to the `rate` of a playback device, within `RATES`. The speed can change.
    pub(super) fn to_device(rate: u32, channels: usize) -> Result<Self, String> {
        Self::between(rate, RATE, rate, channels, SPEED_MAX)
    }

    fn between(rate: u32, from: u32, to: u32, channels: usize, most: f64) -> Result<Self, String> {
        if !RATES.contains(&rate) {
            return Err(format!("{rate} Hz: {} to {} Hz are possible", RATES.start(), RATES.end()));
        }
        let filter = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2)
            .oversampling_factor(256)
            .interpolation(SincInterpolationType::Linear);
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, most, &filter, STEP, channels, FixedAsync::Output)
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

    /// Plays faster by this many ppm. The speed reaches it by a ramp over the next step, so nothing clicks.
    pub(super) fn set_speed(&mut self, ppm: f64) {
        let relative = (1.0 + ppm * 1e-6).clamp(1.0 / SPEED_MAX, SPEED_MAX);
        // It is within the limits.
        let _ = self.inner.set_resample_ratio_relative(1.0 / relative, true);
    }

    /// Input frames that wait inside.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() / self.channels
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
    fn a_changed_speed_changes_the_length_and_clicks_nowhere() {
        for rate in [16_000, 44_100, 48_000] {
            let mut resampler = Resampler::to_device(rate, 1).unwrap();
            let mut out = Vec::new();
            let input = sine(500.0, RATE, 96_000);
            resampler.push(&input[..48_000], &mut out).unwrap();
            let first = out.len();
            resampler.set_speed(5_000.0);
            resampler.push(&input[48_000..], &mut out).unwrap();
            let second = (out.len() - first) as f64 / f64::from(rate);
            assert!((second - 1.0 / 1.005).abs() < 0.004, "{rate} Hz: {second} s");
            // The largest step of such a sine is this.
            let most = 0.5 * TAU * 500.0 * 1.006 / rate as f32;
            let step = out[200..].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            assert!(step < most * 1.01, "{rate} Hz: a step of {step}, not {most}");
        }
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
