//! Which viewers get audit records as messages, and the messages on their way (docs/reference/audit.md). Pure: time is
//! an argument.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Mono,
    config::Id,
    protocol::{
        Addressee, Authorised, ErrorName, EventMessage, OutgoingReply, Refusal, Reply, Right, Rights, SessionId,
    },
};

/// Viewers that get records at the same time.
const VIEWERS: usize = 16;
/// Pages of one viewer that get them. A further one takes the place of the one that asked longest ago.
const PAGES: usize = 2;
/// How long a page gets them after it asked.
const LASTS: Duration = Duration::from_secs(600);
/// Messages that wait for the link: two records for every page.
const WAITING: usize = 64;
/// How long a message may wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// One page of a viewer.
#[derive(Debug)]
struct Receiver {
    /// Its viewer. The rights are those that it must keep: `events`.
    from: Authorised,
    /// The session of its `hello`.
    session: SessionId,
    asked: Mono,
}

impl Receiver {
    /// When it ends: the page has to ask again, and the viewer needs its permission.
    fn until(&self) -> Mono {
        self.from.ends_at().map_or(self.asked + LASTS, |end| end.min(self.asked + LASTS))
    }
}

/// The receivers, oldest question first, and what waits for the link.
#[derive(Debug, Default)]
pub(super) struct EventReceivers {
    receivers: VecDeque<Receiver>,
    waiting: VecDeque<(Mono, OutgoingReply)>,
    /// Messages that were lost.
    lost: u64,
}

impl EventReceivers {
    /// A viewer asks for records, or asks again.
    pub(super) fn add(&mut self, from: &Authorised, session: &SessionId, now: Mono) -> Result<(), Refusal> {
        if !from.rights.has(Right::Events) || !from.is_sealed() {
            return Err(Refusal::new(ErrorName::Forbidden, "this viewer may not get events"));
        }
        self.receivers.retain(|it| it.until() > now && (it.from.who != from.who || it.session != *session));
        let own = self.receivers.iter().filter(|it| it.from.who == from.who).count();
        if own == 0 && self.viewers() >= VIEWERS {
            let free = self.receivers.front().map_or(LASTS, |oldest| oldest.until().since(now));
            let message = format!("{VIEWERS} viewers get events already");
            return Err(Refusal::new(ErrorName::Busy, message).retry_after(free));
        }
        if own >= PAGES
            && let Some(oldest) = self.receivers.iter().position(|it| it.from.who == from.who)
        {
            self.receivers.remove(oldest);
        }
        self.receivers.push_back(Receiver { from: of_events(from), session: session.clone(), asked: now });
        Ok(())
    }

    /// A viewer sent a message with this permission, which may count in place of an earlier one.
    pub(super) fn follow(&mut self, from: &Authorised) {
        let replaced = |it: &Receiver| it.from.who == from.who && from.replaces(&it.from);
        if from.rights.has(Right::Events) {
            // Each page has a key of its own.
            let newer = |it: &Receiver| Authorised { reply_key: it.from.reply_key, ..of_events(from) };
            self.receivers.iter_mut().filter(|it| replaced(it)).for_each(|it| it.from = newer(it));
        } else {
            self.forget(|it| !replaced(it));
        }
    }

    /// Keeps these receivers, and what waits for them.
    fn forget(&mut self, stays: impl Fn(&Receiver) -> bool) {
        self.receivers.retain(stays);
        let Self { receivers, waiting, .. } = self;
        waiting.retain(|(_, reply)| receivers.iter().any(|it| is_for(reply, &it.from.who)));
    }

    fn viewers(&self) -> usize {
        let first = |(at, it): &(usize, &Receiver)| {
            self.receivers.iter().take(*at).all(|before| before.from.who != it.from.who)
        };
        self.receivers.iter().enumerate().filter(first).count()
    }

    /// Forgets those that have the right no longer, and what waits for them.
    pub(super) fn keep(&mut self, may: impl Fn(&Authorised) -> bool) {
        self.forget(|it| may(&it.from));
    }

    /// A record, for all of them.
    pub(super) fn tell(&mut self, event: &EventMessage, now: Mono) {
        self.forget(|it| it.until() > now);
        for Receiver { from, session, .. } in &self.receivers {
            if self.waiting.len() >= WAITING {
                self.lost += 1;
                continue;
            }
            let (to, session) = (Addressee::of(from), Some(session.clone()));
            let reply = Reply::Event(Box::new(event.clone()));
            self.waiting.push_back((now + PATIENCE, OutgoingReply { to, session, seq: None, reply }));
        }
    }

