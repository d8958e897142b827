//! Tokens: each claim wrong in each way, and each check in its turn.

use serde_json::{Value, json};

use super::{
    issuer_tests::{TestIssuer, claims},
    issuers::{DenyState, Issuers},
    token::*,
    viewer_list::viewer_id,
};
use crate::{
    config::Id,
    jose::SigningKey,
    protocol::{Right, Rights},
};

/// 2026-01-01 00:01:40.
const NOW: u64 = 1_767_225_700;
const ISSUED: u64 = NOW - 100;
const ENDS: u64 = NOW + 28_700;

/// An issuer, a viewer, and the board `porch`.
struct Stage {
    issuer: TestIssuer,
    viewer: SigningKey,
    issuers: Issuers,
}

impl Stage {
    fn new(issuer: TestIssuer) -> Self {
        let issuers = issuer.known();
        Self { issuer, viewer: SigningKey::generate().unwrap(), issuers }
    }

    fn claims(&self) -> Value {
        claims(self.viewer.public(), ISSUED, ENDS)
    }

    /// The claims with another value of one.
    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    fn without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn check(&self, token: &str, now: Option<u64>) -> Result<AcceptedToken, TokenFault> {
        let device = Id::new("porch").unwrap();
        let viewer = self.viewer.public().thumbprint();
        let context = TokenContext { issuers: &self.issuers, device: &device, viewer: &viewer, now };
        UnverifiedToken::check(token, &context)?.verify()
    }

    fn fault(&self, claims: &Value) -> Option<TokenFault> {
        self.check(&self.issuer.token(claims), Some(NOW)).err()
    }
}

#[test]
fn a_token_of_each_kind_of_key_is_accepted() {
    for issuer in TestIssuer::kinds() {
        let stage = Stage::new(issuer);
        let accepted = stage.check(&stage.issuer.token(&stage.claims()), Some(NOW)).unwrap();
        let AcceptedToken { claims, issuer, time } = accepted;
        assert_eq!((issuer, time), (stage.issuer.kid(), TokenTime::Valid));
        assert_eq!((claims.id.as_str(), claims.issued, claims.ends), ("4mJc1fXgQYk", ISSUED, ENDS));
        assert_eq!((claims.rights, claims.name.as_deref()), (Rights::of([Right::View, Right::Listen]), Some("Anna")));
        assert_eq!((claims.key, claims.audience), (*stage.viewer.public(), Some(vec![Id::new("porch").unwrap()])));
    }
}

#[test]
fn claims_that_are_right_in_other_ways_are_accepted() {
    let stage = Stage::new(TestIssuer::new());
    let boards: Vec<_> = (0..31).map(|n| format!("b{n}")).chain(["porch".to_owned()]).collect();
    let mut jwk = stage.claims()["cnf"]["jwk"].clone();
    for (name, value) in [("kid", "1"), ("use", "sig"), ("alg", "ES256")] {
        jwk[name] = value.into();
    }
    jwk["key_ops"] = json!(["verify"]);
    jwk["ext"] = json!(true);
    for claims in [
        stage.with("aud", json!("porch")),
        stage.with("aud", json!("*")),
        stage.with("aud", json!(["*"])),
        stage.with("aud", json!(["garden", "*"])),
        stage.with("aud", json!(boards)),
        stage.with("cnf", json!({ "jwk": jwk })),
        stage.with("rights", json!(["events"])),
        stage.with("jti", json!("x".repeat(64))),
        stage.with("name", json!("ä".repeat(64))),
        stage.without("name"),
        stage.with("iss", json!({ "any": [1, 2.5, null, "x"] })),
        stage.with("iat", json!(NOW + 60)),
        stage.with("exp", json!(ISSUED + 86_400)),
        stage.with("exp", json!(NOW + 1)),
    ] {
        assert_eq!(stage.fault(&claims), None, "{claims}");
    }
}

