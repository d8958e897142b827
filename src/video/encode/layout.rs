//! The memory layout of a frame for a hardware encoder. Pure.

use openh264::formats::YUVSource;

use crate::{
    config::PixelFormat,
    video::{capture::modes::FourCc, decode::planes::Planes, v4l2::Given},
};

/// The formats in which frames can be written, the cheapest first.
pub(crate) const WRITTEN: [FourCc; 4] = [FourCc::YU12, FourCc::NV12, FourCc::YM12, FourCc::NM12];

/// The position of one colour plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PlanePosition {
    memory_plane: usize,
    offset: usize,
    stride: usize,
}

/// The position of each colour plane: Y, U and V, or Y and interleaved U and V.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlaneLayout {
    positions: Vec<PlanePosition>,
    size: (usize, usize),
}

impl PlaneLayout {
    /// The layout for frames of this size, from the driver's format. The error says what is wrong with that. Colour
    /// planes that share a memory plane follow each other. Each has the rows of the driver's format, which may be more
    /// than those of the frame.
    pub(crate) fn new(given: &Given, size: (usize, usize)) -> Result<Self, String> {
        let (width, height) = (given.size.0 as usize, given.size.1 as usize);
        let strange = || format!("{}x{} {} in an unknown layout", given.size.0, given.size.1, given.fourcc);
        if width < size.0 || height < size.1 {
            return Err(format!("accepts {width}x{height} instead of {}x{}", size.0, size.1));
        }
        let pairs = match given.fourcc.format() {
            Some(PixelFormat::Yu12) => false,
            Some(PixelFormat::Nv12) => true,
            _ => return Err(strange()),
        };
        let planes = if pairs { 2 } else { 3 };
        let first = *given.strides.first().ok_or_else(strange)?;
        let rows = |plane: usize| if plane == 0 { height } else { height / 2 };
        let mut positions = Vec::new();
        if given.strides.len() == 1 {
            let chroma = if pairs { first } else { first / 2 };
            let mut offset = 0_usize;
            for plane in 0..planes {
                let stride = if plane == 0 { first } else { chroma };
                positions.push(PlanePosition { memory_plane: 0, offset, stride });
                // The driver chooses strides, so they may have any value.
                offset =
                    stride.checked_mul(rows(plane)).and_then(|size| offset.checked_add(size)).ok_or_else(strange)?;
            }
        } else {
            let strides = given.strides.iter().enumerate();
            positions.extend(strides.map(|(memory_plane, &stride)| PlanePosition { memory_plane, offset: 0, stride }));
        }
        let wide = |plane: usize| if plane == 0 || pairs { size.0 } else { size.0 / 2 };
        let fits = |(plane, position): (usize, &PlanePosition)| {
            let end = position.stride.checked_mul(rows(plane)).and_then(|size| position.offset.checked_add(size));
            let length = given.lengths.get(position.memory_plane);
            position.stride >= wide(plane) && end.zip(length).is_some_and(|(end, length)| end <= *length)
        };
        if positions.len() != planes || !positions.iter().enumerate().all(fits) {
            return Err(strange());
        }
        Ok(Self { positions, size })
    }

    /// Writes a frame of the layout's size. Returns `false` if the memory is too small.
    pub(crate) fn write(&self, planes: &Planes, pieces: &mut [&mut [u8]]) -> bool {
        self.write_some(planes, pieces).is_some()
    }

