//! Who may say how much, and who may start a session (section 7). Pure: time is an argument. Every table has a bound.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    clock::Mono,
    config::{Id, Limits},
    protocol::{ErrorName, Refusal, SessionId},
};

/// Viewers whose rate is remembered. The one that was silent longest is forgotten first, and comes back with a full
/// allowance: somebody with many names has many allowances anyway, as many as the broker gives him logins.
const VIEWERS: usize = 256;
/// Sessions remembered after their end.
const TOMBS: usize = 256;
/// How long.
const REMEMBERED: Duration = Duration::from_secs(30);
/// The window of session starts.
const MINUTE: Duration = Duration::from_secs(60);
/// A burst of messages, in seconds' worth.
const BURST: u32 = 3;
/// Unauthorised messages of one viewer that are looked at: a second, and at once.
const UNAUTHORISED_OF_ONE: (u32, u32) = (2, 10);
/// The same a second, of all viewers who sent such messages before.
const UNAUTHORISED: u32 = 50;
/// Refusals said to one viewer who has no session: a second, and at once.
const REFUSALS_OF_ONE: (u32, u32) = (2, 10);
/// The same a second, to all.
const REFUSALS: u32 = 100;
/// How long a session is held against its viewer that ended without ever having had a connection.
const GHOST_MEMORY: Duration = Duration::from_secs(60);
/// With so many of them, a viewer may set up one session at a time, and takes nobody's place.
const GHOSTS: usize = 2;
/// What a viewer is told to wait when the device is full.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// And when only others stand in the door.
const SETUP_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a message before anybody reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is read.
    Read,
    /// It is refused, and this is said.
    Refused(Refusal),
    /// It is dropped: the refusal was said a moment ago.
    Dropped,
}

/// What is running when somebody wants to start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running {
    /// Sessions in all.
    pub(super) all: usize,
    /// Of the viewer who asks.
    pub(super) own: usize,
    /// That have not been live yet.
    pub(super) setups: usize,
    /// Those of the viewer who asks.
    pub(super) own_setups: usize,
}

/// An allowance that refills.
#[derive(Debug, Clone)]
struct MessageBucket {
    level: f64,
    per_second: f64,
    size: f64,
    seen: Mono,
}

impl MessageBucket {
    fn new(per_second: u32, size: u32, now: Mono) -> Self {
        Self { level: f64::from(size), per_second: f64::from(per_second), size: f64::from(size), seen: now }
    }

    fn refill(&mut self, now: Mono) {
        let gained = now.since(self.seen).as_secs_f64() * self.per_second;
        (self.level, self.seen) = ((self.level + gained).min(self.size), self.seen.max(now));
    }

    fn take(&mut self, now: Mono) -> bool {
        self.refill(now);
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }

    fn is_empty(&mut self, now: Mono) -> bool {
        self.refill(now);
        self.level < 1.0
    }
}

/// What is remembered of one viewer.
#[derive(Debug)]
struct Account {
    messages: MessageBucket,
    /// The refusal for saying too much, once a second.
    told: MessageBucket,
    /// Whether it ever sent something unauthorised, and how much more of that is looked at.
    suspect: bool,
    unauthorised: MessageBucket,
    refusals: MessageBucket,
    starts: VecDeque<Mono>,
    /// When sessions of it ended that never had a connection.
    unconnected: VecDeque<Mono>,
    seen: Mono,
}

impl Account {
    fn unconnected(&mut self, now: Mono) -> usize {
        while self.unconnected.front().is_some_and(|at| now.since(*at) >= GHOST_MEMORY) {
            self.unconnected.pop_front();
        }
        self.unconnected.len()
    }
}

/// Keeps the limits.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    accounts: HashMap<Id, Account>,
    ended_sessions: VecDeque<(Id, SessionId, Mono)>,
    unauthorised: MessageBucket,
    unauthorised_told: MessageBucket,
    refusals: MessageBucket,
}

impl Admission {
    pub(super) fn new(limits: Limits, now: Mono) -> Self {
        Self {
            limits,
            accounts: HashMap::new(),
            ended_sessions: VecDeque::new(),
            unauthorised: MessageBucket::new(UNAUTHORISED, UNAUTHORISED, now),
            unauthorised_told: MessageBucket::new(1, 1, now),
            refusals: MessageBucket::new(REFUSALS, REFUSALS, now),
        }
    }

