//! The pacing of ICE connectivity checks: which of them may leave. Pure: addresses and times in, yes or no out.
//!
//! The stack sends a check for every candidate pair in each round, 50 rounds a second. If candidates name a host that
//! is not the viewer, this is a flood. RFC 8445 section 14 allows one check each 50 ms. Its appendix B.1 and RFC 8489
//! section 6.2.1 allow seven tries with growing pauses.
//!
//! A check that is held back counts as lost on the network: the stack sends the next one in its next round. Checks to
//! an address that has answered one are not held back. An address that sent a signed check itself gets a few triggered
//! checks at once (RFC 8445 section 7.3.1.4). Most sessions find their pair like this, in one round trip.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A local and a remote address with the transport between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PacketPath {
    /// The address of the local socket.
    pub(crate) local: SocketAddr,
    pub(crate) transport: Transport,
    /// The remote address.
    pub(crate) peer: SocketAddr,
}

/// The transport between the two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    /// Through this TURN server.
    Relay(SocketAddr),
}

/// Checks that may leave at once when a session begins: about the pairs of a home network.
const AT_ONCE: f64 = 8.0;
/// RFC 8445 section 14.2 (Ta): 50 ms between two checks of all pairs together.
const CHECKS_PER_SECOND: f64 = 20.0;
/// Checks of one session to addresses that sent nothing: at once, and how many more each second.
const SESSION: (f64, f64) = (120.0, 1.0);
/// The same for all sessions of one login.
const LOGIN: (f64, f64) = (240.0, 4.0);
/// Tries for a pair that sent nothing (Rc of RFC 8489 section 6.2.1), and the pause before the second. The pause
/// doubles each time.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Tries for all pairs with one silent address, whatever their ports.
const TRIES_OF_AN_ADDRESS: u32 = 60;
/// Triggered checks to addresses that have not answered a check yet. The limit is needed because a login's owner can
/// forge the sender address of signed checks.
const TRIGGERED: (f64, f64) = (60.0, 5.0);
const TRIGGERED_OF_A_PAIR: u32 = 12;
/// Checks to addresses that answer: consent checks, and the rounds until a pair is chosen.
const ANSWERED: (f64, f64) = (100.0, 100.0);
/// RFC 7675 section 5.1: an answer is a consent for this long.
pub(crate) const CONSENT: Duration = Duration::from_secs(30);
/// A pair for which the stack sent no check for this long does not wait for its turn. The stack checks each of its
/// pairs every 20 ms.
const ROUND: Duration = Duration::from_millis(100);
/// How many pairs are remembered. The stack is given 24 candidates in each ICE generation.
const PAIRS: usize = 512;
/// How many logins are remembered.
const LOGINS: usize = 1024;

/// A token bucket. It starts full.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    level: f64,
    size: f64,
    per_second: f64,
    seen: Option<Instant>,
}

impl TokenBucket {
    /// Takes the size and the tokens that are added each second.
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

    /// Takes `tokens`, or nothing if there are fewer.
    pub(crate) fn take(&mut self, tokens: f64, now: Instant) -> bool {
        let enough = self.level(now) >= tokens;
        if enough {
            self.level -= tokens;
        }
        enough
    }

    /// Adds `tokens`, up to the size.
    pub(crate) fn give(&mut self, tokens: f64, now: Instant) {
        self.level = (self.level(now) + tokens).min(self.size);
    }
}

/// The budget of checks for each login, so that ten sessions may not send ten times as many as one.
#[derive(Debug, Default)]
pub(crate) struct LoginBuckets(HashMap<String, Arc<Mutex<TokenBucket>>>);

impl LoginBuckets {
    /// The bucket that all sessions of this login share. A bucket that is full and without a session is forgotten.
    pub(crate) fn of(&mut self, login: &str, now: Instant) -> Arc<Mutex<TokenBucket>> {
        if let Some(known) = self.0.get(login) {
            return Arc::clone(known);
        }
        let is_used = |bucket: &mut Arc<Mutex<TokenBucket>>| {
            Arc::strong_count(bucket) > 1 || bucket.lock().unwrap_or_else(PoisonError::into_inner).level(now) < LOGIN.0
        };
        self.0.retain(|_, bucket| is_used(bucket));
        if self.0.len() >= LOGINS {
            // Logins with a session are far fewer than `LOGINS`.
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

/// The state of one candidate pair.
#[derive(Debug)]
struct CheckedPair {
    /// Checks that left before the pair answered, and when the next one may leave.
    tries: u32,
    due: Option<Instant>,
    /// Triggered checks that left.
    triggered: u32,
    /// When the stack last sent a check for this pair.
    wanted: Instant,
    /// When the last signed check and the last signed response arrived.
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

/// Paces the connectivity checks of one session.
#[derive(Debug)]
pub(crate) struct CheckPacer {
    pairs: HashMap<PacketPath, CheckedPair>,
    /// The tries for each address that sent nothing.
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

    /// ICE restarts: its new candidates get tries of their own. The budget of the session stays.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.pairs.retain(|_, pair| is_recent(pair.heard(), now));
        for pair in self.pairs.values_mut() {
            (pair.tries, pair.due, pair.triggered) = (0, None, 0);
        }
        self.addresses.clear();
    }

    /// A signed check arrived on this path.
    pub(crate) fn asked(&mut self, path: PacketPath, now: Instant) {
        if let Some(pair) = self.pair(path, now) {
            pair.asked = Some(now);
        }
    }

    /// A signed response to a check arrived on this path.
    pub(crate) fn answered(&mut self, path: PacketPath, now: Instant) {
        if let Some(pair) = self.pair(path, now) {
            pair.answered = Some(now);
        }
    }

    /// Whether a signed message arrived on this path within the time of consent.
    pub(crate) fn is_heard(&self, path: &PacketPath, now: Instant) -> bool {
        self.pairs.get(path).is_some_and(|pair| is_recent(pair.heard(), now))
    }

    /// The stack sends a check on this path. Returns whether it may leave.
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
        // Pairs with fewer tries come first. If such a pair is due, this one waits: the stack sends the other's check
        // in this round.
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

    /// Whether the remote address has used all its tries.
    fn is_spent(&self, path: &PacketPath) -> bool {
        self.addresses.get(&path.peer.ip()).is_some_and(|tries| *tries >= TRIES_OF_AN_ADDRESS)
    }

    /// The state of a pair; `None` if too many are remembered.
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
