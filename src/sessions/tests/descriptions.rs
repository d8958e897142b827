//! Offers and answers of viewers, through the real sessions, peer connections and stack: how they are answered, or
//! which sentence refuses them.

use super::*;
use crate::protocol::sdp::{Description, Direction, DtlsSetup, MediaKind};

const PRINT: &str = "a=fingerprint:sha-256 \
    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
const H264: &str = "a=rtpmap:102 H264/90000\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n\
    a=rtcp-fb:102 nack\na=rtpmap:103 rtx/90000\na=fmtp:103 apt=102";
const OPUS: &str = "a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1";
const VP8: &str = "a=rtpmap:96 VP8/90000";

/// One m-line of a viewer. Its attributes come in the order of the fields.
#[derive(Clone)]
struct M {
    line: &'static str,
    transport: String,
    setup: &'static str,
    more: &'static str,
    codecs: &'static str,
}

const VIDEO: &str = "video 9 UDP/TLS/RTP/SAVPF 102 103";
const AUDIO: &str = "audio 9 UDP/TLS/RTP/SAVPF 111";
const DATA: &str = "application 9 UDP/DTLS/SCTP webrtc-datachannel";

fn m(line: &'static str, more: &'static str) -> M {
    let codecs = match line.split_once(' ').unwrap().0 {
        "video" if line.ends_with(" 96") => VP8,
        "video" => H264,
        "audio" => OPUS,
        _ => "a=sctp-port:5000",
    };
    let transport = format!("a=ice-ufrag:theirs\na=ice-pwd:thePasswordOfTheViewer1234567890\n{PRINT}");
    M { line, transport, setup: "a=setup:actpass", more, codecs }
}

impl M {
    fn setup(self, setup: &'static str) -> Self {
        Self { setup, ..self }
    }

    /// With another transport.
    fn own(self) -> Self {
        let transport = self.transport.replace("theirs", "another").replace("thePass", "another").replace("1F", "FF");
        Self { transport, ..self }
    }

    fn codecs(self, codecs: &'static str) -> Self {
        Self { codecs, ..self }
    }
}

/// A description with a group of all mids, unless `group` says otherwise.
fn sdp(group: &str, lines: &[M]) -> String {
    let mut text = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n".to_owned();
    if !group.is_empty() {
        text.push_str(&format!("a=group:BUNDLE {group}\n"));
    }
    for (mid, M { line, transport, setup, more, codecs }) in lines.iter().enumerate() {
        let mid =
            if more.contains("a=mid") || more.contains("no-mid") { String::new() } else { format!("a=mid:{mid}\n") };
        text.push_str(&format!(
            "m={line}\nc=IN IP4 0.0.0.0\n{transport}\n{setup}\n{mid}a=rtcp-mux\n{more}\n{codecs}\n"
        ));
    }
    text.replace('\n', "\r\n")
}

/// Sessions with test picture and tone.
pub(super) fn both() -> House {
    House::with(sessions_with(limits(), AudioSource::Tone, VideoSource::Test))
}

fn limits() -> Limits {
    Limits {
        starts_per_minute: 6000,
        messages_per_second: 1000,
        sessions_per_viewer: 100,
        viewers: 100,
        setups: 100,
        ..Limits::default()
    }
}

/// Each m-line of a device's description in words: `video send`, `video inactive`, `video refused`.
pub(super) fn lines(description: &Description) -> Vec<String> {
    let what = |line: &crate::protocol::sdp::MediaSection| match (line.port, line.direction) {
        (0, _) => "refused",
        (_, Direction::SendOnly) => "send",
        (_, Direction::Inactive) => "inactive",
        _ => "receives",
    };
    description.lines.iter().map(|line| format!("{} {}", line.media, what(line))).collect()
}

/// Checks the rules that hold for every answer.
pub(super) fn holds(offer: &str, answer: &str) -> Description {
    let (offer, own) = (Description::parse(offer).unwrap(), Description::parse(answer).unwrap());
    assert_eq!(own.lines.len(), offer.lines.len(), "{answer}");
    for (own, offered) in own.lines.iter().zip(&offer.lines) {
        assert_eq!((&own.media, &own.protocol), (&offered.media, &offered.protocol), "{answer}");
        assert!(own.mid == offered.mid, "{answer}");
        assert!(own.formats.iter().all(|format| offered.formats.contains(format)), "{answer}");
        assert!(own.kind != MediaKind::Other || own.port == 0, "{answer}");
        assert!(own.kind == MediaKind::Data || !own.direction.receives() || own.port == 0, "{answer}");
        assert_eq!(own.has_channels(), own.kind == MediaKind::Data && own.port != 0, "{answer}");
    }
    let open: Vec<usize> = (0..own.lines.len()).filter(|at| own.lines[*at].port != 0).collect();
    assert!(own.is_bundled(&open), "{answer}");
    assert_eq!(own.groups.is_empty(), offer.groups.is_empty(), "{answer}");
    own
}

