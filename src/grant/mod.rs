//! Authorisation of viewers (protocol section 5): who sent a message, and what this viewer may do. Pure.
//!
//! The mode `broker` relies on the broker's ACL: whoever may publish on `req/{viewer}` is that viewer. In the mode
//! `keys` (`keys.rs`), a list of public keys decides. No later module depends on the mode.

mod keys;
mod nonces;
mod openings;

use std::sync::Arc;

use tokio::sync::watch;

use self::nonces::Nonces;
pub use self::{
    keys::{KeysAccess, Listed, Opened, Unanswered, WallClock},
    nonces::SLOT,
    openings::{MessageTag, OpeningVerdict},
};
use crate::{
    clock::{self, Mono},
    config::Id,
    protocol::{Authorised, ErrorName, Refusal, Right, Rights, envelope::Envelope},
    trust::viewer_list::ViewerList,
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
}

impl Grant {
    /// The mode `broker`. `secret` must be random, and new at each start.
    pub fn by_broker(secret: &[u8; 32]) -> Self {
        Self { keys: None, nonces: Nonces::new(secret) }
    }

    /// The mode `keys`. `secret` must be random, and new at each start.
    pub fn by_keys(keys: KeysAccess, secret: &[u8; 32]) -> Self {
        Self { keys: Some(keys), nonces: Nonces::new(secret) }
    }

    /// Whether messages are signed and sealed.
    pub fn is_sealed(&self) -> bool {
        self.keys.is_some()
    }

    /// In the mode `broker`: who sent a message on the topic of `viewer`, and its text. An error is the refusal to send.
    pub fn authorise<'a>(&self, viewer: &Id, envelope: Envelope<'a>) -> Result<(Authorised, &'a str), Refusal> {
        match envelope {
            Envelope::Plain(text) => {
                let rights = Rights::of([Right::View, Right::Listen]);
                Ok((Authorised { who: viewer.clone(), rights, until: None, reply_key: None }, text))
            }
            Envelope::Sealed(_) => Err(Refusal::new(
                ErrorName::Unauthorized,
                "this device is in the mode broker, which accepts plain JSON and no signed messages",
            )),
        }
    }

    /// In the mode `keys`: whether messages on the topic of this viewer are read at all. This costs no cryptography.
    pub fn reads(&self, topic: &Id, now: Mono) -> Option<Listed> {
        self.keys.as_ref()?.reads(topic, now)
    }

    /// In the mode `keys`: who sent a message on the topic of `viewer`, and its text. An error gets no answer.
    pub fn open(&self, viewer: &Id, sealed: &str, now: Mono, wall: WallClock) -> Result<Opened, Unanswered> {
        self.keys.as_ref().ok_or(Unanswered::Seal)?.open(viewer, sealed, &self.nonces, now, wall)
    }

    /// In the mode `keys`: remembers a message that opens a session, so that it opens no second one.
    pub fn remember_opening(&self, viewer: &Id, tag: MessageTag, now: Mono) -> OpeningVerdict {
        self.keys.as_ref().map_or(OpeningVerdict::New, |keys| keys.remember_opening(viewer, tag, now))
    }

    /// Whether a viewer that was authorised before still has every right that it had then.
    pub fn still_permits(&self, from: &Authorised, now: Mono, wall: WallClock) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.still_permits(from, now, wall))
    }

    /// The list of viewers, to be followed. `None` in the mode `broker`.
    pub fn viewers(&self) -> Option<watch::Receiver<Arc<ViewerList>>> {
        self.keys.as_ref().map(KeysAccess::viewers)
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
        let expected = Authorised { who: anna.clone(), rights, until: None, reply_key: None };
        assert_eq!(grant.authorise(&anna, Envelope::Plain("{}")), Ok((expected.clone(), "{}")));
        let refusal = grant.authorise(&anna, Envelope::Sealed("eyJ.e.s")).unwrap_err();
        assert_eq!((refusal.code, refusal.name), (401, ErrorName::Unauthorized));
        let wall = WallClock { now: std::time::Duration::ZERO, is_synced: false };
        assert!(grant.still_permits(&expected, Mono(0), wall));
        assert_eq!(grant.open(&anna, "eyJ", Mono(0), wall), Err(Unanswered::Seal));
    }
}
