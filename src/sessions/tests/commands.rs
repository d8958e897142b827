//! Commands to the board, in a session and alone, through signalling and the sessions.

use super::{
    descriptions::both,
    live::Eyes,
    permissions::{keys_house, list},
    *,
};
use crate::{
    feed::Health,
    privacy::{PrivacyRequest, PrivacySource},
    protocol::{
        Wanted,
        command::{BoardCommand, CommandMessage, SnapshotArgs},
        command_result::{CommandOk, CommandOutcome},
        sdp::Description,
    },
    trust::viewer_list::ViewerEntry,
};

fn command(id: u64, name: &str, args: Value) -> Value {
    json!({"id": id, "name": name, "args": args})
}

#[tokio::test]
async fn a_command_in_a_session_is_in_its_order_and_comes_again_unchanged() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.say("anna", 'A', 1, "command", command(7, "stats", json!({}))).await;
    let result = house.receive("anna", "result").await;
    assert_eq!((&result["id"], result["seq"].is_u64()), (&json!(7), true));
    assert_eq!((&result["ok"]["viewers"], &result["ok"]["video"]["health"]), (&json!(1), &json!("absent")));
    assert!(result["ok"]["session"]["seconds"].is_u64(), "{result}");
    house.say("anna", 'A', 1, "command", command(7, "stats", json!({}))).await;
    assert_eq!(house.receive("anna", "result").await, result, "word for word");
    house.say("anna", 'A', 3, "command", command(9, "cameras", json!({}))).await;
    house.say("anna", 'A', 2, "command", command(8, "keyframe", json!({}))).await;
    let [first, second] = [house.receive("anna", "result").await, house.receive("anna", "result").await];
    assert_eq!((&first["id"], &first["error"]["name"]), (&json!(8), &json!("not_found")), "there is no picture here");
    assert_eq!((&second["id"], second["ok"]["microphone"].is_string()), (&json!(9), true));
}

#[tokio::test]
async fn a_board_offers_a_data_channel_to_those_who_ask_for_one() {
    let mut house = both();
    for (viewer, media, expected) in [
        ("anna", json!({"video": true, "audio": true, "commands": true}), &["video", "audio", "application"][..]),
        ("bert", json!({"video": true, "commands": true}), &["video", "application"]),
        ("carl", json!({"video": true, "audio": true}), &["video", "audio"]),
    ] {
        house.say(viewer, 'A', 0, "request", json!({"media": media})).await;
        let offer = house.receive(viewer, "offer").await;
        let offer = Description::parse(offer["sdp"].as_str().unwrap()).unwrap();
        let mut kinds: Vec<_> = offer.lines.iter().map(|line| line.media.as_str()).collect();
        let last = offer.lines.last().unwrap();
        assert_eq!(last.has_channels(), expected.contains(&"application"), "{viewer}: {kinds:?}");
        // Sound or picture is first.
        kinds.sort_by_key(|kind| expected.iter().position(|expected| expected == kind));
        assert_eq!(kinds, expected, "{viewer}");
    }
}

#[tokio::test]
async fn a_command_alone_begins_no_session_and_knows_gone_ones() {
    let mut house = House::usual();
    for (seq, fields, expected) in [
        (0, command(1, "cameras", json!({})), json!(null)),
        (0, command(1, "keyframe", json!({})), json!("no_session")),
        (0, command(1, "privacy.set", json!({"on": true})), json!("forbidden")),
        (0, json!({"id": "x", "name": "cameras"}), json!("bad_request")),
        (4, command(1, "cameras", json!({})), json!("no_session")),
    ] {
        house.say("anna", 'A', seq, "command", fields.clone()).await;
        let result = house.receive("anna", "result").await;
        assert_eq!(result["error"]["name"], expected, "{fields}: {result}");
        assert_eq!((&result["session"], result["seq"].is_null()), (&json!("A".repeat(22)), true));
    }
    assert_eq!(house.presence.borrow().viewers, 0);
    house.open("anna", 'B').await;
    house.say("anna", 'B', 1, "bye", json!({})).await;
    house.viewers(0).await;
    house.say("anna", 'B', 2, "command", command(2, "cameras", json!({}))).await;
    assert_eq!(house.receive("anna", "result").await["error"]["name"], "gone");
}

#[tokio::test]
async fn commands_alone_have_a_rate() {
    let mut house = House::usual();
    for n in 0..9 {
        house.say("anna", 'A', 0, "command", command(n, "stats", json!({}))).await;
        let result = house.receive("anna", "result").await;
        let expected = if n < 8 { json!(null) } else { json!("rate_limited") };
        assert_eq!((&result["id"], &result["error"]["name"]), (&json!(n), &expected), "{result}");
    }
    house.say("bert", 'A', 0, "command", command(1, "stats", json!({}))).await;
    assert!(house.receive("bert", "result").await["ok"].is_object(), "each viewer for itself");
}

#[tokio::test]
async fn the_rights_are_those_of_the_moment_in_which_the_command_is_read() {
    let mut house = keys_house();
    let ask = |rights: &[Right]| {
        let (id, command) = (1, BoardCommand::PrivacyOn);
        let mut request = house.request('A', Request::Command(Ok(CommandMessage { id, command })));
        request.from.rights = Rights::of(rights.iter().copied());
        request
    };
    let rows = [(ask(&[Right::View]), false), (ask(&[Right::View, Right::Control]), true)];
    for (request, is_done) in rows {
        // The list says so, too.
        let rights = request.from.rights;
        house.viewers.send_replace(list(&[&ViewerEntry { rights, ..house.entry.clone() }]));
        house.sessions.handle(request, Mono::now());
        let Reply::Result(result) = house.said.0.try_recv().unwrap().reply else { panic!() };
        assert_eq!(matches!(result.outcome, CommandOutcome::Ok(_)), is_done, "{result:?}");
    }
}

