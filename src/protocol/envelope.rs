//! The first step: bytes → text whose sender is not authorised yet. The cheapest checks come first.

use super::{ErrorName, Refusal, SessionId};

/// The largest message as JSON, in bytes.
pub const MESSAGE_MAX: usize = 32 * 1024;
/// The largest message that is signed and sealed, in bytes. Two rounds of base64url make a message about 1.8 times as
/// long, and the broker link reads at most 64 KiB.
pub const SEALED_MAX: usize = 60 * 1024;

/// A payload whose outer form is known and whose content is not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Plain JSON: the mode `broker`.
    Plain(&'a str),
    /// A JWE in compact form, with a JWS inside: the mode `keys`.
    Sealed(&'a str),
}

/// A message that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The session that the message named, if that could be read.
    pub session: Option<SessionId>,
    /// The refusal.
    pub refusal: Refusal,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self { session: None, refusal }
    }
}

/// The refusal of a message of `len` bytes.
pub fn too_large(len: usize) -> Refusal {
    Refusal::new(ErrorName::TooLarge, format!("the message has {len} bytes: at most {MESSAGE_MAX} are read"))
}

/// Checks size and UTF-8, and tells a sealed payload from a plain one.
pub fn open(payload: &[u8]) -> Result<Envelope<'_>, Rejected> {
    // `eyJ` is base64url of `{"`, with which every JOSE header begins.
    let is_sealed = payload.starts_with(b"eyJ");
    if payload.len() > if is_sealed { SEALED_MAX } else { MESSAGE_MAX } {
        return Err(too_large(payload.len()).into());
    }
    let text = std::str::from_utf8(payload).map_err(|e| {
        let message = format!("the message is not UTF-8 after byte {}", e.valid_up_to());
        Refusal::new(ErrorName::BadRequest, message)
    })?;
    Ok(if is_sealed { Envelope::Sealed(text) } else { Envelope::Plain(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_comes_before_everything() {
        let mut payload = vec![0xff; MESSAGE_MAX + 1];
        assert_eq!(open(&payload).unwrap_err().refusal.name, ErrorName::TooLarge);
        payload.pop();
        assert_eq!(open(&payload).unwrap_err().refusal.name, ErrorName::BadRequest);
        assert_eq!(open(&[b' '; MESSAGE_MAX]), Ok(Envelope::Plain(&" ".repeat(MESSAGE_MAX))));
    }

    #[test]
    fn a_sealed_payload_is_told_by_its_first_letters_and_may_be_longer() {
        assert_eq!(open(b"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), Ok(Envelope::Sealed("eyJhbGciOiJFUzI1NiJ9.e30.c2ln")));
        let long = |len| format!("eyJ{}", "x".repeat(len - 3));
        assert_eq!(open(long(SEALED_MAX).as_bytes()), Ok(Envelope::Sealed(&long(SEALED_MAX))));
        assert_eq!(open(long(SEALED_MAX + 1).as_bytes()).unwrap_err().refusal.name, ErrorName::TooLarge);
        assert_eq!(open(b"{}"), Ok(Envelope::Plain("{}")));
        assert!(open(b"\xc3\x28").unwrap_err().refusal.message.contains("after byte 0"));
    }
}
