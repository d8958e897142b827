use super::*;

/// A session with one line of sound, as a browser would offer it; `{}` stands for what a test adds to the line.
const SOUND: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

fn parse(text: &str) -> Description {
    Description::parse(text).unwrap_or_else(|refusal| panic!("{}: {text}", refusal.message))
}

fn edit(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from}");
    SOUND.replace(from, to)
}

fn more(line: &str) -> String {
    format!("{SOUND}{line}\r\n")
}

#[test]
fn what_cannot_be_read_is_bad_sdp_with_a_sentence() {
    let m = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
    let head = SOUND.split("m=audio").next().unwrap();
    let table: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "does not begin"),
        ("no SDP", "hello".into(), "does not begin"),
        ("too long", format!("v=0\r\n{}", "a=x\r\n".repeat(SDP_MAX / 5)), "bytes: 24576 are read"),
        ("many lines", format!("{SOUND}{}", "a=x\r\n".repeat(LINES_MAX)), "more than 512 lines"),
        ("a long line", more(&format!("a=x:{}", "y".repeat(LINE_MAX))), "more than 2048 bytes"),
        ("no m-line", head.into(), "0 m-lines"),
        ("17 m-lines", format!("{head}{}", m.repeat(17)), "17 m-lines"),
        ("NUL", more("a=x:\0"), "control character"),
        ("CR alone", SOUND.replace('\n', ""), "a control character"),
        ("another version", SOUND.replace("v=0", "v=01x"), "cannot be read"),
        ("no origin", SOUND.replace("o=- 1 2 IN IP4 127.0.0.1\r\n", ""), "cannot be read"),
        ("port 65536", edit("m=audio 9", "m=audio 65536"), "cannot be read"),
        ("port -1", edit("m=audio 9", "m=audio -1"), "cannot be read"),
        ("no format", edit("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF"), "cannot be read"),
        ("payload type 128", edit("SAVPF 111", "SAVPF 111 128"), "not 0 to 127"),
        ("payload type 999", edit("SAVPF 111", "SAVPF 999"), "not 0 to 127"),
        ("payload type x", edit("SAVPF 111", "SAVPF x"), "not 0 to 127"),
        ("payload type twice", edit("SAVPF 111", "SAVPF 111 111"), "twice"),
        ("mid twice", format!("{SOUND}{m}a=mid:0\r\n"), "two m-lines have the mid 0"),
        ("mid of nothing", edit("a=mid:0", "a=mid:"), "a=mid"),
        ("mid of two words", edit("a=mid:0", "a=mid:0 1"), "a=mid"),
        ("long mid", edit("a=mid:0", &format!("a=mid:{}", "x".repeat(65))), "a=mid"),
        ("extmap 0", more("a=extmap:0 urn:x"), "id 0"),
        ("extmap 15", more("a=extmap:15 urn:x"), "id 15"),
        ("extmap 256", more("a=extmap:256 urn:x"), "id 256"),
        ("extmap -1", more("a=extmap:-1 urn:x"), "a=extmap"),
        ("extmap of nothing", more("a=extmap:3"), "a=extmap"),
        ("extmap twice", more("a=extmap:3 urn:x\r\na=extmap:3 urn:y"), "two header extensions"),
        ("two groups", edit("a=group:BUNDLE 0", "a=group:BUNDLE 0\r\na=group:BUNDLE 1 0"), "named twice"),
        ("a group of twins", edit("a=group:BUNDLE 0", "a=group:BUNDLE 0 0"), "named twice"),
        ("setup of nothing", edit("a=setup:actpass", "a=setup:server"), "a=setup"),
        ("fingerprint of one word", edit("a=fingerprint:sha-256 ", "a=fingerprint:"), "a=fingerprint"),
    ];
    for (what, text, sentence) in table {
        let refusal = Description::parse(&text).err().unwrap_or_else(|| panic!("{what} was read"));
        assert_eq!((refusal.code, refusal.name), (400, ErrorName::BadSdp), "{what}");
        assert!(refusal.message.contains(sentence), "{what}: {}", refusal.message);
        assert!(refusal.message.len() < 200, "{what}: {}", refusal.message);
    }
}

