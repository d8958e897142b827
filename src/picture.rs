//! A single picture: from planes to a JPEG that is not larger than somebody asked for. Pure.

use std::fmt;

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// A picture in three planes without gaps: Y in full size, then U and V in half width and height (I420).
#[derive(Clone, PartialEq, Eq)]
pub struct RawPicture {
    width: usize,
    height: usize,
    samples: SampleColours,
    bytes: Vec<u8>,
}

/// What the samples of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleColours {
    /// `true`: ITU-R BT.709; `false`: BT.601.
    pub bt709: bool,
    /// `true`: values from 0 to 255; `false`: 16 to 235.
    pub full_range: bool,
}

/// What a JPEG shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegOptions {
    /// It is not wider than this, in pixels. `None`: as wide as the picture.
    pub width: Option<u16>,
    /// It is not higher than this.
    pub height: Option<u16>,
    /// The quality, 1 to 100, as libjpeg counts it.
    pub quality: u8,
}

/// A picture as JPEG. It has no metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct JpegPicture {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for RawPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawPicture({}x{})", self.width, self.height)
    }
}

impl fmt::Debug for JpegPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JpegPicture({}x{}, {} bytes)", self.width, self.height, self.bytes.len())
    }
}

impl RawPicture {
    /// Copies the planes Y, U and V. `None`: the size is odd or zero, or a plane does not have it.
    pub fn new((width, height): (usize, usize), samples: SampleColours, planes: [&[u8]; 3]) -> Option<Self> {
        let luma = width.checked_mul(height)?;
        let is_even = luma > 0 && width.is_multiple_of(2) && height.is_multiple_of(2);
        let fits = planes.iter().zip([luma, luma / 4, luma / 4]).all(|(plane, length)| plane.len() == length);
        (is_even && fits).then(|| Self { width, height, samples, bytes: planes.concat() })
    }

    /// Makes the JPEG. An error says what the library reported.
    pub fn jpeg(&self, options: JpegOptions) -> Result<JpegPicture, String> {
        let size = fitting((self.width, self.height), options);
        let small;
        let picture = if size == (self.width, self.height) {
            self
        } else {
            small = self.scaled(size);
            &small
        };
        let rgb = picture.rgb()?;
        let code = || {
            let mut compressor = Compressor::new()?;
            compressor.set_quality(i32::from(options.quality))?;
            compressor.set_subsamp(Subsamp::Sub2x2)?;
            let (width, height) = size;
            let format = PixelFormat::RGB;
            compressor.compress_to_vec(Image { pixels: &rgb[..], width, pitch: 3 * width, height, format })
        };
        let bytes = code().map_err(|e: turbojpeg::Error| e.to_string())?;
        Ok(JpegPicture { width: size.0 as u32, height: size.1 as u32, bytes })
    }

    /// The picture in a smaller size. Each pixel is the mean of those that it replaces.
    fn scaled(&self, (width, height): (usize, usize)) -> Self {
        let mut bytes = Vec::with_capacity(width * height * 3 / 2);
        let [y, u, v] = self.planes();
        scale_plane(y, (self.width, self.height), (width, height), &mut bytes);
        for plane in [u, v] {
            scale_plane(plane, (self.width / 2, self.height / 2), (width / 2, height / 2), &mut bytes);
        }
        Self { width, height, samples: self.samples, bytes }
    }

    /// The pixels as R, G and B. A JPEG has samples of BT.601 in the full range, so others have to be converted.
    fn rgb(&self) -> Result<Vec<u8>, String> {
        let (width, height) = (self.width as u32, self.height as u32);
        let [y_plane, u_plane, v_plane] = self.planes();
        let (y_stride, u_stride, v_stride) = (width, width / 2, width / 2);
        let image = YuvPlanarImage { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width, height };
        let range = if self.samples.full_range { YuvRange::Full } else { YuvRange::Limited };
        let matrix = if self.samples.bt709 { YuvStandardMatrix::Bt709 } else { YuvStandardMatrix::Bt601 };
        let mut rgb = vec![0; 3 * self.width * self.height];
        yuv::yuv420_to_rgb(&image, &mut rgb, 3 * width, range, matrix).map_err(|e| e.to_string())?;
        Ok(rgb)
    }

    fn planes(&self) -> [&[u8]; 3] {
        let luma = self.width * self.height;
        let (y, rest) = self.bytes.split_at(luma);
        let (u, v) = rest.split_at(luma / 4);
        [y, u, v]
    }
}

/// The size of the JPEG: even, of the same shape, within what was asked for, and never larger than the picture.
fn fitting((own_width, own_height): (usize, usize), options: JpegOptions) -> (usize, usize) {
    let limit = |own: usize, most: Option<u16>| most.map_or(own, |most| own.min(most.into()));
    let (width, height) = (limit(own_width, options.width), limit(own_height, options.height));
    let even = |n: usize| (n & !1).max(2);
    if width * own_height <= height * own_width {
        (even(width), even(width * own_height / own_width))
    } else {
        (even(height * own_width / own_height), even(height))
    }
}

