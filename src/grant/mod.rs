//! Authorisation of viewers (protocol section 5): who sent a message, and what this viewer may do. Pure.
//!
//! The mode `broker` relies on the broker's ACL: whoever may publish on `req/{viewer}` is that viewer. In the mode
//! `keys` (`keys.rs`), a list of public keys decides. In the mode `token`, an issuer can also vouch for a viewer
//! (`tokens.rs`). No later module depends on the mode.

mod keys;
mod nonces;
mod openings;
mod tokens;

use std::time::Duration;

use self::nonces::Nonces;
pub use self::{
    keys::{KeysAccess, Opened, PermissionChanges, Unanswered, WallClock},
    nonces::SLOT,
    openings::{MessageTag, OpeningVerdict},
};
use crate::{
    clock::{self, Mono},
    config::Id,
    message_limits::Acquaintance,
    protocol::{Authorised, ErrorName, PermittedBy, Refusal, Right, Rights, RightsEnd, envelope::Envelope},
    trust::deny_list::{DenyListFault, SignedDenyList},
};

/// Decides who may watch.
#[derive(Debug)]
pub struct Grant {
    /// `None`: the broker decides.
    keys: Option<KeysAccess>,
    nonces: Nonces,
}

impl WallClock {
    /// The wall clock now.
    pub fn now() -> Self {
        Self { now: Mono::now().wall(), is_synced: clock::is_synced() }
    }

    /// When something ends that ends then, in seconds since 1970. `now` is the same moment.
    fn end(&self, wall: u64, now: Mono) -> RightsEnd {
        RightsEnd { at: now + Duration::from_secs(wall).saturating_sub(self.now), wall }
    }
}

impl Grant {
    /// The mode `broker`. `secret` must be random, and new at each start.
    pub fn by_broker(secret: &[u8; 32]) -> Self {
        Self { keys: None, nonces: Nonces::new(secret) }
    }

    /// The modes `keys` and `token`. `secret` must be random, and new at each start.
    pub fn by_keys(keys: KeysAccess, secret: &[u8; 32]) -> Self {
        Self { keys: Some(keys), nonces: Nonces::new(secret) }
    }

    /// Whether messages are signed and sealed.
    pub fn is_sealed(&self) -> bool {
        self.keys.is_some()
    }

    /// In the mode `broker`: who sent a message on the topic of `viewer`, and its text. An error is the refusal.
    pub fn authorise<'a>(&self, viewer: &Id, envelope: Envelope<'a>) -> Result<(Authorised, &'a str), Refusal> {
        match envelope {
            Envelope::Plain(text) => {
                let rights = Rights::of([Right::View, Right::Listen]);
                let by = PermittedBy::Broker;
                Ok((Authorised { who: viewer.clone(), rights, until: None, reply_key: None, by }, text))
            }
            Envelope::Sealed(_) => Err(Refusal::new(
                ErrorName::Unauthorized,
                "this device is in the mode broker, which accepts plain JSON and no signed messages",
            )),
        }
    }

    /// In the signed modes: whether messages on the topic of this viewer are read at all. This costs no cryptography.
    pub fn reads(&self, topic: &Id, now: Mono) -> Option<Acquaintance> {
        self.keys.as_ref()?.reads(topic, now)
    }

    /// In the signed modes: who sent a message on the topic of `viewer`, and its text. An error gets no answer.
    pub fn open(&self, viewer: &Id, sealed: &str, now: Mono, wall: WallClock) -> Result<Opened, Unanswered> {
        self.keys.as_ref().ok_or(Unanswered::Seal)?.open(viewer, sealed, &self.nonces, now, wall)
    }

    /// In the signed modes: whether this message opened a session, or was done as a command, before.
    pub fn is_replayed(&self, tag: MessageTag, now: Mono) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.is_replayed(tag, now))
    }

    /// In the signed modes: remembers a message that opens a session, so that it opens no second one, or a command that
    /// stands alone.
    pub fn remember_opening(&self, viewer: &Id, tag: MessageTag, now: Mono) -> OpeningVerdict {
        self.keys.as_ref().map_or(OpeningVerdict::New, |keys| keys.remember_opening(viewer, tag, now))
    }

    /// Whether a viewer that was authorised before still has every right that it had then, and its time is not over.
    pub fn still_permits(&self, from: &Authorised, now: Mono, wall: WallClock) -> bool {
        let has_time = from.ends_at().is_none_or(|end| now < end);
        has_time && self.keys.as_ref().is_none_or(|keys| keys.still_permits(from, wall))
    }

    /// Whether this is the topic of an issuer, on which deny lists come. Only in the mode `token`.
    pub fn is_issuer(&self, topic: &Id) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.is_issuer(topic))
    }

    /// Reads a deny list on the topic of an issuer. An error gets no answer.
    pub fn read_denials(&self, topic: &Id, payload: &[u8]) -> Result<SignedDenyList, DenyListFault> {
        self.keys.as_ref().ok_or(DenyListFault::Issuer)?.read_denials(topic, payload)
    }

    /// What permissions depend on, to be followed.
    pub fn changes(&self) -> PermissionChanges {
        let nothing = || PermissionChanges { viewers: None, issuers: None };
        self.keys.as_ref().map_or_else(nothing, KeysAccess::changes)
    }

    /// The name of a viewer for people: that of its token, or of the list. `None`: it has none.
    pub fn name_of(&self, viewer: &Authorised) -> Option<String> {
        match &viewer.by {
            PermittedBy::Token(token) => token.name.clone(),
            PermittedBy::List => self.listed_name(&viewer.who),
            PermittedBy::Broker => None,
        }
    }

    /// The name of a viewer on the list. `None`: it is not there.
    pub fn listed_name(&self, viewer: &Id) -> Option<String> {
        self.keys.as_ref().and_then(|keys| keys.listed_name(viewer))
    }

    /// The current nonce.
    pub fn nonce(&self, now: Mono) -> String {
        self.nonces.at(now)
    }

    /// Whether this run of the daemon gave out the nonce, within the last three slots.
    pub fn accepts(&self, nonce: &str, now: Mono) -> bool {
        self.nonces.accepts(nonce, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_broker_accepts_plain_json_and_refuses_signed_messages() {
        let grant = Grant::by_broker(&[7; 32]);
        let anna = Id::new("anna").unwrap();
        let rights = Rights::of([Right::View, Right::Listen]);
        let expected = Authorised { who: anna.clone(), rights, until: None, reply_key: None, by: PermittedBy::Broker };
        assert_eq!(grant.authorise(&anna, Envelope::Plain("{}")), Ok((expected.clone(), "{}")));
        let refusal = grant.authorise(&anna, Envelope::Sealed("eyJ.e.s")).unwrap_err();
        assert_eq!((refusal.code, refusal.name), (401, ErrorName::Unauthorized));
        let wall = WallClock { now: Duration::ZERO, is_synced: false };
        assert!(grant.still_permits(&expected, Mono(0), wall));
        assert_eq!(grant.open(&anna, "eyJ", Mono(0), wall), Err(Unanswered::Seal));
    }
}
