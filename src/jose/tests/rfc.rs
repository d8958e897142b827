//! The examples of the RFCs.

use super::*;

/// RFC 7515 appendix A.3.
const A3: &str = "eyJhbGciOiJFUzI1NiJ9\
    .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
    .DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const A3_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const A3_PRIVATE: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

/// RFC 8037 appendix A.
const ED25519_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
    .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

#[test]
fn the_example_of_es256_is_verified() {
    let key = PublicKey::from_jwk(A3_KEY).unwrap();
    assert_eq!(private(A3_PRIVATE).public(), &key);
    let jws = Jws::parse(A3, A3.len()).unwrap();
    assert_eq!(jws.header(), Ok(PLAIN));
    let payload = b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    assert_eq!(jws.verify_es256(&key).unwrap(), payload);
    let issuer = IssuerKey::from_jwk(A3_KEY).unwrap();
    assert_eq!(Jws::parse(A3, MAX).unwrap().verify_issuer(&issuer).unwrap(), payload);
}

#[test]
fn the_example_of_es512_is_refused() {
    // RFC 7515 appendix A.4.
    let text = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq\
        wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXo\
        lLzeO_Jn";
    assert_eq!(Jws::parse(text, MAX).unwrap_err(), JoseError::Signature);
    // The same with a signature of the length of ES256.
    let text = compact([br#"{"alg":"ES512"}"#, b"Payload", &[1; 64]]);
    assert_eq!(Jws::parse(&text, MAX).unwrap_err(), JoseError::Algorithm);
    let key = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1j\
        Sfs9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf\
        63e3kyMj2"}"#;
    assert_eq!(PublicKey::from_jwk(key), Err(JoseError::PublicKey));
    assert_eq!(IssuerKey::from_jwk(key), Err(JoseError::PublicKey));
}

#[test]
fn the_example_of_the_key_agreement_gives_its_key() {
    // RFC 7518 appendix C.
    let alice = private("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo");
    let bob = private("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw");
    let alice_public = r#"{"kty":"EC","crv":"P-256","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
        "y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}"#;
    let bob_public = r#"{"kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
        "y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}"#;
    assert_eq!(alice.public(), &PublicKey::from_jwk(alice_public).unwrap());
    assert_eq!(bob.public(), &PublicKey::from_jwk(bob_public).unwrap());
    let shared = alice.agree(bob.public()).unwrap();
    assert_eq!(bob.agree(alice.public()).unwrap(), shared);
    let z = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106,
        72, 246, 218, 167, 121, 140, 254, 144, 196,
    ];
    assert_eq!(*shared, z);
    let key = jwe::derive(&shared, "A128GCM", b"Alice", b"Bob", 128);
    assert_eq!(base64url::encode(&key[..16]), "VqqN6vgjbSBcIijNcacQGg");
}

#[test]
fn the_examples_of_thumbprints_are_right() {
    // RFC 8037 appendix A.3, and the key of RFC 9449 with the `jkt` of its section 6.1.
    let ed25519 = IssuerKey::from_jwk(ED25519_KEY).unwrap();
    assert_eq!(ed25519.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let ec = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
    let key = PublicKey::from_jwk(ec).unwrap();
    assert_eq!(key.thumbprint().to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(IssuerKey::from_jwk(ec).unwrap().thumbprint(), key.thumbprint());
}

#[test]
fn the_example_of_ed25519_is_verified_with_the_key_of_an_issuer_only() {
    let issuer = IssuerKey::from_jwk(ED25519_KEY).unwrap();
    assert_eq!(issuer.algorithm(), Algorithm::EdDsa);
    let parse = || Jws::parse(ED25519, MAX).unwrap();
    assert_eq!(parse().verify_issuer(&issuer).unwrap(), b"Example of Ed25519 signing");
    let point = PublicKey::from_jwk(A3_KEY).unwrap();
    assert_eq!(parse().verify_es256(&point), Err(JoseError::Algorithm));
    assert_eq!(parse().verify_issuer(&IssuerKey::Es256(point)), Err(JoseError::Algorithm));
    assert_eq!(Jws::parse(A3, MAX).unwrap().verify_issuer(&issuer), Err(JoseError::Algorithm));
    let other = ED25519.replacen("RXhh", "RXhi", 1);
    assert_ne!(other, ED25519);
    assert_eq!(Jws::parse(&other, MAX).unwrap().verify_issuer(&issuer), Err(JoseError::Signature));
}
