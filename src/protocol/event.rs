//! `event`: an audit record, for viewers with the right `events` (docs/reference/audit.md). Pure.

use bytes::Bytes;
use serde::Serialize;

use crate::rights::Rights;

/// The fields of `event`. Those that do not apply are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventMessage {
    /// The number of the record since the daemon started. A receiver ignores one that is not higher than the last.
    pub n: u64,
    /// `refuse`, `start`, `end`, `pair`, `list`, `privacy` or `doorbell`.
    pub kind: &'static str,
    /// The time in seconds since 1970, if the clock is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// The viewer that the record is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    /// The id of its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The classes of both addresses, and the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Bytes of RTP that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long the session lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The name of the refusal or of the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What changed in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<&'static str>,
    /// Refusals of this viewer before this one that got no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
}

/// The message on `evt` when somebody rings the doorbell of a board in the mode `broker`. `at`: seconds since 1970, if
/// the clock is right.
pub fn doorbell(at: Option<u64>) -> Bytes {
    let at = at.map(|at| format!(",\"at\":{at}")).unwrap_or_default();
    format!("{{\"v\":1,\"type\":\"doorbell\"{at}}}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_its_time_if_the_clock_is_right() {
        assert_eq!(doorbell(None), r#"{"v":1,"type":"doorbell"}"#);
        assert_eq!(doorbell(Some(1_767_225_600)), r#"{"v":1,"type":"doorbell","at":1767225600}"#);
    }
}
