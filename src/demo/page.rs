//! The viewer page: some embedded files, served on loopback.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::{CLOSING, DemoError, listen};
use crate::config::Id;

/// The names and contents of the built viewer, from `build.rs`. The contents are gzip files.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/viewer_files.rs"));

/// Served if the viewer was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>fanlight</title>\
    <h1>The viewer was not built</h1><p>This program was compiled without its viewer page. Build it, then compile \
    again:<pre>cd viewer &amp;&amp; npm ci &amp;&amp; npm run build</pre>";

const NOT_FOUND: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>fanlight</title>\
    <h1>Nothing here</h1><p><a href=\"/\">To the viewer</a>";

/// The running page server.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) port: u16,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What all responses are made from.
pub(super) struct Page {
    files: &'static [(&'static str, &'static [u8])],
    /// `/config.json`, with the broker's URL for the page.
    config: Bytes,
    /// The Content-Security-Policy header.
    policy: HeaderValue,
}

#[derive(Serialize)]
struct PageConfig<'a> {
    broker: &'a str,
    root: &'a str,
    device: &'a str,
}

/// Serves the page on the first free port from `port` on.
pub(super) fn serve(port: u16, websocket: &str, root: &str, device: &Id) -> Result<Served, DemoError> {
    let what = "viewer page";
    let (listener, port) = listen(what, port)?;
    let failed = |said| DemoError::Listen { what, port, said };
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let page = Arc::new(Page::new(FILES, websocket, root, device));
    let app = Router::new().fallback(answer).with_state(page);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let until = async {
            // An error means that the sender was dropped, which also means stop.
            drop(stopped.await);
        };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
            tracing::error!("viewer page: {error}");
        }
    });
    Ok(Served { port, stop: Some(stop), task })
}