#[test]
fn what_is_unusual_and_legal_is_read() {
    let table = [
        ("LF alone", SOUND.replace("\r\n", "\n")),
        ("no final line end", SOUND.trim_end().into()),
        ("512 lines", format!("{SOUND}{}", "a=x\r\n".repeat(LINES_MAX - SOUND.lines().count()))),
        ("16 m-lines", format!("{SOUND}{}", "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n".repeat(15))),
        ("extmap of two bytes", more("a=extmap:16 urn:x\r\na=extmap:255/sendonly urn:y\r\na=extmap:4096 urn:z")),
        ("the same extmap twice", more("a=extmap:3 urn:x\r\na=extmap:3 urn:x")),
        ("a group of a mid that is not there", edit("a=group:BUNDLE 0", "a=group:BUNDLE 0 7")),
        ("a group of lips", edit("a=group:BUNDLE 0", "a=group:BUNDLE 0\r\na=group:LS 0")),
        ("an rtx to nowhere", edit("SAVPF 111\r\n", "SAVPF 111 97\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=12\r\n")),
        ("a bandwidth after attributes", more("b=AS:2000")),
    ];
    for (what, text) in table {
        assert!(matches!(parse(&text).best(MediaKind::Audio), Some((0, Use::Common(_)))), "{what}");
    }
}

#[test]
fn tokens_have_no_case_and_session_level_counts_for_all_lines() {
    let up = SOUND
        .replace("sha-256", "SHA-256")
        .replace("a=recvonly", "a=RecvOnly")
        .replace("opus", "OPUS")
        .replace("BUNDLE", "bundle")
        .replace("actpass", "ActPass")
        .replace("0A:0B", "0a:0b");
    let (up, plain) = (parse(&up), parse(SOUND));
    assert_eq!(up.transport(0).unwrap(), plain.transport(0).unwrap());
    assert_eq!((up.groups.clone(), up.best(MediaKind::Audio)), (plain.groups.clone(), plain.best(MediaKind::Audio)));
    let moved = ["a=ice-ufrag:abcd\r\n", "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n", "a=setup:actpass\r\n"];
    let mut session = SOUND.to_owned();
    for line in moved {
        session = session.replace(line, "").replace("a=group", &format!("{line}a=group"));
    }
    assert_eq!(parse(&session).transport(0).unwrap(), plain.transport(0).unwrap());
}

