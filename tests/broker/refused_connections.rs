//! Brokers that refuse a connection, and servers that are no broker. A few bytes are enough to simulate them.

use fanlight::{
    broker::LinkErrorKind,
    config::{Broker, MqttTransport, MqttVersion},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::rig::{Board, at, free_port, over};

/// Answers each packet with the next of `answers`, and then holds the connection. An empty answer hangs up.
async fn server(answers: &'static [&'static [u8]]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, answers));
        }
    });
    (port, task)
}

async fn answer(mut stream: TcpStream, answers: &[&[u8]]) {
    let mut packet = vec![0; 4096];
    for (i, answer) in answers.iter().enumerate() {
        if answer.is_empty() && i > 0 {
            return;
        }
        match stream.read(&mut packet).await {
            Ok(1..) => {}
            _ => return,
        }
        if answer.is_empty() || stream.write_all(answer).await.is_err() {
            return;
        }
    }
    while matches!(stream.read(&mut packet).await, Ok(1..)) {}
}

const WELCOME_5: &[u8] = &[0x20, 3, 0, 0, 0];
const WELCOME_311: &[u8] = &[0x20, 2, 0, 0];

#[tokio::test]
async fn each_refusal_has_its_own_error() {
    use MqttVersion::{V5, V311};
    let rows: &[(MqttVersion, &[&[u8]], LinkErrorKind, &str)] = &[
        // A broker of MQTT 3.1.1 that refuses 5, in its own words (and hangs up) or in those of 5, or by hanging up.
        (V5, &[&[0x20, 2, 0, 1], &[]], LinkErrorKind::Lost, "set version = \"3.1.1\""),
        (V5, &[&[0x20, 3, 0, 0x84, 0]], LinkErrorKind::Version, "set version = \"3.1.1\""),
        (V5, &[&[]], LinkErrorKind::Lost, "closed the connection"),
        (V311, &[&[0x20, 2, 0, 1]], LinkErrorKind::Version, "set version = \"5\""),
        (V5, &[&[0x20, 3, 0, 0x85, 0]], LinkErrorKind::Login, "client id cam"),
        (V311, &[&[0x20, 2, 0, 2]], LinkErrorKind::Login, "client id cam"),
        (V5, &[&[0x20, 3, 0, 0x89, 0]], LinkErrorKind::Busy, "no room"),
        (V311, &[&[0x20, 2, 0, 3]], LinkErrorKind::Busy, "no room"),
        (V5, &[&[0x20, 3, 0, 0x8a, 0]], LinkErrorKind::Login, "Banned"),
        // Subscriptions: the first filter is the requests'.
        (
            V5,
            &[WELCOME_5, &[0x90, 6, 0, 1, 0, 0x87, 1, 1]],
            LinkErrorKind::Subscription,
            "fanlight/v1/cam/req/+: NotAuthorized",
        ),
        (
            V311,
            &[WELCOME_311, &[0x90, 5, 0, 1, 0x80, 1, 1]],
            LinkErrorKind::Subscription,
            "fanlight/v1/cam/req/+: refused; let",
        ),
        // Dismissed later.
        (V5, &[WELCOME_5, &[0xe0, 2, 0x8b, 0]], LinkErrorKind::Lost, "the broker shuts down"),
        (V5, &[WELCOME_5, &[0xe0, 2, 0x8e, 0]], LinkErrorKind::TakenOver, "another client"),
        (V5, &[WELCOME_5, &[0xe0, 1, 0x8e], &[]], LinkErrorKind::TakenOver, "another client"),
        // No MQTT at all.
        (
            V5,
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n", &[]],
            LinkErrorKind::Lost,
            "closed the connection without an answer",
        ),
        (V5, &[WELCOME_5, b"\xff\xff\xff\xff\xff"], LinkErrorKind::Protocol, "MQTT: "),
        (V311, &[WELCOME_311, b"\x90\xff\xff\xff\x7f"], LinkErrorKind::Oversize, "a packet of 268435455 bytes"),
    ];
    for &(version, answers, kind, words) in rows {
        let (port, task) = server(answers).await;
        let board = Board::start(at(port, version));
        let said = board.trouble(kind).await;
        assert!(said.contains(words), "{version:?} {answers:x?}: {said}");
        board.stop().await;
        task.abort();
    }
}

#[tokio::test]
async fn a_web_server_without_mqtt_is_reported() {
    let (port, _task) = server(&[b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]).await;
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let said =
            Board::start(over(MqttTransport::WebSocket, at(port, version))).trouble(LinkErrorKind::WebSocket).await;
        assert!(said.contains("at path /mqtt: ") && said.contains("404"), "{said}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_reported() {
    let config = Broker { host: "broker.invalid".into(), ..at(free_port(), MqttVersion::V5) };
    let said = Board::start(config).trouble(LinkErrorKind::Name).await;
    assert!(said.starts_with("look up broker.invalid: ") && said.contains("DNS"), "{said}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_reported() {
    let (port, _task) = server(&[]).await;
    for (config, words) in [
        (at(port, MqttVersion::V5), "log in: no answer within 15 s"),
        (at(port, MqttVersion::V311), "log in: no answer within 15 s"),
        (over(MqttTransport::Tls, at(port, MqttVersion::V5)), "TLS handshake: no answer within 15 s"),
    ]
    .map(|(config, words)| (tokio::spawn(async { silent(config).await }), words))
    {
        assert_eq!(config.await.unwrap(), words);
    }
}

async fn silent(config: Broker) -> String {
    Board::start(config).trouble(LinkErrorKind::TimedOut).await
}