    fn write_some(&self, planes: &Planes, pieces: &mut [&mut [u8]]) -> Option<()> {
        let (width, _) = self.size;
        match self.positions[..] {
            [y, u, v] => {
                rows(pieces, y)?.zip(planes.y().chunks_exact(width)).for_each(|(to, from)| copy(to, from));
                rows(pieces, u)?.zip(planes.u().chunks_exact(width / 2)).for_each(|(to, from)| copy(to, from));
                rows(pieces, v)?.zip(planes.v().chunks_exact(width / 2)).for_each(|(to, from)| copy(to, from));
            }
            [y, uv] => {
                rows(pieces, y)?.zip(planes.y().chunks_exact(width)).for_each(|(to, from)| copy(to, from));
                let chroma = planes.u().chunks_exact(width / 2).zip(planes.v().chunks_exact(width / 2));
                for (to, (u, v)) in rows(pieces, uv)?.zip(chroma) {
                    to.chunks_exact_mut(2)
                        .zip(u.iter().zip(v))
                        .for_each(|(pair, (u, v))| pair.copy_from_slice(&[*u, *v]));
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The rows of a colour plane.
fn rows<'a>(pieces: &'a mut [&mut [u8]], position: PlanePosition) -> Option<impl Iterator<Item = &'a mut [u8]>> {
    Some(pieces.get_mut(position.memory_plane)?.get_mut(position.offset..)?.chunks_mut(position.stride))
}

fn copy(to: &mut [u8], from: &[u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::PixelFormat,
        video::decode::{
            pixel_formats::{self, Part},
            planes::Colour,
        },
    };

    const SIZE: (u32, u32) = (36, 20);

    fn given(fourcc: FourCc, size: (u32, u32), strides: &[usize], lengths: &[usize]) -> Given {
        Given {
            fourcc,
            size,
            strides: strides.to_vec(),
            lengths: lengths.to_vec(),
            colour: Colour::default(),
            interlaced: false,
        }
    }

    fn picture() -> Planes {
        let mut planes = Planes::new(SIZE, Colour::default()).unwrap();
        for (n, plane) in planes.split_mut().into_iter().enumerate() {
            plane.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 7 + n * 50) as u8);
        }
        planes
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_layout() {
        // 32 rows of 64 or 48 bytes, as drivers round up. The reader knows the format's own size.
        for (fourcc, size, strides, lengths) in [
            (FourCc::YU12, (36, 20), vec![36], vec![36 * 30]),
            (FourCc::YU12, (36, 32), vec![64], vec![64 * 48]),
            (FourCc::NV12, (36, 32), vec![64], vec![64 * 48 + 100]),
            (FourCc::NV12, (48, 20), vec![48], vec![48 * 30]),
            (FourCc::NM12, (36, 32), vec![64, 48], vec![64 * 32, 48 * 16]),
            (FourCc::YM12, (36, 32), vec![64, 32, 32], vec![64 * 32, 512, 512]),
        ] {
            let given = given(fourcc, size, &strides, &lengths);
            let layout = PlaneLayout::new(&given, (36, 20)).unwrap();
            let mut memory: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0xEE; *length]).collect();
            let mut pieces: Vec<&mut [u8]> = memory.iter_mut().map(Vec::as_mut_slice).collect();
            assert!(layout.write(&picture(), &mut pieces), "{fourcc} {size:?}");

            let mut seen = Planes::new(size, Colour::default()).unwrap();
            let parts: Vec<Part<'_>> =
                memory.iter().zip(&strides).map(|(bytes, &stride)| Part { bytes, stride }).collect();
            let format =
                if [FourCc::YU12, FourCc::YM12].contains(&fourcc) { PixelFormat::Yu12 } else { PixelFormat::Nv12 };
            assert!(pixel_formats::unpack(format, &parts, &mut seen), "{fourcc} {size:?}");
            let wanted = picture();
            let planes =
                [(wanted.y(), seen.y(), 36, 20), (wanted.u(), seen.u(), 18, 10), (wanted.v(), seen.v(), 18, 10)];
            for (n, (wanted, seen, width, height)) in planes.into_iter().enumerate() {
                let stride = size.0 as usize * width / 36;
                for row in 0..height {
                    assert_eq!(
                        &seen[row * stride..row * stride + width],
                        &wanted[row * width..(row + 1) * width],
                        "{fourcc} {size:?}: plane {n}, row {row}"
                    );
                }
            }
        }
    }

    #[test]
    fn layouts_that_lack_room_are_refused() {
        for (fourcc, size, strides, lengths) in [
            (FourCc::YU12, (36, 18), vec![64], vec![4096]),
            (FourCc::YU12, (36, 20), vec![35], vec![4096]),
            (FourCc::YU12, (36, 20), vec![36], vec![36 * 30 - 1]),
            (FourCc::NV12, (36, 20), vec![0], vec![0]),
            (FourCc::NV12, (36, 20), vec![usize::MAX], vec![4096]),
            (FourCc::YU12, (36, 20), vec![usize::MAX / 20], vec![usize::MAX]),
            (FourCc::NV12, (36, 20), vec![usize::MAX / 20 + 1], vec![usize::MAX]),
            (FourCc::NM12, (36, 20), vec![usize::MAX, usize::MAX / 2], vec![usize::MAX, usize::MAX]),
            (FourCc::NV12, (36, 20), vec![], vec![]),
            (FourCc::NM12, (36, 20), vec![36, 36, 36], vec![720, 360, 360]),
            (FourCc::NM12, (36, 20), vec![36, 36], vec![720, 359]),
            (FourCc(u32::from_le_bytes(*b"RGB3")), (36, 20), vec![108], vec![4096]),
        ] {
            let given = given(fourcc, size, &strides, &lengths);
            assert!(PlaneLayout::new(&given, (36, 20)).is_err(), "{given:?}");
        }
    }

    #[test]
    fn missing_memory_is_no_panic() {
        let layout = PlaneLayout::new(&given(FourCc::NM12, (36, 20), &[36, 36], &[720, 360]), (36, 20)).unwrap();
        assert!(!layout.write(&picture(), &mut []));
        assert!(layout.write(&picture(), &mut [&mut [0; 30], &mut [0; 3]]), "short memory is not written past its end");
    }
}
