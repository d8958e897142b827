//! Converts the samples of cards and files to floating point, in the wanted number of channels, and samples to the
//! formats of playback devices. Pure.

use alsa::pcm::Format;

/// A sample format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleLayout {
    /// 16 bits.
    S16,
    /// 32 bits.
    S32,
    /// 24 bits in 3 bytes.
    S24In3,
    /// 24 bits in the lower part of 4 bytes.
    S24In4,
    /// Floating point with full scale 1.
    F32,
    /// 8 bits around 128, for cheap USB devices.
    U8,
}

impl SampleLayout {
    /// All formats in the order of preference. 16 bits are cheapest to copy, and finer than Opus.
    pub(super) const ALL: [Self; 6] = [Self::S16, Self::S32, Self::S24In3, Self::S24In4, Self::F32, Self::U8];

    /// Its ALSA name.
    pub(super) fn format(self) -> Format {
        match self {
            Self::S16 => Format::S16LE,
            Self::S32 => Format::S32LE,
            Self::S24In3 => Format::S243LE,
            Self::S24In4 => Format::S24LE,
            Self::F32 => Format::FloatLE,
            Self::U8 => Format::U8,
        }
    }

    /// Bytes per sample.
    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S24In3 => 3,
            Self::S32 | Self::S24In4 | Self::F32 => 4,
        }
    }

    /// One sample with full scale 1; zero if `bytes` is too short.
    fn value(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::U8, &[a, ..]) => (f32::from(a) - 128.0) / 128.0,
            (Self::S16, &[a, b, ..]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Self::S24In3 | Self::S24In4, &[a, b, c, ..]) => of_i32(i32::from_le_bytes([0, a, b, c])),
            (Self::S32, &[a, b, c, d, ..]) => of_i32(i32::from_le_bytes([a, b, c, d])),
            (Self::F32, &[a, b, c, d, ..]) => sane(f32::from_le_bytes([a, b, c, d])),
            _ => 0.0,
        }
    }

    /// Appends interleaved bytes of `from` channels as samples of `to` channels.
    pub(super) fn decode(self, bytes: &[u8], from: usize, to: usize, out: &mut Vec<f32>) {
        let width = self.width();
        for frame in bytes.chunks_exact(width * from.max(1)) {
            mix(|channel| self.value(frame.get(channel * width..).unwrap_or_default()), from, to, out);
        }
    }
}

impl SampleLayout {
    /// Appends samples of one channel as frames of `channels` channels, all alike.
    pub(super) fn encode(self, samples: &[f32], channels: usize, out: &mut Vec<u8>) {
        for sample in samples {
            let bytes = self.bytes(sane(*sample).clamp(-1.0, 1.0));
            for _ in 0..channels {
                out.extend_from_slice(&bytes[4 - self.width()..]);
            }
        }
    }

    /// One sample in the last bytes of four.
    fn bytes(self, sample: f32) -> [u8; 4] {
        // Conversions of numbers saturate.
        let whole = (f64::from(sample) * 2_147_483_647.0) as i32;
        match self {
            Self::F32 => sample.to_le_bytes(),
            Self::S32 | Self::S16 | Self::S24In3 => whole.to_le_bytes(),
            Self::S24In4 => (whole >> 8).to_le_bytes(),
            Self::U8 => [0, 0, 0, (whole.to_le_bytes()[3]).wrapping_add(128)],
        }
    }
}

/// Appends one frame of `from` channels as a frame of `to` channels, 1 or 2. Devices with more channels are microphone
/// arrays, and cards with a loop-back. Their first two channels are microphones; the others may be anything.
pub(super) fn mix(sample: impl Fn(usize) -> f32, from: usize, to: usize, out: &mut Vec<f32>) {
    match (from, to) {
        (0 | 1, 1) => out.push(sample(0)),
        (_, 1) => out.push(f32::midpoint(sample(0), sample(1))),
        (0 | 1, _) => out.extend([sample(0); 2]),
        (_, _) => out.extend([sample(0), sample(1)]),
    }
}

/// Converts a sample of 32 bits.
pub(super) fn of_i32(n: i32) -> f32 {
    n as f32 / 2_147_483_648.0
}

/// Replaces values that a broken file or driver may deliver. Not-a-number would corrupt the encoder's state for ever.
pub(super) fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-8.0, 8.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_at_its_corners() {
        let table: [(SampleLayout, &[u8], f32); 14] = [
            (SampleLayout::S16, &[0x00, 0x80], -1.0),
            (SampleLayout::S16, &[0x00, 0x40], 0.5),
            (SampleLayout::S16, &[0xff, 0xff], -1.0 / 32_768.0),
            (SampleLayout::S32, &[0, 0, 0, 0x80], -1.0),
            (SampleLayout::S32, &[0, 0, 0, 0x40], 0.5),
            (SampleLayout::S24In3, &[0, 0, 0x80], -1.0),
            (SampleLayout::S24In3, &[0, 0, 0x40], 0.5),
            (SampleLayout::S24In4, &[0, 0, 0x80, 0x00], -1.0),
            (SampleLayout::S24In4, &[0, 0, 0xc0, 0xff], -0.5),
            (SampleLayout::F32, &0.25f32.to_le_bytes(), 0.25),
            (SampleLayout::F32, &f32::NAN.to_le_bytes(), 0.0),
            (SampleLayout::F32, &f32::INFINITY.to_le_bytes(), 0.0),
            (SampleLayout::U8, &[128], 0.0),
            (SampleLayout::U8, &[0], -1.0),
        ];
        for (layout, bytes, expected) in table {
            let mut out = Vec::new();
            layout.decode(bytes, 1, 1, &mut out);
            assert_eq!(out, [expected], "{layout:?} {bytes:x?}");
            assert_eq!(layout.width(), bytes.len());
            assert_eq!(layout.format().physical_width().unwrap() as usize, bytes.len() * 8);
        }
    }

    #[test]
    fn channels_are_mixed_down_and_copied_up() {
        let frame: Vec<u8> = [0.5f32, -0.25, 0.9].iter().flat_map(|s| s.to_le_bytes()).collect();
        let table: [(usize, usize, &[f32]); 6] = [
            (1, 1, &[0.5]),
            (1, 2, &[0.5, 0.5]),
            (2, 1, &[0.125]),
            (2, 2, &[0.5, -0.25]),
            (3, 1, &[0.125]),
            (3, 2, &[0.5, -0.25]),
        ];
        for (from, to, expected) in table {
            let mut out = Vec::new();
            SampleLayout::F32.decode(&frame[..from * 4], from, to, &mut out);
            assert_eq!(out, expected, "{from} → {to}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for layout in SampleLayout::ALL {
            let (samples, mut bytes, mut back) = ([0.0, 0.5, -0.5, 1.0, -1.0, 7.0, f32::NAN], Vec::new(), Vec::new());
            layout.encode(&samples, 2, &mut bytes);
            assert_eq!(bytes.len(), samples.len() * 2 * layout.width());
            layout.decode(&bytes, 2, 2, &mut back);
            let expected = [0.0, 0.5, -0.5, 1.0, -1.0, 1.0, 0.0].into_iter().flat_map(|sample| [sample; 2]);
            for (got, want) in back.iter().zip(expected) {
                assert!((got - want).abs() <= 0.017, "{layout:?}: {got} for {want}");
            }
        }
    }

    #[test]
    fn a_torn_frame_is_left_out() {
        let mut out = Vec::new();
        SampleLayout::S16.decode(&[1, 2, 3], 2, 2, &mut out);
        assert!(out.is_empty());
    }
}
