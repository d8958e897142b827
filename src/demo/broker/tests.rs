use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt_v4::mqttbytes::v4;
use mqtt_v5::mqttbytes::{
    QoS,
    v5::{
        Connect, ConnectAuth, ConnectProperties, DisconnectReasonCode, LastWill, LastWillProperties, Packet, Publish,
        RetainForwardRule, Subscribe, SubscribeFilter, SubscribeReasonCode,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    PACKET,
    router::{Router, Welcome},
    wire::{self, Reader, Version},
};

fn login(id: &str, kept_s: u32) -> Connect {
    let properties = ConnectProperties { session_expiry_interval: Some(kept_s), ..ConnectProperties::new() };
    Connect { keep_alive: 30, client_id: id.into(), clean_start: false, properties: Some(properties) }
}

fn enter(router: &mut Router, connect: Connect) -> Welcome {
    router.connect(connect, None).unwrap()
}

fn said(topic: &str, text: &str) -> Publish {
    Publish::new(topic.to_owned(), QoS::AtLeastOnce, Bytes::from(text.to_owned()), None)
}

fn ask(router: &mut Router, who: &Welcome, filter: SubscribeFilter) -> SubscribeReasonCode {
    router.subscribe(&who.id, who.number, vec![filter])[0]
}

fn one(path: &str) -> SubscribeFilter {
    SubscribeFilter::new(path, QoS::AtLeastOnce)
}

/// The packet identifiers and texts of what is due.
fn due(router: &mut Router, who: &Welcome) -> Vec<(u16, String)> {
    let due = router.due(&who.id, who.number).unwrap();
    let text = |packet| match packet {
        Packet::Publish(it) => (it.pkid, String::from_utf8(it.payload.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    };
    due.into_iter().map(text).collect()
}

fn texts(router: &mut Router, who: &Welcome) -> Vec<String> {
    due(router, who).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn what_was_not_acknowledged_comes_again_and_a_window_is_kept() {
    let mut router = Router::default();
    let mut connect = login("a", 30);
    connect.properties.as_mut().unwrap().receive_maximum = Some(2);
    let first = enter(&mut router, connect.clone());
    assert_eq!(ask(&mut router, &first, one("x/+")), SubscribeReasonCode::Success(QoS::AtLeastOnce));
    for text in ["1", "2", "3"] {
        router.publish("b", said("x/y", text));
    }
    assert_eq!(due(&mut router, &first), [(1, "1".into()), (2, "2".into())]);
    router.acknowledged("a", first.number, 1);
    assert_eq!(due(&mut router, &first), [(3, "3".into())]);
    let again = enter(&mut router, connect);
    assert!(again.present && router.due("a", first.number).is_none());
    let repeated: Vec<_> = again.again.iter().map(|it| (it.dup, it.pkid, it.payload.clone())).collect();
    assert_eq!(repeated, [(true, 2, Bytes::from("2")), (true, 3, Bytes::from("3"))]);
}

#[test]
fn of_what_waits_too_long_a_queue_the_oldest_go() {
    let mut router = Router::default();
    let away = enter(&mut router, login("a", 30));
    ask(&mut router, &away, one("#"));
    assert!(router.ended("a", away.number, None).is_some());
    for number in 0..300 {
        router.publish("b", said("x", &number.to_string()));
    }
    // Messages with QoS 0 are not queued for a client that is away.
    router.publish("b", Publish { qos: QoS::AtMostOnce, ..said("x", "unasked") });
    let mut back = enter(&mut router, login("a", 30));
    let mut got = Vec::new();
    loop {
        let some = due(&mut router, &back);
        if some.is_empty() {
            break;
        }
        for (packet, text) in some {
            router.acknowledged("a", back.number, packet);
            got.push(text);
        }
    }
    assert_eq!((got.len(), got[0].as_str(), got[255].as_str()), (256, "44", "299"));
    for _ in 0..40 {
        router.publish("b", said("x", &"0".repeat(PACKET - 100)));
    }
    assert_eq!(due(&mut router, &back).len(), 16, "a mebibyte");
    // If a session is not kept, everything in it is gone.
    back = enter(&mut router, login("a", 0));
    assert!(router.ended("a", back.number, None).is_none());
    assert!(!enter(&mut router, login("a", 0)).present);
}

#[test]
fn what_is_retained_is_bounded_and_given_as_was_asked() {
    let mut router = Router::default();
    let retained = |text| Publish { retain: true, ..said("x/1", text) };
    router.publish("b", retained("old"));
    router.publish("b", retained("new"));
    for number in 2..100 {
        router.publish("b", Publish { retain: true, ..said(&format!("y/{number}"), "many") });
    }
    let who = enter(&mut router, login("a", 0));
    ask(&mut router, &who, one("x/1"));
    assert_eq!(texts(&mut router, &who), ["new"]);
    ask(&mut router, &who, SubscribeFilter { retain_forward_rule: RetainForwardRule::OnNewSubscribe, ..one("x/1") });
    ask(&mut router, &who, SubscribeFilter { retain_forward_rule: RetainForwardRule::Never, ..one("x/+") });
    assert_eq!(texts(&mut router, &who), [""; 0]);
    router.publish("b", retained(""));
    assert_eq!(texts(&mut router, &who), [""], "the empty message that deletes it");
    let late = enter(&mut router, login("c", 0));
    ask(&mut router, &late, one("#"));
    assert_eq!(texts(&mut router, &late).len(), 63, "64 were kept, one is gone");
    // The client's own messages, and messages that are not retained.
    ask(
        &mut router,
        &late,
        SubscribeFilter { nolocal: true, retain_forward_rule: RetainForwardRule::Never, ..one("#") },
    );
    router.publish("c", said("z", "mine"));
    assert_eq!(texts(&mut router, &late), [""; 0]);
    for (path, answer) in [
        ("a/#/b", SubscribeReasonCode::TopicFilterInvalid),
        ("$share/g/x", SubscribeReasonCode::SharedSubscriptionsNotSupported),
    ] {
        assert_eq!(ask(&mut router, &late, one(path)), answer);
    }
    let many = (0..40).map(|number| one(&number.to_string())).collect();
    let answers = router.subscribe("c", late.number, many);
    assert_eq!(answers.iter().filter(|it| **it == SubscribeReasonCode::QuotaExceeded).count(), 9);
    assert_eq!(router.unsubscribe("c", late.number, &["0".into(), "none".into()]), [true, false]);
}

#[test]
fn a_will_is_said_unless_its_client_took_leave_or_came_back() {
    let mut router = Router::default();
    let ear = enter(&mut router, login("ear", 0));
    ask(&mut router, &ear, one("will"));
    let will = |delay| {
        let properties = LastWillProperties {
            delay_interval: Some(delay),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        Some(LastWill::new("will", "gone", QoS::AtLeastOnce, false, Some(properties)))
    };
    let mut leave = |delay, kept, farewell| {
        let who = router.connect(login("a", kept), will(delay)).unwrap();
        let rest = router.ended("a", who.number, farewell);
        (rest.map(|it| (it.will.as_secs(), it.kept.as_secs())), texts(&mut router, &ear).len())
    };
    assert_eq!(leave(10, 0, None), (None, 1));
    assert_eq!(leave(10, 0, Some(DisconnectReasonCode::NormalDisconnection)), (None, 0));
    assert_eq!(leave(10, 0, Some(DisconnectReasonCode::DisconnectWithWillMessage)), (None, 1));
    assert_eq!(leave(10, 30, None), (Some((10, 30)), 0));
    assert_eq!(leave(50, 30, None), (Some((30, 30)), 0), "the one before came back in time");
    let who = router.connect(login("a", 30), will(0)).unwrap();
    let taker = enter(&mut router, login("a", 30));
    assert_eq!(texts(&mut router, &ear), ["gone"], "taken over, with a will that does not wait");
    router.forget("a", who.number);
    assert!(router.belongs("a", taker.number), "only the last connection ends a session");
}

#[test]
fn there_is_room_for_so_many() {
    let mut router = Router::default();
    let taken = (0..100).filter(|number| router.connect(login(&number.to_string(), 30), None).is_some()).count();
    assert_eq!(taken, 64);
    assert!(router.connect(login("5", 30), None).is_some(), "a client that is connected already may reconnect");
}

/// All packets that are read from some bytes.
async fn read(bytes: Vec<u8>) -> (Vec<Packet>, Option<Version>) {
    let mut reader = Reader::new(Box::new(std::io::Cursor::new(bytes)));
    let mut packets = Vec::new();
    while let Ok(packet) = reader.next().await {
        packets.push(packet);
    }
    (packets, reader.version)
}

#[tokio::test]
async fn both_versions_are_told_apart_and_nonsense_harms_nobody() {
    let (mut old, mut new) = (BytesMut::new(), BytesMut::new());
    let mut connect = v4::Connect::new("a");
    connect.last_will = Some(v4::LastWill::new("will", "gone", QoS::AtLeastOnce, true));
    for packet in [
        v4::Packet::Connect(connect),
        v4::Packet::Subscribe(v4::Subscribe { pkid: 1, ..v4::Subscribe::new("x/#", QoS::AtMostOnce) }),
        v4::Packet::Publish(v4::Publish { pkid: 2, ..v4::Publish::new("x", QoS::AtLeastOnce, "text") }),
        v4::Packet::Disconnect,
    ] {
        packet.write(&mut old, PACKET).unwrap();
    }
    for packet in [
        Packet::Connect(
            login("a", 30),
            Some(LastWill::new("w", "gone", QoS::AtLeastOnce, true, None)),
            ConnectAuth::None,
        ),
        Packet::Subscribe(Subscribe { pkid: 1, ..Subscribe::new(one("x/#"), None) }),
        Packet::Publish(Publish { pkid: 2, ..said("x", "text") }),
        Packet::PingReq,
    ] {
        packet.write(&mut new, None).unwrap();
    }
    for (bytes, version) in [(old, Version::V311), (new, Version::V5)] {
        let (packets, told) = read(bytes.to_vec()).await;
        assert_eq!((packets.len(), told), (4, Some(version)), "{packets:?}");
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 2, bytes[at].wrapping_add(1)] {
                let mut bytes = bytes.to_vec();
                bytes[at] = value;
                read(bytes).await;
            }
            let (packets, _) = read(bytes[..at].to_vec()).await;
            assert!(packets.len() < 4, "{at}");
        }
    }
    let huge = [0x30, 0xff, 0xff, 0xff, 0x7f];
    assert!(read(huge.to_vec()).await.0.is_empty(), "nothing waits for 256 MiB");
}

#[tokio::test]
async fn who_keeps_silent_longer_than_promised_is_let_go() {
    let served = super::start(20_830, 20_860, "/secret").unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", served.mqtt)).await.unwrap();
    let mut hello = BytesMut::new();
    let connect = Packet::Connect(Connect { keep_alive: 1, ..login("", 0) }, None, ConnectAuth::None);
    wire::write(connect, Version::V5, &mut hello).unwrap();
    client.write_all(&hello).await.unwrap();
    let mut told = Vec::new();
    timeout(Duration::from_secs(5), client.read_to_end(&mut told)).await.unwrap().unwrap();
    let mut told = BytesMut::from(&told[..]);
    let Ok(Packet::ConnAck(ack)) = Packet::read(&mut told, None) else { panic!("{told:?}") };
    assert!(ack.properties.unwrap().assigned_client_identifier.is_some());
    assert_eq!(&told[..], [0xe0, 2, 0x8d, 0], "keep alive timeout");
    served.close().await;
}
