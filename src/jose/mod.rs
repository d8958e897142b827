//! The small part of JOSE that signed and sealed messages need. Each of its choices is fixed:
//!
//! - signed: JWS in compact form (RFC 7515) with ES256; tokens of an issuer also with Ed25519 (RFC 8037),
//! - sealed: JWE in compact form (RFC 7516) with `ECDH-ES` and `A256GCM` (RFC 7518 section 4.6 and 5.3),
//! - keys: points of P-256, named by their thumbprint (RFC 7638).
//!
//! A message never chooses how it is checked: the algorithm is the one of the key that the caller holds. Members of a
//! header that would change the checks (`crit`, `b64`, `zip`), or bring a key with them (`jwk`, `jku`, `x5c`, `x5u`),
//! are refused. So are base64url and JSON that could be read in two ways.
//!
//! Errors say what is wrong, and hold nothing of the message. Secrets are overwritten when they are dropped, as far as
//! this code holds them: ring keeps its own copies of a signing key and of an AES key, and does not overwrite these.

mod base64url;
#[cfg(test)]
pub(crate) mod example;
pub(crate) mod fuzz;
mod header;
mod issuer;
mod jwe;
mod jws;
mod key;
mod secret;
#[cfg(test)]
mod tests;
mod thumbprint;

pub use header::{Algorithm, present};
pub use issuer::IssuerKey;
pub use jwe::{SealingKey, seal};
pub use jws::{Jws, SigningKey};
pub use key::PublicKey;
pub use thumbprint::Thumbprint;

/// Why a key or a message is refused. It holds nothing of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// More bytes than the caller allows.
    #[error("the message is too large")]
    TooLarge,
    /// Another number of parts, an empty part, or a part of the wrong length (RFC 7515 section 7.1, RFC 7516
    /// section 7.1).
    #[error("the message is not in the compact form")]
    Form,
    /// Padding, white space, another alphabet, or bits after the last byte (RFC 4648 section 3).
    #[error("the text is not canonical base64url")]
    Base64,
    /// Not a JSON object, a name twice, a value of the wrong type, or a member that is not read here.
    #[error("the header has a member that is not allowed, or lacks one")]
    Header,
    /// The header names another algorithm than that of the key.
    #[error("the algorithm is not the one of the key")]
    Algorithm,
    /// Not a public key in its one accepted form, or not a point of the curve.
    #[error("the public key is not valid")]
    PublicKey,
    /// Not the PKCS#8 form of a private key of P-256.
    #[error("the private key is not valid")]
    PrivateKey,
    /// Not 32 bytes in base64url.
    #[error("the thumbprint is not valid")]
    Thumbprint,
    /// The signature is not one of this key over this message.
    #[error("the signature is wrong")]
    Signature,
    /// The message names another key than the one that should open it.
    #[error("the message is sealed to another key")]
    Recipient,
    /// The message was changed, or was sealed to another key.
    #[error("the sealed message cannot be opened")]
    Sealed,
    /// The system's random numbers cannot be used.
    #[error("the system gives no random numbers")]
    Random,
}

/// Splits the compact form at its dots. There must be exactly `N` parts; they may be empty.
fn parts<const N: usize>(text: &str) -> Result<[&str; N], JoseError> {
    let mut parts = [""; N];
    let mut rest = text.split('.');
    for part in &mut parts {
        *part = rest.next().ok_or(JoseError::Form)?;
    }
    if rest.next().is_some() { Err(JoseError::Form) } else { Ok(parts) }
}
