//! Presence: connecting, updates, a lost connection, reconnecting, leaving.

use std::time::Duration;

use fanlight::{
    broker::{LinkErrorKind, LinkEvent, LinkState},
    config::{Broker, MqttVersion},
};
use serde_json::json;

use crate::rig::{Board, Listener, Log, Mosquitto, TcpProxy, at, request, within};

async fn comes_and_goes(version: MqttVersion) {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), version));
    assert_eq!(board.up().await, 1);

    // A late subscriber gets the retained messages.
    let mut late = broker.watch("fanlight/v1/cam/#").await;
    let told = [late.next().await, late.next().await];
    let find = |topic: &str| told.iter().find(|seen| seen.topic == topic).unwrap();
    let (info, status) = (find("fanlight/v1/cam/info"), find("fanlight/v1/cam/status"));
    assert_eq!(info.json(), json!({"v": 1, "name": "Camera"}));
    assert_eq!(
        status.json(),
        json!({
            "v": 1, "state": "online", "epoch": "epoch-1", "conn": 1, "nonce": "AAAA",
            "media": {"video": "ok", "audio": "absent"}, "viewers": 0, "max_viewers": 8,
            "clock": "synced", "auth": "broker", "version": env!("CARGO_PKG_VERSION"),
        })
    );
    assert!(info.retained && status.retained);
    let expires = version == MqttVersion::V5;
    assert_eq!((info.expiry, status.expiry.is_some_and(|s| (170..=180).contains(&s))), (None, expires));

    board.stop().await;
    let offline = late.next_with("state", "offline").await;
    assert_eq!(
        offline.json(),
        json!({"v": 1, "state": "offline", "reason": "shutdown", "epoch": "epoch-1", "conn": 1})
    );
    let mut later = broker.watch("fanlight/v1/cam/status").await;
    assert_eq!(later.next().await.json()["reason"], "shutdown");
}

#[tokio::test]
async fn later_subscribers_get_the_presence_mqtt_5() {
    comes_and_goes(MqttVersion::V5).await;
}

#[tokio::test]
async fn later_subscribers_get_the_presence_mqtt_3_1_1() {
    comes_and_goes(MqttVersion::V311).await;
}

async fn will_is_seen(version: MqttVersion) {
    let broker = Mosquitto::plain().await;
    let proxy = TcpProxy::to(broker.port()).await;
    let mut board = Board::start(at(proxy.port, version));
    board.up().await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("state", "online").await;

    proxy.cut();
    assert_eq!(board.event().await, LinkEvent::Down);
    let will = watcher.next_with("state", "offline").await;
    assert_eq!(will.json(), json!({"v": 1, "state": "offline", "reason": "lost", "epoch": "epoch-1", "conn": 1}));

    proxy.mend();
    assert_eq!(board.up().await, 2);
    assert_eq!(watcher.next_with("state", "online").await.json()["conn"], 2);
}

#[tokio::test]
async fn the_broker_publishes_the_will_when_the_connection_breaks_mqtt_5() {
    will_is_seen(MqttVersion::V5).await;
}

#[tokio::test]
async fn the_broker_publishes_the_will_when_the_connection_breaks_mqtt_3_1_1() {
    will_is_seen(MqttVersion::V311).await;
}

#[tokio::test]
async fn a_short_break_publishes_no_offline_and_loses_no_request() {
    let broker = Mosquitto::plain().await;
    let proxy = TcpProxy::to(broker.port()).await;
    let mut board = Board::start(at(proxy.port, MqttVersion::V5));
    board.up().await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("conn", 1).await;

    proxy.cut();
    assert_eq!(board.event().await, LinkEvent::Down);
    broker.publish("fanlight/v1/cam/req/anna", "meanwhile", &[]).await;
    proxy.mend();
    assert_eq!(board.up().await, 2);
    assert_eq!(board.event().await, request("meanwhile"));
    let next = watcher.next().await;
    assert_eq!((next.json()["state"].as_str(), next.json()["conn"].as_u64()), (Some("online"), Some(2)));
    // The new connection is a whole one: it says and hears.
    board.viewers(1);
    watcher.next_with("viewers", 1).await;
}

#[tokio::test]
async fn the_daemon_connects_again_to_a_restarted_broker() {
    let mut broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), MqttVersion::V5));
    board.up().await;
    for conn in 2..4 {
        broker.kill();
        assert_eq!(board.event().await, LinkEvent::Down);
        board.trouble(LinkErrorKind::Refused).await;
        broker.run().await;
        assert_eq!(board.up().await, conn);
        let mut watcher = broker.watch("fanlight/v1/cam/#").await;
        assert_eq!(watcher.next_with("state", "online").await.json()["conn"], conn);
        broker.publish("fanlight/v1/cam/req/anna", "hello", &[]).await;
        assert_eq!(board.event().await, request("hello"));
    }
    board.stop().await;
}

