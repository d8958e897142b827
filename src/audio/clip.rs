//! A WAV file as audio source, played in a loop. It is read while it is played, and never held in memory as a whole.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::{
    audio::{
        resample::Resampler,
        sample_clock::RATE,
        wav::{self, Wav, WavError},
    },
    feed::Fault,
};

/// Frames per read.
const PIECE: usize = 480;

/// An open file.
pub(super) struct SoundClip {
    name: String,
    file: File,
    wav: Wav,
    /// Bytes of samples that are still to be read in this pass, and whether any were read.
    left: u64,
    heard: bool,
    channels: usize,
    resampler: Option<Resampler>,
    /// One piece as read, and the same in the wanted channels.
    raw: Vec<u8>,
    mixed: Vec<f32>,
    /// Samples at 48 kHz that are ready to be played.
    ready: Vec<f32>,
}

impl SoundClip {
    /// Opens the file at `path`, to play it in `channels` channels.
    pub(super) fn open(path: &Path, channels: usize) -> Result<Self, Fault> {
        let name = format!("sound file {}", path.display());
        let mut file = open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Fault::Absent(format!("{name}: no such file")),
            _ => Fault::Failed(format!("{name}: open: {e}")),
        })?;
        let wav = wav::read(&mut file).map_err(|e| wrong(&name, e))?;
        if wav.length == 0 {
            return Err(Fault::Failed(format!("{name}: it contains no samples")));
        }
        let resampler = match wav.format.rate {
            RATE => None,
            rate => Some(Resampler::new(rate, channels).map_err(|e| Fault::Failed(format!("{name}: {e}")))?),
        };
        let (raw, mixed, ready) = (Vec::new(), Vec::new(), Vec::new());
        let mut clip = Self { name, file, wav, left: 0, heard: false, channels, resampler, raw, mixed, ready };
        clip.begin()?;
        Ok(clip)
    }

    /// Its description for people.
    pub(super) fn describe(&self) -> String {
        let format = self.wav.format;
        format!("{}: {} Hz, {} bits, {} channels", self.name, format.rate, format.bits, format.channels)
    }

    /// Fills `out`, interleaved, with the next samples.
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
        let (frame, layout, from) =
            (self.wav.format.frame(), self.wav.format.layout, usize::from(self.wav.format.channels));
        let want = self.left.min((PIECE * frame) as u64);
        self.raw.clear();
        let read = (&self.file).take(want).read_to_end(&mut self.raw);
        let read = read.map_err(|e| wrong(&self.name, e.into()))? as u64;
        // A file that has become shorter is played to its new end.
        self.left = if read < want { 0 } else { self.left - read };
        if read < frame as u64 {
            return self.rewind();
        }
        self.heard = true;
        self.mixed.clear();
        layout.decode(&self.raw, from, self.channels, &mut self.mixed);
        match &mut self.resampler {
            None => self.ready.extend_from_slice(&self.mixed),
            Some(resampler) => resampler
                .push(&self.mixed, &mut self.ready)
                .map_err(|e| Fault::Failed(format!("{}: resample: {e}", self.name)))?,
        }
        Ok(())
    }

    /// Goes back to the first sample. The header is read again, since the file may have been rewritten or may have
    /// grown. The format must be the same.
    fn rewind(&mut self) -> Result<(), Fault> {
        let wav = wav::read(&mut self.file).map_err(|e| wrong(&self.name, e))?;
        if wav.format != self.wav.format || wav.length == 0 || !self.heard {
            return Err(Fault::Failed(format!("{}: changed while it was played", self.name)));
        }
        self.wav = wav;
        self.begin()
    }

    /// Seeks to the first sample.
    fn begin(&mut self) -> Result<(), Fault> {
        let begin = self.file.seek(SeekFrom::Start(self.wav.begin));
        begin.map_err(|e| Fault::Failed(format!("{}: rewind: {e}", self.name)))?;
        (self.left, self.heard) = (self.wav.length, false);
        Ok(())
    }
}

/// Opens a regular file. A pipe or a device could block for ever.
fn open(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    File::open(path)
}

