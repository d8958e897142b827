//! Inspects an H.264 stream that is sent unchanged, and reports what viewers cannot decode. Pure.

use std::time::Duration;

use crate::{
    clock::Mono,
    video::h264::{IDR, ParameterSets, SEI, SPS, is_slice, kind, slice_header, sps::Sps},
};

/// Within this time after its first frame, a stream should have had a usable keyframe.
const BEGIN: Duration = Duration::from_secs(5);
/// How long frames out of order are remembered.
const DISORDER: Duration = Duration::from_secs(5);
/// The SEI payload type "recovery point": decoding may begin there without an IDR frame.
const RECOVERY_POINT: u8 = 6;

/// What was seen in a stream since its source was opened.
#[derive(Debug, Default)]
pub(crate) struct StreamInspector {
    /// When the first frame came.
    first: Option<Mono>,
    begun: bool,
    pictures: u64,
    idr: u64,
    recovery_points: u64,
    /// `pic_order_cnt_lsb` of the frame before.
    order: Option<u32>,
    disorder: Option<Mono>,
    /// Whether each fault was logged, so that it is logged once.
    disorder_logged: bool,
    samples_logged: bool,
    samples: Option<String>,
    /// Why a parameter set was refused.
    refused: Option<String>,
    /// A sentence that was not logged yet.
    news: Option<String>,
    /// The sentence that was logged last, until it is reported as a fault.
    logged: Option<String>,
}

impl StreamInspector {
    /// Inspects an access unit. `key`: whether a decoder can start with it.
    pub(crate) fn unit(&mut self, nals: &[&[u8]], sets: &ParameterSets, key: bool, now: Mono) {
        for nal in nals.iter().filter(|nal| kind(nal) == SEI) {
            self.recovery_points += u64::from(has_recovery_point(nal));
        }
        if nals.iter().any(|nal| kind(nal) == SPS) {
            self.parameters(sets);
        }
        let Some(slice) = nals.iter().find(|nal| is_slice(nal)) else { return };
        self.first.get_or_insert(now);
        self.pictures += 1;
        self.idr += u64::from(kind(slice) == IDR);
        self.begun |= key;
        self.follow_order(nals, slice, sets, now);
    }

    /// Reads the sequence parameter sets.
    fn parameters(&mut self, sets: &ParameterSets) {
        if let Some(reorder) = sets.every_sps().filter_map(|sps| sps.reorder).max().filter(|n| *n > 0) {
            self.report_disorder(&format!("its parameter set has max_num_reorder_frames {reorder}"));
        }
        self.refused = sets.refused().map(str::to_owned);
        self.samples = sets.every_sps().find_map(samples);
        if let Some(text) = self.samples.as_ref().filter(|_| !self.samples_logged) {
            self.samples_logged = true;
            self.news = Some(text.clone());
        }
    }

    fn follow_order(&mut self, nals: &[&[u8]], slice: &[u8], sets: &ParameterSets, now: Mono) {
        let Some(head) = slice_header::parse(slice) else { return };
        let Some(sps) = sets.sps(head.set) else { return };
        let before = self.order.take();
        self.order = slice_header::order(slice, &sps.head);
        let back = match (before, self.order) {
            _ if kind(slice) == IDR => false,
            // The number wraps: a step of less than half its range goes forward.
            (Some(before), Some(now)) => {
                let mask = (1 << sps.head.order.1) - 1;
                (now.wrapping_sub(before) & mask) > mask / 2
            }
            // Without these numbers, B slices are the only sign. With type 2, output order is decoding order.
            _ => head.is_b && sps.head.order.0 == 1,
        };
        if back {
            self.disorder = Some(now);
        }
        if back || nals.iter().any(|nal| is_slice(nal) && slice_header::parse(nal).is_some_and(|slice| slice.is_b)) {
            self.report_disorder("it contains B-frames");
        }
    }

    fn report_disorder(&mut self, sign: &str) {
        if !std::mem::replace(&mut self.disorder_logged, true) {
            self.news = Some(format!("{}; {sign}", disorder()));
        }
    }

    /// A fault that was not logged yet; returned once.
    pub(crate) fn news(&mut self) -> Option<String> {
        let news = self.news.take()?;
        self.logged = Some(news.clone());
        Some(news)
    }

