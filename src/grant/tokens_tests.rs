//! The mode `token`: who is accepted, with what, and what a token that was taken back changes.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    grant::{Grant, KeysAccess, Opened, Unanswered},
    jose::{SealingKey, SigningKey, seal},
    protocol::{Authorised, PermittedBy, Right},
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        issuer_tests::{TestIssuer, claims},
        pairing::PairingHandle,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, viewer_id},
    },
};

const NOW: Mono = Mono(600_000_000_000);
const SECONDS: u64 = 1_800_000_000;
const WALL: WallClock = WallClock { now: Duration::from_secs(SECONDS), is_synced: true };
const PAYLOAD: &str = r#"{"v":1,"type":"hello","session":"q83vEjRWeJCrze8SNFZ4kA","seq":0}"#;

/// A board that knows an issuer, and a viewer that is on no list.
struct Stage {
    grant: Grant,
    board: Arc<BoardKeys>,
    viewers: watch::Sender<Arc<ViewerList>>,
    issuers: watch::Sender<Arc<Issuers>>,
    issuer: TestIssuer,
    viewer: SigningKey,
    reply: SealingKey,
    id: Id,
}

impl Stage {
    fn new() -> Self {
        let (board, viewer, issuer) =
            (Arc::new(BoardKeys::ephemeral().unwrap()), SigningKey::generate().unwrap(), TestIssuer::new());
        let (viewers, list) = watch::channel(Arc::default());
        let (issuers, known) = watch::channel(Arc::new(issuer.known()));
        let device = Id::new("porch").unwrap();
        let access = KeysAccess::new(Arc::clone(&board), device, list, PairingHandle::default(), LastSeen::default());
        let grant = Grant::by_keys(access.with_tokens(known), &[7; 32]);
        let id = viewer_id(&viewer.public().thumbprint());
        Self { grant, board, viewers, issuers, issuer, viewer, reply: SealingKey::generate().unwrap(), id }
    }

    fn claims(&self) -> Value {
        claims(self.viewer.public(), SECONDS - 100, SECONDS + 500)
    }

    /// A message of `signer` in the name of `viewer`, with this token.
    fn message_of(&self, signer: &SigningKey, token: Option<&str>) -> String {
        let mut header = json!({
            "alg": "ES256", "typ": "fanlight-req", "kid": self.viewer.public().thumbprint().to_string(), "to": "porch",
            "nonce": self.grant.nonce(NOW), "reply": self.reply.public().to_string(),
        });
        if let Some(token) = token {
            header["token"] = token.into();
        }
        let signed = signer.sign(&header, PAYLOAD.as_bytes()).unwrap();
        seal(self.board.sealing().public(), signed.as_bytes()).unwrap()
    }

    fn open_at(&self, token: Option<&str>, wall: WallClock) -> Result<Opened, Unanswered> {
        self.grant.open(&self.id, &self.message_of(&self.viewer, token), NOW, wall)
    }

    fn open(&self, claims: &Value) -> Result<Opened, Unanswered> {
        self.open_at(Some(&self.issuer.token(claims)), WALL)
    }

    fn from(&self, claims: &Value) -> Authorised {
        match self.open(claims) {
            Ok(Opened::Message { from, text, .. }) => {
                assert_eq!(text, PAYLOAD);
                from
            }
            other => panic!("{other:?}"),
        }
    }

    fn entry(&self, rights: &[Right], until: Option<u64>) -> Arc<ViewerList> {
        let (key, name) = (*self.viewer.public(), "anna".to_owned());
        let rights = Rights::of(rights.iter().copied());
        let mut list = ViewerList::default();
        list.add(ViewerEntry { key, name, rights, until, since: 0, origin: EntryOrigin::Listed }).unwrap();
        Arc::new(list)
    }
}