fn wrong(name: &str, problem: WavError) -> Fault {
    Fault::Failed(match problem {
        WavError::Unsupported => {
            format!("{name}: unsupported WAV format; PCM of 8, 16, 24 or 32 bits and 32-bit float are supported")
        }
        WavError::Io(e) => format!("{name}: read: {e}"),
        WavError::Not(why) => format!("{name}: not a valid WAV file: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hound::{SampleFormat, WavSpec, WavWriter};

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
            // A tenth of a second: whole periods of the sine, so that the loop has no jump.
            let path = wav(dir.path(), spec, spec.sample_rate / 10);
            let mut clip = SoundClip::open(&path, 2).unwrap();
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

    /// Half a second of what a clip plays, in mono.
    fn played(path: &Path) -> Vec<f32> {
        let mut clip = SoundClip::open(path, 1).unwrap_or_else(|e| panic!("{e}"));
        let mut sound = vec![0.0; 24_000];
        clip.render(&mut sound).unwrap();
        sound
    }

    #[test]
    fn lengths_that_are_wrong_are_played_to_the_end_and_round_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        // A tenth of a second: whole periods of the sine, so that the loop has no jump.
        let path = wav(dir.path(), spec(48_000, 1, 16, SampleFormat::Int), 4_800);
        let (whole, expected) = (std::fs::read(&path).unwrap(), played(&path));
        let at = whole.windows(4).position(|id| id == b"data").unwrap() + 4;
        let list = b"LIST\x1A\0\0\0INFOISFT\x0E\0\0\0Lavf60.16.100\0";
        for told in [9_600, 0, u32::MAX, 0x7FFF_FFFF, 9_602, 10_001, 4_801] {
            for behind in [&b""[..], list, b"\x01"] {
                let mut odd = [&whole[..], behind].concat();
                odd[at..at + 4].copy_from_slice(&told.to_le_bytes());
                // With a wrong length, nothing can tell sound from the data after it.
                if told == 9_600 || behind != list {
                    std::fs::write(&path, &odd).unwrap();
                    assert!(played(&path) == expected, "{told} told, {} bytes behind", behind.len());
                }
            }
        }
    }

    #[test]
    fn what_ffmpeg_writes_into_a_pipe_is_played() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file.wav"), dir.path().join("pipe.wav"));
        for codec in ["pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8"] {
            let make = |to: &str| {
                let mut ffmpeg = std::process::Command::new("ffmpeg");
                ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", "sine=500:r=48000:d=0.1", "-ac", "2"]);
                ffmpeg.args(["-c:a", codec, "-f", "wav", to]).output().expect("ffmpeg is installed").stdout
            };
            make(file.to_str().unwrap());
            std::fs::write(&pipe, make("pipe:1")).unwrap();
            assert!(played(&pipe) == played(&file), "{codec}");
        }
    }

    #[test]
    fn what_cannot_be_played_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text.wav");
        std::fs::write(&text, "hello").unwrap();
        let empty = wav(dir.path(), spec(48_000, 1, 16, SampleFormat::Int), 0);
        let none = dir.path().join("none.wav");
        let fault = |path: &Path| SoundClip::open(path, 1).err().unwrap();
        assert!(matches!(fault(&none), Fault::Absent(s) if s.ends_with("none.wav: no such file")));
        assert!(matches!(fault(&text), Fault::Failed(s) if s.contains("not a valid WAV file")));
        assert!(matches!(fault(&empty), Fault::Failed(s) if s.ends_with("contains no samples")));
        let slow = wav(dir.path(), spec(100, 1, 16, SampleFormat::Int), 10);
        assert!(matches!(fault(&slow), Fault::Failed(s) if s.contains("100 Hz: 4000 to 384000 Hz are possible")));
    }

    #[test]
    fn no_byte_of_a_broken_file_panics() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(wav(dir.path(), spec(44_100, 2, 16, SampleFormat::Int), 40)).unwrap();
        let begin = whole.windows(4).position(|id| id == b"data").unwrap() + 8;
        let path = dir.path().join("broken.wav");
        let mut block = [0.0; 960];
        for at in 0..whole.len().min(60) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                std::fs::write(&path, &broken).unwrap();
                if let Ok(mut clip) = SoundClip::open(&path, 1) {
                    let _ = clip.render(&mut block);
                }
                std::fs::write(&path, &whole[..at]).unwrap();
                // Cut in its header or its first frame, it cannot be played. Cut after that, the rest is played.
                let played = SoundClip::open(&path, 1).and_then(|mut clip| clip.render(&mut block));
                assert_eq!(played.is_ok(), at >= begin + 4, "cut at {at}");
            }
        }
    }
}
