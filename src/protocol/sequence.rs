//! The order of one sender's messages in one session (section 3). Pure: time is an argument.
//!
//! A message in its turn is taken. One that comes a second time gets its answer again, without effect. One after a gap
//! is held for a second, then refused. The order continues behind what was refused, so that one lost message never
//! silences a session for good.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::clock::Mono;

/// How long a gap may last.
pub const GAP: Duration = Duration::from_secs(1);
/// Messages held behind a gap.
pub const HELD: usize = 8;
/// A number further ahead than this is refused. Taking it would use up the session's numbers.
const AHEAD: u64 = 65_536;
/// Messages whose replies are remembered.
const REMEMBERED: usize = 8;

/// What becomes of a message `T` that came in. `R` is a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum SequenceVerdict<T, R> {
    /// It is the next one.
    Now(T),
    /// It was taken before. These are the replies to it, to be sent again.
    Again(Vec<R>),
    /// It waits for the ones before it.
    Held,
    /// Too many messages wait behind a gap. This one is refused, and so are those.
    Conflict(Gap),
}

/// Messages that are refused because one before them never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The number that never came.
    pub missing: u64,
    /// The number that the order continues with.
    pub next: u64,
}

/// The order of one session's incoming messages.
#[derive(Debug)]
pub struct Sequence<T, R> {
    next: u64,
    held: BTreeMap<u64, T>,
    gap_since: Option<Mono>,
    replies: VecDeque<(u64, Vec<R>)>,
}

impl<T, R: Clone> Sequence<T, R> {
    /// An order that began with the message `opening`.
    pub fn after(opening: u64) -> Self {
        Self { next: opening.saturating_add(1), held: BTreeMap::new(), gap_since: None, replies: VecDeque::new() }
    }

    /// A message came in.
    pub fn on(&mut self, seq: u64, message: T, now: Mono) -> SequenceVerdict<T, R> {
        if seq < self.next {
            let sent = self.replies.iter().find(|(n, _)| *n == seq);
            return SequenceVerdict::Again(sent.map(|(_, replies)| replies.clone()).unwrap_or_default());
        }
        if seq == self.next {
            self.advance(now);
            return SequenceVerdict::Now(message);
        }
        if seq - self.next > AHEAD {
            return SequenceVerdict::Conflict(Gap { missing: self.next, next: self.next });
        }
        if self.held.len() >= HELD && !self.held.contains_key(&seq) {
            return SequenceVerdict::Conflict(self.resume(seq));
        }
        self.held.entry(seq).or_insert(message);
        self.gap_since.get_or_insert(now);
        SequenceVerdict::Held
    }

    /// The next held message whose turn has come.
    pub fn take(&mut self, now: Mono) -> Option<(u64, T)> {
        let message = self.held.remove(&self.next)?;
        let seq = self.next;
        self.advance(now);
        Some((seq, message))
    }

    /// Remembers the replies to the message `seq`.
    pub fn remember(&mut self, seq: u64, replies: Vec<R>) {
        if self.replies.len() == REMEMBERED {
            self.replies.pop_front();
        }
        self.replies.push_back((seq, replies));
    }

    /// Remembers replies to the message `seq` that came later than `remember`.
    pub fn amend(&mut self, seq: u64, replies: Vec<R>) {
        if let Some((_, remembered)) = self.replies.iter_mut().find(|(n, _)| *n == seq) {
            remembered.extend(replies);
        }
    }

    /// When the gap has lasted too long.
    pub fn deadline(&self) -> Option<Mono> {
        self.gap_since.map(|since| since + GAP)
    }

    /// Gives up a gap that has lasted too long.
    pub fn expire(&mut self, now: Mono) -> Option<Gap> {
        let last = *self.held.last_key_value()?.0;
        (self.deadline()? <= now).then(|| self.resume(last))
    }

    fn advance(&mut self, now: Mono) {
        self.next = self.next.saturating_add(1);
        // Messages that still wait behind the new position get a second again.
        self.gap_since = (!self.held.is_empty()).then_some(now);
    }

