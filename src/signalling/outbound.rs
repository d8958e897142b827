//! Reply → message of the broker. Pure.

use crate::protocol::{Addressed, OutgoingReply, compose::compose};

/// The message for a reply: to the viewer's topic, with the Correlation Data of the request.
pub fn message(reply: &OutgoingReply) -> Addressed {
    let OutgoingReply { to, session, seq, reply } = reply;
    let payload = compose(reply, session.as_ref(), *seq);
    Addressed { viewer: to.viewer.clone(), payload, correlation: to.correlation.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Id,
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
                Reply::Renewed { lease_s: 600 },
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
                let to = Addressee { viewer: Id::new("anna").unwrap(), correlation: correlation.clone() };
                let sent = message(&OutgoingReply { to: to.clone(), session, seq, reply });
                assert_eq!(sent.payload, expected);
                assert_eq!((sent.viewer, sent.correlation), (to.viewer, to.correlation));
            }
        }
    }
}
