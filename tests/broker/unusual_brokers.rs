//! Brokers and viewers that break the rules or use rare parts of MQTT.

use bytes::Bytes;
use fanlight::{
    broker::{LinkErrorKind, LinkEvent, LinkState},
    config::{Id, MqttVersion},
    protocol::{Addressed, CORRELATION_MAX},
};
use serde_json::json;

use crate::rig::{Board, Mosquitto, ScriptedBroker, at, publish, request, within};

const REQ: &str = "fanlight/v1/cam/req/anna";

/// MQTT-4.6.0-2: acknowledgements go out in the order in which the messages came, also of those that are dropped at
/// once while earlier ones wait for the sessions.
#[tokio::test]
async fn acknowledgements_keep_the_order_of_arrival() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let script = ScriptedBroker::new(version).await;
        let mut board = Board::with_room_for(1, at(script.port, version));
        let mut peer = script.welcome().await;
        board.up().await;
        for identifier in 1..=3 {
            peer.publish(REQ, identifier, b"waits").await;
        }
        peer.publish("fanlight/v1/other/req/anna", 4, b"foreign").await;
        peer.publish("fanlight/v1/cam/status", 5, b"{}").await;
        peer.say(&publish(version, 0x33, REQ, 6, b"retained")).await;
        peer.publish(REQ, 7, b"waits").await;
        let dropped = async {
            while board.outbox.dropped().retained == 0 {
                tokio::task::yield_now().await;
            }
        };
        within(20, "the board received everything", dropped).await;
        for _ in 0..4 {
            assert_eq!(board.event().await, request("waits"));
        }
        let mut order = Vec::new();
        while order.len() < 7 {
            let body = peer.next(4).await.expect("the link continues");
            order.push(u16::from_be_bytes([body[0], body[1]]));
        }
        assert_eq!(order, [1, 2, 3, 4, 5, 6, 7], "{version:?}");
        board.stop().await;
    }
}

/// A flood through a broker that does not keep to Receive Maximum: messages of its sender are dropped, and all messages
/// are acknowledged.
#[tokio::test]
async fn a_flood_beyond_receive_maximum_loses_messages_of_its_sender_only() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let script = ScriptedBroker::new(version).await;
        let mut board = Board::with_room_for(1, at(script.port, version));
        let mut peer = script.welcome().await;
        board.up().await;
        for identifier in 1..=200 {
            peer.publish("fanlight/v1/cam/req/mallory", identifier, b"flood").await;
        }
        peer.publish(REQ, 201, b"honest").await;
        let full = async {
            while board.outbox.dropped().overflow < 100 {
                tokio::task::yield_now().await;
            }
        };
        within(20, "the queue is full", full).await;
        let mut floods = 0;
        while let event = board.event().await
            && event != request("honest")
        {
            floods += 1;
        }
        assert_eq!(floods + board.outbox.dropped().overflow, 200, "{version:?}: {floods} were taken");
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 201 {
            let body = peer.next(4).await.expect("the link continues");
            acknowledged.push(u16::from_be_bytes([body[0], body[1]]));
        }
        assert_eq!(acknowledged, (1..=201).collect::<Vec<_>>(), "{version:?}");
        board.stop().await;
    }
}