impl Served {
    /// Ends the server. It does not wait for browsers that keep their connection open.
    pub(super) async fn close(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if timeout(CLOSING, &mut self.task).await.is_err() {
            self.task.abort();
            drop((&mut self.task).await);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(page): State<Arc<Page>>, request: Request) -> Response {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let gzip = text(header::ACCEPT_ENCODING).is_some_and(accepts_gzip);
    page.answer(request.method(), text(header::HOST), request.uri().path(), gzip)
}

impl Page {
    pub(super) fn new(
        files: &'static [(&'static str, &'static [u8])],
        websocket: &str,
        root: &str,
        device: &Id,
    ) -> Self {
        let config = PageConfig { broker: websocket, root, device: device.as_str() };
        let config = serde_json::to_vec(&config).expect("three strings are JSON");
        let origin = websocket.rsplit_once('/').map_or(websocket, |(origin, _)| origin);
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob: mediastream:; connect-src 'self' {origin}/; manifest-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let policy = policy.parse().expect("a policy with a loopback URL is plain ASCII");
        Self { files, config: config.into(), policy }
    }

    /// Answers a request. `gzip`: whether the client accepts this coding; otherwise it gets the plain file.
    pub(super) fn answer(&self, method: &Method, host: Option<&str>, path: &str, gzip: bool) -> Response {
        const HTML: &str = "text/html; charset=utf-8";
        // Against DNS rebinding: a foreign host name that resolves to 127.0.0.1 would make another site the same origin
        // as this page.
        if !host.is_some_and(is_loopback) {
            return self.respond(StatusCode::MISDIRECTED_REQUEST, HTML, Bytes::from_static(NOT_FOUND.as_bytes()));
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = self.respond(StatusCode::METHOD_NOT_ALLOWED, HTML, Bytes::new());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let name = match path {
            "/config.json" => return self.respond(StatusCode::OK, "application/json", self.config.clone()),
            "/" => "index.html",
            other => other.trim_start_matches('/'),
        };
        match self.files.iter().find(|(known, _)| *known == name) {
            Some((_, packed)) => self.file(content_type(name), packed, gzip),
            None if name == "index.html" => {
                self.respond(StatusCode::OK, HTML, Bytes::from_static(NOT_BUILT.as_bytes()))
            }
            None => self.respond(StatusCode::NOT_FOUND, HTML, Bytes::from_static(NOT_FOUND.as_bytes())),
        }
    }

    /// Responds with an embedded file, in a coding that the client accepts.
    fn file(&self, content_type: &'static str, packed: &'static [u8], gzip: bool) -> Response {
        let body = if gzip { Some(Bytes::from_static(packed)) } else { unpack(packed).map(Bytes::from) };
        let Some(body) = body else {
            return self.respond(StatusCode::INTERNAL_SERVER_ERROR, content_type, Bytes::new());
        };
        let mut response = self.respond(StatusCode::OK, content_type, body);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn respond(&self, status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let fixed: [(HeaderName, &'static str); 6] = [
            (header::CONTENT_TYPE, content_type),
            // The next start may be another version on the same port, and caching brings nothing on loopback.
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ];
        let headers = response.headers_mut();
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// Whether an `Accept-Encoding` header accepts gzip (RFC 9110 section 12.5.3).
pub(super) fn accepts_gzip(header: &str) -> bool {
    let mut any = false;
    for element in header.split(',') {
        let mut parts = element.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // A weight that is not a number counts as "not acceptable", since every client can use the plain file.
        let accepted = weight.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            return accepted;
        }
        any |= coding == "*" && accepted;
    }
    any
}

/// Unpacks a gzip file (RFC 1952) from `build.rs`: a header of ten bytes without optional fields, deflate data, and a
/// trailer with the length. `None` for any other file.
fn unpack(gzip: &[u8]) -> Option<Vec<u8>> {
    let data = gzip.strip_prefix(&[0x1f, 0x8b, 8, 0])?.get(6..)?;
    let (deflate, trailer) = data.split_at_checked(data.len().checked_sub(8)?)?;
    let length = u32::from_le_bytes(trailer[4..].try_into().ok()?);
    miniz_oxide::inflate::decompress_to_vec_with_limit(deflate, usize::try_from(length).ok()?).ok()
}

/// Whether a `Host` header names this machine. The port may be any, since an SSH tunnel has its own.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: &[(&str, &[u8])] = &[("index.html", INDEX), ("assets/a.js", SCRIPT), ("icon.svg", ICON)];
    // Made with `printf '<p>viewer' | gzip -9nc`, and so on.
    const INDEX: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xb3)\xb0+\xcbL-O-\x02\x00\x01e\x9e\xc8\x09\x00\x00\x00";
    const SCRIPT: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x033\x04\x00\xb7\xef\xdc\x83\x01\x00\x00\x00";
    const ICON: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xb3).K\xd7\xb7\x03\x00I\xfb\xb9\xac\x06\x00\x00\x00";

    fn page(files: &'static [(&'static str, &'static [u8])]) -> Page {
        Page::new(files, "ws://127.0.0.1:18831/mqtt-secret", "fanlight/v1", &Id::new("demo").unwrap())
    }

    async fn text(response: Response) -> String {
        String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_path_has_its_answer() {
        let (get, here) = (Method::GET, Some("127.0.0.1:8080"));
        let rows = [
            (&get, here, "/", 200, "text/html; charset=utf-8", "<p>viewer"),
            (&get, here, "/index.html", 200, "text/html; charset=utf-8", "<p>viewer"),
            (&get, Some("localhost"), "/assets/a.js", 200, "text/javascript; charset=utf-8", "1"),
            (&get, Some("[::1]:9000"), "/icon.svg", 200, "image/svg+xml", "<svg/>"),
            (&get, here, "/config.json", 200, "application/json", r#""broker":"ws://127.0.0.1:18831/mqtt-secret""#),
            (&get, here, "/config.json", 200, "application/json", r#""root":"fanlight/v1","device":"demo""#),
            (&Method::HEAD, here, "/", 200, "text/html; charset=utf-8", ""),
            (&get, here, "/../Cargo.toml", 404, "text/html; charset=utf-8", "Nothing here"),
            (&get, here, "/assets", 404, "text/html; charset=utf-8", "Nothing here"),
            (&Method::POST, here, "/", 405, "text/html; charset=utf-8", ""),
            (&get, Some("evil.example:8080"), "/config.json", 421, "text/html; charset=utf-8", "Nothing here"),
            (&get, Some("127.0.0.1.evil.example"), "/config.json", 421, "text/html; charset=utf-8", "Nothing here"),
            (&get, None, "/config.json", 421, "text/html; charset=utf-8", "Nothing here"),
        ];
        for (method, host, path, status, kind, words) in rows {
            let response = page(BUILT).answer(method, host, path, false);
            let header = |name: &str| response.headers()[name].to_str().unwrap();
            assert_eq!((response.status().as_u16(), header("content-type")), (status, kind), "{method} {path}");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert!(header("content-security-policy").contains("connect-src 'self' ws://127.0.0.1:18831/;"));
            assert_eq!(response.headers().get("content-encoding"), None, "{path}: gzip was not asked for");
            assert!(text(response).await.contains(words), "{path}");
        }
    }

    #[tokio::test]
    async fn a_file_is_compressed_only_for_a_client_that_accepts_it() {
        for (gzip, coding) in [(true, Some("gzip")), (false, None)] {
            let response = page(BUILT).answer(&Method::GET, Some("localhost"), "/", gzip);
            assert_eq!(response.headers().get("content-encoding").map(|c| c.to_str().unwrap()), coding);
            assert_eq!(response.headers()["vary"], "accept-encoding");
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert_eq!(body.as_ref(), if gzip { INDEX } else { b"<p>viewer" });
        }
        for (header, accepted) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("x-gzip", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("deflate", false),
            ("gzip;q=nonsense", false),
        ] {
            assert_eq!(accepts_gzip(header), accepted, "{header:?}");
        }
    }

    #[test]
    fn what_is_embedded_is_packed_as_the_answer_says() {
        for (name, packed) in FILES {
            assert!(unpack(packed).is_some(), "{name} can be unpacked");
            // The gzip header has no name and no time, so that the same page gives the same program.
            assert_eq!(packed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "{name}");
        }
    }

    #[tokio::test]
    async fn without_a_viewer_the_page_says_how_to_build_it() {
        let response = page(&[]).answer(&Method::GET, Some("127.0.0.1"), "/", true);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(response).await.contains("cd viewer &amp;&amp; npm ci &amp;&amp; npm run build"));
    }
}
