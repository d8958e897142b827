//! Base64url without padding (RFC 4648 section 5), in its one canonical form.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::JoseError;

/// Bytes → text.
pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Text → bytes. Refuses padding, white space, and bits after the last byte, so that each text has its own bytes and
/// each bytes their own text.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::Base64)
}

/// Text → exactly `N` bytes. The length is checked before anything else.
pub(super) fn decode_exact<const N: usize>(text: &str) -> Result<[u8; N], JoseError> {
    if base64::encoded_len(N, false) != Some(text.len()) {
        return Err(JoseError::Form);
    }
    decode(text)?.try_into().map_err(|_| JoseError::Form)
}
