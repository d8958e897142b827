//! The answer to each HTTP request: a file of the page, the authority's certificate, or MQTT over WebSocket (RFC 6455).
//! Pure.

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::plain::is_authority;
use crate::{
    config::Id,
    page::{Page, PageFiles, PageRequest, nothing_here, respond, wants_gzip},
};

/// The path of MQTT, below the prefix.
const MQTT: &str = "/mqtt";
/// The type of MQTT packets in requests and responses.
const PACKETS: &str = "application/octet-stream";
/// The header with the name of a connection by requests.
const NAME: &str = "fanlight-link";
/// The path of the authority's certificate.
const AUTHORITY: &str = "/fanlight-ca.crt";

/// What the HTTPS server offers.
#[derive(Debug)]
pub struct Site {
    page: Page,
    /// In front of all paths: empty, or a slash and a secret that only links have.
    prefix: String,
    /// The authority's certificate, DER. `None`: it is not offered.
    authority: Option<Bytes>,
    device: Id,
}

/// What to do with a request.
#[derive(Debug)]
pub enum SiteAnswer {
    /// Respond, and that is all.
    Respond(Response),
    /// Respond, and then carry MQTT.
    Mqtt(Response),
    /// The body is the first packet of MQTT by requests.
    Open,
    /// The body is what follows it, for the connection of this name.
    Send(String),
}

impl Site {
    /// A site with these files. All is below `prefix`, which is empty or begins with a slash. `keys`: the page is for
    /// paired cameras only.
    pub fn new(
        files: PageFiles,
        prefix: &str,
        root: &str,
        device: &Id,
        keys: bool,
        authority: Option<Vec<u8>>,
    ) -> Self {
        let page = Page::new(files, &format!("{prefix}{MQTT}"), root, device, keys);
        Self { page, prefix: prefix.to_owned(), authority: authority.map(Bytes::from), device: device.clone() }
    }

    /// The id of the board.
    pub fn device(&self) -> &Id {
        &self.device
    }

    /// Answers a request.
    pub fn answer(&self, request: &Parts) -> SiteAnswer {
        let host = single(&request.headers, &header::HOST).filter(|host| is_authority(host)).unwrap_or_default();
        let broker = format!("wss://{host}");
        let path = request.uri.path();
        let gzip = wants_gzip(&request.headers);
        let whole = PageRequest { method: &request.method, path, gzip, broker: &broker };
        if host.is_empty() {
            return SiteAnswer::Respond(nothing_here(&whole, StatusCode::BAD_REQUEST));
        }
        let Some(path) = path.strip_prefix(&self.prefix).filter(|path| path.starts_with('/')) else {
            return SiteAnswer::Respond(nothing_here(&whole, StatusCode::NOT_FOUND));
        };
        let asked = PageRequest { path, ..whole };
        match (path, &self.authority) {
            (MQTT, _) if request.method == Method::POST => match posts(&request.headers, host) {
                true => SiteAnswer::Open,
                false => SiteAnswer::Respond(nothing_here(&asked, StatusCode::FORBIDDEN)),
            },
            (MQTT, _) => mqtt(request, &asked, host),
            (path, _) if request.method == Method::POST && posts(&request.headers, host) => {
                match path.strip_prefix(MQTT).and_then(|rest| rest.strip_prefix('/')) {
                    Some(name) => SiteAnswer::Send(name.to_owned()),
                    None => SiteAnswer::Respond(self.page.answer(&asked)),
                }
            }
            (AUTHORITY, Some(der)) if request.method == Method::GET || request.method == Method::HEAD => {
                SiteAnswer::Respond(respond(&asked, StatusCode::OK, "application/x-x509-ca-cert", der.clone()))
            }
            _ => SiteAnswer::Respond(self.page.answer(&asked)),
        }
    }
}

/// Opens a WebSocket, or says what this path is for.
fn mqtt(request: &Parts, asked: &PageRequest<'_>, host: &str) -> SiteAnswer {
    match upgrade(request, host) {
        Ok(accept) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            let fixed: [(HeaderName, &'static str); 3] = [
                (header::CONNECTION, "Upgrade"),
                (header::UPGRADE, "websocket"),
                (header::SEC_WEBSOCKET_PROTOCOL, "mqtt"),
            ];
            for (name, value) in fixed {
                headers.insert(name, HeaderValue::from_static(value));
            }
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            SiteAnswer::Mqtt(response)
        }
        Err(status) => {
            let mut response = nothing_here(asked, status);
            if status == StatusCode::UPGRADE_REQUIRED {
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                // The page learns from this that it may use requests.
                headers.insert(HeaderName::from_static("accept-post"), HeaderValue::from_static(PACKETS));
            }
            SiteAnswer::Respond(response)
        }
    }
}

