//! The public keys of issuers, who sign tokens.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Algorithm, JoseError, PublicKey, Thumbprint, base64url,
    header::{self, Object, present},
};

/// The most keys of a set.
const KEYS_MAX: usize = 4;
/// The longest text of a set, in bytes.
const SET_MAX: usize = 8192;

/// The key that verifies the tokens of an issuer. Its kind fixes the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerKey {
    /// A point of P-256, for ES256.
    Es256(PublicKey),
    /// The 32 bytes of a public key of Ed25519 (RFC 8032 section 5.1.5).
    Ed25519([u8; 32]),
}

impl IssuerKey {
    /// From a public JWK: `EC` with `P-256` (RFC 7518 section 6.2.1), or `OKP` with `Ed25519` (RFC 8037 section 2). It
    /// may also have `kid`, which is not used, `use`, `alg`, `key_ops` and `ext`; the key must be one that verifies
    /// signatures with its algorithm. Private keys and all other members are [`JoseError::PublicKey`].
    pub fn from_jwk(json: &str) -> Result<Self, JoseError> {
        header::typed::<IssuerJwk>(json).map_err(|_| JoseError::PublicKey)?.key()
    }

    /// From a public JWK, or a JWK set (RFC 7517 section 5) of one to four. Each must be one that [`Self::from_jwk`]
    /// accepts, and none may occur twice. An error completes a sentence about the text, and shows nothing of it.
    pub fn set_from_json(json: &str) -> Result<Vec<Self>, &'static str> {
        if json.len() > SET_MAX {
            return Err("has more than 8192 bytes");
        }
        let jwks = match serde_json::from_str::<Object<JwkSet>>(json) {
            Ok(Object(set)) => set.keys,
            Err(_) => vec![serde_json::from_str(json).map_err(|_| fault(json))?],
        };
        let mut keys = Vec::new();
        for Object(jwk) in jwks {
            let key = jwk.key().map_err(|_| fault(json))?;
            if keys.contains(&key) {
                return Err("has a key twice");
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err("has no key"),
            1..=KEYS_MAX => Ok(keys),
            _ => Err("has more than four keys"),
        }
    }

    /// The algorithm of the signatures of this key.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The name of this key (RFC 7638, RFC 8037 section 2).
    pub fn thumbprint(&self) -> Thumbprint {
        match self {
            Self::Es256(key) => key.thumbprint(),
            Self::Ed25519(key) => {
                let x = base64url::encode(key);
                Thumbprint::of(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#))
            }
        }
    }
}

/// Why a text holds no keys of an issuer.
fn fault(json: &str) -> &'static str {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return "is not JSON" };
    let keys = value.get("keys").and_then(Value::as_array);
    let keys = keys.map_or_else(|| vec![&value], |keys| keys.iter().collect());
    // `d` of EC, OKP and RSA, `k` of oct (RFC 7518 section 6).
    if keys.iter().any(|key| ["d", "k"].iter().any(|name| key.get(name).is_some())) {
        "has a private key: only its public half belongs here"
    } else {
        "has something else than public keys for signatures, of the kind EC with P-256, or OKP with Ed25519"
    }
}

/// A set of keys. Members that are not named here mean nothing.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Object<IssuerJwk>>,
}

/// The public JWK of an issuer. A member that is not named here is refused: `d` would make it a private key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerJwk {
    kty: String,
    crv: String,
    x: String,
    #[serde(default, deserialize_with = "present")]
    y: Option<String>,
    #[serde(default, deserialize_with = "present")]
    alg: Option<Algorithm>,
    #[serde(default, deserialize_with = "present", rename = "use")]
    usage: Option<String>,
    #[serde(default, deserialize_with = "present")]
    key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", rename = "kid")]
    _kid: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "ext")]
    _ext: Option<bool>,
}

impl IssuerJwk {
    fn key(self) -> Result<IssuerKey, JoseError> {
        let key = match (self.kty.as_str(), self.crv.as_str(), &self.y) {
            ("EC", "P-256", Some(y)) => IssuerKey::Es256(PublicKey::from_coordinates(&self.x, y)?),
            ("OKP", "Ed25519", None) => {
                IssuerKey::Ed25519(base64url::decode_exact(&self.x).map_err(|_| JoseError::PublicKey)?)
            }
            _ => return Err(JoseError::PublicKey),
        };
        let fits = self.alg.is_none_or(|named| named == key.algorithm())
            && self.usage.is_none_or(|usage| usage == "sig")
            && self.key_ops.is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if fits { Ok(key) } else { Err(JoseError::PublicKey) }
    }
}
