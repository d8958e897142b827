//! What the mode `token` adds to the mode `keys`: viewers that an issuer vouches for (tokens.md). Pure but for the
//! issuers, which others change.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ring::digest;
use tokio::sync::watch;

use super::WallClock;
use crate::{
    clock::Mono,
    config::Id,
    jose::{PublicKey, Thumbprint},
    message_limits::Acquaintance,
    protocol::{ErrorName, Refusal, Rights, RightsEnd, TokenReference},
    trust::{
        deny_list::{DenyListFault, SignedDenyList},
        issuers::Issuers,
        token::{AcceptedToken, TokenContext, TokenFault, TokenTime, UnverifiedToken},
    },
};

/// Tokens whose signature is remembered. Each message of a viewer has its token, and only the first of them costs the
/// signature of the issuer.
const VERIFIED_MAX: usize = 256;
/// Viewers with a token that are remembered, also after its end, so that they do not share the rate of strangers.
const ACCEPTED_MAX: usize = 1024;

/// A viewer that an issuer vouches for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenPermission {
    /// The key with which the viewer signs.
    pub(super) key: PublicKey,
    /// What it may do. An error is the answer to an authentic message.
    pub(super) rights: Result<Rights, Refusal>,
    /// When the token ends. It means something only if the clock is right.
    pub(super) until: RightsEnd,
    /// The token.
    pub(super) token: TokenReference,
}

/// Decides by tokens.
#[derive(Debug)]
pub(super) struct TokenAccess {
    issuers: watch::Receiver<Arc<Issuers>>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct AcceptedViewer {
    who: Id,
    token: TokenReference,
    until: Mono,
}

#[derive(Debug, Default)]
struct Memory {
    /// Hashes of tokens whose signature was right, oldest first.
    verified: VecDeque<[u8; 32]>,
    known: HashSet<[u8; 32]>,
    /// Viewers that were accepted, the last one at the end.
    accepted: VecDeque<AcceptedViewer>,
}

impl TokenAccess {
    pub(super) fn new(issuers: watch::Receiver<Arc<Issuers>>) -> Self {
        Self { issuers, memory: Mutex::default() }
    }

    /// The issuers, to be followed.
    pub(super) fn issuers(&self) -> watch::Receiver<Arc<Issuers>> {
        self.issuers.clone()
    }

    /// Whether a viewer with this id can exist. It is the front of a thumbprint.
    pub(super) fn may_be(topic: &Id) -> bool {
        topic.as_str().len() == 22
    }

    /// Whether this is the id of an issuer, whose messages are deny lists.
    pub(super) fn is_issuer(&self, topic: &Id) -> bool {
        self.issuers.borrow().by_id(topic).is_some()
    }

    /// Reads a deny list on the topic of an issuer.
    pub(super) fn read_denials(&self, topic: &Id, payload: &[u8]) -> Result<SignedDenyList, DenyListFault> {
        let text = std::str::from_utf8(payload).map_err(|_| DenyListFault::Form)?;
        SignedDenyList::read(text, self.issuers.borrow().by_id(topic).ok_or(DenyListFault::Issuer)?)
    }

    /// Checks the token of a viewer whose key has this thumbprint, but not the signature of its message.
    pub(super) fn check(
        &self,
        token: &str,
        viewer: &Thumbprint,
        device: &Id,
        now: Mono,
        wall: WallClock,
    ) -> Result<TokenPermission, TokenFault> {
        let issuers = self.issuers.borrow().clone();
        let time = wall.is_synced.then_some(wall.now.as_secs());
        let unverified = UnverifiedToken::check(token, &TokenContext { issuers: &issuers, device, viewer, now: time })?;
        let AcceptedToken { claims, issuer, time } = self.verify(token, unverified)?;
        let rights = match time {
            TokenTime::Valid => Ok(claims.rights),
            TokenTime::Ended => Err(Refusal::new(ErrorName::AuthRequired, "the token has ended: a new one is needed")),
            TokenTime::Unknown => Err(Refusal::new(
                ErrorName::ClockUnsynced,
                "the clock of this board is not right yet, and the token of this viewer has an end",
            )),
        };
        let until = wall.end(claims.ends, now);
        let token = TokenReference { id: claims.id, issuer, issued: claims.issued, name: claims.name };
        Ok(TokenPermission { key: claims.key, rights, until, token })
    }

    /// Checks the signature of the issuer, unless it was checked before. The header of a token names its key by the
    /// hash of the key, so a text that was verified once stays so.
    fn verify(&self, token: &str, unverified: UnverifiedToken<'_>) -> Result<AcceptedToken, TokenFault> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if self.lock().known.contains(&hash) {
            return Ok(unverified.verified_before());
        }
        let accepted = unverified.verify()?;
        self.lock().remember_verified(hash);
        Ok(accepted)
    }

    /// A message of this viewer was authentic, and its token is valid until then.
    pub(super) fn note_accepted(&self, who: &Id, token: &TokenReference, until: Mono) {
        let accepted = &mut self.lock().accepted;
        accepted.retain(|known| known.who != *who);
        if accepted.len() == ACCEPTED_MAX {
            accepted.pop_front();
        }
        accepted.push_back(AcceptedViewer { who: who.clone(), token: token.clone(), until });
    }

    /// Whether a token of this viewer was accepted, and still counts. One that was taken back makes it a stranger.
    pub(super) fn acquaintance(&self, viewer: &Id, now: Mono) -> Acquaintance {
        let memory = self.lock();
        let known = memory.accepted.iter().find(|known| known.who == *viewer);
        match known.filter(|known| self.still_permits(viewer, &known.token)) {
            Some(known) if now < known.until => Acquaintance::Known,
            Some(_) => Acquaintance::Earlier,
            None => Acquaintance::Stranger,
        }
    }

    /// Whether the issuer still vouches for a viewer that was authorised by this token. The end of the token is not
    /// looked at here.
    pub(super) fn still_permits(&self, viewer: &Id, token: &TokenReference) -> bool {
        let issuers = self.issuers.borrow();
        issuers.by_kid(&token.issuer).is_some_and(|issuer| !issuer.denies(&token.id, viewer, token.issued))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn remember_verified(&mut self, hash: [u8; 32]) {
        if !self.known.insert(hash) {
            return;
        }
        if self.verified.len() == VERIFIED_MAX
            && let Some(oldest) = self.verified.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.verified.push_back(hash);
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