#[test]
fn each_claim_that_is_wrong_is_noticed() {
    use TokenFault as F;
    let stage = Stage::new(TestIssuer::new());
    for name in ["jti", "aud", "cnf", "rights", "iat", "exp"] {
        assert_eq!(stage.fault(&stage.without(name)), Some(F::Form), "without {name}");
    }
    let other = SigningKey::generate().unwrap();
    let other: Value = serde_json::from_str(&other.public().to_jwk()).unwrap();
    let jwk = stage.claims()["cnf"]["jwk"].clone();
    let private = json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"], "d": jwk["x"] } });
    let ed25519 = json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": jwk["x"] } });
    let seal = json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"], "use": "enc" } });
    let off_curve = json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": jwk["y"], "y": jwk["x"] } });
    let many: Vec<_> = (0..33).map(|n| format!("b{n}")).collect();
    let rows: &[(&str, Value, F)] = &[
        ("jti", json!(""), F::Form),
        ("jti", json!("x".repeat(65)), F::Form),
        ("jti", json!("a b"), F::Form),
        ("jti", json!("a+b/"), F::Form),
        ("jti", json!(7), F::Form),
        ("jti", json!(["4mJc1fXgQYk"]), F::Form),
        ("jti", Value::Null, F::Form),
        ("aud", json!([]), F::Form),
        ("aud", json!(""), F::Form),
        ("aud", json!(["porch", ""]), F::Form),
        ("aud", json!(["porch", 7]), F::Form),
        ("aud", json!([["porch"]]), F::Form),
        ("aud", json!({ "porch": true }), F::Form),
        ("aud", json!(7), F::Form),
        ("aud", json!(many), F::Form),
        ("aud", json!("porch,garden"), F::Form),
        ("aud", Value::Null, F::Form),
        ("aud", json!("garden"), F::Audience),
        ("aud", json!("Porch"), F::Audience),
        ("aud", json!("porch2"), F::Audience),
        ("aud", json!(["garden", "hall"]), F::Audience),
        ("cnf", json!({}), F::Form),
        ("cnf", json!({ "kid": "a" }), F::Form),
        ("cnf", json!({ "jwk": jwk, "kid": "a" }), F::Form),
        ("cnf", json!({ "jwk": jwk.to_string() }), F::Form),
        ("cnf", json!({ "jwk": [jwk] }), F::Form),
        ("cnf", json!([{ "jwk": jwk }]), F::Form),
        ("cnf", jwk.clone(), F::Form),
        ("cnf", private, F::Form),
        ("cnf", ed25519, F::Form),
        ("cnf", seal, F::Form),
        ("cnf", off_curve, F::Form),
        ("cnf", json!({ "jwk": other }), F::Viewer),
        ("rights", json!([]), F::Form),
        ("rights", json!("view"), F::Form),
        ("rights", json!(["view", "fly"]), F::Form),
        ("rights", json!(["view", "view"]), F::Form),
        ("rights", json!(["View"]), F::Form),
        ("rights", json!(["view,listen"]), F::Form),
        ("rights", json!([1]), F::Form),
        ("rights", json!({ "view": true }), F::Form),
        ("rights", Value::Null, F::Form),
        ("iat", json!(ISSUED.to_string()), F::Form),
        ("iat", json!(ISSUED as f64 + 0.5), F::Form),
        ("iat", json!(-1), F::Form),
        ("iat", json!([ISSUED]), F::Form),
        ("iat", json!(true), F::Form),
        ("iat", Value::Null, F::Form),
        ("iat", json!(NOW + 61), F::Times),
        ("iat", json!(ENDS), F::Times),
        ("iat", json!(ENDS + 1), F::Times),
        ("iat", json!(0), F::Times),
        ("iat", json!(u64::MAX), F::Times),
        ("exp", json!(ENDS.to_string()), F::Form),
        ("exp", json!(ENDS as f64), F::Form),
        ("exp", json!({ "at": ENDS }), F::Form),
        ("exp", Value::Null, F::Form),
        ("exp", json!(ISSUED), F::Times),
        ("exp", json!(ISSUED - 1), F::Times),
        ("exp", json!(0), F::Times),
        ("exp", json!(ISSUED + 86_401), F::Times),
        ("exp", json!(u64::MAX), F::Times),
        ("name", json!(""), F::Form),
        ("name", json!("x".repeat(65)), F::Form),
        ("name", json!("a\nb"), F::Form),
        ("name", json!("a\u{202e}b"), F::Form),
        ("name", json!(7), F::Form),
        ("name", Value::Null, F::Form),
    ];
    for (name, value, expected) in rows {
        assert_eq!(stage.fault(&stage.with(name, value.clone())), Some(*expected), "{name}: {value}");
    }
    // A number that JSON can write in another way.
    let text = stage.claims().to_string();
    for (from, to) in [
        (format!("{ISSUED}"), format!("{ISSUED}.0")),
        (format!("{ISSUED}"), "1.7672256e9".to_owned()),
        (format!("{ISSUED}"), format!("0{ISSUED}")),
        (r#""exp""#.to_owned(), format!(r#""exp":{ENDS},"exp""#)),
        (r#""kty""#.to_owned(), r#""kty":"EC","kty""#.to_owned()),
        (r#""exp""#.to_owned(), r#""\u0065xp""#.to_owned() + ":1,\"exp\""),
    ] {
        let changed = text.replacen(&from, &to, 1);
        assert_ne!(changed, text);
        let token = stage.issuer.sign(&stage.issuer.header("fanlight-token"), &changed);
        assert_eq!(stage.check(&token, Some(NOW)).err(), Some(F::Form), "{changed}");
    }
}

#[test]
fn each_header_that_is_wrong_is_noticed() {
    use TokenFault as F;
    for issuer in TestIssuer::kinds() {
        let stage = Stage::new(issuer);
        let (other, payload) = (TestIssuer::new(), stage.claims().to_string());
        let with = |field: &str, value: Value| {
            let mut header = stage.issuer.header("fanlight-token");
            header[field] = value;
            stage.issuer.sign(&header, &payload)
        };
        let good = stage.issuer.token(&stage.claims());
        let (front, _) = good.rsplit_once('.').unwrap();
        let is_ed25519 = matches!(stage.issuer, TestIssuer::Ed25519(_));
        let rows = [
            ("typ", json!("fanlight-deny"), F::Form),
            ("typ", json!("JWT"), F::Form),
            ("typ", json!(["fanlight-token"]), F::Form),
            ("typ", Value::Null, F::Form),
            ("kid", json!("short"), F::Form),
            ("kid", json!(other.kid()), F::Issuer),
            ("kid", json!(viewer_id(&stage.issuer.kid()).as_str()), F::Form),
            ("kid", Value::Null, F::Form),
            ("jwk", json!({}), F::Form),
            ("crit", json!([]), F::Form),
            ("more", json!(1), F::Form),
            ("alg", json!("none"), F::Form),
            ("alg", json!("HS256"), F::Form),
            ("alg", json!(if is_ed25519 { "ES256" } else { "EdDSA" }), F::Issuer),
        ];
        for (field, value, expected) in rows {
            assert_eq!(stage.check(&with(field, value.clone()), Some(NOW)).err(), Some(expected), "{field}: {value}");
        }
        // RFC 9864 has another name for the same algorithm.
        assert_eq!(stage.check(&with("alg", json!("Ed25519")), Some(NOW)).is_ok(), is_ed25519);
        let mut forged = stage.issuer.header("fanlight-token");
        forged["alg"] = json!(other.key().algorithm());
        for (what, token, expected) in [
            ("by another key", other.sign(&forged, &payload), if is_ed25519 { F::Issuer } else { F::Signature }),
            ("without its signature", format!("{front}.{}", "A".repeat(86)), F::Signature),
            ("cut short", good[..good.len() - 1].to_owned(), F::Form),
            ("with a line end", format!("{good}\n"), F::Form),
            ("nothing", String::new(), F::Form),
            ("plain JSON", payload.clone(), F::Form),
            ("too long", stage.issuer.token(&stage.with("more", json!("x".repeat(4000)))), F::Form),
        ] {
            assert_eq!(stage.check(&token, Some(NOW)).err(), Some(expected), "{what}");
        }
    }
}

#[test]
fn a_token_has_a_beginning_and_an_end() {
    let stage = Stage::new(TestIssuer::new());
    let token = stage.issuer.token(&stage.claims());
    for (now, expected) in [
        (None, Ok(TokenTime::Unknown)),
        (Some(0), Err(TokenFault::Times)),
        (Some(ISSUED - 61), Err(TokenFault::Times)),
        (Some(ISSUED - 60), Ok(TokenTime::Valid)),
        (Some(NOW), Ok(TokenTime::Valid)),
        (Some(ENDS - 1), Ok(TokenTime::Valid)),
        (Some(ENDS), Ok(TokenTime::Ended)),
        (Some(u64::MAX), Ok(TokenTime::Ended)),
    ] {
        assert_eq!(stage.check(&token, now).map(|accepted| accepted.time), expected, "{now:?}");
    }
    // Without a right clock, what does not depend on it is checked.
    let long = stage.issuer.token(&stage.with("exp", json!(ISSUED + 86_401)));
    assert_eq!(stage.check(&long, None).err(), Some(TokenFault::Times));
    let mut shorter = Stage { issuers: stage.issuers.with_keys([stage.issuer.key()], 600), ..stage };
    assert_eq!(shorter.fault(&shorter.claims()), Some(TokenFault::Times));
    assert_eq!(shorter.fault(&shorter.with("exp", json!(ISSUED + 600))), None);
    shorter.issuers = Issuers::default();
    assert_eq!(shorter.fault(&shorter.with("exp", json!(ISSUED + 600))), Some(TokenFault::Issuer));
}

#[test]
fn a_token_that_was_taken_back_is_refused_before_its_signature_is_checked() {
    let mut stage = Stage::new(TestIssuer::new());
    let viewer = viewer_id(&stage.viewer.public().thumbprint());
    let (id, issuer) = (stage.issuer.id(), &stage.issuer);
    let rows = [
        (issuer.denying(0, &["4mJc1fXgQYk"]), true),
        (issuer.denying(0, &["a", viewer.as_str()]), true),
        (issuer.denying(ISSUED + 1, &[]), true),
        (issuer.denying(ISSUED, &["a"]), false),
        (issuer.known().with_state(&id, DenyState::Unread), true),
        (issuer.known().with_state(&id, DenyState::Unusable), true),
    ];
    for (issuers, is_denied) in rows {
        stage.issuers = issuers;
        let token = stage.issuer.token(&stage.claims());
        let unsigned = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86));
        for now in [Some(NOW), Some(ENDS), None] {
            let expected = is_denied.then_some(TokenFault::Denied);
            assert_eq!(stage.check(&token, now).err(), expected, "{:?} {now:?}", stage.issuers);
            assert_eq!(stage.check(&unsigned, now).err(), expected.or(Some(TokenFault::Signature)));
        }
    }
}
