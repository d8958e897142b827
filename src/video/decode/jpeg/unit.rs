//! Finds where a JPEG begins and ends among other bytes (ITU-T T.81, B.1.1). Pure.
//!
//! Cameras and recordings put things between frames: padding, a second end marker, headers of an HTTP stream. A frame
//! begins at its SOI marker. It ends with its EOI marker or, if that is missing, before the next SOI. Segments are
//! skipped by their length, so that a thumbnail inside an APP segment does not end the frame.

use crate::video::sources::unit::Found;

pub(crate) const SOI: u8 = 0xD8;
pub(crate) const EOI: u8 = 0xD9;
pub(crate) const SOS: u8 = 0xDA;

/// Finds the first frame of `stream`. `ended`: nothing follows after `stream`.
pub(crate) fn find(stream: &[u8], ended: bool) -> Found {
    // The byte after SOI begins the next marker. With it, accidental matches are rare.
    match stream.windows(3).position(|bytes| bytes == [0xFF, SOI, 0xFF]) {
        Some(0) => walk(stream, ended),
        Some(begin) => Found::Rubbish(begin),
        None if ended => Found::Rubbish(stream.len()),
        // The last two bytes may be the beginning of a frame.
        None => match stream.len().saturating_sub(2) {
            0 => Found::Nothing,
            rubbish => Found::Rubbish(rubbish),
        },
    }
}

/// Follows the markers of the frame that begins at offset 0.
fn walk(stream: &[u8], ended: bool) -> Found {
    let (mut at, mut coded) = (2, false);
    let cut = if ended { Found::Unit(stream.len()) } else { Found::Nothing };
    loop {
        let Some(next) = stream.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) else {
            return cut;
        };
        // This skips coded data, or other bytes between segments.
        at += next;
        let Some(&marker) = stream.get(at + 1) else { return cut };
        match marker {
            EOI if coded => return Found::Unit(at + 2),
            // No coded data: only tables, or the end of something that was not a frame.
            EOI => return Found::Rubbish(at + 2),
            SOI if coded => return Found::Unit(at),
            // A second beginning: the first one was not a frame.
            SOI => return Found::Rubbish(at),
            0xFF => at += 1,
            // Stuffing, TEM and restart markers have no length field.
            0x00 | 0x01 | 0xD0..=0xD7 => at += 2,
            // In coded data, other markers are damage, and the bytes after them are not a length.
            marker if coded && !is_segment(marker) => at += 2,
            _ => {
                let Some(&[high, low]) = stream.get(at + 2..at + 4) else { return cut };
                coded |= marker == SOS;
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
}

/// Whether a marker begins a segment that may follow coded data.
pub(crate) fn is_segment(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF | SOS..=0xDF | 0xE0..=0xEF | 0xFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of markers only, with a thumbnail in an APP segment.
    fn picture() -> Vec<u8> {
        let thumbnail = [0xFF, 0xE1, 0, 10, 0xFF, SOI, 0xFF, SOS, 1, 2, 0xFF, EOI];
        let scan = [0xFF, SOS, 0, 2, 5, 0xFF, 0, 6, 0xFF, 0xD3, 7, 0xFF, EOI];
        [&[0xFF, SOI][..], &thumbnail, &scan].concat()
    }

    /// The frames of a stream, and how many bytes were rubbish.
    fn units(stream: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let (mut rest, mut units, mut rubbish) = (stream, Vec::new(), 0);
        while !rest.is_empty() {
            let taken = match find(rest, true) {
                Found::Unit(end) => {
                    units.push(rest[..end].to_vec());
                    end
                }
                Found::Rubbish(length) => {
                    rubbish += length;
                    length
                }
                Found::Nothing => panic!("all of the stream is there"),
            };
            assert!(taken > 0, "the search makes progress");
            rest = &rest[taken..];
        }
        (units, rubbish)
    }

    #[test]
    fn pictures_are_found_whatever_lies_between_them() {
        let picture = picture();
        let open = &picture[..picture.len() - 2];
        let header = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 42\r\n\r\n";
        for between in [&[][..], &[0, 0, 0], &[0xFF, EOI], &[0xFF, 0xFF, 0xFF], &[0xFF, SOI], header] {
            let stream = [between, &picture, between, &picture].concat();
            assert_eq!(units(&stream), (vec![picture.clone(); 2], 2 * between.len()), "{between:x?}");
        }
        // Without an end marker, everything up to the next frame belongs to the frame. The decoder tells coded data
        // from rubbish.
        let stream = [open, open, open].concat();
        assert_eq!(units(&stream), (vec![open.to_vec(); 3], 0));
        let stream = [open, &header[..], &picture].concat();
        assert_eq!(units(&stream), (vec![[open, &header[..]].concat(), picture.clone()], 0));
        assert_eq!(units(&[7; 50]), (vec![], 50));
        assert_eq!(units(&[0xFF, SOI, 0xFF, EOI]), (vec![], 4), "nothing is coded in it");
    }

    #[test]
    fn a_picture_is_waited_for_and_rubbish_is_not_kept() {
        let picture = picture();
        for length in 3..picture.len() {
            assert!(matches!(find(&picture[..length], false), Found::Nothing), "{length}");
        }
        assert!(matches!(find(&picture, false), Found::Unit(end) if end == picture.len()));
        assert!(matches!(find(&[0x55; 1000], false), Found::Rubbish(998)));
        assert!(matches!(find(&[0xFF, SOI], false), Found::Nothing));
        // A wrong segment length skips what it covers, and no more.
        let mut lie = picture.clone();
        lie[4..6].copy_from_slice(&[0xFF, 0xFF]);
        let stream = [&lie[..], &picture.repeat(4000)].concat();
        let (found, _) = units(&stream);
        assert!(found.len() > 1000, "{}", found.len());
    }
}
