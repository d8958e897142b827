//! The link of a pairing: the URL of the page, and in its fragment all that a viewer needs (signed-messages.md,
//! "Pairing"). A browser never sends the fragment to a server.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::pairing::PairSecret;
use crate::{
    config::{
        Id,
        pairing_urls::{broker_url, page_url},
    },
    jose::Thumbprint,
};

/// The version of the link.
const VERSION: u32 = 1;

/// What a link says.
#[derive(Debug, Clone, Copy)]
pub struct PairingLink<'a> {
    /// The URL of the broker for viewers.
    pub broker: &'a str,
    /// The first levels of all topics.
    pub root: &'a str,
    /// The id of the board.
    pub device: &'a Id,
    /// The thumbprint of the board's identity.
    pub board: &'a Thumbprint,
    /// The secret.
    pub secret: &'a PairSecret,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize, Debug, PartialEq))]
struct Fields<'a> {
    v: u32,
    broker: &'a str,
    root: &'a str,
    device: &'a str,
    key: Thumbprint,
    secret: String,
}

impl PairingLink<'_> {
    /// The link to this page. The error is a sentence: which URL cannot be used, and why.
    pub fn compose(&self, page: &str) -> Result<String, String> {
        let page = page_url(page).map_err(|why| format!("the URL of the page cannot be used: {why}"))?;
        broker_url(self.broker).map_err(|why| format!("the URL of the broker for viewers cannot be used: {why}"))?;
        let fields = Fields {
            v: VERSION,
            broker: self.broker,
            root: self.root,
            device: self.device.as_str(),
            key: *self.board,
            secret: self.secret.text(),
        };
        let json = serde_json::to_vec(&fields).map_err(|e| format!("compose the link: {e}"))?;
        Ok(format!("{page}#p={}", URL_SAFE_NO_PAD.encode(json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::PublicKey;

    const POINT: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

    fn link(page: &str, broker: &str) -> Result<String, String> {
        let board = POINT.parse::<PublicKey>().unwrap().thumbprint();
        let (device, secret) = (Id::new("porch").unwrap(), PairSecret::new([7; 16]));
        PairingLink { broker, root: "fanlight/v1", device: &device, board: &board, secret: &secret }.compose(page)
    }

    #[test]
    fn a_link_says_what_the_contract_says() {
        let link = link("https://cam.example.org/", "wss://broker.example.org/mqtt").unwrap();
        let (page, fragment) = link.split_once("#p=").unwrap();
        assert_eq!(page, "https://cam.example.org/");
        let json = URL_SAFE_NO_PAD.decode(fragment).unwrap();
        let board = POINT.parse::<PublicKey>().unwrap().thumbprint();
        let expected = Fields {
            v: 1,
            broker: "wss://broker.example.org/mqtt",
            root: "fanlight/v1",
            device: "porch",
            key: board,
            secret: "BwcHBwcHBwcHBwcHBwcHBw".into(),
        };
        assert_eq!(serde_json::from_slice::<Fields<'_>>(&json).unwrap(), expected);
        assert_eq!(json.len(), serde_json::to_vec(&expected).unwrap().len(), "and nothing more");
    }

    #[test]
    fn a_page_has_a_path_and_is_one_that_gets_keys() {
        const BROKER: &str = "wss://b/mqtt";
        for (page, expected) in [
            ("https://cam.example.org", Some("https://cam.example.org/")),
            ("https://cam.example.org:8443/a/?x=1", Some("https://cam.example.org:8443/a/?x=1")),
            ("http://localhost:8080", Some("http://localhost:8080/")),
            ("http://[::1]:8080/", Some("http://[::1]:8080/")),
            ("http://cam.example.org/", None),
            ("http://localhost.example.org/", None),
            ("http://127.0.0.1@example.org/", None),
            ("https://user:word@example.org/", None),
            ("https://cam.example.org/#x", None),
            ("https:///path", None),
            ("https://:8443/", None),
            ("https://cam.example.org/ x", None),
            ("https://cam.example.org/\u{202e}", None),
            ("javascript://x", None),
            ("cam.example.org", None),
            ("", None),
            (&format!("https://{}", "x".repeat(600)), None),
        ] {
            let made = link(page, BROKER).ok().map(|link| link.split_once('#').unwrap().0.to_owned());
            assert_eq!(made.as_deref(), expected, "{page:?}");
        }
    }

    #[test]
    fn viewers_reach_a_broker_by_websocket_only() {
        for (broker, good) in
            [("wss://b:443/mqtt", true), ("ws://b", true), ("mqtts://b", false), ("https://b", false), ("b", false)]
        {
            assert_eq!(link("https://c", broker).is_ok(), good, "{broker}");
        }
    }
}
