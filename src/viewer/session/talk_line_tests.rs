use super::*;

const OPUS: &str = "111\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n\
    a=rtcp-fb:111 transport-cc\r\na=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A description of m-lines of sound in these directions, with the mids 0, 1, 2. The group has the first `bundled`.
fn description(directions: &[&str], bundled: usize) -> Description {
    let mids: Vec<String> = (0..bundled).map(|n| n.to_string()).collect();
    let mut text = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for (n, direction) in directions.iter().enumerate() {
        text += &format!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\na=mid:{n}\r\na={direction}\r\n");
    }
    Description::parse(&text).unwrap()
}

fn layout(purposes: &[(Purpose, bool)]) -> SessionLayout {
    let slot = |(n, (purpose, receives)): (usize, &(Purpose, bool))| Slot {
        kind: MediaKind::Audio,
        media: "audio".into(),
        protocol: "UDP/TLS/RTP/SAVPF".into(),
        formats: vec!["111".into()],
        first: Vec::new(),
        mid: Some(n.to_string()),
        rtcp_rsize: false,
        purpose: purpose.clone(),
        receives: *receives,
    };
    SessionLayout { slots: purposes.iter().enumerate().map(slot).collect(), tagged: 0, bundled: true }
}

#[test]
fn the_viewer_talks_on_the_line_of_its_sound_or_on_another_of_the_same_transport() {
    type Row = (&'static [&'static str], usize, Option<usize>, Option<usize>);
    let table: [Row; 8] = [
        (&["sendrecv"], 1, Some(0), Some(0)),
        (&["recvonly"], 1, Some(0), None),
        (&["recvonly", "sendonly"], 2, Some(0), Some(1)),
        (&["sendonly", "sendrecv"], 2, Some(1), Some(1)),
        (&["recvonly", "sendonly"], 1, Some(0), None),
        (&["recvonly", "inactive", "sendonly"], 3, Some(0), Some(2)),
        (&["sendrecv", "sendrecv"], 2, Some(1), Some(1)),
        (&["sendonly"], 1, None, Some(0)),
    ];
    for (directions, bundled, sound, expected) in table {
        let used: Vec<usize> = sound.into_iter().collect();
        let found = talk_line(&description(directions, bundled), sound, &used);
        let expected = expected.map(|line| TalkLine { line, payload_type: 111, twcc: 5 });
        assert_eq!(found, expected, "{directions:?}");
    }
}

#[test]
fn an_answer_describes_what_is_received() {
    let offer = description(&["recvonly", "sendonly"], 2);
    let mut layout = layout(&[(Purpose::Send(None), false), (Purpose::Receive, false)]);
    apply(&mut layout, &offer, talk_line(&offer, Some(0), &[0]));
    assert_eq!(layout.slots.iter().map(|slot| slot.receives).collect::<Vec<_>>(), [false, true]);
    let text: Vec<String> = layout.slots[1].first.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    assert_eq!(text[..3], ["rtpmap:111 opus/48000/2", "fmtp:111 minptime=10", "rtcp-fb:111 transport-cc"]);
    assert!(text[3].starts_with("extmap:5 http"), "{text:?}");
}

#[test]
fn what_an_answer_to_our_offer_means() {
    // The direction in the answer, whether we send on the line; then: whether it talks, purpose, whether we receive.
    let send = || Purpose::Send(None);
    for (direction, sends, talks, purpose) in [
        ("sendrecv", true, true, send()),
        ("recvonly", true, false, send()),
        ("sendonly", false, true, Purpose::Receive),
        ("inactive", false, false, Purpose::Refuse),
    ] {
        let mut layout = layout(&[(send(), true)]);
        let used: &[usize] = if sends { &[0] } else { &[] };
        let talk = answered(&mut layout, &description(&[direction], 1), used);
        let slot = &layout.slots[0];
        assert_eq!((talk.is_some(), &slot.purpose, slot.receives), (talks, &purpose, talks), "{direction}");
    }
    let mut without = layout(&[(send(), false)]);
    assert_eq!(answered(&mut without, &description(&["sendrecv"], 1), &[0]), None, "it was not offered");
}

