//! Reply → JSON.

use bytes::Bytes;
use serde::Serialize;

use super::{Reply, SessionId, VERSION};

#[derive(Serialize)]
struct Enveloped<'a> {
    v: u32,
    #[serde(flatten)]
    reply: &'a Reply,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// Composes a message. Without `seq` it is outside the order of its session: `welcome`, and refusals that do not come
/// from a running session.
pub fn compose(reply: &Reply, session: Option<&SessionId>, seq: Option<u64>) -> Bytes {
    let message = Enveloped { v: VERSION, reply, session, seq };
    // A reply has only strings, numbers, lists and objects with text keys, so this does not fail.
    Bytes::from(serde_json::to_vec(&message).expect("a reply is always JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ErrorName, Refusal};

    #[test]
    fn the_envelope_goes_around_every_reply() {
        let session = SessionId::new("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(
            compose(&Reply::Pong { n: 7 }, Some(&session), Some(3)),
            r#"{"v":1,"type":"pong","n":7,"session":"AAAAAAAAAAAAAAAAAAAAAA","seq":3}"#
        );
        let refusal = Refusal::new(ErrorName::NoSession, "x");
        assert_eq!(
            compose(&Reply::Error(refusal), None, None),
            r#"{"v":1,"type":"error","code":404,"name":"no_session","message":"x"}"#
        );
    }
}
