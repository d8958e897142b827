//! Issuers of tests, and deny lists: what is one, which may follow which, and what it refuses.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{
    deny_list::*,
    issuers::{DenyState, Issuer, Issuers},
    viewer_list::viewer_id,
};
use crate::{
    config::Id,
    jose::{IssuerKey, PublicKey, SigningKey, Thumbprint},
};

/// An issuer that signs what a test wants.
#[expect(clippy::large_enum_variant, reason = "tests make few")]
pub(crate) enum TestIssuer {
    Es256(SigningKey),
    Ed25519(Ed25519KeyPair),
}

impl TestIssuer {
    pub(crate) fn new() -> Self {
        Self::Es256(SigningKey::generate().unwrap())
    }

    fn with_ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
    }

    /// One of each kind.
    pub(crate) fn kinds() -> [Self; 2] {
        [Self::new(), Self::with_ed25519()]
    }

    pub(crate) fn key(&self) -> IssuerKey {
        match self {
            Self::Es256(key) => IssuerKey::Es256(*key.public()),
            Self::Ed25519(pair) => IssuerKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()),
        }
    }

    pub(crate) fn kid(&self) -> Thumbprint {
        self.key().thumbprint()
    }

    pub(crate) fn id(&self) -> Id {
        viewer_id(&self.kid())
    }

    pub(crate) fn header(&self, typ: &str) -> Value {
        json!({ "alg": self.key().algorithm(), "typ": typ, "kid": self.kid() })
    }

    /// Signs this payload with any header.
    pub(crate) fn sign(&self, header: &Value, payload: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        match self {
            Self::Es256(key) => {
                // A header that the key would not sign is put there afterwards, and the signature is wrong then.
                let Ok(signed) = key.sign(header, payload.as_bytes()) else {
                    return format!("{text}.{}", "A".repeat(86));
                };
                signed
            }
            Self::Ed25519(pair) => format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()))),
        }
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header("fanlight-token"), &claims.to_string())
    }

    pub(crate) fn deny(&self, number: u64, before: u64, ids: &[&str]) -> String {
        let list = json!({ "number": number, "before": before, "ids": ids });
        self.sign(&self.header("fanlight-deny"), &list.to_string())
    }

    /// A board that knows this issuer, which denies nothing.
    pub(crate) fn known(&self) -> Issuers {
        let issuers = Issuers::default().with_keys([self.key()], 86_400);
        issuers.with_state(&self.id(), DenyState::Known(Arc::default()))
    }

    /// The same, with this deny list.
    pub(crate) fn denying(&self, before: u64, ids: &[&str]) -> Issuers {
        let list = SignedDenyList::of_key(&self.deny(1, before, ids), &self.key(), None).unwrap();
        self.known().with_state(&self.id(), DenyState::Known(Arc::clone(list.list())))
    }
}

