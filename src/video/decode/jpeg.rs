//! Decodes JPEG frames of cameras and clips to planes, without RGB in between where possible.
//!
//! A frame is shown even if the decoder library only warns about it. `tidy.rs` repairs what is wrong around the coded
//! data. `coverage.rs` tells complete frames from those that are cut short.

mod coverage;
mod tables;
mod tidy;
mod unit;

#[cfg(test)]
mod tests;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, Subsamp, YuvImage};
use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

use crate::video::{
    decode::planes::{Colour, Planes},
    h264,
    sources::unit::Found,
};

use tidy::Tidy;
pub(crate) use unit::find;

/// The most scans of a progressive frame. More is an attack on the processor.
const SCANS: u32 = 50;
/// How many rows and columns a frame may have above the negotiated size. Encoders pad frames to blocks of at most 16
/// pixels.
const PADDING: u32 = 15;

/// A decoder, used for all frames of a source.
pub(crate) struct Jpeg {
    decompressor: Decompressor,
    tidy: Tidy,
    /// A buffer for samples that are not laid out like planes, or for rows of chroma.
    samples: Vec<u8>,
    /// The size that was negotiated with the camera.
    agreed: Option<(u32, u32)>,
    /// The size of the frames shown.
    size: Option<(u32, u32)>,
    /// The size of a frame that differed. If two in a row have it, it is the new size.
    other: Option<(u32, u32)>,
}

/// Why a coded or raw picture cannot be used, as a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PictureError(pub(crate) String);

/// Why a JPEG of `length` bytes is refused. The limit is 4 MiB, or the size of the uncompressed frame (4:2:2) if that
/// is more.
pub(crate) fn too_long(length: usize, (width, height): (u32, u32)) -> Option<PictureError> {
    let most = h264::LONGEST.max((width as usize).saturating_mul(height as usize).saturating_mul(2));
    (length > most).then(|| PictureError(format!("a JPEG of {} KiB; {} KiB are possible", length >> 10, most >> 10)))
}

impl Jpeg {
    /// Makes a decoder for the size that was negotiated with a camera; `None`: for any size.
    pub(crate) fn new(agreed: Option<(u32, u32)>) -> Result<Self, String> {
        let decompressor = decompressor().map_err(|e| format!("JPEG decoder: {e}"))?;
        Ok(Self { decompressor, tidy: Tidy::default(), samples: Vec::new(), agreed, size: agreed, other: None })
    }

    /// Decodes the first JPEG in `bytes` into `planes`, which are replaced if their size differs. After a refusal the
    /// planes hold no valid frame.
    pub(crate) fn decode(&mut self, bytes: &[u8], planes: &mut Option<Planes>) -> Result<(), PictureError> {
        let unit = first(bytes).ok_or_else(|| PictureError("it contains no JPEG".into()))?;
        let picture = self.tidy.picture(unit).map_err(PictureError)?;
        let header = self.decompressor.read_header(picture).map_err(|e| {
            // After an error here, libjpeg-turbo 3.1.0 does not reset its state, and would fail to read every following
            // frame.
            if let Ok(fresh) = decompressor() {
                self.decompressor = fresh;
            }
            PictureError(text(&e))
        })?;
        let size = shown(&header, self.agreed);
        if self.size.is_some_and(|before| before != size) && self.other.replace(size) != Some(size) {
            return Err(PictureError(format!("its size differs from the frame before: {}x{}", size.0, size.1)));
        }
        let fits = |planes: &Planes| planes.size() == (size.0 as usize, size.1 as usize);
        let planes = match planes.take().filter(fits) {
            Some(fitting) => planes.insert(fitting),
            None => planes.insert(Planes::new(size, Colour::JPEG).map_err(PictureError)?),
        };
        let decoded = match path(&header, size) {
            Path::InPlace => in_place(&mut self.decompressor, picture, &header, planes, &mut self.samples),
            Path::Planes => apart(&mut self.decompressor, picture, &header, planes, &mut self.samples),
            Path::Rgb => by_rgb(&mut self.decompressor, picture, &header, planes, &mut self.samples),
        };
        if let Err(text) = decoded {
            check_complaint(picture, text)?;
        }
        planes.colour = Colour::JPEG;
        (self.size, self.other) = (Some(size), None);
        Ok(())
    }
}

/// The first JPEG in a camera's bytes; the camera may put other bytes before or after it.
fn first(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        match find(bytes, true) {
            Found::Unit(end) => return bytes.get(..end),
            Found::Rubbish(length) if length > 0 => bytes = bytes.get(length..)?,
            Found::Rubbish(_) | Found::Nothing => return None,
        }
    }
}

/// The size to show: the negotiated one if the frame is only padded to whole blocks, else its own. It is made even,
/// since encoders require that.
fn shown(header: &DecompressHeader, agreed: Option<(u32, u32)>) -> (u32, u32) {
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (width, height) = (side(header.width), side(header.height));
    let padded = |own: u32, agreed: u32| (agreed..=agreed.saturating_add(PADDING)).contains(&own);
    match agreed {
        Some(agreed) if padded(width, agreed.0) && padded(height, agreed.1) => (agreed.0 & !1, agreed.1 & !1),
        _ => (width & !1, height & !1),
    }
}

/// How a frame becomes planes.
enum Path {
    /// Decoded into the planes; only chroma is scaled down.
    InPlace,
    /// Decoded into another buffer, then copied, because it is cropped or has another chroma layout.
    Planes,
    /// Decoded to RGB, because its samples are not Y, Cb and Cr as planes have them.
    Rgb,
}

