//! Public keys of P-256.

use std::{fmt, str::FromStr};

use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde::{Deserialize, Serialize};

use super::{
    JoseError, Thumbprint, base64url,
    header::{self, Object},
};

/// A public key: a point of P-256 that is known to be on the curve and not at infinity. Each key has exactly one form
/// as bytes, as text and as JWK. In serde it is the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 65]);

impl PublicKey {
    /// From 65 bytes: 4, x, y (SEC 1 section 2.3.3, uncompressed). Refuses the compressed form, the point at infinity,
    /// and points that are not on the curve, with [`JoseError::PublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JoseError> {
        let bytes: [u8; 65] = bytes.try_into().map_err(|_| JoseError::PublicKey)?;
        let key = Self(bytes);
        // 4 is the tag of the uncompressed form. A library may read others of the same length.
        if bytes[0] != 4 {
            return Err(JoseError::PublicKey);
        }
        key.point().map(|_| key)
    }

    /// The 65 bytes: 4, x, y.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// From a JWK with exactly the members `kty`, `crv`, `x` and `y` (RFC 7518 section 6.2.1), all of them strings. So
    /// a private key is refused. The error is [`JoseError::PublicKey`].
    pub fn from_jwk(json: &str) -> Result<Self, JoseError> {
        header::typed::<EcJwk>(json).map_err(|_| JoseError::PublicKey)?.key()
    }

    /// The JWK, with its members in the order of RFC 7638.
    pub fn to_jwk(&self) -> String {
        let (x, y) = self.coordinates();
        // Base64url needs no escapes.
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
    }

    /// The name of this key (RFC 7638).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.to_jwk())
    }

    /// From the two coordinates of a JWK, 32 bytes each in base64url.
    pub(super) fn from_coordinates(x: &str, y: &str) -> Result<Self, JoseError> {
        let read = |text| base64url::decode_exact::<32>(text).map_err(|_| JoseError::PublicKey);
        let (x, y) = (read(x)?, read(y)?);
        Self::from_bytes(&[&[4], &x[..], &y[..]].concat())
    }

    /// The two coordinates in base64url.
    fn coordinates(&self) -> (String, String) {
        let (x, y) = self.0[1..].split_at(32);
        (base64url::encode(x), base64url::encode(y))
    }

    /// The point. Checks again that it is on the curve.
    pub(super) fn point(&self) -> Result<p256::PublicKey, JoseError> {
        p256::PublicKey::from_sec1_bytes(&self.0).map_err(|_| JoseError::PublicKey)
    }
}

impl From<&p256::PublicKey> for PublicKey {
    fn from(point: &p256::PublicKey) -> Self {
        let mut bytes = [0; 65];
        bytes.copy_from_slice(&point.to_uncompressed_point());
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = JoseError;

    /// Reads the 87 characters of base64url of the 65 bytes.
    fn from_str(text: &str) -> Result<Self, JoseError> {
        let bytes: [u8; 65] = base64url::decode_exact(text).map_err(|_| JoseError::PublicKey)?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = JoseError;

    fn try_from(text: String) -> Result<Self, JoseError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        base64url::encode(key.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

/// A public JWK of P-256 with the required members only, as `epk` has it (RFC 7518 section 4.6.1.1).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EcJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl EcJwk {
    /// The key in it.
    pub(super) fn key(&self) -> Result<PublicKey, JoseError> {
        if self.kty != "EC" || self.crv != "P-256" {
            return Err(JoseError::PublicKey);
        }
        PublicKey::from_coordinates(&self.x, &self.y)
    }
}

impl From<&PublicKey> for EcJwk {
    fn from(key: &PublicKey) -> Self {
        let (x, y) = key.coordinates();
        Self { kty: "EC".into(), crv: "P-256".into(), x, y }
    }
}

/// An `epk` that is read: an object, never an array with the four values.
pub(super) type Epk = Object<EcJwk>;
