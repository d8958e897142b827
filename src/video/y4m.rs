//! The heads of YUV4MPEG2 files: one line for the file, one for each picture. Pure.

use crate::video::{pace::Rate, planes::Colour};

/// The longest line that is read.
const LINE: usize = 1024;

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Pictures a second, where it is told.
    pub(crate) rate: Option<Rate>,
    /// What the numbers mean.
    pub(crate) colour: Colour,
}

/// Reads the first line; gives its length too.
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
                header.rate = Some(rate.ok_or_else(|| format!("frame rate {value:?}"))?);
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
    fn samples_length(&self) -> usize {
        self.size.0 as usize * self.size.1 as usize * 3 / 2
    }

    /// The end of the first picture of `stream`, `None` where it is not in sight.
    pub(crate) fn frame_end(&self, stream: &[u8]) -> Option<usize> {
        let end = match line_end(stream) {
            Some(line) => line + self.samples_length(),
            // Never a picture: all of it is passed over.
            None if stream.len() > LINE => stream.len(),
            None => return None,
        };
        (end <= stream.len()).then_some(end)
    }

    /// The samples of a picture that begins with its line.
    pub(crate) fn samples<'a>(&self, picture: &'a [u8]) -> Option<&'a [u8]> {
        let samples = &picture[line_end(picture)?..];
        (picture.starts_with(b"FRAME") && samples.len() == self.samples_length()).then_some(samples)
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
            ("YUV4MPEG2 W640 H360 F0:0\n", "\"0:0\""),
            ("YUV4MPEG2 W640 H360 It\n", "interlaced"),
        ] {
            let error = super::header(line.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn pictures_are_cut_by_their_length() {
        let header = Header { size: (16, 16), rate: None, colour: Colour::default() };
        let mut stream = b"FRAME Xa\n".to_vec();
        stream.extend([0xFF; 384]);
        assert_eq!(header.frame_end(&stream[..392]), None);
        stream.extend(b"FRAME\n");
        assert_eq!(header.frame_end(&stream), Some(393));
        assert_eq!(header.samples(&stream[..393]).unwrap().len(), 384);
        assert_eq!(header.samples(b"GARBAGE\n123"), None);
        assert_eq!(header.frame_end(&[1; 2000]), Some(2000));
    }
}
