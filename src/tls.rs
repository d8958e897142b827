//! Common parts of all TLS clients of this board: trusted certificate authorities, PEM files, and the fault of a
//! certificate as a sentence.

use std::{
    fmt::Display,
    path::Path,
    time::{Duration, SystemTime},
};

use tokio_rustls::rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::config::{self, TextError};

/// Largest PEM file, in bytes. No CA bundle or certificate chain is larger.
const FILE_MAX: u64 = 4 << 20;
/// 2024-01-01, in seconds since 1970. The program is newer, so a clock before this date was never set.
const CLOCK_IS_SET: Duration = Duration::from_secs(1_704_067_200);

/// The certificate authorities in this file, or the system's. Blocks, because it reads files.
pub fn roots(own: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = own {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|e| about(path, e))?;
        }
        return Ok(roots);
    }
    // Some systems have roots that webpki does not accept. The others still work.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        let why = native.errors.first().map_or_else(String::new, |e| format!(": {e}"));
        return Err(format!("this system has no certificate authorities{why}; install ca-certificates or set ca_file"));
    }
    Ok(roots)
}

/// The certificates in a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<_, _>>().map_err(|e| about(path, e))?;
    if chain.is_empty() {
        return Err(about(path, "no certificate found; PEM is expected"));
    }
    Ok(chain)
}

/// Reads a regular file of at most 4 MiB, such as PEM. Never blocks on a pipe or a device.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let (bytes, _) = config::read_bounded(path, FILE_MAX).map_err(|e| about(path, e))?;
    // PEM is text. The PEM parser reports anything else.
    match config::text_of(bytes.clone()) {
        Ok(text) => Ok(text.into_bytes()),
        Err(error @ TextError::Utf16) => Err(about(path, error)),
        Err(TextError::NotText { .. }) => Ok(bytes),
    }
}

/// The error text for a file: `read FILE: …`.
pub fn about(path: &Path, said: impl Display) -> String {
    format!("read {}: {said}", path.display())
}

/// The fault of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// No authority that this board trusts has signed it.
    Untrusted,
    /// It is not valid now, according to this board's clock.
    Expired,
    /// It is for another host name.
    WrongName,
}

/// The fault of the certificate of `host`, and a sentence about it. `now` is the wall clock's time. `whose` is its
/// owner, such as `the broker's`.
pub fn flaw(fault: &CertificateError, whose: &str, host: &str, now: SystemTime) -> (Flaw, String) {
    use CertificateError as C;
    let clock = clock_hint(now);
    match fault {
        C::UnknownIssuer => (
            Flaw::Untrusted,
            format!(
                "{whose} certificate is signed by an authority this board does not know; set ca_file if it is your own"
            ),
        ),
        C::Expired | C::ExpiredContext { .. } => (Flaw::Expired, format!("{whose} certificate has expired{clock}")),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            let clock = if clock.is_empty() { "; is this board's clock right?" } else { &clock };
            (Flaw::Expired, format!("{whose} certificate is not valid yet{clock}"))
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            let names = match fault {
                C::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                    format!(", it is for {}", presented.join(", "))
                }
                _ => String::new(),
            };
            (Flaw::WrongName, format!("{whose} certificate is not for {host}{names}"))
        }
        // For example, an authority was created again under its old name.
        C::BadSignature => (
            Flaw::Untrusted,
            format!(
                "{whose} certificate is signed by an authority this board does not know; it knows another one of the \
                 same name; set ca_file to the right one"
            ),
        ),
        other => (Flaw::Untrusted, format!("{whose} certificate: {other}")),
    }
}

/// A hint if the clock was never set: all certificates are then not valid yet.
fn clock_hint(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since >= CLOCK_IS_SET {
        return String::new();
    }
    let year = 1970 + since.as_secs() / 31_556_952;
    format!("; this board's clock says {year}: it has to be set (NTP) before certificates can be checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_with_or_without_a_byte_order_mark() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        std::fs::write(path("plain"), &pem).unwrap();
        std::fs::write(path("marked"), format!("\u{feff}{}", pem.replace('\n', "\r\n"))).unwrap();
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(pem.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        std::fs::write(path("wide"), wide).unwrap();
        std::fs::write(path("binary"), [0x30, 0x82, 1, 2]).unwrap();
        std::fs::File::create(path("huge")).unwrap().set_len(FILE_MAX + 1).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for (name, said) in [
            (path("plain"), None),
            (path("marked"), None),
            (path("wide"), Some("UTF-16 text")),
            (path("binary"), Some("no certificate found; PEM is expected")),
            (path("huge"), Some("longer than")),
            (path("pipe"), Some("not a regular file")),
            ("/dev/zero".into(), Some("not a regular file")),
            (dir.path().to_owned(), Some("not a regular file")),
            (path("none"), Some("No such file")),
        ] {
            match (certificates(&name), said) {
                (Ok(found), None) => assert_eq!(found.len(), 1, "{}", name.display()),
                (Err(error), Some(said)) => assert!(error.contains(said), "{error}"),
                (other, _) => panic!("{}: {other:?}", name.display()),
            }
        }
    }
}
