//! The certificates of home mode: an authority of the board's own, and one certificate for each way to reach it. Pure,
//! but for the keys, which are random.
//!
//! A browser remembers a certificate that its user accepted by host, port and hash. So the certificate for a host has
//! to stay the same for as long as it can: the names have one, and each address has its own, made at the first
//! connection to it. A new address then changes nothing for the name, nor for the other addresses.
//!
//! Who installs the authority is never asked again. Its name constraints (RFC 5280 section 4.2.1.10) limit what its key
//! could be misused for: this board's names, and addresses of private networks.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Days for which a certificate is valid. Apple's systems accept at most 825.
const VALID: i64 = 820;
/// A certificate is replaced so many days before its end.
const EARLY: i64 = 60;
/// Days for which the authority is valid.
const AUTHORITY_VALID: i64 = 20 * 365;
/// 2026-01-01 in seconds since 1970. A clock before this was never set, and certificates begin here then.
const CLOCK_IS_SET: i64 = 1_767_225_600;
/// Most certificates of addresses that are kept. The oldest one goes.
const ADDRESSES: usize = 32;
/// The address ranges for which the authority can sign: loopback, private and link-local ones (RFC 1918, 3927, 4193,
/// 4291, 6598).
const RANGES: [(&str, u8); 9] = [
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("::1", 128),
    ("fc00::", 7),
    ("fe80::", 10),
];

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reached {
    /// The names of this board.
    ByName,
    /// One of its addresses.
    At(IpAddr),
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Valid from, in seconds since 1970.
    from: i64,
    /// Valid until.
    until: i64,
    /// The certificate, DER.
    #[serde(with = "base64_text")]
    pub der: Vec<u8>,
}

impl Leaf {
    /// Whether it has to be replaced: it ends soon, or begins later because the clock was wrong. A clock that was never
    /// set changes nothing.
    pub fn is_due(&self, now: i64) -> bool {
        now >= CLOCK_IS_SET && (now < self.from || now > self.until - EARLY * DAY)
    }
}

/// All keys and certificates, as they are stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStore {
    /// The names of the board for which the authority can sign.
    names: Vec<String>,
    /// The authority's certificate, DER.
    #[serde(with = "base64_text")]
    pub authority: Vec<u8>,
    /// Its private key, PKCS #8.
    #[serde(with = "base64_text")]
    authority_key: Vec<u8>,
    /// The private key of all certificates, PKCS #8.
    #[serde(with = "base64_text")]
    pub key: Vec<u8>,
    leaves: Vec<(Reached, Leaf)>,
}

impl fmt::Debug for CertificateStore {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore").field("names", &self.names).finish_non_exhaustive()
    }
}

impl CertificateStore {
    /// Makes an authority for these names, and keys. `now` is in seconds since 1970.
    pub fn new(names: &[String], now: i64) -> Result<Self, rcgen::Error> {
        let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut params = authority_params(names);
        (params.not_before, params.not_after) = validity(now, AUTHORITY_VALID).1;
        let authority = params.self_signed(&authority_key)?.der().to_vec();
        let [authority_key, key] = [authority_key, key].map(|key| key.serialize_der());
        Ok(Self { names: names.to_vec(), authority, authority_key, key, leaves: Vec::new() })
    }

