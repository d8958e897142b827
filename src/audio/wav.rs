//! Reads the header of a WAV file: where the samples are, and their format. Lengths in the header are only hints.
//! Programs that write into a pipe do not know them, and recorders that lost power never wrote them.

use std::io::{self, Read, Seek, SeekFrom};

use super::samples::SampleLayout;

/// The most chunks that are read before the samples.
const CHUNKS: usize = 1024;
/// Chunks that programs put after the samples. Any of them ends the samples, whatever its own length is.
const TRAILERS: [&[u8; 4]; 16] = [
    b"LIST", b"id3 ", b"ID3 ", b"fact", b"bext", b"cue ", b"smpl", b"JUNK", b"junk", b"PEAK", b"iXML", b"axml",
    b"inst", b"afsp", b"_PMX", b"PAD ",
];
/// `WAVE_FORMAT_PCM`, `WAVE_FORMAT_IEEE_FLOAT` and `WAVE_FORMAT_EXTENSIBLE`.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;

/// The contents of a WAV file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wav {
    pub(super) format: WavFormat,
    /// The file offset of the first sample.
    pub(super) begin: u64,
    /// The length of the samples in bytes: whole frames.
    pub(super) length: u64,
}

/// The format of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WavFormat {
    /// Samples per second and channel.
    pub(super) rate: u32,
    pub(super) channels: u16,
    pub(super) bits: u16,
    pub(super) layout: SampleLayout,
}

impl WavFormat {
    /// Bytes of a frame: one sample of each channel.
    pub(super) fn frame(self) -> usize {
        self.layout.width() * usize::from(self.channels)
    }
}

/// Why a file cannot be played.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WavError {
    /// It is not a WAV file, or its header is damaged.
    Not(&'static str),
    /// Its sample format is not supported.
    Unsupported,
    /// The system's error.
    Io(String),
}

impl From<io::Error> for WavError {
    fn from(e: io::Error) -> Self {
        Self::Io(e.to_string())
    }
}

/// Reads the header.
pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Wav, WavError> {
    let total = file.seek(SeekFrom::End(0))?;
    let head: [u8; 12] = bytes(file, 0)?.ok_or(WavError::Not("it is too short"))?;
    if !matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") || &head[8..] != b"WAVE" {
        return Err(WavError::Not("it does not begin with RIFF and WAVE"));
    }
    let (mut format, mut large, mut at) = (None, None, 12);
    for _ in 0..CHUNKS {
        let Some((id, length)) = chunk(file, at)? else { break };
        let body = at + 8;
        match &id {
            b"fmt " => format = Some(parse_format(file, body, length)?),
            // The lengths of files above 4 GiB (EBU Tech 3306): of the file, then of the samples.
            b"ds64" => large = bytes(file, body + 8)?.map(u64::from_le_bytes),
            b"data" => {
                let format = format.ok_or(WavError::Not("it has no fmt chunk before its samples"))?;
                let stated = large.filter(|_| length == u32::MAX).unwrap_or(length.into());
                let length = sound_length(file, body, stated, total)?;
                let frame = format.frame() as u64;
                return Ok(Wav { format, begin: body, length: length / frame * frame });
            }
            _ => {}
        }
        at = next(file, body, length.into(), total)?.unwrap_or(u64::MAX);
    }
    Err(WavError::Not("it contains no samples"))
}

/// `N` bytes at the offset `at`; `None` if the file ends before.
fn bytes<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Result<Option<[u8; N]>, WavError> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The name and length of the chunk at the offset `at`.
fn chunk(file: &mut (impl Read + Seek), at: u64) -> Result<Option<([u8; 4], u32)>, WavError> {
    if at > i64::MAX as u64 {
        return Ok(None);
    }
    let head: Option<[u8; 8]> = bytes(file, at)?;
    Ok(head.map(|[a, b, c, d, length @ ..]| ([a, b, c, d], u32::from_le_bytes(length))))
}

