//! Chooses a camera's mode: format, size and rate. Pure.
//!
//! For every format, the best size is determined: the wanted one, or the nearest that is not larger, or the smallest if
//! all are larger. Among these formats, the first by this order wins:
//! 1. those with the wanted size and (within 5 %) the wanted rate;
//! 2. those that show motion (10 frames per second, or the wanted rate if that is less);
//! 3. those with a size nearest to the wanted one, and not larger;
//! 4. those with a rate nearest to the wanted one;
//! 5. the format that costs least: H.264 is sent unchanged, planes are only copied, packed pixels are converted, and
//!    MJPEG must be decoded.

use std::fmt;

use crate::{
    config::{FormatChoice, PixelFormat},
    video::frame_pace::Rate,
};

/// Fewer frames per second are not seen as motion.
const MOVING: f64 = 10.0;

/// A pixel format by its four-character code, as V4L2 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub u32);

impl FourCc {
    const fn new(name: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*name))
    }

    pub(crate) const H264: Self = Self::new(b"H264");
    pub(crate) const NV12: Self = Self::new(b"NV12");
    pub(crate) const YU12: Self = Self::new(b"YU12");
    /// The same formats, with a memory plane for each colour plane.
    pub(crate) const NM12: Self = Self::new(b"NM12");
    pub(crate) const YM12: Self = Self::new(b"YM12");
    const KNOWN: [(Self, PixelFormat, u8); 9] = [
        (Self::H264, PixelFormat::H264, 1),
        (Self::NV12, PixelFormat::Nv12, 1),
        (Self::NM12, PixelFormat::Nv12, 2),
        (Self::YU12, PixelFormat::Yu12, 1),
        (Self::YM12, PixelFormat::Yu12, 3),
        (Self::new(b"YUYV"), PixelFormat::Yuyv, 1),
        (Self::new(b"UYVY"), PixelFormat::Uyvy, 1),
        (Self::new(b"MJPG"), PixelFormat::Mjpeg, 1),
        (Self::new(b"JPEG"), PixelFormat::Mjpeg, 1),
    ];

    /// The format in our terms; `None` if it cannot be used.
    pub fn format(self) -> Option<PixelFormat> {
        Self::KNOWN.iter().find(|(fourcc, ..)| *fourcc == self).map(|(_, format, _)| *format)
    }

    /// The number of memory planes of a frame.
    pub(crate) fn planes(self) -> u8 {
        Self::KNOWN.iter().find(|(fourcc, ..)| *fourcc == self).map_or(1, |(.., planes)| *planes)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.to_le_bytes() {
            write!(f, "{}", if byte.is_ascii_graphic() { char::from(byte) } else { ' ' })?;
        }
        Ok(())
    }
}

/// One format a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FormatOffer {
    /// The format.
    pub(crate) fourcc: FourCc,
    /// Its sizes and rates.
    pub(crate) sizes: Sizes,
}

/// Sizes of a format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    /// Exactly these.
    Listed(Vec<((u32, u32), Rates)>),
    /// All in these ranges.
    Ranges { width: Range, height: Range, rates: Rates },
    /// Unknown: the driver does not list them, and will choose the nearest.
    Unknown,
}

/// All multiples of a step above the minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// The minimum.
    pub(crate) min: u32,
    /// The maximum.
    pub(crate) max: u32,
    /// The step; at least 1.
    pub(crate) step: u32,
}

impl Range {
    /// The largest even value that is not above `wish`, else the smallest even one.
    fn nearest(self, wish: u32) -> Option<u32> {
        let step = self.step.max(1);
        let below = self.min.checked_add(wish.min(self.max).saturating_sub(self.min) / step * step)?;
        let next = |n: u32| n.checked_add(step).filter(|n| *n <= self.max);
        let even = |n: Option<u32>| n.filter(|n| n % 2 == 0 && *n > 0);
        even(Some(below))
            .or_else(|| even(below.checked_sub(step).filter(|n| *n >= self.min)))
            .or_else(|| even(next(below)))
    }
}

