//! The checks of the mode `keys`, one fault at a time.

use serde_json::{Value, json};

use super::*;
use crate::{
    jose::{SealingKey, SigningKey, seal},
    protocol::RightsEnd,
    rights::{Right, Rights},
    trust::{LastSeen, viewer_list::EntryOrigin},
};

const NOW: Mono = Mono(600_000_000_000);
const WALL: WallClock = WallClock { now: Duration::from_secs(1_800_000_000), is_synced: true };
const PAYLOAD: &str = r#"{"v":1,"type":"hello","session":"q83vEjRWeJCrze8SNFZ4kA","seq":0}"#;

/// A board, and a viewer that is on its list.
struct Stage {
    access: KeysAccess,
    board: Arc<BoardKeys>,
    viewers: watch::Sender<Arc<ViewerList>>,
    nonces: Nonces,
    viewer: SigningKey,
    reply: SealingKey,
    id: Id,
}

fn entry(key: PublicKey) -> ViewerEntry {
    let rights = Rights::of([Right::View, Right::Listen]);
    ViewerEntry { key, name: "anna".into(), rights, until: None, since: 0, origin: EntryOrigin::Listed }
}

fn list(entries: impl IntoIterator<Item = ViewerEntry>) -> Arc<ViewerList> {
    let mut list = ViewerList::default();
    entries.into_iter().for_each(|entry| list.add(entry).unwrap());
    Arc::new(list)
}

impl Stage {
    fn new() -> Self {
        let (board, viewer) = (Arc::new(BoardKeys::ephemeral().unwrap()), SigningKey::generate().unwrap());
        let (viewers, following) = watch::channel(list([entry(*viewer.public())]));
        let device = Id::new("porch").unwrap();
        let access =
            KeysAccess::new(Arc::clone(&board), device, following, PairingHandle::default(), LastSeen::default());
        let (nonces, id) = (Nonces::new(&[7; 32]), viewer_id(&viewer.public().thumbprint()));
        Self { access, board, viewers, nonces, viewer, reply: SealingKey::generate().unwrap(), id }
    }

    fn header(&self) -> Value {
        json!({
            "alg": "ES256", "typ": "fanlight-req", "kid": self.viewer.public().thumbprint().to_string(), "to": "porch",
            "nonce": self.nonces.at(NOW), "reply": self.reply.public().to_string(),
        })
    }

    fn message(&self, header: &Value) -> String {
        let signed = self.viewer.sign(header, PAYLOAD.as_bytes()).unwrap();
        seal(self.board.sealing().public(), signed.as_bytes()).unwrap()
    }

    fn open(&self, sealed: &str) -> Result<Opened, Unanswered> {
        self.access.open(&self.id, sealed, &self.nonces, NOW, WALL)
    }
}

/// The header with another value of a field, or without the field (`Value::Null`).
fn with(mut header: Value, field: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(header.as_object_mut().unwrap().remove(field)),
        value => header[field] = value,
    }
    header
}

