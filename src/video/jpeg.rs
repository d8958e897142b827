//! JPEG pictures of cameras and clips to planes, without a detour through RGB.

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Subsamp, YuvImage};

use crate::video::planes::{Colour, Planes};

/// Scans a progressive picture may have: more is an attack on the processor.
const SCANS: u32 = 50;

/// A decoder, used again for every picture.
pub(crate) struct Jpeg {
    decompressor: Decompressor,
    /// Room for the rows of chroma at hand.
    rows: Vec<u8>,
}

/// Why a picture was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Cut short or broken: the next one may be whole.
    Damaged(String),
    /// Of another size or kind: the next one will be too.
    Unfit(String),
}

impl Jpeg {
    /// Makes a decoder.
    pub(crate) fn new() -> Result<Self, String> {
        decompressor()
            .map(|decompressor| Self { decompressor, rows: Vec::new() })
            .map_err(|e| format!("JPEG decoder: {e}"))
    }

    /// Reads what a picture says of itself.
    fn header(&mut self, jpeg: &[u8]) -> Result<DecompressHeader, Refusal> {
        self.decompressor.read_header(jpeg).map_err(|e| {
            // libjpeg-turbo 3.1.0 forgets to abort after an error here, and would read the next picture on from the
            // middle of this one, for ever.
            if let Ok(fresh) = decompressor() {
                self.decompressor = fresh;
            }
            Refusal::Damaged(e.to_string())
        })
    }

    /// The size of a picture.
    pub(crate) fn size(&mut self, jpeg: &[u8]) -> Result<(u32, u32), Refusal> {
        let header = self.header(jpeg)?;
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok((side(header.width), side(header.height)))
    }

    /// Decodes into planes, whose size the picture must have. What planes hold after a refusal is not a picture.
    pub(crate) fn decode(&mut self, jpeg: &[u8], planes: &mut Planes) -> Result<(), Refusal> {
        let header = self.header(jpeg)?;
        let (width, height) = planes.size();
        let samples = samples(&header, (width, height))?;
        let pixels = planes.bytes_mut(samples);
        let image = YuvImage { pixels, width, align: 1, height, subsamp: header.subsamp };
        if let Err(e) = self.decompressor.decompress_to_yuv(jpeg, image) {
            let text = e.to_string();
            if !is_harmless(&text) {
                return Err(Refusal::Damaged(text));
            }
        }
        reduce_chroma(planes, header.subsamp, &mut self.rows);
        planes.colour = Colour::JPEG;
        Ok(())
    }
}

fn decompressor() -> turbojpeg::Result<Decompressor> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(SCANS)?;
    Ok(decompressor)
}

/// How many bytes the decoder writes.
fn samples(header: &DecompressHeader, (width, height): (usize, usize)) -> Result<usize, Refusal> {
    if (header.width, header.height) != (width, height) {
        return Err(Refusal::Unfit(format!(
            "a JPEG of {}x{} where {width}x{height} was agreed",
            header.width, header.height
        )));
    }
    if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray) {
        return Err(Refusal::Unfit(format!("a JPEG in {:?}; YCbCr and grey can be used", header.colorspace)));
    }
    let luma = width * height;
    match header.subsamp {
        Subsamp::Gray | Subsamp::Sub2x2 => Ok(luma * 3 / 2),
        Subsamp::Sub2x1 | Subsamp::Sub1x2 => Ok(luma * 2),
        Subsamp::None => Ok(luma * 3),
        other => {
            Err(Refusal::Unfit(format!("a JPEG subsampled {other:?}; 4:2:0, 4:2:2, 4:4:0, 4:4:4 and grey can be used")))
        }
    }
}

/// Whether a complaint of the library is about bytes between pictures' parts: many cameras pad their pictures, and the
/// picture is whole.
fn is_harmless(complaint: &str) -> bool {
    complaint.contains("extraneous bytes before marker")
}

