//! Keys and messages with fixed values in place of random ones, for the worked examples of
//! `docs/reference/signed-examples.md`. Only for tests.

use super::{
    JoseError, Jws, PublicKey, SealingKey, SigningKey, base64url,
    jwe::{derive, kdf_input, seal_by},
    parts,
    secret::PrivateKey,
};

/// A private number as text: what the member `d` of a JWK has.
pub(crate) fn private_text(scalar: &[u8; 32]) -> String {
    base64url::encode(scalar)
}

/// The key with this private number, to sign.
pub(crate) fn signing_key(scalar: &[u8; 32]) -> Result<SigningKey, JoseError> {
    SigningKey::from_pkcs8(&PrivateKey::from_scalar(scalar)?.to_pkcs8())
}

/// The key with this private number, to open sealed messages.
pub(crate) fn sealing_key(scalar: &[u8; 32]) -> Result<SealingKey, JoseError> {
    PrivateKey::from_scalar(scalar).map(SealingKey::new)
}

/// A signed message: its header and what is signed (RFC 7515 section 5.1).
pub(crate) fn signing_input(header: &str, payload: &[u8]) -> String {
    format!("{}.{}", base64url::encode(header), base64url::encode(payload))
}

/// Whether this text, with its signature, is by this key.
pub(crate) fn is_signed_by(text: &str, key: &PublicKey) -> bool {
    Jws::parse(text, text.len()).and_then(|jws| jws.verify_es256(key)).is_ok()
}

/// A sealed message, and all values of which it is made.
pub(crate) struct SealedSteps {
    /// The protected header, as JSON.
    pub(crate) header: String,
    /// The shared secret of the two keys: the coordinate x.
    pub(crate) z: Vec<u8>,
    /// What the Concat KDF hashes.
    pub(crate) kdf_input: Vec<u8>,
    /// The content key.
    pub(crate) key: Vec<u8>,
    /// The ciphertext, in base64url.
    pub(crate) ciphertext: String,
    /// The tag of AES-GCM.
    pub(crate) tag: Vec<u8>,
    /// The message.
    pub(crate) compact: String,
}

/// Seals with this ephemeral key and this initialization vector.
pub(crate) fn sealed(
    to: &PublicKey,
    plaintext: &[u8],
    ephemeral: &[u8; 32],
    iv: [u8; 12],
) -> Result<SealedSteps, JoseError> {
    let ephemeral = PrivateKey::from_scalar(ephemeral)?;
    let z = ephemeral.agree(to)?;
    let compact = seal_by(&ephemeral, iv, to, plaintext)?;
    let [header, _key, _iv, ciphertext, tag] = parts(&compact)?;
    let header = String::from_utf8(base64url::decode(header)?).map_err(|_| JoseError::Header)?;
    Ok(SealedSteps {
        header,
        z: z.to_vec(),
        kdf_input: kdf_input(&z, "A256GCM", b"", b"", 256).to_vec(),
        key: derive(&z, "A256GCM", b"", b"", 256).to_vec(),
        ciphertext: ciphertext.to_owned(),
        tag: base64url::decode(tag)?,
        compact: compact.clone(),
    })
}
