//! TLS, client certificates, WebSocket, passwords.

use std::process::Command;

use fanlight::{
    broker::LinkErrorKind,
    config::{Broker, Login, MqttTransport, MqttVersion, Secret},
};

use crate::rig::{Authority, Board, Listener, Mosquitto, at, over, request};

const VERSIONS: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V311];

async fn works(broker: &Mosquitto, config: Broker) {
    let mut board = Board::start(config.clone());
    board.up().await;
    broker.publish("fanlight/v1/cam/req/anna", "hello", &[]).await;
    assert_eq!(board.event().await, request("hello"), "{config:?}");
    board.stop().await;
}

#[tokio::test]
async fn every_transport_works_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let server = authority.issue("localhost", 2090);
    let tls = |listener: Listener| listener.with_tls(&server, None);
    let listeners = [Listener::tcp(), tls(Listener::tcp()), Listener::websocket(), tls(Listener::websocket())];
    let ports = [&listeners[0], &listeners[1], &listeners[2], &listeners[3]].map(|listener| listener.port);
    let broker = Mosquitto::start(dir, "allow_anonymous true\n", listeners).await;
    for version in VERSIONS {
        for (port, transport) in ports.into_iter().zip([
            MqttTransport::Tcp,
            MqttTransport::Tls,
            MqttTransport::WebSocket,
            MqttTransport::WebSocketTls,
        ]) {
            let ca_file = transport.is_tls().then(|| authority.ca());
            works(&broker, Broker { ca_file, ..over(transport, at(port, version)) }).await;
        }
    }

    let wss = over(MqttTransport::WebSocketTls, at(ports[3], MqttVersion::V5));
    let rows = [
        // The system's authorities do not know ours.
        (Broker { ..wss.clone() }, LinkErrorKind::Untrusted, "set ca_file"),
        (
            Broker { host: "127.0.0.1".into(), ca_file: Some(authority.ca()), ..wss.clone() },
            LinkErrorKind::WrongName,
            "127.0.0.1",
        ),
        (over(MqttTransport::WebSocket, at(ports[0], MqttVersion::V5)), LinkErrorKind::WebSocket, "at path /mqtt"),
        (over(MqttTransport::Tls, at(ports[0], MqttVersion::V5)), LinkErrorKind::Lost, "TLS handshake"),
    ];
    for (config, kind, words) in rows {
        let said = Board::start(config).trouble(kind).await;
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn client_certificates_are_used_and_reported_if_missing() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let (server, board) = (authority.issue("localhost", 2090), authority.issue("cam", 2090));
    let listener = Listener::tcp().with_tls(&server, Some(&authority.ca()));
    let (tls, plain) = (listener.port, Listener::tcp());
    let broker = Mosquitto::start(dir, "allow_anonymous true\n", [plain, listener]).await;
    for version in VERSIONS {
        let config = Broker { ca_file: Some(authority.ca()), ..over(MqttTransport::Tls, at(tls, version)) };
        let said = Board::start(config.clone()).trouble(LinkErrorKind::ClientCertificate).await;
        assert!(said.contains("asks for a client certificate"), "{said}");
        works(&broker, Broker { client_certificate: Some(board.clone()), ..config }).await;
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let listener = Listener::tcp().with_tls(&authority.issue("localhost", 2021), None);
    let port = listener.port;
    let _broker = Mosquitto::start(dir, "allow_anonymous true\n", [listener]).await;
    let config = Broker { ca_file: Some(authority.ca()), ..over(MqttTransport::Tls, at(port, MqttVersion::V5)) };
    let said = Board::start(config).trouble(LinkErrorKind::Expired).await;
    assert_eq!(said, "TLS handshake: the broker's certificate has expired");
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["cam", "right"]).status();
    assert!(made.expect("these tests need mosquitto_passwd (apt install mosquitto)").success());
    let general = format!("allow_anonymous false\npassword_file {}\n", file.display());
    let broker = Mosquitto::start(dir, &general, [Listener::tcp()]).await;
    for version in VERSIONS {
        let login = |password| Some(Login { user: "cam".into(), password: Secret::new(password) });
        let with = |login| Broker { login, ..at(broker.port(), version) };
        let mut board = Board::start(with(login("right")));
        board.up().await;
        board.stop().await;
        let rows = [(login("wrong"), "log in with user cam: refused"), (None, "log in with no user: refused")];
        for (login, words) in rows {
            let said = Board::start(with(login)).trouble(LinkErrorKind::Login).await;
            assert!(said.starts_with(words), "{said}");
        }
    }
}
