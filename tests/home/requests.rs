//! MQTT by HTTPS requests, which the page uses where the browser refuses the WebSocket.

use fanlight::home::ServerLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{
    BOARD, Home, broker,
    client::{connect, publish, subscribe},
};
use crate::rig::{Watcher, mosquitto_pub, within};

/// A POST of the page.
fn post(port: u16, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: garden.local:{port}\r\nOrigin: https://garden.local:{port}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads until `wanted` has come.
async fn until(stream: &mut TlsStream<TcpStream>, seen: &mut Vec<u8>, wanted: &[u8]) {
    let read = async {
        let mut piece = [0; 4096];
        while !seen.windows(wanted.len()).any(|part| part == wanted) {
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "the end, before {wanted:?}: {}", String::from_utf8_lossy(seen));
            seen.extend(&piece[..length]);
        }
    };
    within(20, "bytes of the response", read).await;
}

#[tokio::test]
async fn mqtt_by_requests_reaches_the_board_and_comes_back() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let mut board = Watcher::on(broker.port(), "fanlight/v1/garden/req/+", &BOARD).await;
    let mut down = home.browser.connect("garden.local").await;
    down.write_all(&post(home.port, "/mqtt", &connect(4, "tab", None))).await.unwrap();
    let mut seen = Vec::new();
    until(&mut down, &mut seen, &[0x20, 2, 0, 0]).await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let name = text.lines().find_map(|line| line.strip_prefix("fanlight-link: ")).unwrap().to_owned();
    let path = format!("/mqtt/{name}");
    for packet in [subscribe("fanlight/v1/garden/rsp/tab"), publish("fanlight/v1/garden/req/tab", "asked")] {
        assert_eq!(home.browser.raw("garden.local", &post(home.port, &path, &packet)).await.status, 204);
    }
    assert_eq!(board.next().await.payload, "asked");
    mosquitto_pub(broker.port(), "fanlight/v1/garden/rsp/tab", "answered", &BOARD).await;
    until(&mut down, &mut seen, b"answered").await;
    // The end of the response is the end of the connection to the broker.
    drop(down);
    let gone =
        async { while home.browser.raw("garden.local", &post(home.port, &path, &[0xc0, 0])).await.status != 404 {} };
    Box::pin(within(20, "the name is forgotten", gone)).await;
}

#[tokio::test]
async fn requests_are_held_to_the_same_rules_as_the_websocket() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let port = home.port;
    let away = Home::start(crate::rig::free_port(), ServerLimits::default());
    for (home, request, status) in [
        (&home, post(port, "/mqtt", &connect(4, "garden", None)), 403),
        (&home, post(port, "/mqtt", &connect(4, "tab", Some(("board", "guess")))), 403),
        (&home, post(port, "/mqtt", &connect(4, "tab", None)[..7]), 403),
        (&home, post(port, "/mqtt", b""), 403),
        (&home, post(port, "/mqtt", &vec![0; (64 << 10) + 1]), 413),
        (&home, post(port, "/mqtt/no-such-name", &[0xc0, 0]), 404),
        (&away, post(away.port, "/mqtt", &connect(4, "tab", None)), 502),
    ] {
        assert_eq!(home.browser.raw("garden.local", &request).await.status, status);
    }
}
