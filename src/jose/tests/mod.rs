//! Tests of the whole part: the examples of the RFCs, the vectors of Wycheproof, and hostile messages.

mod hostile;
mod keys;
mod rfc;
mod wycheproof;

use serde::{Deserialize, Serialize};

use super::{Algorithm, IssuerKey, JoseError, Jws, PublicKey, SealingKey, SigningKey, base64url, jwe, seal};
use super::{Thumbprint, present, secret::PrivateKey};

/// More than any message of these tests has.
const MAX: usize = 32 << 10;

/// A header as the callers have them.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Algorithm,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// The header of a message without a `kid`.
const PLAIN: Header = Header { alg: Algorithm::Es256, kid: None };

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The key with this private number, in base64url as `d` of a JWK has it.
fn private(d: &str) -> PrivateKey {
    PrivateKey::from_scalar(&base64url::decode_exact(d).unwrap()).unwrap()
}

/// Joins parts to the compact form; a part is given as its bytes.
fn compact<const N: usize>(parts: [&[u8]; N]) -> String {
    parts.map(base64url::encode).join(".")
}
