//! What to say to a client that speaks plain HTTP to the HTTPS port: where the page is. Pure.

/// The largest request that is read before the answer, in bytes.
pub const REQUEST_MAX: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// A TLS handshake (RFC 8446 section 5.1).
    Tls,
    /// HTTP in clear.
    Http,
    /// Neither.
    Other,
}

/// Tells it from the first byte.
pub fn first_bytes(first: u8) -> FirstBytes {
    match first {
        0x16 => FirstBytes::Tls,
        // Methods are upper-case letters (RFC 9110 section 9.1).
        b'A'..=b'Z' => FirstBytes::Http,
        _ => FirstBytes::Other,
    }
}

/// Whether the request's head is whole, or as long as it may be.
pub fn is_whole(request: &[u8]) -> bool {
    request.len() >= REQUEST_MAX || request.windows(4).any(|four| four == b"\r\n\r\n")
}

/// The answer to a request in clear: a redirect to the same path by HTTPS, or a sentence if the request has no host
/// that a URL can have. Not a permanent redirect: browsers would remember it for a port that may serve something else
/// later.
pub fn answer(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request);
    let mut lines = text.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).filter(|path| is_path(path)).unwrap_or("/");
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    match host.filter(|host| is_authority(host)) {
        Some(host) => whole("307 Temporary Redirect", &format!("Location: https://{host}{path}\r\n"), ""),
        None => whole("400 Bad Request", "", "This port speaks HTTPS. Open https:// and the same address.\n"),
    }
}

fn whole(status: &str, header: &str, text: &str) -> Vec<u8> {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}

/// Whether this is a host with or without a port (RFC 3986 section 3.2), in the characters that a board's name has.
pub fn is_authority(text: &str) -> bool {
    (1..=260).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Whether this is an absolute path without anything that ends a header.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_tls_from_http() {
        let kinds = [0x16, b'G', b'P', b'g', 0, 0x10, 0xff].map(first_bytes);
        use FirstBytes::{Http, Other, Tls};
        assert_eq!(kinds, [Tls, Http, Http, Other, Other, Other, Other]);
    }

    #[test]
    fn a_request_in_clear_is_led_to_https_and_nowhere_else() {
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: garden.local:8443\r\n\r\n", "Location: https://garden.local:8443/\r\n"),
            (
                "GET /a?b=c HTTP/1.1\r\nX: y\r\nhost:[fd00::5]:8443\r\n\r\n",
                "Location: https://[fd00::5]:8443/a?b=c\r\n",
            ),
            ("GET //evil.example HTTP/1.1\r\nHost: a\r\n\r\n", "Location: https://a//evil.example\r\n"),
            ("GET @evil.example HTTP/1.1\r\nHost: a\r\n\r\n", "Location: https://a/\r\n"),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/1.0\r\n\r\n", "400 Bad Request"),
            ("GET /\u{1}x HTTP/1.1\r\nHost: a\r\n\r\n", "Location: https://a/\r\n"),
            ("GET", "400 Bad Request"),
        ] {
            let answer = String::from_utf8(answer(request.as_bytes())).unwrap();
            assert!(answer.contains(expected), "{request:?}: {answer}");
            assert!(answer.ends_with("\r\n\r\n") || answer.ends_with("same address.\n"), "{answer}");
        }
        assert!(
            is_whole(b"GET / HTTP/1.1\r\n\r\n") && !is_whole(b"GET / HTTP/1.1\r\n") && is_whole(&[b'A'; REQUEST_MAX])
        );
    }
}
