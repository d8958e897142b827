//! Acknowledgements in the order in which the messages came (MQTT-4.6.0-2). Pure.
//!
//! A message that waits for signalling holds back the acknowledgements of those after it, even of those that were
//! dropped at once.

use std::collections::VecDeque;

/// Acknowledgements that wait. A correct broker has at most 65535 unacknowledged messages, or 32 if it keeps to Receive
/// Maximum. A message above this limit is not acknowledged, and comes again with the next connection.
const MOST: usize = 4096;

/// Names an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The acknowledgements of one connection.
#[derive(Debug)]
pub(super) struct AckOrder<R> {
    /// The ticket of the oldest.
    first: u64,
    waiting: VecDeque<(R, bool)>,
}

impl<R> Default for AckOrder<R> {
    fn default() -> Self {
        Self { first: 0, waiting: VecDeque::new() }
    }
}

impl<R> AckOrder<R> {
    /// Adds a message. `None`: too many wait already.
    pub(super) fn add(&mut self, ack: R) -> Option<Ticket> {
        if self.waiting.len() >= MOST {
            return None;
        }
        self.waiting.push_back((ack, false));
        Some(Ticket(self.first + self.waiting.len() as u64 - 1))
    }

    /// A message was passed on or dropped.
    pub(super) fn done(&mut self, ticket: Ticket) {
        let at = ticket.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some((_, done)) = at.and_then(|at| self.waiting.get_mut(at)) {
            *done = true;
        }
    }

    /// Gives the acknowledgements that are due to `give`, as long as it accepts them.
    pub(super) fn release(&mut self, mut give: impl FnMut(&R) -> bool) {
        while let Some((ack, true)) = self.waiting.front() {
            if !give(ack) {
                return;
            }
            self.waiting.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(acks: &mut AckOrder<u32>, room: usize) -> Vec<u32> {
        let mut out = Vec::new();
        acks.release(|n| {
            let taken = out.len() < room;
            out.extend(taken.then_some(*n));
            taken
        });
        out
    }

    #[test]
    fn what_came_first_is_acknowledged_first() {
        let mut acks = AckOrder::default();
        let tickets: Vec<_> = (0..4).map(|n| acks.add(n).unwrap()).collect();
        acks.done(tickets[1]);
        acks.done(tickets[3]);
        assert!(released(&mut acks, 9).is_empty());
        acks.done(tickets[0]);
        assert_eq!(released(&mut acks, 9), [0, 1]);
        acks.done(tickets[0]);
        acks.done(tickets[2]);
        assert_eq!(released(&mut acks, 9), [2, 3]);
    }

    #[test]
    fn what_the_client_does_not_take_is_given_later() {
        let mut acks = AckOrder::default();
        for n in 0..5 {
            let ticket = acks.add(n).unwrap();
            acks.done(ticket);
        }
        assert_eq!(released(&mut acks, 2), [0, 1]);
        assert_eq!(released(&mut acks, 9), [2, 3, 4]);
    }

    #[test]
    fn a_broker_without_bounds_meets_one() {
        let mut acks = AckOrder::default();
        assert_eq!((0..100_000).filter(|n| acks.add(*n).is_some()).count(), MOST);
    }
}
