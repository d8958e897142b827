//! Requests to STUN and TURN servers, and which of their responses reach the stack. Pure: messages and times in, yes or
//! no out.
//!
//! A server may be broken or hostile, and the stack believes every response. With a relay at the board's own address,
//! that server would receive all packets of the session. A relay with a lifetime of 0 does not exist.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    ice::refusal,
    protocol::candidate::reachable,
    viewer::sockets::{
        checks::TokenBucket,
        stun::{ALLOCATE, BINDING_REQUEST, REFRESH, StunMessage, Transaction},
    },
};

/// How many requests may wait for a response, and how long.
const WAITING: usize = 512;
const ANSWER: Duration = Duration::from_secs(10);
/// How many servers are remembered. When there are more, the oldest is forgotten.
const SERVERS: usize = 64;
/// Requests to one server: at once, and each second. A session asks for a relay, refreshes it every 10 s, and asks for
/// a permission and a channel for each of 24 candidates. Lost requests are repeated. If a server refuses a channel, the
/// stack asks again for each packet.
const REQUESTS: (f64, f64) = (128.0, 4.0);
/// How many verdicts may wait to be read.
const FOUND: usize = 16;

/// A request that was sent to a server.
#[derive(Debug, Clone, Copy)]
struct SentRequest {
    transaction: Transaction,
    to: SocketAddr,
    at: Instant,
    kind: u16,
    /// Whether the request has a USERNAME, and so a signature.
    signed: bool,
    /// The LIFETIME that is requested for a relay, in seconds.
    lifetime: Option<u32>,
}

/// What a response shows about a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerVerdict {
    pub(crate) server: SocketAddr,
    /// Whether it was used as a TURN server. One address often serves STUN too, and may fail at only one of them.
    pub(crate) turn: bool,
    /// `Ok` if it works, else its fault.
    pub(crate) outcome: Outcome,
}

type Outcome = Result<(), String>;

/// The requests to all servers of one session.
#[derive(Debug, Default)]
pub(crate) struct ServerRequests {
    asked: VecDeque<SentRequest>,
    /// Local socket and server, and the budget of requests between them.
    known: VecDeque<((SocketAddr, SocketAddr), TokenBucket)>,
    found: VecDeque<ServerVerdict>,
}

/// Appends an item. If the queue then has more than `most`, the oldest is dropped.
pub(crate) fn push<T>(queue: &mut VecDeque<T>, most: usize, item: T) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl ServerRequests {
    /// A request is about to leave. Returns whether it may.
    pub(crate) fn ask(&mut self, local: SocketAddr, to: SocketAddr, message: StunMessage<'_>, now: Instant) -> bool {
        if !self.has(local, to) {
            push(&mut self.known, SERVERS, ((local, to), TokenBucket::new(REQUESTS)));
        }
        let bucket = self.known.iter_mut().find(|(known, _)| *known == (local, to)).map(|(_, bucket)| bucket);
        if !bucket.is_some_and(|bucket| bucket.take(1.0, now)) {
            return false;
        }
        let (kind, signed, lifetime) = (message.kind(), message.username().is_some(), message.lifetime());
        let asked = SentRequest { transaction: message.transaction(), to, at: now, kind, signed, lifetime };
        push(&mut self.asked, WAITING, asked);
        true
    }

    /// Whether a request was sent from `local` to `server`.
    pub(crate) fn has(&self, local: SocketAddr, server: SocketAddr) -> bool {
        self.known.iter().any(|(known, _)| *known == (local, server))
    }

    /// Whether a response may reach the stack; `None` if it answers no request of ours. A server may have more than one
    /// address, so responses are matched by their transaction ID.
    pub(crate) fn answer(
        &mut self,
        local: SocketAddr,
        message: StunMessage<'_>,
        loopback: bool,
        now: Instant,
    ) -> Option<bool> {
        while self.asked.front().is_some_and(|asked| now.saturating_duration_since(asked.at) >= ANSWER) {
            self.asked.pop_front();
        }
        let transaction = message.transaction();
        let request = *self.asked.iter().find(|asked| asked.transaction == transaction)?;
        let (let_in, outcome) = check_response(&request, message, local, loopback);
        if let Some(outcome) = outcome {
            push(
                &mut self.found,
                FOUND,
                ServerVerdict { server: request.to, turn: request.kind != BINDING_REQUEST, outcome },
            );
        }
        Some(let_in)
    }

    /// The next verdict about a server, for the log.
    pub(crate) fn found(&mut self) -> Option<ServerVerdict> {
        self.found.pop_front()
    }

    /// The number of stored requests, servers and verdicts, each with its limit.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [(usize, usize); 3] {
        [(self.asked.len(), WAITING), (self.known.len(), SERVERS), (self.found.len(), FOUND)]
    }
}