/// Averages chroma to half width and height, in place: the target never overtakes its source, whose rows at hand are kept aside.
fn reduce_chroma(planes: &mut Planes, subsamp: Subsamp, rows: &mut Vec<u8>) {
    let (width, height) = planes.size();
    let luma = width * height;
    let (across, down) = match subsamp {
        Subsamp::Sub2x1 => (1, 2),
        Subsamp::Sub1x2 => (2, 1),
        Subsamp::None => (2, 2),
        Subsamp::Gray => return planes.bytes_mut(luma * 3 / 2)[luma..luma * 3 / 2].fill(128),
        _ => return,
    };
    let (source_width, source_size) = (width / 2 * across, luma / 4 * across * down);
    let bytes = planes.bytes_mut(luma + 2 * source_size);
    let taken = source_width * down;
    rows.resize(taken, 0);
    for plane in 0..2 {
        let (from, to) = (luma + plane * source_size, luma + plane * luma / 4);
        for row in 0..height / 2 {
            rows.copy_from_slice(&bytes[from + row * taken..][..taken]);
            let upper = &rows[..source_width];
            let lower = if down == 2 { &rows[source_width..] } else { upper };
            let target = &mut bytes[to + row * (width / 2)..][..width / 2];
            // Without an index in the loops, for this is done to every byte of chroma.
            if across == 1 {
                for ((to, a), b) in target.iter_mut().zip(upper).zip(lower) {
                    *to = (u16::from(*a) + u16::from(*b)).div_ceil(2) as u8;
                }
            } else {
                let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                for (to, (a, b)) in target.iter_mut().zip(pairs) {
                    let sum: u16 = a.iter().chain(b).map(|sample| u16::from(*sample)).sum();
                    *to = ((sum + 2) / 4) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openh264::formats::YUVSource;

    use super::*;

    const SIZE: (u32, u32) = (96, 64);

    /// A smooth picture in full chroma, coded with this subsampling.
    fn jpeg(subsamp: Subsamp, size: (u32, u32)) -> Vec<u8> {
        let (width, height) = (size.0 as usize, size.1 as usize);
        let pixels: Vec<u8> = (0..width * height)
            .flat_map(|i| {
                let (x, y) = (i % width, i / width);
                [(x * 2) as u8, (y * 3) as u8, 100]
            })
            .collect();
        let mut compressor = turbojpeg::Compressor::new().unwrap();
        compressor.set_quality(95).unwrap();
        compressor.set_subsamp(subsamp).unwrap();
        let format = turbojpeg::PixelFormat::RGB;
        let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format };
        compressor.compress_to_vec(image).unwrap()
    }

    fn planes() -> Planes {
        Planes::new(SIZE, Colour::default()).unwrap()
    }

    #[test]
    fn every_subsampling_gives_the_same_picture() {
        let mut decoder = Jpeg::new().unwrap();
        let mut expected = planes();
        decoder.decode(&jpeg(Subsamp::Sub2x2, SIZE), &mut expected).unwrap();
        assert!(expected.u().iter().max() > expected.u().iter().min(), "there is colour in it");
        for subsamp in [Subsamp::Sub2x1, Subsamp::Sub1x2, Subsamp::None] {
            let mut planes = planes();
            decoder.decode(&jpeg(subsamp, SIZE), &mut planes).unwrap();
            assert_eq!(planes.colour, Colour::JPEG);
            for (name, a, b) in
                [("y", planes.y(), expected.y()), ("u", planes.u(), expected.u()), ("v", planes.v(), expected.v())]
            {
                let worst = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(worst <= 4, "{subsamp:?} {name}: {worst}");
            }
        }
        let mut grey = planes();
        grey.bytes_mut(0).fill(3);
        decoder.decode(&jpeg(Subsamp::Gray, SIZE), &mut grey).unwrap();
        assert!(grey.u().iter().chain(grey.v()).all(|&b| b == 128));
        assert!(grey.y().iter().max() > Some(&60));
    }

    #[test]
    fn damaged_pictures_are_refused_and_the_next_is_fine() {
        let mut decoder = Jpeg::new().unwrap();
        let whole = jpeg(Subsamp::Sub2x1, SIZE);
        for length in 0..whole.len() - 2 {
            let result = decoder.decode(&whole[..length], &mut planes());
            assert!(matches!(result, Err(Refusal::Damaged(_))), "{length} of {}: {result:?}", whole.len());
        }
        for i in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[i] = !damaged[i];
            let _ = decoder.decode(&damaged, &mut planes());
            decoder.decode(&whole, &mut planes()).unwrap_or_else(|e| panic!("after damage at {i}: {e:?}"));
        }
    }

    #[test]
    fn padding_of_cameras_is_no_damage() {
        let mut decoder = Jpeg::new().unwrap();
        let mut padded = jpeg(Subsamp::Sub2x2, SIZE);
        let end = padded.split_off(padded.len() - 2);
        padded.extend([0; 7]);
        padded.extend(end);
        padded.extend([0; 99]);
        decoder.decode(&padded, &mut planes()).unwrap();
    }

    #[test]
    fn pictures_that_do_not_fit_are_refused_for_good() {
        let mut decoder = Jpeg::new().unwrap();
        for (jpeg, part) in
            [(jpeg(Subsamp::Sub2x2, (98, 64)), "98x64 where 96x64"), (jpeg(Subsamp::Sub4x1, SIZE), "subsampled Sub4x1")]
        {
            match decoder.decode(&jpeg, &mut planes()) {
                Err(Refusal::Unfit(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{part}: {other:?}"),
            }
        }
        assert_eq!(decoder.size(&jpeg(Subsamp::None, (50, 20))), Ok((50, 20)));
    }
}
