//! A viewer whose permission has ended: it is told so, and the owner finds a record.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::{
    audit::AuditLog,
    config::Id,
    grant::{Grant, KeysAccess},
    jose::{SealingKey, SigningKey, seal},
    message_limits::MessageLimits,
    protocol::{ErrorName, Reply},
    rights::{Right, Rights},
    trust::{
        LastSeen,
        pairing::PairingHandle,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList},
    },
};

const SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn a_viewer_whose_permission_has_ended_is_refused_at_the_rate_of_refusals_and_a_stranger_is_not_answered() {
    let (board, key, reply) =
        (Arc::new(BoardKeys::ephemeral().unwrap()), SigningKey::generate().unwrap(), SealingKey::generate().unwrap());
    let rights = Rights::of([Right::View]);
    let (name, origin) = ("anna".to_owned(), EntryOrigin::Listed);
    let entry = ViewerEntry { key: *key.public(), name, rights, until: Some(1), since: 0, origin };
    let viewer = entry.id();
    let mut list = ViewerList::default();
    list.add(entry).unwrap();
    let (_viewers, following) = watch::channel(Arc::new(list));
    let device = Id::new("porch").unwrap();
    let keys = KeysAccess::new(Arc::clone(&board), device, following, PairingHandle::default(), LastSeen::default());
    let grant = Arc::new(Grant::by_keys(keys, &[7; 32]));
    let (audit, now) = (AuditLog::kept().0, Mono(600_000_000_000));
    let inbound = Inbound::new(Arc::clone(&grant), MessageLimits::new(20, now), audit.clone());
    let say = |signer: &SigningKey| {
        let header = json!({
            "alg": "ES256", "typ": "fanlight-req", "kid": key.public().thumbprint().to_string(), "to": "porch",
            "nonce": grant.nonce(now), "reply": reply.public().to_string(),
        });
        let text = format!(r#"{{"v":1,"type":"hello","session":"{SESSION}","seq":0}}"#);
        let signed = signer.sign(&header, text.as_bytes()).unwrap();
        let payload = seal(board.sealing().public(), signed.as_bytes()).unwrap().into();
        inbound.receive(LinkEvent::Message { viewer: viewer.clone(), payload, correlation: None }, now)
    };
    assert_eq!(say(&SigningKey::generate().unwrap()), Received::Nothing);
    assert!(audit.taken().is_empty());
    // Where the clock is not right, nobody knows whether it has ended.
    let expected = if crate::clock::is_synced() { ErrorName::Forbidden } else { ErrorName::ClockUnsynced };
    let Received::Refusal(refusal) = say(&key) else { panic!() };
    let Reply::Error(error) = &refusal.reply else { panic!("{refusal:?}") };
    assert_eq!((error.name, refusal.to.reply_key), (expected, Some(*reply.public())));
    assert_eq!(refusal.session.as_ref().map(|it| it.as_str()), Some(SESSION));
    let records = audit.taken();
    let record = records.first().unwrap();
    assert_eq!((record.kind.word(), record.name.as_deref()), ("refuse", Some("anna")));
    assert_eq!(record.reason.as_deref(), Some(&*expected.to_string()));
    let answered = (0..50).filter(|_| say(&key) != Received::Nothing).count();
    assert!((1..=10).contains(&answered), "{answered}");
}
