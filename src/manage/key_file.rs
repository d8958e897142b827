//! The key of a viewer that is a program: a JWK (RFC 7517, RFC 7518 section 6.2) in a file that only its owner can
//! read.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::jose::{PublicKey, SigningKey};

/// Bytes of a coordinate and of a private key on the curve P-256.
const FIELD: usize = 32;

#[derive(Serialize)]
struct PrivateJwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    x: String,
    y: String,
    d: String,
}

/// Makes a key and writes it to a new file. Returns the public half.
pub(super) fn make(file: &Path) -> Result<PublicKey, String> {
    let key = SigningKey::generate().map_err(|e| format!("make a key: {e}"))?;
    let json = private_jwk(&key).ok_or("make a key: it has an unknown form")?;
    let wrong = |e: std::io::Error| format!("write {}: {e}", file.display());
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(wrong)?;
    let written = open.write_all(json.as_bytes()).and_then(|()| open.sync_all());
    written.map_err(|e| {
        // Half a key is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(file);
        wrong(e)
    })?;
    Ok(*key.public())
}

/// The key as JSON. PKCS #8 ends with the private key and the point, as RFC 5915 orders them.
fn private_jwk(key: &SigningKey) -> Option<String> {
    let der = key.to_pkcs8();
    let (rest, point) = der.split_at_checked(der.len().checked_sub(2 * FIELD + 1)?)?;
    // ECPrivateKey: version 1, and an octet string with the private key.
    const FRONT: [u8; 5] = [0x02, 0x01, 0x01, 0x04, FIELD as u8];
    let at = rest.windows(FRONT.len()).position(|window| window == FRONT)? + FRONT.len();
    let private = rest.get(at..at + FIELD)?;
    if point.first() != Some(&4) || URL_SAFE_NO_PAD.encode(point) != key.public().to_string() {
        return None;
    }
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y, d) = (text(&point[1..=FIELD]), text(&point[FIELD + 1..]), text(private));
    let jwk = PrivateJwk { kty: "EC", crv: "P-256", alg: "ES256", x, y, d };
    serde_json::to_string(&jwk).ok().map(|json| json + "\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::*;

    #[test]
    fn a_key_file_holds_the_key_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("viewer.jwk");
        let public = make(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let jwk: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!((jwk["kty"].as_str(), jwk["crv"].as_str()), (Some("EC"), Some("P-256")));
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [&[4][..], &part("x"), &part("y")].concat();
        assert_eq!(URL_SAFE_NO_PAD.encode(&point), public.to_string());
        // This checks that the private key belongs to the point.
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &part("d"),
            &point,
            &SystemRandom::new(),
        );
        assert_eq!(pair.unwrap().public_key().as_ref(), point);
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("viewer.jwk");
        make(&file).unwrap();
        let before = fs::read(&file).unwrap();
        assert!(make(&file).unwrap_err().contains("exists"));
        assert_eq!(fs::read(&file).unwrap(), before);
        assert!(make(Path::new("/proc/no-such-folder/key")).is_err());
    }
}
