//! Sealed messages: JWE in compact form (RFC 7516 section 7.1) with `ECDH-ES` and `A256GCM`.

use std::fmt;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    JoseError, PublicKey, Thumbprint, base64url,
    header::{self, HEADER_MAX, present},
    key::{EcJwk, Epk},
    parts,
    secret::PrivateKey,
};

const AGREEMENT: &str = "ECDH-ES";
const CIPHER: &str = "A256GCM";
/// The length of the tag of AES-GCM, in bytes (RFC 7518 section 5.3).
const TAG_LEN: usize = 16;
/// The length of the key of A256GCM, in bits.
const KEY_BITS: u32 = 256;

/// A private key that opens sealed messages. Debug shows the thumbprint of its public half only.
pub struct SealingKey {
    private: PrivateKey,
    thumbprint: Thumbprint,
}

impl SealingKey {
    /// A new key. The only error is [`JoseError::Random`].
    pub fn generate() -> Result<Self, JoseError> {
        PrivateKey::generate().map(Self::new)
    }

    /// From PKCS#8 in DER (RFC 5958), 138 bytes: with the public key in it, which must be the right one. Otherwise
    /// [`JoseError::PrivateKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        PrivateKey::from_pkcs8(der).map(Self::new)
    }

    pub(super) fn new(private: PrivateKey) -> Self {
        let thumbprint = private.public().thumbprint();
        Self { private, thumbprint }
    }

    /// PKCS#8 in DER, 138 bytes. The bytes are overwritten when they are dropped.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.private.to_pkcs8()
    }

    /// The public half, to which messages are sealed.
    pub fn public(&self) -> &PublicKey {
        self.private.public()
    }

    /// Opens a message of at most `max_len` bytes that was sealed to this key. Nobody else could read it, but everybody
    /// can have sealed it: who wrote it is a question of a signature inside.
    ///
    /// The header has `alg`, `enc` and `epk`, and may have `kid` (ours), `apu`, `apv`, `cty` and `typ` (not used), all
    /// strings. Everything cheap is checked before the arithmetic.
    pub fn open(&self, text: &str, max_len: usize) -> Result<Vec<u8>, JoseError> {
        self.open_if(text, max_len, |_| true)
    }

    /// As [`open`](Self::open), for messages whose header must have `alg`, `enc`, `epk` and our `kid`, and no other
    /// members. Otherwise [`JoseError::Header`].
    pub fn open_exact(&self, text: &str, max_len: usize) -> Result<Vec<u8>, JoseError> {
        self.open_if(text, max_len, Opening::is_exact)
    }

    fn open_if(
        &self,
        text: &str,
        max_len: usize,
        accepts: impl FnOnce(&Opening) -> bool,
    ) -> Result<Vec<u8>, JoseError> {
        if text.len() > max_len {
            return Err(JoseError::TooLarge);
        }
        let [first, key, nonce, sealed, tag] = parts(text)?;
        // The agreed key is used directly, so there is no encrypted key (RFC 7516 section 5.2 step 10).
        if first.is_empty() || !key.is_empty() {
            return Err(JoseError::Form);
        }
        let nonce: [u8; NONCE_LEN] = base64url::decode_exact(nonce)?;
        let tag: [u8; TAG_LEN] = base64url::decode_exact(tag)?;
        let header: Opening = header::typed(&header::text(first, HEADER_MAX)?)?;
        if header.alg != AGREEMENT || header.enc != CIPHER {
            return Err(JoseError::Algorithm);
        }
        if !accepts(&header) {
            return Err(JoseError::Header);
        }
        if header.kid.is_some_and(|kid| kid.parse() != Ok(self.thumbprint)) {
            return Err(JoseError::Recipient);
        }
        let party = |text: Option<String>| text.map_or(Ok(Vec::new()), |text| base64url::decode(&text));
        let (apu, apv) = (party(header.apu)?, party(header.apv)?);
        let mut message = base64url::decode(sealed)?;
        message.extend_from_slice(&tag);
        let shared = self.private.agree(&header.epk.0.key()?)?;
        let cipher = cipher(&derive(&shared, CIPHER, &apu, &apv, KEY_BITS))?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = cipher.open_in_place(nonce, Aad::from(first.as_bytes()), &mut message);
        let len = opened.map_err(|_| JoseError::Sealed)?.len();
        message.truncate(len);
        Ok(message)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.thumbprint)
    }
}

