//! Who sent a message, and what this viewer may do (protocol section 5). Pure.

use crate::{clock::Mono, config::Id, jose::PublicKey, rights::Rights};

/// A viewer that was authorised. It goes with each request, and with the session that the request opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    /// The viewer.
    pub who: Id,
    /// What it may do.
    pub rights: Rights,
    /// When the permission ends. `None`: never.
    pub until: Option<Mono>,
    /// The key to which replies are sealed. `None`: replies are plain JSON (mode `broker`).
    pub reply_key: Option<PublicKey>,
}

impl Authorised {
    /// Whether its messages were signed and sealed.
    pub fn is_sealed(&self) -> bool {
        self.reply_key.is_some()
    }
}
