//! Messages over the size limit: the daemon skips them, and the connection stays.

use std::time::Duration;

use fanlight::{
    broker::{LinkEvent, LinkState},
    config::{Broker, Id, MqttTransport, MqttVersion},
};
use tokio::time::sleep;

use crate::rig::{Board, Listener, Log, Mosquitto, ScriptedBroker, at, over, publish, within};

const REQ: &str = "fanlight/v1/cam/req/anna";

fn anna() -> Id {
    Id::new("anna").unwrap()
}

/// What a viewer may do in MQTT 3.1.1, which announces no limit: one retained message comes again with each connection.
async fn large_messages(transport: MqttTransport, version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir, "allow_anonymous true\n", [Listener::tcp(), Listener::websocket()]).await;
    let log = Log::catch();
    // mosquitto 2.0 sends a large message over a WebSocket in pieces of 4 KiB, ten a second.
    let (kept, sizes) = match transport {
        MqttTransport::Tcp => (1_200_000, &[65_520, 65_536, 70_000, 1_200_000, 17_000_000][..]),
        _ => (200_000, &[65_520, 65_536, 70_000][..]),
    };
    broker.publish(REQ, vec![0; kept], &["-r"]).await;
    broker.publish("fanlight/v1/cam/info", vec![b'x'; kept / 2], &["-r"]).await;
    broker.publish("fanlight/v1/cam/status", vec![b'{'; 100_000], &["-r"]).await;
    let port = if transport == MqttTransport::Tcp { broker.port() } else { broker.ports()[1] };
    let mut board = Board::start(over(transport, at(port, version)));
    assert_eq!(board.up().await, 1);

    for &size in sizes {
        broker.publish(REQ, vec![b'x'; size], &[]).await;
        broker.publish("fanlight/v1/cam/req/bert", "honest", &[]).await;
        if version == MqttVersion::V311 {
            assert_eq!(board.event().await, LinkEvent::Oversize { viewer: anna(), len: size, correlation: None });
        }
        let mut next = board.event().await;
        if next == (LinkEvent::Oversize { viewer: anna(), len: size, correlation: None }) {
            next = board.event().await;
        }
        assert_eq!(
            next,
            LinkEvent::Message { viewer: Id::new("bert").unwrap(), payload: "honest".into(), correlation: None }
        );
    }
    // What stood on the board's own topics was replaced.
    let mut info = broker.watch("fanlight/v1/cam/info").await;
    assert_eq!(info.next_with("name", "Camera").await.json()["v"], 1);
    assert_eq!(*board.outbox.state().borrow(), LinkState::Up { conn: 1 }, "the link stayed up");
    if version == MqttVersion::V311 {
        let told = log.lines(&format!("{kept} bytes stands on fanlight/v1/cam/req/anna"));
        assert!(told.len() == 1 && told[0].ends_with("mosquitto_pub -t fanlight/v1/cam/req/anna -r -n"), "{told:#?}");
    }
    // The cure helps.
    broker.publish(REQ, "", &["-r"]).await;
    board.stop().await;
}

#[tokio::test]
async fn large_messages_are_skipped_mqtt_3_1_1() {
    large_messages(MqttTransport::Tcp, MqttVersion::V311).await;
}

#[tokio::test]
async fn large_messages_are_skipped_mqtt_3_1_1_over_websocket() {
    large_messages(MqttTransport::WebSocket, MqttVersion::V311).await;
}

#[tokio::test]
async fn large_messages_are_skipped_mqtt_5() {
    large_messages(MqttTransport::Tcp, MqttVersion::V5).await;
}

#[tokio::test]
async fn large_messages_are_skipped_mqtt_5_over_websocket() {
    large_messages(MqttTransport::WebSocket, MqttVersion::V5).await;
}

/// On a slow network a large message takes longer than the broker's silence is borne, and what is behind it waits: the
/// answer to the subscription, and to pings.
#[tokio::test]
async fn a_large_message_on_a_slow_network_does_not_end_the_connection() {
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let script = ScriptedBroker::new(version).await;
        let mut board = Board::start(Broker { keep_alive: Duration::from_secs(1), ..at(script.port, version) });
        let mut peer = script.welcome().await;
        board.up().await;
        let message = publish(version, 0x33, REQ, 7, &vec![b'x'; 400_000]);
        for piece in message.chunks(10_000) {
            peer.say(piece).await;
            sleep(Duration::from_millis(100)).await;
        }
        // Acknowledged like any other, and the connection is the same.
        let ack = async { peer.next(4).await };
        assert_eq!(within(20, "an acknowledgement", ack).await.as_deref().map(|body| &body[..2]), Some(&[0, 7][..]));
        assert_eq!(*board.outbox.state().borrow(), LinkState::Up { conn: 1 });
        peer.publish("fanlight/v1/cam/req/bert", 8, b"after it").await;
        assert_eq!(
            board.event().await,
            LinkEvent::Message { viewer: Id::new("bert").unwrap(), payload: "after it".into(), correlation: None }
        );
        board.stop().await;
    }
}
