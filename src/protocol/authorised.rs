//! Who sent a message, and what this viewer may do (protocol section 5). Pure.

use crate::{
    clock::Mono,
    config::Id,
    jose::{PublicKey, Thumbprint},
    rights::Rights,
};

/// A viewer that was authorised. It goes with each request, and with the session that the request opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    /// The viewer.
    pub who: Id,
    /// What it may do.
    pub rights: Rights,
    /// When the permission ends. `None`: never.
    pub until: Option<RightsEnd>,
    /// The key to which replies are sealed. `None`: replies are plain JSON (mode `broker`).
    pub reply_key: Option<PublicKey>,
    /// Where the permission comes from.
    pub by: PermittedBy,
}

/// When a permission ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RightsEnd {
    /// For timers: what was left of it when the message came.
    pub at: Mono,
    /// As the list or the token has it, in seconds since 1970. This one stays comparable when the wall clock is set.
    pub wall: u64,
}

/// Where a permission comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermittedBy {
    /// The broker's access list.
    Broker,
    /// The board's list of viewers.
    List,
    /// A token of an issuer.
    Token(TokenReference),
}

/// The token by which a viewer was authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReference {
    /// Its id (`jti`).
    pub id: Id,
    /// The thumbprint of the issuer's key.
    pub issuer: Thumbprint,
    /// When it was issued, in seconds since 1970.
    pub issued: u64,
    /// The viewer's name for people, as the issuer has it.
    pub name: Option<String>,
}

impl Authorised {
    /// Whether its messages were signed and sealed.
    pub fn is_sealed(&self) -> bool {
        self.reply_key.is_some()
    }

    /// When its permission ends, for timers. `None`: never.
    pub fn ends_at(&self) -> Option<Mono> {
        self.until.map(|end| end.at)
    }

    /// The id of the token by which it was authorised.
    pub fn token_id(&self) -> Option<&Id> {
        match &self.by {
            PermittedBy::Token(token) => Some(&token.id),
            PermittedBy::Broker | PermittedBy::List => None,
        }
    }

    /// Whether a session that began with `earlier` continues with this permission, which came with a later message.
    /// Only a token is replaced: by one that is not older, or by an entry of the list. A broker can repeat a message
    /// with an older token, and that must not bring its end back. What an entry of the list permits is followed by
    /// `still_permits` alone.
    pub fn replaces(&self, earlier: &Self) -> bool {
        match (&earlier.by, &self.by) {
            (PermittedBy::Token(old), PermittedBy::Token(new)) => new.issued >= old.issued,
            (PermittedBy::Token(_), PermittedBy::List) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::SigningKey;

    #[test]
    fn only_a_token_is_replaced_and_never_by_an_older_one() {
        let issuer = SigningKey::generate().unwrap().public().thumbprint();
        let token = |id: &str, issued| {
            PermittedBy::Token(TokenReference { id: Id::new(id).unwrap(), issuer, issued, name: None })
        };
        let of = |by| Authorised {
            who: Id::new("anna").unwrap(),
            rights: Rights::default(),
            until: None,
            reply_key: None,
            by,
        };
        for (earlier, later, expected) in [
            (token("a", 10), token("b", 11), true),
            (token("a", 10), token("b", 10), true),
            (token("a", 10), token("a", 10), true),
            (token("a", 10), token("b", 9), false),
            (token("a", 10), PermittedBy::List, true),
            (PermittedBy::List, token("a", 10), false),
            (PermittedBy::List, PermittedBy::List, false),
            (PermittedBy::Broker, PermittedBy::Broker, false),
        ] {
            assert_eq!(of(later.clone()).replaces(&of(earlier.clone())), expected, "{earlier:?} {later:?}");
        }
    }
}
