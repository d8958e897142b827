//! The bodies of fuzz targets: clients of the demo's broker and of its page server.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::BytesMut;
use futures_util::FutureExt;
use mqtt_v5::mqttbytes::v5::Packet;

use super::broker::{
    router::Router,
    wire::{self, Reader},
};
use crate::{
    config::Id,
    page::{Page, PageRequest, wants_gzip},
};

/// Packets of one client, read like in the broker. The router handles what the client publishes and subscribes to. Each
/// packet is also written for a client of either MQTT version.
pub(crate) fn mqtt(data: &[u8]) {
    let mut reader = Reader::new(Box::new(std::io::Cursor::new(data.to_vec())));
    let mut router = Router::default();
    let mut session = None;
    // The stream never waits, so each read finishes at once.
    while let Some(Ok(packet)) = reader.next().now_or_never() {
        let mut out = BytesMut::new();
        for version in [wire::Version::V5, wire::Version::V311] {
            let _ = wire::write(packet.clone(), version, &mut out);
        }
        match (packet, &session) {
            (Packet::Connect(connect, will, _), _) => {
                session = router.connect(connect, will).map(|welcome| (welcome.id, welcome.number));
            }
            (Packet::Publish(publish), Some((id, _))) => drop(router.publish(id, publish)),
            (Packet::Subscribe(subscribe), Some((id, number))) => {
                router.subscribe(id, *number, subscribe.filters);
            }
            (Packet::Unsubscribe(unsubscribe), Some((id, number))) => {
                router.unsubscribe(id, *number, &unsubscribe.filters);
            }
            (Packet::PubAck(ack), Some((id, number))) => router.acknowledged(id, *number, ack.pkid),
            _ => {}
        }
        if let Some((id, number)) = &session {
            let due = router.due(id, *number).unwrap_or_default();
            assert!(due.len() <= 1024, "{} packets are due at once", due.len());
        }
    }
}

/// An HTTP request, one part per line: method, host, path, accepted codings.
pub(crate) fn page(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut part = || lines.next().unwrap_or_default();
    let (method, host, path, codings) = (part(), part(), part(), part());
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let page = Page::new(&[], "ws://127.0.0.1:1/mqtt", "fanlight/v1", &Id::new("demo").expect("an id"), false);
    let mut headers = HeaderMap::new();
    if let Ok(codings) = HeaderValue::from_str(codings) {
        headers.insert(header::ACCEPT_ENCODING, codings);
    }
    let request = PageRequest { method: &method, path, gzip: wants_gzip(&headers), broker: host };
    let response = page.answer(&request);
    assert!(response.headers().contains_key("content-security-policy"));
}