fn path(header: &DecompressHeader, (width, height): (u32, u32)) -> Path {
    let whole = (header.width, header.height) == (width as usize, height as usize);
    match header.subsamp {
        _ if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray) => Path::Rgb,
        Subsamp::Unknown => Path::Rgb,
        Subsamp::Gray | Subsamp::Sub2x2 | Subsamp::Sub2x1 | Subsamp::Sub1x2 | Subsamp::None if whole => Path::InPlace,
        _ => Path::Planes,
    }
}

/// Whether a frame can be shown although the library reported something. The library stops at errors. It continues
/// after warnings, and reports the first of them.
fn check_complaint(picture: &[u8], reported: String) -> Result<(), PictureError> {
    let warning = ["Corrupt JPEG data", "Premature end", "Warning", "Inconsistent progression", "Invalid SOS"]
        .iter()
        .any(|begin| reported.starts_with(begin));
    let harmless = match coverage::is_whole(picture) {
        Some(whole) => whole,
        None => !["premature end", "Premature end", "bad "].iter().any(|part| reported.contains(part)),
    };
    match (warning, harmless) {
        (false, _) => Err(PictureError(reported)),
        (true, false) => Err(PictureError("its coded data is cut short or damaged".into())),
        (true, true) => Ok(()),
    }
}

/// The library's error text without the library's name.
fn text(error: &turbojpeg::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("TurboJPEG error: ").map_or(text.clone(), str::to_owned)
}

fn decompressor() -> turbojpeg::Result<Decompressor> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(SCANS)?;
    Ok(decompressor)
}

/// Decodes into planes that have the frame's own size.
fn in_place(
    decompressor: &mut Decompressor,
    jpeg: &[u8],
    header: &DecompressHeader,
    planes: &mut Planes,
    rows: &mut Vec<u8>,
) -> Result<(), String> {
    let (width, height) = planes.size();
    let luma = width * height;
    let samples = match header.subsamp {
        Subsamp::Gray | Subsamp::Sub2x2 => luma * 3 / 2,
        Subsamp::None => luma * 3,
        _ => luma * 2,
    };
    let pixels = planes.bytes_mut(samples);
    let image = YuvImage { pixels, width, align: 1, height, subsamp: header.subsamp };
    let decoded = decompressor.decompress_to_yuv(jpeg, image).map_err(|e| text(&e));
    reduce_chroma(planes, header.subsamp, rows);
    decoded
}

/// Decodes into another buffer and copies the visible part. TurboJPEG pads each plane to whole groups of pixels that
/// share a chroma sample.
fn apart(
    decompressor: &mut Decompressor,
    jpeg: &[u8],
    header: &DecompressHeader,
    planes: &mut Planes,
    samples: &mut Vec<u8>,
) -> Result<(), String> {
    let (across, down) = (header.subsamp.width(), header.subsamp.height());
    let luma = (header.width.next_multiple_of(across), header.height.next_multiple_of(down));
    let chroma = (luma.0 / across, luma.1 / down);
    let (luma_size, chroma_size) = (luma.0 * luma.1, chroma.0 * chroma.1);
    samples.resize(luma_size + 2 * chroma_size, 128);
    let (width, height) = (header.width, header.height);
    let image = YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp: header.subsamp };
    let decoded = decompressor.decompress_to_yuv(jpeg, image).map_err(|e| text(&e));
    let (width, _) = planes.size();
    let [y, u, v] = planes.split_mut();
    for (to, from) in y.chunks_exact_mut(width).zip(samples.chunks_exact(luma.0)) {
        to.copy_from_slice(&from[..width]);
    }
    for (n, plane) in [u, v].into_iter().enumerate() {
        let from = &samples[luma_size + n * chroma_size..][..chroma_size];
        for (row, to) in plane.chunks_exact_mut(width / 2).enumerate() {
            let line = |row: usize| &from[(row / down).min(chroma.1 - 1) * chroma.0..][..chroma.0];
            let lines = [line(2 * row), line(2 * row + 1)];
            for (x, sample) in to.iter_mut().enumerate() {
                // The mean over the four pixels that share the new sample.
                let columns = [2 * x / across, (2 * x + 1) / across].map(|column| column.min(chroma.0 - 1));
                let sum: u16 = lines.iter().flat_map(|line| columns.map(|column| u16::from(line[column]))).sum();
                *sample = if header.subsamp == Subsamp::Gray { 128 } else { ((sum + 2) / 4) as u8 };
            }
        }
    }
    decoded
}

/// Decodes via RGB, for frames with RGB samples or an unusual chroma subsampling.
fn by_rgb(
    decompressor: &mut Decompressor,
    jpeg: &[u8],
    header: &DecompressHeader,
    planes: &mut Planes,
    samples: &mut Vec<u8>,
) -> Result<(), String> {
    let pitch = header.width * 3;
    samples.resize(pitch * header.height, 0);
    let format = PixelFormat::RGB;
    let image = Image { pixels: &mut samples[..], width: header.width, pitch, height: header.height, format };
    let decoded = decompressor.decompress(jpeg, image).map_err(|e| text(&e));
    let (width, height) = planes.size();
    let [y, u, v] = planes.split_mut();
    let mut target = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width as u32,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width as u32 / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width as u32 / 2,
        width: width as u32,
        height: height as u32,
    };
    let rows = &samples[..pitch * height];
    let (range, matrix, mode) = (YuvRange::Full, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
    yuv::rgb_to_yuv420(&mut target, rows, pitch as u32, range, matrix, mode).map_err(|e| e.to_string())?;
    decoded
}

/// Averages chroma to half width and height, in place. The target never overtakes the source, whose current rows are
/// kept aside.
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
            // No index in these loops, for speed: they run over every byte of chroma.
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
