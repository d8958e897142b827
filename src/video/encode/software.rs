//! Software encoder: OpenH264, constrained baseline. Each frame that goes in comes out at once.

use std::path::Path;

use openh264::{
    Timestamp,
    encoder::{
        BitRate, Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Layer, Level, Profile,
        RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
    },
};
use tracing::debug;

use crate::{
    clock::Mono,
    units::Bitrate,
    video::{
        decode::planes::{Colour, Planes},
        encode::{FLOOR, Shape, level, library, options},
        frame_pace::Rate,
        h264::{H264Packetizer, Packetized, nals},
    },
};

/// An encoder for frames of one size and colour space.
pub(crate) struct Software {
    encoder: Encoder,
    packetizer: H264Packetizer,
    size: (usize, usize),
    colour: Colour,
    bitrate: Bitrate,
    ceiling: Bitrate,
    rate: Rate,
    /// `level_idc` in its parameter sets.
    level: u8,
    fps: f64,
    /// When the first frame was encoded; the library counts time from there.
    start: Option<Mono>,
}

impl Software {
    pub(crate) fn new(shape: Shape, library: Option<&Path>) -> Result<Self, String> {
        let Shape { size, colour: meaning, rate, bitrate, ceiling } = shape;
        let ceiling = ceiling.max(FLOOR);
        let bitrate = bitrate.clamp(FLOOR, ceiling);
        let level = level::lowest(size, rate, ceiling);
        let colour = if meaning.bt709 { VuiConfig::bt709() } else { VuiConfig::bt601() };
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .level(named(level))
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(bitrate.as_bps()))
            .max_frame_rate(FrameRate::from_hz(rate.fps() as f32))
            // A dropped frame is worse than a frame with some more bytes.
            .skip_frames(false)
            // `KeyframePolicy` decides on keyframes, never the encoder.
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .scene_change_detect(false)
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .long_term_reference(false)
            .complexity(Complexity::Low)
            // Both cost more than they bring for camera video: without them it is 0.25 dB better.
            .background_detection(false)
            .adaptive_quantization(false)
            .num_threads(1)
            .vui(colour.full_range(meaning.full_range))
            .debug(false);
        let mut encoder = Encoder::with_api_config(library::api(library)?, config)
            .map_err(|e| format!("encoder for {}x{}: {e}", size.0, size.1))?;
        options::hush(&mut encoder);
        let packetizer = H264Packetizer::default();
        let fps = rate.fps();
        Ok(Self { encoder, packetizer, size, colour: meaning, bitrate, ceiling, rate, level, fps, start: None })
    }

    pub(crate) fn fits(&self, size: (usize, usize), colour: Colour) -> bool {
        (size, colour) == (self.size, self.colour)
    }

    /// Sets the highest bitrate. Returns `false` if the stream's level does not allow it.
    pub(crate) fn set_ceiling(&mut self, ceiling: Bitrate) -> bool {
        let ceiling = ceiling.max(FLOOR);
        let fits = level::lowest(self.size, self.rate, ceiling) <= self.level;
        if fits {
            self.ceiling = ceiling;
        }
        fits
    }

    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) {
        let bitrate = bitrate.clamp(FLOOR, self.ceiling);
        // The library accepts options only after the first frame.
        if bitrate == self.bitrate || self.start.is_none() {
            return;
        }
        if options::set_bitrate(&mut self.encoder, self.bitrate, bitrate) {
            self.bitrate = bitrate;
        } else {
            debug!("video: encoder refuses {} bit/s, stays at {}", bitrate.as_bps(), self.bitrate.as_bps());
        }
    }

    pub(crate) fn set_rate(&mut self, fps: f64) {
        // Like the bitrate, only after the first frame.
        if fps != self.fps && self.start.is_some() && options::set_rate(&mut self.encoder, fps as f32) {
            self.fps = fps;
        }
    }

    pub(crate) fn encode(&mut self, planes: &Planes, key: bool, at: Mono) -> Result<Option<Packetized>, String> {
        let start = *self.start.get_or_insert(at);
        if key {
            self.encoder.force_intra_frame();
        }
        let time = Timestamp::from_millis(u64::try_from(at.since(start).as_millis()).unwrap_or(0));
        let coded = self.encoder.encode_at(planes, time).map_err(|e| format!("encode: {e}"))?;
        let layers: Vec<Layer<'_>> = (0..coded.num_layers()).filter_map(|i| coded.layer(i)).collect();
        let units: Vec<&[u8]> = layers
            .iter()
            .flat_map(|layer| (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i)))
            .flat_map(nals)
            .collect();
        Ok(self.packetizer.packetize(&units))
    }
}