/// The frame rates at one size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rates {
    /// Exactly these.
    Listed(Vec<Rate>),
    /// All between the slowest and the fastest.
    Between(Rate, Rate),
    /// Unknown: the driver does not list them.
    Unknown,
}

impl Rates {
    /// The slowest that is not below the wanted one, else the fastest.
    fn nearest(&self, wish: Rate) -> Option<Rate> {
        match self {
            Self::Listed(rates) => {
                let enough = rates.iter().filter(|rate| rate.fps() >= wish.fps() * 0.95);
                let slowest = enough.min_by(|a, b| a.fps().total_cmp(&b.fps()));
                slowest.or_else(|| rates.iter().max_by(|a, b| a.fps().total_cmp(&b.fps()))).copied()
            }
            Self::Between(slowest, _) if wish.fps() < slowest.fps() => Some(*slowest),
            Self::Between(_, fastest) if wish.fps() > fastest.fps() => Some(*fastest),
            Self::Between(..) => Some(wish),
            Self::Unknown => None,
        }
    }
}

/// What the configuration wants of a camera.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Format.
    pub(crate) format: FormatChoice,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Frames per second.
    pub(crate) fps: u32,
    /// Whether something is drawn into frames, which excludes coded formats.
    pub(crate) drawn: bool,
}

/// The mode that the driver is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// The format as the driver names it.
    pub(crate) fourcc: FourCc,
    /// The format in our terms.
    pub(crate) format: PixelFormat,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Frames per second; `None` if the driver does not list them.
    pub(crate) rate: Option<Rate>,
}

/// Chooses by the order above. The error lists what the camera offers.
pub(crate) fn choose(offers: &[FormatOffer], wish: &Wish) -> Result<Mode, String> {
    let modes = offers.iter().filter_map(|offer| best(offer, wish));
    // `min_by` returns the first of equals, which keeps the driver's order.
    modes.min_by(|a, b| cost(a, wish).partial_cmp(&cost(b, wish)).unwrap_or(std::cmp::Ordering::Equal)).ok_or_else(
        || {
            let offered: Vec<String> = offers.iter().map(|offer| offer.fourcc.to_string()).collect();
            let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            match wish.format {
                FormatChoice::Only(format) => format!("set {}: device offers {offered}", name(format)),
                FormatChoice::Auto => {
                    format!("device offers {offered}; YUYV, UYVY, NV12, YU12, MJPG and H264 can be used")
                }
            }
        },
    )
}

/// The name of a format in the configuration.
pub fn name(format: PixelFormat) -> &'static str {
    match format {
        PixelFormat::Yuyv => "yuyv",
        PixelFormat::Uyvy => "uyvy",
        PixelFormat::Nv12 => "nv12",
        PixelFormat::Yu12 => "yu12",
        PixelFormat::Mjpeg => "mjpeg",
        PixelFormat::H264 => "h264",
    }
}

/// The best mode of one format.
fn best(offer: &FormatOffer, wish: &Wish) -> Option<Mode> {
    let format = offer.fourcc.format()?;
    let wanted = match wish.format {
        FormatChoice::Auto => !(wish.drawn && format == PixelFormat::H264),
        FormatChoice::Only(only) => only == format,
    };
    if !wanted {
        return None;
    }
    let fps = Rate::whole(wish.fps);
    let mode = |size, rate| Mode { fourcc: offer.fourcc, format, size, rate };
    match &offer.sizes {
        Sizes::Unknown => Some(mode(wish.size, None)),
        Sizes::Ranges { width, height, rates } => {
            Some(mode((width.nearest(wish.size.0)?, height.nearest(wish.size.1)?), rates.nearest(fps)))
        }
        Sizes::Listed(sizes) => {
            let even = sizes.iter().filter(|((width, height), _)| width % 2 == 0 && height % 2 == 0);
            let modes = even.map(|(size, rates)| mode(*size, rates.nearest(fps)));
            modes.min_by(|a, b| cost(a, wish).partial_cmp(&cost(b, wish)).unwrap_or(std::cmp::Ordering::Equal))
        }
    }
}

