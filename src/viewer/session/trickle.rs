//! Trickle ICE (RFC 8838): local candidates in batches, and the rules for the viewer's. Pure: time is an argument.

use std::time::Duration;

use crate::{
    clock::Mono,
    protocol::{
        Candidate,
        candidate::{CandidateBudget, CandidateVerdict, judge},
    },
};

/// How long the first of a batch waits for others.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Candidates in a batch.
const BATCH: usize = 8;
/// Candidate messages that may wait for the viewer's description.
const WAITING: usize = 8;

/// Local candidates that wait to be sent together.
#[derive(Debug, Default)]
pub(crate) struct CandidateBatch {
    waiting: Vec<Candidate>,
    since: Option<Mono>,
}

impl CandidateBatch {
    /// Adds a candidate. Returns whether the batch is full.
    pub(crate) fn push(&mut self, candidate: Candidate, now: Mono) -> bool {
        self.waiting.push(candidate);
        self.since.get_or_insert(now);
        self.waiting.len() >= BATCH
    }

    /// When the batch is sent.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.since.map(|since| since + BATCH_TIME)
    }

    /// Takes the batch.
    pub(crate) fn take(&mut self) -> Vec<Candidate> {
        self.since = None;
        std::mem::take(&mut self.waiting)
    }
}

/// One `candidates` message of the viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CandidateMessage {
    pub(crate) ufrag: Option<String>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) end: bool,
}

/// The result of sorting a message of candidates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SortedCandidates {
    /// The candidates to use.
    pub(crate) usable: Vec<Candidate>,
    /// Why the first one that must not be used is refused.
    pub(crate) refused: Option<String>,
}

/// The viewer's candidates of the running ICE generation.
#[derive(Debug)]
pub(crate) struct RemoteCandidates {
    budget: CandidateBudget,
    described: bool,
    ufrag: Option<String>,
    ended: bool,
    /// Mids of m-lines that have another transport, which is not used.
    elsewhere: Vec<String>,
    waiting: Vec<CandidateMessage>,
    /// How many candidates came too late, too early, or cannot be used.
    pub(crate) ignored: u64,
}

impl RemoteCandidates {
    /// The state before any description of the viewer.
    pub(crate) fn new(budget: CandidateBudget) -> Self {
        let (elsewhere, waiting) = (Vec::new(), Vec::new());
        Self { budget, described: false, ufrag: None, ended: false, elsewhere, waiting, ignored: 0 }
    }

    /// The viewer's description begins an ICE generation. Returns the messages that waited for it. `elsewhere`: the
    /// mids of m-lines whose transport is not used (RFC 8843 section 7.1.3).
    pub(crate) fn describe(
        &mut self,
        ufrag: Option<String>,
        elsewhere: Vec<String>,
        budget: CandidateBudget,
    ) -> Vec<CandidateMessage> {
        (self.budget, self.described, self.ufrag, self.ended) = (budget, true, ufrag, false);
        self.elsewhere = elsewhere;
        std::mem::take(&mut self.waiting)
    }

    /// Counts a local candidate, for the limit of pairs.
    pub(crate) fn local(&mut self, line: &str) {
        self.budget.local(line);
    }

