//! Candidates that came before the offer of their session (protocol section 3). Pure: time is an argument.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Mono,
    config::Id,
    protocol::{IncomingRequest, Request, SessionId},
};

/// How long they wait.
const WAIT: Duration = Duration::from_secs(5);
/// Messages for one session.
const PER_SESSION: usize = 8;
/// Messages of one viewer: enough for two sessions.
const PER_VIEWER: usize = 16;
/// Bytes of candidates for one session.
const BYTES_PER_SESSION: usize = 8 << 10;
/// Messages in all. They belong to at most 64 sessions and need at most 512 KiB.
const IN_ALL: usize = 64;

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    request: IncomingRequest,
    until: Mono,
}

impl Waiting {
    fn is_of(&self, viewer: &Id, session: &SessionId) -> bool {
        self.request.from.who == *viewer && self.request.head.session == *session
    }
}

/// The messages that wait for their offer, oldest first.
#[derive(Debug, Default)]
pub(super) struct EarlyCandidates {
    waiting: VecDeque<Waiting>,
}

impl EarlyCandidates {
    /// Keeps a message. Returns `false` if there is no room for it.
    pub(super) fn keep(&mut self, request: IncomingRequest, now: Mono) -> bool {
        let own = self.waiting.iter().map(|w| &w.request).filter(|r| r.from.who == request.from.who);
        let (mut all, mut same, mut bytes) = (0, 0, size(&request.request));
        for other in own {
            all += 1;
            if other.head.session == request.head.session {
                same += 1;
                bytes += size(&other.request);
            }
        }
        let room = self.waiting.len() < IN_ALL && all < PER_VIEWER && same < PER_SESSION && bytes <= BYTES_PER_SESSION;
        if room {
            self.waiting.push_back(Waiting { request, until: now + WAIT });
        }
        room
    }

    /// Takes the messages that waited for the offer of this session, in their order.
    pub(super) fn take(&mut self, viewer: &Id, session: &SessionId) -> Vec<IncomingRequest> {
        let (taken, others) = std::mem::take(&mut self.waiting).into_iter().partition(|w| w.is_of(viewer, session));
        self.waiting = others;
        let taken: VecDeque<Waiting> = taken;
        taken.into_iter().map(|w| w.request).collect()
    }

    /// When the oldest has waited long enough.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.waiting.front().map(|w| w.until)
    }

    /// Takes a message that has waited long enough.
    pub(super) fn expire(&mut self, now: Mono) -> Option<IncomingRequest> {
        if self.deadline()? > now {
            return None;
        }
        self.waiting.pop_front().map(|w| w.request)
    }
}

/// Bytes of the candidates in a message.
fn size(request: &Request) -> usize {
    match request {
        Request::Candidates { candidates, .. } => candidates.iter().map(|c| c.candidate.len()).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Authorised, Candidate, PermittedBy, RequestHead, Rights};

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn session(letter: char) -> SessionId {
        SessionId::new(&letter.to_string().repeat(22)).unwrap()
    }

    fn incoming(viewer: &str, letter: char, seq: u64, candidates: Vec<Candidate>) -> IncomingRequest {
        let request = Request::Candidates { ufrag: None, candidates, end: false };
        let (rights, by) = (Rights::default(), PermittedBy::Broker);
        let from = Authorised { who: id(viewer), rights, until: None, reply_key: None, by };
        IncomingRequest { from, head: RequestHead { session: session(letter), seq }, request, correlation: None }
    }

    fn keep(early: &mut EarlyCandidates, viewer: &str, session: char, seq: u64, second: u64) -> bool {
        early.keep(incoming(viewer, session, seq, vec![]), Mono(second * 1_000_000_000))
    }

    #[test]
    fn they_wait_for_their_own_offer_and_keep_their_order() {
        let mut early = EarlyCandidates::default();
        assert!(keep(&mut early, "anna", 'A', 1, 0));
        assert!(keep(&mut early, "bert", 'A', 1, 0));
        assert!(keep(&mut early, "anna", 'A', 2, 0));
        let taken: Vec<u64> = early.take(&id("anna"), &session('A')).into_iter().map(|taken| taken.head.seq).collect();
        assert_eq!(taken, [1, 2]);
        assert!(early.take(&id("anna"), &session('A')).is_empty());
        assert_eq!(early.take(&id("bert"), &session('A')).len(), 1, "a session of the same name is another viewer's");
    }

    #[test]
    fn they_wait_for_five_seconds() {
        let mut early = EarlyCandidates::default();
        keep(&mut early, "anna", 'A', 1, 0);
        keep(&mut early, "anna", 'B', 1, 1);
        assert_eq!(early.expire(Mono(4_999_999_999)), None);
        assert_eq!(early.expire(Mono(5_000_000_000)), Some(incoming("anna", 'A', 1, vec![])));
        assert_eq!(early.expire(Mono(5_000_000_000)), None);
        assert_eq!(early.deadline(), Some(Mono(6_000_000_000)));
    }

    #[test]
    fn eight_kibibytes_of_candidates_wait_for_one_offer() {
        let mut early = EarlyCandidates::default();
        let mut keep = |session, seq| {
            let candidate = Candidate { candidate: "c".repeat(512), mid: None, mline: None };
            early.keep(incoming("anna", session, seq, vec![candidate; 6]), Mono(0))
        };
        assert_eq!([keep('A', 1), keep('A', 2), keep('A', 3), keep('B', 1)], [true, true, false, true]);
    }

    #[test]
    fn the_room_is_bounded_by_session_by_viewer_and_in_all() {
        let mut early = EarlyCandidates::default();
        let fill = |early: &mut EarlyCandidates, viewer: &str, session| {
            (0..20).filter(|n| keep(early, viewer, session, *n, 0)).count()
        };
        assert_eq!(fill(&mut early, "anna", 'A'), 8);
        assert_eq!(fill(&mut early, "anna", 'B'), 8);
        assert_eq!(fill(&mut early, "anna", 'C'), 0);
        let others: usize = (0..100).map(|n| fill(&mut early, &format!("v{n}"), 'A')).sum();
        assert_eq!(others, IN_ALL - 16);
    }
}
