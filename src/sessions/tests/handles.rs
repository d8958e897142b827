//! Which session handles end, seen from inside.

use super::*;

/// Adds a session handle without a task behind it.
fn handle(
    sessions: &mut Sessions,
    viewer: &str,
    session: char,
    phase: SessionPhase,
) -> (mpsc::Receiver<SessionRequest>, Key) {
    let (inbox, heard) = mpsc::channel(INBOX);
    let key = (Id::new(viewer).unwrap(), SessionId::new(&session.to_string().repeat(22)).unwrap());
    let since = Mono(u64::from(u32::from(session)));
    let from = watcher(viewer);
    let handle = SessionHandle { from, inbox, stop: watch::channel(None).0, phase: watch::channel(phase).1, since };
    sessions.handles.insert(key.clone(), handle);
    (heard, key)
}

fn ending(sessions: &Sessions, key: &Key) -> Option<EndReason> {
    *sessions.handles[key].stop.borrow()
}

fn watcher(viewer: &str) -> Authorised {
    let rights = Rights::of([Right::View, Right::Listen]);
    Authorised { who: Id::new(viewer).unwrap(), rights, until: None, reply_key: None, by: PermittedBy::Broker }
}

fn opening() -> Request {
    Request::Request { media: crate::protocol::Wanted { video: false, audio: true, talk: false, commands: false } }
}

impl Sessions {
    fn asks(&mut self, viewer: &str, session: char, now: Mono) {
        let session = SessionId::new(&session.to_string().repeat(22)).unwrap();
        let (from, head) = (watcher(viewer), RequestHead { session, seq: 0 });
        self.start(IncomingRequest { from, head, request: opening(), correlation: None }, now);
    }
}

#[tokio::test]
async fn a_lost_session_makes_room_for_a_new_one_of_the_same_viewer() {
    let (mut sessions, ..) = sessions(Limits::default(), AudioSource::Tone);
    let (_live, live) = handle(&mut sessions, "anna", 'A', SessionPhase::Live);
    let (_other, other) = handle(&mut sessions, "bert", 'B', SessionPhase::Lost);
    let (_lost, lost) = handle(&mut sessions, "anna", 'C', SessionPhase::Lost);
    sessions.asks("anna", 'D', Mono::now());
    assert_eq!([&live, &other, &lost].map(|key| ending(&sessions, key)), [None, None, Some(EndReason::Replaced)]);
    assert_eq!(sessions.handles.len(), 4);
}

#[tokio::test]
async fn nothing_ends_for_a_session_that_is_refused() {
    let limits = Limits { starts_per_minute: 1, ..Limits::default() };
    let (mut sessions, mut said, ..) = sessions(limits, AudioSource::Tone);
    let now = Mono::now();
    sessions.asks("anna", 'A', now);
    let (_lost, lost) = handle(&mut sessions, "anna", 'B', SessionPhase::Lost);
    sessions.asks("anna", 'C', now);
    let refusal: Value = serde_json::from_slice(&said.try_recv().unwrap().payload).unwrap();
    assert_eq!((&refusal["name"], ending(&sessions, &lost)), (&json!("rate_limited"), None));
}