#[tokio::test]
async fn a_board_that_reads_its_own_offline_publishes_online_again() {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), MqttVersion::V5));
    board.up().await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("state", "online").await;
    let stale = r#"{"v":1,"state":"offline","reason":"lost","epoch":"old","conn":3}"#;
    broker.publish("fanlight/v1/cam/status", stale, &["-r"]).await;
    watcher.next_with("state", "offline").await;
    let again = watcher.next_with("state", "online").await;
    assert_eq!(again.json()["epoch"], "epoch-1");
}

#[tokio::test]
async fn many_changes_are_published_as_few_messages() {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), MqttVersion::V5));
    board.up().await;
    let mut watcher = broker.watch("fanlight/v1/cam/status").await;
    watcher.next_with("viewers", 0).await;
    let start = std::time::Instant::now();
    for viewers in 1..=100 {
        board.viewers(viewers);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut said = 1;
    while watcher.next().await.json()["viewers"] != 100 {
        said += 1;
    }
    let allowed = start.elapsed().as_millis() / 200 + 2;
    assert!((2..=allowed).contains(&said), "{said} in {:?}", start.elapsed());
}

#[tokio::test]
async fn changed_info_is_published() {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), MqttVersion::V5));
    board.up().await;
    let mut watcher = broker.watch("fanlight/v1/cam/info").await;
    watcher.next_with("name", "Camera").await;
    board.info.send_replace(r#"{"v":1,"name":"Garden"}"#.into());
    watcher.next_with("name", "Garden").await;
}

#[tokio::test]
async fn a_move_to_a_new_broker_publishes_offline_at_the_old_one() {
    let (old, new) = tokio::join!(Mosquitto::plain(), Mosquitto::plain());
    let mut board = Board::start(at(old.port(), MqttVersion::V5));
    board.up().await;
    let mut left = old.watch("fanlight/v1/cam/status").await;
    board.config.send_replace(at(new.port(), MqttVersion::V311));
    assert_eq!(board.event().await, LinkEvent::Down);
    assert_eq!(board.up().await, 2);
    left.next_with("reason", "shutdown").await;
    new.watch("fanlight/v1/cam/status").await.next_with("conn", 2).await;
    board.stop().await;
}

#[tokio::test]
async fn two_boards_with_one_id_are_reported() {
    let broker = Mosquitto::plain().await;
    let mut first = Board::start(at(broker.port(), MqttVersion::V5));
    first.up().await;
    let mut second = Board::start(at(broker.port(), MqttVersion::V5));
    second.up().await;
    // Newer brokers say what happened; this one may just hang up, as all do in MQTT 3.1.1.
    let mut state = first.outbox.state();
    let told =
        |state: &LinkState| matches!(state, LinkState::Down(trouble) if trouble.to_string().contains("another client"));
    drop(within(20, "the error names the other client", state.wait_for(told)).await);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_broker_that_was_never_reached() {
    let closed = crate::rig::free_port();
    let board = Board::start(at(closed, MqttVersion::V5));
    let said = board.trouble(LinkErrorKind::Refused).await;
    assert_eq!(
        said,
        format!("connect to 127.0.0.1:{closed}: connection refused; does the broker listen on this port?")
    );
    let state = board.outbox.state();
    board.stop().await;
    assert_eq!(*state.borrow(), LinkState::Closed);
}

#[tokio::test]
async fn the_log_has_each_error_once() {
    let log = Log::catch();
    let proxy = TcpProxy::to(1).await;
    proxy.cut();
    let board = Board::start(at(proxy.port, MqttVersion::V5));
    let tries = async {
        while proxy.accepted() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(20, "three tries", tries).await;
    let said = log.lines("WARN");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("broker mqtt://127.0.0.1:{}: ", proxy.port)), "{said:?}");
    board.stop().await;
}

#[tokio::test]
async fn a_board_without_rights_names_the_ones_that_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic read #\n").unwrap();
    let general = format!("allow_anonymous true\nacl_file {}\n", acl.display());
    let broker = Mosquitto::start(dir, &general, [Listener::tcp()]).await;
    let log = Log::catch();
    let mut board = Board::start(Broker { ..at(broker.port(), MqttVersion::V5) });
    board.up().await;
    let said = async {
        while log.lines("WARN").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(10, "a complaint", said).await;
    let line = log.lines("WARN").join("");
    assert!(
        line.contains("refused a message: NotAuthorized; let anonymous clients write status, info, evt and rsp/+"),
        "{line}"
    );
    assert!(line.contains("below fanlight/v1/cam "), "{line}");
    board.stop().await;
}
