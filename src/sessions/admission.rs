//! Who may start a session (protocol section 7). Pure: time is an argument, and every table has a bound.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{
    clock::Mono,
    config::{Id, Limits},
    protocol::{ErrorName, Refusal, SessionId},
};

/// Viewers whose session starts are remembered. The one that started none for longest is forgotten first. A person with
/// many logins may start many sessions anyway.
const VIEWERS: usize = 256;
/// Ended sessions that are remembered.
const ENDED_MAX: usize = 256;
/// How long an ended session is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);
/// The window of session starts.
const MINUTE: Duration = Duration::from_secs(60);
/// How long a session that never had a connection counts against its viewer.
const UNCONNECTED_MEMORY: Duration = Duration::from_secs(60);
/// With this many of them, a viewer may set up only one session at a time, and takes nobody's place.
const UNCONNECTED_MAX: usize = 2;
/// Retry delay when the device is full.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// Retry delay when too many sessions are being set up.
const SETUP_PAUSE: Duration = Duration::from_secs(1);

/// The sessions that run when a viewer wants to start one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running {
    /// Sessions of all viewers.
    pub(super) all: usize,
    /// Sessions of the viewer that asks.
    pub(super) own: usize,
    /// Sessions that have not been live yet.
    pub(super) setups: usize,
    /// Sessions of the viewer that asks, and have not been live yet.
    pub(super) own_setups: usize,
}

/// What is remembered of one viewer.
#[derive(Debug)]
struct Account {
    /// When its sessions of the last minute started.
    starts: VecDeque<Mono>,
    /// When sessions of it ended that never had a connection.
    unconnected: VecDeque<Mono>,
    /// When it last started a session or tried to.
    seen: Mono,
}

impl Account {
    fn unconnected(&mut self, now: Mono) -> usize {
        while self.unconnected.front().is_some_and(|at| now.since(*at) >= UNCONNECTED_MEMORY) {
            self.unconnected.pop_front();
        }
        self.unconnected.len()
    }
}

/// Decides which sessions may start.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    accounts: HashMap<Id, Account>,
    /// Ended sessions, and until when each is remembered.
    ended_sessions: VecDeque<(Id, SessionId, Mono)>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, accounts: HashMap::new(), ended_sessions: VecDeque::new() }
    }

    /// Sets new limits.
    pub(super) fn configure(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// A session of `viewer` ended that never had a connection.
    pub(super) fn count_unconnected(&mut self, viewer: &Id, now: Mono) {
        let account = self.account(viewer, now);
        if account.unconnected.len() == UNCONNECTED_MAX {
            account.unconnected.pop_front();
        }
        account.unconnected.push_back(now);
    }

    /// A session of `viewer` had a connection. Those that had none no longer count against it.
    pub(super) fn connected(&mut self, viewer: &Id) {
        if let Some(account) = self.accounts.get_mut(viewer) {
            account.unconnected.clear();
        }
    }

    /// How many sessions of `viewer` ended lately that never had a connection.
    pub(super) fn unconnected(&mut self, viewer: &Id, now: Mono) -> usize {
        self.accounts.get_mut(viewer).map_or(0, |account| account.unconnected(now))
    }

    /// Whether `viewer` may take the place of a session that does not get a connection.
    pub(super) fn displaces(&mut self, viewer: &Id, now: Mono) -> bool {
        self.unconnected(viewer, now) < UNCONNECTED_MAX
    }

    /// Whether `viewer` may start a session now. Only a start that is allowed counts, so that a viewer that waits for a
    /// place does not use up its starts.
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
        if running.own_setups > 0 && account.unconnected(now) >= UNCONNECTED_MAX {
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
        if self.ended_sessions.len() == ENDED_MAX {
            self.ended_sessions.pop_front();
        }
        self.ended_sessions.push_back((viewer, session, now + REMEMBERED));
    }

    /// Whether this session ended lately. Its id cannot be used again.
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
        let account = self.accounts.entry(viewer.clone()).or_insert_with(|| Account {
            starts: VecDeque::new(),
            unconnected: VecDeque::new(),
            seen: now,
        });
        account.seen = now;
        account
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
