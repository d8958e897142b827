//! The modes `keys` and `token`: from a sealed message to its sender, by the list of viewers (signed-messages.md, "What
//! the board checks"), and in the mode `token` also by a token (`tokens.rs`). Pure but for the lists and the pairing,
//! which others change.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ring::digest;
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    nonces::Nonces,
    openings::{MessageTag, OpeningVerdict, Openings},
    tokens::{TokenAccess, TokenPermission},
};
use crate::{
    clock::Mono,
    config::Id,
    jose::{Jws, PublicKey, Thumbprint, present},
    message_limits::Acquaintance,
    protocol::{Addressee, Authorised, ErrorName, PermittedBy, Refusal, envelope::SEALED_MAX, pair::PairMessage},
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        deny_list::{DenyListFault, SignedDenyList},
        issuers::Issuers,
        pairing::{PairAttempt, PairRequest, PairingHandle},
        token::TokenFault,
        viewer_list::{ViewerEntry, ViewerList, viewer_id},
    },
};

/// The wall clock at one moment, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The time since 1970.
    pub now: Duration,
    /// Whether it is right.
    pub is_synced: bool,
}

/// Why a message gets no answer. The numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// 4 and 5: it is sealed to another key, or not sealed.
    Seal,
    /// 6: the signature has another form, or is meant for somebody else.
    Form,
    /// 7: the nonce is old, or of another start of the daemon.
    Nonce,
    /// 8: the key is not on the list, and there is no token.
    Key,
    /// 8: the token is not accepted.
    Token(TokenFault),
    /// 9: the signature is wrong.
    Signature,
    /// It is a request to pair, and the secret is wrong or nobody pairs.
    Pairing,
}

/// A sealed message whose sender is known.
#[derive(Debug, PartialEq)]
pub enum Opened {
    /// A message of a viewer that may watch.
    Message {
        /// Who sent it.
        from: Authorised,
        /// The JSON.
        text: String,
        /// Tells this message from all others.
        tag: MessageTag,
    },
    /// A viewer that is known gets this refusal.
    Refused {
        /// The viewer.
        to: Addressee,
        /// The refusal.
        refusal: Refusal,
        /// The JSON of its message.
        text: String,
    },
    /// A viewer that knows the secret of the pairing.
    Pair(PairRequest),
}

/// The protected header of a viewer's message. Its fields are all that may be in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Checked with the signature.
    #[serde(rename = "alg")]
    _alg: String,
    typ: String,
    kid: Thumbprint,
    to: String,
    nonce: String,
    reply: String,
    #[serde(default, deserialize_with = "present")]
    token: Option<String>,
}

/// A message whose form is right, and whose signature is not checked yet.
struct UnverifiedMessage<'a> {
    jws: Jws<'a>,
    kid: Thumbprint,
    topic: &'a Id,
    reply_key: PublicKey,
    tag: MessageTag,
}

/// Decides by keys.
#[derive(Debug)]
pub struct KeysAccess {
    board: Arc<BoardKeys>,
    device: Id,
    viewers: watch::Receiver<Arc<ViewerList>>,
    pairing: PairingHandle,
    last_seen: LastSeen,
    openings: Mutex<Openings>,
    /// `None` in the mode `keys`.
    tokens: Option<TokenAccess>,
}

impl KeysAccess {
    /// `viewers`: the list, in its newest version. `pairing`: whether a viewer may be put on the list now. `last_seen`:
    /// where visits are noted.
    pub fn new(
        board: Arc<BoardKeys>,
        device: Id,
        viewers: watch::Receiver<Arc<ViewerList>>,
        pairing: PairingHandle,
        last_seen: LastSeen,
    ) -> Self {
        Self { board, device, viewers, pairing, last_seen, openings: Mutex::default(), tokens: None }
    }

    /// The mode `token`. `issuers`: those that the board knows, in their newest version.
    pub fn with_tokens(self, issuers: watch::Receiver<Arc<Issuers>>) -> Self {
        Self { tokens: Some(TokenAccess::new(issuers)), ..self }
    }

    /// What permissions depend on, to be followed.
    pub(super) fn changes(&self) -> PermissionChanges {
        let issuers = self.tokens.as_ref().map(TokenAccess::issuers);
        PermissionChanges { viewers: Some(self.viewers.clone()), issuers }
    }

