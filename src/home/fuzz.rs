//! The bodies of fuzz targets: what a stranger sends to the HTTPS server before it is known, and home mode's files.

use axum::http::{HeaderName, HeaderValue, Method, Request};

use super::{
    Site,
    broker_files::{announcement, broker_acl, broker_config},
    certificates::CertificateStore,
    first_packet::{self, FirstPacket},
    plain,
    settings::HomeSettings,
    site::SiteAnswer,
};
use crate::config::Id;

/// A request in clear, and the first packet of MQTT, from the same bytes.
pub(crate) fn strangers(data: &[u8]) {
    let answer = plain::answer(data);
    let head = answer.windows(4).filter(|four| *four == b"\r\n\r\n").count();
    assert_eq!(head, 1, "the answer is one response");
    assert!(answer.len() < 2 * plain::REQUEST_MAX + data.len());
    let whole = first_packet::read(data, "garden");
    // More bytes never turn a decision into another one.
    if whole != FirstPacket::More {
        let longer = [data, b"\x00\xff"].concat();
        assert_eq!(first_packet::read(&longer, "garden"), whole);
    }
}

/// A request to the HTTPS server: the method, the path, and headers, a line each.
pub(crate) fn request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (method, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let Ok(request) = Request::builder().method(method).uri(path).body(()) else { return };
    let mut parts = request.into_parts().0;
    for line in lines.take(64) {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            parts.headers.append(name, value);
        }
    }
    let Some(device) = Id::new("garden") else { return };
    for prefix in ["", "/s3cret"] {
        let site = Site::new(&[], prefix, "fanlight/v1", &device, true, Some(vec![1, 2, 3]));
        let is_below = parts.uri.path().starts_with(&format!("{prefix}/"));
        let response = match site.answer(&parts) {
            SiteAnswer::Respond(response) | SiteAnswer::Mqtt(response) => response,
            SiteAnswer::Open | SiteAnswer::Send(_) => {
                assert!(is_below, "MQTT outside of the prefix");
                continue;
            }
        };
        assert!(is_below || !response.status().is_success(), "an answer outside of the prefix");
        let policy = response.headers().get("content-security-policy").and_then(|policy| policy.to_str().ok());
        assert!(policy.is_none_or(|policy| policy.matches("script-src").count() == 1), "{policy:?}");
    }
}

/// The files of home mode. Whatever settings are accepted, each file made of them has its own lines and no more.
pub(crate) fn files(data: &[u8]) {
    if let Ok(store) = CertificateStore::parse(data) {
        assert!(CertificateStore::parse(&store.to_bytes()).is_ok_and(|again| again == store));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let settings = match HomeSettings::parse(text) {
        Ok(settings) => settings,
        Err(error) => return assert!(!error.contains('\n'), "{error:?}"),
    };
    assert_eq!(HomeSettings::parse(&settings.to_toml()).as_ref(), Ok(&settings));
    let config = broker_config(&settings, "/s".as_ref());
    assert_eq!(config.lines().filter(|line| line.starts_with("listener ")).count(), 1);
    let (acl, users) =
        (broker_acl(&settings), |text: &str| text.lines().filter(|line| line.starts_with("user ")).count());
    assert_eq!((acl.lines().count(), users(&acl)), (13, 1), "{acl}");
    assert_eq!(announcement(&settings).matches("<service>").count(), 2);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_accepts_any_bytes() {
        for data in
            [&b""[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n", &[0x10; 300], &[0xff; 9], b"\x10\x0c\x00\x04MQTT"]
        {
            super::strangers(data);
            super::request(data);
            super::files(data);
        }
    }
}
