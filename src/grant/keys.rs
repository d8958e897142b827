//! The mode `keys`: from a sealed message to its sender, by the list of viewers (signed-messages.md, "What the board
//! checks"). Pure but for the list and the pairing, which others change.

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
};
use crate::{
    clock::Mono,
    config::Id,
    jose::{Jws, PublicKey, Thumbprint},
    protocol::{Addressee, Authorised, ErrorName, Refusal, envelope::SEALED_MAX, pair::PairMessage},
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        pairing::{PairAttempt, PairRequest, PairingHandle},
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
    /// 8: the key is not on the list, or no longer.
    Key,
    /// 9: the signature is wrong.
    Signature,
    /// It is a request to pair, and the secret is wrong or nobody pairs.
    Pairing,
}

/// A sealed message whose sender is known.
#[derive(Debug, PartialEq)]
pub enum Opened {
    /// A message of a viewer on the list.
    Message {
        /// Who sent it.
        from: Authorised,
        /// The JSON.
        text: String,
        /// Tells this message from all others.
        tag: MessageTag,
    },
    /// A viewer on the list gets this refusal.
    Refused(Addressee, Refusal),
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
        Self { board, device, viewers, pairing, last_seen, openings: Mutex::default() }
    }

    /// The list, to be followed.
    pub(super) fn viewers(&self) -> watch::Receiver<Arc<ViewerList>> {
        self.viewers.clone()
    }

    /// Check 2: whether messages on the topic of this viewer are read at all, and whether it is on the list.
    pub(super) fn reads(&self, topic: &Id, now: Mono) -> Option<Listed> {
        if self.viewers.borrow().by_id(topic).is_some() {
            Some(Listed::Yes)
        } else {
            self.pairing.is_open(now).then_some(Listed::Pairing)
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
        let jws = Jws::parse(&signed, SEALED_MAX).map_err(|_| Unanswered::Form)?;
        let header: Header = jws.header().map_err(|_| Unanswered::Form)?;
        let is_ours = header.typ == "fanlight-req" && header.to == self.device.as_str();
        if !is_ours || viewer_id(&header.kid) != *topic {
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
        let entry = self.viewers.borrow().by_id(topic).cloned().ok_or(Unanswered::Key)?;
        if entry.key.thumbprint() != header.kid || has_ended(&entry, wall) {
            return Err(Unanswered::Key);
        }
        let text = jws.verify_es256(&entry.key).map_err(|_| Unanswered::Signature)?;
        let text = String::from_utf8(text).map_err(|_| Unanswered::Form)?;
        if entry.until.is_some() && !wall.is_synced {
            let message = "the clock of this board is not right yet, and the permission of this viewer has an end";
            let to = Addressee { viewer: topic.clone(), reply_key: Some(reply_key), correlation: None };
            return Ok(Opened::Refused(to, Refusal::new(ErrorName::ClockUnsynced, message)));
        }
        if wall.is_synced {
            self.last_seen.note(topic, wall.now.as_secs());
        }
        let from = Authorised {
            who: topic.clone(),
            rights: entry.rights,
            until: until(&entry, now, wall),
            reply_key: Some(reply_key),
        };
        Ok(Opened::Message { from, text, tag: tag(&signed) })
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

    /// Remembers a message that opens a session.
    pub(super) fn remember_opening(&self, viewer: &Id, tag: MessageTag, now: Mono) -> OpeningVerdict {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).remember(viewer, tag, now)
    }

    /// Whether a viewer that was authorised before still has every right that it had then.
    pub(super) fn still_permits(&self, from: &Authorised, now: Mono, wall: WallClock) -> bool {
        let viewers = self.viewers.borrow();
        let Some(entry) = viewers.by_id(&from.who) else { return false };
        let ends_sooner = match (until(entry, now, wall), from.until) {
            (None, _) => false,
            (Some(_), None) => true,
            // Both come from the wall clock, which NTP may have moved a little.
            (Some(new), Some(old)) => old.since(new) > Duration::from_secs(60),
        };
        !has_ended(entry, wall) && !ends_sooner && entry.rights.has_all(from.rights)
    }
}

/// Whether a topic belongs to a viewer on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// It does.
    Yes,
    /// It does not, and the board is pairing.
    Pairing,
}

fn has_ended(entry: &ViewerEntry, wall: WallClock) -> bool {
    wall.is_synced && entry.until.is_some_and(|until| Duration::from_secs(until) <= wall.now)
}

fn until(entry: &ViewerEntry, now: Mono, wall: WallClock) -> Option<Mono> {
    entry.until.map(|until| now + Duration::from_secs(until).saturating_sub(wall.now))
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