    /// Whether a message waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When the next message has waited too long.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.waiting.front().map(|(until, _)| *until)
    }

    /// Loses what has waited too long, or waits for a viewer whose permission has ended.
    pub(super) fn expire(&mut self, now: Mono) {
        self.forget(|it| it.until() > now);
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            self.waiting.pop_front();
            self.lost += 1;
        }
    }

    /// Takes the next message. There is room for it.
    pub(super) fn next(&mut self, now: Mono) -> Option<OutgoingReply> {
        self.expire(now);
        self.waiting.pop_front().map(|(_, reply)| reply)
    }

    /// How many messages were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// The same permission, with the right that it must keep.
fn of_events(from: &Authorised) -> Authorised {
    Authorised { rights: Rights::of([Right::Events]), ..from.clone() }
}

fn is_for(reply: &OutgoingReply, viewer: &Id) -> bool {
    reply.to.viewer == *viewer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::AuditRecord,
        jose::{SealingKey, SigningKey},
        protocol::{PermittedBy, RightsEnd, TokenReference},
    };

    fn s(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    fn viewer(name: &str, rights: &[Right]) -> Authorised {
        let reply_key = Some(*SealingKey::generate().unwrap().public());
        let rights = Rights::of(rights.iter().copied());
        Authorised { who: Id::new(name).unwrap(), rights, until: None, reply_key, by: PermittedBy::List }
    }

    fn session(letter: char) -> SessionId {
        SessionId::new(&letter.to_string().repeat(22)).unwrap()
    }

    fn event() -> EventMessage {
        AuditRecord::refused(Id::new("bert").unwrap(), None, ErrorName::Busy).event(0, None)
    }

    /// Who gets a record now: each viewer and the first letter of its session.
    fn told(receivers: &mut EventReceivers, now: Mono) -> Vec<String> {
        receivers.tell(&event(), now);
        let next = || receivers.next(now);
        let name = |it: OutgoingReply| format!("{} {}", it.to.viewer, &it.session.unwrap().as_str()[..1]);
        std::iter::from_fn(next).map(name).collect()
    }

    #[test]
    fn who_asks_with_the_right_gets_records_for_ten_minutes_and_asks_again() {
        let mut receivers = EventReceivers::default();
        let anna = viewer("anna", &[Right::View, Right::Events]);
        receivers.add(&anna, &session('A'), s(0)).unwrap();
        assert_eq!(told(&mut receivers, s(599)), ["anna A"]);
        receivers.add(&anna, &session('A'), s(300)).unwrap();
        assert_eq!(told(&mut receivers, s(899)), ["anna A"], "once, although it asked twice");
        assert_eq!(told(&mut receivers, s(900)), Vec::<String>::new());
    }

    #[test]
    fn without_the_right_or_without_a_key_there_is_nothing() {
        let mut receivers = EventReceivers::default();
        let plain = Authorised { reply_key: None, ..viewer("bert", &Right::ALL) };
        for from in [viewer("anna", &[Right::View, Right::Listen]), plain] {
            assert_eq!(receivers.add(&from, &session('A'), s(0)).unwrap_err().name, ErrorName::Forbidden);
        }
        assert_eq!(told(&mut receivers, s(0)), Vec::<String>::new());
    }

    #[test]
    fn sixteen_viewers_and_the_seventeenth_is_told_when_to_try_again() {
        let mut receivers = EventReceivers::default();
        let numbered = |n: u64| viewer(&format!("v{n}"), &[Right::Events]);
        (0..16).for_each(|n| receivers.add(&numbered(n), &session('A'), s(n)).unwrap());
        let refusal = receivers.add(&numbered(16), &session('A'), s(100)).unwrap_err();
        assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::Busy, Some(500_000)));
        receivers.add(&numbered(3), &session('B'), s(100)).unwrap();
        assert_eq!(told(&mut receivers, s(100)).len(), 17, "a second page of one of them is no further viewer");
        receivers.add(&numbered(16), &session('A'), s(600)).unwrap();
    }

    #[test]
    fn a_viewer_has_two_pages_and_the_newest_count() {
        let mut receivers = EventReceivers::default();
        let anna = viewer("anna", &[Right::Events]);
        for (at, letter) in ['A', 'B', 'A', 'C'].into_iter().enumerate() {
            receivers.add(&anna, &session(letter), s(at as u64)).unwrap();
        }
        assert_eq!(told(&mut receivers, s(9)), ["anna A", "anna C"], "B asked longest ago");
    }

    #[test]
    fn a_right_that_is_taken_away_ends_it_at_once() {
        let mut receivers = EventReceivers::default();
        for name in ["anna", "bert"] {
            receivers.add(&viewer(name, &[Right::View, Right::Events]), &session('A'), s(0)).unwrap();
        }
        receivers.tell(&event(), s(0));
        receivers.keep(|from| {
            assert_eq!(from.rights, Rights::of([Right::Events]), "the others do not matter");
            from.who.as_str() == "bert"
        });
        assert_eq!(receivers.next(s(0)).map(|reply| reply.to.viewer.to_string()).as_deref(), Some("bert"));
        assert_eq!(receivers.next(s(0)), None, "what waited for anna is gone");
        assert_eq!(told(&mut receivers, s(1)), ["bert A"]);
    }

    /// The same viewer, with a token that was issued then, permits this and ends then.
    fn with_token(issued: u64, rights: &[Right], ends: Mono) -> Authorised {
        let (id, issuer) = (Id::new("token").unwrap(), SigningKey::generate().unwrap().public().thumbprint());
        let by = PermittedBy::Token(TokenReference { id, issuer, issued, name: None });
        Authorised { until: Some(RightsEnd { at: ends, wall: 0 }), by, ..viewer("anna", rights) }
    }

    #[test]
    fn a_permission_that_ends_ends_the_events_too() {
        let mut receivers = EventReceivers::default();
        receivers.add(&with_token(100, &[Right::Events], s(5)), &session('A'), s(0)).unwrap();
        assert_eq!(told(&mut receivers, s(4)), ["anna A"]);
        receivers.tell(&event(), s(4));
        assert_eq!(receivers.next(s(5)), None, "what waits then is not sent");
        assert_eq!(told(&mut receivers, s(6)), Vec::<String>::new());
    }

    #[test]
    fn a_newer_token_gives_the_events_its_end_or_takes_them_away_and_an_older_one_does_neither() {
        let mut receivers = EventReceivers::default();
        let page = with_token(100, &[Right::Events], s(5));
        receivers.add(&page, &session('A'), s(0)).unwrap();
        receivers.follow(&with_token(99, &[Right::View], s(900)));
        assert_eq!(told(&mut receivers, s(4)), ["anna A"], "an older one");
        receivers.follow(&Authorised { who: Id::new("bert").unwrap(), ..with_token(200, &[Right::View], s(900)) });
        assert_eq!(told(&mut receivers, s(4)), ["anna A"], "another viewer");
        receivers.follow(&with_token(200, &[Right::View, Right::Events], s(900)));
        receivers.tell(&event(), s(599));
        let key = receivers.next(s(599)).unwrap().to.reply_key;
        assert_eq!(key, page.reply_key, "another page has another key");
        receivers.tell(&event(), s(599));
        receivers.follow(&with_token(300, &[Right::View], s(900)));
        assert_eq!((receivers.next(s(599)), told(&mut receivers, s(599))), (None, Vec::new()));
        receivers.add(&with_token(300, &[Right::Events], s(900)), &session('A'), s(599)).unwrap();
        receivers.follow(&viewer("anna", &[Right::View]));
        assert_eq!(told(&mut receivers, s(600)), Vec::<String>::new(), "its entry of the list counts now");
    }

    #[test]
    fn what_finds_no_way_in_two_seconds_or_no_room_is_lost_and_counted() {
        let mut receivers = EventReceivers::default();
        receivers.add(&viewer("anna", &[Right::Events]), &session('A'), s(0)).unwrap();
        receivers.tell(&event(), s(0));
        assert_eq!((receivers.deadline(), receivers.is_waiting()), (Some(s(2)), true));
        receivers.expire(s(1));
        assert!(receivers.is_waiting());
        assert_eq!((receivers.next(s(2)), receivers.lost()), (None, 1));
        (0..100).for_each(|_| receivers.tell(&event(), s(2)));
        assert_eq!((receivers.waiting.len(), receivers.lost()), (WAITING, 1 + 36));
    }
}