    /// Reads what `to_bytes` wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let store: Self = serde_json::from_slice(bytes).map_err(|_| "not the JSON of certificates")?;
        let keys = [&store.authority_key, &store.key];
        match keys.iter().all(|key| key_pair(key).is_ok()) && store.leaves.len() <= ADDRESSES + 1 {
            true => Ok(store),
            false => Err("a key in it cannot be used"),
        }
    }

    /// The store as it is written to disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether it is for these names.
    pub fn is_for(&self, names: &[String]) -> bool {
        self.names == names
    }

    /// The certificate for this way to reach the board, if there is one that need not be replaced.
    pub fn leaf(&self, reached: Reached, now: i64) -> Option<&Leaf> {
        self.leaves.iter().find(|(known, leaf)| *known == reached && !leaf.is_due(now)).map(|(_, leaf)| leaf)
    }

    /// Makes a certificate, in place of an old one.
    pub fn issue(&mut self, reached: Reached, now: i64) -> Result<Leaf, rcgen::Error> {
        let subjects = match reached {
            Reached::ByName => self.names.clone(),
            Reached::At(ip) => vec![ip.to_string()],
        };
        let mut params = CertificateParams::new(subjects.clone())?;
        params.distinguished_name.push(DnType::CommonName, subjects.first().map_or("fanlight", String::as_str));
        let ((from, until), dates) = validity(now, VALID);
        (params.not_before, params.not_after) = dates;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(authority_params(&self.names), key_pair(&self.authority_key)?);
        let der = params.signed_by(&key_pair(&self.key)?, &issuer)?.der().to_vec();
        let leaf = Leaf { from, until, der };
        self.leaves.retain(|(known, _)| *known != reached);
        let addresses = self.leaves.iter().filter(|(known, _)| *known != Reached::ByName).count();
        if addresses >= ADDRESSES
            && let Some(oldest) = self.leaves.iter().position(|(known, _)| *known != Reached::ByName)
        {
            self.leaves.remove(oldest);
        }
        self.leaves.push((reached, leaf.clone()));
        Ok(leaf)
    }
}

/// Begin and end, as numbers and as dates. The begin is a day early, for clocks that are a little slow.
fn validity(now: i64, days: i64) -> ((i64, i64), (OffsetDateTime, OffsetDateTime)) {
    let from = now.max(CLOCK_IS_SET) - DAY;
    let until = from + days * DAY;
    let date = |seconds| OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::seconds(seconds));
    ((from, until), (date(from), date(until)))
}

fn key_pair(pkcs8: &[u8]) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_ECDSA_P256_SHA256)
}

/// The authority, without its dates.
fn authority_params(names: &[String]) -> CertificateParams {
    let mut params = CertificateParams::default();
    let board = names.first().map_or("fanlight", String::as_str);
    params.distinguished_name.push(DnType::CommonName, format!("fanlight at {board}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let named = names.iter().cloned().map(GeneralSubtree::DnsName);
    let ranges = RANGES.iter().filter_map(|(ip, prefix)| {
        let ip = ip.parse().ok()?;
        Some(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, *prefix)))
    });
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: named.chain(ranges).collect(), excluded_subtrees: Vec::new() });
    params
}

/// Bytes as base64.
mod base64_text {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// How many certificates there are for each way, for tests and messages.
impl CertificateStore {
    /// The ways to reach the board that have a certificate, with its end in seconds since 1970.
    pub fn ends(&self) -> BTreeMap<Reached, i64> {
        self.leaves.iter().map(|(reached, leaf)| (*reached, leaf.until)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
        crypto::ring::default_provider,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    const NOW: i64 = CLOCK_IS_SET + 100 * DAY;

    fn names() -> Vec<String> {
        ["garden.local", "garden", "garden.fritz.box"].map(str::to_owned).to_vec()
    }

    /// What a client says that has installed this authority.
    fn verdict(store: &CertificateStore, leaf: &Leaf, name: &str, now: i64) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(store.authority.clone().into()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), default_provider().into()).build().unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now).unwrap()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let verified = verifier.verify_server_cert(&leaf.der.clone().into(), &[], &name, &[], now);
        verified.map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn whoever_has_the_authority_accepts_every_name_and_private_address() {
        let mut store = CertificateStore::new(&names(), NOW).unwrap();
        let leaf = store.issue(Reached::ByName, NOW).unwrap();
        for name in names() {
            assert_eq!(verdict(&store, &leaf, &name, NOW), Ok(()), "{name}");
        }
        assert!(verdict(&store, &leaf, "example.org", NOW).is_err());
        for ip in ["192.168.1.5", "10.0.0.1", "127.0.0.1", "fd00::5", "fe80::1"] {
            let leaf = store.issue(Reached::At(ip.parse().unwrap()), NOW).unwrap();
            assert_eq!(verdict(&store, &leaf, ip, NOW), Ok(()), "{ip}");
            assert!(verdict(&store, &leaf, "garden.local", NOW).is_err(), "{ip}: the certificate is for it alone");
        }
        let public = store.issue(Reached::At("203.0.113.5".parse().unwrap()), NOW).unwrap();
        assert!(verdict(&store, &public, "203.0.113.5", NOW).is_err(), "the authority may not sign for the internet");
    }