/// Seals a message to the owner of a key, with a new ephemeral key. The header names `to` by its thumbprint. The only
/// error of a valid key is [`JoseError::Random`].
pub fn seal(to: &PublicKey, plaintext: &[u8]) -> Result<String, JoseError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| JoseError::Random)?;
    seal_by(&PrivateKey::generate()?, nonce, to, plaintext)
}

/// The same with this ephemeral key and this nonce, which must both be new for each message.
pub(super) fn seal_by(
    ephemeral: &PrivateKey,
    nonce: [u8; NONCE_LEN],
    to: &PublicKey,
    plaintext: &[u8],
) -> Result<String, JoseError> {
    let epk = EcJwk::from(ephemeral.public());
    let header = Sealing { alg: AGREEMENT, enc: CIPHER, kid: to.thumbprint(), epk };
    let header = base64url::encode(serde_json::to_string(&header).map_err(|_| JoseError::Header)?);
    let cipher = cipher(&derive(&*ephemeral.agree(to)?, CIPHER, b"", b"", KEY_BITS))?;
    let mut message = plaintext.to_vec();
    let tag = cipher.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(header.as_bytes()),
        &mut message,
    );
    let tag = tag.map_err(|_| JoseError::TooLarge)?;
    let parts = [base64url::encode(nonce), base64url::encode(message), base64url::encode(tag)];
    Ok(format!("{header}..{}", parts.join(".")))
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, JoseError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| JoseError::Sealed)
}

/// The Concat KDF for one key of at most 256 bits (RFC 7518 section 4.6.2, NIST SP 800-56A section 5.8.1): one round of
/// SHA-256. `algorithm` is the name of the cipher. A shorter key is the beginning of the result.
pub(super) fn derive(shared: &[u8; 32], algorithm: &str, apu: &[u8], apv: &[u8], key_bits: u32) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(digest(&SHA256, &kdf_input(shared, algorithm, apu, apv, key_bits)).as_ref());
    key
}

/// What the Concat KDF hashes: the number of the round, the shared secret, and `OtherInfo`.
pub(super) fn kdf_input(
    shared: &[u8; 32],
    algorithm: &str,
    apu: &[u8],
    apv: &[u8],
    key_bits: u32,
) -> Zeroizing<Vec<u8>> {
    let parts = [algorithm.as_bytes(), apu, apv];
    // It never grows: a copy that was left behind would not be overwritten.
    let length = 4 + shared.len() + parts.iter().map(|part| 4 + part.len()).sum::<usize>() + 4;
    let mut input = Zeroizing::new(Vec::with_capacity(length));
    input.extend_from_slice(&1_u32.to_be_bytes());
    input.extend_from_slice(shared);
    for part in parts {
        // No part is longer than a header.
        input.extend_from_slice(&(part.len() as u32).to_be_bytes());
        input.extend_from_slice(part);
    }
    input.extend_from_slice(&key_bits.to_be_bytes());
    input
}

/// The header that is written.
#[derive(Serialize)]
struct Sealing {
    alg: &'static str,
    enc: &'static str,
    kid: Thumbprint,
    epk: EcJwk,
}

/// The header that is read. `apu` and `apv` go into the key (RFC 7518 section 4.6.1).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    alg: String,
    enc: String,
    epk: Epk,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    apu: Option<String>,
    #[serde(default, deserialize_with = "present")]
    apv: Option<String>,
    #[serde(default, deserialize_with = "present")]
    cty: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
}

impl Opening {
    /// Whether it has all members that are written, and no others.
    fn is_exact(&self) -> bool {
        let Self { alg: _, enc: _, epk: _, kid, apu, apv, cty, typ } = self;
        kid.is_some() && [apu, apv, cty, typ].iter().all(|more| more.is_none())
    }
}
