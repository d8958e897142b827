//! The vectors of Wycheproof. `tests/vectors/README.md` says where they come from.

use serde::de::DeserializeOwned;

use super::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    serde_json::from_str(text).unwrap()
}

#[derive(Deserialize)]
struct EcdsaRow {
    id: u32,
    comment: String,
    key: String,
    msg: String,
    sig: String,
    valid: bool,
}

#[test]
fn every_ecdsa_signature_is_judged_as_wycheproof_says() {
    let rows: Vec<EcdsaRow> = rows(include_str!("../../../tests/vectors/wycheproof_ecdsa.json"));
    assert_eq!((rows.len(), rows.iter().filter(|row| row.valid).count()), (262, 173));
    for EcdsaRow { id, comment, key, msg, sig, valid } in rows {
        let key = PublicKey::from_bytes(&hex(&key)).unwrap();
        // The messages are no JWS, so this is the verifier below `Jws`, with the key as `Jws` gives it.
        let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_bytes()).verify(&hex(&msg), &hex(&sig));
        assert_eq!(verified.is_ok(), valid, "{id}: {comment}");
    }
}

#[derive(Deserialize)]
struct EcdhRow {
    id: u32,
    comment: String,
    public: String,
    private: String,
    shared: String,
    result: String,
}

#[test]
fn every_key_agreement_ends_as_wycheproof_says() {
    let rows: Vec<EcdhRow> = rows(include_str!("../../../tests/vectors/wycheproof_ecdh.json"));
    assert_eq!((rows.len(), rows.iter().filter(|row| row.result == "valid").count()), (355, 330));
    for EcdhRow { id, comment, public, private, shared, result } in rows {
        let public = PublicKey::from_bytes(&hex(&public));
        if result != "valid" {
            // What is acceptable is the compressed form, which is not read here.
            assert_eq!(public, Err(JoseError::PublicKey), "{id}: {comment}");
            continue;
        }
        // The numbers are hexadecimal texts of any length.
        let number = hex(&format!("{private:0>64}"));
        let scalar = number[number.len() - 32..].try_into().unwrap();
        let agreed = PrivateKey::from_scalar(&scalar).unwrap().agree(&public.unwrap()).unwrap();
        assert_eq!(agreed[..], hex(&shared), "{id}: {comment}");
    }
}

#[derive(Deserialize)]
struct JwsRow {
    id: u32,
    comment: String,
    jwk: String,
    jws: String,
    valid: bool,
}

#[test]
fn every_signed_message_is_judged_as_wycheproof_says() {
    let rows: Vec<JwsRow> = rows(include_str!("../../../tests/vectors/wycheproof_jws.json"));
    assert_eq!((rows.len(), rows.iter().filter(|row| row.valid).count()), (41, 2));
    for JwsRow { id, comment, jwk, jws, valid } in rows {
        let payload = IssuerKey::from_jwk(&jwk).and_then(|key| Jws::parse(&jws, MAX)?.verify_issuer(&key));
        assert_eq!(payload.is_ok(), valid, "{id}: {comment}: {payload:?}");
    }
}

#[derive(Deserialize)]
struct JweRow {
    id: u32,
    comment: String,
    private: String,
    jwe: String,
    plain: String,
    opens: bool,
}

#[test]
fn a_sealed_message_of_wycheproof_is_opened_and_other_ciphers_are_refused() {
    let rows: Vec<JweRow> = rows(include_str!("../../../tests/vectors/wycheproof_jwe.json"));
    assert_eq!((rows.len(), rows.iter().filter(|row| row.opens).count()), (7, 1));
    for JweRow { id, comment, private, jwe, plain, opens } in rows {
        let key = SealingKey::new(PrivateKey::from_scalar(&hex(&private).try_into().unwrap()).unwrap());
        let opened = key.open(&jwe, MAX);
        assert_eq!(opened.as_deref().ok(), opens.then_some(&hex(&plain)[..]), "{id}: {comment}: {opened:?}");
    }
}