/// Whether a response may reach the stack, and what it shows about the server. The stack may see all errors, since they
/// end the transaction.
fn check_response(
    request: &SentRequest,
    message: StunMessage<'_>,
    local: SocketAddr,
    loopback: bool,
) -> (bool, Option<Outcome>) {
    let bad = |why: &str| (false, Some(Err(why.to_owned())));
    if message.is_error() {
        let code = message.error_code().unwrap_or(0);
        return match request.kind {
            // The usual start (RFC 8489 section 9.2.5): a request without a login gets realm and nonce.
            ALLOCATE if code == 401 && !request.signed && message.is_challenge() => (true, None),
            ALLOCATE if code == 401 && !request.signed => (
                true,
                Some(Err("it asks for a login, but its realm or nonce is missing or not UTF-8 (401)".to_owned())),
            ),
            ALLOCATE | BINDING_REQUEST => (true, Some(Err(refusal(code)))),
            // A peer to which it does not relay, or an expired nonce: not a fault.
            _ => (true, None),
        };
    }
    let is_valid = |address: &SocketAddr| address.port() != 0 && reachable(address.ip(), loopback).is_ok();
    match request.kind {
        ALLOCATE => match (message.relay(), message.lifetime()) {
            (None, _) => bad("it allocates a relay without an address"),
            (Some(relay), _) if relay == local || !is_valid(&relay) => {
                bad(&format!("it allocates a relay at the impossible address {relay}"))
            }
            (_, None | Some(0)) => bad("it allocates a relay with a lifetime of 0"),
            (Some(_), Some(_)) => (true, Some(Ok(()))),
        },
        REFRESH if request.lifetime != Some(0) && message.lifetime() == Some(0) => {
            bad("it ended a relay that should be refreshed")
        }
        // The board's own address is plausible, since not every board is behind a NAT.
        BINDING_REQUEST => match message.mapped() {
            Some(mapped) if is_valid(&mapped) => (true, Some(Ok(()))),
            Some(mapped) => bad(&format!("it reports the impossible address {mapped} for this board")),
            None => bad("it does not report this board's address"),
        },
        _ => (true, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::sockets::stun::tests::unsigned;

    const ERROR: u16 = 0x0110;
    const SUCCESS: u16 = 0x0100;
    const USERNAME: u16 = 0x0006;
    const LIFETIME: u16 = 0x000D;
    const REALM: u16 = 0x0014;
    const NONCE: u16 = 0x0015;
    const RELAYED: u16 = 0x0016;
    const MAPPED: u16 = 0x0020;
    const CREATE_PERMISSION: u16 = 0x0008;

    fn local() -> SocketAddr {
        "192.0.2.1:40000".parse().unwrap()
    }

    fn server() -> SocketAddr {
        "198.51.100.7:3478".parse().unwrap()
    }

    /// An IPv4 address in STUN's format.
    fn address(text: &str) -> Vec<u8> {
        let SocketAddr::V4(address) = text.parse().unwrap() else { panic!("{text}") };
        let cookie = 0x2112_A442_u32.to_be_bytes();
        let port = (address.port() ^ 0x2112).to_be_bytes();
        let ip: Vec<u8> = address.ip().octets().iter().zip(cookie).map(|(byte, mask)| byte ^ mask).collect();
        [&[0, 1], &port[..], &ip].concat()
    }

    fn error(code: u16) -> Vec<u8> {
        vec![0, 0, (code / 100) as u8, (code % 100) as u8, 0xff, 0xfe, 0xfd]
    }

    type Attributes<'a> = &'a [(u16, &'a [u8])];
    /// The request, with or without a login; the response; whether it may reach the stack; and the server's fault.
    type Row<'a> = (u16, Attributes<'a>, u16, Vec<(u16, Vec<u8>)>, bool, Option<&'static str>);

    /// The result for a response to a request of this kind.
    fn verdict(kind: u16, asked: Attributes<'_>, answer: u16, told: Attributes<'_>) -> (bool, Option<Outcome>) {
        let (mut servers, now) = (ServerRequests::default(), Instant::now());
        let request = unsigned(kind, [7; 12], asked);
        assert!(servers.ask(local(), server(), StunMessage::read(&request).unwrap(), now));
        let answer = unsigned(kind | answer, [7; 12], told);
        let let_in = servers.answer(local(), StunMessage::read(&answer).unwrap(), false, now).unwrap();
        let found = servers.found();
        let is_this = |found: &ServerVerdict| found.server == server() && found.turn == (kind != BINDING_REQUEST);
        assert!(found.iter().all(is_this) && servers.found().is_none());
        (let_in, found.map(|found| found.outcome))
    }

    #[test]
    fn answers_of_servers_are_believed_where_they_can_be() {
        let login: Attributes<'_> = &[(USERNAME, b"anna"), (LIFETIME, &[0, 0, 2, 88])];
        let unauthorized = error(401);
        let challenge: Attributes<'_> = &[(9, &unauthorized), (REALM, b"garden"), (NONCE, b"5f2c")];
        let (relay, zero, minute) = (address("203.0.113.9:50000"), [0; 4], [0, 0, 0, 60]);
        let told = |code: u16| (9, error(code));
        let is_reported = |attributes: &[(u16, Vec<u8>)], asked: Attributes<'_>, kind: u16, answer: u16| {
            let list: Vec<(u16, &[u8])> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            verdict(kind, asked, answer, &list)
        };
        let relayed = |at: &str, lifetime: &[u8]| vec![(RELAYED, address(at)), (LIFETIME, lifetime.to_vec())];
        let rows: [Row<'_>; 28] = [
            (ALLOCATE, login, SUCCESS, relayed("203.0.113.9:50000", &minute), true, Some("")),
            (ALLOCATE, login, SUCCESS, relayed("0.0.0.0:50000", &minute), false, Some("address 0.0.0.0:50000")),
            (ALLOCATE, login, SUCCESS, relayed("127.0.0.1:50000", &minute), false, Some("127.0.0.1:50000")),
            (
                ALLOCATE,
                login,
                SUCCESS,
                relayed("192.0.2.1:40000", &minute),
                false,
                Some("the impossible address 192.0.2.1:40000"),
            ),
            (ALLOCATE, login, SUCCESS, relayed("203.0.113.9:0", &minute), false, Some("203.0.113.9:0")),
            (ALLOCATE, login, SUCCESS, relayed("224.0.0.1:9", &minute), false, Some("224.0.0.1:9")),
            (ALLOCATE, login, SUCCESS, relayed("203.0.113.9:50000", &zero), false, Some("a lifetime of 0")),
            (ALLOCATE, login, SUCCESS, vec![(RELAYED, relay)], false, Some("a lifetime of 0")),
            (ALLOCATE, login, SUCCESS, vec![(LIFETIME, minute.to_vec())], false, Some("without an address")),
            (ALLOCATE, &[], ERROR, vec![told(401)], true, Some("its realm or nonce is missing")),
            (ALLOCATE, login, ERROR, vec![told(401)], true, Some("refuses the user or the password")),
            (ALLOCATE, login, ERROR, vec![told(438)], true, Some("rejects the nonce")),
            (ALLOCATE, &[], ERROR, vec![told(300)], true, Some("to another server (300)")),
            (ALLOCATE, login, ERROR, vec![told(300)], true, Some("to another server (300)")),
            (ALLOCATE, login, ERROR, vec![told(500)], true, Some("the error 500")),
            (ALLOCATE, login, ERROR, vec![], true, Some("an error without a code")),
            (ALLOCATE, login, ERROR, vec![(9, vec![1])], true, Some("an error without a code")),
            (REFRESH, login, SUCCESS, vec![(LIFETIME, minute.to_vec())], true, None),
            (REFRESH, login, SUCCESS, vec![(LIFETIME, zero.to_vec())], false, Some("ended a relay")),
            (REFRESH, &[(LIFETIME, &[0; 4])], SUCCESS, vec![(LIFETIME, zero.to_vec())], true, None),
            (REFRESH, login, ERROR, vec![told(438)], true, None),
            (CREATE_PERMISSION, login, ERROR, vec![told(403)], true, None),
            (BINDING_REQUEST, &[], SUCCESS, vec![(MAPPED, address("203.0.113.4:9"))], true, Some("")),
            (BINDING_REQUEST, &[], SUCCESS, vec![(MAPPED, address("192.0.2.1:40000"))], true, Some("")),
            (BINDING_REQUEST, &[], SUCCESS, vec![(MAPPED, address("0.0.0.0:9"))], false, Some("address 0.0.0.0:9")),
            (
                BINDING_REQUEST,
                &[],
                SUCCESS,
                vec![(MAPPED, address("203.0.113.4:0"))],
                false,
                Some("address 203.0.113.4:0"),
            ),
            (BINDING_REQUEST, &[], SUCCESS, vec![], false, Some("does not report this board")),
            (BINDING_REQUEST, &[], ERROR, vec![told(400)], true, Some("the error 400")),
        ];
        for (kind, asked, answer, attributes, let_in, expected) in rows {
            let found = is_reported(&attributes, asked, kind, answer);
            assert_eq!(found.0, let_in, "{kind:x} {attributes:x?}: {found:?}");
            match (&found.1, expected) {
                (None, None) | (Some(Ok(())), Some("")) => {}
                (Some(Err(why)), Some(part)) if !part.is_empty() && why.contains(part) => {}
                _ => panic!("{kind:x} {attributes:x?}: {found:?}, expected {expected:?}"),
            }
        }
        assert_eq!(verdict(ALLOCATE, &[], ERROR, challenge), (true, None));
        let unreadable: Attributes<'_> = &[(9, &unauthorized), (REALM, b"\xff\xfe"), (NONCE, b"5f2c")];
        assert!(matches!(verdict(ALLOCATE, &[], ERROR, unreadable), (true, Some(Err(_)))));
    }

    #[test]
    fn a_server_that_answers_with_errors_is_not_asked_without_end() {
        let (mut servers, start) = (ServerRequests::default(), Instant::now());
        // A request for each packet, 200 a second, for a minute.
        let asked = (0..12_000_u64).filter(|n| {
            let request = unsigned(CREATE_PERMISSION, [(n % 251) as u8; 12], &[(USERNAME, b"anna")]);
            servers.ask(local(), server(), StunMessage::read(&request).unwrap(), start + Duration::from_millis(n * 5))
        });
        let asked = asked.count();
        assert!((128..128 + 4 * 60 + 2).contains(&asked), "{asked} requests");
        // Another server has its own budget.
        let request = unsigned(ALLOCATE, [1; 12], &[]);
        let other = "198.51.100.8:3478".parse().unwrap();
        assert!(servers.ask(local(), other, StunMessage::read(&request).unwrap(), start + Duration::from_secs(60)));
        assert!(servers.sizes().iter().all(|(size, most)| size <= most));
    }

    #[test]
    fn only_what_was_asked_is_answered_and_for_ten_seconds() {
        let (mut servers, now) = (ServerRequests::default(), Instant::now());
        let request = unsigned(ALLOCATE, [7; 12], &[]);
        servers.ask(local(), server(), StunMessage::read(&request).unwrap(), now);
        let answer = |transaction: u8| unsigned(ALLOCATE | ERROR, [transaction; 12], &[]);
        let mut take = |transaction, seconds| {
            let answer = answer(transaction);
            servers.answer(local(), StunMessage::read(&answer).unwrap(), false, now + Duration::from_secs(seconds))
        };
        assert_eq!((take(8, 0), take(7, 9), take(7, 10)), (None, Some(true), None));
    }
}
