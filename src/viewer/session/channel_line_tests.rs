use super::*;
use crate::{
    protocol::{
        ErrorName, Wanted,
        candidate::CandidateBudget,
        sdp::{MediaKind, channel::CHANNEL_MESSAGE_MAX},
    },
    viewer::{fuzz, session::negotiation::Negotiation},
};

const DATA: &str = "application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\na=max-message-size:262144";
const REFUSED: &str = "application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000";
const OTHER: &str = "application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5001";
const VIDEO: &str = "video 9 UDP/TLS/RTP/SAVPF 102\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\n\
    a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\na=recvonly";
const AUDIO: &str = "audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=recvonly";

/// A description of these m-lines, with the mids 0, 1, 2.
fn text_of(lines: &[&str], group: &str, setup: &str) -> String {
    let print = (0..32).map(|n| format!("{n:02X}")).collect::<Vec<_>>().join(":");
    let mut text = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {group}\r\n");
    for (n, line) in lines.iter().enumerate() {
        text += &format!(
            "m={line}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
             a=fingerprint:sha-256 {print}\r\na=setup:{setup}\r\na=mid:{n}\r\n"
        );
    }
    text
}

fn offer_of(lines: &[&str], group: &str) -> Description {
    Description::parse(&text_of(lines, group, "actpass")).unwrap()
}

fn wanted(commands: bool) -> Wanted {
    Wanted { video: true, audio: true, talk: false, commands }
}

fn budget() -> CandidateBudget {
    CandidateBudget::new(24, false)
}

#[test]
fn the_channel_is_on_the_first_line_that_shares_the_transport() {
    for (lines, group, expected) in [
        (&[VIDEO, DATA][..], "0 1", Some(1)),
        (&[VIDEO, AUDIO, DATA], "0 1 2", Some(2)),
        (&[VIDEO, OTHER, DATA], "0 1 2", Some(2)),
        (&[VIDEO, DATA, DATA], "0 1 2", Some(1)),
        (&[VIDEO, DATA], "0", None),
        (&[VIDEO, DATA], "1 0", None),
        (&[VIDEO, REFUSED], "0 1", None),
        (&[VIDEO, OTHER], "0 1", None),
        (&[VIDEO, AUDIO], "0 1", None),
    ] {
        let offer = offer_of(lines, group);
        assert_eq!(offered(&offer, &[0], offer.tagged(&[0]).unwrap()), expected, "{lines:?} {group}");
    }
}

#[test]
fn offers_with_a_channel_are_answered_and_restarted_by_the_real_stack() {
    for (lines, commands, expected) in [
        (&[VIDEO, AUDIO, DATA][..], true, &[true, true, true][..]),
        (&[VIDEO, AUDIO, DATA], false, &[true, true, false]),
        (&[VIDEO, DATA, DATA], true, &[true, true, false]),
        (&[VIDEO, REFUSED], true, &[true, false]),
    ] {
        let group = (0..lines.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let offer = offer_of(lines, &group);
        let mut negotiation = Negotiation::new(wanted(commands));
        let has_channel = lines.contains(&DATA) && commands;
        for _ in 0..2 {
            let incoming = negotiation.take_offer(&offer, &mut budget()).unwrap();
            assert_eq!(incoming.has_channel(), has_channel, "{lines:?}");
            let stack = fuzz::answer(incoming.stack.clone()).unwrap();
            assert_eq!(stack.contains("m=application 9"), has_channel, "{stack}");
            let text = negotiation.own_answer(&stack, incoming, |line| vec![line.to_owned()]).unwrap();
            let answer = Description::parse(&text).unwrap();
            let open: Vec<bool> = answer.lines.iter().map(|line| line.port != 0).collect();
            assert_eq!(open, expected, "{text}");
            for line in answer.lines.iter().filter(|line| line.kind == MediaKind::Data && line.port != 0) {
                let most = u64::try_from(CHANNEL_MESSAGE_MAX).unwrap();
                assert_eq!((line.sctp_port, line.max_message), (Some(5000), Some(most)), "{text}");
                assert!(line.has_channels() && !line.rtcp_mux, "{text}");
            }
        }
        // A restart that refuses the channel changes more than ICE.
        let refused = text_of(lines, &group, "actpass").replace("application 9", "application 0");
        let restart = negotiation.take_offer(&Description::parse(&refused).unwrap(), &mut budget());
        assert_eq!(restart.err().map(|refusal| refusal.name), has_channel.then_some(ErrorName::Conflict), "{lines:?}");
    }
}

/// What the stack offers, with or without data channels.
fn stack_offer(data: bool) -> String {
    let lines: &[&str] = if data { &[VIDEO, DATA] } else { &[VIDEO] };
    text_of(lines, "0 1", "actpass").replace("a=recvonly", "a=sendonly")
}

#[test]
fn an_offer_of_the_device_has_the_channel_that_the_stack_has() {
    for (data, answer, expected) in [
        (true, &[VIDEO, DATA][..], Some(true)),
        (true, &[VIDEO, REFUSED], Some(false)),
        (true, &[VIDEO, OTHER], Some(false)),
        (false, &[VIDEO], Some(false)),
        (false, &[VIDEO, DATA], None),
    ] {
        let mut negotiation = Negotiation::new(wanted(data));
        let text = negotiation.own_offer(&stack_offer(data), |line| vec![line.to_owned()]).unwrap();
        let own = Description::parse(&text).unwrap();
        assert_eq!(own.lines.iter().any(|line| line.has_channels()), data, "{text}");
        let answer = Description::parse(&text_of(answer, "0 1", "active")).unwrap();
        let incoming = negotiation.take_answer(&answer, &mut budget());
        let has_channel = incoming.as_ref().ok().map(|incoming| incoming.has_channel());
        assert_eq!(has_channel, expected, "{text}");
        if let Ok(incoming) = incoming {
            assert_eq!(incoming.stack.contains("m=application"), expected == Some(true), "{}", incoming.stack);
        }
    }
}