    /// Whether this is the topic of an issuer.
    pub(super) fn is_issuer(&self, topic: &Id) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.is_issuer(topic))
    }

    /// Reads a deny list on the topic of an issuer.
    pub(super) fn read_denials(&self, topic: &Id, payload: &[u8]) -> Result<SignedDenyList, DenyListFault> {
        self.tokens.as_ref().ok_or(DenyListFault::Issuer)?.read_denials(topic, payload)
    }

    /// The name of a viewer on the list.
    pub(super) fn listed_name(&self, viewer: &Id) -> Option<String> {
        self.viewers.borrow().by_id(viewer).map(|entry| entry.name.clone())
    }

    /// Check 2: whether messages on the topic of this viewer are read at all, and whether it is known.
    pub(super) fn reads(&self, topic: &Id, now: Mono) -> Option<Acquaintance> {
        if self.viewers.borrow().by_id(topic).is_some() {
            return Some(Acquaintance::Known);
        }
        match self.tokens.as_ref().filter(|_| TokenAccess::may_be(topic)) {
            Some(tokens) => Some(tokens.acquaintance(topic, now)),
            None => self.pairing.is_open(now).then_some(Acquaintance::Stranger),
        }
    }

    /// Checks 4 to 9.
    pub(super) fn open(
        &self,
        topic: &Id,
        sealed: &str,
        nonces: &Nonces,
        now: Mono,
        wall: WallClock,
    ) -> Result<Opened, Unanswered> {
        let signed = self.board.sealing().open_exact(sealed, SEALED_MAX).map_err(|_| Unanswered::Seal)?;
        let signed = String::from_utf8(signed).map_err(|_| Unanswered::Form)?;
        let jws = match self.tokens {
            None => Jws::parse(&signed, SEALED_MAX),
            Some(_) => Jws::parse_with_token(&signed, SEALED_MAX),
        };
        let jws = jws.map_err(|_| Unanswered::Form)?;
        let header: Header = jws.header().map_err(|_| Unanswered::Form)?;
        let is_ours = header.typ == "fanlight-req" && header.to == self.device.as_str();
        let has_foreign_field = header.token.is_some() && self.tokens.is_none();
        if !is_ours || has_foreign_field || viewer_id(&header.kid) != *topic {
            return Err(Unanswered::Form);
        }
        let reply_key: PublicKey = header.reply.parse().map_err(|_| Unanswered::Form)?;
        if !nonces.accepts(&header.nonce, now) {
            return Err(Unanswered::Nonce);
        }
        if self.pairing.is_open(now)
            && let Some(message) = PairMessage::read(jws.unverified_payload())
        {
            return self.pair(jws, &header.kid, message, topic, reply_key, now);
        }
        let message = UnverifiedMessage { jws, kid: header.kid, topic, reply_key, tag: tag(&signed) };
        let entry = self.viewers.borrow().by_id(topic).cloned();
        match (entry, &self.tokens, header.token) {
            (Some(entry), _, _) => self.by_list(message, &entry, now, wall),
            (None, Some(tokens), Some(token)) => self.by_token(message, tokens, &token, now, wall),
            (None, ..) => Err(Unanswered::Key),
        }
    }

    /// Checks 8 and 9 for a viewer on the list.
    fn by_list(
        &self,
        message: UnverifiedMessage<'_>,
        entry: &ViewerEntry,
        now: Mono,
        wall: WallClock,
    ) -> Result<Opened, Unanswered> {
        if entry.key.thumbprint() != message.kid {
            return Err(Unanswered::Key);
        }
        if has_ended(entry, wall) {
            let why = "the permission of this viewer has ended";
            return message.refuse(&entry.key, Refusal::new(ErrorName::Forbidden, why));
        }
        let topic = message.topic;
        let from = |reply_key| Authorised {
            who: topic.clone(),
            rights: entry.rights,
            until: entry.until.map(|until| wall.end(until, now)),
            reply_key: Some(reply_key),
            by: PermittedBy::List,
        };
        if entry.until.is_some() && !wall.is_synced {
            let why = "the clock of this board is not right yet, and the permission of this viewer has an end";
            return message.refuse(&entry.key, Refusal::new(ErrorName::ClockUnsynced, why));
        }
        let opened = message.accept(&entry.key, from)?;
        if wall.is_synced {
            self.last_seen.note(topic, wall.now.as_secs());
        }
        Ok(opened)
    }

    /// Checks 8 and 9 for a viewer that an issuer vouches for.
    fn by_token(
        &self,
        message: UnverifiedMessage<'_>,
        tokens: &TokenAccess,
        token: &str,
        now: Mono,
        wall: WallClock,
    ) -> Result<Opened, Unanswered> {
        let checked = tokens.check(token, &message.kid, &self.device, now, wall);
        let TokenPermission { key, rights, until, token } = checked.map_err(Unanswered::Token)?;
        let rights = match rights {
            Ok(rights) => rights,
            Err(refusal) => return message.refuse(&key, refusal),
        };
        let who = message.topic;
        let by = PermittedBy::Token(token.clone());
        let opened = message.accept(&key, |reply_key| Authorised {
            who: who.clone(),
            rights,
            until: Some(until),
            reply_key: Some(reply_key),
            by,
        })?;
        tokens.note_accepted(who, &token, until.at);
        Ok(opened)
    }

    /// A request to pair. The MAC comes before the signature: only who knows the secret makes the board verify one.
    fn pair(
        &self,
        jws: Jws<'_>,
        kid: &Thumbprint,
        message: PairMessage,
        topic: &Id,
        reply_key: PublicKey,
        now: Mono,
    ) -> Result<Opened, Unanswered> {
        if message.key.thumbprint() != *kid {
            return Err(Unanswered::Pairing);
        }
        let attempt = PairAttempt {
            board: self.board.thumbprint(),
            device: &self.device,
            viewer: kid,
            name: &message.name,
            mac: &message.mac,
        };
        if !self.pairing.check(now, &attempt) {
            return Err(Unanswered::Pairing);
        }
        jws.verify_es256(&message.key).map_err(|_| Unanswered::Signature)?;
        let to = Addressee { viewer: topic.clone(), reply_key: Some(reply_key), correlation: None };
        let PairMessage { head, key, name, .. } = message;
        Ok(Opened::Pair(PairRequest { key, name, head, to }))
    }

    /// Whether this message was remembered.
    pub(super) fn is_replayed(&self, tag: MessageTag, now: Mono) -> bool {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).knows(tag, now)
    }

    /// Remembers a message that opens a session, or a command that stands alone.
    pub(super) fn remember_opening(&self, viewer: &Id, tag: MessageTag, now: Mono) -> OpeningVerdict {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).remember(viewer, tag, now)
    }

    /// Whether a viewer that was authorised before still has every right that it had then.
    pub(super) fn still_permits(&self, from: &Authorised, wall: WallClock) -> bool {
        if let PermittedBy::Token(token) = &from.by {
            return self.tokens.as_ref().is_some_and(|tokens| tokens.still_permits(&from.who, token));
        }
        let viewers = self.viewers.borrow();
        let Some(entry) = viewers.by_id(&from.who) else { return false };
        let ends_sooner = match (entry.until, from.until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(new), Some(old)) => new < old.wall,
        };
        !has_ended(entry, wall) && !ends_sooner && entry.rights.has_all(from.rights)
    }
}

