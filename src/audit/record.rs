//! One audit record, and its three forms: fields of the journal, a line of the log, and the message `event`. Pure.
//!
//! Nothing in a record can hold a token, an SDP, a key or an address: its texts are ids, names, and words of the
//! protocol.

use std::fmt::Write as _;

use crate::{
    config::Id,
    log::Outside,
    protocol::{ErrorName, EventMessage, Rights, SessionId},
};

/// How much of a session's id is written, in characters.
const SESSION: usize = 8;
/// How the name of each field begins.
const PREFIX: &str = "FANLIGHT_";

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditKind {
    /// A viewer that is known was refused.
    Refuse,
    /// A session began.
    Start,
    /// A session ended.
    End,
    /// A viewer was paired, or a pairing ended without one.
    Pair,
    /// A list changed.
    List,
    /// The privacy switch was set or lifted.
    Privacy,
    /// A viewer got a snapshot.
    Snapshot,
    /// Somebody rang the doorbell.
    Doorbell,
}

impl AuditKind {
    /// Its name in the journal and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Start => "start",
            Self::End => "end",
            Self::Pair => "pair",
            Self::List => "list",
            Self::Privacy => "privacy",
            Self::Snapshot => "snapshot",
            Self::Doorbell => "doorbell",
        }
    }
}

/// What changed in the list of viewers or of denied tokens, or at the privacy switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditChange {
    /// A viewer came on the list.
    Add,
    /// A viewer was taken off.
    Remove,
    /// A viewer got another name.
    Rename,
    /// A viewer got other rights, or another end.
    Rights,
    /// A deny list of an issuer came into force. Its viewer is the issuer.
    Deny,
    /// The configuration has a viewer now, or no longer, or in another way.
    Configured,
    /// The privacy switch was set.
    On,
    /// The privacy switch was lifted.
    Off,
}

impl AuditChange {
    /// Its name in the journal and in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Rights => "rights",
            Self::Deny => "deny",
            Self::Configured => "configured",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// Something that the owner should be able to look up later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// What happened.
    pub kind: AuditKind,
    /// The viewer. `None`: a pairing without one, or the owner used the privacy switch.
    pub viewer: Option<Id>,
    /// Its name for people, from the list or its token.
    pub name: Option<String>,
    /// The session.
    pub session: Option<SessionId>,
    /// What the viewer may do.
    pub rights: Option<Rights>,
    /// The id (`jti`) of its token, in the mode `token`.
    pub token: Option<String>,
    /// The classes of both addresses, and the protocol: `host-srflx udp`.
    pub route: Option<String>,
    /// Bytes of RTP that were sent.
    pub bytes: Option<u64>,
    /// How long the session lasted.
    pub seconds: Option<u64>,
    /// The name of the refusal or of the end; of the privacy switch, who used it.
    pub reason: Option<String>,
    /// What changed in a list, or at the privacy switch.
    pub change: Option<AuditChange>,
    /// Refusals of this viewer before this one that got no record.
    pub left_out: Option<u64>,
}

impl AuditRecord {
    fn new(kind: AuditKind, viewer: Option<Id>, name: Option<String>) -> Self {
        Self {
            kind,
            viewer,
            name,
            session: None,
            rights: None,
            token: None,
            route: None,
            bytes: None,
            seconds: None,
            reason: None,
            change: None,
            left_out: None,
        }
    }

    /// A viewer that is known was refused.
    pub fn refused(viewer: Id, name: Option<String>, why: ErrorName) -> Self {
        Self { reason: Some(why.to_string()), ..Self::new(AuditKind::Refuse, Some(viewer), name) }
    }

    /// A session began. `ended` makes the record of its end from this one.
    pub fn started(viewer: Id, name: Option<String>, session: SessionId, rights: Rights) -> Self {
        Self { session: Some(session), rights: Some(rights), ..Self::new(AuditKind::Start, Some(viewer), name) }
    }