#[test]
fn a_viewer_with_a_token_is_who_it_says_and_may_what_it_says() {
    let stage = Stage::new();
    assert_eq!(stage.grant.reads(&stage.id, NOW), Some(Acquaintance::Stranger));
    let from = stage.from(&stage.claims());
    assert_eq!((&from.who, from.rights), (&stage.id, Rights::of([Right::View, Right::Listen])));
    assert_eq!(from.until, Some(RightsEnd { at: NOW + Duration::from_secs(500), wall: SECONDS + 500 }));
    assert_eq!(from.reply_key, Some(*stage.reply.public()));
    let PermittedBy::Token(token) = &from.by else { panic!() };
    assert_eq!((token.id.as_str(), token.issuer, token.issued), ("4mJc1fXgQYk", stage.issuer.kid(), SECONDS - 100));
    assert_eq!(token.name.as_deref(), Some("Anna"));
    assert!(stage.grant.still_permits(&from, NOW + Duration::from_secs(499), WALL));
    assert!(!stage.grant.still_permits(&from, NOW + Duration::from_secs(500), WALL), "what comes later is too late");
}

#[test]
fn only_ids_that_can_be_those_of_viewers_are_read() {
    let stage = Stage::new();
    for (topic, expected) in
        [("q83vEjRWeJCrze8SNFZ4kA", Some(Acquaintance::Stranger)), ("anna", None), ("q83vEjRWeJCrze8SNFZ4kAA", None)]
    {
        assert_eq!(stage.grant.reads(&Id::new(topic).unwrap(), NOW), expected, "{topic}");
    }
    assert!(stage.grant.is_issuer(&stage.issuer.id()) && !stage.grant.is_issuer(&stage.id));
}

/// The contract's order: what fails early hides what would fail later, and nobody gets an answer.
#[test]
fn a_message_whose_token_is_not_accepted_is_ignored() {
    let stage = Stage::new();
    let with = |name: &str, value: Value| {
        let mut claims = stage.claims();
        claims[name] = value;
        stage.issuer.token(&claims)
    };
    let other = TestIssuer::new();
    let token = |claims: &Value| Some(stage.issuer.token(claims));
    let swapped = claims(SigningKey::generate().unwrap().public(), SECONDS - 100, SECONDS + 500);
    for (what, token, expected) in [
        ("none", None, Unanswered::Key),
        ("no token", Some("a.b.c".into()), Unanswered::Token(TokenFault::Form)),
        ("of another issuer", Some(other.token(&stage.claims())), Unanswered::Token(TokenFault::Issuer)),
        ("for another board", Some(with("aud", json!("garden"))), Unanswered::Token(TokenFault::Audience)),
        ("for another viewer", token(&swapped), Unanswered::Token(TokenFault::Viewer)),
        ("from the future", Some(with("iat", json!(SECONDS + 61))), Unanswered::Token(TokenFault::Times)),
    ] {
        assert_eq!(stage.open_at(token.as_deref(), WALL), Err(expected), "{what}");
    }
    stage.issuers.send_replace(Arc::new(stage.issuer.denying(0, &["4mJc1fXgQYk"])));
    assert_eq!(stage.open(&stage.claims()), Err(Unanswered::Token(TokenFault::Denied)));
    let ended = claims(stage.viewer.public(), SECONDS - 600, SECONDS);
    assert_eq!(stage.open(&ended), Err(Unanswered::Token(TokenFault::Denied)), "also if it has ended");
}

#[test]
fn a_token_is_of_no_use_without_the_key_of_its_viewer() {
    let stage = Stage::new();
    let (token, thief) = (stage.issuer.token(&stage.claims()), SigningKey::generate().unwrap());
    let stolen = stage.message_of(&thief, Some(&token));
    for wall in [WALL, WallClock { is_synced: false, ..WALL }] {
        assert_eq!(stage.grant.open(&stage.id, &stolen, NOW, wall), Err(Unanswered::Signature));
    }
    assert_eq!(stage.grant.reads(&stage.id, NOW), Some(Acquaintance::Stranger), "and the thief makes nobody known");
    let later = WallClock { now: WALL.now + Duration::from_secs(500), is_synced: true };
    assert_eq!(stage.grant.open(&stage.id, &stolen, NOW, later), Err(Unanswered::Signature), "no answer either");
}

