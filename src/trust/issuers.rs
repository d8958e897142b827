//! The issuers that a board in the mode `token` knows, and what each has taken back. Pure.

use std::sync::Arc;

use super::{deny_list::DenyList, viewer_list::viewer_id};
use crate::{
    config::Id,
    jose::{IssuerKey, Thumbprint},
};

/// What is known of the deny list of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DenyState {
    /// Its file was not read yet. Until then, no token of this issuer is accepted.
    #[default]
    Unread,
    /// Its file cannot be used, so nobody knows what was taken back. No token of this issuer is accepted.
    Unusable,
    /// This is refused. An issuer that has sent no list refuses nothing.
    Known(Arc<DenyList>),
}

/// A key whose tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    key: IssuerKey,
    kid: Thumbprint,
    id: Id,
    denied: DenyState,
}

impl Issuer {
    /// An issuer whose deny list is not read yet.
    pub fn new(key: IssuerKey) -> Self {
        let kid = key.thumbprint();
        Self { key, kid, id: viewer_id(&kid), denied: DenyState::Unread }
    }

    /// Its key.
    pub fn key(&self) -> &IssuerKey {
        &self.key
    }

    /// Its id: the front of the thumbprint of its key.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// What is known of its deny list.
    pub fn state(&self) -> &DenyState {
        &self.denied
    }

    /// Its deny list, if it is known.
    pub fn denied(&self) -> Option<&Arc<DenyList>> {
        match &self.denied {
            DenyState::Known(list) => Some(list),
            DenyState::Unread | DenyState::Unusable => None,
        }
    }

    /// Whether a token of this issuer is refused.
    pub fn denies(&self, token: &Id, viewer: &Id, issued: u64) -> bool {
        self.denied().is_none_or(|list| list.denies(token, viewer, issued))
    }
}

/// All issuers of a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuers {
    issuers: Vec<Issuer>,
    token_max: u64,
}

impl Issuers {
    /// Issuers with these keys. Those that were known before keep their deny lists. `token_max`: the longest life of a
    /// token, in seconds.
    pub fn with_keys(&self, keys: impl IntoIterator<Item = IssuerKey>, token_max: u64) -> Self {
        let known = |issuer: Issuer| self.by_kid(&issuer.kid).cloned().unwrap_or(issuer);
        Self { issuers: keys.into_iter().map(Issuer::new).map(known).collect(), token_max }
    }

    /// The same issuers, of which one has this deny list.
    pub fn with_state(&self, issuer: &Id, denied: DenyState) -> Self {
        let mut next = self.clone();
        next.issuers.iter_mut().filter(|known| known.id == *issuer).for_each(|known| known.denied = denied.clone());
        next
    }

    /// The issuer with this key.
    pub fn by_kid(&self, kid: &Thumbprint) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.kid == *kid)
    }

    /// The issuer with this id.
    pub fn by_id(&self, id: &Id) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == *id)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// The longest life of a token, in seconds.
    pub fn token_max(&self) -> u64 {
        self.token_max
    }
}