impl UnverifiedMessage<'_> {
    /// Check 9: the signature. Returns the JSON.
    fn text(self, key: &PublicKey) -> Result<String, Unanswered> {
        let text = self.jws.verify_es256(key).map_err(|_| Unanswered::Signature)?;
        String::from_utf8(text).map_err(|_| Unanswered::Form)
    }

    /// If the signature is right: a message of the viewer that `from` makes with the key for its replies.
    fn accept(self, key: &PublicKey, from: impl FnOnce(PublicKey) -> Authorised) -> Result<Opened, Unanswered> {
        let (from, tag) = (from(self.reply_key), self.tag);
        Ok(Opened::Message { from, text: self.text(key)?, tag })
    }

    /// If the signature is right: a refusal.
    fn refuse(self, key: &PublicKey, refusal: Refusal) -> Result<Opened, Unanswered> {
        let to = Addressee { viewer: self.topic.clone(), reply_key: Some(self.reply_key), correlation: None };
        Ok(Opened::Refused { to, refusal, text: self.text(key)? })
    }
}

/// What permissions depend on.
#[derive(Debug)]
pub struct PermissionChanges {
    pub(super) viewers: Option<watch::Receiver<Arc<ViewerList>>>,
    pub(super) issuers: Option<watch::Receiver<Arc<Issuers>>>,
}

impl PermissionChanges {
    /// Waits until a permission may have changed. Without a list, for ever.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.viewers) => {}
            () = changed(&mut self.issuers) => {}
        }
    }
}

async fn changed<T>(value: &mut Option<watch::Receiver<T>>) {
    let changed = match value {
        Some(value) => value.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        // There is nothing, or its owner has ended with the daemon.
        std::future::pending().await
    }
}

fn has_ended(entry: &ViewerEntry, wall: WallClock) -> bool {
    wall.is_synced && entry.until.is_some_and(|until| Duration::from_secs(until) <= wall.now)
}

/// The tag covers the signed text and the first half of the signature (r). The second half (s) has a twin that verifies
/// as well (n − s), and must not make another message of it.
fn tag(signed: &str) -> MessageTag {
    const S: usize = 44;
    let hash = digest::digest(&digest::SHA256, &signed.as_bytes()[..signed.len().saturating_sub(S)]);
    let mut tag = [0; 16];
    tag.copy_from_slice(&hash.as_ref()[..16]);
    MessageTag(tag)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