fn is_name(id: &[u8; 4]) -> bool {
    id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The offset of the chunk after this one. Chunks of odd length are padded with a byte, which some programs forget.
fn next(file: &mut (impl Read + Seek), body: u64, length: u64, total: u64) -> Result<Option<u64>, WavError> {
    let Some(end) = body.checked_add(length).filter(|end| *end <= total) else { return Ok(None) };
    for at in [end + length % 2, end] {
        if chunk(file, at)?.is_some_and(|(id, _)| is_name(&id)) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The length of the samples that begin at `begin`: the stated one if it is possible, else the rest of the file.
fn sound_length(file: &mut (impl Read + Seek), begin: u64, stated: u64, total: u64) -> Result<u64, WavError> {
    let rest = total.saturating_sub(begin);
    if stated >= rest || stated > 0 && rest - stated <= 1 {
        return Ok(rest.min(stated.max(1)));
    }
    let Some(mut at) = next(file, begin, stated, total)? else { return Ok(rest) };
    // Samples may look like a chunk. A known name counts; other chunks count if they lead to the end of the file.
    for _ in 0..CHUNKS {
        let Some((id, length)) = chunk(file, at)? else { return Ok(rest) };
        if TRAILERS.contains(&&id) {
            return Ok(stated);
        }
        let end = (at + 8).saturating_add(length.into());
        if end == total || end + 1 == total {
            return Ok(stated);
        }
        match next(file, at + 8, length.into(), total)? {
            Some(next) => at = next,
            None => return Ok(rest),
        }
    }
    Ok(rest)
}

fn parse_format(file: &mut (impl Read + Seek), body: u64, length: u32) -> Result<WavFormat, WavError> {
    let cut = WavError::Not("its format is cut short");
    let Some(head) = bytes::<16>(file, body)?.filter(|_| length >= 16) else { return Err(cut) };
    let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (mut tag, channels, block, bits) = (number(0), number(2), number(12), number(14));
    let rate = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if tag == EXTENSIBLE {
        // The first bytes of the sub-format are a tag as above.
        tag = match bytes::<40>(file, body)?.filter(|_| length >= 40) {
            Some(all) => u16::from_le_bytes([all[24], all[25]]),
            None => PCM,
        };
    }
    if !(1..=64).contains(&channels) {
        return Err(WavError::Not("it has no channels, or more than 64"));
    }
    // The frame size gives the width of a sample. If it is impossible, the bits do.
    let width = match block / channels {
        width if block % channels == 0 && width <= 8 && width * 8 >= bits => width,
        _ => bits.div_ceil(8),
    };
    let layout = match (tag, width) {
        (PCM, 1) => SampleLayout::U8,
        (PCM, 2) => SampleLayout::S16,
        (PCM, 3) => SampleLayout::S24In3,
        (PCM, 4) => SampleLayout::S32,
        (FLOAT, 4) => SampleLayout::F32,
        _ => return Err(WavError::Unsupported),
    };
    Ok(WavFormat { rate, channels, bits, layout })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A file of 16-bit mono whose data chunk states `stated` bytes. It has `sound` bytes of samples, and `behind`
    /// after them.
    fn file(stated: u32, sound: usize, behind: &[u8]) -> Vec<u8> {
        let format = [1, 0, 1, 0, 0x80, 0xBB, 0, 0, 0, 0x77, 1, 0, 2, 0, 16, 0];
        let mut file = [&b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \x10\0\0\0"[..], &format, b"data"].concat();
        file.extend(stated.to_le_bytes());
        file.extend((0..sound).map(|n| (n * 7) as u8 | 0x80));
        file.extend(behind);
        file
    }

    fn length(file: &[u8]) -> Result<u64, WavError> {
        read(&mut Cursor::new(file)).map(|wav| wav.length)
    }

    #[test]
    fn a_length_is_believed_only_where_it_can_be() {
        let list = b"LIST\x04\0\0\0INFO";
        let unknown = b"what\x03\0\0\0abc\0";
        for (told, sound, behind, expected) in [
            (100, 100, &b""[..], 100),
            (0, 100, b"", 100),
            (u32::MAX, 100, b"", 100),
            (0x7FFF_FFFF, 100, b"", 100),
            (u32::MAX - 36, 100, b"", 100),
            (102, 100, b"", 100),
            (101, 101, b"", 100),
            (99, 100, b"", 98),
            (99, 99, b"\0", 98),
            // The file has other data after the samples.
            (100, 100, list, 100),
            (100, 100, unknown, 100),
            (100, 100, b"LIST\xFF\xFF\0\0cut", 100),
            (99, 99, b"\0LIST\x04\0\0\0INFO", 98),
            (99, 99, list, 98),
            (0, 0, list, 0),
            // The stated length is too short: the rest is sound too.
            (40, 100, b"", 100),
            (2, 100, b"", 100),
        ] {
            assert_eq!(length(&file(told, sound, behind)), Ok(expected), "{told} told, {sound} and {behind:?} there");
        }
    }

    #[test]
    fn the_large_kinds_of_the_format_are_read() {
        for name in [b"RF64", b"BW64"] {
            for (sound, expected) in [(100_u64, 100), (0, 100), (u64::MAX, 100), (1 << 40, 100)] {
                let mut large = file(u32::MAX, 100, b"LIST\x04\0\0\0INFO");
                large[..4].copy_from_slice(name);
                let sizes = [&[0; 8][..], &sound.to_le_bytes(), &[0; 12]].concat();
                large.splice(12..12, [b"ds64\x1C\0\0\0", &sizes[..]].concat());
                let rest = if sound == 100 { expected } else { expected + 12 };
                assert_eq!(length(&large), Ok(rest), "{sound}");
            }
        }
    }

    #[test]
    fn formats_are_told_by_the_width_of_a_sample() {
        let of = |tag: u16, channels: u16, block: u16, bits: u16| {
            let mut wav = file(100, 100, b"");
            for (at, value) in [(20, tag), (22, channels), (32, block), (34, bits)] {
                wav[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
            read(&mut Cursor::new(wav)).map(|wav| wav.format.layout)
        };
        for (tag, channels, block, bits, expected) in [
            (1, 2, 2, 8, Ok(SampleLayout::U8)),
            (1, 2, 4, 16, Ok(SampleLayout::S16)),
            (1, 2, 4, 12, Ok(SampleLayout::S16)),
            (1, 2, 6, 24, Ok(SampleLayout::S24In3)),
            (1, 2, 6, 20, Ok(SampleLayout::S24In3)),
            (1, 2, 8, 24, Ok(SampleLayout::S32)),
            (1, 2, 8, 32, Ok(SampleLayout::S32)),
            (3, 1, 4, 32, Ok(SampleLayout::F32)),
            (0xFFFE, 1, 2, 16, Ok(SampleLayout::S16)),
            // An impossible frame size.
            (1, 2, 0, 16, Ok(SampleLayout::S16)),
            (1, 2, 3, 16, Ok(SampleLayout::S16)),
            (1, 1, 1, 16, Ok(SampleLayout::S16)),
            (1, 1, 8, 64, Err(WavError::Unsupported)),
            (1, 1, 0, 0, Err(WavError::Unsupported)),
            (85, 2, 4, 16, Err(WavError::Unsupported)),
            (1, 0, 4, 16, Err(WavError::Not("it has no channels, or more than 64"))),
        ] {
            assert_eq!(of(tag, channels, block, bits), expected, "{tag} {channels} {block} {bits}");
        }
    }

    #[test]
    fn no_header_makes_it_panic_or_read_for_ever() {
        let whole = file(100, 100, b"LIST\x04\0\0\0INFO");
        for at in 0..whole.len() {
            let _ = length(&whole[..at]);
            for value in [0, 1, 0x7F, 0xFF] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = length(&broken);
            }
        }
        let endless = [b"RIFF\0\0\0\0WAVE".to_vec(), b"JUNK\0\0\0\0".repeat(100_000)].concat();
        assert!(matches!(length(&endless), Err(WavError::Not(_))));
    }
}
