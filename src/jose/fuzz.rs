//! The body of a fuzz target: hostile bytes as signed and sealed messages, and as keys.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Algorithm, IssuerKey, JoseError, Jws, PublicKey, SealingKey, SigningKey, Thumbprint, present};

/// The largest message that is read, in bytes.
const MAX: usize = 32 << 10;

/// The header of a signed message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FuzzHeader {
    #[serde(rename = "alg")]
    _alg: Algorithm,
    #[serde(default, deserialize_with = "present")]
    kid: Option<Thumbprint>,
}

/// Each is made once; both are new in each process, so that no input can be signed by them.
static KEYS: LazyLock<Result<(SigningKey, SealingKey), JoseError>> =
    LazyLock::new(|| Ok((SigningKey::generate()?, SealingKey::generate()?)));

/// Reads the bytes in each way. Nothing is verified, and what is accepted has one form only.
pub(crate) fn envelope(data: &[u8]) {
    let Ok((signing, sealing)) = &*KEYS else { return };
    private(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    public(text);
    for key in [IssuerKey::Es256(*signing.public()), IssuerKey::Ed25519(*sealing.public().thumbprint().as_bytes())] {
        let Ok(jws) = Jws::parse(text, MAX) else { break };
        if let Ok(FuzzHeader { kid: Some(kid), .. }) = jws.header() {
            assert_eq!(kid.to_string().parse(), Ok(kid));
        }
        assert!(jws.verify_issuer(&key).is_err(), "a signature of a key that nobody has");
    }
    if let Ok(opened) = sealing.open(text, MAX) {
        assert!(opened.len() < text.len());
    }
}

/// Public keys.
fn public(text: &str) {
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
        assert_eq!(PublicKey::from_jwk(&key.to_jwk()), Ok(key));
    }
    let issuer = IssuerKey::from_jwk(text);
    if let Ok(key) = issuer {
        assert_eq!(IssuerKey::set_from_json(text), Ok(vec![key]));
    }
    if let Ok(key) = PublicKey::from_jwk(text) {
        assert_eq!(issuer, Ok(IssuerKey::Es256(key)));
    }
}

/// Private keys.
fn private(data: &[u8]) {
    let signing = SigningKey::from_pkcs8(data).map(|key| key.to_pkcs8());
    let sealing = SealingKey::from_pkcs8(data).map(|key| key.to_pkcs8());
    assert_eq!(signing, sealing);
    assert!(signing.is_err() || signing.is_ok_and(|der| **der == *data));
}
