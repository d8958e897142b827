//! Keys: their forms, and what is no key.

use std::collections::{BTreeSet, HashSet};

use super::*;

/// The generator of P-256, x and y (SP 800-186 section 3.2.1.3).
const GX: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
const GY: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

fn generator() -> PublicKey {
    *PrivateKey::from_scalar(&std::array::from_fn(|n| u8::from(n == 31))).unwrap().public()
}

/// A JWK of the generator with one replacement.
fn jwk(from: &str, to: &str) -> String {
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{GX}","y":"{GY}"}}"#);
    assert!(jwk.contains(from), "{from}");
    jwk.replacen(from, to, 1)
}

#[test]
fn a_public_key_has_one_text_and_one_jwk() {
    let key = generator();
    let text = key.to_string();
    assert_eq!(text.len(), 87);
    assert_eq!(text.parse(), Ok(key));
    assert_eq!(key.to_jwk(), format!(r#"{{"crv":"P-256","kty":"EC","x":"{GX}","y":"{GY}"}}"#));
    assert_eq!(PublicKey::from_jwk(&key.to_jwk()), Ok(key));
    assert_eq!(serde_json::from_str::<PublicKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
    assert_eq!(format!("{key:?}"), format!("PublicKey({})", key.thumbprint()));

    let last = text.len() - 1;
    // 65 bytes leave four bits over, so the last character stands for two bits only.
    let wrong = [
        String::new(),
        format!("{text}="),
        format!("{text}A"),
        format!(" {}", &text[1..]),
        format!("{}+", &text[..last]),
        format!("{}B", &text[..last]),
        text[..last].to_owned(),
    ];
    for wrong in wrong {
        assert_eq!(wrong.parse::<PublicKey>(), Err(JoseError::PublicKey), "{wrong}");
    }
}

#[test]
fn what_is_not_an_uncompressed_point_of_the_curve_is_no_public_key() {
    let good = *generator().as_bytes();
    assert_eq!(PublicKey::from_bytes(&good), Ok(generator()));
    let changed = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        bytes.to_vec()
    };
    let rows: &[(&str, Vec<u8>)] = &[
        ("nothing", vec![]),
        ("infinity", vec![0]),
        ("infinity of the right length", vec![0; 65]),
        ("zero, zero", [&[4], &[0; 64][..]].concat()),
        ("coordinates above the field", [&[4], &[255; 64][..]].concat()),
        ("not on the curve, x", changed(32, good[32] ^ 1)),
        ("not on the curve, y", changed(64, good[64] ^ 1)),
        ("compressed", [&[3], &good[1..33]].concat()),
        ("compact", [&[5], &good[1..33]].concat()),
        ("tag of a compressed point", changed(0, 3)),
        ("hybrid", changed(0, 7)),
        ("another tag", changed(0, 5)),
        ("short", good[..64].to_vec()),
        ("long", [&good[..], &[0]].concat()),
    ];
    for (name, bytes) in rows {
        assert_eq!(PublicKey::from_bytes(bytes), Err(JoseError::PublicKey), "{name}");
    }
}

#[test]
fn a_jwk_that_is_not_exactly_a_public_key_is_refused() {
    assert_eq!(PublicKey::from_jwk(&jwk("", "")), Ok(generator()));
    let array = format!(r#"["EC","P-256","{GX}","{GY}"]"#);
    let shorter = base64url::encode(&base64url::decode(GX).unwrap()[1..]);
    let longer = base64url::encode([&[0], &base64url::decode(GX).unwrap()[..]].concat());
    let rows = [
        ("an array", array.clone()),
        ("a text", format!("{GX:?}")),
        ("a private key", jwk("{", &format!(r#"{{"d":"{GX}","#))),
        ("another member", jwk("{", r#"{"kid":"a","#)),
        ("another curve", jwk("P-256", "P-384")),
        ("the name of the curve in lower case", jwk("P-256", "p-256")),
        ("another kind of key", jwk("EC", "OKP")),
        ("no kind of key", jwk(r#""kty":"EC","#, "")),
        ("no y", jwk(&format!(r#","y":"{GY}""#), "")),
        ("a name twice", jwk("{", r#"{"kty":"EC","#)),
        ("a number", jwk(&format!("{GX:?}"), "1")),
        ("null", jwk(&format!("{GX:?}"), "null")),
        ("an array as x", jwk(&format!("{GX:?}"), &format!("[{GX:?}]"))),
        ("an object as kty", jwk(r#""EC""#, r#"{"EC":null}"#)),
        ("x and y swapped", jwk(GX, GY)),
        ("31 bytes", jwk(GX, &shorter)),
        ("33 bytes", jwk(GX, &longer)),
        ("padding", jwk(GX, &format!("{GX}="))),
        ("white space", jwk(GX, &format!("{GX}\\n"))),
        ("bits after the last byte", jwk(GX, &GX.replace("wpY", "wpZ"))),
        ("text behind it", jwk("}", "}{}")),
        ("too long", jwk("}", &format!("{}}}", " ".repeat(4096)))),
    ];
    for (name, json) in rows {
        assert_eq!(PublicKey::from_jwk(&json), Err(JoseError::PublicKey), "{name}: {json}");
    }
}

#[test]
fn the_jwk_of_an_issuer_must_be_for_signatures_of_its_algorithm() {
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let with = |more: &str| jwk("{", &format!("{{{more},"));
    let okp = |more: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"{more}}}"#);
    let good = [
        with(r#""kid":"2026","use":"sig","alg":"ES256","key_ops":["verify"],"ext":true"#),
        okp(""),
        okp(r#","alg":"EdDSA","use":"sig""#),
        okp(r#","alg":"Ed25519""#),
    ];
    for json in good {
        assert!(IssuerKey::from_jwk(&json).is_ok(), "{json}");
    }
    let bad = [
        with(r#""use":"enc""#),
        with(r#""alg":"EdDSA""#),
        with(r#""alg":"ES384""#),
        with(r#""alg":"ECDH-ES""#),
        with(r#""alg":{"ES256":null}"#),
        with(r#""alg":null"#),
        with(r#""key_ops":["deriveBits"]"#),
        with(r#""key_ops":"verify""#),
        with(r#""x5u":"https://example.org""#),
        with(&format!(r#""d":"{GX}""#)),
        okp(r#","alg":"ES256""#),
        okp(&format!(r#","d":"{X}""#)),
        okp(&format!(r#","y":"{X}""#)),
        okp("").replace("Ed25519", "X25519"),
        okp("").replace("Ed25519", "Ed448"),
        okp("").replace("OKP", "EC"),
        okp("").replace(X, &X[..42]),
        okp("").replace("OKP", "oct"),
        r#"{"kty":"oct","k":"AAAA"}"#.into(),
        format!(r#"["OKP","Ed25519","{X}"]"#),
    ];
    for json in bad {
        assert_eq!(IssuerKey::from_jwk(&json), Err(JoseError::PublicKey), "{json}");
    }
}

#[test]
fn a_set_of_issuers_has_one_to_four_public_keys() {
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let okp = |x: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a"}}"#);
    let others: Vec<_> = (0..4).map(|_| SigningKey::generate().unwrap().public().to_jwk()).collect();
    let set = |keys: &[String]| format!(r#"{{"keys":[{}],"more":1}}"#, keys.join(","));
    let (ec, okp) = (jwk("", ""), okp(X));
    for (json, expected) in [
        (ec.clone(), Ok(1)),
        (format!(" {okp}\n"), Ok(1)),
        (set(&[ec.clone(), okp.clone()]), Ok(2)),
        (set(&others), Ok(4)),
        (set(&[&others[..], std::slice::from_ref(&ec)].concat()), Err("has more than four keys")),
        (set(&[]), Err("has no key")),
        (set(&[ec.clone(), ec.clone()]), Err("has a key twice")),
        (set(&[ec.clone(), jwk("{", &format!(r#"{{"d":"{GX}","#))]), Err("has a private key")),
        (jwk("{", &format!(r#"{{"d":"{GX}","#)), Err("has a private key")),
        (r#"{"kty":"oct","k":"AAAA"}"#.into(), Err("has a private key")),
        (set(&[r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.into()]), Err("has something else")),
        (jwk("P-256", "P-384"), Err("has something else")),
        (format!("[{ec}]"), Err("has something else")),
        (format!(r#"[[{ec}]]"#), Err("has something else")),
        (r#"{"keys":{}}"#.into(), Err("has something else")),
        (format!(r#"{{"keys":[],"keys":[{ec}]}}"#), Err("has something else")),
        ("{}".into(), Err("has something else")),
        (String::new(), Err("is not JSON")),
        ("-----BEGIN PUBLIC KEY-----".into(), Err("is not JSON")),
        (" ".repeat(9000), Err("has more than 8192 bytes")),
    ] {
        match (IssuerKey::set_from_json(&json), expected) {
            (Ok(keys), Ok(count)) => assert_eq!(keys.len(), count, "{json}"),
            (Err(error), Err(begin)) => assert!(error.starts_with(begin), "{json}: {error}"),
            (read, expected) => panic!("{json}: {read:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn a_private_jwk_is_read_and_its_halves_must_fit() {
    let key = SigningKey::generate().unwrap();
    let d = base64url::encode(&key.to_pkcs8()[36..68]);
    let public = key.public().to_jwk();
    let with = |more: &str| public.replacen('{', &format!("{{{more},"), 1);
    let good = with(&format!(r#""d":"{d}""#));
    for json in
        [&good, &with(&format!(r#""d":"{d}","alg":"ES256","use":"sig","key_ops":["sign"],"ext":true,"kid":"1""#))]
    {
        assert_eq!(SigningKey::from_jwk(json).unwrap().public(), key.public(), "{json}");
    }
    let other = SigningKey::generate().unwrap().public().to_jwk().replacen('{', &format!(r#"{{"d":"{d}","#), 1);
    for json in [
        public.clone(),
        other,
        good.replace("EC", "OKP"),
        good.replace("P-256", "P-384"),
        good.replace(&d, &d[1..]),
        good.replace(&d, &"A".repeat(43)),
        good.replace(&format!("{d:?}"), "7"),
        with(&format!(r#""d":"{d}","alg":"EdDSA""#)),
        with(&format!(r#""d":"{d}","d":"{d}""#)),
        with(&format!(r#""d":"{d}","x5u":"https://example.org""#)),
        String::new(),
        "{}".into(),
    ] {
        let error = SigningKey::from_jwk(&json).unwrap_err();
        assert_eq!(error, JoseError::PrivateKey, "{json}");
    }
}

#[test]
fn a_thumbprint_has_one_text() {
    let thumbprint = generator().thumbprint();
    let text = thumbprint.to_string();
    assert_eq!((text.len(), text.parse()), (43, Ok(thumbprint)));
    assert_eq!(serde_json::from_str::<Thumbprint>(&format!("{text:?}")).unwrap(), thumbprint);
    let zeros = "A".repeat(43);
    assert_eq!(zeros.parse::<Thumbprint>().unwrap().as_bytes(), &[0; 32]);
    let rows = ["", &zeros[1..], &format!("{zeros}A"), &format!("{}=", &zeros[1..]), &format!("{}B", &zeros[1..])];
    for wrong in rows.into_iter().chain([&*format!("{}+", &zeros[1..]), &*format!(" {}", &zeros[1..])]) {
        assert_eq!(wrong.parse::<Thumbprint>(), Err(JoseError::Thumbprint), "{wrong:?}");
    }
    assert_eq!(BTreeSet::from([thumbprint, thumbprint]).len() + HashSet::from([thumbprint]).len(), 2);
}

#[test]
fn private_keys_outlive_a_restart_and_show_their_thumbprint_only() {
    let signing = SigningKey::generate().unwrap();
    let der = signing.to_pkcs8();
    let again = SigningKey::from_pkcs8(&der).unwrap();
    assert_eq!((again.public(), &again.to_pkcs8()), (signing.public(), &der));
    assert_eq!(format!("{again:?}"), format!("SigningKey({})", signing.public().thumbprint()));
    let message = again.sign(&PLAIN, b"text").unwrap();
    assert_eq!(Jws::parse(&message, MAX).unwrap().verify_es256(signing.public()).unwrap(), b"text");
    // ring reads the same form.
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    assert!(ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &der, &random).is_ok());

    let sealing = SealingKey::generate().unwrap();
    let again = SealingKey::from_pkcs8(&sealing.to_pkcs8()).unwrap();
    assert_eq!(format!("{again:?}"), format!("SealingKey({})", sealing.public().thumbprint()));
    assert_eq!(again.open(&seal(sealing.public(), b"text").unwrap(), MAX).unwrap(), b"text");
}

#[test]
fn a_damaged_private_key_is_refused() {
    let der = SealingKey::generate().unwrap().to_pkcs8();
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 1;
        assert_eq!(SigningKey::from_pkcs8(&damaged).unwrap_err(), JoseError::PrivateKey, "byte {at}");
        assert_eq!(SealingKey::from_pkcs8(&damaged).unwrap_err(), JoseError::PrivateKey, "byte {at}");
        assert_eq!(SealingKey::from_pkcs8(&der[..at]).unwrap_err(), JoseError::PrivateKey, "{at} bytes");
    }
    let long = [&der[..], &[0]].concat();
    assert_eq!(SigningKey::from_pkcs8(&long).unwrap_err(), JoseError::PrivateKey);
    // 0, and the order of the curve.
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    for number in [[0; 32], order.try_into().unwrap()] {
        assert_eq!(PrivateKey::from_scalar(&number).err(), Some(JoseError::PrivateKey));
    }
}
