//! Messages that were not made by this program, and messages that were changed.

use super::*;

/// A signed message, its key, and a sealed message, with its key.
fn messages() -> (SigningKey, String, SealingKey, String) {
    let (signing, sealing) = (SigningKey::generate().unwrap(), SealingKey::generate().unwrap());
    let header = Header { alg: Algorithm::Es256, kid: Some(signing.public().thumbprint().to_string()) };
    let signed = signing.sign(&header, b"a message").unwrap();
    let sealed = seal(sealing.public(), signed.as_bytes()).unwrap();
    (signing, signed, sealing, sealed)
}

#[test]
fn what_is_signed_and_sealed_comes_out_again() {
    let (signing, signed, sealing, sealed) = messages();
    let opened = sealing.open(&sealed, sealed.len()).unwrap();
    assert_eq!(opened, signed.as_bytes());
    let jws = Jws::parse(&signed, signed.len()).unwrap();
    let header: Header = jws.header().unwrap();
    assert_eq!(header.kid, Some(signing.public().thumbprint().to_string()));
    assert_eq!(format!("{jws:?}"), "Jws { algorithm: Es256, .. }");
    assert_eq!(jws.verify_es256(signing.public()).unwrap(), b"a message");
    for text in [&b""[..], &[0; 1], &[7; 20_000]] {
        assert_eq!(sealing.open(&seal(sealing.public(), text).unwrap(), MAX).unwrap(), text);
    }
}

#[test]
fn the_header_of_a_sealed_message_is_exactly_the_agreed_one() {
    let (_, _, sealing, sealed) = messages();
    let header = base64url::decode(sealed.split('.').next().unwrap()).unwrap();
    let header = String::from_utf8(header).unwrap();
    let kid = sealing.public().thumbprint();
    let begin = format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","kid":"{kid}","epk":{{"kty":"EC","crv":"P-256","x":""#);
    assert!(header.starts_with(&begin), "{header}");
    assert_eq!(header.len(), begin.len() + 43 + r#"","y":""#.len() + 43 + r#""}}"#.len());
    // Each message has a key of its own.
    assert_ne!(sealed.split('.').next(), seal(sealing.public(), b"").unwrap().split('.').next());
}

#[test]
fn a_larger_message_than_allowed_is_refused_unread() {
    let (_, signed, sealing, sealed) = messages();
    assert_eq!(Jws::parse(&signed, signed.len() - 1).unwrap_err(), JoseError::TooLarge);
    assert_eq!(sealing.open(&sealed, sealed.len() - 1), Err(JoseError::TooLarge));
    let padded = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(2000));
    let text = compact([padded.as_bytes(), b"p", &[1; 64]]);
    assert_eq!(Jws::parse(&text, MAX).unwrap_err(), JoseError::TooLarge);
    assert!(Jws::parse_with_token(&text, MAX).is_ok());
    let padded = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(4700));
    assert_eq!(
        Jws::parse_with_token(&compact([padded.as_bytes(), b"p", &[1; 64]]), MAX).unwrap_err(),
        JoseError::TooLarge
    );
    assert_eq!(
        sealing.open(&format!("{}..{}", "A".repeat(2049), compact([&[0; 12], &[], &[0; 16]])), MAX),
        Err(JoseError::TooLarge)
    );
}

#[test]
fn each_changed_byte_of_a_signed_message_is_noticed() {
    let (signing, signed, ..) = messages();
    for (at, byte) in signed.bytes().enumerate() {
        for other in [byte ^ 1, byte ^ 2, byte ^ 0x10, b'A', b'.', b'=', b' ', 0] {
            let mut changed = signed.clone().into_bytes();
            changed[at] = other;
            let Ok(changed) = String::from_utf8(changed) else {
                continue;
            };
            let verified = Jws::parse(&changed, MAX).and_then(|jws| jws.verify_es256(signing.public()));
            assert!(other == byte || verified.is_err(), "byte {at} as {other}");
        }
        assert!(Jws::parse(&signed[..at], MAX).is_err(), "{at} bytes");
    }
}