/// Whatever a broker sends, the link continues, or ends with a reason and is opened again.
#[tokio::test]
async fn unexpected_packets_are_ignored_or_end_the_connection_with_a_reason() {
    use MqttVersion::{V5, V311};
    let rows: &[(MqttVersion, &[u8])] = &[
        (V5, &[0x40, 2, 0, 99]),
        (V311, &[0x40, 2, 0, 99]),
        (V5, &[0x90, 4, 0, 99, 0, 1]),
        (V311, &[0x90, 3, 0, 99, 1]),
        (V5, &[0x50, 2, 0, 99]),
        (V5, &[0x62, 2, 0, 99]),
        (V5, &[0x70, 2, 0, 99]),
        (V5, &[0x20, 3, 0, 0, 0]),
        (V311, &[0x20, 2, 0, 0]),
        (V5, &[0x10, 0]),
        (V311, &[0x82, 0]),
        (V5, &[0xf0, 0]),
        (V5, &[0, 0]),
        // Messages: identifier 0, QoS 3, no topic, a filter for a topic, an alias that was never offered, no end.
        (V5, &[0x32, 6, 0, 1, b'a', 0, 0, 0]),
        (V311, &[0x32, 5, 0, 1, b'a', 0, 0]),
        (V311, &[0x36, 5, 0, 1, b'a', 0, 1]),
        (V5, &[0x30, 3, 0, 0, 0]),
        (V311, &[0x30, 3, 0, 1, b'#']),
        (V5, &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 5]),
        (V5, &[0x30, 6, 0, 1, b'a', 0x80, 0x80, 0x80]),
        (V311, &[0x30, 2, 0xff, 0xff]),
        // Another server is to be used; too many messages; an answer to a ping nobody sent.
        (V5, &[0xe0, 11, 0x9d, 9, 0x1c, 0, 6, b'o', b't', b'h', b'e', b'r', b'.']),
        (V5, &[0xe0, 2, 0x93, 0]),
        (V5, &[0xd0, 0]),
        (V5, b"\xff\xff\xff\xff\xff"),
        (V311, &[b'G'; 200]),
        (V311, &[0x90, 0xff, 0xff, 0xff, 0x7f]),
        (V5, &[0x40, 0xff, 0xff, 0xff, 0x7f]),
    ];
    let mut ended = 0;
    for &(version, bytes) in rows {
        let script = ScriptedBroker::new(version).await;
        let mut board = Board::start(at(script.port, version));
        let mut peer = script.welcome().await;
        board.up().await;
        peer.say(bytes).await;
        peer.publish(REQ, 77, b"still there").await;
        let next = within(20, &format!("an event after {bytes:x?}"), board.events.recv()).await;
        match next.unwrap() {
            LinkEvent::Down => {
                ended += 1;
                let mut state = board.outbox.state();
                let said = state.wait_for(|state| matches!(state, LinkState::Down(_)));
                let said = format!("{:?}", *within(5, "a reason", said).await.unwrap());
                assert!(said.len() < 600, "{bytes:x?}: {said}");
            }
            event => assert_eq!(event, request("still there"), "{bytes:x?}"),
        }
        board.stop().await;
    }
    assert!(ended > 10, "{ended} connections ended");
}

/// A broker that answers pings and acknowledges nothing any more: after 20 s the link is made again.
#[tokio::test]
async fn the_daemon_reconnects_when_the_broker_acknowledges_nothing() {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let script = ScriptedBroker::new(version).await;
        let mut board = Board::start(at(script.port, version));
        let mut peer = script.welcome().await;
        board.up().await;
        let (outbox, anna) = (board.outbox.clone(), Id::new("anna").unwrap());
        let flood = tokio::spawn(async move {
            for _ in 0..1000 {
                outbox.publish_reply((anna.clone(), Bytes::from_static(b"{}"))).await;
            }
        });
        let left = async {
            while let Some((first, _)) = peer.packet().await {
                if first == 0xc0 {
                    peer.say(&[0xd0, 0]).await;
                }
            }
        };
        within(40, "the link is given up", left).await;
        let said = board.trouble(LinkErrorKind::TimedOut).await;
        assert_eq!(said, "publish: the broker acknowledges nothing for 20 s");
        flood.abort();
        script.welcome().await;
        board.stop().await;
    }
}