/// The rank of a mode by the order above; less is better.
fn cost(mode: &Mode, wish: &Wish) -> (bool, bool, bool, u64, f64, u8) {
    let fps = f64::from(wish.fps);
    // An unknown rate is assumed to be the wanted one.
    let rate = mode.rate.map_or(fps, Rate::fps);
    let larger = mode.size.0 > wish.size.0 || mode.size.1 > wish.size.1;
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let missed = !(mode.size == wish.size && rate >= fps * 0.95);
    let slow = rate < MOVING.min(fps) * 0.95;
    let format = match mode.format {
        PixelFormat::H264 => 0,
        PixelFormat::Nv12 | PixelFormat::Yu12 => 1,
        PixelFormat::Yuyv | PixelFormat::Uyvy => 2,
        PixelFormat::Mjpeg => 3,
    };
    (missed, slow, larger, area(mode.size).abs_diff(area(wish.size)), distance(rate, fps), format)
}

/// How far a rate is below the wanted one. Rates that are too fast all count as 0, since they cost only dropped frames.
fn distance(rate: f64, wish: f64) -> f64 {
    if rate >= wish * 0.95 { 0.0 } else { wish - rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &[u8; 4], sizes: &[((u32, u32), &[u32])]) -> FormatOffer {
        let rates = |rates: &[u32]| Rates::Listed(rates.iter().map(|fps| Rate::whole(*fps)).collect());
        let sizes = sizes.iter().map(|(size, fps)| (*size, rates(fps))).collect();
        FormatOffer { fourcc: FourCc::new(name), sizes: Sizes::Listed(sizes) }
    }

    fn wish(size: (u32, u32), fps: u32) -> Wish {
        Wish { format: FormatChoice::Auto, size, fps, drawn: false }
    }

    fn chosen(offers: &[FormatOffer], wish: &Wish) -> String {
        match choose(offers, wish) {
            Ok(mode) => {
                let rate = mode.rate.map_or("?".to_owned(), |rate| rate.to_string());
                format!("{} {}x{} {rate}", mode.fourcc, mode.size.0, mode.size.1)
            }
            Err(e) => e,
        }
    }

    const HD: (u32, u32) = (1280, 720);
    const VGA: (u32, u32) = (640, 480);
    const FULL: (u32, u32) = (1920, 1080);

    /// A usual webcam: raw formats are slow at large sizes.
    fn webcam() -> Vec<FormatOffer> {
        vec![
            listed(b"YUYV", &[(VGA, &[30, 15]), (HD, &[10, 5]), (FULL, &[5])]),
            listed(b"MJPG", &[(VGA, &[30]), (HD, &[30, 60]), (FULL, &[30])]),
        ]
    }

    #[test]
    fn the_table_of_choices() {
        let with_h264 = || [webcam(), vec![listed(b"H264", &[(VGA, &[30]), (HD, &[30])])]].concat();
        let slow_only = || vec![listed(b"YUYV", &[(VGA, &[30]), (HD, &[10]), (FULL, &[5])])];
        let board =
            || vec![listed(b"YUYV", &[(HD, &[30])]), listed(b"NM12", &[(HD, &[30])]), listed(b"YU12", &[(HD, &[30])])];
        for (what, offers, wish, expected) in [
            ("raw where it reaches the rate", webcam(), wish(VGA, 30), "YUYV 640x480 30"),
            ("MJPEG where raw is too slow", webcam(), wish(HD, 30), "MJPG 1280x720 30"),
            ("raw where slow is enough", webcam(), wish(HD, 10), "YUYV 1280x720 10"),
            ("the slowest rate that is enough", webcam(), wish(HD, 20), "MJPG 1280x720 30"),
            ("a coded picture first", with_h264(), wish(HD, 30), "H264 1280x720 30"),
            ("not in the wished size", with_h264(), wish(FULL, 30), "MJPG 1920x1080 30"),
            ("nothing coded to draw into", with_h264(), Wish { drawn: true, ..wish(HD, 30) }, "MJPG 1280x720 30"),
            ("planes before packed pixels", board(), wish(HD, 30), "NM12 1280x720 30"),
            ("nearest size below", webcam(), wish((1600, 900), 30), "MJPG 1280x720 30"),
            ("the smallest of larger ones", webcam(), wish((320, 240), 30), "YUYV 640x480 30"),
            ("neither side larger", webcam(), wish((720, 1280), 30), "YUYV 640x480 30"),
            ("size before rate while it moves", slow_only(), wish(HD, 30), "YUYV 1280x720 10"),
            ("but a slide show is no picture", slow_only(), wish(FULL, 30), "YUYV 1280x720 10"),
            ("unless that was the wish", slow_only(), wish(FULL, 5), "YUYV 1920x1080 5"),
            ("faster than anything", webcam(), wish(VGA, 60), "YUYV 640x480 30"),
            (
                "odd sizes are left",
                vec![listed(b"YUYV", &[((641, 481), &[30]), (VGA, &[30])])],
                wish(HD, 30),
                "YUYV 640x480 30",
            ),
            (
                "unknown formats are left",
                vec![listed(b"GREY", &[(HD, &[30])])],
                wish(HD, 30),
                "device offers GREY; YUYV, UYVY, NV12, YU12, MJPG and H264 can be used",
            ),
            (
                "nothing",
                vec![],
                wish(HD, 30),
                "device offers nothing; YUYV, UYVY, NV12, YU12, MJPG and H264 can be used",
            ),
        ] {
            assert_eq!(chosen(&offers, &wish), expected, "{what}");
        }
    }

    #[test]
    fn only_the_configured_format() {
        let only = |format| Wish { format: FormatChoice::Only(format), ..wish(HD, 30) };
        assert_eq!(chosen(&webcam(), &only(PixelFormat::Yuyv)), "YUYV 1280x720 10");
        assert_eq!(chosen(&webcam(), &only(PixelFormat::H264)), "set h264: device offers YUYV, MJPG");
    }

    #[test]
    fn drivers_with_ranges_and_without_an_answer() {
        let range = |min, max, step| Range { min, max, step };
        let ranges = |width, height, rates| {
            vec![FormatOffer { fourcc: FourCc::NV12, sizes: Sizes::Ranges { width, height, rates } }]
        };
        let between = || Rates::Between(Rate::whole(1), Rate::whole(60));
        for (offers, wish, expected) in [
            (ranges(range(32, 4096, 2), range(32, 4096, 2), between()), wish(HD, 25), "NV12 1280x720 25"),
            (ranges(range(32, 4096, 16), range(32, 4096, 16), between()), wish((1000, 500), 90), "NV12 992x496 60"),
            (ranges(range(1920, 1920, 1), range(1080, 1080, 1), Rates::Unknown), wish(HD, 30), "NV12 1920x1080 ?"),
            (ranges(range(1, 1921, 1), range(1, 1081, 1), Rates::Unknown), wish((4000, 4000), 30), "NV12 1920x1080 ?"),
            (
                ranges(range(0, 0, 0), range(0, 0, 0), Rates::Unknown),
                wish(HD, 30),
                "device offers NV12; YUYV, UYVY, NV12, YU12, MJPG and H264 can be used",
            ),
            (vec![FormatOffer { fourcc: FourCc::NV12, sizes: Sizes::Unknown }], wish(HD, 30), "NV12 1280x720 ?"),
        ] {
            assert_eq!(chosen(&offers, &wish), expected);
        }
        let rates = Rates::Between(Rate::whole(15), Rate::whole(30));
        assert_eq!(rates.nearest(Rate::whole(5)), Some(Rate::whole(15)));
    }
}