    fn resume(&mut self, last: u64) -> Gap {
        let missing = self.next;
        let highest = self.held.last_key_value().map_or(last, |(n, _)| last.max(*n));
        self.next = highest.saturating_add(1);
        self.held.clear();
        self.gap_since = None;
        Gap { missing, next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(0);

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    #[test]
    fn what_comes_in_order_is_taken() {
        let mut order = Sequence::<_, &str>::after(0);
        assert_eq!(order.on(1, 'a', START), SequenceVerdict::Now('a'));
        assert_eq!(order.on(2, 'b', START), SequenceVerdict::Now('b'));
        assert_eq!(order.deadline(), None);
    }

    #[test]
    fn a_repeat_is_answered_again_without_effect() {
        let mut order = Sequence::<_, &str>::after(5);
        order.remember(5, vec!["answer"]);
        assert_eq!(order.on(5, 'a', START), SequenceVerdict::Again(vec!["answer"]));
        assert_eq!(
            order.on(4, 'a', START),
            SequenceVerdict::Again(vec![]),
            "a request older than the remembered ones gets no reply"
        );
        assert_eq!(order.on(6, 'b', START), SequenceVerdict::Now('b'), "a repeat does not move the order");
    }

    #[test]
    fn only_the_last_replies_are_remembered() {
        let mut order = Sequence::<char, &str>::after(0);
        (0..100).for_each(|n| order.remember(n, vec![""]));
        assert_eq!(order.replies.len(), REMEMBERED);
    }

    #[test]
    fn a_gap_that_closes_within_a_second_is_no_gap() {
        let mut order = Sequence::<_, &str>::after(0);
        assert_eq!(order.on(3, 'c', START), SequenceVerdict::Held);
        assert_eq!(order.on(2, 'b', ms(500)), SequenceVerdict::Held);
        assert_eq!(
            order.on(2, 'x', ms(500)),
            SequenceVerdict::Held,
            "of two requests with one number the first counts"
        );
        assert_eq!(order.take(ms(600)), None);
        assert_eq!(order.on(1, 'a', ms(999)), SequenceVerdict::Now('a'));
        assert_eq!(order.take(ms(999)), Some((2, 'b')));
        assert_eq!(order.take(ms(999)), Some((3, 'c')));
        assert_eq!(order.take(ms(999)), None);
        assert_eq!(order.expire(ms(5000)), None);
    }

    #[test]
    fn a_gap_of_a_second_is_a_conflict_and_the_order_goes_on_behind_it() {
        let mut order = Sequence::<_, &str>::after(0);
        assert_eq!(order.on(2, 'b', START), SequenceVerdict::Held);
        assert_eq!(order.on(4, 'd', ms(900)), SequenceVerdict::Held);
        assert_eq!(order.expire(ms(999)), None);
        assert_eq!(order.expire(ms(1000)), Some(Gap { missing: 1, next: 5 }));
        assert_eq!(order.take(ms(1000)), None, "held requests are refused, not applied");
        assert_eq!(order.on(1, 'a', ms(1001)), SequenceVerdict::Again(vec![]), "the missing request is too late");
        assert_eq!(order.on(5, 'e', ms(1001)), SequenceVerdict::Now('e'));
    }

    #[test]
    fn a_number_far_ahead_does_not_use_up_the_order() {
        let mut order = Sequence::<_, &str>::after(0);
        assert_eq!(order.on(2, 'b', START), SequenceVerdict::Held);
        for far in [AHEAD + 2, (1 << 53) - 1, u64::MAX] {
            assert_eq!(order.on(far, 'x', START), SequenceVerdict::Conflict(Gap { missing: 1, next: 1 }));
        }
        assert_eq!(order.on(1, 'a', START), SequenceVerdict::Now('a'));
        assert_eq!(order.take(START), Some((2, 'b')));
    }

    #[test]
    fn no_more_than_eight_are_held() {
        let mut order = Sequence::<_, &str>::after(0);
        for n in 2..10 {
            assert_eq!(order.on(n, n, START), SequenceVerdict::Held);
        }
        assert_eq!(order.on(AHEAD, 0, START), SequenceVerdict::Conflict(Gap { missing: 1, next: AHEAD + 1 }));
        assert_eq!(order.held.len(), 0);
    }

    #[test]
    fn a_reply_that_comes_later_is_remembered_too() {
        let mut order = Sequence::after(0);
        order.on(1, 'a', START);
        order.remember(1, vec!["soon"]);
        order.amend(1, vec!["late"]);
        order.amend(2, vec!["never asked"]);
        assert_eq!(order.on(1, 'a', START), SequenceVerdict::Again(vec!["soon", "late"]));
        assert_eq!(order.on(2, 'b', START), SequenceVerdict::Now('b'));
    }
}
