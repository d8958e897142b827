//! Which media a session has. This is decided before anything is opened. Pure.

use crate::{
    media_source::MediaSources,
    protocol::{
        ErrorName, Refusal, Request, Right, Rights, Wanted,
        candidate::CandidateBudget,
        sdp::{Description, MediaKind, MediaSection, Use, bad},
    },
    viewer::{
        SessionTerms,
        session::negotiation::{Negotiation, RemoteDescription},
    },
};

/// The request that opened a session, read.
pub(crate) struct Opening {
    /// The media that the connection will carry.
    pub(crate) media: Wanted,
    pub(crate) negotiation: Negotiation,
    /// The viewer's offer as text and read; `None` if the device makes the offer.
    pub(crate) offer: Option<(String, RemoteDescription)>,
}

/// What the device has: a camera, a microphone, a speaker, commands.
pub(crate) fn offers(sources: &MediaSources) -> Wanted {
    let (video, audio) = (sources.camera().is_some(), sources.microphone().is_some());
    Wanted { video, audio, talk: sources.speaker().is_some(), commands: true }
}

impl Opening {
    /// Whether a session can begin with this request. An error is the refusal.
    pub(crate) fn check(
        request: &Request,
        sources: &MediaSources,
        rights: Rights,
        terms: &SessionTerms,
    ) -> Result<(), Refusal> {
        let mut budget = CandidateBudget::new(terms.limits.candidates, terms.loopback);
        Self::read(request.clone(), offers(sources), rights, &mut budget).map(drop)
    }

    /// Reads the request. `has`: what the device has: a camera, a microphone, a speaker, commands.
    pub(crate) fn read(
        request: Request,
        has: Wanted,
        rights: Rights,
        budget: &mut CandidateBudget,
    ) -> Result<Self, Refusal> {
        match request {
            Request::Offer { sdp, .. } => {
                let offer = Description::parse(&sdp)?;
                let (media, refused) = offered(&offer, has)?;
                let media = permitted(media, rights)?;
                let mut negotiation = Negotiation::new(media);
                negotiation.refuse(refused);
                let incoming = negotiation.take_offer(&offer, budget)?;
                Ok(Self { media, negotiation, offer: Some((sdp, incoming)) })
            }
            Request::Request { media } => {
                let media = permitted(served(media, has)?, rights)?;
                Ok(Self { media, negotiation: Negotiation::new(media), offer: None })
            }
            _ => Err(Refusal::new(ErrorName::BadRequest, "a session begins with offer or request")),
        }
    }
}

/// Which media of an offer this device sends or receives, and which have no codec in common. `has`: what it has.
fn offered(offer: &Description, has: Wanted) -> Result<(Wanted, Wanted), Refusal> {
    let Wanted { video, audio, .. } = has;
    let kinds = [MediaKind::Video, MediaKind::Audio].map(|kind| offer.best(kind).map(|(_, usage)| usage));
    let common = kinds.each_ref().map(|usage| matches!(usage, Some(Use::Common(_))));
    let foreign = kinds.each_ref().map(|usage| *usage == Some(Use::Foreign));
    let talk = offer.lines.iter().any(|line| line.talk().is_some());
    let commands = offer.lines.iter().any(MediaSection::has_channels);
    let refused = Wanted { video: foreign[0] && video, audio: foreign[1] && audio, ..Wanted::default() };
    let served = served(Wanted { video: common[0], audio: common[1], talk, commands }, has);
    if served.is_ok() {
        return served.map(|served| (served, refused));
    }
    if refused.video || refused.audio {
        let message = "no codec in common: this device sends H.264 (packetization-mode 1) and Opus";
        return Err(Refusal::new(ErrorName::NoCommonCodec, message));
    }
    for (kind, usage) in [MediaKind::Video, MediaKind::Audio].iter().zip(&kinds) {
        if let Some(Use::Unfit(why)) = usage {
            return Err(bad(format!("the m-line of the {} cannot be served: {why}", kind.name())));
        }
    }
    served.map(|served| (served, refused))
}