    /// The session that began with this record ended. `route`: as the connection names it; its server is left out.
    pub fn ended(&self, route: Option<&str>, bytes: u64, seconds: u64, reason: &str) -> Self {
        let route = route.map(|route| route.split(" by ").next().unwrap_or_default());
        Self {
            kind: AuditKind::End,
            route: route.filter(|route| !route.is_empty()).map(str::to_owned),
            bytes: Some(bytes),
            seconds: Some(seconds),
            reason: Some(reason.to_owned()),
            ..self.clone()
        }
    }

    /// The session that this record was meant for ended before it began: nothing was answered but a refusal.
    pub fn never_began(&self, reason: &str) -> Self {
        let (viewer, name) = (self.viewer.clone(), self.name.clone());
        Self { reason: Some(reason.to_owned()), ..Self::new(AuditKind::Refuse, viewer, name) }
    }

    /// A viewer was paired.
    pub fn paired(viewer: Id, name: String, rights: Rights) -> Self {
        Self { rights: Some(rights), ..Self::new(AuditKind::Pair, Some(viewer), Some(name)) }
    }

    /// A pairing ended without a viewer. `name`: the one that the owner had chosen for it.
    pub fn unpaired(name: Option<String>, rights: Rights, reason: &str) -> Self {
        Self { rights: Some(rights), reason: Some(reason.to_owned()), ..Self::new(AuditKind::Pair, None, name) }
    }

    /// A list changed. `rights`: `None` if the viewer is no longer on it.
    pub fn listed(viewer: Id, name: Option<String>, rights: Option<Rights>, change: AuditChange) -> Self {
        Self { rights, change: Some(change), ..Self::new(AuditKind::List, Some(viewer), name) }
    }

    /// The privacy switch was set or lifted. `viewer`: `None` if no viewer did it. `by`: what did it.
    pub fn privacy(viewer: Option<Id>, name: Option<String>, is_on: bool, by: &str) -> Self {
        let change = Some(if is_on { AuditChange::On } else { AuditChange::Off });
        Self { reason: Some(by.to_owned()), change, ..Self::new(AuditKind::Privacy, viewer, name) }
    }

    /// A viewer got a snapshot outside of a session.
    pub fn snapshot(viewer: Id, name: Option<String>) -> Self {
        Self::new(AuditKind::Snapshot, Some(viewer), name)
    }

    /// The viewer of the session that began with this record got a snapshot.
    pub fn with_snapshot(&self) -> Self {
        Self { kind: AuditKind::Snapshot, rights: None, ..self.clone() }
    }

    /// Somebody rang the doorbell.
    pub fn doorbell() -> Self {
        Self::new(AuditKind::Doorbell, None, None)
    }

