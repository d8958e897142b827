//! The modes `keys` and `token`: what the list of viewers and an issuer say holds at once, and strangers learn nothing.

use super::*;
use crate::{
    grant::KeysAccess,
    jose::{SealingKey, SigningKey},
    protocol::{RightsEnd, TokenReference, Wanted},
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        issuer_tests::TestIssuer,
        issuers::Issuers,
        pairing::PairingHandle,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList},
    },
};

/// Sessions in the mode `keys`, and one viewer that is on the list.
pub(super) struct KeysHouse {
    pub(super) sessions: Sessions,
    pub(super) said: SentReplies,
    pub(super) viewers: watch::Sender<Arc<ViewerList>>,
    issuer: TestIssuer,
    issuers: watch::Sender<Arc<Issuers>>,
    pub(super) entry: ViewerEntry,
    pub(super) reply: SealingKey,
    _devices: Devices,
}

pub(super) fn keys_house() -> KeysHouse {
    let (mut sessions, said, _, _, _, devices) = sessions(Limits::default(), AudioSource::Tone);
    let key = *SigningKey::generate().unwrap().public();
    let rights = Rights::of([Right::View, Right::Listen]);
    let entry = ViewerEntry { key, name: "anna".into(), rights, until: None, since: 0, origin: EntryOrigin::Listed };
    let (viewers, following) = watch::channel(list(&[&entry]));
    let board = Arc::new(BoardKeys::ephemeral().unwrap());
    let access =
        KeysAccess::new(board, Id::new("porch").unwrap(), following, PairingHandle::default(), LastSeen::default());
    let issuer = TestIssuer::new();
    let (issuers, known) = watch::channel(Arc::new(issuer.known()));
    sessions.grant = Arc::new(Grant::by_keys(access.with_tokens(known), &[7; 32]));
    let reply = SealingKey::generate().unwrap();
    KeysHouse { sessions, said, viewers, issuer, issuers, entry, reply, _devices: devices }
}

pub(super) fn list(entries: &[&ViewerEntry]) -> Arc<ViewerList> {
    let mut list = ViewerList::default();
    entries.iter().for_each(|entry| list.add((*entry).clone()).unwrap());
    Arc::new(list)
}

impl KeysHouse {
    pub(super) fn request(&self, session: char, request: Request) -> IncomingRequest {
        let session = SessionId::new(&session.to_string().repeat(22)).unwrap();
        let from = Authorised {
            who: self.entry.id(),
            rights: self.entry.rights,
            until: None,
            reply_key: Some(*self.reply.public()),
            by: PermittedBy::List,
        };
        IncomingRequest { from, head: RequestHead { session, seq: 0 }, request, correlation: None }
    }
}

#[tokio::test]
async fn a_viewer_that_loses_a_right_or_is_removed_loses_its_session() {
    let media = Wanted { video: false, audio: true, talk: false, commands: false };
    let with = |entry: &ViewerEntry, rights: &[Right]| {
        list(&[&ViewerEntry { rights: Rights::of(rights.iter().copied()), ..entry.clone() }])
    };
    for (rights, ends) in [
        (Some(&[Right::View, Right::Listen][..]), false),
        (Some(&[Right::View, Right::Listen, Right::Talk]), false),
        (Some(&[Right::View]), true),
        (None, true),
    ] {
        let mut house = keys_house();
        let request = house.request('A', Request::Request { media });
        let key = (request.from.who.clone(), request.head.session.clone());
        house.sessions.handle(request, Mono::now());
        let list = rights.map_or_else(|| list(&[]), |rights| with(&house.entry, rights));
        house.viewers.send_replace(list);
        house.sessions.end_forbidden(Mono::now(), WallClock::now());
        let ending = *house.sessions.handles[&key].stop.borrow();
        assert_eq!(ending, ends.then_some(EndReason::Forbidden), "{rights:?}");
    }
}

/// A request waits in a queue between the check of its signature and its session. The list may change meanwhile.
#[tokio::test]
async fn a_viewer_that_is_removed_while_its_request_waits_gets_no_session_and_no_welcome() {
    let mut house = keys_house();
    let media = Wanted { video: false, audio: true, talk: false, commands: false };
    let requests =
        [Request::Request { media }, Request::Hello { events: false }].map(|request| house.request('A', request));
    house.viewers.send_replace(list(&[]));
    for request in requests {
        house.sessions.handle(request, Mono::now());
        let Reply::Error(refusal) = house.said.0.try_recv().unwrap().reply else { panic!() };
        assert_eq!((refusal.name, house.sessions.handles.len()), (ErrorName::Forbidden, 0));
    }
}

