use super::*;
use crate::protocol::envelope;

const SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A message of session `SESSION` with number 0 and these further fields.
fn message(kind: &str, fields: &str) -> String {
    format!(r#"{{"v":1,"type":"{kind}","session":"{SESSION}","seq":0{fields}}}"#)
}

fn refused(text: &str) -> Rejected {
    parse(text).expect_err(text)
}

fn request(text: &str) -> Request {
    parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).1
}

#[test]
fn every_type_a_viewer_may_send_is_read() {
    let wanted = Wanted { video: true, audio: true, talk: false, commands: false };
    let table = [
        (message("hello", ""), Request::Hello { events: false }),
        (message("hello", r#","events":true"#), Request::Hello { events: true }),
        (message("offer", r#","sdp":"v=0""#), Request::Offer { sdp: "v=0".into(), restart: false }),
        (
            message("offer", r#","sdp":"v=0","restart":true,"token":"t","key":{"kty":"EC"}"#),
            Request::Offer { sdp: "v=0".into(), restart: true },
        ),
        (message("request", r#","media":{"video":true,"audio":true}"#), Request::Request { media: wanted }),
        (
            message("request", r#","media":{"video":true,"audio":true,"commands":true}"#),
            Request::Request { media: Wanted { commands: true, ..wanted } },
        ),
        (message("answer", r#","sdp":"v=0""#), Request::Answer { sdp: "v=0".into(), offer_hash: None }),
        (
            message("answer", r#","sdp":"v=0","offer_hash":"h""#),
            Request::Answer { sdp: "v=0".into(), offer_hash: Some("h".into()) },
        ),
        (message("candidates", r#","end":true"#), Request::Candidates { ufrag: None, candidates: vec![], end: true }),
        (message("renew", r#","token":null"#), Request::Renew),
        (message("bye", r#","reason":"done\u001b[31m\n""#), Request::Bye { reason: "done\\u{1b}[31m\\n".into() }),
        (message("bye", ""), Request::Bye { reason: String::new() }),
        (message("ping", r#","n":9007199254740991"#), Request::Ping { n: NUMBER_MAX }),
        (message("pong", r#","n":0"#), Request::Pong { n: 0 }),
    ];
    for (text, expected) in table {
        assert_eq!(request(&text), expected, "{text}");
    }
}

#[test]
fn candidates_keep_their_line_and_place() {
    let text = message(
        "candidates",
        r#","ufrag":"abcd","candidates":[{"candidate":"candidate:1","mid":"0","mline":0,"usernameFragment":"abcd"},{"candidate":"x","mid":null,"mline":null}]"#,
    );
    let Request::Candidates { ufrag, candidates, end } = request(&text) else { panic!("{text}") };
    assert_eq!((ufrag.as_deref(), end), (Some("abcd"), false));
    assert_eq!(candidates[0], Candidate { candidate: "candidate:1".into(), mid: Some("0".into()), mline: Some(0) });
    assert_eq!(candidates[1], Candidate { candidate: "x".into(), mid: None, mline: None });
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(
        request(&message("hello", r#","new":{"x":[1,2.5,null,"y"]},"token":5"#)),
        Request::Hello { events: false }
    );
}

#[test]
fn another_version_is_refused_with_what_is_spoken() {
    for v in ["2", "0", "1.5", "-1", "99999999999999999999"] {
        let rejected = refused(&format!(r#"{{"v":{v},"type":"future","session":"{SESSION}"}}"#));
        assert_eq!((rejected.refusal.code, rejected.refusal.name), (426, ErrorName::Version), "{v}");
        assert_eq!(rejected.refusal.supported.as_deref(), Some(&[1][..]));
        assert_eq!(rejected.session.as_ref().map(SessionId::as_str), Some(SESSION), "the reply names the session");
    }
}

#[test]
fn what_is_wrong_is_a_bad_request_with_a_sentence() {
    let many = vec![r#"{"candidate":"x"}"#; CANDIDATES_MAX + 1].join(",");
    let table = [
        ("{".into(), "not acceptable JSON"),
        ("[]".into(), "must be a JSON object"),
        (message("hello", r#","seq":0"#), "twice"),
        (r#"{"type":"hello"}"#.into(), "v must be"),
        (r#"{"v":"1","type":"hello"}"#.into(), "v must be"),
        (r#"{"v":1}"#.into(), "type is missing"),
        (r#"{"v":1,"type":7}"#.into(), "type must be a string"),
        (message("status", ""), "type is not known"),
        (message("welcome", ""), "said by a device"),
        (r#"{"v":1,"type":"hello","seq":0}"#.into(), "session must be 22"),
        (r#"{"v":1,"type":"hello","session":"short","seq":0}"#.into(), "session must be 22"),
        (r#"{"v":1,"type":"hello","session":"AAAAAAAAAAAAAAAAAAAAA/","seq":0}"#.into(), "session must be 22"),
        (format!(r#"{{"v":1,"type":"hello","session":"{SESSION}"}}"#), "seq is missing"),
        (format!(r#"{{"v":1,"type":"hello","session":"{SESSION}","seq":-1}}"#), "seq must be a whole number"),
        (format!(r#"{{"v":1,"type":"hello","session":"{SESSION}","seq":1.0}}"#), "seq must be a whole number"),
        (format!(r#"{{"v":1,"type":"hello","session":"{SESSION}","seq":9007199254740992}}"#), "seq must be a whole"),
        (message("offer", ""), "sdp is missing"),
        (message("offer", r#","sdp":5"#), "sdp must be a string"),
        (message("offer", r#","sdp":"v=0","restart":"yes""#), "restart must be true or false"),
        (message("offer", &format!(r#","sdp":"v=0","token":"{}""#, "t".repeat(2049))), "token has 2049 bytes"),
        (message("request", ""), "media must be an object"),
        (message("request", r#","media":{"video":1}"#), "video must be true or false"),
        (message("request", r#","media":{"talk":true}"#), "neither video nor audio"),
        (message("answer", r#","sdp":"v=0","offer_hash":1"#), "offer_hash must be a string"),
        (message("candidates", ""), "candidates is missing"),
        (message("candidates", r#","candidates":{}"#), "candidates must be a list"),
        (message("candidates", r#","candidates":[1]"#), "each of candidates"),
        (message("candidates", r#","candidates":[{"mid":"0"}]"#), "candidate is missing"),
        (message("candidates", r#","candidates":[{"candidate":"x","mline":65536}]"#), "mline must be"),
        (message("candidates", &format!(r#","candidates":[{many}]"#)), "25 candidates in one message"),
        (message("candidates", &format!(r#","candidates":[],"ufrag":"{}""#, "u".repeat(257))), "ufrag has 257 bytes"),
        (
            message("candidates", &format!(r#","candidates":[{{"candidate":"{}"}}]"#, "c".repeat(513))),
            "candidate has 513 bytes",
        ),
        (message("bye", &format!(r#","reason":"{}""#, "r".repeat(65))), "reason has 65 bytes"),
        (message("ping", ""), "n is missing"),
        (message("ping", r#","n":"1""#), "n must be a whole number"),
    ];
    for (text, sentence) in table {
        let refusal = refused(&text).refusal;
        assert_eq!((refusal.code, refusal.name), (400, ErrorName::BadRequest), "{text}");
        assert!(refusal.message.contains(sentence), "{text}: {}", refusal.message);
    }
}

/// What is meant to exhaust a reader ends at its size, its depth or its number of values, and the time it takes is that
/// of 32 KiB.
#[test]
fn what_is_meant_to_exhaust_the_reader_is_a_bad_request() {
    let odd = |value: &str| message("hello", &format!(r#","x":{value}"#));
    let in_place = |field: &str, value: &str| {
        format!(r#"{{"v":1,"type":"ping","session":"{SESSION}","seq":0,"n":0}}"#)
            .replace(&format!(r#""{field}":0"#), &format!(r#""{field}":{value}"#))
    };
    let table = [
        odd(&"[".repeat(10_000)),
        odd(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))),
        odd(&format!("{}1{}", r#"{"a":"#.repeat(3000), "}".repeat(3000))),
        odd(&format!("[{}0]", "0,".repeat(15_000))),
        odd("1e400"),
        odd("-1e400"),
        odd(r#""\ud800""#),
        odd(r#""\udc00\ud800""#),
        odd(r#""\u0000""#),
        odd("\"\0\""),
        odd(r#"{"a":1,"a":2}"#),
        odd("NaN"),
        odd("01"),
        odd("'a'"),
        in_place("seq", "-0"),
        in_place("seq", "-1"),
        in_place("seq", "1e3"),
        in_place("seq", "1e300"),
        in_place("n", "18446744073709551616"),
        in_place("n", "9007199254740992"),
        in_place("n", "0.5"),
        in_place("n", "[0]"),
        message("hello", r#","seq":1"#),
        message("hello", r#","\u0073eq":1"#),
    ];
    for text in table {
        let opened = envelope::open(text.as_bytes());
        let refusal = match &opened {
            Ok(envelope::Envelope::Plain(plain)) => refused(plain).refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!((refusal.code, refusal.name), (400, ErrorName::BadRequest), "{text:.100}");
        assert!(refusal.message.chars().count() <= 401, "{}", refusal.message);
    }
    let long = message("bye", &format!(r#","reason":"{}""#, "x".repeat(1 << 20)));
    assert_eq!(envelope::open(long.as_bytes()).unwrap_err().refusal.name, ErrorName::TooLarge);
}

/// A refusal quotes what came, and nobody can make it two lines, a long one, or one that reads backwards.
#[test]
fn a_refusal_is_one_short_line() {
    let mut evil = Refusal::new(ErrorName::BadSdp, format!("line \r\n\u{202e}{}", "x".repeat(20_000))).message;
    assert!(evil.starts_with("line \\r\\n\\u{202e}xxx") && evil.chars().count() == 401, "{evil}");
    evil = refused(&format!("{{\"v\":1e5,\"type\":\"{}\"}}", "\u{2028}".repeat(3000))).refusal.message;
    assert!(!evil.contains('\u{2028}') && evil.chars().count() <= 401, "{evil}");
}

#[test]
fn an_sdp_beyond_its_limit_is_too_large() {
    let offer = |len: usize| message("offer", &format!(r#","sdp":"{}""#, "x".repeat(len)));
    assert!(parse(&offer(SDP_MAX)).is_ok());
    let refusal = refused(&offer(SDP_MAX + 1)).refusal;
    assert_eq!((refusal.code, refusal.name), (413, ErrorName::TooLarge));
}

#[test]
fn a_refusal_names_the_session_where_it_can_be_read() {
    assert!(refused(&message("offer", "")).session.is_some());
    assert!(refused(r#"{"v":1,"type":"offer","session":"x"}"#).session.is_none());
    assert!(refused("{").session.is_none());
}

/// Takes messages apart at random, deterministically: whatever comes in, something comes out.
#[test]
fn nothing_that_is_sent_can_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below.max(1) as u64).unwrap()
    };
    let seeds = [
        message("offer", r#","sdp":"v=0\r\nm=video 9 UDP 108\r\n","restart":true"#),
        message("request", r#","media":{"video":true,"audio":false,"talk":false}"#),
        message(
            "candidates",
            r#","ufrag":"a","candidates":[{"candidate":"candidate:1 1 udp 1 ::1 9 typ host","mid":"0","mline":0}],"end":true"#,
        ),
        message("answer", r#","sdp":"v=0","offer_hash":"x""#),
        message("bye", r#","reason":"\u00e9\ud83d\ude00""#),
    ];
    let scraps: [&[u8]; 10] = [b"{", b"}", b"[", b"\"", b"\\u0000", b"\xff", b"1e400", b",\"v\":2", b"null", b"-"];
    let (mut taken, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..=random(4) {
            if bytes.is_empty() {
                break;
            }
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at + 1),
                _ => drop(bytes.splice(at..at, scraps[random(scraps.len())].iter().copied())),
            }
        }
        match envelope::open(&bytes) {
            Ok(envelope::Envelope::Plain(text)) => match parse(text) {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            },
            Ok(envelope::Envelope::Sealed(_)) | Err(_) => refused += 1,
        }
    }
    assert!(taken > 100 && refused > 10_000, "the mutations reach both ends: {taken} taken, {refused} refused");
}