/// The claims of a token for this viewer and the board `porch`.
pub(crate) fn claims(viewer: &PublicKey, issued: u64, ends: u64) -> Value {
    let jwk: Value = serde_json::from_str(&viewer.to_jwk()).unwrap();
    json!({
        "jti": "4mJc1fXgQYk", "aud": ["porch"], "cnf": { "jwk": jwk }, "rights": ["view", "listen"], "iat": issued,
        "exp": ends, "name": "Anna",
    })
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

#[test]
fn the_content_of_a_list_is_read_strictly() {
    let list = DenyList::read(r#"{"number":7,"before":1767225600,"ids":["4mJc1fXgQYk","b"],"more":[null]}"#).unwrap();
    assert_eq!((list.number, list.before, list.ids.len()), (7, 1_767_225_600, 2));
    assert_eq!(DenyList::read(&list.to_json()), Some(list));
    assert!(DenyList::read(r#"{"number":1,"before":0,"ids":[]}"#).is_some());
    let many = |n: usize| {
        let ids: Vec<_> = (0..n).map(|n| format!("id-{n}")).collect();
        json!({ "number": 1, "before": 0, "ids": ids }).to_string()
    };
    assert_eq!(DenyList::read(&many(1000)).unwrap().ids.len(), 1000);
    for wrong in [
        "".to_owned(),
        "[]".into(),
        r#"[1,0,[]]"#.into(),
        many(1001),
        r#"{"before":0,"ids":[]}"#.into(),
        r#"{"number":1,"ids":[]}"#.into(),
        r#"{"number":1,"before":0}"#.into(),
        r#"{"number":0,"before":0,"ids":[]}"#.into(),
        r#"{"number":-1,"before":0,"ids":[]}"#.into(),
        r#"{"number":1.0,"before":0,"ids":[]}"#.into(),
        r#"{"number":1e3,"before":0,"ids":[]}"#.into(),
        r#"{"number":18446744073709551616,"before":0,"ids":[]}"#.into(),
        r#"{"number":"1","before":0,"ids":[]}"#.into(),
        r#"{"number":true,"before":0,"ids":[]}"#.into(),
        r#"{"number":1,"before":null,"ids":[]}"#.into(),
        r#"{"number":1,"before":"0","ids":[]}"#.into(),
        r#"{"number":1,"before":0,"ids":"a"}"#.into(),
        r#"{"number":1,"before":0,"ids":{"a":1}}"#.into(),
        r#"{"number":1,"before":0,"ids":[1]}"#.into(),
        r#"{"number":1,"before":0,"ids":[["a"]]}"#.into(),
        r#"{"number":1,"before":0,"ids":[""]}"#.into(),
        r#"{"number":1,"before":0,"ids":["a b"]}"#.into(),
        r#"{"number":1,"number":2,"before":0,"ids":[]}"#.into(),
        r#"{"number":1,"before":0,"ids":[],"ids":[]}"#.into(),
    ] {
        assert_eq!(DenyList::read(&wrong), None, "{wrong}");
    }
}

#[test]
fn a_list_refuses_by_token_by_viewer_and_by_time() {
    let list = DenyList { number: 1, before: 100, ids: [id("token-1"), id("viewer-1")].into() };
    for (token, viewer, issued, expected) in [
        ("token-1", "viewer-2", 100, true),
        ("token-2", "viewer-1", 100, true),
        ("token-2", "viewer-2", 99, true),
        ("token-2", "viewer-2", 100, false),
        ("viewer-1", "token-2", 100, true),
    ] {
        assert_eq!(list.denies(&id(token), &id(viewer), issued), expected, "{token} {viewer} {issued}");
    }
    assert!(!DenyList::default().denies(&id("a"), &id("b"), 0), "no list refuses nothing");
}

#[test]
fn a_list_can_only_grow() {
    let list =
        |number, before, ids: &[&str]| DenyList { number, before, ids: ids.iter().map(|text| id(text)).collect() };
    let known = list(7, 100, &["a", "b"]);
    for (next, expected) in [
        (list(8, 100, &["a", "b"]), Ok(())),
        (list(9, 200, &["a", "b", "c"]), Ok(())),
        (list(u64::MAX, u64::MAX, &["b", "a"]), Ok(())),
        (list(7, 100, &["a", "b"]), Err(DenyListOrder::Number { known: 7, new: 7 })),
        (list(6, 200, &["a", "b", "c"]), Err(DenyListOrder::Number { known: 7, new: 6 })),
        (list(8, 100, &["a"]), Err(DenyListOrder::Id(id("b")))),
        (list(8, 100, &[]), Err(DenyListOrder::Id(id("a")))),
        (list(8, 99, &["a", "b"]), Err(DenyListOrder::Before)),
        (list(8, 0, &["a", "b", "c"]), Err(DenyListOrder::Before)),
    ] {
        assert_eq!(next.follows(&known), expected, "{next:?}");
    }
    assert_eq!(list(1, 0, &[]).follows(&DenyList::default()), Ok(()));
}

#[test]
fn a_signed_list_is_one_of_its_issuer_and_newer() {
    for issuer in TestIssuer::kinds() {
        let (other, key) = (TestIssuer::new(), issuer.key());
        let text = issuer.deny(7, 0, &["a"]);
        let read = SignedDenyList::of_key(&format!("\n{text} \n"), &key, None).unwrap();
        assert_eq!((read.issuer(), read.list().number, read.text()), (&issuer.id(), 7, text.as_str()));
        assert_eq!(SignedDenyList::named_issuer(&text), Ok(issuer.kid()));
        assert!(!format!("{read:?}").contains(&text[..40]));
        let list = json!({ "number": 7, "before": 0, "ids": [] }).to_string();
        let with = |field: &str, value: Value| {
            let mut header = issuer.header("fanlight-deny");
            header[field] = value;
            issuer.sign(&header, &list)
        };
        let (front, _) = text.rsplit_once('.').unwrap();
        let long: Vec<_> = (0..1000).map(|n| format!("{n:0>60}")).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        for (what, text, expected) in [
            ("a token", with("typ", "fanlight-token".into()), DenyListFault::Form),
            ("without a type", with("typ", Value::Null), DenyListFault::Form),
            ("a kid that is no thumbprint", with("kid", "a".into()), DenyListFault::Form),
            ("one more field", with("more", 1.into()), DenyListFault::Form),
            ("the key of another", with("kid", json!(other.kid())), DenyListFault::Issuer),
            ("by another", other.deny(7, 0, &[]), DenyListFault::Issuer),
            ("by another, in the name of this one", other.sign(&with_alg(&issuer, &other), &list), forged(&issuer)),
            ("with a changed signature", format!("{front}.{}", "A".repeat(86)), DenyListFault::Signature),
            ("with another content", issuer.sign(&issuer.header("fanlight-deny"), "{}"), DenyListFault::Form),
            ("larger than a message", issuer.deny(7, 0, &long), DenyListFault::Form),
            ("nothing", String::new(), DenyListFault::Form),
            ("plain JSON", list.clone(), DenyListFault::Form),
        ] {
            assert_eq!(SignedDenyList::of_key(&text, &key, None), Err(expected), "{what}");
        }
        for (known, expected) in [(6, None), (7, Some(DenyListFault::Old)), (8, Some(DenyListFault::Old))] {
            assert_eq!(SignedDenyList::of_key(&text, &key, Some(known)).err(), expected, "{known}");
        }
        let unsigned = format!("{front}.{}", "A".repeat(86));
        assert_eq!(SignedDenyList::of_key(&unsigned, &key, Some(7)), Err(DenyListFault::Old), "before the signature");
    }
}

/// The header of a list by `issuer`, with the algorithm of `signer`.
fn with_alg(issuer: &TestIssuer, signer: &TestIssuer) -> Value {
    let mut header = issuer.header("fanlight-deny");
    header["alg"] = json!(signer.key().algorithm());
    header
}

/// What a list is that an ES256 key signed in the name of `issuer`: another algorithm shows before the signature.
fn forged(issuer: &TestIssuer) -> DenyListFault {
    match issuer {
        TestIssuer::Es256(_) => DenyListFault::Signature,
        TestIssuer::Ed25519(_) => DenyListFault::Issuer,
    }
}

#[test]
fn issuers_keep_their_lists_when_others_come_and_go() {
    let (one, two) = (TestIssuer::new(), TestIssuer::new());
    let state = |issuers: &Issuers, issuer: &TestIssuer| issuers.by_kid(&issuer.kid()).map(Issuer::state).cloned();
    let known = one.denying(0, &["a"]);
    let both = known.with_keys([two.key(), one.key()], 600);
    assert_eq!(state(&both, &two), Some(DenyState::Unread));
    assert_eq!((state(&both, &one), both.token_max()), (state(&known, &one), 600));
    assert_eq!(both.by_id(&two.id()).unwrap().key(), &two.key());
    let denies = |issuers: &Issuers, issuer: &TestIssuer, token: &str| {
        issuers.by_kid(&issuer.kid()).unwrap().denies(&id(token), &id("viewer"), 100)
    };
    assert!(denies(&both, &one, "a") && !denies(&both, &one, "b"));
    assert!(denies(&both, &two, "b"), "nobody knows yet what it has taken back");
    assert!(denies(&both.with_state(&two.id(), DenyState::Unusable), &two, "b"));
    assert!(!denies(&both.with_state(&two.id(), DenyState::Known(Arc::default())), &two, "b"));
    let without = both.with_keys([two.key()], 600);
    assert_eq!((state(&without, &one), without.iter().count(), without.is_empty()), (None, 1, false));
    assert_eq!(state(&without.with_keys([one.key()], 600), &one), Some(DenyState::Unread), "it is read again");
}
