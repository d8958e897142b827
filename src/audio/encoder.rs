//! Encodes samples to Opus packets of 20 ms.
//!
//! With FEC the encoder's application is `Voip`. Only its mode (SILK, or SILK below CELT) puts a coarse copy of the
//! last packet into each packet. Without FEC it is `Audio`, which reproduces music and noise better. `LowDelay` would
//! save 4 ms, and has no FEC.
//!
//! The algorithmic delay is 20 ms to fill a packet and 6.5 ms (312 samples) of look-ahead, with both applications. So
//! the first sample that a decoder makes of a packet is 6.5 ms older than the first sample put in. `delay` returns this
//! time, by which capture times are corrected.

use std::time::Duration;

use bytes::Bytes;
use opus::{Application, Channels, Encoder};

use crate::{audio::sample_clock::RATE, units::Bitrate};

/// Samples per packet and channel.
pub(super) const BLOCK: usize = 960;
/// The largest packet in bytes, which fits one RTP packet on any path.
const PACKET_MAX: usize = 1_200;
/// The packet loss that the encoder prepares for at first, in per cent. Below 1 there is no FEC.
const LOSS: u8 = 5;
/// Complexity, from 0 to 10. With small microphones nobody hears the difference to 10, which costs a third more.
const COMPLEXITY: i32 = 5;

/// An Opus encoder.
#[derive(Debug)]
pub(super) struct AudioEncoder {
    encoder: Encoder,
    bitrate: Bitrate,
    buffer: Box<[u8; PACKET_MAX]>,
}

impl AudioEncoder {
    /// For one or two `channels`, and `bitrate`.
    pub(super) fn new(channels: usize, bitrate: Bitrate, fec: bool) -> opus::Result<Self> {
        let channels = if channels == 1 { Channels::Mono } else { Channels::Stereo };
        let application = if fec { Application::Voip } else { Application::Audio };
        let mut encoder = Encoder::new(RATE, channels, application)?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_inband_fec(fec)?;
        encoder.set_dtx(false)?;
        let mut coder = Self { encoder, bitrate: Bitrate::ZERO, buffer: Box::new([0; PACKET_MAX]) };
        coder.set_loss(LOSS)?;
        coder.set_bitrate(bitrate)?;
        Ok(coder)
    }

    /// Encodes one block of interleaved samples, `BLOCK` for each channel.
    pub(super) fn encode(&mut self, block: &[f32]) -> opus::Result<Bytes> {
        let length = self.encoder.encode_float(block, self.buffer.as_mut_slice())?;
        Ok(Bytes::copy_from_slice(&self.buffer[..length]))
    }

    /// Changes the bitrate from the next packet on. It is limited to the range of Opus.
    pub(super) fn set_bitrate(&mut self, bitrate: Bitrate) -> opus::Result<()> {
        if bitrate != self.bitrate {
            let within = i32::try_from(bitrate.as_bps()).unwrap_or(i32::MAX).clamp(6_000, 510_000);
            self.encoder.set_bitrate(opus::Bitrate::Bits(within))?;
            self.bitrate = bitrate;
        }
        Ok(())
    }

    /// Changes the packet loss that FEC prepares for, in per cent, from the next packet on.
    pub(super) fn set_loss(&mut self, percent: u8) -> opus::Result<()> {
        self.encoder.set_packet_loss_perc(i32::from(percent.min(100)))
    }

