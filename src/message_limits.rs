//! How many messages of a viewer are read, and how many refusals it gets (protocol section 7). Time is an argument, and
//! every table has a bound.
//!
//! Signalling asks before it reads a message. The sessions ask before they refuse a request, and report which viewers
//! have a session: clones share the same limits.

mod crowd;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::crowd::CrowdRate;
use crate::{
    clock::Mono,
    config::Id,
    protocol::{ErrorName, Refusal},
    rate_limit::RateLimit,
};

/// Viewers whose rate is remembered. The one that was silent for longest is forgotten first, and gets a full allowance
/// if it comes back. A person with many logins has many allowances anyway.
const VIEWERS: usize = 256;
/// The burst of messages, in seconds of the configured rate.
const BURST: u32 = 3;
/// Unauthorised messages of one viewer that are read: per second, and at once.
const UNAUTHORISED_OF_ONE: (u32, u32) = (2, 10);
/// Unauthorised messages per second that are read, of all viewers that sent some.
const UNAUTHORISED: u32 = 50;
/// Sealed messages of one known viewer that are opened whatever comes in the name of others: per second, and at once. A
/// session needs about eight to begin.
const ASSURED_OF_ONE: (u32, u32) = (2, 16);
/// The same of all known viewers together: per second, and at once. So it holds while fewer than 64 names are misused.
const ASSURED: (u32, u32) = (128, 1024);
/// Sealed messages of one viewer that are opened beyond that: per second, and at once. Opening one costs about 3 ms of
/// a slow board.
const SEALED_OF_ONE: (u32, u32) = (64, 128);
/// Sealed messages per second that are opened beyond that, of all viewers.
const SEALED: u32 = 100;
/// Deny lists that are read: per second, and at once. A board gets that of each issuer with each connection.
const DENY_LISTS: (u32, u32) = (1, 8);
/// Refusals for one viewer outside of a session: per second, and at once.
const REFUSALS_OF_ONE: (u32, u32) = (2, 10);
/// Refusals per second outside of sessions, for all viewers.
const REFUSALS: u32 = 100;

/// Commands of one viewer that stand alone: in a minute, and at once. The memory of openings has room for them.
const ALONE: (u32, u32) = (12, 8);

/// How well the viewer of a topic is known, before its message is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// It is on the list, or it had a token that still counts.
    Known,
    /// It had a token, which has ended. It may come with a new one.
    Earlier,
    /// It is none of them. The board is pairing, or accepts tokens.
    Stranger,
}

/// Whether a message is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is read.
    Yes,
    /// It is not read, and its viewer gets this refusal.
    Refused(Refusal),
    /// It is not read, and its viewer got the refusal less than a second ago.
    Dropped,
}

/// The allowances of one viewer.
#[derive(Debug)]
struct Account {
    messages: RateLimit,
    /// The refusal of messages above the rate: once a second.
    rate_limited: RateLimit,
    /// Whether it ever sent something unauthorised.
    suspect: bool,
    unauthorised: RateLimit,
    assured: RateLimit,
    sealed: RateLimit,
    refusals: RateLimit,
    /// Commands that stand alone.
    alone: RateLimit,
    /// Its last message.
    seen: Mono,
}

/// The limits of messages and refusals.
#[derive(Debug, Clone)]
pub struct MessageLimits {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// Messages per second of one viewer.
    rate: u32,
    accounts: HashMap<Id, Account>,
    unauthorised: RateLimit,
    unauthorised_answers: RateLimit,
    assured: RateLimit,
    sealed: RateLimit,
    sealed_of_strangers: CrowdRate,
    sealed_of_earlier: CrowdRate,
    deny_lists: RateLimit,
    refusals: RateLimit,
    /// How many sessions each viewer has. The limit of sessions is the bound.
    sessions: HashMap<Id, usize>,
}