#[tokio::test]
async fn the_list_is_followed_while_the_sessions_run() {
    let mut house = keys_house();
    let media = Wanted { video: false, audio: true, talk: false, commands: false };
    let (requests, incoming) = mpsc::channel(8);
    requests.send(house.request('A', Request::Request { media })).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(house.sessions.run(incoming, stopped, Heartbeat::default()));
    let mut next = async || timeout(Duration::from_secs(10), house.said.0.recv()).await.unwrap().unwrap();
    while !matches!(next().await.reply, Reply::Offer { .. }) {}
    house.viewers.send_replace(list(&[]));
    let reply = loop {
        let reply = next().await;
        if let Reply::Error(_) = reply.reply {
            break reply;
        }
    };
    let Reply::Error(refusal) = reply.reply else { panic!() };
    assert_eq!((refusal.code, refusal.name), (403, ErrorName::Forbidden));
    assert_eq!(reply.to.reply_key, Some(*house.reply.public()), "sealed, as all before it");
    assert!(matches!(next().await.reply, Reply::Bye { reason } if reason == "forbidden"));
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn welcome_tells_a_viewer_on_the_list_what_everybody_else_does_not_learn() {
    let mut house = keys_house();
    let request = house.request('A', Request::Hello { events: false });
    house.sessions.handle(request, Mono::now());
    let reply = house.said.0.try_recv().unwrap().reply;
    let Reply::Welcome { details: Some(details), .. } = reply else { panic!("{reply:?}") };
    assert_eq!((details.status.viewers, details.rights), (0, Rights::of([Right::View, Right::Listen])));
    let mut plain = house.request('B', Request::Hello { events: false });
    plain.from.reply_key = None;
    house.sessions.handle(plain, Mono::now());
    assert!(matches!(house.said.0.try_recv().unwrap().reply, Reply::Welcome { details: None, .. }));
}

#[tokio::test]
async fn candidates_before_their_offer_are_dropped_in_the_mode_keys() {
    let mut house = keys_house();
    let candidates = Request::Candidates { ufrag: None, candidates: Vec::new(), end: true };
    let request = house.request('A', candidates);
    house.sessions.handle(request, Mono::now());
    assert_eq!((house.sessions.late, house.sessions.early.deadline()), (1, None));
}

impl KeysHouse {
    /// A request of a viewer with a token that was issued then, permits this, and ends in so many milliseconds.
    fn with_token(
        &self,
        seq: u64,
        request: Request,
        token: (&str, u64),
        rights: &[Right],
        ends_ms: u64,
    ) -> IncomingRequest {
        let mut request = self.request('A', request);
        request.head.seq = seq;
        request.from.who = Id::new("q83vEjRWeJCrze8SNFZ4kA").unwrap();
        request.from.rights = Rights::of(rights.iter().copied());
        request.from.until = Some(RightsEnd { at: Mono::now() + Duration::from_millis(ends_ms), wall: 0 });
        let token = TokenReference {
            id: Id::new(token.0).unwrap(),
            issuer: self.issuer.kid(),
            issued: token.1,
            name: Some("Anna".into()),
        };
        request.from.by = PermittedBy::Token(token);
        request
    }
}

const SOUND: Request = Request::Request { media: Wanted { video: false, audio: true, talk: false, commands: false } };
const LONG: u64 = 600_000;

#[tokio::test]
async fn a_session_whose_token_is_taken_back_ends_at_once() {
    let mut house = keys_house();
    let request = house.with_token(0, SOUND, ("token-a", 100), &[Right::Listen], LONG);
    let key = (request.from.who.clone(), request.head.session.clone());
    house.sessions.handle(request, Mono::now());
    let ending = |house: &KeysHouse| *house.sessions.handles[&key].stop.borrow();
    for (issuers, expected) in [
        (house.issuer.denying(100, &["token-b"]), None),
        (house.issuer.denying(100, &["token-a"]), Some(EndReason::Forbidden)),
    ] {
        house.issuers.send_replace(Arc::new(issuers));
        house.sessions.end_forbidden(Mono::now(), WallClock::now());
        assert_eq!(ending(&house), expected);
    }
    // A request that waited meanwhile opens no session.
    let late = house.with_token(0, SOUND, ("token-a", 100), &[Right::Listen], LONG);
    while house.said.0.try_recv().is_ok() {}
    house.sessions.handle(late, Mono::now());
    let Reply::Error(refusal) = house.said.0.try_recv().unwrap().reply else { panic!() };
    assert_eq!(refusal.name, ErrorName::Forbidden);
}

#[tokio::test]
async fn what_counts_for_a_session_is_the_newest_token_of_its_viewer() {
    let mut house = keys_house();
    let first = house.with_token(0, SOUND, ("token-a", 100), &[Right::Listen], LONG);
    let key = (first.from.who.clone(), first.head.session.clone());
    house.sessions.handle(first, Mono::now());
    for (seq, token) in [(1, ("token-b", 200)), (2, ("token-a", 100))] {
        let request = house.with_token(seq, Request::Renew, token, &[Right::Listen], LONG);
        house.sessions.handle(request, Mono::now());
    }
    house.issuers.send_replace(Arc::new(house.issuer.denying(0, &["token-a"])));
    house.sessions.end_forbidden(Mono::now(), WallClock::now());
    assert_eq!(*house.sessions.handles[&key].stop.borrow(), None, "the older token does not count any more");
    house.issuers.send_replace(Arc::new(house.issuer.denying(0, &["token-b"])));
    house.sessions.end_forbidden(Mono::now(), WallClock::now());
    assert_eq!(*house.sessions.handles[&key].stop.borrow(), Some(EndReason::Forbidden));
}

#[tokio::test]
async fn an_answer_without_the_hash_of_its_offer_is_refused() {
    let mut house = keys_house();
    let (requests, incoming) = mpsc::channel(8);
    let answer = house.request('A', Request::Answer { sdp: OFFER.into(), offer_hash: None });
    requests.send(house.request('A', SOUND)).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(house.sessions.run(incoming, stopped, Heartbeat::default()));
    let mut next = async || timeout(Duration::from_secs(10), house.said.0.recv()).await.unwrap().unwrap();
    while !matches!(next().await.reply, Reply::Offer { .. }) {}
    requests.send(IncomingRequest { head: RequestHead { seq: 1, ..answer.head }, ..answer }).await.unwrap();
    let refusal = loop {
        if let Reply::Error(refusal) = next().await.reply {
            break refusal;
        }
    };
    assert_eq!((refusal.name, refusal.message.contains("offer_hash")), (ErrorName::Conflict, true), "{refusal:?}");
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test]
async fn a_newer_token_without_events_ends_them_with_any_message() {
    let mut house = keys_house();
    let hello = house.with_token(0, Request::Hello { events: true }, ("token-a", 100), &[Right::Events], LONG);
    house.sessions.handle(hello, Mono::now());
    let record = || AuditRecord::refused(Id::new("bert").unwrap(), None, ErrorName::Busy).event(0, None);
    house.sessions.tell(&record(), Mono::now());
    assert!(house.sessions.events.next(Mono::now()).is_some());
    let newer = house.with_token(1, Request::Ping { n: 7 }, ("token-b", 200), &[Right::View], LONG);
    house.sessions.handle(newer, Mono::now());
    house.sessions.tell(&record(), Mono::now());
    assert_eq!(house.sessions.events.next(Mono::now()), None);
}

/// Runs the sessions with these requests one after the other, each once the one before is answered. Returns the last
/// answers.
async fn answers(requests: impl FnOnce(&KeysHouse) -> Vec<IncomingRequest>) -> Vec<Reply> {
    let mut house = keys_house();
    let requests = requests(&house);
    let (queue, incoming) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(house.sessions.run(incoming, stopped, Heartbeat::default()));
    let mut said = Vec::new();
    for request in requests {
        queue.send(request).await.unwrap();
    }
    loop {
        let next = timeout(Duration::from_secs(30), house.said.0.recv()).await.expect("the session ends").unwrap();
        let is_last = matches!(next.reply, Reply::Bye { .. });
        said.push(next.reply);
        if is_last {
            break;
        }
    }
    stop.send_replace(true);
    task.await.unwrap();
    said
}

fn reason(said: &[Reply]) -> &str {
    match said.last() {
        Some(Reply::Bye { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let began = Mono::now();
    let said = answers(|house| vec![house.with_token(0, SOUND, ("token-a", 100), &[Right::Listen], 1500)]).await;
    let lasted = Mono::now().since(began);
    assert_eq!(reason(&said), "expired", "{said:?}");
    assert!(lasted > Duration::from_millis(1400), "{lasted:?}");
    assert!(said.iter().any(|reply| matches!(reply, Reply::Offer { lease_s: Some(0 | 1), .. })), "{said:?}");
}

#[tokio::test]
async fn a_newer_token_gives_the_session_its_end_and_an_older_one_does_not() {
    let began = Mono::now();
    let said = answers(|house| {
        let message = |seq, request, token, ends| house.with_token(seq, request, token, &[Right::Listen], ends);
        vec![
            message(0, SOUND, ("token-a", 100), 1000),
            message(1, Request::Renew, ("token-b", 200), 3000),
            message(2, Request::Ping { n: 7 }, ("token-a", 100), 1000),
        ]
    })
    .await;
    let lasted = Mono::now().since(began);
    assert_eq!(reason(&said), "expired", "{said:?}");
    assert!(lasted > Duration::from_millis(2900), "{lasted:?}");
    assert!(said.iter().any(|reply| matches!(reply, Reply::Renewed { lease_s: 2 | 3, .. })), "{said:?}");
}

#[tokio::test]
async fn a_newer_token_that_permits_less_ends_the_session_if_it_needs_more() {
    for (rights, expected) in
        [(&[Right::View][..], "forbidden"), (&[Right::Listen], "bye"), (&[Right::Listen, Right::View], "bye")]
    {
        let said = answers(|house| {
            let bye = Request::Bye { reason: "closed".into() };
            vec![
                house.with_token(0, SOUND, ("token-a", 100), &[Right::View, Right::Listen], LONG),
                house.with_token(1, Request::Renew, ("token-b", 200), rights, LONG),
                house.with_token(2, bye, ("token-b", 200), rights, LONG),
            ]
        })
        .await;
        assert_eq!(reason(&said), expected, "{rights:?}: {said:?}");
    }
}