/// A broker that takes one message at a time gets them one at a time.
#[tokio::test]
async fn a_receive_maximum_of_one_is_respected() {
    let script = ScriptedBroker::new(MqttVersion::V5).await;
    let mut board = Board::start(at(script.port, MqttVersion::V5));
    let mut peer = script.accept().await;
    peer.packet().await.unwrap();
    peer.say(&[0x20, 6, 0, 0, 3, 0x21, 0, 1]).await;
    peer.grant().await;
    for _ in 0..3 {
        board.outbox.publish_reply((Id::new("anna").unwrap(), Bytes::from_static(b"{}"))).await;
    }
    let mut topics = Vec::new();
    while topics.len() < 5 {
        let (first, body) = peer.packet().await.expect("the link continues");
        if first >> 4 != 3 {
            continue;
        }
        let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
        topics.push(String::from_utf8(body[2..2 + topic].to_vec()).unwrap());
        peer.say(&[0x40, 2, body[2 + topic], body[3 + topic]]).await;
    }
    board.up().await;
    topics.sort();
    assert_eq!(topics[..2], ["fanlight/v1/cam/info", "fanlight/v1/cam/rsp/anna"]);
    board.stop().await;
}

/// A takeover is reported as an event once the board is connected again: at once, if its addresses change.
#[tokio::test]
async fn a_takeover_is_published_as_an_event() {
    let script = ScriptedBroker::new(MqttVersion::V5).await;
    let mut board = Board::start(at(script.port, MqttVersion::V5));
    let mut peer = script.welcome().await;
    board.up().await;
    peer.say(&[0xe0, 2, 0x8e, 0]).await;
    board.trouble(LinkErrorKind::TakenOver).await;
    // Another address of the board does not end the pause. Other settings do.
    board.outbox.reconnect();
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(2), script.welcome()).await.is_err(),
        "the other client is left alone"
    );
    board.config.send_modify(|_| ());
    let mut peer = script.welcome().await;
    let event = loop {
        let body = peer.next(3).await.expect("the link continues");
        if body[2..].starts_with(b"fanlight/v1/cam/evt") {
            break body;
        }
    };
    assert!(event.ends_with(br#"{"v":1,"type":"identity_conflict"}"#));
    board.stop().await;
}

/// After a change of the board's addresses the link connects again at once. It sends no DISCONNECT, because the old
/// address may be gone.
#[tokio::test]
async fn a_changed_address_makes_a_new_connection() {
    let script = ScriptedBroker::new(MqttVersion::V5).await;
    let mut board = Board::start(at(script.port, MqttVersion::V5));
    let mut old = script.welcome().await;
    assert_eq!(board.up().await, 1);
    board.outbox.reconnect();
    let _new = script.welcome().await;
    assert_eq!(board.event().await, LinkEvent::Down);
    assert_eq!(board.up().await, 2);
    while let Some((first, _)) = old.packet().await {
        assert_ne!(first >> 4, 14, "a DISCONNECT");
    }
    board.stop().await;
}

/// Response Topic, user properties, topic aliases and Correlation Data that is too long change nothing.
#[tokio::test]
async fn properties_of_a_request_are_ignored() {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), MqttVersion::V5));
    board.up().await;
    let mut watcher = broker.watch("#").await;
    let data = "c".repeat(60_000);
    let mut arguments = vec!["-D", "publish", "response-topic", "fanlight/v1/cam/status"];
    arguments.extend(["-D", "publish", "topic-alias", "1", "-D", "publish", "content-type", "text/evil"]);
    for _ in 0..100 {
        arguments.extend(["-D", "publish", "user-property", "seq", "1"]);
    }
    broker.publish(REQ, "plain", &arguments).await;
    assert_eq!(board.event().await, request("plain"));
    // More of it than a packet holds that the board announced: the broker drops the message.
    broker
        .publish(REQ, "much", &["-D", "publish", "correlation-data", &data, "-D", "publish", "response-topic", &data])
        .await;
    broker.publish(REQ, "next", &[]).await;
    assert_eq!(board.event().await, request("next"));
    board.outbox.publish_reply((Id::new("anna").unwrap(), Bytes::from_static(br#"{"n":1}"#))).await;
    let reply = loop {
        let seen = watcher.next().await;
        if seen.payload == r#"{"n":1}"# {
            break seen;
        }
    };
    assert_eq!(reply.topic, "fanlight/v1/cam/rsp/anna");
    board.stop().await;
}

/// Correlation Data of up to 64 bytes comes with the request, and goes out with the reply (MQTT 5, section 4.10).
#[tokio::test]
async fn correlation_data_of_a_request_goes_out_with_the_reply() {
    let script = ScriptedBroker::new(MqttVersion::V5).await;
    let mut board = Board::start(at(script.port, MqttVersion::V5));
    let mut peer = script.welcome().await;
    board.up().await;
    for length in [0, 3, 64, 65, 100] {
        let data = vec![0xc3; length];
        let property = [&[9, 0, u8::try_from(length).unwrap()][..], &data].concat();
        let mut body = [&[0, u8::try_from(REQ.len()).unwrap()][..], REQ.as_bytes(), &[0, 1]].concat();
        body.push(u8::try_from(property.len()).unwrap());
        body.extend([&property[..], b"asks"].concat());
        let (low, high) = (u8::try_from(body.len() & 0x7f).unwrap(), u8::try_from(body.len() >> 7).unwrap());
        let header = if high > 0 { vec![0x32, low | 0x80, high] } else { vec![0x32, low] };
        peer.say(&[header, body].concat()).await;
        let LinkEvent::Message { viewer, correlation, .. } = board.event().await else { panic!("no message") };
        assert_eq!(correlation.is_some(), length <= CORRELATION_MAX, "{length} bytes");
        board.outbox.publish_reply(Addressed { viewer, payload: Bytes::from_static(b"{}"), correlation }).await;
        let reply = loop {
            let body = peer.next(3).await.expect("the link continues");
            if body[2..].starts_with(b"fanlight/v1/cam/rsp/anna") {
                break body;
            }
        };
        let found = reply.windows(property.len()).any(|window| window == property);
        assert_eq!(found, length <= CORRELATION_MAX, "{length} bytes: {reply:x?}");
        assert!(!reply[26..].contains(&0xc3) || found, "{length} bytes: a part of it is in {reply:x?}");
    }
    board.stop().await;
}

/// Another client publishes on the board's own topics. The board publishes its own messages again.
async fn contradicted(version: MqttVersion) {
    let broker = Mosquitto::plain().await;
    let mut board = Board::start(at(broker.port(), version));
    board.up().await;
    let mut status = broker.watch("fanlight/v1/cam/status").await;
    let mut info = broker.watch("fanlight/v1/cam/info").await;
    status.next_with("state", "online").await;
    info.next_with("name", "Camera").await;
    for forged in [json!({"state": "online", "viewers": 7}), json!({"state": "offline"}), json!([1])] {
        broker.publish("fanlight/v1/cam/status", forged.to_string(), &["-r"]).await;
        assert_eq!(status.next().await.json(), forged);
        assert_eq!(status.next_with("state", "online").await.json()["epoch"], "epoch-1");
    }
    broker.publish("fanlight/v1/cam/info", r#"{"name":"Forged"}"#, &["-r"]).await;
    info.next_with("name", "Forged").await;
    info.next_with("name", "Camera").await;
    // Its own words are no contradiction: it comes to rest.
    board.viewers(3);
    status.next_with("viewers", 3).await;
    // A list of what is revoked has to be signed; this one is not even looked at.
    broker.publish("fanlight/v1/cam/deny", r#"{"viewer":"anna"}"#, &["-r"]).await;
    broker.publish(REQ, "hello", &[]).await;
    assert_eq!(board.event().await, request("hello"));
    board.stop().await;
}

#[tokio::test]
async fn a_forged_presence_is_corrected_mqtt_5() {
    contradicted(MqttVersion::V5).await;
}

#[tokio::test]
async fn a_forged_presence_is_corrected_mqtt_3_1_1() {
    contradicted(MqttVersion::V311).await;
}
