//! What a session is about, decided before anything is opened for it. Pure.

use crate::protocol::{
    ErrorName, Refusal, Wanted,
    sdp::{Line, line},
};

/// Which media an offer can be answered with: what it speaks of, where a codec is in common.
pub(super) fn offered(sdp: &str) -> Result<Wanted, Refusal> {
    let lines = (line(sdp, "video", "H264"), line(sdp, "audio", "opus"));
    let (video, audio) = (lines.0 == Line::Common, lines.1 == Line::Common);
    if !video && !audio && lines != (Line::Absent, Line::Absent) {
        let message = "no codec in common: this device sends H.264 and Opus";
        return Err(Refusal::new(ErrorName::NoCommonCodec, message));
    }
    Ok(Wanted { video, audio, talk: false })
}

/// What of the wanted media this device has.
pub(super) fn served(wanted: Wanted, video: bool, audio: bool) -> Result<Wanted, Refusal> {
    let media = Wanted { video: wanted.video && video, audio: wanted.audio && audio, talk: false };
    if media.video || media.audio {
        return Ok(media);
    }
    let message = match (video, audio) {
        (false, false) => "this device is configured to send neither picture nor sound",
        (true, false) => "this device sends a picture only",
        (false, true) => "this device sends sound only",
        (true, true) => "neither picture nor sound was asked for",
    };
    Err(Refusal::new(ErrorName::NoMedia, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn wanted(video: bool, audio: bool) -> Wanted {
        Wanted { video, audio, talk: false }
    }

    #[test]
    fn an_offer_is_about_what_has_a_codec_in_common() {
        let audio = "m=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\n";
        let video = "m=video 9 X 96\r\na=rtpmap:96 H264/90000\r\n";
        let foreign = "m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\n";
        assert_eq!(offered(&format!("v=0\r\n{audio}{video}")), Ok(wanted(true, true)));
        assert_eq!(offered(&format!("v=0\r\n{audio}{foreign}")), Ok(wanted(false, true)), "half is better than none");
        let refusal = offered(&format!("v=0\r\n{foreign}")).unwrap_err();
        assert_eq!((refusal.code, refusal.name), (415, ErrorName::NoCommonCodec));
        assert_eq!(offered("v=0\r\nm=application 9 X y\r\n"), Ok(wanted(false, false)));
    }

    #[test]
    fn what_the_device_has_not_is_left_out_and_nothing_is_no_media() {
        assert_eq!(served(wanted(true, true), true, true), Ok(wanted(true, true)));
        assert_eq!(served(wanted(true, true), false, true), Ok(wanted(false, true)));
        for (asked, video, audio) in [
            (wanted(true, true), false, false),
            (wanted(true, false), false, true),
            (wanted(false, true), true, false),
            (wanted(false, false), true, true),
        ] {
            let refusal = served(asked, video, audio).unwrap_err();
            assert_eq!((refusal.code, refusal.name), (480, ErrorName::NoMedia));
        }
    }
}