    /// Whether this fault was just logged by `news`. Returns `true` once.
    pub(crate) fn has_logged(&mut self, trouble: &str) -> bool {
        self.logged.take_if(|news| news.starts_with(trouble)).is_some()
    }

    /// Why viewers see no picture, or a broken one.
    pub(crate) fn trouble(&self, now: Mono) -> Option<String> {
        if let Some(text) = self.refused.as_ref().filter(|_| !self.begun) {
            return Some(text.clone());
        }
        if !self.begun && self.first.is_some_and(|first| now.since(first) >= BEGIN) {
            return Some(self.no_beginning());
        }
        let disorder = self.disorder.filter(|at| now.since(*at) < DISORDER).map(|_| disorder());
        disorder.or_else(|| self.samples.clone())
    }

    /// For how long frames have come without a usable keyframe.
    pub(crate) fn without_beginning(&self, now: Mono) -> Duration {
        self.first.filter(|_| !self.begun).map_or(Duration::ZERO, |first| now.since(first))
    }

    /// Whether frames came in another order than they are shown (B-frames).
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.disorder.is_some()
    }

    /// Whether any frame came.
    pub(crate) fn has_pictures(&self) -> bool {
        self.pictures > 0
    }

    /// Why a decoder cannot start with the frames so far.
    pub(crate) fn no_beginning(&self) -> String {
        let why = match (self.idr, self.recovery_points) {
            (0, 0) => "no keyframe (IDR picture) among them; set a keyframe interval in the encoder".to_owned(),
            (0, _) => "no keyframe (IDR picture) among them, only recovery points of an intra refresh, which browsers \
                       cannot begin with; set the encoder to keyframes"
                .to_owned(),
            (idr, _) => format!(
                "{idr} keyframes among them, and no parameter sets (SPS and PPS) that belong to them; set the encoder \
                 to repeat its headers"
            ),
        };
        format!("a decoder cannot start with any of {} H.264 pictures: {why}", self.pictures)
    }
}

fn disorder() -> String {
    "its H.264 pictures come out of order (B-frames), which browsers cannot show smoothly; switch B-frames off in the \
     encoder (x264: bframes=0)"
        .to_owned()
}

/// Why browsers cannot decode this chroma format or bit depth.
fn samples(sps: &Sps) -> Option<String> {
    let kind = match (sps.head.chroma, sps.head.depth) {
        (0 | 1, 8) => return None,
        (2, 8) => "4:2:2".to_owned(),
        (3, 8) => "4:4:4".to_owned(),
        (_, depth) => format!("{depth} bits a sample"),
    };
    Some(format!("its H.264 has {kind}, which most browsers cannot decode; set the encoder to 4:2:0 (yuv420p)"))
}

