//! The servers of `fanlight demo` with mosquitto's clients and with requests as a browser sends them.

use std::{
    io::{Seek, Write},
    process::Command,
    time::{Duration, Instant},
};

use fanlight::{
    broker::{LinkErrorKind, LinkEvent},
    config::{Broker, Id, MqttTransport, MqttVersion},
    demo::{self, Demo, Ports},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::{Board, TcpProxy, Watcher, at, free_port, mosquitto_pub, request};

async fn demo() -> Demo {
    let ports = Ports { page: free_port(), mqtt: free_port(), websocket: free_port() };
    demo::serve(&Id::new("cam").unwrap(), "fanlight/v1", ports).await.unwrap()
}

fn over_websocket(demo: &Demo, version: MqttVersion) -> Broker {
    let (port, path) = demo.websocket.strip_prefix("ws://127.0.0.1:").unwrap().split_once('/').unwrap();
    let path = format!("/{path}");
    Broker { transport: MqttTransport::WebSocket, path, ..at(port.parse().unwrap(), version) }
}

#[tokio::test]
async fn the_embedded_broker_serves_the_daemon_by_every_version_and_transport() {
    let demo = demo().await;
    let port = demo.broker.port;
    for version in [MqttVersion::V5, MqttVersion::V311] {
        for config in [Broker { version, ..demo.broker.clone() }, over_websocket(&demo, version)] {
            let mut board = Board::start(config);
            board.up().await;
            // Retained, for whoever comes later; in no order.
            let mut late = Watcher::on(port, "fanlight/v1/cam/#", &[]).await;
            let told = [late.next().await, late.next().await];
            assert!(told.iter().all(|seen| seen.retained), "{told:?}");
            assert!(told.iter().any(|seen| seen.json()["name"] == "Camera"), "{told:?}");
            assert!(told.iter().any(|seen| seen.json()["state"] == "online"), "{told:?}");
            // Both directions.
            mosquitto_pub(port, "fanlight/v1/cam/req/anna", r#"{"hello":1}"#, &[]).await;
            assert_eq!(board.event().await, request(r#"{"hello":1}"#));
            board.outbox.publish_reply((Id::new("anna").unwrap(), r#"{"reply":1}"#.into())).await;
            late.next_with("reply", 1).await;
            board.viewers(3);
            late.next_with("viewers", 3).await;
            board.stop().await;
            late.next_with("reason", "shutdown").await;
        }
    }
    demo.close().await;
}

async fn will_and_return(version: MqttVersion) {
    let demo = demo().await;
    let proxy = TcpProxy::to(demo.broker.port).await;
    let mut board = Board::start(at(proxy.port, version));
    board.up().await;
    let mut watcher = Watcher::on(demo.broker.port, "fanlight/v1/cam/status", &["-V", "mqttv311"]).await;
    watcher.next_with("conn", 1).await;
    proxy.cut();
    assert_eq!(board.event().await, LinkEvent::Down);
    watcher.next_with("reason", "lost").await;
    proxy.mend();
    assert_eq!(board.up().await, 2);
    watcher.next_with("conn", 2).await;
    demo.close().await;
}

#[tokio::test]
async fn the_embedded_broker_publishes_the_will_mqtt_5() {
    will_and_return(MqttVersion::V5).await;
}

#[tokio::test]
async fn the_embedded_broker_publishes_the_will_mqtt_3_1_1() {
    will_and_return(MqttVersion::V311).await;
}

#[tokio::test]
async fn the_embedded_broker_keeps_a_session_over_a_short_break() {
    let demo = demo().await;
    let proxy = TcpProxy::to(demo.broker.port).await;
    let mut board = Board::start(at(proxy.port, MqttVersion::V5));
    board.up().await;
    proxy.cut();
    assert_eq!(board.event().await, LinkEvent::Down);
    mosquitto_pub(demo.broker.port, "fanlight/v1/cam/req/anna", "meanwhile", &[]).await;
    proxy.mend();
    assert_eq!(board.up().await, 2);
    assert_eq!(board.event().await, request("meanwhile"));
}

#[tokio::test]
async fn a_second_board_with_the_same_id_is_reported() {
    let demo = demo().await;
    let mut first = Board::start(demo.broker.clone());
    first.up().await;
    let _second = Board::start(demo.broker.clone());
    let said = first.trouble(LinkErrorKind::TakenOver).await;
    assert!(said.contains("another client logged in with the id cam"), "{said}");
}

#[tokio::test]
async fn a_websocket_without_the_secret_path_is_refused() {
    let demo = demo().await;
    for path in ["/mqtt", "/", "/mqtt-"] {
        let config = Broker { path: path.into(), ..over_websocket(&demo, MqttVersion::V5) };
        let said = Board::start(config).trouble(LinkErrorKind::WebSocket).await;
        assert!(said.contains("404"), "{said}");
    }
    assert!(demo.websocket.rsplit_once("/mqtt-").unwrap().1.len() == 22);
}

async fn get(demo: &Demo, request: &str) -> String {
    let port = demo.url.trim_end_matches('/').rsplit_once(':').unwrap().1;
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = answer.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap();
    let is_packed = head.contains("content-encoding: gzip") && !body.is_empty();
    head + &String::from_utf8(if is_packed { unpacked(body) } else { body.to_vec() }).unwrap()
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(body).unwrap();
    file.rewind().unwrap();
    let done = Command::new("gzip").arg("-dc").stdin(file).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    done.stdout
}

#[tokio::test]
async fn the_page_finds_its_broker() {
    let demo = demo().await;
    let index = get(&demo, "GET /").await;
    assert!(index.starts_with("HTTP/1.1 200") && index.to_lowercase().contains("<!doctype html>"), "{index}");
    let config = get(&demo, "GET /config.json").await;
    let (head, body) = config.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json") && head.contains("nosniff"), "{head}");
    let expected = serde_json::json!({"broker": demo.websocket, "root": "fanlight/v1", "device": "cam"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), expected);
    let head = get(&demo, "HEAD /").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get(&demo, "GET /nothing").await.starts_with("HTTP/1.1 404"));
    assert!(get(&demo, "DELETE /").await.starts_with("HTTP/1.1 405"));
    demo.close().await;
}

#[tokio::test]
async fn the_demo_ends_within_a_second_and_leaves_nothing() {
    let demo = demo().await;
    let (mqtt, page) = (demo.broker.port, demo.url.clone());
    let mut board = Board::start(demo.broker.clone());
    board.up().await;
    let mut tab = Board::start(Broker { ..over_websocket(&demo, MqttVersion::V311) });
    tab.event().await;
    // A browser that keeps its connection open.
    let page = page.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let mut idle = TcpStream::connect(("127.0.0.1", page)).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();

    let start = Instant::now();
    demo.close().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for port in [mqtt, page] {
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            assert!(start.elapsed() < Duration::from_secs(1), "port {port} is still open");
        }
    }
    assert!(!std::path::Path::new("mqtt_storage").exists(), "no file is written");
}

#[tokio::test]
async fn two_demos_run_at_the_same_time() {
    let ports = Ports { page: free_port(), mqtt: free_port(), websocket: free_port() };
    let id = Id::new("cam").unwrap();
    let first = demo::serve(&id, "fanlight/v1", ports).await.unwrap();
    let second = demo::serve(&id, "fanlight/v1", ports).await.unwrap();
    assert_ne!(first.url, second.url);
    assert_ne!(first.broker.port, second.broker.port);
    for demo in [first, second] {
        let mut board = Board::start(demo.broker.clone());
        board.up().await;
        board.stop().await;
    }
}
