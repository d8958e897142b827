//! Candidates that came before the offer they belong to (section 3). Pure: time is an argument.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Mono,
    config::Id,
    protocol::{Correlation, Request, parse::Head},
    viewer::Message,
};

/// How long they wait.
const WAIT: Duration = Duration::from_secs(5);
/// Messages of one session.
const PER_SESSION: usize = 8;
/// Messages of one viewer: two sessions' worth.
const PER_VIEWER: usize = 16;
/// Bytes of candidates of one session.
const BYTES_PER_SESSION: usize = 8 << 10;
/// Messages in all: of at most 64 sessions, half a mebibyte at the very most.
const IN_ALL: usize = 64;

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    viewer: Id,
    head: Head,
    request: Request,
    correlation: Option<Correlation>,
    until: Mono,
}

/// What waits for its offer; oldest first.
#[derive(Debug, Default)]
pub(super) struct EarlyCandidates {
    waiting: VecDeque<Waiting>,
}

impl EarlyCandidates {
    /// Keeps a message; `false` where there is no room for it.
    pub(super) fn keep(
        &mut self,
        viewer: &Id,
        head: Head,
        request: Request,
        correlation: Option<Correlation>,
        now: Mono,
    ) -> bool {
        let own = self.waiting.iter().filter(|w| w.viewer == *viewer);
        let (mut all, mut same, mut bytes) = (0, 0, size(&request));
        for w in own {
            all += 1;
            if w.head.session == head.session {
                same += 1;
                bytes += size(&w.request);
            }
        }
        let room = self.waiting.len() < IN_ALL && all < PER_VIEWER && same < PER_SESSION && bytes <= BYTES_PER_SESSION;
        if room {
            self.waiting.push_back(Waiting { viewer: viewer.clone(), head, request, correlation, until: now + WAIT });
        }
        room
    }

    /// Takes what waited for the offer of this session, in the order it came.
    pub(super) fn take(&mut self, viewer: &Id, head: &Head) -> Vec<Message> {
        let mut taken = Vec::new();
        for w in std::mem::take(&mut self.waiting) {
            if w.viewer == *viewer && w.head.session == head.session {
                taken.push(Message { seq: w.head.seq, request: w.request, correlation: w.correlation });
            } else {
                self.waiting.push_back(w);
            }
        }
        taken
    }

    /// When the oldest has waited long enough.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.waiting.front().map(|w| w.until)
    }

    /// Gives up one that has waited long enough: whose it was, and what comes back with the refusal.
    pub(super) fn expire(&mut self, now: Mono) -> Option<(Id, Head, Option<Correlation>)> {
        if self.deadline()? > now {
            return None;
        }
        self.waiting.pop_front().map(|w| (w.viewer, w.head, w.correlation))
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
    use crate::protocol::{Candidate, SessionId};

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn head(session: char, seq: u64) -> Head {
        Head { session: SessionId::new(&session.to_string().repeat(22)).unwrap(), seq }
    }

    fn keep(early: &mut EarlyCandidates, viewer: &str, session: char, seq: u64, second: u64) -> bool {
        let request = Request::Candidates { ufrag: None, candidates: vec![], end: false };
        early.keep(&id(viewer), head(session, seq), request, None, Mono(second * 1_000_000_000))
    }

    #[test]
    fn they_wait_for_their_own_offer_and_keep_their_order() {
        let mut early = EarlyCandidates::default();
        assert!(keep(&mut early, "anna", 'A', 1, 0));
        assert!(keep(&mut early, "bert", 'A', 1, 0));
        assert!(keep(&mut early, "anna", 'A', 2, 0));
        let taken: Vec<u64> = early.take(&id("anna"), &head('A', 0)).into_iter().map(|message| message.seq).collect();
        assert_eq!(taken, [1, 2]);
        assert!(early.take(&id("anna"), &head('A', 0)).is_empty());
        assert_eq!(early.take(&id("bert"), &head('A', 0)).len(), 1, "a session of the same name is another viewer's");
    }

    #[test]
    fn they_wait_for_five_seconds() {
        let mut early = EarlyCandidates::default();
        keep(&mut early, "anna", 'A', 1, 0);
        keep(&mut early, "anna", 'B', 1, 1);
        assert_eq!(early.expire(Mono(4_999_999_999)), None);
        assert_eq!(early.expire(Mono(5_000_000_000)), Some((id("anna"), head('A', 1), None)));
        assert_eq!(early.expire(Mono(5_000_000_000)), None);
        assert_eq!(early.deadline(), Some(Mono(6_000_000_000)));
    }

    #[test]
    fn eight_kibibytes_of_candidates_wait_for_one_offer() {
        let mut early = EarlyCandidates::default();
        let mut keep = |session, seq| {
            let candidate = Candidate { candidate: "c".repeat(512), mid: None, mline: None };
            let request = Request::Candidates { ufrag: None, candidates: vec![candidate; 6], end: false };
            early.keep(&id("anna"), head(session, seq), request, None, Mono(0))
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