impl MessageLimits {
    /// `rate`: messages per second of one viewer.
    pub fn new(rate: u32, now: Mono) -> Self {
        let shared = Shared {
            rate,
            accounts: HashMap::new(),
            unauthorised: RateLimit::new(UNAUTHORISED, UNAUTHORISED, now),
            unauthorised_answers: RateLimit::new(1, 1, now),
            assured: RateLimit::new(ASSURED.0, ASSURED.1, now),
            sealed: RateLimit::new(SEALED, SEALED * 2, now),
            sealed_of_strangers: CrowdRate::new(now),
            sealed_of_earlier: CrowdRate::new(now),
            deny_lists: RateLimit::new(DENY_LISTS.0, DENY_LISTS.1, now),
            refusals: RateLimit::new(REFUSALS, REFUSALS, now),
            sessions: HashMap::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Sets the messages per second. It holds for viewers that are not known yet.
    pub fn set_rate(&self, rate: u32) {
        self.lock().rate = rate;
    }

    /// Counts a message of `viewer`. Each viewer uses up its own allowance first. The common allowance for unauthorised
    /// messages restricts only viewers that sent such messages, so nobody is kept out by what others send.
    pub fn message(&self, viewer: &Id, now: Mono) -> Admitted {
        self.lock().message(viewer, now)
    }

    /// Counts a sealed message, whose sender is not proven yet: anybody may send in the name of anybody. Returns
    /// whether it is opened. Strangers have an allowance of their own, and so have viewers whose token ended. Each
    /// viewer that is known has one, too, which messages in other names cannot use up. What exceeds it shares a common
    /// one.
    pub fn sealed(&self, topic: &Id, of: Acquaintance, now: Mono) -> bool {
        let mut shared = self.lock();
        match of {
            Acquaintance::Known => shared.sealed_of_known(topic, now),
            Acquaintance::Earlier => shared.sealed_of_earlier.take(topic, now),
            Acquaintance::Stranger => shared.sealed_of_strangers.take(topic, now),
        }
    }

    /// Counts a message on the topic of an issuer. Returns whether it is read.
    pub fn deny_list(&self, now: Mono) -> bool {
        self.lock().deny_lists.take(now)
    }

    /// Counts an unauthorised message. Returns whether it is answered: once a second in all, so that trying reveals
    /// nothing.
    pub fn unauthorised(&self, viewer: &Id, now: Mono) -> bool {
        self.lock().unauthorised(viewer, now)
    }

    /// Counts a refusal outside of a session. Returns whether it may be sent.
    pub fn refusal(&self, viewer: &Id, now: Mono) -> bool {
        let mut shared = self.lock();
        shared.account(viewer, now).refusals.take(now) && shared.refusals.take(now)
    }

    /// Counts a command that stands alone. An error is the refusal to its viewer.
    pub fn command_alone(&self, viewer: &Id, now: Mono) -> Result<(), Refusal> {
        if self.lock().account(viewer, now).alone.take(now) {
            return Ok(());
        }
        let (per_minute, burst) = ALONE;
        let message = format!("more than {per_minute} commands a minute, or {burst} at once, outside of a session");
        let pause = Duration::from_secs(u64::from(60 / per_minute));
        Err(Refusal::new(ErrorName::RateLimited, message).retry_after(pause))
    }

    /// A session of `viewer` started.
    pub fn session_started(&self, viewer: &Id) {
        *self.lock().sessions.entry(viewer.clone()).or_default() += 1;
    }

    /// A session of `viewer` ended.
    pub fn session_ended(&self, viewer: &Id) {
        let mut shared = self.lock();
        match shared.sessions.get_mut(viewer) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(shared.sessions.remove(viewer)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn message(&mut self, viewer: &Id, now: Mono) -> Admitted {
        let (rate, has_session) = (self.rate, self.sessions.contains_key(viewer));
        let spent = self.unauthorised.is_empty(now);
        let account = self.account(viewer, now);
        if !has_session && account.suspect && (spent || account.unauthorised.is_empty(now)) {
            return Admitted::Dropped;
        }
        if account.messages.take(now) {
            return Admitted::Yes;
        }
        if !account.rate_limited.take(now) {
            return Admitted::Dropped;
        }
        let message = format!("more than {rate} messages a second");
        Admitted::Refused(Refusal::new(ErrorName::RateLimited, message).retry_after(Duration::from_secs(1)))
    }

    fn sealed_of_known(&mut self, topic: &Id, now: Mono) -> bool {
        let (has_assured, has_common) = (!self.assured.is_empty(now), !self.sealed.is_empty(now));
        let account = self.account(topic, now);
        if has_assured && account.assured.take(now) {
            return self.assured.take(now);
        }
        // Nothing of its own is spent on a message that the common allowance keeps out.
        has_common && account.sealed.take(now) && self.sealed.take(now)
    }

    fn unauthorised(&mut self, viewer: &Id, now: Mono) -> bool {
        let account = self.account(viewer, now);
        account.suspect = true;
        account.unauthorised.take(now);
        self.unauthorised.take(now);
        self.unauthorised_answers.take(now)
    }

    fn account(&mut self, viewer: &Id, now: Mono) -> &mut Account {
        if !self.accounts.contains_key(viewer) && self.accounts.len() >= VIEWERS {
            let silent = self.accounts.iter().min_by_key(|(_, account)| account.seen).map(|(id, _)| id.clone());
            silent.and_then(|id| self.accounts.remove(&id));
        }
        let rate = self.rate;
        let account = self.accounts.entry(viewer.clone()).or_insert_with(|| Account {
            messages: RateLimit::new(rate, rate.saturating_mul(BURST), now),
            rate_limited: RateLimit::new(1, 1, now),
            suspect: false,
            unauthorised: RateLimit::new(UNAUTHORISED_OF_ONE.0, UNAUTHORISED_OF_ONE.1, now),
            assured: RateLimit::new(ASSURED_OF_ONE.0, ASSURED_OF_ONE.1, now),
            sealed: RateLimit::new(SEALED_OF_ONE.0, SEALED_OF_ONE.1, now),
            refusals: RateLimit::new(REFUSALS_OF_ONE.0, REFUSALS_OF_ONE.1, now),
            alone: RateLimit::per_minute(ALONE.0, ALONE.1, now),
            seen: now,
        });
        account.seen = now;
        account
    }
}

#[cfg(test)]
mod tests;