#[test]
fn each_changed_byte_of_a_sealed_message_is_noticed() {
    let (_, _, sealing, sealed) = messages();
    for (at, byte) in sealed.bytes().enumerate() {
        for other in [byte ^ 1, byte ^ 0x10, b'.'] {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = other;
            let Ok(changed) = String::from_utf8(changed) else {
                continue;
            };
            assert!(other == byte || sealing.open(&changed, MAX).is_err(), "byte {at} as {other}");
        }
        assert!(sealing.open(&sealed[..at], MAX).is_err(), "{at} bytes");
    }
}

#[test]
fn another_key_neither_verifies_nor_opens() {
    let (_, signed, sealing, sealed) = messages();
    let other = SealingKey::generate().unwrap();
    assert_eq!(Jws::parse(&signed, MAX).unwrap().verify_es256(sealing.public()), Err(JoseError::Signature));
    assert_eq!(other.open(&sealed, MAX), Err(JoseError::Recipient));
    let [first, rest] = [sealed.split_once('.').unwrap().0, sealed.split_once('.').unwrap().1];
    let header = String::from_utf8(base64url::decode(first).unwrap()).unwrap();
    let renamed = header.replace(&sealing.public().thumbprint().to_string(), &other.public().thumbprint().to_string());
    assert_ne!(renamed, header);
    let renamed = format!("{}.{rest}", base64url::encode(renamed));
    assert_eq!(other.open(&renamed, MAX), Err(JoseError::Sealed));
    assert_eq!(sealing.open(&renamed, MAX), Err(JoseError::Recipient));
}

