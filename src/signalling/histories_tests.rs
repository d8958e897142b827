//! Generated histories of a board in the mode `token`, under a broker that replays, redirects, forges and changes
//! messages: no message is accepted that its viewer did not send now, to this board, for the first time. The viewer is
//! on the list, or it has a token that was not taken back.
//!
//! `./test` runs some thousands. A million takes some hours:
//! `FANLIGHT_HISTORIES=1000000 cargo test --release --lib histories`.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::{
    audit::AuditLog,
    config::Id,
    grant::{Grant, KeysAccess, WallClock},
    jose::{PublicKey, SealingKey, SigningKey, seal},
    message_limits::MessageLimits,
    protocol::{Request, SessionId},
    rights::{Right, Rights},
    trust::{
        LastSeen,
        issuer_tests::{TestIssuer, claims},
        issuers::Issuers,
        pairing::PairingHandle,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, viewer_id},
    },
};

/// Viewers that may be on the list. Two more keys are never on it: the guest has tokens, and Mallory has nothing.
const VIEWERS: usize = 3;
const GUEST: usize = VIEWERS;
const MALLORY: usize = GUEST + 1;
/// How many steps a history has.
const STEPS: usize = 16;

/// Keys are made once: what differs between histories is what happens.
struct Keys {
    boards: Vec<Arc<BoardKeys>>,
    viewers: Vec<SigningKey>,
    reply: SealingKey,
    issuer: TestIssuer,
    /// Tokens of the guest, each with another id.
    tokens: Vec<String>,
}

/// How many tokens the guest can have in one history.
const TOKENS: usize = 4;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let viewers: Vec<_> = (0..=MALLORY).map(|_| SigningKey::generate().unwrap()).collect();
    let (issuer, now) = (TestIssuer::new(), WallClock::now().now.as_secs());
    let token = |n: usize| {
        let mut claims = claims(viewers[GUEST].public(), now, now + 80_000);
        claims["jti"] = token_id(n).into();
        issuer.token(&claims)
    };
    Keys {
        boards: (0..3).map(|_| Arc::new(BoardKeys::ephemeral().unwrap())).collect(),
        reply: SealingKey::generate().unwrap(),
        tokens: (0..TOKENS).map(token).collect(),
        viewers,
        issuer,
    }
});

fn token_id(n: usize) -> String {
    format!("token-{n}")
}

fn id(viewer: usize) -> Id {
    viewer_id(&KEYS.viewers[viewer].public().thumbprint())
}

/// A small generator of pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// A message that exists in this history, and what is true about it.
#[derive(Clone)]
struct Known {
    payload: Bytes,
    author: usize,
    boot: usize,
    /// The slot of its nonce.
    slot: u64,
    session: SessionId,
    /// The token with it, if it is the guest's.
    token: usize,
    accepted: bool,
}

struct History {
    dice: Dice,
    now: Mono,
    boot: usize,
    listed: [bool; VIEWERS],
    viewers: watch::Sender<Arc<ViewerList>>,
    issuers: watch::Sender<Arc<Issuers>>,
    /// The newest token of the guest, and those that were taken back.
    token: usize,
    denied: BTreeSet<usize>,
    pairing: PairingHandle,
    grant: Arc<Grant>,
    inbound: Inbound,
    known: Vec<Known>,
    sessions: usize,
}

fn slot(now: Mono) -> u64 {
    now.0 / 60_000_000_000
}

fn entry(key: PublicKey, name: String) -> ViewerEntry {
    let rights = Rights::of([Right::View]);
    ViewerEntry { key, name, rights, until: None, since: 0, origin: EntryOrigin::Listed }
}

impl History {
    fn new(seed: u64) -> Self {
        let (viewers, issuers) =
            (watch::Sender::new(Arc::default()), watch::Sender::new(Arc::new(KEYS.issuer.known())));
        let (pairing, now) = (PairingHandle::default(), Mono(1_000_000_000_000));
        let (grant, inbound) = start(0, &viewers, &issuers, &pairing, now);
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut history = Self {
            dice,
            now,
            boot: 0,
            listed: [true, true, false],
            viewers,
            issuers,
            token: 0,
            denied: BTreeSet::new(),
            pairing,
            grant,
            inbound,
            known: Vec::new(),
            sessions: 0,
        };
        history.publish();
        history
    }

    /// Publishes the list.
    fn publish(&mut self) {
        let mut list = ViewerList::default();
        for (viewer, _) in self.listed.iter().enumerate().filter(|(_, listed)| **listed) {
            list.add(entry(*KEYS.viewers[viewer].public(), format!("viewer {viewer}"))).unwrap();
        }
        self.viewers.send_replace(Arc::new(list));
    }

    /// A new message: an `offer` of `author`, with the nonce of `at`.
    fn message(&mut self, author: usize, kid: usize, at: Mono) -> Known {
        self.sessions += 1;
        let session = SessionId::new(&format!("{:0>22}", self.sessions)).unwrap();
        let mut header = json!({
            "alg": "ES256", "typ": "fanlight-req", "kid": KEYS.viewers[kid].public().thumbprint().to_string(),
            "to": "porch", "nonce": self.grant.nonce(at), "reply": KEYS.reply.public().to_string(),
        });
        if kid == GUEST {
            header["token"] = KEYS.tokens[self.token].as_str().into();
        }
        let offer = json!({"v": 1, "type": "offer", "session": session.as_str(), "seq": 0, "sdp": "v=0\r\n"});
        let signed = KEYS.viewers[author].sign(&header, offer.to_string().as_bytes()).unwrap();
        let payload = Bytes::from(seal(board(self.boot).sealing().public(), signed.as_bytes()).unwrap());
        Known { payload, author, boot: self.boot, slot: slot(at), session, token: self.token, accepted: false }
    }

