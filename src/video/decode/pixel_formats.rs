//! Converts raw pixel formats to the planes of an encoder. This copies the frame out of the driver's memory, once. On
//! boards that memory is often not cached, and the driver gets its buffer back before anything slow begins.

use yuv::{BufferStoreMut, YuvPackedImage, YuvPlanarImageMut};

use crate::{config::PixelFormat, video::decode::planes::Planes};

/// One memory plane of a raw frame: rows of `stride` bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The rows.
    pub(crate) bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
}

impl<'a> Part<'a> {
    /// `rows` rows of `width` bytes without their padding; `None` if bytes are missing.
    fn rows(self, rows: usize, width: usize) -> Option<impl Iterator<Item = &'a [u8]>> {
        // The last row may lack its padding. The driver chooses strides, so they may have any value.
        let needed = self.stride.checked_mul(rows.checked_sub(1)?)?.checked_add(width)?;
        let whole = self.stride >= width && self.bytes.len() >= needed;
        whole.then(|| self.bytes.chunks(self.stride).take(rows).map(move |row| &row[..width]))
    }

    /// Splits a frame whose colour planes follow each other: its first `rows` rows, and the rest as rows of `stride`
    /// bytes.
    fn split(self, rows: usize, stride: usize) -> Option<(Self, Self)> {
        let (first, rest) = self.bytes.split_at_checked(self.stride.checked_mul(rows)?)?;
        Some((Self { bytes: first, ..self }, Self { bytes: rest, stride }))
    }
}

/// Converts a raw frame to planes of the same size. It has one part, or one for each plane. Returns `false` if bytes
/// are missing or the format is coded.
pub(crate) fn unpack(format: PixelFormat, parts: &[Part<'_>], planes: &mut Planes) -> bool {
    unpack_some(format, parts, planes).is_some()
}

fn unpack_some(format: PixelFormat, parts: &[Part<'_>], planes: &mut Planes) -> Option<()> {
    let (_, height) = planes.size();
    match (format, parts) {
        (PixelFormat::Yuyv | PixelFormat::Uyvy, &[packed]) => unpack_422(format, packed, planes),
        (PixelFormat::Nv12, &[whole]) => {
            let (luma, chroma) = whole.split(height, whole.stride)?;
            unpack_nv12(luma, chroma, planes)
        }
        (PixelFormat::Nv12, &[luma, chroma]) => unpack_nv12(luma, chroma, planes),
        (PixelFormat::Yu12, &[whole]) => {
            let (y, rest) = whole.split(height, whole.stride / 2)?;
            let (u, v) = rest.split(height / 2, rest.stride)?;
            copy_planes([y, u, v], planes)
        }
        (PixelFormat::Yu12, &[y, u, v]) => copy_planes([y, u, v], planes),
        _ => None,
    }
}

fn unpack_422(format: PixelFormat, packed: Part<'_>, planes: &mut Planes) -> Option<()> {
    let (width, height) = planes.size();
    if packed.stride < 2 * width || packed.bytes.len() < packed.stride.checked_mul(height)? {
        return None;
    }
    let [size, chroma] = [width, width / 2].map(|n| n as u32);
    let stride = u32::try_from(packed.stride).ok()?;
    let source = YuvPackedImage { yuy: packed.bytes, yuy_stride: stride, width: size, height: height as u32 };
    let [y, u, v] = planes.split_mut();
    let mut target = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: size,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma,
        width: size,
        height: height as u32,
    };
    let convert = if format == PixelFormat::Yuyv { yuv::yuyv422_to_yuv420 } else { yuv::uyvy422_to_yuv420 };
    convert(&mut target, &source).ok()
}

fn unpack_nv12(luma: Part<'_>, chroma: Part<'_>, planes: &mut Planes) -> Option<()> {
    let (width, height) = planes.size();
    let (luma, chroma) = (luma.rows(height, width)?, chroma.rows(height / 2, width)?);
    let [y, u, v] = planes.split_mut();
    y.chunks_exact_mut(width).zip(luma).for_each(|(to, from)| to.copy_from_slice(from));
    for ((u, v), pairs) in u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2)).zip(chroma) {
        for ((u, v), pair) in u.iter_mut().zip(v).zip(pairs.chunks_exact(2)) {
            (*u, *v) = (pair[0], pair[1]);
        }
    }
    Some(())
}

