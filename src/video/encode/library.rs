//! Which OpenH264 library is used: the one that is compiled in, or Cisco's binary, for which Cisco pays the patent
//! licence (`docs/reference/licences.md`).

use std::path::Path;

use openh264::OpenH264API;
use openh264_sys2::Error;

/// The library's functions. If a configured library cannot be loaded, the one that is compiled in does not replace it:
/// the user has a reason to configure it.
pub(crate) fn api(library: Option<&Path>) -> Result<OpenH264API, String> {
    let Some(path) = library else { return Ok(OpenH264API::from_source()) };
    OpenH264API::from_blob_path(path).map_err(|error| {
        let why = match error {
            Error::Io(error) => error.to_string(),
            Error::InvalidHash(sum) => {
                format!("it is not a known binary from Cisco (OpenH264 2.6.0 for Linux); its SHA-256 is {sum}")
            }
            Error::LibLoading(error) => format!("{error}; is it for this processor?"),
        };
        format!("load OpenH264 from {}: {why}", path.display())
    })
}

/// Why a library cannot be used; `None` if it can.
pub fn fault(library: &Path) -> Option<String> {
    api(Some(library)).err()
}

/// The name of the software encoder in messages.
pub(crate) fn name(library: Option<&Path>) -> &'static str {
    match library {
        None => "the processor (OpenH264)",
        Some(_) => "the processor (Cisco's OpenH264)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ciscos_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libopenh264.so");
        let said = || api(Some(&path)).err().unwrap();
        assert!(said().contains("libopenh264.so: No such file"), "{}", said());
        std::fs::write(&path, b"\x7fELF of somebody else").unwrap();
        assert!(said().contains("not a known binary from Cisco") && said().contains("its SHA-256 is "), "{}", said());
        assert_eq!(fault(&path), Some(said()));
        assert!(api(None).is_ok());
    }
}