/// Whether an SEI message is a recovery point (ITU-T H.264, D.1.8).
fn has_recovery_point(nal: &[u8]) -> bool {
    let mut rest = nal.get(1..).unwrap_or_default();
    // Type and length are sums of bytes. After the last message comes the byte 80.
    while rest.len() > 1 {
        let kind = rest[0];
        let sum = |bytes: &[u8]| {
            let full = bytes.iter().take_while(|&&byte| byte == 0xFF).count();
            Some((full * 255 + usize::from(*bytes.get(full)?), full + 1))
        };
        let Some((_, first)) = sum(rest) else { return false };
        let Some((length, second)) = rest.get(first..).and_then(sum) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        rest = rest.get(first + second + length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::h264::{H264Packetizer, nals, unit_end};

    /// A second of ffmpeg's test picture, encoded by x264 with these options.
    fn stream(options: &[&str]) -> Vec<u8> {
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2", "-c:v", "libx264"]);
        ffmpeg.args(["-preset", "ultrafast", "-pix_fmt", "yuv420p"]).args(options).args(["-f", "h264", "-"]);
        let made = ffmpeg.output().expect("ffmpeg is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    /// Inspects a stream at 25 frames/s. Returns the inspector, the logged texts, and the time.
    fn watched(stream: &[u8]) -> (StreamInspector, Vec<String>, Mono) {
        let (mut packetizer, mut watch, mut news, mut now) =
            (H264Packetizer::default(), StreamInspector::default(), Vec::new(), Mono(1));
        let mut rest = stream;
        while !rest.is_empty() {
            let end = unit_end(rest).unwrap_or(rest.len());
            let units: Vec<&[u8]> = nals(&rest[..end]).collect();
            let key = packetizer.packetize(&units).is_some_and(|cut| cut.key);
            watch.unit(&units, packetizer.sets(), key, now);
            news.extend(watch.news());
            now = now + Duration::from_millis(40);
            rest = &rest[end..];
        }
        (watch, news, now)
    }

    #[test]
    fn pictures_out_of_order_are_told_once_and_while_they_come() {
        for (options, expected) in [
            (&["-x264-params", "bframes=3:b-adapt=0"][..], true),
            (&["-x264-params", "bframes=1:b-pyramid=none:b-adapt=0"], true),
            (&["-x264-params", "bframes=0"], false),
            (&["-x264-params", "bframes=0:keyint=5"], false),
            (&["-x264-params", "bframes=0:slices=3"], false),
            (&["-profile:v", "baseline"], false),
        ] {
            let (mut watch, news, now) = watched(&stream(options));
            assert_eq!(news.len(), usize::from(expected), "{options:?}: {news:?}");
            if let Some(trouble) = watch.trouble(now) {
                let told = [watch.has_logged("another"), watch.has_logged(&trouble), watch.has_logged(&trouble)];
                assert_eq!(told, [false, true, false], "one line is enough, and a later one may come: {trouble}");
            }
            assert_eq!(watch.trouble(now).is_some_and(|text| text.contains("B-frames")), expected, "{options:?}");
            assert_eq!(watch.trouble(now + DISORDER), None, "{options:?}: long ago");
        }
        // If the parameter set has no value, the frames show it.
        let stream = stream(&["-x264-params", "bframes=2:b-adapt=0", "-bsf:v", "filter_units=remove_types=6"]);
        let (_, news, _) = watched(&stream);
        assert!(news[0].contains("max_num_reorder_frames 2"), "{news:?}");
    }

    #[test]
    fn samples_that_browsers_cannot_decode_are_told() {
        let (watch, news, now) = watched(&stream(&["-pix_fmt", "yuv444p"]));
        assert!(news.len() == 1 && news[0].contains("4:4:4"), "{news:?}");
        assert_eq!(watch.trouble(now), Some(news[0].clone()));
    }

    #[test]
    fn a_stream_that_cannot_be_begun_with_says_what_it_lacks() {
        let refresh = &["-x264-params", "intra-refresh=1:keyint=10:bframes=0"][..];
        for (options, filter, part) in [
            (refresh, "filter_units=remove_types=5", "recovery points"),
            (&["-x264-params", "bframes=0"], "filter_units=remove_types=5|6", "no keyframe"),
            (&["-x264-params", "bframes=0:keyint=10"], "filter_units=remove_types=7", "no parameter sets"),
            (&["-x264-params", "bframes=0:keyint=10"], "filter_units=remove_types=7|8", "no parameter sets"),
        ] {
            let (watch, _, now) = watched(&stream(&[options, &["-bsf:v", filter]].concat()));
            assert_eq!(watch.trouble(now), None, "{part}: not yet");
            let text = watch.trouble(Mono(1) + BEGIN).unwrap();
            assert!(text.contains(part), "{part}: {text}");
            assert!(watch.without_beginning(Mono(1) + BEGIN * 2) == BEGIN * 2);
        }
        let (watch, _, now) = watched(&stream(&["-x264-params", "bframes=0"]));
        assert_eq!((watch.trouble(now + BEGIN), watch.without_beginning(now)), (None, Duration::ZERO));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let stream = stream(&["-x264-params", "bframes=2:keyint=10:slices=2"]);
        let begin = &stream[..stream.len().min(3000)];
        for i in 0..begin.len() {
            let mut damaged = begin.to_vec();
            damaged[i] = !damaged[i];
            let _ = watched(&damaged);
        }
        for sei in [&[6][..], &[6, 255], &[6, 255, 255, 255], &[6, 1, 255], &[6, 5, 200, 1], &[6, 6, 1, 0x84, 0x80]] {
            assert_eq!(has_recovery_point(sei), sei.len() == 5, "{sei:?}");
        }
    }
}
