//! A WAV file in place of the microphone, played round and round; read as it is played, never held as a whole.

use std::{
    fs::File,
    io::{BufReader, Seek as _},
    path::Path,
};

use hound::{SampleFormat, WavReader};

use crate::feed::Fault;

use super::{
    resample::Resampler,
    samples::{mix, of_i32, sane},
    timeline::RATE,
};

/// Frames read from the file at a time.
const PIECE: usize = 480;

/// An open file.
pub(super) struct Clip {
    name: String,
    /// Taken out and put back at the end of the file, where it is rewound.
    reader: Option<WavReader<BufReader<File>>>,
    channels: usize,
    resampler: Option<Resampler>,
    /// One piece as read, in the file's channels.
    raw: Vec<f32>,
    /// Samples at 48 kHz that wait to be played.
    ready: Vec<f32>,
}

impl Clip {
    /// Opens `path` to be played in `channels` channels.
    pub(super) fn open(path: &Path, channels: usize) -> Result<Self, Fault> {
        let name = format!("sound file {}", path.display());
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Fault::Absent(format!("{name}: no such file")),
            _ => Fault::Failed(format!("{name}: open: {e}")),
        })?;
        let reader = WavReader::new(BufReader::new(file)).map_err(|e| wrong(&name, &e))?;
        let spec = reader.spec();
        if reader.duration() == 0 {
            return Err(Fault::Failed(format!("{name}: there is no sound in it")));
        }
        let resampler = match spec.sample_rate {
            RATE => None,
            rate => Some(Resampler::new(rate, channels).map_err(|e| Fault::Failed(format!("{name}: {e}")))?),
        };
        Ok(Self { name, reader: Some(reader), channels, resampler, raw: Vec::new(), ready: Vec::new() })
    }

    /// What it is, for a person.
    pub(super) fn describe(&self) -> String {
        let spec = self.reader.as_ref().map(WavReader::spec);
        spec.map_or_else(
            || self.name.clone(),
            |s| format!("{}: {} Hz, {} bits, {} channels", self.name, s.sample_rate, s.bits_per_sample, s.channels),
        )
    }

    /// Fills `out`, interleaved, with what comes next.
    pub(super) fn render(&mut self, out: &mut [f32]) -> Result<(), Fault> {
        while self.ready.len() < out.len() {
            self.read()?;
        }
        out.copy_from_slice(&self.ready[..out.len()]);
        self.ready.drain(..out.len());
        Ok(())
    }

    /// Reads one piece, or goes back to the start.
    fn read(&mut self) -> Result<(), Fault> {
        let Some(reader) = &mut self.reader else {
            return Err(Fault::Failed(format!("{}: could not be rewound", self.name)));
        };
        let spec = reader.spec();
        let from = usize::from(spec.channels);
        self.raw.clear();
        let read = match spec.sample_format {
            SampleFormat::Float => {
                let samples = reader.samples::<f32>().take(PIECE * from);
                samples.map(|s| s.map(sane)).try_for_each(|s| s.map(|s| self.raw.push(s)))
            }
            SampleFormat::Int => {
                let shift = 32 - u32::from(spec.bits_per_sample.clamp(1, 32));
                let samples = reader.samples::<i32>().take(PIECE * from);
                samples.map(|s| s.map(|s| of_i32(s << shift))).try_for_each(|s| s.map(|s| self.raw.push(s)))
            }
        };
        read.map_err(|e| wrong(&self.name, &e))?;
        if self.raw.is_empty() {
            return self.rewind();
        }
        let mut mixed = Vec::with_capacity(PIECE * self.channels);
        for frame in self.raw.chunks_exact(from) {
            mix(|n| frame.get(n).copied().unwrap_or(0.0), from, self.channels, &mut mixed);
        }
        match &mut self.resampler {
            None => self.ready.extend_from_slice(&mixed),
            Some(resampler) => resampler
                .push(&mixed, &mut self.ready)
                .map_err(|e| Fault::Failed(format!("{}: resample: {e}", self.name)))?,
        }
        Ok(())
    }

    /// Back to the first sample. The header is read anew: the file may have been written over meanwhile, and what it
    /// says now has to be what it said then.
    fn rewind(&mut self) -> Result<(), Fault> {
        let Some(reader) = self.reader.take() else { return Ok(()) };
        let spec = reader.spec();
        let mut file = reader.into_inner();
        file.rewind().map_err(|e| Fault::Failed(format!("{}: rewind: {e}", self.name)))?;
        let reader = WavReader::new(file).map_err(|e| wrong(&self.name, &e))?;
        if reader.spec() != spec || reader.duration() == 0 {
            return Err(Fault::Failed(format!("{}: changed while it was played", self.name)));
        }
        self.reader = Some(reader);
        Ok(())
    }
}