    fn receive(&mut self, topic: Id, payload: Bytes) -> Received {
        self.inbound.receive(LinkEvent::Message { viewer: topic, payload, correlation: None }, self.now)
    }

    /// Delivers a known message on the topic of `topic`, and checks the result against what is true.
    fn deliver(&mut self, at: usize, topic: usize) {
        let known = self.known[at].clone();
        let is_fresh = slot(self.now).checked_sub(known.slot).is_some_and(|age| age < 3);
        let is_listed = match known.author {
            GUEST => !self.denied.contains(&known.token),
            author => self.listed[author],
        };
        let is_due = is_fresh && is_listed && known.boot == self.boot && topic == known.author && !known.accepted;
        match self.receive(id(topic), known.payload) {
            Received::Request(request) => {
                assert!(is_due, "accepted: an author on the list {is_listed}, fresh {is_fresh}");
                assert_eq!((&request.from.who, &request.head.session), (&id(known.author), &known.session));
                assert!(matches!(request.request, Request::Offer { restart: false, .. }));
                self.known[at].accepted = true;
            }
            Received::Nothing => assert!(!is_due, "a message that should be accepted is not"),
            // On a machine whose clock is not right, the guest is told so.
            Received::Refusal(_) if known.author == GUEST && !WallClock::now().is_synced => {}
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self) {
        // The rate of strangers, which the guest shares at first, is no matter of this test.
        self.now = self.now + Duration::from_secs(1);
        match self.dice.roll(14) {
            0..=2 => {
                let author = self.dice.roll(GUEST + 1);
                let message = self.message(author, author, self.now);
                self.known.push(message);
                self.deliver(self.known.len() - 1, author);
            }
            3 => {
                let (author, age) = (self.dice.roll(GUEST + 1), self.dice.roll(6) as u64 * 60_000_000_000);
                let message = self.message(author, author, Mono(self.now.0 - age));
                self.known.push(message);
                self.deliver(self.known.len() - 1, author);
            }
            4..=5 if !self.known.is_empty() => {
                let at = self.dice.roll(self.known.len());
                self.deliver(at, self.known[at].author);
            }
            6 if !self.known.is_empty() => {
                let (at, topic) = (self.dice.roll(self.known.len()), self.dice.roll(GUEST + 1));
                self.deliver(at, topic);
            }
            7 if !self.known.is_empty() => self.deliver_changed(),
            8 => {
                let (topic, kid) = (self.dice.roll(GUEST + 1), self.dice.roll(MALLORY + 1));
                let forged = self.message(MALLORY, kid, self.now);
                assert_eq!(self.receive(id(topic), forged.payload), Received::Nothing, "forged");
            }
            9 => {
                let viewer = self.dice.roll(VIEWERS);
                self.listed[viewer] ^= true;
                self.publish();
            }
            10 => self.now = self.now + Duration::from_secs(1 + self.dice.roll(200) as u64),
            11 => {
                self.boot += 1;
                (self.grant, self.inbound) = start(self.boot, &self.viewers, &self.issuers, &self.pairing, self.now);
            }
            12 => self.token = (self.token + 1).min(TOKENS - 1),
            13 => self.take_back(),
            _ => {}
        }
    }

    /// Takes back the guest's newest token.
    fn take_back(&mut self) {
        self.denied.insert(self.token);
        let ids: Vec<_> = self.denied.iter().map(|n| token_id(*n)).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        self.issuers.send_replace(Arc::new(KEYS.issuer.denying(0, &ids)));
    }

    /// Delivers a known message with one character changed.
    fn deliver_changed(&mut self) {
        let at = self.dice.roll(self.known.len());
        let (author, mut bytes) = (self.known[at].author, self.known[at].payload.to_vec());
        let place = self.dice.roll(bytes.len());
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(self.receive(id(author), bytes.into()), Received::Nothing, "changed at {place}");
    }
}

fn board(boot: usize) -> &'static Arc<BoardKeys> {
    &KEYS.boards[boot % KEYS.boards.len()]
}

/// A start of the daemon: another sealing key, and another secret of the nonces.
fn start(
    boot: usize,
    viewers: &watch::Sender<Arc<ViewerList>>,
    issuers: &watch::Sender<Arc<Issuers>>,
    pairing: &PairingHandle,
    now: Mono,
) -> (Arc<Grant>, Inbound) {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(boot as u64).to_be_bytes());
    let device = Id::new("porch").unwrap();
    let access =
        KeysAccess::new(Arc::clone(board(boot)), device, viewers.subscribe(), pairing.clone(), LastSeen::default());
    let grant = Arc::new(Grant::by_keys(access.with_tokens(issuers.subscribe()), &secret));
    (Arc::clone(&grant), Inbound::new(grant, MessageLimits::new(1000, now), AuditLog::kept().0))
}

#[test]
fn no_history_opens_a_session_that_its_viewer_did_not_ask_for() {
    let histories = std::env::var("FANLIGHT_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let mut accepted = 0;
    for seed in 1..=histories {
        let mut history = History::new(seed);
        for step in 0..STEPS {
            let before = history.known.iter().filter(|known| known.accepted).count();
            history.step();
            let after = history.known.iter().filter(|known| known.accepted).count();
            assert!(after <= before + 1, "history {seed}, step {step}");
        }
        accepted += history.known.iter().filter(|known| known.accepted).count();
    }
    assert!(accepted as u64 > histories, "honest viewers get in: {accepted} of {histories} histories");
}
