//! The first bytes of an Opus packet: the TOC and the frame count (RFC 6716 sections 3.1 and 3.2). Pure.

/// Samples per second of Opus over RTP, whatever the sender recorded with (RFC 7587 section 4.1).
pub const OPUS_RATE: u32 = 48_000;
/// The longest packet: 120 ms (RFC 6716, requirement R5).
pub const MAX_SAMPLES: u32 = OPUS_RATE * 120 / 1000;
/// A longer packet than this has sound. The encoder makes packets of one or two bytes for silence (DTX).
const DTX_BYTES: usize = 2;

/// What the first bytes of a packet say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusToc {
    /// Samples in one frame. Forward error correction restores one frame, the last one before this packet.
    pub frame: u32,
    /// Samples in the packet.
    pub samples: u32,
    /// Whether the packet may contain a copy of the frame before it.
    pub fec: bool,
    /// Whether the packet says that the sender is silent.
    pub dtx: bool,
}

impl OpusToc {
    /// Reads a packet; `None` if a decoder would refuse its length.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let (&toc, rest) = packet.split_first()?;
        let frame = frame_samples(toc >> 3);
        let frames = match (toc & 3, rest.first()) {
            (0, _) => 1,
            (1 | 2, _) => 2,
            (_, Some(count)) => u32::from(count & 0x3f),
            (_, None) => return None,
        };
        let samples = frame * frames;
        let possible = (1..=MAX_SAMPLES).contains(&samples);
        possible.then(|| Self { frame, samples, fec: has_fec(toc, rest), dtx: packet.len() <= DTX_BYTES })
    }
}

/// Samples of one frame in a configuration, 0 to 31.
fn frame_samples(config: u8) -> u32 {
    match (config, config & 3) {
        (0..=11, 0) => 480,
        (0..=11, 1) => 960,
        (0..=11, 2) => 1_920,
        (0..=11, _) => 2_880,
        (12..=15, 0 | 2) => 480,
        (12..=15, _) => 960,
        (_, length) => 120 << length,
    }
}

/// Whether the SILK layer has its LBRR flag (RFC 6716 sections 4.2.3 and 4.2.4). CELT has no such copy. The place of
/// the flag is known if the first frame begins after the TOC. Otherwise the answer is "maybe": the decoder conceals
/// if there is no copy.
fn has_fec(toc: u8, rest: &[u8]) -> bool {
    let (celt, stereo) = (toc & 0x80 != 0, toc & 0x04 != 0);
    let Some(first) = rest.first() else { return false };
    if celt || toc & 3 > 1 {
        return !celt;
    }
    // One activity flag for each 20 ms, then the LBRR flag; and the same for the second channel.
    let flags = frame_samples(toc >> 3).div_ceil(960);
    first >> (7 - flags) & 1 != 0 || stereo && first >> (6 - 2 * flags) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_every_configuration() {
        // RFC 6716, table 2, in tenths of a millisecond.
        let silk = [100, 200, 400, 600];
        let (hybrid, celt) = ([100, 200], [25, 50, 100, 200]);
        let expected = silk.repeat(3).into_iter().chain(hybrid.repeat(2)).chain(celt.repeat(4));
        for (config, length) in expected.enumerate() {
            let toc = u8::try_from(config).unwrap() << 3;
            let samples = length * OPUS_RATE / 10_000;
            for (code, frames) in [(0, 1), (1, 2), (2, 2)] {
                let found = OpusToc::read(&[toc | code, 0, 0]).unwrap();
                assert_eq!((found.frame, found.samples), (samples, samples * frames), "{config}, code {code}");
            }
        }
    }

    #[test]
    fn lies_about_the_length_are_refused() {
        let (silk_20, silk_60, celt_2_5) = (1 << 3 | 3, 3 << 3 | 3, 16 << 3 | 3);
        let table: [(&[u8], Option<u32>); 11] = [
            (&[], None),
            (&[silk_20], None),
            (&[silk_20, 0], None),
            (&[silk_20, 0xc0, 1], None),
            (&[silk_20, 6, 1], Some(5_760)),
            (&[silk_20, 0xc6, 1], Some(5_760)),
            (&[silk_20, 7, 1], None),
            (&[silk_60, 2, 1], Some(5_760)),
            (&[silk_60, 63, 1], None),
            (&[celt_2_5, 48, 1], Some(5_760)),
            (&[celt_2_5, 49, 1], None),
        ];
        for (packet, expected) in table {
            assert_eq!(OpusToc::read(packet).map(|toc| toc.samples), expected, "{packet:x?}");
        }
    }

    #[test]
    fn fec_and_silence() {
        // Packet, FEC, silence.
        let table: [(&[u8], bool, bool); 10] = [
            (&[1 << 3], false, true),
            (&[1 << 3, 0x40], true, true),
            (&[1 << 3, 0x40, 0], true, false),
            (&[1 << 3, 0xbf, 0], false, false),
            (&[1 << 3 | 4, 0x10, 0], true, false),
            (&[1 << 3, 0x10, 0], false, false),
            (&[3 << 3, 0x10, 0], true, false),
            (&[3 << 3 | 4, 0x01, 0], true, false),
            (&[31 << 3, 0xff, 0], false, false),
            (&[1 << 3 | 3, 2, 0], true, false),
        ];
        for (packet, fec, dtx) in table {
            let toc = OpusToc::read(packet).unwrap();
            assert_eq!((toc.fec, toc.dtx), (fec, dtx), "{packet:x?}");
        }
    }
}