#[tokio::test]
async fn nothing_ends_for_a_request_that_begins_no_session() {
    let (mut sessions, mut said, ..) = sessions(Limits::default(), AudioSource::Tone);
    let now = Mono(1_000_000_000_000);
    let (_live, _) = handle(&mut sessions, "anna", 'A', SessionPhase::Live);
    let (_lost, lost) = handle(&mut sessions, "anna", 'B', SessionPhase::Lost);
    let nothing = crate::protocol::Wanted { video: false, audio: false, talk: false, commands: false };
    for (n, (request, name)) in [
        (Request::Offer { sdp: "v=0\r\nhello".into(), restart: false }, "bad_sdp"),
        (Request::Request { media: nothing }, "no_media"),
    ]
    .into_iter()
    .enumerate()
    {
        let session = SessionId::new(&char::from(b'C' + n as u8).to_string().repeat(22)).unwrap();
        let head = RequestHead { session, seq: 0 };
        sessions.start(IncomingRequest { from: watcher("anna"), head, request, correlation: None }, now);
        let refusal: Value = serde_json::from_slice(&said.try_recv().unwrap().payload).unwrap();
        assert_eq!((refusal["name"].as_str(), ending(&sessions, &lost)), (Some(name), None));
    }
    sessions.asks("anna", 'Z', now);
    assert_eq!(ending(&sessions, &lost), Some(EndReason::Replaced));
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_oldest_that_never_connected() {
    let (mut sessions, mut said, ..) = sessions(Limits::default(), AudioSource::Tone);
    let now = Mono(1_000_000_000_000);
    let ghosts: Vec<Key> =
        ('A'..='H').map(|c| handle(&mut sessions, &format!("v{c}"), c, SessionPhase::Setup).1).collect();
    sessions.asks("anna", 'Z', now);
    assert_eq!(ending(&sessions, &ghosts[0]), Some(EndReason::GaveWay), "the oldest");
    assert!(ghosts[1..].iter().all(|key| ending(&sessions, key).is_none()));
    assert!(said.try_recv().is_err(), "anna is not refused");
    // So does one that answers connectivity checks, and never completes the DTLS handshake.
    let (mut sessions, mut said, ..) = self::sessions(Limits::default(), AudioSource::Tone);
    let ghosts: Vec<Key> =
        ('A'..='H').map(|c| handle(&mut sessions, &format!("v{c}"), c, SessionPhase::Connecting).1).collect();
    sessions.asks("anna", 'Z', now);
    assert_eq!(ending(&sessions, &ghosts[0]), Some(EndReason::GaveWay), "the oldest");
    assert!(said.try_recv().is_err(), "anna is not refused");
    // A viewer whose sessions never connect displaces nobody.
    for _ in 0..2 {
        sessions.admission.count_unconnected(&Id::new("mallory").unwrap(), now);
    }
    sessions.asks("mallory", 'Y', now);
    let refusal: Value = serde_json::from_slice(&said.try_recv().unwrap().payload).unwrap();
    assert_eq!(refusal["name"], "busy");
}

#[tokio::test]
async fn only_a_session_that_was_live_makes_up_for_those_that_were_not() {
    use SessionPhase::{Connecting, Live, Lost, Setup};
    for (phase, reason, expected) in [
        (Setup, EndReason::IceTimeout, 2),
        (Setup, EndReason::BadAnswer, 2),
        (Connecting, EndReason::DtlsFailed, 2),
        (Connecting, EndReason::GaveWay, 2),
        (Setup, EndReason::Bye, 1),
        (Setup, EndReason::Refused, 1),
        (Connecting, EndReason::Bye, 1),
        (Live, EndReason::Bye, 0),
        (Lost, EndReason::IceFailed, 0),
    ] {
        let (mut sessions, ..) = sessions(Limits::default(), AudioSource::Off);
        let (_heard, key) = handle(&mut sessions, "mallory", 'A', phase);
        sessions.admission.count_unconnected(&key.0, Mono::now());
        let task = sessions.tasks.spawn(async move { reason });
        sessions.names.insert(task.id(), key.clone());
        let ended = sessions.tasks.join_next_with_id().await.unwrap();
        sessions.reap(ended);
        assert_eq!(sessions.admission.unconnected(&key.0, Mono::now()), expected, "{phase:?}, {reason:?}");
    }
}

#[tokio::test]
async fn who_is_not_read_fast_enough_ends_alone() {
    let (mut sessions, ..) = sessions(Limits::default(), AudioSource::Off);
    let (_heard, key) = handle(&mut sessions, "anna", 'A', SessionPhase::Live);
    let (_other, other) = handle(&mut sessions, "bert", 'A', SessionPhase::Live);
    for seq in 0..=INBOX as u64 {
        assert_eq!(ending(&sessions, &key), None);
        let head = RequestHead { session: key.1.clone(), seq };
        let (from, request) = (watcher("anna"), Request::Ping { n: 0 });
        sessions.handle(IncomingRequest { from, head, request, correlation: None }, Mono(0));
    }
    assert_eq!((ending(&sessions, &key), ending(&sessions, &other)), (Some(EndReason::Flood), None));
}

#[tokio::test]
async fn a_task_that_panics_is_reaped_and_its_viewer_told() {
    let (mut sessions, mut said, ..) = sessions(Limits::default(), AudioSource::Off);
    let (_heard, key) = handle(&mut sessions, "anna", 'A', SessionPhase::Live);
    let task = sessions.tasks.spawn(async { panic!("on purpose") });
    sessions.names.insert(task.id(), key.clone());
    let ended = sessions.tasks.join_next_with_id().await.unwrap();
    sessions.reap(ended);
    assert!(sessions.handles.is_empty() && sessions.names.is_empty());
    let mut next = || serde_json::from_slice::<Value>(&said.try_recv().unwrap().payload).unwrap();
    assert_eq!(next()["name"], "internal");
    assert_eq!(next()["reason"], "internal");
    assert!(sessions.admission.has_ended(&key.0, &key.1, Mono::now()));
}
