//! STUN and TURN servers that answered badly. New sessions leave them out for a while. Pure: time is an argument.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::IceUrl;
use crate::clock::Mono;

/// How long new sessions leave out a server that answered badly.
const WITHOUT: Duration = Duration::from_secs(60);
/// How many servers are remembered. A configuration has at most 8 with 4 URLs each, and `ice_command` adds some.
const MOST: usize = 64;

/// The fault of one server, and how long it is left out.
#[derive(Debug)]
struct Mark {
    why: String,
    until: Mono,
}

/// Servers that answered badly, by URL.
#[derive(Debug, Default)]
pub struct Marks(Mutex<HashMap<String, Mark>>);

impl Marks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a bad answer. Returns whether the fault is new for this server, so that it should be logged.
    pub fn bad(&self, url: &IceUrl, why: &str, now: Mono) -> bool {
        let (mut marks, url) = (self.lock(), url.to_string());
        if marks.len() >= MOST && !marks.contains_key(&url) {
            let oldest = marks.iter().min_by_key(|(_, mark)| mark.until).map(|(url, _)| url.clone());
            oldest.and_then(|url| marks.remove(&url));
        }
        let mark = Mark { why: why.to_owned(), until: now + WITHOUT };
        marks.insert(url, mark).is_none_or(|before| before.why != why)
    }

    /// Records that a server works.
    pub fn good(&self, url: &IceUrl) {
        self.lock().remove(&url.to_string());
    }

    /// Why new sessions leave out this server now; `None` if they use it.
    pub fn why(&self, url: &IceUrl, now: Mono) -> Option<String> {
        self.lock().get(&url.to_string()).filter(|mark| mark.until > now).map(|mark| mark.why.clone())
    }

    /// Forgets all servers, since the configuration of servers or logins has changed.
    pub fn forget(&self) {
        self.lock().clear();
    }

    /// Which of `servers` a session leaves out, and why. If all servers of one kind (STUN or TURN) are bad, they are
    /// used: a bad server is better than none.
    pub(super) fn left_out(&self, servers: &[&IceUrl], now: Mono) -> Vec<Option<String>> {
        let why: Vec<_> = servers.iter().map(|url| self.why(url, now)).collect();
        let has_other = |turn: bool| servers.iter().zip(&why).any(|(url, why)| url.turn == turn && why.is_none());
        let (stun, turn) = (has_other(false), has_other(true));
        servers.iter().zip(why).map(|(url, why)| why.filter(|_| if url.turn { turn } else { stun })).collect()
    }
}

/// Describes an error code of a STUN or TURN server (RFC 8489 section 14.8, RFC 8656 section 19).
pub fn refusal(code: u16) -> String {
    match code {
        300 => "it refers this board to another server (300), which is not supported".into(),
        401 => "it refuses the user or the password (401); check both, and this board's clock if logins are made \
                from a secret"
            .into(),
        403 => "it forbids it (403)".into(),
        438 => "it rejects the nonce that it gave itself (438)".into(),
        441 => "the allocation belongs to another user (441)".into(),
        486 => "this user has reached its limit of relays (486)".into(),
        508 => "it has no free relay address (508)".into(),
        0 => "it answers with an error without a code".into(),
        other => format!("it answers with the error {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> IceUrl {
        IceUrl::parse(text).unwrap()
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    /// Why each is left out; empty: it is not.
    fn texts(left_out: Vec<Option<String>>) -> Vec<String> {
        left_out.into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn a_server_that_answers_badly_is_left_out_for_a_minute_and_tried_again() {
        let marks = Marks::default();
        let [bad, good] = ["turn:192.0.2.1", "turn:192.0.2.2"].map(url);
        let left_out = |now| texts(marks.left_out(&[&bad, &good], at(now)));
        assert_eq!(left_out(0), ["", ""]);
        assert!(marks.bad(&bad, "it lies", at(10)), "the first fault is new");
        for (now, expected) in [(10, "it lies"), (69, "it lies"), (70, "")] {
            assert_eq!(left_out(now), [expected, ""], "at {now} s");
        }
        assert!(!marks.bad(&bad, "it lies", at(71)), "the same fault is not new");
        assert_eq!(left_out(130), ["it lies", ""]);
        assert!(marks.bad(&bad, "it is silent", at(131)), "another reason");
        marks.good(&bad);
        assert_eq!(left_out(132), ["", ""]);
        assert!(marks.bad(&bad, "it is silent", at(133)), "it was well between");
        marks.forget();
        assert_eq!(left_out(134), ["", ""]);
    }

    #[test]
    fn where_all_of_a_kind_are_bad_they_are_used_all_the_same() {
        let marks = Marks::default();
        let [stun, one, two] = ["stun:192.0.2.1", "turn:192.0.2.1", "turns:192.0.2.2"].map(url);
        let left_out = || texts(marks.left_out(&[&stun, &one, &two], at(1)));
        marks.bad(&one, "a", at(1));
        assert_eq!(left_out(), ["", "a", ""]);
        marks.bad(&two, "b", at(1));
        assert_eq!(left_out(), ["", "", ""], "a STUN server is no relay");
        marks.good(&one);
        marks.bad(&stun, "c", at(1));
        assert_eq!(left_out(), ["", "", "b"]);
    }

    #[test]
    fn no_more_servers_are_remembered_than_there_can_be() {
        let marks = Marks::default();
        for n in 0..500 {
            marks.bad(&url(&format!("turn:192.0.2.1:{}", n + 1)), "a", at(n));
        }
        assert_eq!(marks.lock().len(), MOST);
        assert!(marks.why(&url("turn:192.0.2.1:500"), at(499)).is_some());
    }
}
