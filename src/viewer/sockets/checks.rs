//! Which connectivity checks leave. Pure: addresses and times in, yes or no out.
//!
//! The stack sends a check for every candidate pair in each round, 50 rounds a second: with candidates that name a host
//! which asked for nothing, that is a flood. RFC 8445 section 14 allows one check each 50 ms, appendix B.1 and RFC 8489
//! section 6.2.1 seven tries that come ever later. A check that is held back here is one that the network lost: the stack
//! sends the next one in its next round. Who has answered a check is not held back, and who has sent a signed one of its
//! own is answered at once, a few times: that is how most sessions find their pair, and it takes one round trip.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A pair of addresses, as the network sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PacketPath {
    /// The own socket.
    pub(crate) local: SocketAddr,
    pub(crate) transport: Transport,
    /// The other end.
    pub(crate) peer: SocketAddr,
}

/// How packets go from one end to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    /// Through this TURN server.
    Relay(SocketAddr),
}

/// Checks that leave at once when a session begins: as many as a home network has pairs.
const AT_ONCE: f64 = 8.0;
/// RFC 8445 section 14.2: 50 ms between two checks, in all.
const CHECKS_PER_SECOND: f64 = 20.0;
/// Checks of one session to addresses that have said nothing, and how many more each second.
const SESSION: (f64, f64) = (120.0, 1.0);
/// The same for all sessions of one login.
const LOGIN: (f64, f64) = (240.0, 4.0);
/// Tries for a pair that has said nothing (Rc of RFC 8489 section 6.2.1), and when the second one is due; the pause doubles.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Tries for all pairs of one address that has said nothing, whatever their ports.
const TRIES_OF_AN_ADDRESS: u32 = 60;
/// Answers with a check of our own to signed checks, from addresses that have not answered one yet: their sender address may
/// be forged by somebody who has a login.
const TRIGGERED: (f64, f64) = (60.0, 5.0);
const TRIGGERED_OF_A_PAIR: u32 = 12;
/// Checks to those who answer: consent checks, and the rounds until a pair is chosen.
const ANSWERED: (f64, f64) = (100.0, 100.0);
/// RFC 7675 section 5.1: who has answered may be asked for so long.
pub(crate) const CONSENT: Duration = Duration::from_secs(30);
/// A pair that was not wanted for so long waits for nothing: the stack asks for each of its pairs every 20 ms.
const ROUND: Duration = Duration::from_millis(100);
/// Pairs that are remembered. The stack is given 24 candidates for each generation of ICE.
const PAIRS: usize = 512;
/// Logins that are remembered.
const LOGINS: usize = 1024;

/// A token bucket: it begins full.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    level: f64,
    size: f64,
    per_second: f64,
    seen: Option<Instant>,
}

impl TokenBucket {
    pub(crate) fn new((size, per_second): (f64, f64)) -> Self {
        Self { level: size, size, per_second, seen: None }
    }

    fn level(&mut self, now: Instant) -> f64 {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        self.seen = self.seen.max(Some(now));
        self.level = (self.level + passed.as_secs_f64() * self.per_second).min(self.size);
        self.level
    }

    fn has(&mut self, now: Instant) -> bool {
        self.level(now) >= 1.0
    }

    /// Takes `tokens`, or nothing where there are fewer.
    pub(crate) fn take(&mut self, tokens: f64, now: Instant) -> bool {
        let enough = self.level(now) >= tokens;
        if enough {
            self.level -= tokens;
        }
        enough
    }
}

/// What the checks of each login have left, so that ten sessions may not send ten times as many as one.
#[derive(Debug, Default)]
pub(crate) struct LoginBuckets(HashMap<String, Arc<Mutex<TokenBucket>>>);

impl LoginBuckets {
    /// What all sessions of this login share. A login without a session whose bucket is full again is forgotten.
    pub(crate) fn of(&mut self, login: &str, now: Instant) -> Arc<Mutex<TokenBucket>> {
        if let Some(known) = self.0.get(login) {
            return Arc::clone(known);
        }
        let is_used = |bucket: &mut Arc<Mutex<TokenBucket>>| {
            Arc::strong_count(bucket) > 1 || bucket.lock().unwrap_or_else(PoisonError::into_inner).level(now) < LOGIN.0
        };
        self.0.retain(|_, bucket| is_used(bucket));
        if self.0.len() >= LOGINS {
            // Those with a session are far fewer.
            let unused = self.0.iter().find(|(_, bucket)| Arc::strong_count(bucket) == 1);
            if let Some(login) = unused.map(|(login, _)| login.clone()) {
                self.0.remove(&login);
            }
        }
        let bucket = Arc::new(Mutex::new(TokenBucket::new(LOGIN)));
        self.0.insert(login.to_owned(), Arc::clone(&bucket));
        bucket
    }
}

