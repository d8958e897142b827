//! A frame as an encoder takes it: I420, packed without gaps, in a buffer that is reused.

use std::fmt;

use openh264::formats::YUVSource;

/// The smallest and largest side that is encoded, in pixels. These are OpenH264's limits.
const SIDES: std::ops::RangeInclusive<u32> = 16..=3840;

/// The colour space of the samples, which the sequence parameter set reports to decoders (VUI).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Colour {
    /// `true`: ITU-R BT.709; `false`: BT.601.
    pub(crate) bt709: bool,
    /// `true`: values from 0 to 255; `false`: 16 to 235.
    pub(crate) full_range: bool,
}

impl Colour {
    /// The colour space of every JPEG (JFIF).
    pub(crate) const JPEG: Self = Self { bt709: false, full_range: true };
    /// The colour space of high-definition video.
    pub(crate) const HD: Self = Self { bt709: true, full_range: false };
}

/// Three planes: Y in full size, then U and V in half width and height.
#[derive(Clone)]
pub(crate) struct Planes {
    width: usize,
    height: usize,
    /// The colour space of the samples.
    pub(crate) colour: Colour,
    bytes: Vec<u8>,
}

impl fmt::Debug for Planes {
    /// Without the picture.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "planes of {}x{}, {:?}", self.width, self.height, self.colour)
    }
}

impl Planes {
    /// Grey planes, or why the size is not possible.
    pub(crate) fn new((width, height): (u32, u32), colour: Colour) -> Result<Self, String> {
        if width % 2 != 0 || height % 2 != 0 {
            return Err(format!("{width}x{height}: width and height have to be even"));
        }
        // The encoder takes 3840x2160 in either orientation.
        if !SIDES.contains(&width) || !SIDES.contains(&height) || width.min(height) > 2160 {
            return Err(format!("{width}x{height}: 16x16 to 3840x2160 can be encoded"));
        }
        let (width, height) = (width as usize, height as usize);
        Ok(Self { width, height, colour, bytes: vec![128; width * height * 3 / 2] })
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The three planes, to write.
    pub(crate) fn split_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = self.width * self.height;
        let (y, rest) = self.bytes.split_at_mut(luma);
        let (u, v) = rest.split_at_mut(luma / 4);
        [y, u, &mut v[..luma / 4]]
    }

    /// Scales the frame down by the factor `by` into `small`, which is replaced if its size differs. Each pixel is the
    /// mean of those it replaces.
    pub(crate) fn shrink(&self, by: u32, small: &mut Option<Self>) -> Result<(), String> {
        let size = (self.width as u32 / by, self.height as u32 / by);
        let fits = |s: &Self| s.size() == (size.0 as usize, size.1 as usize) && s.colour == self.colour;
        let small = match small.take().filter(fits) {
            Some(fitting) => small.insert(fitting),
            None => small.insert(Self::new(size, self.colour)?),
        };
        let width = self.width;
        let widths = [width, width / 2, width / 2];
        for ((from, to), width) in [self.y(), self.u(), self.v()].into_iter().zip(small.split_mut()).zip(widths) {
            shrink_plane(from, width, by as usize, to);
        }
        Ok(())
    }

    /// The buffer of the planes with at least `len` bytes, for a decoder that needs more chroma at first.
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 128);
        }
        &mut self.bytes
    }
}

/// Writes the means of squares of `by` times `by` pixels.
fn shrink_plane(from: &[u8], width: usize, by: usize, to: &mut [u8]) {
    let area = (by * by) as u32;
    let mut sums = vec![0_u32; width / by];
    for (rows, line) in from.chunks_exact(width * by).zip(to.chunks_exact_mut(width / by)) {
        sums.fill(0);
        for row in rows.chunks_exact(width) {
            for (sum, pixels) in sums.iter_mut().zip(row.chunks_exact(by)) {
                *sum += pixels.iter().map(|p| u32::from(*p)).sum::<u32>();
            }
        }
        for (pixel, sum) in line.iter_mut().zip(&sums) {
            *pixel = ((sum + area / 2) / area) as u8;
        }
    }
}

impl YUVSource for Planes {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.bytes[..self.width * self.height]
    }

    fn u(&self) -> &[u8] {
        let luma = self.width * self.height;
        &self.bytes[luma..luma * 5 / 4]
    }

    fn v(&self) -> &[u8] {
        let luma = self.width * self.height;
        &self.bytes[luma * 5 / 4..luma * 3 / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_encoded_are_refused_with_a_reason() {
        for (size, expected) in [
            ((641, 480), Some("even")),
            ((640, 481), Some("even")),
            ((0, 0), Some("16x16")),
            ((3842, 1080), Some("3840x2160")),
            ((3840, 3840), Some("3840x2160")),
            ((2160, 3840), None),
            ((16, 16), None),
        ] {
            match (Planes::new(size, Colour::default()), expected) {
                (Err(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (Ok(_), None) => {}
                (result, _) => panic!("{size:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_smaller_picture_is_the_mean_of_the_large_one() {
        let mut planes = Planes::new((64, 32), Colour::HD).unwrap();
        for (n, plane) in planes.split_mut().into_iter().enumerate() {
            let width = if n == 0 { 64 } else { 32 };
            plane.iter_mut().enumerate().for_each(|(i, p)| *p = ((i % width) / 2 * 4 + i / width % 2 * 2) as u8);
        }
        let mut small = None;
        planes.shrink(2, &mut small).unwrap();
        let half = small.as_ref().unwrap();
        assert_eq!((half.size(), half.colour), ((32, 16), Colour::HD));
        assert_eq!((&half.y()[..3], &half.u()[..3], half.v()[16]), (&[1, 5, 9][..], &[1, 5, 9][..], 1));
        let before = half.y().as_ptr();
        planes.shrink(2, &mut small).unwrap();
        assert_eq!(small.as_ref().unwrap().y().as_ptr(), before, "its bytes are used again");
        planes.shrink(1, &mut small).unwrap();
        assert_eq!(small.unwrap().y(), planes.y());
    }

    #[test]
    fn planes_do_not_overlap() {
        let mut planes = Planes::new((16, 16), Colour::default()).unwrap();
        for (i, plane) in planes.split_mut().into_iter().enumerate() {
            plane.fill(i as u8);
        }
        assert!(planes.y().iter().all(|&b| b == 0) && planes.y().len() == 256);
        assert!(planes.u().iter().all(|&b| b == 1) && planes.u().len() == 64);
        assert!(planes.v().iter().all(|&b| b == 2) && planes.v().len() == 64);
    }
}
