//! Signed messages: JWS in compact form (RFC 7515 section 7.1).

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    Algorithm, IssuerKey, JoseError, PublicKey, base64url,
    header::{self, HEADER_MAX, TOKEN_HEADER_MAX, present},
    parts,
    secret::PrivateKey,
};

/// A private key that signs (ES256). Debug shows the thumbprint of its public half only.
pub struct SigningKey {
    /// What is stored.
    private: PrivateKey,
    /// The same key as ring has it.
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new key. The only error is [`JoseError::Random`].
    pub fn generate() -> Result<Self, JoseError> {
        Self::new(PrivateKey::generate()?)
    }

    /// From PKCS#8 in DER (RFC 5958), 138 bytes: with the public key in it, which must be the right one. Otherwise
    /// [`JoseError::PrivateKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        Self::new(PrivateKey::from_pkcs8(der)?)
    }

    /// From a private JWK (RFC 7518 section 6.2.2) of P-256, whose public half must be the right one. It may also have
    /// `alg`, `use`, `key_ops`, `kid` and `ext`. Otherwise [`JoseError::PrivateKey`].
    pub fn from_jwk(json: &str) -> Result<Self, JoseError> {
        let jwk: PrivateJwk = header::typed(json).map_err(|_| JoseError::PrivateKey)?;
        let d = Zeroizing::new(jwk.d);
        let scalar = base64url::decode_exact::<32>(&d).map(Zeroizing::new).map_err(|_| JoseError::PrivateKey)?;
        let private = PrivateKey::from_scalar(&scalar)?;
        let public = PublicKey::from_coordinates(&jwk.x, &jwk.y).map_err(|_| JoseError::PrivateKey)?;
        let fits = jwk.kty == "EC" && jwk.crv == "P-256" && jwk.alg.is_none_or(|alg| alg == Algorithm::Es256);
        if fits && public == *private.public() { Self::new(private) } else { Err(JoseError::PrivateKey) }
    }

    fn new(private: PrivateKey) -> Result<Self, JoseError> {
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &private.scalar()[..],
            private.public().as_bytes(),
            &SystemRandom::new(),
        );
        Ok(Self { private, pair: pair.map_err(|_| JoseError::PrivateKey)? })
    }

    /// PKCS#8 in DER, 138 bytes. The bytes are overwritten when they are dropped.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.private.to_pkcs8()
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        self.private.public()
    }

    /// Signs `payload` and a header. The header must be an object whose `alg` is [`Algorithm::Es256`], and the payload
    /// must not be empty. What no reader of this module accepts is not signed.
    pub fn sign(&self, header: &impl Serialize, payload: &[u8]) -> Result<String, JoseError> {
        let json = serde_json::to_string(header).map_err(|_| JoseError::Header)?;
        if header::check(&json, TOKEN_HEADER_MAX)? != Algorithm::Es256 {
            return Err(JoseError::Algorithm);
        }
        if payload.is_empty() {
            return Err(JoseError::Form);
        }
        let mut message = format!("{}.{}", base64url::encode(json), base64url::encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| JoseError::Random)?;
        message.push('.');
        message.push_str(&base64url::encode(signature));
        Ok(message)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().thumbprint())
    }
}

/// The private JWK of a program that signs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    d: String,
    #[serde(default, deserialize_with = "present")]
    alg: Option<Algorithm>,
    #[serde(default, deserialize_with = "present", rename = "use")]
    _usage: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "key_ops")]
    _key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present", rename = "kid")]
    _kid: Option<String>,
    #[serde(default, deserialize_with = "present", rename = "ext")]
    _ext: Option<bool>,
}

/// A signed message that is well-formed and not verified yet. Verify it before you believe its payload.
pub struct Jws<'a> {
    /// What is signed: the first two parts with their dot (RFC 7515 section 5.2).
    signed: &'a str,
    header: String,
    algorithm: Algorithm,
    payload: Vec<u8>,
    /// r and s, or R and S: 32 bytes each, with both algorithms.
    signature: [u8; 64],
}

impl<'a> Jws<'a> {
    /// Reads the compact form of at most `max_len` bytes: three parts in canonical base64url, none of them empty. The
    /// header must be a JSON object without a name twice, without `null` and without members that change the checks,
    /// and its `alg` one of [`Algorithm`].
    pub fn parse(text: &'a str, max_len: usize) -> Result<Self, JoseError> {
        Self::parse_bounded(text, max_len, HEADER_MAX)
    }

    /// The same, of a message whose header may have a token of an issuer in it.
    pub fn parse_with_token(text: &'a str, max_len: usize) -> Result<Self, JoseError> {
        Self::parse_bounded(text, max_len, TOKEN_HEADER_MAX)
    }

    fn parse_bounded(text: &'a str, max_len: usize, header_max: usize) -> Result<Self, JoseError> {
        if text.len() > max_len {
            return Err(JoseError::TooLarge);
        }
        let [first, second, third] = parts(text)?;
        if first.is_empty() || second.is_empty() || third.is_empty() {
            return Err(JoseError::Form);
        }
        let signature = base64url::decode(third)?.try_into().map_err(|_| JoseError::Signature)?;
        let header = header::text(first, header_max)?;
        let algorithm = header::check(&header, header_max)?;
        let payload = base64url::decode(second)?;
        let signed = text.get(..first.len() + 1 + second.len()).ok_or(JoseError::Form)?;
        Ok(Self { signed, header, algorithm, payload, signature })
    }

    /// The algorithm that the header names. It is not verified yet.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header as `H`. It is not verified yet: use it to look for the key. `H` should be a struct of texts and
    /// numbers with `#[serde(deny_unknown_fields)]`, and with [`present`](super::present) on its optional members.
    pub fn header<H: DeserializeOwned>(&self) -> Result<H, JoseError> {
        header::object(&self.header)
    }

    /// The payload, of which nobody knows who wrote it. Only for what needs no sender: a message that brings its own
    /// key, to which another secret vouches, and messages about which nothing is decided but to repeat what is so.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature with this key and ES256 (RFC 7518 section 3.4). Returns the payload. If the header names
    /// another algorithm: [`JoseError::Algorithm`].
    pub fn verify_es256(self, key: &PublicKey) -> Result<Vec<u8>, JoseError> {
        self.verify(Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, key.as_bytes())
    }

    /// Checks the signature with the key of an issuer and the algorithm of that key. Returns the payload.
    pub fn verify_issuer(self, key: &IssuerKey) -> Result<Vec<u8>, JoseError> {
        match key {
            IssuerKey::Es256(key) => self.verify_es256(key),
            IssuerKey::Ed25519(key) => self.verify(Algorithm::EdDsa, &ED25519, key),
        }
    }

    fn verify(
        self,
        algorithm: Algorithm,
        verifier: &'static dyn VerificationAlgorithm,
        key: &[u8],
    ) -> Result<Vec<u8>, JoseError> {
        if self.algorithm != algorithm {
            return Err(JoseError::Algorithm);
        }
        let checked = UnparsedPublicKey::new(verifier, key).verify(self.signed.as_bytes(), &self.signature);
        checked.map(|()| self.payload).map_err(|_| JoseError::Signature)
    }
}

impl fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
