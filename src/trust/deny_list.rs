//! The deny list of an issuer (tokens.md, "The deny list"): which tokens it has taken back before their end. Pure.
//!
//! A list can only grow, so that nobody can bring an old one back.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::Deserialize;

use super::{issuers::Issuer, viewer_list::viewer_id};
use crate::{
    config::Id,
    jose::{IssuerKey, Jws, Thumbprint},
    protocol::{envelope::SEALED_MAX, json},
};

/// The longest signed list, in bytes: what a message of MQTT may have.
pub const DENY_LIST_MAX: usize = SEALED_MAX;
/// The type in the header of a list.
pub const DENY_LIST_TYPE: &str = "fanlight-deny";
/// The most ids of a list.
pub const DENIED_MAX: usize = 1000;

/// The ids of tokens and viewers that are refused, and a time before which all are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList {
    /// Rises with each list. 0: there was none yet.
    pub number: u64,
    /// Tokens that were issued before this time are refused, in seconds since 1970. 0: none.
    pub before: u64,
    /// Ids of tokens, and of viewers.
    pub ids: BTreeSet<Id>,
}

/// A list that its issuer has signed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedDenyList {
    issuer: Id,
    list: Arc<DenyList>,
    text: String,
}

/// Why a text is no list of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DenyListFault {
    /// It is no list.
    #[error("it has another form, or a field that is missing or wrong")]
    Form,
    /// Another key has signed it.
    #[error("it is by another issuer")]
    Issuer,
    /// It is not newer than the one that is known.
    #[error("it is not newer than the list that is known")]
    Old,
    /// Its signature is wrong.
    #[error("its signature is wrong")]
    Signature,
}

/// Why a list does not follow another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyListOrder {
    /// Its number is not higher.
    Number {
        /// The number of the list that is known.
        known: u64,
        /// Its own number.
        new: u64,
    },
    /// This id is missing.
    Id(Id),
    /// `before` is earlier.
    Before,
}

impl fmt::Display for DenyListOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { known, new } => {
                write!(f, "its number {new} is not higher than {known}, the number of the list that is in force")
            }
            Self::Id(id) => write!(f, "{id} is missing, which is on the list that is in force: a list can only grow"),
            Self::Before => f.write_str("its time \"before\" is earlier than that of the list that is in force"),
        }
    }
}

/// The protected header. Its fields are all that may be in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DenyHeader {
    /// Checked with the key.
    #[serde(rename = "alg")]
    _alg: String,
    typ: String,
    kid: Thumbprint,
}

impl DenyList {
    /// Reads the content of a list. `None`: a field is missing, of the wrong type, or out of bounds. Unknown ones are
    /// ignored.
    pub fn read(text: &str) -> Option<Self> {
        let fields = json::object(text).ok()?;
        let ids = fields.get("ids")?.as_array().filter(|ids| ids.len() <= DENIED_MAX)?;
        Some(Self {
            number: fields.get("number")?.as_u64().filter(|number| *number > 0)?,
            before: fields.get("before")?.as_u64()?,
            ids: ids.iter().map(|id| Id::new(id.as_str()?)).collect::<Option<_>>()?,
        })
    }

    /// The content of the list as JSON.
    pub fn to_json(&self) -> String {
        let ids: Vec<&str> = self.ids.iter().map(Id::as_str).collect();
        serde_json::json!({"number": self.number, "before": self.before, "ids": ids}).to_string()
    }

    /// Whether a token is refused: by its id, by its viewer, or by when it was issued.
    pub fn denies(&self, token: &Id, viewer: &Id, issued: u64) -> bool {
        issued < self.before || self.ids.contains(token) || self.ids.contains(viewer)
    }

    /// Whether this list may follow `known`.
    pub fn follows(&self, known: &Self) -> Result<(), DenyListOrder> {
        if self.number <= known.number {
            return Err(DenyListOrder::Number { known: known.number, new: self.number });
        }
        if let Some(missing) = known.ids.difference(&self.ids).next() {
            return Err(DenyListOrder::Id(missing.clone()));
        }
        if self.before < known.before { Err(DenyListOrder::Before) } else { Ok(()) }
    }
}

impl SignedDenyList {
    /// Reads a list of `issuer`. One that is not newer than the list that `issuer` has is refused before its signature
    /// is checked, which costs most.
    pub fn read(text: &str, issuer: &Issuer) -> Result<Self, DenyListFault> {
        Self::of_key(text, issuer.key(), issuer.denied().map(|known| known.number))
    }

    /// Reads a list that was signed with this key. `newer_than`: lists with a higher number only.
    pub fn of_key(text: &str, key: &IssuerKey, newer_than: Option<u64>) -> Result<Self, DenyListFault> {
        let text = text.trim_ascii();
        let jws = Jws::parse(text, DENY_LIST_MAX).map_err(|_| DenyListFault::Form)?;
        let header: DenyHeader = jws.header().map_err(|_| DenyListFault::Form)?;
        if header.typ != DENY_LIST_TYPE {
            return Err(DenyListFault::Form);
        }
        if header.kid != key.thumbprint() || jws.algorithm() != key.algorithm() {
            return Err(DenyListFault::Issuer);
        }
        let list = std::str::from_utf8(jws.unverified_payload()).ok().and_then(DenyList::read);
        let list = list.ok_or(DenyListFault::Form)?;
        if newer_than.is_some_and(|known| list.number <= known) {
            return Err(DenyListFault::Old);
        }
        jws.verify_issuer(key).map_err(|_| DenyListFault::Signature)?;
        Ok(Self { issuer: viewer_id(&header.kid), list: Arc::new(list), text: text.to_owned() })
    }

    /// The thumbprint of the key that the list says it is signed with. Nothing is verified.
    pub fn named_issuer(text: &str) -> Result<Thumbprint, DenyListFault> {
        let jws = Jws::parse(text.trim_ascii(), DENY_LIST_MAX).map_err(|_| DenyListFault::Form)?;
        jws.header::<DenyHeader>().map(|header| header.kid).map_err(|_| DenyListFault::Form)
    }

    /// The id of the issuer.
    pub fn issuer(&self) -> &Id {
        &self.issuer
    }

    /// What is refused.
    pub fn list(&self) -> &Arc<DenyList> {
        &self.list
    }

    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Without the signed text.
impl fmt::Debug for SignedDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedDenyList").field("issuer", &self.issuer).field("number", &self.list.number).finish()
    }
}