    /// Sorts a message. `awaiting`: an answer of the viewer is due, and may begin another generation.
    pub(crate) fn sort(&mut self, message: CandidateMessage, awaiting: bool) -> SortedCandidates {
        let current = self.described && (message.ufrag.is_none() || message.ufrag == self.ufrag);
        if !current && awaiting && self.waiting.len() < WAITING {
            self.waiting.push(message);
            return SortedCandidates::default();
        }
        if !current || self.ended {
            self.ignored += message.candidates.len() as u64;
            return SortedCandidates::default();
        }
        self.ended = message.end;
        let mut sorted = SortedCandidates::default();
        for candidate in message.candidates {
            if candidate.mid.as_ref().is_some_and(|mid| self.elsewhere.contains(mid)) {
                self.ignored += 1;
                continue;
            }
            let refusal = match judge(&candidate.candidate, self.budget.loopback()) {
                CandidateVerdict::Take { line, family } => match self.budget.admit(family) {
                    Ok(()) => {
                        sorted.usable.push(Candidate { candidate: line, ..candidate });
                        continue;
                    }
                    Err(sentence) => Some(sentence),
                },
                CandidateVerdict::Refuse(sentence) => Some(sentence),
                CandidateVerdict::Skip => None,
            };
            self.ignored += 1;
            sorted.refused = sorted.refused.or(refusal);
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(0);

    fn candidate(address: &str) -> Candidate {
        Candidate { candidate: format!("candidate:1 1 udp 5 {address} 9 typ host"), mid: None, mline: Some(0) }
    }

    fn message(ufrag: &str, addresses: &[&str], end: bool) -> CandidateMessage {
        CandidateMessage {
            ufrag: Some(ufrag.into()),
            candidates: addresses.iter().copied().map(candidate).collect(),
            end,
        }
    }

    fn budget() -> CandidateBudget {
        CandidateBudget::new(24, false)
    }

    fn described(ufrag: &str) -> RemoteCandidates {
        let mut remote = RemoteCandidates::new(budget());
        remote.describe(Some(ufrag.into()), Vec::new(), budget());
        remote
    }

    #[test]
    fn a_batch_is_eight_candidates_or_twenty_milliseconds() {
        let mut batch = CandidateBatch::default();
        assert_eq!(batch.deadline(), None);
        assert!((0..7).all(|n| !batch.push(candidate("192.0.2.1"), Mono(n))));
        assert_eq!(batch.deadline(), Some(Mono(20_000_000)), "counted from the first");
        assert!(batch.push(candidate("192.0.2.1"), NOW));
        assert_eq!(batch.take().len(), 8);
        assert_eq!(batch.deadline(), None);
    }

    #[test]
    fn those_after_the_end_and_those_of_an_old_generation_are_ignored_and_counted() {
        let mut remote = described("new");
        assert_eq!(remote.sort(message("old", &["192.0.2.1", "192.0.2.2"], true), false), SortedCandidates::default());
        assert_eq!(remote.ignored, 2);
        assert_eq!(remote.sort(message("new", &["192.0.2.1"], true), false).usable.len(), 1);
        assert_eq!(remote.sort(message("new", &["192.0.2.2"], false), false), SortedCandidates::default());
        assert_eq!(remote.ignored, 3);
        remote.describe(Some("newer".into()), Vec::new(), budget());
        assert_eq!(
            remote.sort(message("newer", &["192.0.2.2"], false), false).usable.len(),
            1,
            "an ICE restart starts with an empty list"
        );
    }

    #[test]
    fn those_that_overtake_the_answer_wait_for_it() {
        let mut remote = RemoteCandidates::new(budget());
        for _ in 0..10 {
            assert_eq!(remote.sort(message("abcd", &["192.0.2.1"], false), true), SortedCandidates::default());
        }
        assert_eq!(remote.ignored, 2, "the ninth and the tenth");
        assert_eq!(remote.describe(Some("abcd".into()), Vec::new(), budget()).len(), 8);
        let early = message("next", &["192.0.2.1"], false);
        remote.sort(early.clone(), true);
        assert_eq!(
            remote.describe(Some("next".into()), Vec::new(), budget()),
            [early],
            "an ICE restart of the device alike"
        );
    }

    #[test]
    fn a_bad_one_is_refused_and_the_others_of_its_message_are_used() {
        let mut remote = described("abcd");
        let sorted = remote.sort(message("abcd", &["127.0.0.1", "192.0.2.1", "0.0.0.0"], false), false);
        assert_eq!(sorted.usable, [candidate("192.0.2.1")]);
        assert!(sorted.refused.unwrap().contains("loopback"), "the refusal is about the first bad one");
        assert_eq!(remote.ignored, 2);
    }

    #[test]
    fn those_of_an_m_line_with_a_transport_of_its_own_are_ignored() {
        let mut remote = RemoteCandidates::new(budget());
        remote.describe(Some("abcd".into()), vec!["video-1".into()], budget());
        let of = |mid: &str| Candidate { mid: Some(mid.into()), ..candidate("192.0.2.1") };
        let message = CandidateMessage { ufrag: None, candidates: vec![of("video-1"), of("audio-0")], end: false };
        assert_eq!(remote.sort(message, false).usable, [of("audio-0")]);
        assert_eq!(remote.ignored, 1);
    }

    #[test]
    fn no_more_than_the_limit_in_a_generation() {
        let mut remote = described("abcd");
        let many = vec!["192.0.2.1"; 20];
        assert_eq!(remote.sort(message("abcd", &many, false), false).usable.len(), 20);
        let sorted = remote.sort(message("abcd", &many, false), false);
        assert_eq!(sorted.usable.len(), 4);
        assert!(sorted.refused.unwrap().contains("the 24"));
    }
}