#[test]
fn a_header_that_could_be_read_in_two_ways_is_refused() {
    use JoseError::{Algorithm as Other, Header as Bad};
    let rows = [
        (r#"{"alg":"none"}"#, Other),
        (r#"{"alg":"HS256"}"#, Other),
        (r#"{"alg":"es256"}"#, Other),
        (r#"{"alg":"ES256K"}"#, Other),
        (r#"{"alg":""}"#, Other),
        ("{}", Bad),
        ("", Bad),
        ("null", Bad),
        (r#"["ES256"]"#, Bad),
        (r#""ES256""#, Bad),
        (r#"{"alg":null}"#, Bad),
        (r#"{"alg":["ES256"]}"#, Bad),
        (r#"{"alg":{"ES256":null}}"#, Bad),
        (r#"{"alg":1}"#, Bad),
        (r#"{"ALG":"ES256"}"#, Bad),
        (r#"{"alg":"ES256","alg":"ES256"}"#, Bad),
        (r#"{"alg":"none","alg":"ES256"}"#, Bad),
        (r#"{"alg":"ES256","\u0061lg":"none"}"#, Bad),
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#, Bad),
        (r#"{"alg":"ES256","kid":null}"#, Bad),
        (r#"{"alg":"ES256","crit":["exp"]}"#, Bad),
        (r#"{"alg":"ES256","crit":[]}"#, Bad),
        (r#"{"alg":"ES256","b64":false}"#, Bad),
        (r#"{"alg":"ES256","b64":true}"#, Bad),
        (r#"{"alg":"ES256","zip":"DEF"}"#, Bad),
        (r#"{"alg":"ES256","jwk":{}}"#, Bad),
        (r#"{"alg":"ES256","jku":"https://example.org"}"#, Bad),
        (r#"{"alg":"ES256","x5c":[]}"#, Bad),
        (r#"{"alg":"ES256","x5u":"https://example.org"}"#, Bad),
        (r#"{"alg":"ES256","\u0063rit":[]}"#, Bad),
        (r#"{"alg":"ES256"}{}"#, Bad),
        (r#"{"alg":"ES256",}"#, Bad),
        ("\u{feff}{\"alg\":\"ES256\"}", Bad),
    ];
    for (header, error) in rows {
        let text = compact([header.as_bytes(), b"payload", &[1; 64]]);
        let error = if header.is_empty() { JoseError::Form } else { error };
        assert_eq!(Jws::parse(&text, MAX).unwrap_err(), error, "{header}");
    }
    let text = compact([b"{\"alg\":\"ES256\",\"kid\":\"\xff\"}", b"payload", &[1; 64]]);
    assert_eq!(Jws::parse(&text, MAX).unwrap_err(), Bad, "not UTF-8");
    let many: String = (0..20).map(|n| format!(r#","m{n}":{n}"#)).collect();
    let text = compact([format!(r#"{{"alg":"ES256"{many}}}"#).as_bytes(), b"payload", &[1; 64]]);
    assert_eq!(Jws::parse(&text, MAX).unwrap_err(), Bad, "many members");
    let deep = format!(r#"{{"alg":"ES256","kid":{}}}"#, "[".repeat(1000));
    let text = compact([deep.as_bytes(), b"payload", &[1; 64]]);
    assert_eq!(Jws::parse(&text, MAX).unwrap_err(), Bad, "deep nesting");
}

#[test]
fn the_type_of_a_header_decides_about_the_other_members() {
    let read = |header: &str| {
        let text = compact([header.as_bytes(), b"payload", &[1; 64]]);
        Jws::parse(&text, MAX).unwrap().header::<Header>()
    };
    assert_eq!(read(r#" { "alg" : "ES256" } "#), Ok(PLAIN));
    assert_eq!(read(r#"{"kid":"a","alg":"EdDSA"}"#), Ok(Header { alg: Algorithm::EdDsa, kid: Some("a".into()) }));
    for header in [r#"{"alg":"ES256","typ":"JWT"}"#, r#"{"alg":"ES256","kid":1}"#, r#"{"alg":"ES256","kid":{}}"#] {
        assert_eq!(read(header), Err(JoseError::Header), "{header}");
    }
}

#[test]
fn a_message_that_is_not_in_the_compact_form_is_refused() {
    use JoseError::{Base64, Form, Signature};
    let (first, third) = (base64url::encode(r#"{"alg":"ES256"}"#), base64url::encode([1; 64]));
    let rows = [
        (String::new(), Form),
        ("..".into(), Form),
        (format!("{first}.cA"), Form),
        (format!("{first}.cA.{third}."), Form),
        (format!(".{first}.cA.{third}"), Form),
        (format!("{first}..{third}"), Form),
        (format!("{first}.cA."), Form),
        (format!(".cA.{third}"), Form),
        (format!("{first}.cA==.{third}"), Base64),
        (format!("{first}.cB.{third}"), Base64),
        (format!("{first}.c.{third}"), Base64),
        (format!("{first}.c A.{third}"), Base64),
        (format!("{first}.c+/A.{third}"), Base64),
        (format!("{first}.cA.{third}\n"), Base64),
        (format!(" {first}.cA.{third}"), Base64),
        (format!("{first}=.cA.{third}"), Base64),
        (format!("{first}.é.{third}"), Base64),
        (format!("{first}.cA.{}", base64url::encode([1; 63])), Signature),
        (format!("{first}.cA.{}", base64url::encode([1; 65])), Signature),
    ];
    for (text, error) in rows {
        assert_eq!(Jws::parse(&text, MAX).unwrap_err(), error, "{text}");
    }
    assert!(Jws::parse(&format!("{first}.cA.{third}"), MAX).is_ok());
}

#[test]
fn a_header_that_readers_would_refuse_is_not_signed() {
    let key = SigningKey::generate().unwrap();
    let sign = |header: &str| key.sign(&serde_json::from_str::<serde_json::Value>(header).unwrap(), b"payload");
    assert!(sign(r#"{"alg":"ES256","typ":"JWT"}"#).is_ok());
    assert_eq!(sign(r#"{"alg":"EdDSA"}"#), Err(JoseError::Algorithm));
    assert_eq!(sign(r#"{"alg":"none"}"#), Err(JoseError::Algorithm));
    assert_eq!(sign("{}"), Err(JoseError::Header));
    assert_eq!(sign(r#"["ES256"]"#), Err(JoseError::Header));
    assert_eq!(sign(r#"{"alg":"ES256","crit":[]}"#), Err(JoseError::Header));
    assert_eq!(sign(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(5000))), Err(JoseError::TooLarge));
    assert_eq!(key.sign(&PLAIN, b""), Err(JoseError::Form));
}

/// The four members of the `epk` of a valid point.
fn epk() -> String {
    SealingKey::generate().unwrap().public().to_jwk()
}

/// What `key` says of a sealed message with this header. Each header here is wrong, or the tag is.
fn refusal(key: &SealingKey, header: &str) -> JoseError {
    let text = format!("{}..{}", base64url::encode(header), compact([&[0; 12], b"sealed", &[0; 16]]));
    key.open(&text, MAX).unwrap_err()
}

#[test]
fn a_header_can_be_required_to_have_exactly_what_is_written() {
    let key = SealingKey::generate().unwrap();
    let (epk, kid) = (epk(), key.public().thumbprint());
    let exact = |more: &str| {
        let header = format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","epk":{epk}{more}}}"#);
        let text = format!("{}..{}", base64url::encode(header), compact([&[0; 12], b"sealed", &[0; 16]]));
        key.open_exact(&text, MAX).unwrap_err()
    };
    assert_eq!(exact(&format!(r#","kid":"{kid}""#)), JoseError::Sealed, "only the tag is wrong");
    assert_eq!(exact(""), JoseError::Header);
    for more in [r#""apu":"QQ""#, r#""apv":"QQ""#, r#""typ":"JOSE""#, r#""cty":"JWT""#] {
        assert_eq!(exact(&format!(r#","kid":"{kid}",{more}"#)), JoseError::Header, "{more}");
    }
    assert_eq!(key.open_exact(&seal(key.public(), b"text").unwrap(), MAX).unwrap(), b"text");
}

#[test]
fn the_header_of_a_sealed_message_is_strict() {
    use JoseError::{Algorithm as Other, Base64, Header as Bad, PublicKey as Point, Recipient, Sealed};
    let key = SealingKey::generate().unwrap();
    let (epk, kid) = (epk(), key.public().thumbprint());
    let with = |more: &str| format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","epk":{epk}{more}}}"#);
    let point = |epk: &str| format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","epk":{epk}}}"#);
    let rows = [
        // Whose header is right, its tag is wrong.
        (with(""), Sealed),
        (with(&format!(r#","kid":"{kid}""#)), Sealed),
        (with(r#","apu":"QWxpY2U","apv":"Qm9i","typ":"JOSE","cty":"JWT""#), Sealed),
        (with(r#","kid":"other""#), Recipient),
        (with(&format!(r#","kid":"{kid}=""#)), Recipient),
        (with(r#","kid":null"#), Bad),
        (with(r#","kid":1"#), Bad),
        (with(r#","apu":"QQ==""#), Base64),
        (with(r#","apv":"QR""#), Base64),
        (with(r#","apu":null"#), Bad),
        (with(r#","apv":["Qm9i"]"#), Bad),
        (with(r#","typ":{}"#), Bad),
        (with(r#","cty":null"#), Bad),
        (with(r#","zip":"DEF""#), Bad),
        (with(r#","crit":[]"#), Bad),
        (with(r#","b64":true"#), Bad),
        (with(r#","jwk":{}"#), Bad),
        (with(r#","jku":"https://example.org""#), Bad),
        (with(r#","x5c":[]"#), Bad),
        (with(r#","x5u":"https://example.org""#), Bad),
        (with(r#","iv":"AA""#), Bad),
        (with(r#","p2c":1"#), Bad),
        (with(r#","alg":"ECDH-ES""#), Bad),
        (with(&format!(r#","epk":{epk}"#)), Bad),
        (with("").replace("ECDH-ES", "ECDH-ES+A128KW"), Other),
        (with("").replace("ECDH-ES", "dir"), Other),
        (with("").replace("ECDH-ES", "RSA1_5"), Other),
        (with("").replace("ECDH-ES", "none"), Other),
        (with("").replace("A256GCM", "A128GCM"), Other),
        (with("").replace("A256GCM", "A256CBC-HS512"), Other),
        (with("").replace(r#""ECDH-ES""#, r#"["ECDH-ES"]"#), Bad),
        (with("").replace(r#""alg":"ECDH-ES","#, ""), Bad),
        (with("").replace(r#""enc":"A256GCM","#, ""), Bad),
        (with("").replace(&format!(r#","epk":{epk}"#), ""), Bad),
        (format!(r#"["ECDH-ES","A256GCM",{epk}]"#), Bad),
        (point(r#"["EC","P-256","AA","AA"]"#), Bad),
        (point("null"), Bad),
        (point("{}"), Bad),
        (point(&epk.replace('{', r#"{"d":"AA","#)), Bad),
        (point(&epk.replace('{', r#"{"x":"AA","#)), Bad),
        (point(&epk.replace("P-256", "P-384")), Point),
        (point(&epk.replace("EC", "OKP")), Point),
        (point(&epk.replace(r#""x":""#, r#""x":"A"#)), Point),
        (point(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}}"#, "A".repeat(43))), Point),
    ];
    for (header, error) in rows {
        assert_eq!(refusal(&key, &header), error, "{header}");
    }
}

#[test]
fn the_parts_of_a_sealed_message_have_their_lengths() {
    use JoseError::{Base64, Form, Sealed};
    let key = SealingKey::generate().unwrap();
    let head = base64url::encode(format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM","epk":{}}}"#, epk()));
    let (nonce, tag) = (base64url::encode([0; 12]), base64url::encode([0; 16]));
    let rows = [
        (format!("{head}..{nonce}.cA.{tag}"), Sealed),
        (format!("{head}..{nonce}..{tag}"), Sealed),
        (format!("{head}.cA.{nonce}.cA.{tag}"), Form),
        (format!("..{nonce}.cA.{tag}"), Form),
        (format!("{head}..{nonce}.cA"), Form),
        (format!("{head}..{nonce}.cA.{tag}."), Form),
        (format!("{head}...cA.{tag}"), Form),
        (format!("{head}..{nonce}.cA."), Form),
        (format!("{head}..{}.cA.{tag}", base64url::encode([0; 11])), Form),
        (format!("{head}..{}.cA.{tag}", base64url::encode([0; 16])), Form),
        (format!("{head}..{nonce}.cA.{}", base64url::encode([0; 15])), Form),
        (format!("{head}..{nonce}.cA.{}", base64url::encode([0; 17])), Form),
        (format!("{head}..{nonce}.cA.{}", &tag[..20]), Form),
        (format!("{head}..{nonce}.cB.{tag}"), Base64),
        (format!("{head}..{nonce}.cA==.{tag}"), Base64),
        (format!("{head}..{nonce}.c\nA.{tag}"), Base64),
        (format!("{head}..{}B.cA.{tag}", &nonce[..15]), Sealed),
        (format!("{head}..{nonce}.cA.{}B", &tag[..21]), Base64),
    ];
    for (text, error) in rows {
        assert_eq!(key.open(&text, MAX), Err(error), "{text}");
    }
}

#[test]
fn an_error_holds_nothing_of_the_message() {
    for text in ["c2VjcmV0.c2VjcmV0.c2VjcmV0", r#"{"secret":1}"#] {
        let error = Jws::parse(text, MAX).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("cret"), "{error}");
    }
}