#[test]
fn a_message_of_a_viewer_on_the_list_is_opened() {
    let stage = Stage::new();
    let opened = stage.open(&stage.message(&stage.header()));
    let Ok(Opened::Message { from, text, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!((from.who, text.as_str()), (stage.id.clone(), PAYLOAD));
    assert_eq!((from.rights, from.until), (Rights::of([Right::View, Right::Listen]), None));
    assert_eq!(from.reply_key, Some(*stage.reply.public()));
    assert_eq!(stage.access.reads(&stage.id, NOW), Some(Acquaintance::Known));
    assert_eq!(stage.access.reads(&Id::new("stranger").unwrap(), NOW), None);
}

#[test]
fn a_header_with_one_fault_is_ignored() {
    let stage = Stage::new();
    let (other, header) = (SigningKey::generate().unwrap(), stage.header());
    let text = |text: &str| Value::from(text);
    for (field, value, why) in [
        ("typ", text("fanlight-rsp"), Unanswered::Form),
        ("typ", text("fanlight-status"), Unanswered::Form),
        ("typ", Value::Null, Unanswered::Form),
        ("typ", json!(["fanlight-req"]), Unanswered::Form),
        ("to", text("garden"), Unanswered::Form),
        ("to", text("Porch"), Unanswered::Form),
        ("to", Value::Null, Unanswered::Form),
        ("kid", Value::from(other.public().thumbprint().to_string()), Unanswered::Form),
        ("kid", text("short"), Unanswered::Form),
        ("kid", Value::Null, Unanswered::Form),
        ("nonce", Value::from(stage.nonces.at(Mono(0))), Unanswered::Nonce),
        ("nonce", Value::from(stage.nonces.at(Mono(NOW.0 + 60_000_000_000))), Unanswered::Nonce),
        ("nonce", Value::from(Nonces::new(&[8; 32]).at(NOW)), Unanswered::Nonce),
        ("nonce", text(""), Unanswered::Nonce),
        ("nonce", json!(0), Unanswered::Form),
        ("nonce", Value::Null, Unanswered::Form),
        ("reply", text("BAAA"), Unanswered::Form),
        ("reply", Value::Null, Unanswered::Form),
        ("more", json!(1), Unanswered::Form),
    ] {
        let message = stage.message(&with(header.clone(), field, value.clone()));
        assert_eq!(stage.open(&message), Err(why), "{field}: {value}");
    }
}

#[test]
fn what_another_key_signed_sealed_or_replaced_is_ignored() {
    let stage = Stage::new();
    let (other, elsewhere) = (SigningKey::generate().unwrap(), SealingKey::generate().unwrap());
    let to_board = |text: &str| seal(stage.board.sealing().public(), text.as_bytes()).unwrap();
    let header = stage.header();
    let signed = stage.viewer.sign(&header, PAYLOAD.as_bytes()).unwrap();
    let forged = other.sign(&header, PAYLOAD.as_bytes()).unwrap();
    let (front, _) = signed.rsplit_once('.').unwrap();
    let (forged_front, stolen) = (forged.rsplit_once('.').unwrap().0, signed.rsplit_once('.').unwrap().1);
    let by_board = stage.board.announce(crate::trust::board_keys::Announcement::Status, b"{}").unwrap();
    for (what, message, why) in [
        ("signed by another key", to_board(&forged), Unanswered::Signature),
        ("another signature", to_board(&format!("{front}.{}", "A".repeat(86))), Unanswered::Signature),
        ("the board's own message", to_board(&by_board), Unanswered::Form),
        ("sealed to another key", seal(elsewhere.public(), signed.as_bytes()).unwrap(), Unanswered::Seal),
        ("sealed twice", to_board(&to_board(&signed)), Unanswered::Form),
        ("signed and not sealed", signed.clone(), Unanswered::Seal),
        ("plain JSON", PAYLOAD.to_owned(), Unanswered::Seal),
        ("sealed plain JSON", to_board(PAYLOAD), Unanswered::Form),
        ("sealed nothing", to_board(""), Unanswered::Form),
        ("nothing", String::new(), Unanswered::Seal),
    ] {
        assert_eq!(stage.open(&message), Err(why), "{what}");
    }
    // Both texts are the same up to the signature, which only its own key can make.
    assert_eq!(forged_front, front);
    assert!(stage.open(&to_board(&format!("{forged_front}.{stolen}"))).is_ok());
}

#[test]
fn a_viewer_that_is_removed_is_not_answered_and_one_whose_time_is_over_is_refused() {
    let stage = Stage::new();
    let message = stage.message(&stage.header());
    let one = entry(*stage.viewer.public());
    let now = WALL.now.as_secs();
    let until = |until| list([ViewerEntry { until: Some(until), ..one.clone() }]);
    stage.viewers.send_replace(until(now + 10));
    let Ok(Opened::Message { from, .. }) = stage.open(&message) else { panic!() };
    assert_eq!(from.until, Some(RightsEnd { at: NOW + Duration::from_secs(10), wall: now + 10 }));
    for (list, why) in [
        (until(now), None),
        (until(0), None),
        (list([]), Some(Unanswered::Key)),
        (list([entry(*SigningKey::generate().unwrap().public())]), Some(Unanswered::Key)),
    ] {
        stage.viewers.send_replace(list);
        match (stage.open(&message), why) {
            (Err(said), Some(why)) => assert_eq!(said, why),
            (Ok(Opened::Refused { to, refusal, text }), None) => {
                assert_eq!((refusal.name, text.as_str()), (ErrorName::Forbidden, PAYLOAD));
                assert_eq!((to.viewer, to.reply_key), (stage.id.clone(), Some(*stage.reply.public())));
            }
            other => panic!("{other:?}"),
        }
        assert!(!stage.access.still_permits(&from, WALL));
    }
}

#[test]
fn only_the_viewer_itself_learns_that_its_time_is_over() {
    let stage = Stage::new();
    let mut ended = entry(*stage.viewer.public());
    ended.until = Some(WALL.now.as_secs());
    stage.viewers.send_replace(list([ended]));
    let forged = SigningKey::generate().unwrap().sign(&stage.header(), PAYLOAD.as_bytes()).unwrap();
    let forged = seal(stage.board.sealing().public(), forged.as_bytes()).unwrap();
    assert_eq!(stage.open(&forged), Err(Unanswered::Signature));
}

#[test]
fn a_permission_with_an_end_needs_a_clock_that_is_right() {
    let stage = Stage::new();
    let unsynced = WallClock { now: Duration::from_secs(60), is_synced: false };
    let open = || stage.access.open(&stage.id, &stage.message(&stage.header()), &stage.nonces, NOW, unsynced);
    assert!(matches!(open(), Ok(Opened::Message { .. })), "without an end, the clock does not matter");
    stage.viewers.send_replace(list([ViewerEntry { until: Some(2_000_000_000), ..entry(*stage.viewer.public()) }]));
    let Ok(Opened::Refused { to, refusal, .. }) = open() else { panic!() };
    assert_eq!((refusal.name, to.reply_key), (ErrorName::ClockUnsynced, Some(*stage.reply.public())));
}

#[test]
fn a_session_goes_on_only_while_its_viewer_has_all_the_rights_that_it_began_with() {
    use Right::{Listen, Talk, View};
    let stage = Stage::new();
    let one = entry(*stage.viewer.public());
    let from = |rights: &[Right], until| Authorised {
        who: stage.id.clone(),
        rights: Rights::of(rights.iter().copied()),
        until,
        reply_key: Some(*stage.reply.public()),
        by: PermittedBy::List,
    };
    let with = |rights: &[Right], until| {
        list([ViewerEntry { rights: Rights::of(rights.iter().copied()), until, ..one.clone() }])
    };
    let soon = WALL.now.as_secs() + 100;
    let at_soon = Some(RightsEnd { at: NOW + Duration::from_secs(100), wall: soon });
    for (from, list, goes_on) in [
        (from(&[View, Listen], None), with(&[View, Listen], None), true),
        (from(&[View], None), with(&[View, Listen, Talk], None), true),
        (from(&[View, Listen], None), with(&[View], None), false),
        (from(&[View], None), with(&[View], Some(soon)), false),
        (from(&[View], at_soon), with(&[View], Some(soon)), true),
        (from(&[View], at_soon), with(&[View], Some(soon + 1000)), true),
        (from(&[View], at_soon), with(&[View], None), true),
        (from(&[View], at_soon), with(&[View], Some(soon - 90)), false),
    ] {
        stage.viewers.send_replace(list);
        assert_eq!(stage.access.still_permits(&from, WALL), goes_on, "{from:?}");
    }
}

/// NTP moves the wall clock. What the owner wrote is compared, not what is left of it.
#[test]
fn an_end_that_comes_earlier_counts_however_near_it_is_and_a_clock_that_moves_changes_nothing() {
    let stage = Stage::new();
    let one = entry(*stage.viewer.public());
    let now = WALL.now.as_secs();
    let ends = |until| list([ViewerEntry { until, ..one.clone() }]);
    stage.viewers.send_replace(ends(Some(now + 50)));
    let Ok(Opened::Message { from, .. }) = stage.open(&stage.message(&stage.header())) else { panic!() };
    for moved in [0, 3, 30] {
        for wall in [WALL.now + Duration::from_secs(moved), WALL.now.saturating_sub(Duration::from_secs(moved * 100))] {
            let wall = WallClock { now: wall, is_synced: true };
            for (until, goes_on) in
                [(Some(50), true), (Some(51), true), (None, true), (Some(49), false), (Some(10), false)]
            {
                stage.viewers.send_replace(ends(until.map(|until| now + until)));
                assert_eq!(stage.access.still_permits(&from, wall), goes_on, "{until:?} {wall:?}");
            }
        }
    }
}

/// ECDSA signatures have twins (r, n − s). A twin is no other message.
#[test]
fn the_same_message_has_one_tag_and_another_message_has_another() {
    let stage = Stage::new();
    let opened = |sealed: String| match stage.open(&sealed) {
        Ok(Opened::Message { tag, .. }) => tag,
        other => panic!("{other:?}"),
    };
    let signed = stage.viewer.sign(&stage.header(), PAYLOAD.as_bytes()).unwrap();
    let sealed = || seal(stage.board.sealing().public(), signed.as_bytes()).unwrap();
    assert_eq!(opened(sealed()), opened(sealed()), "sealed twice, it is the same message");
    assert_ne!(opened(sealed()), opened(stage.message(&stage.header())), "a new signature makes a new message");
    let s = signed.len() - 40;
    let mut twin = signed.clone().into_bytes();
    twin[s] = if twin[s] == b'A' { b'B' } else { b'A' };
    assert_eq!(tag(&signed), tag(std::str::from_utf8(&twin).unwrap()));
}
