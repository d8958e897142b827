//! Private keys of P-256: made, stored, and agreed with.

use p256::{
    SecretKey,
    elliptic_curve::{point::AffineCoordinates as _, zeroize::Zeroize as _},
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{JoseError, PublicKey};

/// PKCS#8 (RFC 5958) of a P-256 key with its public half (RFC 5915) has one form in DER: this, 32 bytes of the private
/// key, `PKCS8_BETWEEN`, 65 bytes of the public key. Version 0; id-ecPublicKey, prime256v1; ECPrivateKey version 1.
const PKCS8_BEFORE: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// The field \[1\] with a bit string of 65 bytes.
const PKCS8_BETWEEN: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];

/// How often a random number is drawn. One in 2^32 is no private key, so the second is already a fault of the system.
const DRAWS: usize = 8;

/// A private key with its public half. It is overwritten at its end.
pub(super) struct PrivateKey {
    secret: SecretKey,
    public: PublicKey,
}

impl PrivateKey {
    /// A new key: a uniform number below the order of the curve, by rejection.
    pub(super) fn generate() -> Result<Self, JoseError> {
        let random = SystemRandom::new();
        for _ in 0..DRAWS {
            let mut bytes = Zeroizing::new([0; 32]);
            random.fill(&mut bytes[..]).map_err(|_| JoseError::Random)?;
            if let Ok(key) = Self::from_scalar(&bytes) {
                return Ok(key);
            }
        }
        Err(JoseError::Random)
    }

    /// From the private number, big-endian. Refuses 0 and numbers from the order on.
    pub(super) fn from_scalar(bytes: &[u8; 32]) -> Result<Self, JoseError> {
        let secret = SecretKey::from_slice(bytes).map_err(|_| JoseError::PrivateKey)?;
        let public = PublicKey::from(&secret.public_key());
        Ok(Self { secret, public })
    }

    /// From PKCS#8 in DER, 138 bytes. The public key in it must be the one of the private key.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        let rest = der.strip_prefix(&PKCS8_BEFORE).ok_or(JoseError::PrivateKey)?;
        let (scalar, rest) = rest.split_first_chunk::<32>().ok_or(JoseError::PrivateKey)?;
        let public = rest.strip_prefix(&PKCS8_BETWEEN).ok_or(JoseError::PrivateKey)?;
        let key = Self::from_scalar(scalar)?;
        if key.public.as_bytes() == public { Ok(key) } else { Err(JoseError::PrivateKey) }
    }

    /// PKCS#8 in DER, 138 bytes.
    pub(super) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let scalar = self.scalar();
        Zeroizing::new([&PKCS8_BEFORE[..], &scalar[..], &PKCS8_BETWEEN, self.public.as_bytes()].concat())
    }

    /// The private number, big-endian.
    pub(super) fn scalar(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = self.secret.to_bytes();
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&bytes);
        bytes.zeroize();
        scalar
    }

    /// The public half.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The shared secret with the owner of `peer`: the coordinate x of the product (NIST SP 800-56A section 5.7.1.2,
    /// RFC 7518 section 4.6). The order of the curve is prime, so the product is never the point at infinity.
    pub(super) fn agree(&self, peer: &PublicKey) -> Result<Zeroizing<[u8; 32]>, JoseError> {
        let scalar = Zeroizing::new(self.secret.to_nonzero_scalar());
        let product = Zeroizing::new(peer.point()?.to_projective() * **scalar);
        let point = Zeroizing::new(product.to_affine());
        let mut x = point.x();
        let mut shared = Zeroizing::new([0; 32]);
        shared.copy_from_slice(&x);
        x.zeroize();
        Ok(shared)
    }
}
