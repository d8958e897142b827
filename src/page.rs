//! The viewer page: some embedded files, and the answers to requests for them. Pure; `demo` and `home` serve it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;

use crate::config::Id;

/// The names and contents of embedded files. The contents are gzip files.
pub type PageFiles = &'static [(&'static str, &'static [u8])];

/// The built viewer, from `build.rs`.
pub const VIEWER: PageFiles = include!(concat!(env!("OUT_DIR"), "/viewer_files.rs"));

/// Served if the viewer was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>fanlight</title>\
    <h1>The viewer was not built</h1><p>This program was compiled without its viewer page. Build it, then compile \
    again:<pre>cd viewer &amp;&amp; npm ci &amp;&amp; npm run build</pre>";

const NOT_FOUND: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>fanlight</title>\
    <h1>Nothing here</h1><p><a href=\"./\">To the viewer</a>";

const HTML: &str = "text/html; charset=utf-8";

/// What all responses are made from.
#[derive(Debug)]
pub struct Page {
    files: PageFiles,
    /// `config.json`, with the broker's URL for the page.
    config: Bytes,
}

/// A request for a file of the page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The file's path, with its leading slash.
    pub path: &'a str,
    /// Whether the client accepts gzip; otherwise it gets the plain file.
    pub gzip: bool,
    /// Where the page's broker is, such as `wss://garden.local:8443`, for the Content-Security-Policy header.
    pub broker: &'a str,
}

#[derive(Serialize)]
struct PageConfig<'a> {
    broker: &'a str,
    root: &'a str,
    device: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    keys: bool,
}

impl Page {
    /// A page whose `config.json` has this broker, root and device. `broker` is a URL, or a path on the page's host.
    /// `keys`: it is for paired cameras only, and never speaks plain JSON.
    pub fn new(files: PageFiles, broker: &str, root: &str, device: &Id, keys: bool) -> Self {
        let config = PageConfig { broker, root, device: device.as_str(), keys };
        // Strings and a flag are always JSON.
        Self { files, config: serde_json::to_vec(&config).unwrap_or_default().into() }
    }

    /// Answers a request.
    pub fn answer(&self, request: &PageRequest<'_>) -> Response {
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut response = respond(request, StatusCode::METHOD_NOT_ALLOWED, HTML, Bytes::new());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let name = match request.path {
            "/config.json" => return respond(request, StatusCode::OK, "application/json", self.config.clone()),
            "/" => "index.html",
            other => other.strip_prefix('/').unwrap_or(other),
        };
        match self.files.iter().find(|(known, _)| *known == name) {
            Some((_, packed)) => file(request, content_type(name), packed),
            None if name == "index.html" => {
                respond(request, StatusCode::OK, HTML, Bytes::from_static(NOT_BUILT.as_bytes()))
            }
            None => nothing_here(request, StatusCode::NOT_FOUND),
        }
    }
}

/// A page that says so, with this status.
pub fn nothing_here(request: &PageRequest<'_>, status: StatusCode) -> Response {
    respond(request, status, HTML, Bytes::from_static(NOT_FOUND.as_bytes()))
}

/// Whether the headers of a request accept gzip.
pub fn wants_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(accepts_gzip)
}

/// The Content-Security-Policy header of a page whose broker is there.
fn policy(broker: &str) -> HeaderValue {
    let with = |connect: &str| {
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob: mediastream:; manifest-src 'self'; connect-src 'self'{connect}; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    };
    let fits = broker.bytes().all(|b| b.is_ascii_alphanumeric() || b":/.-[]_".contains(&b));
    let policy = if fits { with(&format!(" {broker}/")) } else { with("") };
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// Responds with an embedded file, in a coding that the client accepts.
fn file(request: &PageRequest<'_>, content_type: &'static str, packed: &'static [u8]) -> Response {
    let body = if request.gzip { Some(Bytes::from_static(packed)) } else { unpack(packed).map(Bytes::from) };
    let Some(body) = body else {
        return respond(request, StatusCode::INTERNAL_SERVER_ERROR, content_type, Bytes::new());
    };
    let mut response = respond(request, StatusCode::OK, content_type, body);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if request.gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Responds with this content and the headers of every response.
pub fn respond(request: &PageRequest<'_>, status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, content_type),
        // The next start may be another version on the same port, and the page is small and near.
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
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(request.broker));
    response
}

/// Whether an `Accept-Encoding` header accepts gzip (RFC 9110 section 12.5.3).
fn accepts_gzip(header: &str) -> bool {
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

    fn page(files: PageFiles) -> Page {
        Page::new(files, "ws://127.0.0.1:18831/mqtt-secret", "fanlight/v1", &Id::new("demo").unwrap(), false)
    }

    fn request<'a>(method: &'a Method, path: &'a str, gzip: bool) -> PageRequest<'a> {
        PageRequest { method, path, gzip, broker: "ws://127.0.0.1:18831" }
    }

    async fn text(response: Response) -> String {
        String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_path_has_its_answer() {
        let get = Method::GET;
        let rows = [
            (&get, "/", 200, HTML, "<p>viewer"),
            (&get, "/index.html", 200, HTML, "<p>viewer"),
            (&get, "/assets/a.js", 200, "text/javascript; charset=utf-8", "1"),
            (&get, "/icon.svg", 200, "image/svg+xml", "<svg/>"),
            (&get, "/config.json", 200, "application/json", r#""broker":"ws://127.0.0.1:18831/mqtt-secret""#),
            (&get, "/config.json", 200, "application/json", r#""root":"fanlight/v1","device":"demo"}"#),
            (&Method::HEAD, "/", 200, HTML, ""),
            (&get, "/../Cargo.toml", 404, HTML, "Nothing here"),
            (&get, "/%2e%2e/etc/passwd", 404, HTML, "Nothing here"),
            (&get, "//etc/passwd", 404, HTML, "Nothing here"),
            (&get, "//index.html", 404, HTML, "Nothing here"),
            (&get, "/assets", 404, HTML, "Nothing here"),
            (&get, "*", 404, HTML, "Nothing here"),
            (&Method::POST, "/", 405, HTML, ""),
        ];
        for (method, path, status, kind, words) in rows {
            let response = page(BUILT).answer(&request(method, path, false));
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
            let response = page(BUILT).answer(&request(&Method::GET, "/", gzip));
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
    fn a_host_that_is_no_host_does_not_get_into_the_policy() {
        for (broker, expected) in [
            ("wss://garden.local:8443", "connect-src 'self' wss://garden.local:8443/;"),
            ("wss://[fd00::1]:8443", "connect-src 'self' wss://[fd00::1]:8443/;"),
            ("wss://x; script-src *", "connect-src 'self';"),
            ("wss://x\r\nA: b", "connect-src 'self';"),
        ] {
            assert!(policy(broker).to_str().unwrap().contains(expected), "{broker}");
        }
    }

    #[test]
    fn what_is_embedded_is_packed_as_the_answer_says() {
        for (name, packed) in VIEWER {
            assert!(unpack(packed).is_some(), "{name} can be unpacked");
            // The gzip header has no name and no time, so that the same page gives the same program.
            assert_eq!(packed[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "{name}");
        }
    }

    #[tokio::test]
    async fn without_a_viewer_the_page_says_how_to_build_it() {
        let response = page(&[]).answer(&request(&Method::GET, "/", true));
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(response).await.contains("cd viewer &amp;&amp; npm ci &amp;&amp; npm run build"));
    }
}