#[test]
fn a_token_that_has_ended_and_a_clock_that_is_not_right_are_answered() {
    let stage = Stage::new();
    let token = stage.issuer.token(&stage.claims());
    let at = |seconds, is_synced| WallClock { now: Duration::from_secs(seconds), is_synced };
    for (wall, expected) in [
        (at(SECONDS + 500, true), ErrorName::AuthRequired),
        (at(SECONDS, false), ErrorName::ClockUnsynced),
        (at(60, false), ErrorName::ClockUnsynced),
    ] {
        let opened = stage.open_at(Some(&token), wall);
        let Ok(Opened::Refused { to, refusal, text }) = opened else { panic!("{opened:?}") };
        assert_eq!((refusal.name, refusal.code, text.as_str()), (expected, 401, PAYLOAD));
        assert_eq!((to.viewer, to.reply_key), (stage.id.clone(), Some(*stage.reply.public())));
        assert_eq!(stage.grant.reads(&stage.id, NOW), Some(Acquaintance::Stranger), "such a viewer is not accepted");
    }
    let forged = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86));
    for wall in [at(SECONDS + 500, true), at(60, false)] {
        let expected = Err(Unanswered::Token(TokenFault::Signature));
        assert_eq!(stage.open_at(Some(&forged), wall), expected, "a token that is not authentic gets no answer");
    }
}

#[test]
fn the_list_alone_counts_for_who_is_on_it() {
    let stage = Stage::new();
    stage.viewers.send_replace(stage.entry(&[Right::View], None));
    let from = stage.from(&stage.claims());
    assert_eq!((from.rights, from.until, from.by), (Rights::of([Right::View]), None, PermittedBy::List));
    let Ok(Opened::Message { from, .. }) = stage.open_at(Some("no token"), WALL) else { panic!() };
    assert_eq!(from.by, PermittedBy::List);
    // An entry that has ended is not extended by a token.
    stage.viewers.send_replace(stage.entry(&[Right::View], Some(SECONDS)));
    let Ok(Opened::Refused { refusal, .. }) = stage.open(&stage.claims()) else { panic!() };
    assert_eq!(refusal.name, ErrorName::Forbidden);
    assert!(!stage.grant.still_permits(&from, NOW, WALL));
}

#[test]
fn what_the_issuer_takes_back_holds_at_once() {
    let stage = Stage::new();
    let from = stage.from(&stage.claims());
    let viewer = stage.id.to_string();
    for (issuers, expected) in [
        (stage.issuer.known(), true),
        (stage.issuer.denying(SECONDS - 100, &["other"]), true),
        (stage.issuer.denying(0, &["4mJc1fXgQYk"]), false),
        (stage.issuer.denying(0, &[&viewer]), false),
        (stage.issuer.denying(SECONDS - 99, &[]), false),
        (TestIssuer::new().known(), false),
        (Issuers::default(), false),
    ] {
        stage.issuers.send_replace(Arc::new(issuers));
        assert_eq!(stage.grant.still_permits(&from, NOW, WALL), expected, "{:?}", stage.issuers.borrow());
        assert_eq!(stage.grant.reads(&stage.id, NOW) == Some(Acquaintance::Known), expected, "its own rate");
    }
    let mut changes = stage.grant.changes();
    stage.issuers.send_replace(Arc::new(stage.issuer.known()));
    let changed = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), changes.changed()).await });
    assert!(changed.is_ok(), "others are told");
}

#[test]
fn a_viewer_that_was_accepted_is_known_until_its_token_ends_and_no_stranger_afterwards() {
    let stage = Stage::new();
    stage.from(&stage.claims());
    let reads = |seconds| stage.grant.reads(&stage.id, NOW + Duration::from_secs(seconds));
    for (seconds, expected) in [
        (0, Acquaintance::Known),
        (499, Acquaintance::Known),
        (500, Acquaintance::Earlier),
        (1_000_000, Acquaintance::Earlier),
    ] {
        assert_eq!(reads(seconds), Some(expected), "after {seconds} s");
    }
    stage.issuers.send_replace(Arc::new(stage.issuer.denying(0, &["4mJc1fXgQYk"])));
    assert_eq!(reads(1000), Some(Acquaintance::Stranger), "its token was taken back");
    let tokens = TokenAccess::new(stage.issuers.subscribe());
    let token = TokenReference { id: Id::new("t").unwrap(), issuer: stage.issuer.kid(), issued: SECONDS, name: None };
    for n in 0..10_000 {
        tokens.note_accepted(&Id::new(&format!("{n:0>22}")).unwrap(), &token, NOW + Duration::from_secs(n));
    }
    let memory = tokens.lock();
    assert_eq!((memory.accepted.len(), memory.accepted[0].who.as_str()), (ACCEPTED_MAX, "0000000000000000008976"));
}

