//! The picture as an encoder takes it: I420, packed without gaps, owned and used again.

use openh264::formats::YUVSource;

/// The smallest and largest side that is encoded, in pixels (OpenH264's own limits).
const SIDES: std::ops::RangeInclusive<u32> = 16..=3840;

/// How numbers in the planes mean colours; told to decoders in the sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Colour {
    /// ITU-R BT.709 in place of BT.601.
    pub(crate) bt709: bool,
    /// 0 to 255 in place of 16 to 235.
    pub(crate) full_range: bool,
}

impl Colour {
    /// What JFIF says of every JPEG.
    pub(crate) const JPEG: Self = Self { bt709: false, full_range: true };
    /// High-definition video.
    pub(crate) const HD: Self = Self { bt709: true, full_range: false };
}

/// Three planes: Y in full size, then U and V in half width and height.
#[derive(Debug, Clone)]
pub(crate) struct Planes {
    width: usize,
    height: usize,
    /// What the numbers mean.
    pub(crate) colour: Colour,
    bytes: Vec<u8>,
}

impl Planes {
    /// Grey planes, or what is wrong with the size.
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

    /// The three planes, to be written.
    pub(crate) fn split_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = self.width * self.height;
        let (y, rest) = self.bytes.split_at_mut(luma);
        let (u, v) = rest.split_at_mut(luma / 4);
        [y, u, &mut v[..luma / 4]]
    }

    /// The bytes behind the planes, at least `len` of them: for a decoder that first needs more chroma.
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 128);
        }
        &mut self.bytes
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
