//! Which payload type of an m-line is sent: H.264 for the picture, Opus for the sound.

use super::{Codec, MediaKind, MediaSection};
use crate::level::Level;

/// The RTCP feedback (`a=rtcp-fb`) of a video m-line that this device answers.
pub const FEEDBACK_VIDEO: [&str; 5] = ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"];
/// The same of an audio m-line.
pub const FEEDBACK_AUDIO: [&str; 1] = ["transport-cc"];

/// Profiles (`profile_idc`) whose decoders can decode Constrained Baseline: Baseline, Main, Extended, High and above.
const PROFILES: [u8; 7] = [0x42, 0x4d, 0x58, 0x64, 0x6e, 0x7a, 0xf4];

/// `level_idc` of 3.1.
const BROWSERS: u8 = 31;

/// What is sent on an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecChoice {
    /// Payload type.
    pub payload_type: u8,
    /// Payload type of retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Format parameters for an answer.
    pub fmtp: String,
    /// The highest level of H.264 that may be sent. `None`: any.
    pub level: Option<Level>,
    /// Feedback that both sides support.
    pub feedback: Vec<&'static str>,
}

impl MediaSection {
    /// The codec that media is sent with. `None`: the m-line has no codec of this device.
    pub fn choice(&self) -> Option<CodecChoice> {
        self.choice_among(&self.codecs.iter().collect::<Vec<_>>())
    }

    /// The same for this payload type alone: whether media that uses it can continue.
    pub fn choice_of(&self, payload_type: u8) -> Option<CodecChoice> {
        self.choice_among(&self.codecs.iter().filter(|c| c.payload_type == payload_type).collect::<Vec<_>>())
    }

    /// The codec of sound that the writer may send on it. `None`: it sends none, or none that can be received.
    pub fn talk(&self) -> Option<CodecChoice> {
        let sends = self.kind == MediaKind::Audio && !self.is_refused() && self.direction.sends();
        (sends && self.is_dtls_rtp() && self.rtcp_mux).then(|| self.choice())?
    }

    fn choice_among(&self, among: &[&Codec]) -> Option<CodecChoice> {
        let (codec, fmtp, known): (&Codec, _, &'static [&'static str]) = match self.kind {
            MediaKind::Video => h264(among).map(|(codec, fmtp)| (codec, fmtp, &FEEDBACK_VIDEO[..]))?,
            MediaKind::Audio => opus(among).map(|codec| (codec, spaceless(&codec.fmtp), &FEEDBACK_AUDIO[..]))?,
            MediaKind::Data | MediaKind::Other => return None,
        };
        let payload_type = codec.payload_type;
        let asked = |what: &&&str| {
            let mut lines = self.feedback.iter().filter(|(of, _)| of.is_none_or(|of| of == payload_type));
            lines.any(|(_, is)| is == **what)
        };
        Some(CodecChoice {
            payload_type,
            rtx: self.rtx(payload_type),
            fmtp,
            level: if self.kind == MediaKind::Video { limit(&codec.fmtp) } else { None },
            feedback: known.iter().filter(asked).copied().collect(),
        })
    }

    fn rtx(&self, payload_type: u8) -> Option<u8> {
        let own = payload_type.to_string();
        let is_its = |c: &&Codec| {
            let apt = parameter(&c.fmtp, "apt");
            c.name.eq_ignore_ascii_case("rtx") && c.clock == 90_000 && apt == Some(own.as_str())
        };
        self.codecs.iter().find(is_its).map(|codec| codec.payload_type)
    }
}

fn opus<'a>(among: &[&'a Codec]) -> Option<&'a Codec> {
    among.iter().copied().find(|c| c.name.eq_ignore_ascii_case("opus") && c.clock == 48_000)
}

/// The best H.264 format of the m-line, and its parameters for an answer. Access units are sent in fragments, so
/// `packetization-mode` must be 1. If it is missing, RFC 6184 means 0, but such viewers accept fragments too.
fn h264<'a>(among: &[&'a Codec]) -> Option<(&'a Codec, String)> {
    let of = |codec: &Codec| {
        if !codec.name.eq_ignore_ascii_case("H264") || codec.clock != 90_000 {
            return None;
        }
        let mode = match parameter(&codec.fmtp, "packetization-mode") {
            Some("1") => 0,
            None => 1,
            Some(_) => return None,
        };
        let level = parameter(&codec.fmtp, "profile-level-id").map(str::to_ascii_lowercase);
        Some((mode, level.as_deref().map_or(Some(1), profile)?, level))
    };
    let fit = among.iter().copied().filter_map(|codec| of(codec).map(|fit| (codec, fit)));
    let (codec, (_, _, level)) = fit.min_by_key(|(_, (mode, profile, _))| (*mode, *profile))?;
    let asymmetry = parameter(&codec.fmtp, "level-asymmetry-allowed") == Some("1");
    let mut fmtp = if asymmetry { "level-asymmetry-allowed=1;".to_owned() } else { String::new() };
    fmtp.push_str("packetization-mode=1");
    if let Some(level) = level {
        fmtp.push_str(";profile-level-id=");
        fmtp.push_str(&level);
    }
    Some((codec, fmtp))
}

/// The highest level that a viewer takes, from its own description: with and without `level-asymmetry-allowed`, that is
/// the level it can receive (RFC 6184 section 8.2.2). `max-fs` adds to it.
///
/// A missing level is no limit, and level 3.1 neither. Chromium, Firefox and Safari write 3.1 whatever they can decode,
/// so this limit would keep all pictures above 1280x720 from them.
fn limit(fmtp: &str) -> Option<Level> {
    let id = parameter(fmtp, "profile-level-id").filter(|id| id.is_ascii())?;
    let byte = |at: usize| u8::from_str_radix(id.get(at..at + 2)?, 16).ok();
    let bytes = [byte(0)?, byte(2)?, byte(4)?];
    let larger = parameter(fmtp, "max-fs").and_then(|most| most.parse().ok()).map(Level::of_size);
    let level = Level::of(bytes);
    (bytes[2] != BROWSERS).then(|| larger.map_or(level, |larger| level.max(larger)))
}

/// How well a `profile-level-id` fits. Constrained Baseline is best. `None`: it is malformed, or its profile cannot
/// decode what is sent.
fn profile(id: &str) -> Option<u8> {
    if id.len() != 6 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(id.get(at..at + 2)?, 16).ok();
    let (idc, constraints) = (byte(0)?, byte(2)?);
    match idc {
        0x42 if constraints & 0x40 != 0 => Some(0),
        0x42 => Some(1),
        _ => PROFILES.contains(&idc).then_some(2),
    }
}

/// A format parameter. Names are compared without case (RFC 6838 section 4.3).
fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    let pairs = fmtp.split(';').filter_map(|part| part.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

/// Format parameters without spaces, as the stack reads them.
fn spaceless(fmtp: &str) -> String {
    fmtp.split_ascii_whitespace().collect()
}