/// The library's name of the level.
fn named(idc: u8) -> Level {
    let levels = [
        (31, Level::Level_3_1),
        (32, Level::Level_3_2),
        (40, Level::Level_4_0),
        (41, Level::Level_4_1),
        (42, Level::Level_4_2),
        (50, Level::Level_5_0),
        (51, Level::Level_5_1),
    ];
    levels.into_iter().find(|(known, _)| *known == idc).map_or(Level::Level_5_2, |(_, level)| level)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openh264::{decoder::Decoder, formats::YUVSource};

    use super::*;
    use crate::{
        units::DataSize,
        video::{
            decode::jpeg::Jpeg,
            sources::{clockstrip, pattern::Pattern},
        },
    };

    const SIZE: (u32, u32) = (640, 360);

    /// Noise, which needs many bits, so that the bitrate is used up.
    fn busy(n: u32) -> Planes {
        let mut planes = Planes::new(SIZE, Colour::default()).unwrap();
        let mut seed = 0x1234_5678_u32.wrapping_add(n * 77);
        for plane in planes.split_mut() {
            for (i, byte) in plane.iter_mut().enumerate() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = ((i as u32 * 3 + n * 5) % 160) as u8 + (seed >> 27) as u8;
            }
        }
        planes
    }

    fn software(planes: &Planes, kilobits: u32) -> Software {
        let (rate, bitrate) = (Rate::whole(30), Bitrate::from_kbps(kilobits));
        let shape = Shape { size: planes.size(), colour: planes.colour, rate, bitrate, ceiling: bitrate };
        Software::new(shape, None).unwrap()
    }

    fn time(n: u32) -> Mono {
        Mono(1_000_000_000) + Rate::whole(30).time_of(u64::from(n))
    }

    /// The bytes of the frames, as a receiver reassembles them.
    fn stream(cut: &Packetized) -> Vec<u8> {
        use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};
        let mut receiver = H264Packet::default();
        cut.unit.payloads().flat_map(|p| receiver.depacketize(&p).unwrap().to_vec()).collect()
    }

    #[test]
    fn what_is_coded_is_decoded_with_its_picture_clock() {
        let mut pattern = Pattern::new(SIZE, 30).unwrap();
        let mut software = software(pattern.planes(), 500);
        let mut decoder = Decoder::new().unwrap();
        for n in 0..20_u32 {
            let value = 0x8765_4321_u32.wrapping_add(n * 33);
            let planes = pattern.draw(Duration::from_millis(u64::from(n) * 33), value);
            let cut = software.encode(planes, false, time(n)).unwrap().unwrap();
            assert_eq!(cut.key, n == 0, "picture {n}");
            let decoded = decoder.decode(&stream(&cut)).unwrap().expect("one picture in, one picture out");
            let (stride, _, _) = decoded.strides();
            assert_eq!(clockstrip::read(decoded.y(), stride, 640), Some(value), "picture {n}");
        }
    }

    #[test]
    fn the_test_picture_uses_the_bitrate_it_is_given() {
        for (size, kilobits) in [((1280, 720), 2_000), ((640, 360), 1_000), ((640, 360), 300)] {
            let mut pattern = Pattern::new(size, 30).unwrap();
            let mut software = software(pattern.planes(), kilobits);
            let mut bytes = 0;
            for n in 0..90_u32 {
                let planes = pattern.draw(Duration::from_millis(u64::from(n) * 33), n);
                let cut = software.encode(planes, false, time(n)).unwrap().unwrap();
                // Rate control may settle within the first second.
                if n >= 30 {
                    bytes += cut.unit.payload_len();
                }
            }
            let used = DataSize::from_bytes(bytes) / Duration::from_secs(2) / Bitrate::from_kbps(kilobits);
            assert!((0.8..1.15).contains(&used), "{size:?}: {used:.2} of {kilobits} kbit/s");
        }
    }

    #[test]
    fn key_frames_come_on_demand_only_and_begin_with_their_parameter_sets() {
        let mut software = software(&busy(0), 1_000);
        for n in 0..90 {
            // A scene change causes no keyframe.
            let picture = busy(if n > 45 { n + 4000 } else { n });
            let asked = n % 30 == 7;
            let cut = software.encode(&picture, asked, time(n)).unwrap().expect("no picture is left out");
            assert_eq!(cut.key, asked || n == 0, "picture {n}");
            if cut.key {
                let bytes = stream(&cut);
                let sps = nals(&bytes).next().unwrap();
                // Baseline with constraint_set0 and constraint_set1, which is constrained baseline; level 3.1.
                assert_eq!((sps[0] & 0x1F, sps[1], sps[2] & 0xC0, sps[3]), (7, 66, 0xC0, 31));
                assert_eq!(sps_size(sps), SIZE);
                assert!(Decoder::new().unwrap().decode(&bytes).unwrap().is_some(), "a decoder starts at picture {n}");
            }
        }
    }

    #[test]
    fn a_bound_that_is_raised_is_used_as_far_as_the_level_allows() {
        let mut software = software(&busy(0), 400);
        let mut n = 0;
        let mut rate = |software: &mut Software| {
            let mut bytes = 0;
            for i in 0..75 {
                let cut = software.encode(&busy(n), false, time(n)).unwrap().unwrap();
                n += 1;
                if i >= 15 {
                    bytes += cut.unit.payload_len();
                }
            }
            DataSize::from_bytes(bytes) / Duration::from_secs(2)
        };
        let kbps = Bitrate::from_kbps;
        software.set_bitrate(kbps(3_000));
        assert!(rate(&mut software) < kbps(600), "not above its bound");
        assert!(software.set_ceiling(kbps(3_000)));
        software.set_bitrate(kbps(3_000));
        let raised = rate(&mut software);
        assert!((kbps(1_200)..kbps(3_500)).contains(&raised), "{raised}");
        assert!(!software.set_ceiling(kbps(50_000)), "level 3.1 ends at 14 Mbit/s");
    }

    fn sps_size(sps: &[u8]) -> (u32, u32) {
        crate::video::h264::sps::parse(sps).unwrap().size
    }

    #[test]
    fn the_bitrate_follows_down_and_up_while_running() {
        let mut software = software(&busy(0), 3_000);
        let mut n = 0;
        let kbps = Bitrate::from_kbps;
        for (wish, expected) in [(3_000, kbps(3_000)), (1_000, kbps(1_000)), (2_000, kbps(2_000)), (0, FLOOR)] {
            software.set_bitrate(kbps(wish));
            let mut bytes = 0;
            for i in 0..75 {
                let cut = software.encode(&busy(n), false, time(n)).unwrap().unwrap();
                n += 1;
                // Rate control may settle within the first half second.
                if i >= 15 {
                    bytes += cut.unit.payload_len();
                }
            }
            let rate = DataSize::from_bytes(bytes) / Duration::from_secs(2);
            if expected > FLOOR {
                assert!((rate / expected - 1.0).abs() < 0.15, "{rate} where {expected} were asked for");
            }
            assert_eq!(software.bitrate, expected);
        }
        software.set_bitrate(Bitrate::MAX);
        assert_eq!(software.bitrate, kbps(3_000), "never above the configured");
    }

    /// JPEG frames like a camera's, with motion and noise.
    fn camera(n: u32) -> Vec<u8> {
        let (width, height) = (1280, 720);
        let mut seed = n.wrapping_mul(0x9e37_79b9) | 1;
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                seed ^= seed << 13;
                seed ^= seed >> 17;
                seed ^= seed << 5;
                let shade = ((x + 4 * n as usize) / 5 % 100 + y / 6) as u8 + (seed % 16) as u8;
                pixels.extend([shade, shade / 2 + 40, 200 - shade / 2]);
            }
        }
        let mut compressor = turbojpeg::Compressor::new().unwrap();
        compressor.set_quality(80).unwrap();
        compressor.set_subsamp(turbojpeg::Subsamp::Sub2x1).unwrap();
        let format = turbojpeg::PixelFormat::RGB;
        compressor
            .compress_to_vec(turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format })
            .unwrap()
    }

    #[inline(never)]
    fn counted_decode(decoder: &mut Jpeg, jpeg: &[u8], planes: &mut Option<Planes>) {
        decoder.decode(jpeg, planes).unwrap();
    }

    #[inline(never)]
    fn counted_encode(software: &mut Software, planes: &Planes, n: u32) -> Option<Packetized> {
        software.encode(planes, false, time(n)).unwrap()
    }

    /// Encodes forty frames; board/README.md explains how their instructions are counted.
    #[test]
    fn a_camera_is_taken_in_and_coded_at_the_rate_it_is_given() {
        let mut decoder = Jpeg::new(Some((1280, 720))).unwrap();
        let mut planes = None;
        let (mut coder, mut bytes) = (None, 0);
        let scene: Vec<Vec<u8>> = (0..8).map(camera).collect();
        for n in 0..40 {
            counted_decode(&mut decoder, &scene[n as usize % 8], &mut planes);
            let planes = planes.as_ref().unwrap();
            let coder = coder.get_or_insert_with(|| software(planes, 2_000));
            let cut = counted_encode(coder, planes, n).expect("one picture in, one out");
            assert_eq!(cut.key, n == 0);
            bytes += cut.unit.payload_len();
        }
        let rate = bytes * 8 * 30 / 40;
        assert!((500_000..4_000_000).contains(&rate), "{rate} bit/s");
    }
}