    /// How much older the first decoded sample of a packet is than the first sample put in.
    pub(super) fn delay(&mut self) -> Duration {
        let samples = self.encoder.get_lookahead().ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Duration::from_nanos(samples * 1_000_000_000 / u64::from(RATE))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opus::Decoder;

    use super::*;

    /// Whether a packet of 20 ms carries a copy of the one before (RFC 6716 sections 3.1 and 4.2.3).
    pub(in crate::audio) fn has_fec(packet: &[u8]) -> bool {
        let [toc, first, ..] = packet else { return false };
        let (celt_only, stereo) = (toc & 0x80 != 0, toc & 0x04 != 0);
        !celt_only && (first & 0x40 != 0 || stereo && first & 0x10 != 0)
    }

    /// A sound like a voice: a buzz with many harmonics, in syllables.
    fn voice(blocks: usize, channels: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for n in 0..blocks * BLOCK {
            let t = n as f32 / 48_000.0;
            let syllable = (t * 4.0 * std::f32::consts::TAU).sin().max(0.0);
            let buzz: f32 = (1..20).map(|k| (t * 140.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
            out.extend(std::iter::repeat_n(buzz * syllable * 0.2, channels));
        }
        out
    }

    fn packets(channels: usize, bitrate: u32, fec: bool) -> Vec<Bytes> {
        let mut coder = AudioEncoder::new(channels, Bitrate::from_bps(bitrate.into()), fec).unwrap();
        voice(100, channels).chunks(BLOCK * channels).map(|block| coder.encode(block).unwrap()).collect()
    }

    #[test]
    fn packets_carry_fec_where_it_is_wished_and_only_there() {
        for channels in [1, 2] {
            let with = packets(channels, 48_000, true).iter().filter(|p| has_fec(p)).count();
            let without = packets(channels, 48_000, false).iter().filter(|p| has_fec(p)).count();
            assert!(with > 30, "{with} of 100 packets, {channels} channels");
            assert_eq!(without, 0);
        }
    }

    #[test]
    fn a_lost_packet_comes_back_from_the_next() {
        let sent = packets(1, 48_000, true);
        let decode = |lost: Option<usize>, fec: bool| {
            let mut decoder = Decoder::new(RATE, Channels::Mono).unwrap();
            let mut heard = Vec::new();
            for (n, packet) in sent.iter().enumerate() {
                let mut out = [0.0; BLOCK];
                match lost == Some(n) {
                    false => decoder.decode_float(packet, &mut out, false).unwrap(),
                    true if fec => decoder.decode_float(&sent[n + 1], &mut out, true).unwrap(),
                    true => decoder.decode_float(&[], &mut out, false).unwrap(),
                };
                heard.push(out);
            }
            heard
        };
        // The first packet of a syllable, which nothing before it predicts.
        let n = (30..90).find(|n| has_fec(&sent[n + 1]) && !has_fec(&sent[*n])).unwrap();
        let (whole, repaired, guessed) = (decode(None, true), decode(Some(n), true), decode(Some(n), false));
        let off =
            |other: &[[f32; BLOCK]]| -> f32 { whole[n].iter().zip(&other[n]).map(|(a, b)| (a - b).powi(2)).sum() };
        assert!(off(&repaired) < off(&guessed) / 2.0, "{} and {}", off(&repaired), off(&guessed));
    }

    #[test]
    fn the_bitrate_changes_while_running_and_a_packet_always_fits() {
        let mut coder = AudioEncoder::new(2, Bitrate::from_kbps(24), true).unwrap();
        let mut sizes = Vec::new();
        for (n, block) in voice(150, 2).chunks(BLOCK * 2).enumerate() {
            match n {
                50 => coder.set_bitrate(Bitrate::from_kbps(128)).unwrap(),
                100 => coder.set_bitrate(Bitrate::MAX).unwrap(),
                _ => {}
            }
            sizes.push(coder.encode(block).unwrap().len());
        }
        let mean = |range: std::ops::Range<usize>| sizes[range.clone()].iter().sum::<usize>() / range.len();
        assert!(mean(10..50) * 3 < mean(60..100), "{} and {}", mean(10..50), mean(60..100));
        assert!(sizes.iter().all(|size| (1..=PACKET_MAX).contains(size)));
    }

    #[test]
    fn the_delay_is_what_the_head_of_this_file_says() {
        for fec in [true, false] {
            assert_eq!(
                AudioEncoder::new(1, Bitrate::from_kbps(48), fec).unwrap().delay(),
                Duration::from_micros(6_500)
            );
        }
    }
}
