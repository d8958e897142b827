//! Reply → message of the broker. Pure.

use bytes::Bytes;

use crate::{
    jose::JoseError,
    protocol::{Addressed, OutgoingReply, compose::compose},
    trust::board_keys::BoardKeys,
};

/// The message for a reply: to the viewer's topic, with the Correlation Data of the request. `keys` signs and seals it
/// for a viewer that has a key. An error: it cannot be sealed. It is never sent in another form.
pub fn message(reply: &OutgoingReply, keys: Option<&BoardKeys>) -> Result<Addressed, JoseError> {
    let OutgoingReply { to, session, seq, reply } = reply;
    let json = compose(reply, session.as_ref(), *seq);
    let payload = match (&to.reply_key, keys) {
        (None, None) => json,
        (Some(key), Some(keys)) => Bytes::from(keys.seal_for(&to.viewer, key, &json)?),
        // A viewer without a key in a signed mode, or the reverse.
        _ => return Err(JoseError::Recipient),
    };
    Ok(Addressed { viewer: to.viewer.clone(), payload, correlation: to.correlation.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Id,
        jose::{Jws, SealingKey},
        protocol::{Addressee, Correlation, ErrorName, Refusal, Reply, SessionId},
    };

    #[test]
    fn each_reply_becomes_one_message_to_its_addressee() {
        let session = SessionId::new(&"A".repeat(22)).unwrap();
        let refusal = Reply::Error(Refusal::new(ErrorName::NoSession, "x"));
        let rows = [
            (
                Reply::Pong { n: 7 },
                Some(3),
                Some(session.clone()),
                r#"{"v":1,"type":"pong","n":7,"session":"AAAAAAAAAAAAAAAAAAAAAA","seq":3}"#,
            ),
            (
                Reply::Renewed { lease_s: 600, ice: None },
                Some(0),
                Some(session.clone()),
                r#"{"v":1,"type":"renewed","lease_s":600,"session":"AAAAAAAAAAAAAAAAAAAAAA","seq":0}"#,
            ),
            (
                refusal.clone(),
                None,
                Some(session),
                r#"{"v":1,"type":"error","code":404,"name":"no_session","message":"x","session":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
            ),
            (refusal, None, None, r#"{"v":1,"type":"error","code":404,"name":"no_session","message":"x"}"#),
        ];
        for correlation in [None, Correlation::new(b"tag")] {
            for (reply, seq, session, expected) in rows.clone() {
                let viewer = Id::new("anna").unwrap();
                let to = Addressee { viewer, reply_key: None, correlation: correlation.clone() };
                let sent = message(&OutgoingReply { to: to.clone(), session, seq, reply }, None).unwrap();
                assert_eq!(sent.payload, expected);
                assert_eq!((sent.viewer, sent.correlation), (to.viewer, to.correlation));
            }
        }
    }

    #[test]
    fn a_reply_to_a_viewer_with_a_key_is_sealed_and_nothing_ever_leaves_in_another_form() {
        let (board, viewer) = (BoardKeys::ephemeral().unwrap(), SealingKey::generate().unwrap());
        let id = Id::new("anna").unwrap();
        let reply = |reply_key| OutgoingReply {
            to: Addressee { viewer: id.clone(), reply_key, correlation: None },
            session: None,
            seq: None,
            reply: Reply::Pong { n: 7 },
        };
        let sealed = message(&reply(Some(*viewer.public())), Some(&board)).unwrap().payload;
        let signed = viewer.open(std::str::from_utf8(&sealed).unwrap(), 4096).unwrap();
        let signed = String::from_utf8(signed).unwrap();
        let json = Jws::parse(&signed, 4096).unwrap().verify_es256(board.identity()).unwrap();
        assert_eq!(json, br#"{"v":1,"type":"pong","n":7}"#);
        assert!(message(&reply(Some(*viewer.public())), None).is_err());
        assert!(message(&reply(None), Some(&board)).is_err());
    }
}