/// Appends the plane in a smaller size to `out`.
fn scale_plane(from: &[u8], (from_width, from_height): (usize, usize), to: (usize, usize), out: &mut Vec<u8>) {
    // The pixels that the n-th one replaces. There is at least one, since the plane gets smaller.
    let span = |n: usize, from: usize, to: usize| n * from / to..(n + 1) * from / to;
    let mut sums = vec![0_u32; to.0];
    for row in 0..to.1 {
        sums.fill(0);
        let rows = span(row, from_height, to.1);
        for line in from.chunks_exact(from_width).skip(rows.start).take(rows.len()) {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += line[span(column, from_width, to.0)].iter().map(|p| u32::from(*p)).sum::<u32>();
            }
        }
        out.extend(sums.iter().enumerate().map(|(column, sum)| {
            let area = (rows.len() * span(column, from_width, to.0).len()).max(1) as u32;
            ((sum + area / 2) / area) as u8
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: SampleColours = SampleColours { bt709: false, full_range: true };

    fn options(width: Option<u16>, height: Option<u16>) -> JpegOptions {
        JpegOptions { width, height, quality: 90 }
    }

    /// A picture of one colour.
    fn plain((width, height): (usize, usize), samples: SampleColours, [y, u, v]: [u8; 3]) -> RawPicture {
        let chroma = |value| vec![value; width * height / 4];
        RawPicture::new((width, height), samples, [&vec![y; width * height], &chroma(u), &chroma(v)]).unwrap()
    }

    #[test]
    fn the_shape_stays_and_the_size_is_never_larger() {
        for (own, width, height, expected) in [
            ((1280, 720), None, None, (1280, 720)),
            ((1280, 720), Some(8192), Some(8192), (1280, 720)),
            ((1280, 720), Some(640), None, (640, 360)),
            ((1280, 720), None, Some(360), (640, 360)),
            ((1280, 720), Some(640), Some(100), (176, 100)),
            ((1280, 720), Some(641), None, (640, 360)),
            ((1280, 720), Some(16), Some(16), (16, 8)),
            ((3840, 16), Some(16), None, (16, 2)),
            ((16, 3840), None, Some(16), (2, 16)),
        ] {
            assert_eq!(fitting(own, options(width, height)), expected, "{own:?} {width:?} {height:?}");
        }
    }

    #[test]
    fn planes_that_do_not_fit_are_no_picture() {
        let (y, c) = ([0; 16], [0; 4]);
        assert!(RawPicture::new((4, 4), FULL, [&y, &c, &c]).is_some());
        for (size, planes) in [
            ((4, 2), [&y[..], &c, &c]),
            ((3, 4), [&y[..12], &c[..3], &c[..3]]),
            ((0, 0), [&y[..0], &c[..0], &c[..0]]),
            ((4, 4), [&y[..], &c[..3], &c]),
            ((usize::MAX, 2), [&y[..], &c, &c]),
        ] {
            assert!(RawPicture::new(size, FULL, planes).is_none(), "{size:?}");
        }
    }

    #[test]
    fn each_pixel_is_the_mean_of_those_that_it_replaces() {
        let mut out = Vec::new();
        scale_plane(&[0, 10, 20, 30, 40, 50, 60, 70], (4, 2), (2, 1), &mut out);
        assert_eq!(out, [25, 45]);
        out.clear();
        scale_plane(&[1, 2, 3, 4, 5], (5, 1), (2, 1), &mut out);
        assert_eq!(out, [2, 4], "the mean of two, and of three");
    }

    #[test]
    fn a_jpeg_has_the_colours_of_the_picture_whatever_its_samples_mean() {
        for (samples, yuv, expected) in [
            (FULL, [255, 128, 128], [255, 255, 255]),
            (FULL, [76, 85, 255], [254, 0, 0]),
            (SampleColours { bt709: false, full_range: false }, [235, 128, 128], [255, 255, 255]),
            (SampleColours { bt709: true, full_range: false }, [63, 102, 240], [255, 0, 0]),
        ] {
            let jpeg = plain((64, 32), samples, yuv).jpeg(options(Some(32), None)).unwrap();
            assert_eq!((jpeg.width, jpeg.height), (32, 16));
            assert!(jpeg.bytes.starts_with(&[0xFF, 0xD8]) && jpeg.bytes.ends_with(&[0xFF, 0xD9]));
            let shown = turbojpeg::decompress(&jpeg.bytes, PixelFormat::RGB).unwrap();
            assert_eq!((shown.width, shown.height), (32, 16));
            for (is, expected) in shown.pixels.iter().zip(expected.iter().cycle()) {
                assert!(is.abs_diff(*expected) <= 6, "{samples:?} {yuv:?}: {is} for {expected}");
            }
        }
    }

    #[test]
    fn a_lower_quality_is_a_smaller_file() {
        let (width, height) = (64, 64);
        let y: Vec<u8> = (0..width * height).map(|n| (n * 31 % 251) as u8).collect();
        let chroma = vec![128; width * height / 4];
        let picture = RawPicture::new((width, height), FULL, [&y, &chroma, &chroma]).unwrap();
        let bytes = |quality| picture.jpeg(JpegOptions { width: None, height: None, quality }).unwrap().bytes.len();
        assert!(bytes(1) < bytes(50) && bytes(50) < bytes(100));
    }
}
