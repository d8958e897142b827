//! How many messages of a viewer are read, and how many refusals it gets (protocol section 7). Time is an argument, and
//! every table has a bound.
//!
//! Signalling asks before it reads a message. The sessions ask before they refuse a request, and report which viewers
//! have a session: clones share the same limits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::Mono,
    config::Id,
    protocol::{ErrorName, Refusal},
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
/// Sealed messages of one viewer that are opened: per second, and at once. Opening one costs about 3 ms of a slow board.
const SEALED_OF_ONE: (u32, u32) = (64, 128);
/// Sealed messages per second that are opened, of all viewers.
const SEALED: u32 = 100;
/// Sealed messages per second that are opened, of strangers while the board is pairing.
const SEALED_OF_STRANGERS: u32 = 10;
/// Refusals for one viewer outside of a session: per second, and at once.
const REFUSALS_OF_ONE: (u32, u32) = (2, 10);
/// Refusals per second outside of sessions, for all viewers.
const REFUSALS: u32 = 100;

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

/// A token bucket.
#[derive(Debug, Clone)]
struct TokenBucket {
    level: f64,
    per_second: f64,
    size: f64,
    seen: Mono,
}

impl TokenBucket {
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

/// The allowances of one viewer.
#[derive(Debug)]
struct Account {
    messages: TokenBucket,
    /// The refusal of messages above the rate: once a second.
    rate_limited: TokenBucket,
    /// Whether it ever sent something unauthorised.
    suspect: bool,
    unauthorised: TokenBucket,
    sealed: TokenBucket,
    refusals: TokenBucket,
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
    unauthorised: TokenBucket,
    unauthorised_answers: TokenBucket,
    sealed: TokenBucket,
    sealed_of_strangers: TokenBucket,
    refusals: TokenBucket,
    /// How many sessions each viewer has. The limit of sessions is the bound.
    sessions: HashMap<Id, usize>,
}

impl MessageLimits {
    /// `rate`: messages per second of one viewer.
    pub fn new(rate: u32, now: Mono) -> Self {
        let shared = Shared {
            rate,
            accounts: HashMap::new(),
            unauthorised: TokenBucket::new(UNAUTHORISED, UNAUTHORISED, now),
            unauthorised_answers: TokenBucket::new(1, 1, now),
            sealed: TokenBucket::new(SEALED, SEALED * 2, now),
            sealed_of_strangers: TokenBucket::new(SEALED_OF_STRANGERS, SEALED_OF_STRANGERS, now),
            refusals: TokenBucket::new(REFUSALS, REFUSALS, now),
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

    /// Counts a sealed message, whose sender is not known yet. Returns whether it is opened. Strangers have an allowance of
    /// their own, and so has each viewer on the list: nobody uses up another's.
    pub fn sealed(&self, topic: &Id, is_listed: bool, now: Mono) -> bool {
        let mut shared = self.lock();
        if !is_listed {
            return shared.sealed_of_strangers.take(now);
        }
        shared.account(topic, now).sealed.take(now) && shared.sealed.take(now)
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
            messages: TokenBucket::new(rate, rate.saturating_mul(BURST), now),
            rate_limited: TokenBucket::new(1, 1, now),
            suspect: false,
            unauthorised: TokenBucket::new(UNAUTHORISED_OF_ONE.0, UNAUTHORISED_OF_ONE.1, now),
            sealed: TokenBucket::new(SEALED_OF_ONE.0, SEALED_OF_ONE.1, now),
            refusals: TokenBucket::new(REFUSALS_OF_ONE.0, REFUSALS_OF_ONE.1, now),
            seen: now,
        });
        account.seen = now;
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn limits() -> MessageLimits {
        MessageLimits::new(Limits::default().messages_per_second, ms(0))
    }

    /// How many of `n` messages at one moment are read.
    fn read(limits: &MessageLimits, viewer: &str, n: usize, now: Mono) -> usize {
        (0..n).filter(|_| limits.message(&id(viewer), now) == Admitted::Yes).count()
    }

    #[test]
    fn twenty_messages_a_second_with_a_burst_of_sixty() {
        let limits = limits();
        assert_eq!(read(&limits, "anna", 100, ms(0)), 60);
        assert_eq!(read(&limits, "anna", 100, ms(1000)), 20);
        assert_eq!(read(&limits, "anna", 100, ms(1050)), 1);
        assert_eq!(read(&limits, "bert", 100, ms(1050)), 60, "each viewer for itself");
        assert_eq!(read(&limits, "anna", 100, ms(3_600_000)), 60, "an hour of silence saves up no more");
    }

    #[test]
    fn who_says_too_much_is_told_once_a_second() {
        let limits = limits();
        read(&limits, "anna", 60, ms(0));
        let Admitted::Refused(refusal) = limits.message(&id("anna"), ms(0)) else { panic!() };
        assert_eq!((refusal.code, refusal.name, refusal.retry_after_ms), (429, ErrorName::RateLimited, Some(1000)));
        assert_eq!(limits.message(&id("anna"), ms(10)), Admitted::Dropped);
        read(&limits, "anna", 20, ms(1000));
        assert!(matches!(limits.message(&id("anna"), ms(1000)), Admitted::Refused(_)));
    }

    #[test]
    fn who_sends_unauthorised_messages_uses_up_its_own_allowance() {
        let limits = limits();
        let mut read = 0;
        for n in 0..1000 {
            if limits.message(&id("mallory"), ms(n)) == Admitted::Yes {
                read += 1;
                limits.unauthorised(&id("mallory"), ms(n));
            }
        }
        assert!((10..=12).contains(&read), "{read}");
        limits.unauthorised(&id("anna"), ms(1000));
        limits.session_started(&id("anna"));
        assert_eq!(limits.message(&id("anna"), ms(1000)), Admitted::Yes, "a login with a session may send");
        assert!(!limits.unauthorised(&id("bert"), ms(1001)), "one report a second for all logins together");
        assert!(limits.unauthorised(&id("bert"), ms(2001)));
    }

    /// Payloads that look signed, 200 a second from each of 4, 40 and 300 logins: whoever comes new is read.
    #[test]
    fn newcomers_are_read_whatever_others_send() {
        for logins in [4, 40, 300] {
            let limits = limits();
            for n in 0..10_000 {
                for login in 0..logins / 4 {
                    let flood = id(&format!("flood-{}", (n as usize + login * 4) % logins));
                    if limits.message(&flood, ms(n)) == Admitted::Yes {
                        limits.unauthorised(&flood, ms(n));
                        let _ = limits.refusal(&flood, ms(n));
                    }
                }
                if n % 500 == 499 {
                    let newcomer = id(&format!("new-{n}"));
                    assert_eq!(limits.message(&newcomer, ms(n)), Admitted::Yes, "{logins} logins at {n} ms");
                    assert!(logins > 40 || limits.refusal(&newcomer, ms(n)), "a refusal may be sent to it");
                }
            }
        }
    }

    #[test]
    fn sealed_messages_are_opened_within_an_allowance_for_each_and_for_strangers() {
        let limits = limits();
        let opened =
            |viewer: &str, is_listed, n, at| (0..n).filter(|_| limits.sealed(&id(viewer), is_listed, ms(at))).count();
        assert_eq!(opened("mallory", false, 1000, 0), 10, "strangers");
        assert_eq!(opened("anna", true, 1000, 0), 128);
        assert_eq!(opened("bert", true, 1000, 0), 72, "200 at once for all");
        assert_eq!(opened("anna", true, 1000, 1000), 64);
        assert_eq!(opened("bert", true, 1000, 1000), 36);
        assert_eq!(opened("mallory", false, 1000, 1000), 10);
        assert_eq!(limits.lock().accounts.len(), 2, "a stranger has no account");
    }

    #[test]
    fn refusals_are_bounded_for_each_and_in_all() {
        let limits = limits();
        assert_eq!((0..1000).filter(|_| limits.refusal(&id("anna"), ms(0))).count(), 10);
        assert_eq!((0..1000).filter(|_| limits.refusal(&id("anna"), ms(1000))).count(), 2);
        let all = (0..1000).filter(|n| limits.refusal(&id(&format!("v{n}")), ms(5000))).count();
        assert_eq!(all, 100);
    }

    #[test]
    fn many_logins_cost_no_memory() {
        let limits = limits();
        for n in 0..10_000 {
            limits.message(&id(&format!("viewer-{n}")), ms(n));
        }
        assert_eq!(limits.lock().accounts.len(), VIEWERS);
        assert!(limits.lock().accounts.contains_key(&id("viewer-9999")));
        for n in 0..10 {
            limits.session_started(&id("anna"));
            assert_eq!(limits.lock().sessions[&id("anna")], n + 1);
        }
        (0..10).for_each(|_| limits.session_ended(&id("anna")));
        assert!(limits.lock().sessions.is_empty());
    }
}
