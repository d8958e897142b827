//! The name of a key: its thumbprint (RFC 7638).

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{JoseError, base64url};

/// The SHA-256 thumbprint of a public key (RFC 7638). As text: 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of a key, from its JWK with only the required members, in alphabetical order and without white
    /// space (RFC 7638 section 3.3).
    pub(super) fn of(canonical_jwk: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, canonical_jwk.as_bytes()).as_ref());
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = JoseError;

    /// Reads the 43 characters. Any other form is [`JoseError::Thumbprint`].
    fn from_str(text: &str) -> Result<Self, JoseError> {
        base64url::decode_exact(text).map(Self).map_err(|_| JoseError::Thumbprint)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = JoseError;

    fn try_from(text: String) -> Result<Self, JoseError> {
        text.parse()
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        base64url::encode(thumbprint.0)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
