//! The headers of YUV4MPEG2 files: one line for the file, and one for each frame. Pure.

use crate::video::{
    decode::{pixel_formats::Part, planes::Colour},
    frame_pace::Rate,
    sources::unit::Found,
};

/// The longest header line, in bytes.
const LINE: usize = 1024;
/// How the header line of a frame begins.
const FRAME: &[u8] = b"FRAME";

/// The contents of the file's header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Frames per second; `None` if unknown.
    pub(crate) rate: Option<Rate>,
    /// The colour space of the samples.
    pub(crate) colour: Colour,
}

/// Reads the file's header line. Returns it with its length.
pub(crate) fn header(stream: &[u8]) -> Result<(Header, usize), String> {
    let end = line_end(stream).ok_or("not a YUV4MPEG2 file")?;
    let line = std::str::from_utf8(&stream[..end - 1]).map_err(|_| "not a YUV4MPEG2 file")?;
    let mut words = line.split(' ');
    if words.next() != Some("YUV4MPEG2") {
        return Err("not a YUV4MPEG2 file".into());
    }
    let mut header = Header { size: (0, 0), rate: None, colour: Colour::default() };
    for word in words {
        let Some((tag, value)) = word.split_at_checked(1) else { continue };
        match tag {
            "W" => header.size.0 = value.parse().unwrap_or(0),
            "H" => header.size.1 = value.parse().unwrap_or(0),
            "F" => {
                let rate = value.split_once(':').and_then(|(n, d)| Rate::checked(n.parse().ok()?, d.parse().ok()?));
                // 0:0 means that the writer did not know the rate.
                header.rate = if value == "0:0" { None } else { Some(rate.ok_or(format!("frame rate {value:?}"))?) };
            }
            "C" if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => {
                return Err(format!("colour space {value:?}; 420, 420jpeg, 420mpeg2 and 420paldv can be used"));
            }
            "I" if !matches!(value, "p" | "?") => return Err(format!("interlaced ({value:?}); only p can be used")),
            "X" if value == "COLORRANGE=FULL" => header.colour.full_range = true,
            _ => {}
        }
    }
    Ok((header, end))
}

impl Header {
    /// Width and height of a chroma plane: half of luma's, rounded up.
    fn chroma(&self) -> (usize, usize) {
        (self.size.0.div_ceil(2) as usize, self.size.1.div_ceil(2) as usize)
    }

    /// The bytes of luma, and of one chroma plane; `None` if they overflow.
    fn lengths(&self) -> Option<(usize, usize)> {
        let luma = (self.size.0 as usize).checked_mul(self.size.1 as usize)?;
        Some((luma, self.chroma().0.checked_mul(self.chroma().1)?))
    }

    fn samples_length(&self) -> Option<usize> {
        let (luma, chroma) = self.lengths()?;
        luma.checked_add(chroma.checked_mul(2)?)
    }

    /// Finds the first frame of `stream`. `ended`: nothing follows after `stream`. Other bytes are skipped up to the
    /// next frame header; so is a last frame that is cut short.
    pub(crate) fn find(&self, stream: &[u8], ended: bool) -> Found {
        if stream.starts_with(FRAME) {
            let end = line_end(stream).and_then(|line| line.checked_add(self.samples_length()?));
            return match end {
                Some(end) if end <= stream.len() => Found::Unit(end),
                _ if ended => Found::Rubbish(stream.len()),
                None if stream.len() > LINE => Found::Rubbish(FRAME.len()),
                _ => Found::Nothing,
            };
        }
        match stream.windows(FRAME.len()).position(|bytes| bytes == FRAME) {
            Some(begin) => Found::Rubbish(begin),
            None if ended => Found::Rubbish(stream.len()),
            // The last bytes may begin a header line.
            None => match stream.len().saturating_sub(FRAME.len() - 1) {
                0 => Found::Nothing,
                rubbish => Found::Rubbish(rubbish),
            },
        }
    }

    /// The planes of a frame that begins with its header line.
    pub(crate) fn planes<'a>(&self, picture: &'a [u8]) -> Option<[Part<'a>; 3]> {
        let (luma, chroma) = self.lengths()?;
        let (y, rest) = picture.get(line_end(picture)?..)?.split_at_checked(luma)?;
        let (u, v) = rest.split_at_checked(chroma)?;
        let stride = self.chroma().0;
        Some([Part { bytes: y, stride: self.size.0 as usize }, Part { bytes: u, stride }, Part { bytes: v, stride }])
    }
}

fn line_end(stream: &[u8]) -> Option<usize> {
    stream.iter().take(LINE).position(|&byte| byte == b'\n').map(|newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_or_refused_with_a_reason() {
        let (header, length) = header(b"YUV4MPEG2 W640 H360 F30000:1001 Ip A1:1 C420jpeg\nFRAME\n").unwrap();
        assert_eq!(header.size, (640, 360));
        assert_eq!(header.rate, Rate::checked(30_000, 1001));
        assert_eq!(length, 49);
        for (line, part) in [
            ("RIFF....AVI \n", "not a YUV4MPEG2"),
            ("YUV4MPEG2 W640 H360", "not a YUV4MPEG2"),
            ("YUV4MPEG2 W640 H360 C444\n", "\"444\""),
            ("YUV4MPEG2 W640 H360 F0:1\n", "\"0:1\""),
            ("YUV4MPEG2 W640 H360 It\n", "interlaced"),
        ] {
            let error = super::header(line.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn pictures_are_cut_by_their_length_and_found_again() {
        let header = Header { size: (17, 15), rate: None, colour: Colour::default() };
        let samples = 17 * 15 + 2 * 9 * 8;
        let mut stream = b"FRAME Xa\n".to_vec();
        stream.extend([0xFF; 17 * 15 + 2 * 9 * 8]);
        let one = stream.len();
        assert_eq!(header.find(&stream[..one - 1], false), Found::Nothing);
        assert_eq!(header.find(&stream[..one - 1], true), Found::Rubbish(one - 1), "the last one is cut");
        stream.extend(b"FRAME\n");
        assert_eq!(header.find(&stream, false), Found::Unit(one));
        let [y, u, v] = header.planes(&stream[..one]).unwrap();
        assert_eq!((y.bytes.len(), u.bytes.len(), v.bytes.len()), (255, 72, 72));
        assert_eq!((y.stride, u.stride, y.bytes.len() + 144), (17, 9, samples));
        assert!(header.planes(b"FRAME\n123").is_none());
        for (stream, ended, expected) in [
            (&b"junkFRAME\n"[..], false, Found::Rubbish(4)),
            (b"FRA", false, Found::Nothing),
            (b"FRA", true, Found::Rubbish(3)),
            (b"junkFRAM", false, Found::Rubbish(4)),
            (b"", false, Found::Nothing),
        ] {
            assert_eq!(header.find(stream, ended), expected, "{stream:?}");
        }
        let endless = [FRAME, &[b'x'; 2000]].concat();
        assert_eq!(header.find(&endless, false), Found::Rubbish(5));
        let huge = Header { size: (u32::MAX, u32::MAX), ..header };
        assert_eq!(huge.find(b"FRAME\n", false), Found::Nothing);
    }
}
