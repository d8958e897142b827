//! Packets of the talker in, samples for the playback device out: jitter buffer, decoder, resampler. Pure, but for the
//! decoder's own memory: time is an argument.
//!
//! Sound is decoded to one channel: a loudspeaker of a board has no sides. A step without a packet fades to silence,
//! and sound after silence fades in, so nothing clicks.

use std::time::Duration;

use opus::{Channels, Decoder};

use crate::{
    audio::{resample::Resampler, sample_clock::RATE},
    clock::Mono,
    feed::Fault,
    talk::{
        clock_drift::PlaybackRate,
        jitter_buffer::JitterBuffer,
        opus_toc::MAX_SAMPLES,
        playout::{IncomingOpus, JitterCounters, Playout},
        turns::TalkPacket,
    },
};

/// How long a fade takes, in samples: 5 ms.
const FADE: usize = 240;
/// Sound below this is silence (-60 dB of full scale, as a mean of squares). Rooms are louder.
const SILENCE: f32 = 1e-6;

/// Renders the sound of one talker after another.
pub(super) struct Renderer {
    buffer: JitterBuffer,
    decoder: Decoder,
    speed: PlaybackRate,
    resampler: Resampler,
    talker: Option<u64>,
    /// How much sound is behind the jitter buffer, while all is well.
    device: Duration,
    rate: u32,
    /// Decoded samples of one step, and samples for the device that were not taken yet.
    step: Vec<f32>,
    ready: Vec<f32>,
    /// The last decoded sample, and how many samples of a fade-in are done.
    last: f32,
    risen: usize,
    /// Whether sound that is not silence was decoded since the last question.
    heard: bool,
    /// The counters of earlier talkers.
    before: JitterCounters,
}

impl Renderer {
    /// For a device of this rate, which has `device` of sound before it at most.
    pub(super) fn new(rate: u32, device: Duration) -> Result<Self, Fault> {
        let failed = |what: &str, why: String| Fault::Failed(format!("speaker: {what}: {why}"));
        Ok(Self {
            buffer: JitterBuffer::default(),
            decoder: Decoder::new(RATE, Channels::Mono).map_err(|e| failed("open a decoder", e.to_string()))?,
            speed: PlaybackRate::new(device),
            resampler: Resampler::to_device(rate, 1).map_err(|why| failed("resample", why))?,
            talker: None,
            device,
            rate,
            step: Vec::with_capacity(MAX_SAMPLES as usize),
            ready: Vec::new(),
            last: 0.0,
            risen: 0,
            heard: false,
            before: JitterCounters::default(),
        })
    }

    /// Takes a packet. A packet of another talker resets the renderer.
    pub(super) fn take(&mut self, packet: &TalkPacket) {
        if self.talker != Some(packet.talker) {
            self.before = self.counters();
            self.buffer = JitterBuffer::default();
            self.speed.reset(self.device);
            self.resampler.set_speed(0.0);
            // A decoder that cannot be reset plays on with the state of the last talker, which is not wrong for long.
            let _ = self.decoder.reset_state();
            (self.talker, self.heard) = (Some(packet.talker), false);
        }
        let TalkPacket { ssrc, sequence, timestamp, ref payload, at, .. } = *packet;
        self.buffer.push(IncomingOpus { ssrc, sequence, timestamp, payload }, at);
        if let Some(fill) = self.buffer.take_fill(at) {
            self.resampler.set_speed(self.speed.steer(fill));
        }
    }

    /// Renders until `frames` samples are ready. `queued`: how much sound the device has.
    pub(super) fn render(&mut self, frames: usize, now: Mono, queued: Duration) -> Result<(), Fault> {
        while self.ready.len() < frames {
            let behind = queued + time(self.ready.len(), self.rate) + time(self.resampler.waiting(), RATE);
            let playout = self.buffer.pop(now, behind);
            self.decode(&playout);
            self.resampler
                .push(&self.step, &mut self.ready)
                .map_err(|why| Fault::Failed(format!("speaker: resample: {why}")))?;
        }
        Ok(())
    }

    /// The samples that are ready.
    pub(super) fn ready(&self) -> &[f32] {
        &self.ready
    }

    /// The device took the first `frames` samples.
    pub(super) fn taken(&mut self, frames: usize) {
        self.ready.drain(..frames.min(self.ready.len()));
    }

    /// The talker whose sound was not silence since the last question.
    pub(super) fn take_heard(&mut self) -> Option<u64> {
        std::mem::take(&mut self.heard).then_some(self.talker)?
    }

    /// What happened so far.
    pub(super) fn counters(&self) -> JitterCounters {
        let (a, b) = (self.before, self.buffer.counters());
        JitterCounters {
            received: a.received + b.received,
            late: a.late + b.late,
            lost: a.lost + b.lost,
            duplicate: a.duplicate + b.duplicate,
            reordered: a.reordered + b.reordered,
            concealed: a.concealed + b.concealed,
            restored: a.restored + b.restored,
            discarded: a.discarded + b.discarded,
        }
    }

    /// How much faster than nominal the sound is played, in ppm.
    pub(super) fn ppm(&self) -> f64 {
        self.speed.ppm()
    }

    /// Decodes one step into `step`.
    fn decode(&mut self, playout: &Playout) {
        let samples = (playout.samples().min(MAX_SAMPLES)) as usize;
        self.step.clear();
        self.step.resize(samples, 0.0);
        let decoded = match playout {
            Playout::Decode { payload, .. } => self.decoder.decode_float(payload, &mut self.step, false),
            Playout::DecodeFec { payload, .. } => self.decoder.decode_float(payload, &mut self.step, true),
            Playout::Conceal { .. } => self.decoder.decode_float(&[], &mut self.step, false),
            Playout::Silence { .. } => return self.fade_out(),
        };
        // A packet that cannot be decoded is as good as lost.
        let decoded = decoded.or_else(|_| self.decoder.decode_float(&[], &mut self.step, false));
        match decoded {
            Ok(decoded) if decoded > 0 => {
                self.step.truncate(decoded.min(samples));
                self.fade_in();
            }
            _ => self.fade_out(),
        }
    }

    fn fade_in(&mut self) {
        for sample in &mut self.step {
            // The decoder makes more than full scale of nonsense.
            *sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
            if self.risen < FADE {
                *sample *= self.risen as f32 / FADE as f32;
                self.risen += 1;
            }
        }
        let power: f32 = self.step.iter().map(|sample| sample * sample).sum();
        self.heard |= power > SILENCE * self.step.len() as f32;
        self.last = self.step.last().copied().unwrap_or(0.0);
    }

    fn fade_out(&mut self) {
        let last = std::mem::take(&mut self.last);
        for (n, sample) in self.step.iter_mut().enumerate() {
            *sample = last * (1.0 - n as f32 / FADE as f32).max(0.0);
        }
        self.risen = 0;
    }
}

/// The duration of this many samples.
pub(super) fn time(samples: usize, rate: u32) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate.max(1)))
}

#[cfg(test)]
#[path = "renderer_tests.rs"]
mod tests;
