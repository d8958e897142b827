//! `pair`: a viewer that is not on the list asks to be put on it (signed-messages.md, "Pairing"). Pure.
//!
//! It is read before anybody is authorised, so it has a small form of its own: exact fields, strings with limits.

use serde::Deserialize;

use super::{RequestHead, SessionId, VERSION};
use crate::jose::PublicKey;

/// The largest `pair`, in bytes.
const PAIR_MAX: usize = 1024;
/// The longest name, in bytes.
const NAME_MAX: usize = 256;

/// A `pair`, read and not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairMessage {
    /// Session and number. They only tie the answer to the request.
    pub head: RequestHead,
    /// The identity of the viewer.
    pub key: PublicKey,
    /// The name that the viewer proposes.
    pub name: String,
    /// The MAC over both identities and the name, in base64url.
    pub mac: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u32,
    r#type: &'a str,
    session: &'a str,
    seq: u64,
    key: &'a str,
    name: String,
    mac: &'a str,
}

impl PairMessage {
    /// Reads a `pair`. `None`: it is another message, or has a fault.
    pub fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() > PAIR_MAX {
            return None;
        }
        let fields: Fields<'_> = serde_json::from_slice(payload).ok()?;
        if fields.v != VERSION || fields.r#type != "pair" || fields.name.len() > NAME_MAX || fields.mac.len() != 43 {
            return None;
        }
        Some(Self {
            head: RequestHead { session: SessionId::new(fields.session)?, seq: fields.seq },
            key: fields.key.parse().ok()?,
            name: fields.name,
            mac: fields.mac.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
    const MAC: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    fn text(key: &str, mac: &str, name: &str, more: &str) -> String {
        format!(
            r#"{{"v":1,"type":"pair","session":"q83vEjRWeJCrze8SNFZ4kA","seq":0,"key":"{key}","name":"{name}","mac":"{mac}"{more}}}"#
        )
    }

    #[test]
    fn a_request_to_pair_is_read() {
        let read = PairMessage::read(text(POINT, MAC, "Anna\\u2019s phone", "").as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.mac.as_str(), read.head.seq), ("Anna\u{2019}s phone", MAC, 0));
        assert_eq!(read.key, POINT.parse().unwrap());
    }

    #[test]
    fn anything_else_is_no_request_to_pair() {
        let off_curve = POINT.replace('G', "H");
        for wrong in [
            String::new(),
            "{}".into(),
            text(&off_curve, MAC, "x", ""),
            text("", MAC, "x", ""),
            text(POINT, "short", "x", ""),
            text(POINT, MAC, &"x".repeat(257), ""),
            text(POINT, MAC, &"x".repeat(2000), ""),
            text(POINT, MAC, "x", r#","more":1"#),
            text(POINT, MAC, "x", r#","seq":1"#),
            text(POINT, MAC, "x", "").replace("\"pair\"", "\"hello\""),
            text(POINT, MAC, "x", "").replace("\"v\":1", "\"v\":2"),
            text(POINT, MAC, "x", "").replace("\"seq\":0", "\"seq\":\"0\""),
        ] {
            assert_eq!(PairMessage::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
