//! The mode `keys`: what the list of viewers says holds at once, and strangers learn nothing.

use super::*;
use crate::{
    grant::KeysAccess,
    jose::{SealingKey, SigningKey},
    protocol::Wanted,
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        pairing::PairingHandle,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList},
    },
};

/// Sessions in the mode `keys`, and one viewer that is on the list.
struct KeysHouse {
    sessions: Sessions,
    said: SentReplies,
    viewers: watch::Sender<Arc<ViewerList>>,
    entry: ViewerEntry,
    reply: SealingKey,
    _devices: Devices,
}

fn keys_house() -> KeysHouse {
    let (mut sessions, said, _, _, _, devices) = sessions(Limits::default(), AudioSource::Tone);
    let key = *SigningKey::generate().unwrap().public();
    let rights = Rights::of([Right::View, Right::Listen]);
    let entry = ViewerEntry { key, name: "anna".into(), rights, until: None, since: 0, origin: EntryOrigin::Listed };
    let (viewers, following) = watch::channel(list(&[&entry]));
    let board = Arc::new(BoardKeys::ephemeral().unwrap());
    let access =
        KeysAccess::new(board, Id::new("porch").unwrap(), following, PairingHandle::default(), LastSeen::default());
    sessions.grant = Arc::new(Grant::by_keys(access, &[7; 32]));
    KeysHouse { sessions, said, viewers, entry, reply: SealingKey::generate().unwrap(), _devices: devices }
}

fn list(entries: &[&ViewerEntry]) -> Arc<ViewerList> {
    let mut list = ViewerList::default();
    entries.iter().for_each(|entry| list.add((*entry).clone()).unwrap());
    Arc::new(list)
}

impl KeysHouse {
    fn request(&self, session: char, request: Request) -> IncomingRequest {
        let session = SessionId::new(&session.to_string().repeat(22)).unwrap();
        let from = Authorised {
            who: self.entry.id(),
            rights: self.entry.rights,
            until: None,
            reply_key: Some(*self.reply.public()),
        };
        IncomingRequest { from, head: RequestHead { session, seq: 0 }, request, correlation: None }
    }
}

#[tokio::test]
async fn a_viewer_that_loses_a_right_or_is_removed_loses_its_session() {
    let media = Wanted { video: false, audio: true, talk: false };
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
    let media = Wanted { video: false, audio: true, talk: false };
    let requests = [Request::Request { media }, Request::Hello].map(|request| house.request('A', request));
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
    let media = Wanted { video: false, audio: true, talk: false };
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
    let request = house.request('A', Request::Hello);
    house.sessions.handle(request, Mono::now());
    let reply = house.said.0.try_recv().unwrap().reply;
    let Reply::Welcome { details: Some(details), .. } = reply else { panic!("{reply:?}") };
    assert_eq!((details.status.viewers, details.rights), (0, Rights::of([Right::View, Right::Listen])));
    let mut plain = house.request('B', Request::Hello);
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