#[test]
fn transports_that_cannot_work_are_refused_with_what_is_missing() {
    let print = SOUND.lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
    let sha1 = "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13";
    let other = print.replace("00:01", "FF:01");
    let pwd = "a=ice-pwd:abcdefghijklmnopqrstuvwx";
    let table = [
        ("no fingerprint", edit(print, "a=x"), "no DTLS fingerprint"),
        (
            "SDES",
            edit(print, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
            "SDES",
        ),
        ("SHA-1", edit(print, sha1), "no SHA-256"),
        ("two", edit(print, &format!("{print}\r\n{other}")), "two different"),
        ("short", edit(":1E:1F", ":1E"), "32 bytes"),
        ("no hexadecimal", edit(":1E:1F", ":1E:XY"), "32 bytes"),
        ("holdconn", edit("a=setup:actpass", "a=setup:holdconn"), "holdconn"),
        ("ufrag of 3", edit("a=ice-ufrag:abcd", "a=ice-ufrag:abc"), "3 characters"),
        ("ufrag of 257", edit("a=ice-ufrag:abcd", &format!("a=ice-ufrag:{}", "x".repeat(257))), "257 characters"),
        ("no ufrag", edit("a=ice-ufrag:abcd", "a=x"), "no ice-ufrag"),
        ("no pwd", edit(pwd, "a=x"), "no ice-pwd"),
        ("empty pwd", edit(pwd, "a=ice-pwd:"), "0 characters"),
        ("pwd of 21", edit(pwd, "a=ice-pwd:abcdefghijklmnopqrstu"), "21 characters"),
    ];
    for (what, text, sentence) in table {
        let refusal = parse(&text).transport(0).err().unwrap_or_else(|| panic!("{what} was taken"));
        assert_eq!(refusal.name, ErrorName::BadSdp, "{what}");
        assert!(refusal.message.contains(sentence), "{what}: {}", refusal.message);
    }
    let both = parse(&edit(print, &format!("{sha1}\r\n{print}\r\n{print}"))).transport(0).unwrap();
    assert_eq!(both, parse(SOUND).transport(0).unwrap(), "a weak fingerprint beside it and a duplicate are ignored");
}

#[test]
fn what_an_m_line_can_be_used_for() {
    let usage = |text: String| parse(&text).lines[0].usage();
    let unfit = |usage| matches!(usage, Use::Unfit(_));
    assert!(matches!(usage(SOUND.into()), Use::Common(_)));
    assert!(matches!(usage(edit("a=recvonly\r\n", "")), Use::Common(_)), "without a direction: sendrecv");
    assert!(matches!(usage(edit("a=recvonly", "a=sendrecv")), Use::Common(_)));
    assert_eq!(usage(edit("a=recvonly", "a=sendonly")), Use::Unwanted);
    assert_eq!(usage(edit("a=recvonly", "a=inactive")), Use::Unwanted);
    assert_eq!(usage(edit("m=audio 9", "m=audio 0")), Use::Unwanted);
    let bundle_only = edit("m=audio 9", "m=audio 0").replace("a=mid", "a=bundle-only\r\na=mid");
    assert!(matches!(usage(bundle_only), Use::Common(_)), "bundle-only is no refusal");
    assert_eq!(usage(edit("opus", "PCMU")), Use::Foreign);
    assert_eq!(usage(edit("a=rtpmap:111 opus/48000/2", "a=x")), Use::Foreign);
    assert!(unfit(usage(edit("UDP/TLS/RTP/SAVPF", "RTP/AVP"))));
    assert!(unfit(usage(edit("UDP/TLS/RTP/SAVPF", "RTP/AVPF"))));
    assert!(unfit(usage(edit("a=rtcp-mux\r\n", ""))));
    for short in ["RTP/SAVPF", "UDP/TLS/RTP/SAVP", "udp/tls/rtp/savpf"] {
        assert!(matches!(usage(edit("UDP/TLS/RTP/SAVPF", short)), Use::Common(_)), "{short}");
    }
    let data = format!("{SOUND}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n");
    assert_eq!(parse(&data).lines[1].usage(), Use::Unwanted);
}

#[test]
fn which_m_line_can_have_data_channels() {
    const LINE: &str =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
    for (from, to, expected) in [
        ("", "", true),
        ("UDP/DTLS", "TCP/DTLS", true),
        ("UDP/DTLS", "udp/dtls", true),
        ("a=sctp-port:5000\r\n", "", true),
        ("a=max-message-size:262144\r\n", "", true),
        ("262144", "0", true),
        ("262144", "16384", true),
        ("262144", "16383", false),
        ("262144", "much", false),
        ("5000", "5001", false),
        ("5000", "x", false),
        ("application 9", "application 0", false),
        ("application 9", "application 0 UDP/DTLS/SCTP x\r\nm=application 9", false),
        ("UDP/DTLS/SCTP", "DTLS/SCTP", false),
        ("UDP/DTLS/SCTP", "UDP/TLS/RTP/SAVPF", false),
        ("webrtc-datachannel", "5000", false),
        ("webrtc-datachannel", "webrtc-datachannel other", false),
        ("m=application", "m=audio", false),
        ("m=application", "m=message", false),
    ] {
        let text = format!("{SOUND}{}", LINE.replacen(from, to, 1));
        assert_eq!(parse(&text).lines[1].has_channels(), expected, "{from} becomes {to}");
    }
}

/// The choice on a picture's line with these formats: payload type, name, parameters.
fn video(formats: &[(u8, &str, &str)]) -> Option<CodecChoice> {
    let list: Vec<String> = formats.iter().map(|(pt, ..)| pt.to_string()).collect();
    let of = |(pt, name, fmtp): &(u8, &str, &str)| {
        let fmtp = if fmtp.is_empty() { String::new() } else { format!("a=fmtp:{pt} {fmtp}\r\n") };
        format!("a=rtpmap:{pt} {name}/90000\r\n{fmtp}")
    };
    let lines: String = formats.iter().map(of).collect();
    let head = SOUND.split("m=audio").next().unwrap();
    let feedback = "a=rtcp-mux\r\na=rtcp-fb:* NACK  PLI\r\na=rtcp-fb:97 nack\r\n";
    let text = format!("{head}m=video 9 UDP/TLS/RTP/SAVPF {}\r\n{feedback}{lines}", list.join(" "));
    parse(&text).lines[0].choice()
}

fn taken(formats: &[(u8, &str, &str)]) -> Option<(u8, Option<u8>)> {
    video(formats).map(|choice| (choice.payload_type, choice.rtx))
}

#[test]
fn the_h264_that_is_sent() {
    let mode1 = "packetization-mode=1;profile-level-id=";
    let (cbp, base, high) = (format!("{mode1}42e01f"), format!("{mode1}42001f"), format!("{mode1}640c1f"));
    assert_eq!(taken(&[(96, "VP8", ""), (97, "H264", &cbp)]), Some((97, None)));
    assert_eq!(
        taken(&[(96, "H264", &high), (97, "H264", &base), (98, "h264", &cbp)]),
        Some((98, None)),
        "the plainest"
    );
    assert_eq!(taken(&[(96, "H264", &high)]), Some((96, None)), "a decoder of High decodes Constrained Baseline");
    assert_eq!(taken(&[(96, "H264", "profile-level-id=42801F")]), Some((96, None)), "Asterisk leaves the mode out");
    assert_eq!(taken(&[(96, "H264", "")]), Some((96, None)));
    assert_eq!(
        taken(&[(96, "H264", "packetization-mode=0;profile-level-id=42e01f"), (97, "H264", &cbp)]),
        Some((97, None))
    );
    for odd in ["42e0", "zzzzzz", "42e01f00", "", "-2e01f", "ffe01f", "42 e01f"] {
        assert_eq!(taken(&[(96, "H264", &format!("{mode1}{odd}"))]), None, "{odd}");
    }
    for mode in ["0", "2", "x"] {
        assert_eq!(
            taken(&[(96, "H264", &format!("profile-level-id=42e01f;packetization-mode={mode}"))]),
            None,
            "{mode}"
        );
    }
    let rtx = [(97, "H264", cbp.as_str()), (98, "rtx", "apt=96"), (99, "RTX", "APT=97"), (100, "rtx", "apt=97")];
    assert_eq!(taken(&rtx), Some((97, Some(99))));
    let harmless = format!("max-fs=-1; {cbp} ;sprop-parameter-sets={}", "A".repeat(1900));
    let choice = video(&[(97, "H264", &format!("Level-Asymmetry-Allowed=1;{harmless}"))]).unwrap();
    assert_eq!(choice.fmtp, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
    assert_eq!(choice.feedback, ["nack", "nack pli"], "rtcp-fb of all formats, and of this one");
}

#[test]
fn the_level_that_a_viewer_takes_is_the_one_it_says() {
    for (parameters, level) in [
        ("", None),
        ("profile-level-id=42e01f", None),
        ("profile-level-id=64001F;level-asymmetry-allowed=1", None),
        ("profile-level-id=42e01e;level-asymmetry-allowed=1", Some("3.0")),
        ("profile-level-id=42e01e", Some("3.0")),
        ("profile-level-id=42f00b", Some("1b")),
        ("profile-level-id=42e034", Some("5.2")),
        ("profile-level-id=42e00d;max-fs=3600", Some("3.1")),
        ("profile-level-id=42e028;max-fs=99", Some("4.0")),
        ("profile-level-id=42e00d;max-fs=-1", Some("1.3")),
    ] {
        let choice = video(&[(97, "H264", &format!("packetization-mode=1;{parameters}"))]).unwrap();
        assert_eq!(choice.level.map(|level| level.to_string()).as_deref(), level, "{parameters}");
    }
}

#[test]
fn the_tagged_line_is_the_first_of_the_group_that_has_a_transport() {
    let line = |kind: &str, port: u16, mid: &str, more: &str| {
        format!(
            "m={kind} {port} UDP/TLS/RTP/SAVPF 111\r\na=rtcp-mux\r\na=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\n{more}"
        )
    };
    let ice = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n";
    let of = |group: &str, lines: &[String]| {
        let head = SOUND.split("a=group").next().unwrap();
        parse(&format!("{head}{group}{}", lines.concat()))
    };
    let two = [line("video", 9, "v", ice), line("audio", 0, "a", "a=bundle-only\r\n")];
    assert_eq!(
        of("a=group:BUNDLE v a\r\n", &two).tagged(&[1]),
        Some(0),
        "a bundle-only m-line has no transport of its own"
    );
    let two = [line("video", 9, "v", ice), line("audio", 9, "a", ice)];
    assert_eq!(of("a=group:BUNDLE a v\r\n", &two).tagged(&[0, 1]), Some(1), "the order of the group counts");
    assert_eq!(of("", &two).tagged(&[1]), Some(1), "without a group each line is alone");
    assert!(!of("", &two).is_bundled(&[0, 1]) && of("", &two).is_bundled(&[1]));
    assert!(!of("a=group:BUNDLE a\r\na=group:BUNDLE v\r\n", &two).is_bundled(&[0, 1]), "two groups are two transports");
    let refused = [line("video", 0, "v", ""), line("audio", 9, "a", ice)];
    assert_eq!(of("a=group:BUNDLE v a\r\n", &refused).tagged(&[1]), Some(1));
}

#[test]
fn lines_of_one_transport_do_not_contradict_each_other() {
    let line = SOUND.split("a=group:BUNDLE 0\r\n").nth(1).unwrap();
    let second = line.replace("a=mid:0", "a=mid:1");
    let two = |second: &str| parse(&format!("{}{second}", SOUND.replace("BUNDLE 0", "BUNDLE 0 1"))).transport(0);
    assert!(two(&second).is_ok());
    assert!(two(&second.replace("00:01", "FF:01")).unwrap_err().message.contains("different fingerprints"));
    assert!(two(&second.replace("abcdefgh", "ABCDEFGH")).unwrap_err().message.contains("different ice-pwd"));
    let own = second.replace("00:01", "FF:01").replace("abcd", "efgh");
    assert_eq!(two(&own).unwrap().ufrag, "abcd", "an m-line with its own credentials is for peers without BUNDLE");
}

#[test]
fn candidates_inside_obey_the_same_rules() {
    let text = more(
        "a=candidate:1 1 udp 5 192.0.2.1 9 typ host\r\na=candidate:2 1 udp 5 127.0.0.1 9 typ host\r\n\
         a=candidate:3 1 UDP 5 ::ffff:192.0.2.7 9 typ host\r\na=candidate:1 1 udp 5 192.0.2.1 9 typ host",
    );
    let line = &parse(&text).lines[0];
    let (usable, dropped) = line.usable_candidates(&mut CandidateBudget::new(24, false));
    assert_eq!(usable, ["candidate:1 1 udp 5 192.0.2.1 9 typ host", "candidate:3 1 UDP 5 192.0.2.7 9 typ host"]);
    assert_eq!(dropped, 2);
    assert_eq!(
        line.usable_candidates(&mut CandidateBudget::new(1, true)).0.len(),
        1,
        "and count against the same limit"
    );
}

/// Cut off anywhere, and with any byte changed to one that means something, a description is read or refused.
#[test]
fn nothing_makes_the_reader_panic() {
    let text = SOUND.as_bytes();
    for at in 0..text.len() {
        let _ = Description::parse(&String::from_utf8_lossy(&text[..at]));
        for byte in [b'\n', b':', b'=', b'/', b' ', b'9', b'-', 0xff] {
            let mut bent = text.to_vec();
            bent[at] = byte;
            if let Ok(read) = Description::parse(&String::from_utf8_lossy(&bent)) {
                let _ = (read.best(MediaKind::Audio), read.tagged(&[0]), read.transport(0).is_ok());
            }
        }
    }
}
