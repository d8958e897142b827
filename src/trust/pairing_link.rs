//! The link of a pairing: the URL of the page, and in its fragment all that a viewer needs (signed-messages.md,
//! "Pairing"). A browser never sends the fragment to a server.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::pairing::PairSecret;
use crate::{config::Id, jose::Thumbprint};

/// The version of the link.
const VERSION: u32 = 1;
/// The longest URL of a page or a broker, in bytes. A longer one makes a code that no telephone reads.
const URL_MAX: usize = 512;
/// Names and addresses of this machine. Browsers treat pages from there as if they came over TLS.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

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

/// Checks the URL of a viewer page, and returns it with a path. Browsers give keys only to pages over TLS.
fn page_url(url: &str) -> Result<String, &'static str> {
    let (scheme, authority, path) = parts(url)?;
    match scheme {
        "https" => {}
        "http" if is_loopback(authority) => {}
        "http" => return Err("browsers give keys only to pages with https://, or on localhost"),
        _ => return Err("it must begin with https://"),
    }
    Ok(if path.is_empty() { format!("{url}/") } else { url.to_owned() })
}

/// Checks the URL at which viewers reach the broker.
fn broker_url(url: &str) -> Result<(), &'static str> {
    let (scheme, _, _) = parts(url)?;
    match scheme {
        "wss" | "ws" => Ok(()),
        _ => Err("it must begin with wss://, or with ws://"),
    }
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> Result<(&str, &str, &str), &'static str> {
    if url.len() > URL_MAX {
        return Err("it is longer than 512 bytes");
    }
    if !url.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return Err("it has a space, or a character that must not be in a URL");
    }
    if url.contains('#') {
        return Err("it must not have a part after #, which is where the pairing stands");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme, such as https://")?;
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err("it must not have a name and password before the host");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it names no host");
    }
    Ok((scheme, authority, path))
}

fn is_loopback(authority: &str) -> bool {
    LOOPBACK.iter().any(|host| {
        let port = authority.strip_prefix(host);
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
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
