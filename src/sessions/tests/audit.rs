//! What the sessions write down, and who is told.

use super::{
    permissions::{keys_house, list},
    *,
};
use crate::{
    audit::AuditRecord,
    protocol::{PermittedBy, Wanted},
    trust::viewer_list::ViewerEntry,
};

/// A record as kind, viewer and reason.
fn told(record: &AuditRecord) -> String {
    let viewer = record.viewer.as_ref().map(Id::to_string).unwrap_or_default();
    format!("{} {viewer} {}", record.kind.word(), record.reason.as_deref().unwrap_or_default()).trim_end().to_owned()
}

/// Waits until there are `n` further records.
async fn records(audit: &AuditLog, n: usize) -> Vec<AuditRecord> {
    let mut all = Vec::new();
    let wait = async {
        while all.len() < n {
            all.extend(audit.taken());
            tokio::task::yield_now().await;
        }
    };
    let came = timeout(Duration::from_secs(40), wait).await;
    assert!(came.is_ok() && all.len() == n, "{n} records: {all:#?}");
    all
}

#[tokio::test]
async fn a_session_has_a_start_and_an_end_with_what_happened_in_between() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    let [start] = records(&house.audit, 1).await.try_into().unwrap();
    assert_eq!(told(&start), "start anna");
    assert_eq!(start.session.as_ref().map(SessionId::as_str), Some("AAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!((start.rights, &start.name), (Some(Rights::of([Right::View, Right::Listen])), &None));
    house.say("anna", 'A', 1, "bye", json!({"reason": "closed"})).await;
    let [end] = records(&house.audit, 1).await.try_into().unwrap();
    assert_eq!(told(&end), "end anna bye");
    assert_eq!((end.session, end.rights, end.bytes), (start.session, start.rights, Some(0)));
    assert!(end.seconds.is_some());
    house.say("bert", 'B', 0, "request", json!({"media": {"audio": true}})).await;
    house.receive("bert", "offer").await;
    assert_eq!(told(&records(&house.audit, 1).await[0]), "start bert", "the device's offer begins it, too");
    house.stop.send_replace(true);
    assert_eq!(told(&records(&house.audit, 1).await[0]), "end bert shutdown");
}

#[tokio::test]
async fn every_refusal_of_a_viewer_is_written_down_by_its_name() {
    let limits = Limits { viewers: 1, messages_per_second: 1, ..Limits::default() };
    let mut house = House::new(limits, AudioSource::Tone);
    for (viewer, payload, expected) in [
        ("anna", message('A', 0, "offer", json!({"sdp": OFFER.replace("opus", "G722")})), "no_common_codec"),
        ("bert", message('B', 0, "offer", json!({"sdp": "hello"})), "bad_sdp"),
        ("carl", message('C', 0, "renew", json!({})), "no_session"),
        ("dora", message('D', 0, "hello", json!({"events": true})), "forbidden"),
        ("emil", "{}".to_owned(), "bad_request"),
        ("fred", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln".to_owned(), "unauthorized"),
    ] {
        house.send(viewer, payload).await;
        house.error(viewer).await;
        let all: Vec<_> = records(&house.audit, 1).await.iter().map(told).collect();
        assert_eq!(all, [format!("refuse {viewer} {expected}")]);
    }
    house.open("gina", 'G').await;
    house.say("hans", 'H', 0, "offer", json!({"sdp": OFFER})).await;
    house.error("hans").await;
    let all: Vec<_> = records(&house.audit, 2).await.iter().map(told).collect();
    assert_eq!(all, ["start gina", "refuse hans busy"]);
    // Three at once are read, and one of the others is refused.
    for n in 0..9 {
        house.say("ines", 'I', n, "hello", json!({})).await;
    }
    house.error("ines").await;
    assert_eq!(told(&records(&house.audit, 1).await[0]), "refuse ines rate_limited");
    // What a session refuses that goes on is no refusal of the viewer.
    house.say("gina", 'G', 1, "request", json!({"media": {"audio": true}})).await;
    house.error("gina").await;
    assert!(house.audit.taken().is_empty());
}

#[tokio::test]
async fn nothing_secret_gets_into_a_record() {
    let mut house = House::usual();
    let password = crate::config::Secret::new("MARKEDpassword");
    let login = IceLogin::Fixed(crate::config::Login { user: "MARKEDuser".into(), password });
    let server = IceServer { urls: vec!["turn:192.0.2.77".into()], login, ca_file: None };
    house.peers.configure(Webrtc { ice_servers: vec![server], ..loopback() });
    let marked = OFFER
        .replace("ufrag:abcd", "ufrag:MARKEDufrag")
        .replace("pwd:abcdefghijklmnopqrstuvwx", "pwd:MARKEDpasswordMARKEDpassword")
        .replace("00:01:02:03", "DE:AD:BE:EF")
        .replace("a=rtcp-mux", "a=candidate:1 1 udp 5 192.0.2.78 9 typ host\r\na=rtcp-mux");
    let offer = json!({"sdp": marked, "token": "MARKEDtoken", "MARKEDfield": "MARKED"});
    house.send_with("anna", message('A', 0, "offer", offer), Some("MARKEDcorrelation")).await;
    house.receive("anna", "answer").await;
    let candidate = json!([{"candidate": "candidate:1 1 udp 5 192.0.2.79 9 typ host", "mid": "0", "mline": 0}]);
    house.say("anna", 'A', 1, "candidates", json!({"ufrag": "MARKEDufrag", "candidates": candidate})).await;
    house.say("anna", 'A', 2, "bye", json!({"reason": "MARKEDreason"})).await;
    let no_codec = marked.replace("opus", "MARKEDcodec");
    house.say("anna", 'B', 0, "offer", json!({"sdp": no_codec})).await;
    house.say("anna", 'C', 0, "offer", json!({"sdp": "MARKED"})).await;
    house.send("anna", r#"{"v":1,"type":"MARKEDtype"}"#).await;
    for record in records(&house.audit, 5).await {
        let texts = [
            String::from_utf8(record.journal_entry()).unwrap(),
            record.log_line(),
            serde_json::to_string(&record.event(0, Some(1))).unwrap(),
        ];
        for text in texts {
            for secret in ["MARKED", "192.0.2.", "DE:AD", "127.0.0.1", "v=0", "candidate"] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
            assert!(text.contains("anna"), "{text}");
        }
    }
}

/// A viewer on the list, with a key and a name of its own.
fn viewer(name: &str, rights: &[Right]) -> ViewerEntry {
    let key = *crate::jose::SigningKey::generate().unwrap().public();
    let rights = Rights::of(rights.iter().copied());
    let origin = crate::trust::viewer_list::EntryOrigin::Listed;
    ViewerEntry { key, name: name.into(), rights, until: None, since: 0, origin }
}

fn request(from: &ViewerEntry, session: char, request: Request) -> IncomingRequest {
    let session = SessionId::new(&session.to_string().repeat(22)).unwrap();
    // Any key: nothing is sealed in these tests.
    let from = Authorised {
        who: from.id(),
        rights: from.rights,
        until: None,
        reply_key: Some(from.key),
        by: PermittedBy::List,
    };
    IncomingRequest { from, head: RequestHead { session, seq: 0 }, request, correlation: None }
}

#[tokio::test]
async fn a_viewer_with_the_right_is_told_until_it_loses_it_and_others_are_not() {
    let mut house = keys_house();
    let watcher = viewer("Anna's phone", &[Right::View, Right::Events]);
    let other = viewer("Bert", &[Right::Listen]);
    house.viewers.send_replace(list(&[&watcher, &other]));
    let audit = house.sessions.audit.clone();
    let (requests, incoming) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(house.sessions.run(incoming, stopped, Heartbeat::default()));
    let mut next = async || timeout(Duration::from_secs(20), house.said.0.recv()).await.unwrap().unwrap();

    requests.send(request(&watcher, 'A', Request::Hello { events: true })).await.unwrap();
    assert!(matches!(next().await.reply, Reply::Welcome { .. }));
    requests.send(request(&other, 'B', Request::Hello { events: true })).await.unwrap();
    let (mut refused, mut told) = (None, None);
    while refused.is_none() || told.is_none() {
        let it = next().await;
        match it.reply {
            Reply::Error(refusal) => refused = Some((it.to.viewer, refusal.name)),
            Reply::Event(event) => told = Some((it.to, it.session, it.seq, event)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, Some((other.id(), ErrorName::Forbidden)));
    let (to, session, seq, event) = told.unwrap();
    assert_eq!((to.viewer, to.reply_key, seq), (watcher.id(), Some(watcher.key), None));
    assert_eq!(session, SessionId::new(&"A".repeat(22)));
    assert_eq!((event.n, event.kind, event.name.as_deref()), (0, "refuse", Some("Bert")));
    assert_eq!((event.viewer, event.reason.as_deref()), (Some(other.id().to_string()), Some("forbidden")));

    let media = Wanted { video: false, audio: true, talk: false, commands: false };
    requests.send(request(&other, 'B', Request::Request { media })).await.unwrap();
    let event = loop {
        if let Reply::Event(event) = next().await.reply {
            break event;
        }
    };
    assert_eq!((event.n, event.kind, event.rights), (1, "start", Some(Rights::of([Right::Listen]))));

    let without = ViewerEntry { rights: Rights::of([Right::View]), ..watcher.clone() };
    house.viewers.send_replace(list(&[&without, &other]));
    requests.send(request(&other, 'B', Request::Bye { reason: String::new() })).await.unwrap();
    let end = loop {
        if let Some(end) = audit.taken().into_iter().find(|record| record.kind.word() == "end") {
            break end;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((end.name.as_deref(), end.reason.as_deref()), (Some("Bert"), Some("bye")));
    // The sessions take these and the record in any order.
    for _ in 0..30 {
        requests.send(request(&without, 'C', Request::Hello { events: false })).await.unwrap();
    }
    let mut welcomes = 0;
    while welcomes < 30 {
        match next().await.reply {
            Reply::Welcome { .. } => welcomes += 1,
            Reply::Event(event) => panic!("told without the right: {event:?}"),
            _ => {}
        }
    }
    stop.send_replace(true);
    task.await.unwrap();
}