/// Only the first message with a token costs the signature of the issuer. What was verified is the whole text.
#[test]
fn a_token_is_verified_once() {
    let stage = Stage::new();
    let tokens = TokenAccess::new(stage.issuers.subscribe());
    let (viewer, device) = (stage.viewer.public().thumbprint(), Id::new("porch").unwrap());
    let token = stage.issuer.token(&stage.claims());
    let forged = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86));
    let check = |token: &str| tokens.check(token, &viewer, &device, NOW, WALL).map(|permission| permission.until);
    assert_eq!(check(&forged), Err(TokenFault::Signature));
    assert_eq!((check(&token).is_ok(), tokens.lock().known.len()), (true, 1));
    assert_eq!((check(&token).is_ok(), tokens.lock().known.len()), (true, 1));
    assert_eq!(check(&forged), Err(TokenFault::Signature), "another signature is another text");
    let late = WallClock { now: WALL.now + Duration::from_secs(500), is_synced: true };
    let ended = tokens.check(&token, &viewer, &device, NOW, late).unwrap();
    assert_eq!(ended.rights.unwrap_err().name, ErrorName::AuthRequired, "everything else is checked each time");
    stage.issuers.send_replace(Arc::new(stage.issuer.denying(0, &["4mJc1fXgQYk"])));
    assert_eq!(check(&token), Err(TokenFault::Denied));
    stage.issuers.send_replace(Arc::new(TestIssuer::new().known()));
    assert_eq!(check(&token), Err(TokenFault::Issuer));
    for n in 0..2 * VERIFIED_MAX {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        tokens.lock().remember_verified(hash);
        tokens.lock().remember_verified(hash);
    }
    let memory = tokens.lock();
    assert_eq!((memory.known.len(), memory.verified.len()), (VERIFIED_MAX, VERIFIED_MAX));
}

#[test]
fn a_deny_list_is_read_on_the_topic_of_its_issuer_alone() {
    let stage = Stage::new();
    let (id, list) = (stage.issuer.id(), stage.issuer.deny(2, 0, &["a"]));
    let read = |topic: &Id, text: &str| stage.grant.read_denials(topic, text.as_bytes()).map(|list| list.list().number);
    assert_eq!(read(&id, &list), Ok(2));
    assert_eq!(read(&stage.id, &list), Err(DenyListFault::Issuer));
    assert_eq!(read(&id, &TestIssuer::new().deny(2, 0, &[])), Err(DenyListFault::Issuer));
    assert_eq!(stage.grant.read_denials(&id, b"\xff"), Err(DenyListFault::Form));
    stage.issuers.send_replace(Arc::new(stage.issuer.denying(0, &["a"])));
    assert_eq!((read(&id, &list), read(&id, &stage.issuer.deny(1, 0, &["a"]))), (Ok(2), Err(DenyListFault::Old)));
}

#[test]
fn in_the_mode_keys_a_token_is_a_field_too_many() {
    let stage = Stage::new();
    let device = Id::new("porch").unwrap();
    let (board, viewers) = (Arc::clone(&stage.board), stage.viewers.subscribe());
    let access = KeysAccess::new(board, device, viewers, PairingHandle::default(), LastSeen::default());
    let grant = Grant::by_keys(access, &[7; 32]);
    let open = |token: Option<&str>| grant.open(&stage.id, &stage.message_of(&stage.viewer, token), NOW, WALL);
    let token = stage.issuer.token(&stage.claims());
    assert_eq!((open(Some(&token)), open(None)), (Err(Unanswered::Form), Err(Unanswered::Key)));
    stage.viewers.send_replace(stage.entry(&[Right::View], None));
    assert_eq!(open(Some(&token)), Err(Unanswered::Form));
    assert!(matches!(open(None), Ok(Opened::Message { .. })));
    assert!(!grant.is_issuer(&stage.issuer.id()) && grant.read_denials(&stage.issuer.id(), b"").is_err());
}