#[tokio::test]
async fn what_is_answered_to_which_offer() {
    const R: &str = "a=recvonly";
    let (video, audio) = (|| m(VIDEO, R), || m(AUDIO, R));
    let bundle_only = |line| m(line, "a=bundle-only\na=recvonly");
    let vp8 = || m("video 9 UDP/TLS/RTP/SAVPF 96", R);
    use DtlsSetup::{Active, Passive};
    let table: Vec<(&str, String, &[&str], DtlsSetup)> = vec![
        ("both", sdp("0 1", &[video(), audio()]), &["video send", "audio send"], Active),
        ("sound first", sdp("0 1", &[audio(), video()]), &["audio send", "video send"], Active),
        (
            "bundle-only sound",
            sdp("0 1", &[video(), bundle_only("audio 0 UDP/TLS/RTP/SAVPF 111")]),
            &["video send", "audio send"],
            Active,
        ),
        (
            "bundle-only picture",
            sdp("0 1", &[audio(), bundle_only("video 0 UDP/TLS/RTP/SAVPF 102")]),
            &["audio send", "video send"],
            Active,
        ),
        ("two-way sound", sdp("0 1", &[video(), m(AUDIO, "a=sendrecv")]), &["video send", "audio send"], Active),
        ("no direction", sdp("0 1", &[m(VIDEO, "a=x"), m(AUDIO, "a=x")]), &["video send", "audio send"], Active),
        (
            "talk alone beside a picture",
            sdp("0 1", &[video(), m(AUDIO, "a=sendonly")]),
            &["video send", "audio refused"],
            Active,
        ),
        ("talk first", sdp("0 1", &[m(AUDIO, "a=sendonly"), video()]), &["audio inactive", "video send"], Active),
        ("setup active", sdp("0", &[video().setup("a=setup:active")]), &["video send"], Passive),
        ("setup passive", sdp("0", &[video().setup("a=setup:passive")]), &["video send"], Active),
        ("no setup", sdp("0", &[video().setup("a=x")]), &["video send"], Passive),
        ("one line without a group", sdp("", &[video()]), &["video send"], Active),
        ("nor a mid", sdp("", &[m(VIDEO, "a=x-no-mid")]), &["video send"], Active),
        ("own transports", sdp("0 1", &[audio(), video().own()]), &["audio send", "video send"], Active),
        ("no H.264", sdp("0 1", &[vp8(), audio()]), &["video inactive", "audio send"], Active),
        ("no H.264, sound first", sdp("0 1", &[audio(), vp8()]), &["audio send", "video refused"], Active),
        ("no H.264 and no group", sdp("", &[vp8(), audio().own()]), &["video refused", "audio send"], Active),
        (
            "two pictures",
            sdp("0 1 2", &[video(), m(VIDEO, "a=recvonly\na=x"), audio()]),
            &["video send", "video refused", "audio send"],
            Active,
        ),
        (
            "two sounds",
            sdp("0 1 2", &[audio(), audio(), video()]),
            &["audio send", "audio refused", "video send"],
            Active,
        ),
        (
            "a data channel",
            sdp("0 1 2", &[video(), audio(), m(DATA, "a=x")]),
            &["video send", "audio send", "application receives"],
            Active,
        ),
        (
            "two data channel lines, the first on another SCTP port",
            sdp("0 1 2", &[video(), m(DATA, "a=x").codecs("a=sctp-port:5001"), m(DATA, "a=x")]),
            &["video send", "application refused", "application receives"],
            Active,
        ),
        (
            "a data channel outside of the group",
            sdp("0", &[video(), m(DATA, "a=x")]),
            &["video send", "application refused"],
            Active,
        ),
        (
            "a data channel first",
            sdp("0 1", &[m(DATA, "a=x"), audio()]),
            &["application refused", "audio send"],
            Active,
        ),
        (
            "text",
            sdp("0 1", &[video(), m("text 9 UDP/TLS/RTP/SAVPF 98", R).codecs("a=rtpmap:98 t140/1000")]),
            &["video send", "text refused"],
            Active,
        ),
        (
            "plain RTP beside",
            sdp("0", &[video(), m("audio 9 RTP/AVP 111", R)]),
            &["video send", "audio refused"],
            Active,
        ),
        ("ice-lite", sdp("0", &[video()]).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"), &["video send"], Active),
        (
            "a hash in capitals",
            sdp("0 1", &[video(), audio()]).replace("sha-256", "SHA-256"),
            &["video send", "audio send"],
            Active,
        ),
        ("short protocol", sdp("0", &[m("video 9 RTP/SAVPF 102 103", R)]), &["video send"], Active),
    ];
    let mut house = both();
    for (at, (what, offer, expected, setup)) in table.into_iter().enumerate() {
        let who = format!("viewer{at}");
        house.say(&who, 'A', 0, "offer", json!({"sdp": offer})).await;
        let answer = house.receive(&who, "answer").await;
        let text = answer["sdp"].as_str().unwrap();
        let own = holds(&offer, text);
        assert_eq!(lines(&own), expected, "{what}: {text}");
        let open: Vec<_> = own.lines.iter().filter(|line| line.port != 0).collect();
        assert!(open.iter().all(|line| line.setup == Some(setup)), "{what}: {text}");
        // A missing H.264 is reported. Media that were not asked for are not.
        let media = house.receive(&who, "media").await;
        assert_eq!(media["video"] == "refused", what.starts_with("no H.264"), "{what}: {media}");
        assert_ne!(media["audio"], "refused", "{what}");
        // Candidates belong to the m-line whose transport is used.
        let tagged = own.lines.iter().position(|line| line.port != 0).unwrap();
        let last = loop {
            let candidates = house.receive(&who, "candidates").await;
            for one in candidates["candidates"].as_array().unwrap() {
                assert_eq!((&one["mline"], one["mid"].as_str()), (&json!(tagged), own.lines[tagged].mid.as_deref()));
            }
            if candidates["end"] == true {
                break candidates;
            }
        };
        assert_eq!(last["ufrag"].as_str(), own.lines[tagged].ufrag.as_deref(), "{what}");
        assert!(!own.lines[tagged].candidates.is_empty(), "{what}: {text}");
        house.say(&who, 'A', 1, "bye", json!({})).await;
        house.receive(&who, "bye").await;
    }
}

#[tokio::test]
async fn what_is_refused_at_once_and_with_which_words() {
    const R: &str = "a=recvonly";
    let (video, audio) = (|| m(VIDEO, R), || m(AUDIO, R));
    let good = || sdp("0 1", &[video(), audio()]);
    let pli = |fmtp: &str| good().replace("packetization-mode=1;profile-level-id=42e01f", fmtp);
    let alone = |fmtp: &'static str| sdp("0", &[video()]).replace("packetization-mode=1;profile-level-id=42e01f", fmtp);
    let table: Vec<(&str, String, &str, &str)> = vec![
        ("two lines, no group", sdp("", &[video(), audio().own()]), "bad_sdp", "BUNDLE"),
        ("two lines, one transport, no group", sdp("", &[video(), audio()]), "bad_sdp", "bundle-policy=max-bundle"),
        ("two groups", good().replace("BUNDLE 0 1", "BUNDLE 0\r\na=group:BUNDLE 1"), "bad_sdp", "BUNDLE"),
        ("no fingerprint", good().replace(PRINT, "a=x"), "bad_sdp", "no DTLS fingerprint"),
        ("SHA-1", good().replace("sha-256", "sha-1"), "bad_sdp", "SHA-256"),
        ("SDES", good().replace(PRINT, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"), "bad_sdp", "SDES"),
        ("plain RTP", sdp("0", &[m("video 9 RTP/AVP 102 103", R)]), "bad_sdp", "RTP over DTLS"),
        ("no rtcp-mux", sdp("0", &[video()]).replace("a=rtcp-mux", "a=x"), "bad_sdp", "rtcp-mux"),
        ("holdconn", good().replace("actpass", "holdconn"), "bad_sdp", "holdconn"),
        ("VP8 alone", sdp("0", &[m("video 9 UDP/TLS/RTP/SAVPF 96", R)]), "no_common_codec", "H.264"),
        (
            "packetization-mode 0",
            alone("packetization-mode=0;profile-level-id=42e01f"),
            "no_common_codec",
            "packetization-mode 1",
        ),
        ("odd profile", alone("packetization-mode=1;profile-level-id=zz"), "no_common_codec", "H.264"),
        ("only talk", sdp("0", &[m(AUDIO, "a=sendonly")]), "no_media", "neither"),
        ("nothing wanted", sdp("0", &[m(VIDEO, "a=inactive")]), "no_media", "neither"),
        ("a data channel alone", sdp("0", &[m(DATA, "a=x")]), "no_media", "neither"),
        (
            "no candidates are counted before",
            pli("packetization-mode=1;profile-level-id=42e01f").replace("a=mid:1", "a=mid:0"),
            "bad_sdp",
            "mid",
        ),
    ];
    let mut house = both();
    for (at, (what, offer, name, words)) in table.into_iter().enumerate() {
        let who = format!("viewer{at}");
        house.say(&who, 'A', 0, "offer", json!({"sdp": offer})).await;
        let error = house.error(&who).await;
        assert_eq!(error["name"], name, "{what}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{what}: {error}");
        house.viewers(0).await;
    }
}

#[tokio::test]
async fn what_becomes_of_a_viewers_answer() {
    const R: &str = "a=recvonly";
    let (video, audio) = (|| m(VIDEO, R).setup("a=setup:active"), || m(AUDIO, R).setup("a=setup:active"));
    let refused = |line| m(line, "a=inactive").setup("a=setup:active");
    // The next message of the session: the state of picture and sound, or its end.
    let table: Vec<(&str, &str, Vec<M>, &str)> = vec![
        ("all", "0 1", vec![audio(), video()], "goes on"),
        ("passive", "0 1", vec![audio().setup("a=setup:passive"), video().setup("a=setup:passive")], "goes on"),
        ("no setup", "0 1", vec![audio().setup("a=x"), video().setup("a=x")], "goes on"),
        ("two-way", "0 1", vec![m(AUDIO, "a=sendrecv").setup("a=setup:active"), video()], "goes on"),
        ("no picture", "0", vec![audio(), refused("video 0 UDP/TLS/RTP/SAVPF 102")], "video refused"),
        ("no picture by its direction", "0 1", vec![audio(), refused(VIDEO)], "video refused"),
        (
            "no picture by its codec",
            "0 1",
            vec![audio(), m("video 9 UDP/TLS/RTP/SAVPF 96", R).setup("a=setup:active")],
            "video refused",
        ),
        ("no sound", "1", vec![refused("audio 0 UDP/TLS/RTP/SAVPF 111"), video()], "audio refused"),
        ("no sound by its direction", "0 1", vec![refused(AUDIO), video()], "audio refused"),
        (
            "nothing",
            "",
            vec![refused("audio 0 UDP/TLS/RTP/SAVPF 111"), refused("video 0 UDP/TLS/RTP/SAVPF 102")],
            "no_common_codec",
        ),
        ("one line without a group", "", vec![audio(), refused("video 0 UDP/TLS/RTP/SAVPF 102")], "video refused"),
        ("no group", "", vec![audio(), video()], "bad_sdp BUNDLE"),
        ("a line outside the group", "0", vec![audio(), video().own()], "bad_sdp BUNDLE"),
        ("actpass", "0 1", vec![audio().setup("a=setup:actpass"), video()], "bad_sdp setup"),
        ("a line less", "0", vec![audio()], "bad_sdp 1 m-lines"),
        ("a line more", "0 1", vec![audio(), video(), m(DATA, "a=x")], "bad_sdp 3 m-lines"),
        ("another order", "0 1", vec![video(), audio()], "bad_sdp m-line 0"),
        ("other mids", "0 7", vec![audio(), m(VIDEO, "a=mid:7\na=recvonly").setup("a=setup:active")], "bad_sdp mid"),
        (
            "no fingerprint",
            "0 1",
            vec![
                M { transport: "a=ice-ufrag:abcd\na=ice-pwd:thePasswordOfTheViewer1234567890".into(), ..audio() },
                video(),
            ],
            "bad_sdp fingerprint",
        ),
    ];
    let mut house = both();
    for (at, (what, group, answer, expected)) in table.into_iter().enumerate() {
        let who = format!("viewer{at}");
        house.say(&who, 'A', 0, "request", json!({"media": {"video": true, "audio": true}})).await;
        let offer = house.receive(&who, "offer").await;
        let own = Description::parse(offer["sdp"].as_str().unwrap()).unwrap();
        assert_eq!(lines(&own), ["audio send", "video send"]);
        assert!(own.lines.iter().all(|line| line.setup == Some(DtlsSetup::ActPass)));
        let answer = sdp(group, &answer);
        house.say(&who, 'A', 1, "answer", json!({"sdp": answer})).await;
        let mut words = expected.split(' ');
        match words.next().unwrap() {
            "goes" => {
                house.say(&who, 'A', 2, "ping", json!({"n": 7})).await;
                house.receive(&who, "pong").await;
                house.say(&who, 'A', 3, "bye", json!({})).await;
                assert_eq!(house.receive(&who, "bye").await["reason"], "bye", "{what}");
            }
            kind @ ("video" | "audio") => {
                while house.receive(&who, "media").await[kind] != "refused" {}
                house.say(&who, 'A', 2, "bye", json!({})).await;
                house.receive(&who, "bye").await;
            }
            name => {
                let error = house.error(&who).await;
                assert_eq!(error["name"], name, "{what}: {error}");
                let sentence = words.collect::<Vec<_>>().join(" ");
                assert!(error["message"].as_str().unwrap().contains(&sentence), "{what}: {error}");
                assert_eq!(house.receive(&who, "bye").await["reason"], name, "{what}: the session is over");
            }
        }
        house.viewers(0).await;
    }
}

#[tokio::test]
async fn a_restart_changes_ice_alone() {
    const R: &str = "a=recvonly";
    let offer = sdp("0 1 2", &[m(VIDEO, R), m(AUDIO, R), m(DATA, "a=x")]);
    let ice = |n: usize| offer.replace("theirs", &format!("gen{n}")).replace("Viewer12345", &format!("Viewer{n:05}"));
    type Bend = fn(String) -> String;
    let table: Vec<(&str, Bend, &str)> = vec![
        ("another certificate", |o| o.replace("00:01", "FF:01"), "fingerprint"),
        ("another codec", |o| o.replace("opus", "PCMU"), "codec"),
        ("another payload type", |o| o.replace("111", "112"), "codec"),
        ("another payload type of the picture", |o| o.replace("102", "104"), "codec"),
        ("another rtx", |o| o.replace("103", "105"), "sent again"),
        ("picture refused", |o| o.replace("m=video 9", "m=video 0"), "no longer takes the video"),
        ("sound refused", |o| o.replace("m=audio 9", "m=audio 0"), "no longer takes the audio"),
        ("data channel refused", |o| o.replace("m=application 9", "m=application 0"), "data channel"),
        ("a line less", |o| o.split("m=application").next().unwrap().to_owned(), "2 m-lines"),
        ("a line more", |o| format!("{o}m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n"), "4 m-lines"),
        ("another mid", |o| o.replace("mid:1", "mid:9").replace("0 1 2", "0 9 2"), "mid"),
        ("no group", |o| o.replace("a=group:BUNDLE 0 1 2\r\n", ""), "BUNDLE"),
        ("another role", |o| o.replace("actpass", "active"), "DTLS client"),
    ];
    let mut house = House::with(sessions_with(
        Limits { restarts_per_minute: 100, ..limits() },
        AudioSource::Tone,
        VideoSource::Test,
    ));
    house.say("anna", 'A', 0, "offer", json!({"sdp": offer})).await;
    let first = house.receive("anna", "answer").await;
    let first = holds(&offer, first["sdp"].as_str().unwrap());
    let mut seq = 0;
    for (n, (what, bend, words)) in table.into_iter().enumerate() {
        seq += 1;
        house.say("anna", 'A', seq, "offer", json!({"sdp": bend(ice(n)), "restart": true})).await;
        let error = house.error("anna").await;
        assert_eq!(error["name"], "conflict", "{what}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{what}: {error}");
    }
    // The session continues, and a correct restart still works.
    seq += 1;
    house.say("anna", 'A', seq, "offer", json!({"sdp": ice(99), "restart": true})).await;
    let again = house.receive("anna", "answer").await;
    let again = holds(&ice(99), again["sdp"].as_str().unwrap());
    assert_eq!(lines(&again), lines(&first));
    assert_eq!(again.lines[0].setup, first.lines[0].setup);
    assert_ne!(again.lines[0].ufrag, first.lines[0].ufrag);
    assert_eq!(again.lines[0].choice(), first.lines[0].choice());
}
