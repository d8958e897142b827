//! What strangers cannot do to the HTTPS server: hold connections, memory, or the places of others.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use async_tungstenite::tungstenite::Message;
use fanlight::home::{ServerLimits, TunnelLimits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    Home, broker,
    client::{Viewer, connect},
};
use crate::rig::within;

/// Patient with nobody.
fn short() -> ServerLimits {
    let ms = Duration::from_millis(400);
    let tunnel = TunnelLimits { first: ms, silence: ms, patience: ms };
    ServerLimits { handshake: ms, head: ms, life: 3 * ms, tunnel, ..ServerLimits::default() }
}

/// Waits until the server closes, and returns what it sent.
async fn ended(mut stream: impl AsyncReadExt + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = within(20, "the server closes the connection", stream.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test]
async fn a_client_that_waits_is_closed_at_every_step() {
    let broker = broker().await;
    let home = Home::start(broker.port(), short());
    let tcp = || async { TcpStream::connect(("127.0.0.1", home.port)).await.unwrap() };
    // Nothing at all; half of a ClientHello; half of a request in clear.
    for bytes in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], b"GET / HTTP/1.1\r\nHost"] {
        let mut stream = tcp().await;
        stream.write_all(bytes).await.unwrap();
        assert!(ended(stream).await.is_empty(), "{bytes:?}");
    }
    // A request that never gets whole, and none at all.
    for bytes in [&b"GET / HTTP/1.1\r\nHost: garden.local\r\n"[..], b""] {
        let mut stream = home.browser.connect("garden.local").await;
        stream.write_all(bytes).await.unwrap();
        ended(stream).await;
    }
    // No login, half of a login, and silence after it.
    for packet in [Vec::new(), connect(4, "tab", None)[..9].to_vec(), connect(4, "tab", None)] {
        let mut viewer = home.browser.open("garden.local").await;
        viewer.send(packet).await;
        assert_eq!(viewer.closed().await, Some(1008));
    }
}

#[tokio::test]
async fn a_request_in_drops_does_not_keep_its_connection() {
    let broker = broker().await;
    let home = Home::start(broker.port(), short());
    let mut stream = home.browser.connect("garden.local").await;
    let start = Instant::now();
    let drops = async {
        // One byte at a time, for as long as the server accepts them.
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            ticks.tick().await;
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    };
    within(20, "the server gives up", drops).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_address_has_its_connections_and_a_closed_one_makes_room() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits { each: 8, ..ServerLimits::default() });
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(Viewer::logged_in(&home.browser, "tab").await);
        // The same id again: the broker closes the one before, and its place gets free.
        if held.len() > 1 {
            held.remove(0).closed().await;
        }
    }
    held.clear();
    for n in 0..8 {
        let id = format!("tab{n}");
        held.push(Box::pin(within(20, "a place", Viewer::logged_in(&home.browser, &id))).await);
    }
    let ninth = TcpStream::connect(("127.0.0.1", home.port)).await.unwrap();
    assert!(ended(ninth).await.is_empty());
    held.pop();
    let again = async {
        loop {
            let mut stream = TcpStream::connect(("127.0.0.1", home.port)).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: garden.local\r\n\r\n";
            if stream.write_all(request).await.is_ok() && !ended(stream).await.is_empty() {
                break;
            }
        }
    };
    within(20, "a place is free again", again).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_connection_only() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let mut honest = Viewer::logged_in(&home.browser, "honest").await;
    let mut viewer = Viewer::logged_in(&home.browser, "tab").await;
    // The server may close while this is on its way.
    let _ = viewer.0.send(Message::Binary(vec![0; (64 << 10) + 1].into())).await;
    assert!([Some(1009), None].contains(&viewer.closed().await));
    let mut viewer = Viewer::logged_in(&home.browser, "tab").await;
    viewer.0.send(Message::Text("MQTT is binary".into())).await.unwrap();
    assert_eq!(viewer.closed().await, Some(1003));
    honest.send(vec![0xc0, 0]).await;
    assert_eq!(honest.next().await, [0xd0, 0], "PINGRESP");
}

#[tokio::test]
async fn a_browser_that_does_not_read_is_closed() {
    // A broker that writes without end.
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let home = Home::start(listener.local_addr().unwrap().port(), short());
    let mut viewer = home.browser.open("garden.local").await;
    viewer.send(connect(4, "tab", None)).await;
    let (mut flood, _) = within(20, "the server connects", listener.accept()).await.unwrap();
    let written = async {
        let mut total = 0;
        while let Ok(length) = flood.write(&[0; 65_536]).await {
            total += length;
        }
        total
    };
    let total = within(20, "the server closes the broker's connection", written).await;
    assert!(total < 64 << 20, "{total} bytes were taken for a browser that reads none");
    drop(viewer);
}

#[tokio::test]
async fn a_broker_that_is_away_closes_the_browser_and_the_page_stays() {
    let nobody = crate::rig::free_port();
    let home = Home::start(nobody, ServerLimits::default());
    let mut viewer = home.browser.open("garden.local").await;
    viewer.send(connect(4, "tab", None)).await;
    assert_eq!(viewer.closed().await, Some(1013));
    assert_eq!(home.browser.get("garden.local", "/config.json").await.status, 200);
}

#[tokio::test]
async fn plain_http_is_told_where_the_page_is_and_other_bytes_are_not_answered() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let port = home.port;
    for (bytes, expected) in [
        (
            format!("GET /?a HTTP/1.1\r\nHost: garden.local:{port}\r\n\r\n").into_bytes(),
            format!("Location: https://garden.local:{port}/?a\r\n"),
        ),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "This port speaks HTTPS".to_owned()),
        (vec![0x10, 0x0c, 0, 4], String::new()),
        (b"\x05\x01\x00".to_vec(), String::new()),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let answer = String::from_utf8(ended(stream).await).unwrap();
        assert!(answer.contains(&expected) && answer.is_empty() == expected.is_empty(), "{answer}");
    }
}