    #[test]
    fn a_stolen_authority_cannot_sign_for_other_sites() {
        let store = CertificateStore::new(&names(), NOW).unwrap();
        let mut misused = CertificateStore { names: vec!["bank.example".into()], ..store.clone() };
        let mut leaf = misused.issue(Reached::ByName, NOW).unwrap();
        assert!(verdict(&store, &leaf, "bank.example", NOW).is_err());
        misused.names = vec!["www.garden.local".into()];
        leaf = misused.issue(Reached::ByName, NOW).unwrap();
        assert!(verdict(&store, &leaf, "bank.example", NOW).is_err());
    }

    #[test]
    fn certificates_stay_until_they_must_not() {
        let leaf = Leaf { from: NOW - DAY, until: NOW + 819 * DAY, der: Vec::new() };
        for (now, due) in [
            (NOW, false),
            (NOW + 758 * DAY, false),
            (NOW + 760 * DAY, true),
            (NOW + 5000 * DAY, true),
            (NOW - 2 * DAY, true),
            (0, false),
            (CLOCK_IS_SET - 1, false),
        ] {
            assert_eq!(leaf.is_due(now), due, "{now}");
        }
    }

    #[test]
    fn validity_fits_what_browsers_accept_whatever_the_clock_says() {
        for now in [0, CLOCK_IS_SET, NOW] {
            let mut store = CertificateStore::new(&names(), now).unwrap();
            let leaf = store.issue(Reached::ByName, now).unwrap();
            assert!(leaf.until - leaf.from <= 825 * DAY);
            let then = now.max(CLOCK_IS_SET);
            assert_eq!(verdict(&store, &leaf, "garden.local", then), Ok(()), "{now}");
            assert!(verdict(&store, &leaf, "garden.local", leaf.until + DAY).is_err(), "{now}");
        }
    }

    #[test]
    fn what_is_stored_is_read_again_and_without_secrets_in_messages() {
        let mut store = CertificateStore::new(&names(), NOW).unwrap();
        let leaf = store.issue(Reached::ByName, NOW).unwrap();
        let mut again = CertificateStore::parse(&store.to_bytes()).unwrap();
        assert_eq!(again, store);
        assert_eq!(again.leaf(Reached::ByName, NOW), Some(&leaf));
        assert_eq!(again.leaf(Reached::ByName, NOW + 800 * DAY), None);
        assert!(again.is_for(&names()) && !again.is_for(&names()[..1]));
        // A certificate of the stored keys fits the same authority.
        let other = again.issue(Reached::At("10.0.0.9".parse().unwrap()), NOW).unwrap();
        assert_eq!(verdict(&store, &other, "10.0.0.9", NOW), Ok(()));
        assert!(!format!("{store:?}").contains("key"));
        for damaged in [&b""[..], b"{}", b"[1]", b"{\"names\":[]}"] {
            assert!(CertificateStore::parse(damaged).is_err());
        }
        let text = String::from_utf8(store.to_bytes()).unwrap();
        let at = text.find("\"key\":\"").unwrap() + 7;
        let broken = format!("{}AAAA{}", &text[..at], &text[at + 4..]);
        assert_eq!(CertificateStore::parse(broken.as_bytes()), Err("a key in it cannot be used"));
    }

    #[test]
    fn a_new_address_leaves_the_other_certificates_as_they_are() {
        let mut store = CertificateStore::new(&names(), NOW).unwrap();
        let name = store.issue(Reached::ByName, NOW).unwrap();
        for n in 0..100_u8 {
            store.issue(Reached::At([10, 0, 0, n].into()), NOW).unwrap();
        }
        assert_eq!(store.leaf(Reached::ByName, NOW), Some(&name));
        let kept = store.ends();
        assert_eq!(kept.len(), ADDRESSES + 1);
        assert!(kept.contains_key(&Reached::At([10, 0, 0, 99].into())), "the newest ones are kept");
    }
}