    /// Takes new limits; those of messages hold for viewers that are not known yet.
    pub(super) fn configure(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A message of `viewer` came in; `has_session` says whether it has a session. Each viewer uses up its own allowance first, and
    /// what those used up who said something unauthorised is counted only against them: nobody is kept out by what others say.
    pub(super) fn message(&mut self, viewer: &Id, has_session: bool, now: Mono) -> Entry {
        let rate = self.limits.messages_per_second;
        let spent = self.unauthorised.is_empty(now);
        let account = self.account(viewer, now);
        if !has_session && account.suspect && (spent || account.unauthorised.is_empty(now)) {
            return Entry::Dropped;
        }
        if account.messages.take(now) {
            return Entry::Read;
        }
        if !account.told.take(now) {
            return Entry::Dropped;
        }
        let message = format!("more than {rate} messages a second");
        Entry::Refused(Refusal::new(ErrorName::RateLimited, message).retry_after(Duration::from_secs(1)))
    }

    /// A message was not authorised; whether that is said. Once a second in all, so that asking tells nothing.
    pub(super) fn unauthorised(&mut self, viewer: &Id, now: Mono) -> bool {
        let account = self.account(viewer, now);
        account.suspect = true;
        account.unauthorised.take(now);
        self.unauthorised.take(now);
        self.unauthorised_told.take(now)
    }

    /// Whether a refusal may be said to a viewer who has no session.
    pub(super) fn refusal(&mut self, viewer: &Id, now: Mono) -> bool {
        self.account(viewer, now).refusals.take(now) && self.refusals.take(now)
    }

    /// A session of `viewer` ended that never had a connection.
    pub(super) fn count_unconnected(&mut self, viewer: &Id, now: Mono) {
        let account = self.account(viewer, now);
        if account.unconnected.len() == GHOSTS {
            account.unconnected.pop_front();
        }
        account.unconnected.push_back(now);
    }

    /// A session of `viewer` connected: what was before is forgotten.
    pub(super) fn connected(&mut self, viewer: &Id) {
        if let Some(account) = self.accounts.get_mut(viewer) {
            account.unconnected.clear();
        }
    }

    /// How many such sessions of `viewer` are remembered.
    pub(super) fn unconnected(&mut self, viewer: &Id, now: Mono) -> usize {
        self.accounts.get_mut(viewer).map_or(0, |account| account.unconnected(now))
    }

    /// Whether `viewer` may take the place of a session that does not get a connection.
    pub(super) fn displaces(&mut self, viewer: &Id, now: Mono) -> bool {
        self.unconnected(viewer, now) < GHOSTS
    }

    /// Whether `viewer` may start a session now. Only a start that is allowed counts, so that who waits for a place
    /// does not use up its tries by asking.
    pub(super) fn admit(&mut self, viewer: &Id, running: Running, now: Mono) -> Result<(), Refusal> {
        let Limits { viewers, sessions_per_viewer, setups, starts_per_minute, .. } = self.limits;
        let busy = |message: String, pause| Err(Refusal::new(ErrorName::Busy, message).retry_after(pause));
        let starts = usize::try_from(starts_per_minute).unwrap_or(usize::MAX);
        let account = self.account(viewer, now);
        while account.starts.front().is_some_and(|start| now.since(*start) >= MINUTE) {
            account.starts.pop_front();
        }
        if account.starts.len() >= starts {
            let free = account.starts.front().map_or(MINUTE, |start| (*start + MINUTE).since(now));
            let message = format!("more than {starts_per_minute} session starts a minute");
            return Err(Refusal::new(ErrorName::RateLimited, message).retry_after(free));
        }
        if running.own_setups > 0 && account.unconnected(now) >= GHOSTS {
            return busy(
                "a session of this viewer is being set up, and those before it never connected".into(),
                BUSY_PAUSE,
            );
        }
        if running.own >= sessions_per_viewer {
            return busy(format!("this viewer has {sessions_per_viewer} sessions, which is the most"), BUSY_PAUSE);
        }
        if running.all >= viewers {
            return busy(format!("{viewers} viewers watch, which is the most"), BUSY_PAUSE);
        }
        if running.setups >= setups {
            return busy(format!("{setups} sessions are being set up, which is the most"), SETUP_PAUSE);
        }
        account.starts.push_back(now);
        Ok(())
    }

    /// Remembers a session that ended.
    pub(super) fn remember_ended(&mut self, viewer: Id, session: SessionId, now: Mono) {
        if self.ended_sessions.len() == TOMBS {
            self.ended_sessions.pop_front();
        }
        self.ended_sessions.push_back((viewer, session, now + REMEMBERED));
    }

    /// Whether a session ended lately.
    pub(super) fn has_ended(&mut self, viewer: &Id, session: &SessionId, now: Mono) -> bool {
        while self.ended_sessions.front().is_some_and(|(_, _, until)| *until <= now) {
            self.ended_sessions.pop_front();
        }
        self.ended_sessions.iter().any(|(v, s, _)| (v, s) == (viewer, session))
    }

    fn account(&mut self, viewer: &Id, now: Mono) -> &mut Account {
        if !self.accounts.contains_key(viewer) && self.accounts.len() >= VIEWERS {
            let silent = self.accounts.iter().min_by_key(|(_, account)| account.seen).map(|(id, _)| id.clone());
            silent.and_then(|id| self.accounts.remove(&id));
        }
        let rate = self.limits.messages_per_second;
        let account = self.accounts.entry(viewer.clone()).or_insert_with(|| Account {
            messages: MessageBucket::new(rate, rate.saturating_mul(BURST), now),
            told: MessageBucket::new(1, 1, now),
            suspect: false,
            unauthorised: MessageBucket::new(UNAUTHORISED_OF_ONE.0, UNAUTHORISED_OF_ONE.1, now),
            refusals: MessageBucket::new(REFUSALS_OF_ONE.0, REFUSALS_OF_ONE.1, now),
            unconnected: VecDeque::new(),
            starts: VecDeque::new(),
            seen: now,
        });
        account.seen = now;
        account
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
