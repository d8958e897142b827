//! The secret of a pairing, and the MACs by which board and viewer show each other that they know it
//! (signed-messages.md, "Pairing"): HMAC-SHA256 (RFC 2104).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::{config::Id, jose::Thumbprint};

/// Bytes of a secret: 128 bits.
pub const SECRET_BYTES: usize = 16;

/// Who computes a MAC. The first text of a MAC names it, so that none passes for one of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacSide {
    Board,
    Viewer,
}

impl MacSide {
    fn label(self) -> &'static str {
        match self {
            Self::Board => "fanlight pair board",
            Self::Viewer => "fanlight pair viewer",
        }
    }
}

/// What a MAC is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct MacTexts<'a> {
    pub(super) board: &'a Thumbprint,
    pub(super) device: &'a Id,
    pub(super) viewer: &'a Thumbprint,
    /// The name in the message of the viewer. It has no zero byte.
    pub(super) name: &'a str,
}

/// The secret of one pairing. It is in the link, and nowhere else.
#[derive(Clone)]
pub struct PairSecret([u8; SECRET_BYTES]);

impl fmt::Debug for PairSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairSecret(…)")
    }
}

impl PairSecret {
    /// These bytes, which must be random.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The secret as text for the link: 22 characters of base64url.
    pub(super) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The MAC of one side, in base64url.
    pub(super) fn mac(&self, side: MacSide, texts: MacTexts<'_>) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key(), &joined(side, texts)))
    }

    /// Whether this is the MAC of one side, in base64url. The comparison takes the same time wherever they differ.
    pub(super) fn is_mac(&self, mac: &str, side: MacSide, texts: MacTexts<'_>) -> bool {
        let Ok(mac) = URL_SAFE_NO_PAD.decode(mac) else { return false };
        !texts.name.contains('\0') && hmac::verify(&self.key(), &joined(side, texts), &mac).is_ok()
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// The texts, each followed by a zero byte. No text has one inside, so different texts never give the same bytes.
fn joined(side: MacSide, texts: MacTexts<'_>) -> Vec<u8> {
    let MacTexts { board, device, viewer, name } = texts;
    let mut bytes = Vec::new();
    for text in [side.label(), &board.to_string(), device.as_str(), &viewer.to_string(), name] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}