fn copy_planes(parts: [Part<'_>; 3], planes: &mut Planes) -> Option<()> {
    let (width, height) = planes.size();
    let sizes = [(width, height), (width / 2, height / 2), (width / 2, height / 2)];
    for ((plane, part), (width, height)) in planes.split_mut().into_iter().zip(parts).zip(sizes) {
        let rows = part.rows(height, width)?;
        plane.chunks_exact_mut(width).zip(rows).for_each(|(to, from)| to.copy_from_slice(from));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use openh264::formats::YUVSource;

    use super::*;
    use crate::video::decode::planes::Colour;

    const WIDTH: usize = 48;
    const HEIGHT: usize = 18;

    /// A picture in which every sample of every plane differs.
    fn sample(plane: usize, x: usize, row: usize) -> u8 {
        (plane * 83 + x * 5 + row * 29) as u8
    }

    fn planes() -> Planes {
        Planes::new((WIDTH as u32, HEIGHT as u32), Colour::default()).unwrap()
    }

    fn assert_whole(planes: &Planes, chroma_rows: usize) {
        for row in 0..HEIGHT {
            for x in 0..WIDTH {
                assert_eq!(planes.y()[row * WIDTH + x], sample(0, x, row), "y {x} {row}");
            }
        }
        for row in 0..HEIGHT / 2 {
            for x in 0..WIDTH / 2 {
                let place = row * WIDTH / 2 + x;
                // The converter uses one of two chroma rows.
                let of = |plane| [0, 1].map(|i| sample(plane, x, (row * chroma_rows) + i.min(chroma_rows - 1)));
                assert!(of(1).contains(&planes.u()[place]), "u {x} {row}");
                assert!(of(2).contains(&planes.v()[place]), "v {x} {row}");
            }
        }
    }

    /// Rows with padding after each.
    fn rows(stride: usize, rows: usize, byte: impl Fn(usize, usize) -> Option<u8>) -> Vec<u8> {
        (0..stride * rows).map(|i| byte(i % stride, i / stride).unwrap_or(0xEE)).collect()
    }

    fn luma(stride: usize) -> Vec<u8> {
        rows(stride, HEIGHT, |x, row| (x < WIDTH).then(|| sample(0, x, row)))
    }

    fn chroma(plane: usize, stride: usize) -> Vec<u8> {
        rows(stride, HEIGHT / 2, |x, row| (x < WIDTH / 2).then(|| sample(plane, x, row)))
    }

    fn pairs(stride: usize) -> Vec<u8> {
        rows(stride, HEIGHT / 2, |x, row| (x < WIDTH).then(|| sample(1 + x % 2, x / 2, row)))
    }

    #[test]
    fn packed_formats_are_unpacked_with_and_without_padding() {
        for stride in [2 * WIDTH, 2 * WIDTH + 32] {
            for (format, luma_first) in [(PixelFormat::Yuyv, 0), (PixelFormat::Uyvy, 1)] {
                let bytes = rows(stride, HEIGHT, |i, row| {
                    let (pair, place) = (i / 4, i % 4);
                    (i < 2 * WIDTH).then(|| match (place + luma_first) % 2 {
                        0 => sample(0, 2 * pair + place / 2, row),
                        _ => sample(1 + place / 2, pair, row),
                    })
                });
                let mut planes = planes();
                assert!(unpack(format, &[Part { bytes: &bytes, stride }], &mut planes));
                assert_whole(&planes, 2);
            }
        }
    }

    #[test]
    fn planar_formats_are_taken_in_one_part_or_several() {
        for stride in [WIDTH, WIDTH + 16] {
            let (y, uv) = (luma(stride), pairs(stride));
            let (u, v) = (chroma(1, stride / 2), chroma(2, stride / 2));
            let part = |bytes, stride| Part { bytes, stride };
            let (nv12, yu12) = ([&y[..], &uv].concat(), [&y[..], &u, &v].concat());
            for (format, parts) in [
                (PixelFormat::Nv12, vec![part(&nv12, stride)]),
                (PixelFormat::Nv12, vec![part(&y, stride), part(&uv, stride)]),
                (PixelFormat::Yu12, vec![part(&yu12, stride)]),
                (PixelFormat::Yu12, vec![part(&y, stride), part(&u, stride / 2), part(&v, stride / 2)]),
            ] {
                let mut planes = planes();
                assert!(unpack(format, &parts, &mut planes), "{format:?} in {} parts", parts.len());
                assert_whole(&planes, 1);
            }
        }
    }

    #[test]
    fn short_or_strange_pictures_are_refused() {
        let bytes = vec![0; 2 * WIDTH * HEIGHT];
        let formats = [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Yu12];
        for format in formats {
            let (stride, whole) = match format {
                PixelFormat::Yuyv | PixelFormat::Uyvy => (2 * WIDTH, 2 * WIDTH * HEIGHT),
                _ => (WIDTH, WIDTH * HEIGHT * 3 / 2),
            };
            let mut planes = planes();
            for (length, stride, fits) in [(whole, stride, true), (whole - 1, stride, false), (0, stride, false)] {
                let part = Part { bytes: &bytes[..length], stride };
                assert_eq!(unpack(format, &[part], &mut planes), fits, "{format:?} {length}");
            }
            // Some strides are so large that a product overflows, or wraps to a small number.
            let beyond = [usize::MAX, usize::MAX / 2 + 1, usize::MAX / HEIGHT + 2, (usize::MAX >> 4) + 1];
            for stride in [0, 1, stride - 1].into_iter().chain(beyond) {
                assert!(!unpack(format, &[Part { bytes: &bytes, stride }], &mut planes), "{format:?} stride {stride}");
            }
            assert!(!unpack(format, &[], &mut planes));
        }
        assert!(!unpack(PixelFormat::Mjpeg, &[Part { bytes: &bytes, stride: 0 }], &mut planes()));
    }
}