/// Sound flows; the switch is set; from 200 ms later on, the board has sent no packet more.
#[tokio::test]
async fn the_privacy_switch_stops_the_sound_of_a_session_and_gives_it_back() {
    let mut house = House::usual();
    let mut eyes = Eyes::open().await;
    eyes.watch(&mut house, 'A').await;
    let mut seq = eyes.seq;
    let mut sent = async |house: &mut House| {
        seq += 1;
        house.say("anna", 'A', seq, "command", command(seq, "stats", json!({}))).await;
        house.receive("anna", "result").await["ok"]["session"]["bytes"].as_u64().unwrap()
    };
    let before = sent(&mut house).await;
    sleep(Duration::from_millis(500)).await;
    assert!(sent(&mut house).await > before, "sound flows");
    house.privacy.ask(&PrivacyRequest::Set, PrivacySource::Owner, None, false, Mono::now()).unwrap();
    sleep(Duration::from_millis(200)).await;
    let stopped = sent(&mut house).await;
    sleep(Duration::from_millis(1000)).await;
    assert_eq!(sent(&mut house).await, stopped, "bytes that left more than 200 ms after the switch was set");
    assert_eq!(house.presence.borrow().media.audio, Health::Privacy);
    let lift = PrivacyRequest::Lift { change: None };
    house.privacy.ask(&lift, PrivacySource::Owner, None, false, Mono::now()).unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(sent(&mut house).await > stopped, "sound flows again");
    assert_eq!(house.presence.borrow().viewers, 1, "the session stayed");
}

/// A request of Anna, who may have pictures, in one session.
fn of_anna(seq: u64, request: Request) -> IncomingRequest {
    let from = Authorised {
        who: Id::new("anna").unwrap(),
        rights: Rights::of([Right::Listen, Right::Snapshot]),
        until: None,
        reply_key: None,
        by: PermittedBy::Broker,
    };
    let head = RequestHead { session: SessionId::new(&"A".repeat(22)).unwrap(), seq };
    IncomingRequest { from, head, request, correlation: None }
}

fn snapshot() -> Request {
    let camera = Id::new("main").unwrap();
    let args = SnapshotArgs { camera, width: Some(320), height: None, quality: 85 };
    Request::Command(Ok(CommandMessage { id: 7, command: BoardCommand::Snapshot(args) }))
}

/// The board takes a snapshot of its test picture while the sessions go on.
#[tokio::test]
async fn a_snapshot_alone_comes_with_its_parts() {
    let (mut sessions, mut said, _, _, _, _devices) =
        sessions_with(Limits::default(), AudioSource::Off, VideoSource::Test);
    sessions.handle(of_anna(0, snapshot()), Mono::now());
    assert!(said.try_recv().is_err(), "it takes time");
    let (request, finished) = timeout(Duration::from_secs(20), sessions.waiting.next()).await.unwrap();
    sessions.finish_alone(&request, finished, Mono::now());
    let Reply::Result(result) = said.0.try_recv().unwrap().reply else { panic!() };
    let CommandOutcome::Ok(CommandOk::Snapshot(head)) = result.outcome else { panic!("{result:?}") };
    assert_eq!((result.id, head.width, head.height), (Some(7), 320, 180));
    for part in 0..head.parts {
        let Reply::Part(it) = said.0.try_recv().unwrap().reply else { panic!() };
        assert_eq!((it.id, it.part), (7, part));
    }
    assert!(said.try_recv().is_err(), "nothing else");
    let kinds: Vec<_> = sessions.audit.taken().iter().map(|record| record.kind.word()).collect();
    assert_eq!(kinds, ["snapshot"]);
}

#[tokio::test]
async fn a_session_goes_on_while_a_command_waits_and_its_number_is_taken() {
    let (mut sessions, mut said, _, _, _, _devices) =
        sessions_with(Limits::default(), AudioSource::Tone, VideoSource::Test);
    let stats = |id| Request::Command(Ok(CommandMessage { id, command: BoardCommand::Stats }));
    let media = Wanted { audio: true, ..Wanted::default() };
    for (seq, request) in [Request::Request { media }, snapshot(), stats(7), stats(8)].into_iter().enumerate() {
        sessions.handle(of_anna(seq as u64, request), Mono::now());
    }
    let mut results = Vec::new();
    let (mut parts, mut expected, mut numbers) = (0, None, Vec::new());
    while expected != Some(parts) {
        let sent = timeout(Duration::from_secs(20), said.0.recv()).await.unwrap().unwrap();
        match sent.reply {
            Reply::Result(result) => {
                let name = match result.outcome {
                    CommandOutcome::Error(refusal) => Some(refusal.name),
                    CommandOutcome::Ok(CommandOk::Snapshot(head)) => {
                        expected = Some(head.parts);
                        None
                    }
                    CommandOutcome::Ok(_) => None,
                };
                results.push((result.id, name));
                numbers.push(sent.seq);
            }
            Reply::Part(part) => {
                assert_eq!((part.id, part.part), (7, parts));
                parts += 1;
                numbers.push(sent.seq);
            }
            _ => {}
        }
    }
    assert_eq!(results, [(Some(7), Some(ErrorName::Conflict)), (Some(8), None), (Some(7), None)]);
    assert!(numbers.iter().all(Option::is_some) && numbers.is_sorted(), "they are in the order of the session");
}