    /// The fields, without the prefix `FANLIGHT_`. Each value is one line.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.as_ref().map(|value| Outside(value).to_string());
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let all = [
            ("AUDIT", Some(self.kind.word().to_owned())),
            ("VIEWER", self.viewer.as_ref().map(Id::to_string)),
            ("NAME", text(&self.name)),
            ("SESSION", self.session.as_ref().map(|session| session.as_str().chars().take(SESSION).collect())),
            ("RIGHTS", self.rights.map(|rights| rights.to_string())),
            ("TOKEN", text(&self.token)),
            ("ROUTE", text(&self.route)),
            ("BYTES", number(self.bytes)),
            ("SECONDS", number(self.seconds)),
            ("REASON", text(&self.reason)),
            ("CHANGE", self.change.map(|change| change.word().to_owned())),
            ("LEFT_OUT", number(self.left_out)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The sentence for people.
    pub fn message(&self) -> String {
        let name = self.name.as_ref().map(|name| quoted(&Outside(name).to_string()));
        let who = match (&self.viewer, name) {
            (Some(issuer), _) if self.change == Some(AuditChange::Deny) => format!("the issuer {issuer}"),
            (Some(viewer), Some(name)) => format!("viewer {viewer}, {name},"),
            (Some(viewer), None) => format!("viewer {viewer}"),
            (None, _) if self.kind == AuditKind::Privacy && self.reason.as_deref() == Some("button") => {
                "the button at the board".to_owned()
            }
            (None, _) if self.kind == AuditKind::Privacy => "the owner".to_owned(),
            (None, Some(name)) => format!("a pairing for {name}"),
            (None, None) => "a pairing".to_owned(),
        };
        let rights = self.rights.unwrap_or_default();
        let reason = Outside(self.reason.as_deref().unwrap_or_default());
        match (self.kind, self.change) {
            (AuditKind::Refuse, _) => format!("{who} was refused: {reason}"),
            (AuditKind::Start, _) => format!("{who} began to watch, and may {rights}"),
            (AuditKind::End, _) => self.ending(&who),
            (AuditKind::Pair, _) if self.viewer.is_some() => format!("{who} was paired, and may {rights}"),
            (AuditKind::Pair, _) => format!("{who} ended without a viewer: {reason}"),
            (AuditKind::Privacy, Some(AuditChange::On)) => format!("{who} stopped camera and microphone for privacy"),
            (AuditKind::Privacy, _) => format!("{who} lifted the privacy switch"),
            (AuditKind::Snapshot, _) => format!("{who} took a snapshot"),
            (AuditKind::Doorbell, _) => "somebody rang the doorbell".to_owned(),
            (AuditKind::List, Some(AuditChange::Add)) => format!("{who} was added to the list, and may {rights}"),
            (AuditKind::List, Some(AuditChange::Remove)) => format!("{who} was removed from the list"),
            (AuditKind::List, Some(AuditChange::Rename)) => format!("{who} has a new name on the list"),
            (AuditKind::List, Some(AuditChange::Deny)) => format!("{who} has a new deny list"),
            (AuditKind::List, Some(AuditChange::Configured)) if self.rights.is_none() => {
                format!("{who} was removed from the configuration")
            }
            (AuditKind::List, Some(AuditChange::Configured)) => format!("{who} may {rights} by the configuration"),
            (AuditKind::List, _) => format!("{who} may {rights} now"),
        }
    }

    fn ending(&self, who: &str) -> String {
        let reason = Outside(self.reason.as_deref().unwrap_or_default());
        let route = self.route.as_deref().map_or_else(|| "no route".to_owned(), |route| Outside(route).to_string());
        let (seconds, bytes) = (self.seconds.unwrap_or_default(), self.bytes.unwrap_or_default());
        format!("{who} no longer watches, after {seconds} s: {reason}; {route}, {bytes} bytes sent")
    }

    /// The entry of the journal, as its native protocol has it. No value has a line end, so each field is one line.
    pub fn journal_entry(&self) -> Vec<u8> {
        let mut entry = format!("MESSAGE={}\nPRIORITY=6\nSYSLOG_IDENTIFIER=fanlight\n", self.message());
        for (name, value) in self.fields() {
            // Writing to a String never fails.
            let _ = writeln!(entry, "{PREFIX}{name}={value}");
        }
        entry.into_bytes()
    }

    /// The line of the log: the sentence, and the same fields. No name can look like a field of its own.
    pub fn log_line(&self) -> String {
        let plain = |text: &str| text.replace(PREFIX, "FANLIGHT-");
        let mut line = format!("audit: {};", plain(&self.message()));
        for (name, value) in self.fields() {
            let value = plain(&value);
            let _ = match value.contains([' ', '"', '=']) || value.is_empty() {
                true => write!(line, " {PREFIX}{name}={}", quoted(&value)),
                false => write!(line, " {PREFIX}{name}={value}"),
            };
        }
        line
    }

    /// The message for viewers with the right `events`. `n`: its number. `at`: the time, if the clock is right.
    pub fn event(&self, n: u64, at: Option<u64>) -> EventMessage {
        EventMessage {
            n,
            kind: self.kind.word(),
            at,
            viewer: self.viewer.as_ref().map(Id::to_string),
            name: self.name.clone(),
            rights: self.rights,
            token: self.token.clone(),
            route: self.route.clone(),
            bytes: self.bytes,
            seconds: self.seconds,
            reason: self.reason.clone(),
            change: self.change.map(AuditChange::word),
            left_out: self.left_out,
        }
    }
}

/// A text in quotes, and no quote within it that could end it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
