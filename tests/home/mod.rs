//! Home mode's HTTPS server with a real mosquitto that has the configuration and the access list of home mode.

mod client;
mod limits;
mod process;
mod requests;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
};

use fanlight::{
    config::Id,
    home::{
        Credentials, HomeServer, ServerLimits, Site,
        broker_files::{broker_acl, broker_config},
        listen,
        settings::{BOARD_LOGIN, HomeSettings},
    },
    page::VIEWER,
};
use tokio::task::JoinHandle;

use self::client::{Browser, Viewer, connect, publish, subscribe};
use crate::rig::{Mosquitto, Watcher, free_port, mosquitto_pub};

const PASSWORD: &str = "of-the-board";

fn settings() -> HomeSettings {
    HomeSettings {
        port: 8443,
        broker_port: 18831,
        device: "garden".into(),
        root: "fanlight/v1".into(),
        names: Vec::new(),
    }
}

/// The broker of home mode.
async fn broker() -> Mosquitto {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("acl"), broker_acl(&settings())).unwrap();
    let logins = dir.path().join("logins");
    fs::write(&logins, format!("{BOARD_LOGIN}:{PASSWORD}\n")).unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&logins).status().unwrap().success());
    let port = free_port();
    let config = broker_config(&HomeSettings { broker_port: port, ..settings() }, dir.path());
    Mosquitto::configured(dir, &config, port).await
}

/// The running server.
struct Home {
    port: u16,
    browser: Arc<Browser>,
    task: JoinHandle<()>,
}

impl Home {
    fn start(broker: u16, limits: ServerLimits) -> Self {
        let names = ["garden.local".to_owned(), "garden".to_owned()];
        let credentials = Credentials::open(None, &names).unwrap();
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let authority = credentials.authority();
        let site = Site::new(VIEWER, "", "fanlight/v1", &Id::new("garden").unwrap(), true, Some(authority.clone()));
        let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, broker));
        let server = HomeServer::new(listener, credentials, site, broker, limits);
        let task = tokio::spawn(async move {
            let Err(error) = server.run().await;
            panic!("{error}");
        });
        Self { port, browser: Arc::new(Browser::new(port, &authority)), task }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const BOARD: [&str; 4] = ["-u", BOARD_LOGIN, "-P", PASSWORD];

#[tokio::test]
async fn the_page_and_mqtt_come_from_one_port_by_name_and_by_address() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    for host in ["garden.local", "garden", "127.0.0.1"] {
        let page = home.browser.get(host, "/config.json").await;
        assert_eq!(page.status, 200, "{page:?}");
        let config: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        let expected =
            serde_json::json!({ "broker": "/mqtt", "root": "fanlight/v1", "device": "garden", "keys": true });
        assert_eq!(config, expected);
        let policy = page.header("content-security-policy");
        assert!(policy.contains(&format!("connect-src 'self' wss://{host}:{}/;", home.port)), "{policy}");
        assert_eq!(page.header("strict-transport-security"), "", "the certificate is the board's own");
        assert_eq!(home.browser.get(host, "/").await.status, 200);

        let mut viewer = home.browser.open(host).await;
        viewer.send(connect(4, "tab", None)).await;
        assert_eq!(viewer.next().await[..2], [0x20, 2], "CONNACK");
        viewer.send(subscribe("fanlight/v1/+/status")).await;
        assert_eq!(viewer.next().await[0], 0x90, "SUBACK");
        mosquitto_pub(broker.port(), "fanlight/v1/garden/status", "online", &BOARD).await;
        assert!(viewer.next().await.ends_with(b"online"));
    }
    assert_eq!(
        home.browser.get("garden.local", "/fanlight-ca.crt").await.header("content-type"),
        "application/x-x509-ca-cert"
    );
}

#[tokio::test]
async fn a_viewer_may_ask_the_board_and_nothing_else() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let mut all = Watcher::on(broker.port(), "fanlight/v1/garden/#", &BOARD).await;
    let mut viewer = Viewer::logged_in(&home.browser, "tab").await;
    for (topic, payload) in [
        ("fanlight/v1/garden/status", "forged"),
        ("fanlight/v1/garden/info", "forged"),
        ("fanlight/v1/garden/rsp/anna", "forged"),
        ("fanlight/v1/garden/evt", "forged"),
        ("fanlight/v1/other/req/tab", "forged"),
        ("else", "forged"),
        ("fanlight/v1/garden/req/tab", "asked"),
    ] {
        viewer.send(publish(topic, payload)).await;
    }
    let seen = all.next().await;
    assert_eq!((&*seen.topic, &*seen.payload), ("fanlight/v1/garden/req/tab", "asked"));
    // What others ask is not for viewers.
    let mut other = Viewer::logged_in(&home.browser, "other").await;
    other.send(subscribe("#")).await;
    assert_eq!(other.next().await[0], 0x90);
    viewer.send(publish("fanlight/v1/garden/req/tab", "asked again")).await;
    all.next().await;
    mosquitto_pub(broker.port(), "fanlight/v1/garden/rsp/other", "answer", &BOARD).await;
    assert!(other.next().await.ends_with(b"answer"), "the request was not delivered to another viewer");
}

#[tokio::test]
async fn nobody_logs_in_as_the_board_through_the_page() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let board = Watcher::on(broker.port(), "fanlight/v1/garden/req/+", &[&BOARD[..], &["-i", "garden"]].concat()).await;
    for packet in
        [connect(4, "garden", None), connect(5, "garden", None), connect(4, "tab", Some((BOARD_LOGIN, PASSWORD)))]
    {
        let mut viewer = home.browser.open("garden.local").await;
        viewer.send(packet).await;
        assert_eq!(viewer.closed().await, Some(1008));
    }
    // The board is still connected.
    let mut board = board;
    let mut viewer = Viewer::logged_in(&home.browser, "tab").await;
    viewer.send(publish("fanlight/v1/garden/req/tab", "still there")).await;
    assert_eq!(board.next().await.payload, "still there");
}

#[tokio::test]
async fn nothing_but_the_page_is_served() {
    let broker = broker().await;
    let home = Home::start(broker.port(), ServerLimits::default());
    let port = home.port;
    for (path, status) in [
        ("/../../etc/passwd", 404),
        ("/..%2f..%2fetc%2fpasswd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/./index.html", 404),
        ("/index.html%00", 404),
        ("/mqtt", 426),
        ("/etc/passwd", 404),
        ("*", 404),
    ] {
        let answer = home.browser.get("garden.local", path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.contains("root:"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab".to_owned(), 405),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "x".repeat(40_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(100)), 431),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(home.browser.raw("garden.local", head.as_bytes()).await.status, status, "{:.60}", head);
    }
    // A page of another site uses the certificate that the user accepted.
    let foreign = format!(
        "GET /mqtt HTTP/1.1\r\nHost: garden.local:{port}\r\nOrigin: https://evil.example\r\n\
        Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    assert_eq!(home.browser.raw("garden.local", foreign.as_bytes()).await.status, 403);
}