/// Which of the wanted media this device has.
fn served(wanted: Wanted, has: Wanted) -> Result<Wanted, Refusal> {
    let Wanted { video, audio, talk, commands } = has;
    let media = Wanted {
        video: wanted.video && video,
        audio: wanted.audio && audio,
        talk: wanted.talk && talk,
        commands: wanted.commands && commands,
    };
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

/// Which of these media the viewer has the right to.
fn permitted(served: Wanted, rights: Rights) -> Result<Wanted, Refusal> {
    let media = Wanted {
        video: served.video && rights.has(Right::View),
        audio: served.audio && rights.has(Right::Listen),
        talk: served.talk && rights.has(Right::Talk),
        // Each command has its own right.
        commands: served.commands,
    };
    if media.video || media.audio {
        return Ok(media);
    }
    Err(Refusal::new(ErrorName::Forbidden, "this viewer may have nothing of what it asks for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn wanted(video: bool, audio: bool) -> Wanted {
        Wanted { video, audio, talk: false, commands: false }
    }

    fn description(lines: &[&str]) -> Description {
        let lines = lines.iter().map(|line| format!("{line}\r\na=rtcp-mux\r\n")).collect::<String>();
        Description::parse(&format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{lines}")).unwrap()
    }

    const OPUS: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2";
    const H264: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000";
    const VP8: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000";
    const PLAIN: &str = "m=video 9 RTP/AVP 96\r\na=rtpmap:96 H264/90000";
    const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel";

    #[test]
    fn an_offer_is_about_what_has_a_codec_in_common() {
        let all = |lines: &[&str]| offered(&description(lines), wanted(true, true));
        assert_eq!(all(&[OPUS, H264]), Ok((wanted(true, true), wanted(false, false))));
        assert_eq!(all(&[OPUS, VP8]), Ok((wanted(false, true), wanted(true, false))), "half is better than none");
        assert_eq!(all(&[VP8, H264]), Ok((wanted(true, false), wanted(false, false))), "the first that can be used");
        let name = |lines: &[&str], video, audio| offered(&description(lines), wanted(video, audio)).unwrap_err().name;
        assert_eq!(name(&[VP8], true, true), ErrorName::NoCommonCodec);
        assert_eq!(name(&[VP8, OPUS], true, false), ErrorName::NoCommonCodec, "its only medium has no codec in common");
        assert_eq!(name(&[VP8], false, true), ErrorName::NoMedia);
        assert_eq!(name(&[PLAIN], true, true), ErrorName::BadSdp);
        assert_eq!(name(&[DATA], true, true), ErrorName::NoMedia);
    }

    #[test]
    fn what_the_device_has_not_is_left_out_and_nothing_is_no_media() {
        assert_eq!(served(wanted(true, true), wanted(true, true)), Ok(wanted(true, true)));
        assert_eq!(served(wanted(true, true), wanted(false, true)), Ok(wanted(false, true)));
        for (asked, video, audio) in [
            (wanted(true, true), false, false),
            (wanted(true, false), false, true),
            (wanted(false, true), true, false),
            (wanted(false, false), true, true),
        ] {
            let refusal = served(asked, wanted(video, audio)).unwrap_err();
            assert_eq!((refusal.code, refusal.name), (480, ErrorName::NoMedia));
        }
    }

    #[test]
    fn a_viewer_gets_what_it_has_the_right_to_and_nothing_is_forbidden() {
        use Right::{Listen, Snapshot, View};
        let both = wanted(true, true);
        for (served, rights, expected) in [
            (both, Rights::of([View, Listen]), Some(both)),
            (both, Rights::of(Right::ALL), Some(both)),
            (both, Rights::of([View]), Some(wanted(true, false))),
            (both, Rights::of([Listen]), Some(wanted(false, true))),
            (wanted(true, false), Rights::of([View, Listen]), Some(wanted(true, false))),
            (wanted(true, false), Rights::of([Listen]), None),
            (both, Rights::of([Snapshot]), None),
            (both, Rights::default(), None),
        ] {
            assert_eq!(permitted(served, rights).ok(), expected, "{served:?} {rights:?}");
        }
        assert_eq!(permitted(both, Rights::default()).unwrap_err().code, 403);
    }

    #[test]
    fn talk_needs_a_speaker_the_right_and_something_to_get() {
        use Right::{Listen, Talk, View};
        const TWO_WAY: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=sendrecv";
        const ONE_WAY: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=recvonly";
        const ALONE: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=sendonly";
        let (all, may) = (Wanted { talk: true, ..wanted(true, true) }, Rights::of([View, Listen, Talk]));
        let talks = |lines: &[&str], has: Wanted, rights: Rights| {
            let (served, _) = offered(&description(lines), has).ok()?;
            permitted(served, rights).ok().map(|media| media.talk)
        };
        for (lines, has, rights, expected) in [
            (&[TWO_WAY][..], all, may, Some(true)),
            (&[H264, ALONE], all, may, Some(true)),
            (&[ONE_WAY, ALONE], all, may, Some(true)),
            (&[ONE_WAY], all, may, Some(false)),
            (&[TWO_WAY], wanted(true, true), may, Some(false)),
            (&[TWO_WAY], all, Rights::of([View, Listen]), Some(false)),
            (&[ALONE], all, may, None),
            (&[TWO_WAY], all, Rights::of([Talk]), None),
        ] {
            assert_eq!(talks(lines, has, rights), expected, "{lines:?} {has:?} {rights:?}");
        }
        let asked = served(all, all).unwrap();
        assert!(permitted(asked, may).unwrap().talk && asked.needs().has(Talk));
    }
}