/// One pair.
#[derive(Debug)]
struct CheckedPair {
    /// Checks that left while it had said nothing, and when the next one may leave.
    tries: u32,
    due: Option<Instant>,
    /// Checks that left because it sent one.
    triggered: u32,
    /// When the stack last wanted to send one.
    wanted: Instant,
    /// When it last sent a signed check, and a signed answer.
    asked: Option<Instant>,
    answered: Option<Instant>,
}

impl CheckedPair {
    fn new(now: Instant) -> Self {
        Self { tries: 0, due: None, triggered: 0, wanted: now, asked: None, answered: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.tries < TRIES && self.due.is_none_or(|due| due <= now)
    }

    fn heard(&self) -> Option<Instant> {
        self.asked.max(self.answered)
    }
}

fn is_recent(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < CONSENT)
}

/// The checks of one session.
#[derive(Debug)]
pub(crate) struct CheckPacer {
    pairs: HashMap<PacketPath, CheckedPair>,
    /// Tries for each address that has said nothing.
    addresses: HashMap<IpAddr, u32>,
    pace: TokenBucket,
    session: TokenBucket,
    triggered: TokenBucket,
    answered: TokenBucket,
    login: Arc<Mutex<TokenBucket>>,
}

impl CheckPacer {
    pub(crate) fn new(login: Arc<Mutex<TokenBucket>>) -> Self {
        Self {
            pairs: HashMap::new(),
            addresses: HashMap::new(),
            pace: TokenBucket::new((AT_ONCE, CHECKS_PER_SECOND)),
            session: TokenBucket::new(SESSION),
            triggered: TokenBucket::new(TRIGGERED),
            answered: TokenBucket::new(ANSWERED),
            login,
        }
    }

    /// ICE begins again: there are other candidates, with tries of their own. What the session may send in all stays.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.pairs.retain(|_, pair| is_recent(pair.heard(), now));
        for pair in self.pairs.values_mut() {
            (pair.tries, pair.due, pair.triggered) = (0, None, 0);
        }
        self.addresses.clear();
    }

    /// A signed check came this way.
    pub(crate) fn asked(&mut self, path: PacketPath, now: Instant) {
        if let Some(pair) = self.pair(path, now) {
            pair.asked = Some(now);
        }
    }

    /// A signed answer to a check came this way.
    pub(crate) fn answered(&mut self, path: PacketPath, now: Instant) {
        if let Some(pair) = self.pair(path, now) {
            pair.answered = Some(now);
        }
    }

    /// Whether the viewer proved within the time of consent that it is there.
    pub(crate) fn is_heard(&self, path: &PacketPath, now: Instant) -> bool {
        self.pairs.get(path).is_some_and(|pair| is_recent(pair.heard(), now))
    }

    /// The stack sends a check this way: whether it may leave.
    pub(crate) fn may_leave(&mut self, path: PacketPath, now: Instant) -> bool {
        let Some(pair) = self.pair(path, now) else { return false };
        pair.wanted = now;
        if is_recent(pair.answered, now) {
            return self.answered.take(1.0, now);
        }
        if is_recent(pair.asked, now) && pair.triggered < TRIGGERED_OF_A_PAIR {
            pair.triggered += 1;
            return self.triggered.take(1.0, now);
        }
        let tries = pair.tries;
        if !pair.is_due(now) || self.is_spent(&path) {
            return false;
        }
        // Those who had fewer tries, and wait, come first: the stack asks for them within this round.
        let waits = |(path, other): (&PacketPath, &CheckedPair)| {
            other.tries < tries
                && other.is_due(now)
                && other.heard().is_none()
                && now.saturating_duration_since(other.wanted) < ROUND
                && !self.is_spent(path)
        };
        if self.pairs.iter().any(waits) {
            return false;
        }
        let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if !(self.pace.has(now) && self.session.has(now) && login.has(now)) {
            return false;
        }
        (self.pace.level, self.session.level, login.level) =
            (self.pace.level - 1.0, self.session.level - 1.0, login.level - 1.0);
        drop(login);
        *self.addresses.entry(path.peer.ip()).or_default() += 1;
        if let Some(pair) = self.pairs.get_mut(&path) {
            pair.due = Some(now + FIRST_PAUSE * 2_u32.saturating_pow(pair.tries));
            pair.tries += 1;
        }
        true
    }

    /// Whether the address at the other end has had all its tries.
    fn is_spent(&self, path: &PacketPath) -> bool {
        self.addresses.get(&path.peer.ip()).is_some_and(|tries| *tries >= TRIES_OF_AN_ADDRESS)
    }

    /// What is known of a pair; `None` where there are too many.
    fn pair(&mut self, path: PacketPath, now: Instant) -> Option<&mut CheckedPair> {
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&path) {
            self.pairs
                .retain(|_, pair| is_recent(pair.heard(), now) || now.saturating_duration_since(pair.wanted) < CONSENT);
            if self.pairs.len() >= PAIRS {
                return None;
            }
        }
        Some(self.pairs.entry(path).or_insert_with(|| CheckedPair::new(now)))
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