fn wrong(name: &str, e: &hound::Error) -> Fault {
    Fault::Failed(match e {
        hound::Error::Unsupported => {
            format!("{name}: this kind of WAV is not supported: PCM of 8, 16, 24 or 32 bits or 32-bit float is")
        }
        hound::Error::IoError(e) => format!("{name}: read: {e}"),
        e => format!("{name}: not a WAV file that can be read: {e}"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hound::{WavSpec, WavWriter};

    use super::*;

    /// Writes a 500 Hz sine of `frames` frames; channel n is the sine divided by n + 1.
    fn wav(dir: &Path, spec: WavSpec, frames: u32) -> PathBuf {
        let path = dir.join("sound.wav");
        let mut out = WavWriter::create(&path, spec).unwrap();
        for n in 0..frames {
            let turn = f64::from(n) * 500.0 / f64::from(spec.sample_rate);
            for channel in 0..spec.channels {
                let value = (turn * std::f64::consts::TAU).sin() * 0.5 / f64::from(channel + 1);
                match spec.sample_format {
                    SampleFormat::Float => out.write_sample(value as f32).unwrap(),
                    SampleFormat::Int => {
                        let full = f64::from(1u32 << (spec.bits_per_sample - 1));
                        out.write_sample((value * full) as i32).unwrap();
                    }
                }
            }
        }
        out.finalize().unwrap();
        path
    }

    fn spec(sample_rate: u32, channels: u16, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    #[test]
    fn every_format_plays_the_same_sound_round_and_round() {
        let (int, float) = (SampleFormat::Int, SampleFormat::Float);
        let table = [
            spec(48_000, 1, 16, int),
            spec(48_000, 2, 24, int),
            spec(48_000, 6, 16, int),
            spec(48_000, 1, 8, int),
            spec(48_000, 1, 32, int),
            spec(48_000, 1, 32, float),
            spec(44_100, 1, 16, int),
            spec(8_000, 1, 16, int),
            spec(96_000, 1, 32, float),
        ];
        for spec in table {
            let dir = tempfile::tempdir().unwrap();
            // A tenth of a second: whole waves, so that the loop has no seam.
            let path = wav(dir.path(), spec, spec.sample_rate / 10);
            let mut clip = Clip::open(&path, 2).unwrap();
            let mut sound = Vec::new();
            for _ in 0..50 {
                let mut block = [0.0; 1_920];
                clip.render(&mut block).unwrap();
                sound.extend_from_slice(&block);
            }
            assert!(clip.ready.len() < 20_000, "{spec:?}: more is held than a piece");
            for (channel, expected) in [(0, 0.5), (1, if spec.channels > 1 { 0.25 } else { 0.5 })] {
                let one: Vec<f32> = sound.chunks_exact(2).skip(960).map(|f| f[channel]).collect();
                let crossings = one.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
                assert!(crossings.abs_diff(490) <= 1, "{spec:?}: {crossings} waves");
                let peak = one.iter().copied().fold(0.0, f32::max);
                assert!((peak - expected).abs() < 0.02, "{spec:?}: peak {peak}");
                let steepest = one.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
                assert!(steepest < 0.06, "{spec:?}: a click of {steepest}");
            }
        }
    }

    #[test]
    fn what_cannot_be_played_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.wav");
        std::fs::write(&text, "hello").unwrap();
        let empty = wav(dir.path(), spec(48_000, 1, 16, SampleFormat::Int), 0);
        let none = dir.path().join("none.wav");
        let fault = |path: &Path| Clip::open(path, 1).err().unwrap();
        assert!(matches!(fault(&none), Fault::Absent(s) if s.ends_with("none.wav: no such file")));
        assert!(matches!(fault(&text), Fault::Failed(s) if s.contains("not a WAV file")));
        assert!(matches!(fault(&empty), Fault::Failed(s) if s.ends_with("no sound in it")));
        let slow = wav(dir.path(), spec(100, 1, 16, SampleFormat::Int), 10);
        assert!(matches!(fault(&slow), Fault::Failed(s) if s.contains("100 Hz: 4000 to 384000 Hz are possible")));
    }

    #[test]
    fn no_byte_of_a_broken_file_panics() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(wav(dir.path(), spec(44_100, 2, 16, SampleFormat::Int), 40)).unwrap();
        let path = dir.path().join("broken.wav");
        let mut block = [0.0; 960];
        for at in 0..whole.len().min(60) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                std::fs::write(&path, &broken).unwrap();
                if let Ok(mut clip) = Clip::open(&path, 1) {
                    let _ = clip.render(&mut block);
                }
                std::fs::write(&path, &whole[..at]).unwrap();
                // Cut in its header it does not open; cut in its sound it cannot be played.
                assert!(Clip::open(&path, 1).and_then(|mut clip| clip.render(&mut block)).is_err(), "cut at {at}");
            }
        }
    }
}