#[test]
fn an_offer_has_a_line_for_talk() {
    let mut with_sound = layout(&[(Purpose::Send(None), false)]);
    offer(&mut with_sound);
    assert!(with_sound.slots.len() == 1 && with_sound.slots[0].receives);
    let mut picture = layout(&[(Purpose::Send(None), false)]);
    picture.slots[0].kind = MediaKind::Video;
    offer(&mut picture);
    assert_eq!((picture.slots.len(), &picture.slots[1].purpose), (2, &Purpose::Receive));
}

/// A whole offer: H.264 to receive, and these m-lines.
fn offer_of(lines: &[&str]) -> String {
    let print = (0..32).map(|n| format!("{n:02X}")).collect::<Vec<_>>().join(":");
    let mids: Vec<String> = (0..lines.len()).map(|n| n.to_string()).collect();
    let mut text = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for (n, line) in lines.iter().enumerate() {
        let (kind, direction) = line.split_once(' ').unwrap();
        let codec = match kind {
            "video" => {
                "102\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\n\
                 a=fmtp:102 packetization-mode=1;profile-level-id=42e01f"
            }
            _ => OPUS,
        };
        text += &format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {codec}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {print}\r\na=setup:actpass\r\n\
             a=mid:{n}\r\na={direction}\r\n"
        );
    }
    text
}

#[test]
fn offers_with_talk_are_answered_and_restarted_by_the_real_stack() {
    use crate::{
        protocol::{Wanted, candidate::CandidateBudget, sdp::Direction::*},
        viewer::{fuzz, session::negotiation::Negotiation},
    };
    let table = [
        (&["video recvonly", "audio sendrecv"][..], true, &[SendOnly, SendRecv][..]),
        (&["video recvonly", "audio recvonly", "audio sendonly"], true, &[SendOnly, SendOnly, RecvOnly]),
        (&["audio sendonly", "video recvonly"], true, &[RecvOnly, SendOnly]),
        (&["audio sendrecv", "video recvonly"], true, &[SendRecv, SendOnly]),
        (&["audio sendrecv", "video recvonly"], false, &[SendOnly, SendOnly]),
        (&["audio sendonly", "video recvonly"], false, &[Inactive, SendOnly]),
    ];
    for (lines, talk, expected) in table {
        let offer = Description::parse(&offer_of(lines)).unwrap();
        let mut negotiation = Negotiation::new(Wanted { video: true, audio: true, talk, commands: false });
        for _ in 0..2 {
            let incoming = negotiation.take_offer(&offer, &mut CandidateBudget::new(24, false)).unwrap();
            let stack = fuzz::answer(incoming.stack.clone()).unwrap();
            let text = negotiation.own_answer(&stack, incoming, |line| vec![line.to_owned()]).unwrap();
            let answer = Description::parse(&text).unwrap();
            let directions: Vec<_> = answer.lines.iter().map(|line| line.direction).collect();
            assert_eq!(directions, expected, "{lines:?}: {text}");
            assert!(answer.is_bundled(&(0..lines.len()).collect::<Vec<_>>()), "{text}");
            let own = negotiation.talk();
            assert_eq!(own.map(|own| (own.payload_type, own.twcc)), talk.then_some((111, 5)), "{lines:?}");
        }
        // A restart that no longer sends changes more than ICE.
        let silent = offer_of(lines).replace("sendrecv", "recvonly").replace("sendonly", "inactive");
        let restart =
            negotiation.take_offer(&Description::parse(&silent).unwrap(), &mut CandidateBudget::new(24, false));
        assert_eq!(restart.is_err(), talk, "{lines:?}");
    }
}
