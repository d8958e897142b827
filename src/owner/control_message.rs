//! What the commands `fanlight pair`, `viewers`, `token apply` and `privacy` say to the daemon, and its answers: one
//! JSON object a line.

use serde::{Deserialize, Serialize};

use crate::trust::deny_list::DENY_LIST_MAX;

/// The longest request, in bytes: a deny list, and some words around it.
pub const REQUEST_MAX: usize = DENY_LIST_MAX + 1024;
/// The longest answer, in bytes: the whole list of viewers.
pub const REPLY_MAX: usize = 1 << 20;

/// A request. A connection has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Opens a pairing. Its answers come until it is over.
    Pair {
        /// The name of the new viewer. `None`: the one that the viewer proposes.
        name: Option<String>,
        /// What it may do.
        rights: Vec<String>,
        /// When the permission ends, in seconds since 1970. `None`: never.
        until: Option<u64>,
        /// The URL of the viewer page. `None`: the configuration's.
        page: Option<String>,
        /// The URL of the broker for viewers. `None`: the configuration's.
        broker: Option<String>,
    },
    /// Lists the viewers.
    ViewersList {},
    /// Puts a viewer on the list.
    ViewersAdd {
        /// The point of its identity.
        key: String,
        /// Its name.
        name: String,
        /// What it may do.
        rights: Vec<String>,
        /// When the permission ends, in seconds since 1970. `None`: never.
        until: Option<u64>,
    },
    /// Takes a viewer off the list.
    ViewersRemove {
        /// Its name or id.
        viewer: String,
    },
    /// Gives a viewer another name.
    ViewersRename {
        /// Its name or id.
        viewer: String,
        /// The new name.
        name: String,
    },
    /// Gives a viewer other rights, or another end.
    ViewersRights {
        /// Its name or id.
        viewer: String,
        /// What it may do. `None`: as before.
        rights: Option<Vec<String>>,
        /// When the permission ends. `None`: as before.
        until: Option<PermissionEnd>,
    },
    /// Brings a deny list of an issuer into force.
    TokenApply {
        /// The signed list.
        list: String,
    },
    /// Sets or lifts the privacy switch.
    PrivacySet {
        /// Whether camera and microphone stop.
        on: bool,
    },
    /// Asks for the state of the privacy switch.
    PrivacyStatus {},
}

/// When a permission ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PermissionEnd {
    /// Never.
    Never,
    /// At this time, in seconds since 1970.
    At(u64),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ControlReply {
    /// The request failed. Nothing was changed, unless the text says otherwise.
    Failed {
        /// A sentence for people.
        message: String,
    },
    /// The request was done.
    Done {
        /// A sentence for people.
        message: String,
    },
    /// The viewers.
    Viewers {
        /// All of them.
        viewers: Vec<ViewerRow>,
        /// A sentence about the list, such as that its file is damaged.
        note: Option<String>,
    },
    /// The pairing is open.
    PairingOpen {
        /// The link for the viewer.
        link: String,
        /// How long it is valid, in seconds.
        seconds: u64,
        /// Whether it ended another pairing, which nobody had used.
        replaced: bool,
    },
    /// A message with a wrong secret came.
    PairingWrong {
        /// How many came.
        wrong: u32,
        /// So many end the pairing.
        max: u32,
    },
    /// A viewer is paired. This is the last answer.
    PairingDone {
        /// The viewer.
        viewer: ViewerRow,
    },
    /// The pairing is over without a viewer. This is the last answer.
    PairingEnded {
        /// A sentence for people.
        message: String,
    },
}

/// A viewer, as the commands show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewerRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub rights: Vec<String>,
    /// When the permission ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// When it came on the list, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Its last visit since the daemon started, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
    /// Whether it is in the configuration, and not in the list that commands change.
    pub configured: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back_and_anything_else_is_refused() {
        for (request, text) in [
            (ControlRequest::ViewersList {}, r#"{"command":"viewers-list"}"#),
            (
                ControlRequest::ViewersRemove { viewer: "anna".into() },
                r#"{"command":"viewers-remove","viewer":"anna"}"#,
            ),
            (
                ControlRequest::ViewersRights { viewer: "a".into(), rights: None, until: Some(PermissionEnd::Never) },
                r#"{"command":"viewers-rights","viewer":"a","until":"never"}"#,
            ),
            (
                ControlRequest::ViewersRights { viewer: "a".into(), rights: None, until: Some(PermissionEnd::At(7)) },
                r#"{"command":"viewers-rights","viewer":"a","until":{"at":7}}"#,
            ),
        ] {
            assert_eq!(serde_json::from_str::<ControlRequest>(text).unwrap(), request);
            let written = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<ControlRequest>(&written).unwrap(), request);
        }
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"command":"shutdown"}"#,
            r#"{"command":"viewers-list","more":1}"#,
            r#"{"command":"viewers-remove"}"#,
            r#"{"command":"viewers-remove","viewer":7}"#,
            r#"{"command":"viewers-remove","viewer":"a","viewer":"b"}"#,
            r#"{"command":"viewers-remove","command":"viewers-list","viewer":"a"}"#,
            r#"{"command":"viewers-remove","viewer":"a"} x"#,
            r#"{"command":"token-apply","list":["a"]}"#,
        ] {
            assert!(serde_json::from_str::<ControlRequest>(bad).is_err(), "{bad}");
        }
    }
}