/// The response to the first packet: the body is what the broker sends, and further requests have this name.
pub fn opened(token: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PACKETS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(token) = HeaderValue::try_from(token) {
        headers.insert(HeaderName::from_static(NAME), token);
    }
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether a POST comes from the page itself: pages of other origins cannot send this type without asking first, and
/// are not allowed to.
fn posts(headers: &HeaderMap, host: &str) -> bool {
    single(headers, &header::CONTENT_TYPE) == Some(PACKETS) && is_same_origin(headers, host)
}

/// Whether the page has the same origin, which browsers name in each POST and for each WebSocket.
fn is_same_origin(headers: &HeaderMap, host: &str) -> bool {
    let origin = single(headers, &header::ORIGIN).unwrap_or_default();
    origin.strip_prefix("https://").is_some_and(|from| from.eq_ignore_ascii_case(host))
}

/// Checks a request for a WebSocket (RFC 6455 section 4.2.1) of MQTT (MQTT 5 section 6). Returns the proof that it was
/// understood. A page of another origin is refused: it could use a certificate that the user accepted for this page.
fn upgrade(request: &Parts, host: &str) -> Result<HeaderValue, StatusCode> {
    let headers = &request.headers;
    let lists = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    let is_websocket = lists(header::UPGRADE, "websocket") && lists(header::CONNECTION, "upgrade");
    if request.method != Method::GET || !is_websocket || !lists(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    if headers.contains_key(header::ORIGIN) && !is_same_origin(headers, host) {
        return Err(StatusCode::FORBIDDEN);
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    let is_key = key.len() == 24 && BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if !is_key || !lists(header::SEC_WEBSOCKET_PROTOCOL, "mqtt") {
        return Err(StatusCode::BAD_REQUEST);
    }
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| StatusCode::BAD_REQUEST)
}

/// The value of a header that is there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn site(prefix: &str) -> Site {
        Site::new(&[], prefix, "fanlight/v1", &Id::new("garden").unwrap(), true, Some(vec![1, 2, 3]))
    }

    fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn status(site: &Site, parts: &Parts) -> u16 {
        match site.answer(parts) {
            SiteAnswer::Respond(response) | SiteAnswer::Mqtt(response) => response.status().as_u16(),
            SiteAnswer::Open => 1,
            SiteAnswer::Send(_) => 2,
        }
    }

    fn opening() -> Vec<(&'static str, &'static str)> {
        vec![
            ("host", "garden.local:8443"),
            ("origin", "https://garden.local:8443"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-protocol", "mqtt"),
        ]
    }

    #[test]
    fn a_websocket_is_opened_for_mqtt_and_for_pages_of_this_host() {
        let response = match site("").answer(&asked("GET", "/mqtt", &opening())) {
            SiteAnswer::Mqtt(response) => response,
            other => panic!("{other:?}"),
        };
        // The example of RFC 6455 section 1.3.
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let with = |name: &'static str, value: Option<&'static str>| {
            let mut headers = opening();
            headers.retain(|(known, _)| *known != name);
            headers.extend(value.map(|value| (name, value)));
            headers
        };
        for (headers, expected) in [
            (with("origin", None), 101),
            (with("origin", Some("https://GARDEN.local:8443")), 101),
            (with("origin", Some("https://evil.example")), 403),
            (with("origin", Some("http://garden.local:8443")), 403),
            (with("origin", Some("null")), 403),
            (with("upgrade", None), 426),
            (with("connection", Some("close")), 426),
            (with("sec-websocket-version", Some("8")), 426),
            (with("sec-websocket-key", Some("c2hvcnQ=")), 400),
            (with("sec-websocket-protocol", Some("chat")), 400),
            (with("sec-websocket-protocol", Some("chat, mqtt")), 101),
            (with("host", None), 400),
            (with("host", Some("a b")), 400),
        ] {
            assert_eq!(status(&site(""), &asked("GET", "/mqtt", &headers)), expected, "{headers:?}");
        }
        assert_eq!(status(&site(""), &asked("POST", "/mqtt", &opening())), 403);
        let twice = [opening(), vec![("host", "garden.local:8443")]].concat();
        assert_eq!(status(&site(""), &asked("GET", "/mqtt", &twice)), 400, "two hosts");
    }

    #[test]
    fn only_the_page_itself_carries_mqtt_by_requests() {
        let own = ("origin", "https://garden.local");
        let packets = ("content-type", PACKETS);
        for (path, headers, expected) in [
            ("/mqtt", vec![own, packets], 1),
            ("/mqtt/name", vec![own, packets], 2),
            ("/mqtt", vec![packets], 403),
            ("/mqtt", vec![own], 403),
            ("/mqtt", vec![own, ("content-type", "text/plain")], 403),
            ("/mqtt", vec![("origin", "https://evil.example"), packets], 403),
            ("/mqtt/name", vec![("origin", "https://evil.example"), packets], 405),
            ("/else", vec![own, packets], 405),
        ] {
            let headers = [vec![("host", "garden.local")], headers].concat();
            assert_eq!(status(&site(""), &asked("POST", path, &headers)), expected, "{path} {headers:?}");
        }
        let told = match site("").answer(&asked("GET", "/mqtt", &[("host", "a")])) {
            SiteAnswer::Respond(response) => response,
            other => panic!("{other:?}"),
        };
        assert_eq!(told.headers()["accept-post"], PACKETS);
    }

    #[test]
    fn each_path_has_its_answer_and_nothing_is_in_front_of_a_prefix() {
        for (prefix, method, path, expected) in [
            ("", "GET", "/", 200),
            ("", "GET", "/config.json", 200),
            ("", "GET", "/fanlight-ca.crt", 200),
            ("", "POST", "/fanlight-ca.crt", 405),
            ("", "GET", "/../etc/passwd", 404),
            ("/s3cret", "GET", "/s3cret/", 200),
            ("/s3cret", "GET", "/s3cret/config.json", 200),
            ("/s3cret", "GET", "/s3cret/mqtt", 426),
            ("/s3cret", "GET", "/s3cret", 404),
            ("/s3cret", "GET", "/", 404),
            ("/s3cret", "GET", "/config.json", 404),
            ("/s3cret", "GET", "/mqtt", 404),
        ] {
            let parts = asked(method, path, &[("host", "10.0.0.5:8443")]);
            assert_eq!(status(&site(prefix), &parts), expected, "{prefix} {method} {path}");
        }
    }
}
