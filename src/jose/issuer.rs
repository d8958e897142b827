//! The public keys of issuers, who sign tokens.

use serde::Deserialize;

use super::{
    Algorithm, JoseError, PublicKey, Thumbprint, base64url,
    header::{self, present},
};

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
        let jwk: IssuerJwk = header::typed(json).map_err(|_| JoseError::PublicKey)?;
        let key = match (jwk.kty.as_str(), jwk.crv.as_str(), &jwk.y) {
            ("EC", "P-256", Some(y)) => Self::Es256(PublicKey::from_coordinates(&jwk.x, y)?),
            ("OKP", "Ed25519", None) => {
                Self::Ed25519(base64url::decode_exact(&jwk.x).map_err(|_| JoseError::PublicKey)?)
            }
            _ => return Err(JoseError::PublicKey),
        };
        let fits = jwk.alg.is_none_or(|named| named == key.algorithm())
            && jwk.usage.is_none_or(|usage| usage == "sig")
            && jwk.key_ops.is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if fits { Ok(key) } else { Err(JoseError::PublicKey) }
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
