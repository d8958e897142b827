//! Messages that were received and not yet passed on. Pure.
//!
//! A broker that keeps to Receive Maximum never fills this. Some do not: mosquitto 2.0 sends a whole window for every
//! acknowledgement. So there are limits, first for each viewer, so that a viewer that floods meets them alone.

use std::collections::{HashMap, VecDeque};

use crate::{broker::LinkEvent, config::Id};

/// Messages of one viewer: about the burst that protocol section 7 allows.
const OF_ONE_VIEWER: usize = 64;
/// Messages of all.
const OF_ALL: usize = 1024;
/// Bytes of all. A daemon that gets no processor for half a second in a crowd fills it, and the client's buffers hold
/// about as much again.
const BYTES: usize = 512 << 10;

/// A queue of events, each with the acknowledgement that is sent once it is passed on.
#[derive(Debug)]
pub(super) struct InboundQueue<R> {
    queue: VecDeque<(LinkEvent, R)>,
    of_viewer: HashMap<Id, usize>,
    bytes: usize,
}

impl<R> Default for InboundQueue<R> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), of_viewer: HashMap::new(), bytes: 0 }
    }
}

impl<R> InboundQueue<R> {
    /// Adds an event at the end. An error returns the acknowledgement of an event for which there is no room.
    pub(super) fn push(&mut self, event: LinkEvent, ack: R) -> Result<(), R> {
        let (viewer, bytes) = measure(&event);
        let theirs = viewer.and_then(|viewer| self.of_viewer.get(viewer)).copied().unwrap_or(0);
        if theirs >= OF_ONE_VIEWER || self.queue.len() >= OF_ALL || self.bytes + bytes > BYTES {
            return Err(ack);
        }
        if let Some(viewer) = viewer {
            self.of_viewer.insert(viewer.clone(), theirs + 1);
        }
        self.bytes += bytes;
        self.queue.push_back((event, ack));
        Ok(())
    }

    /// Takes the oldest event.
    pub(super) fn pop(&mut self) -> Option<(LinkEvent, R)> {
        let (event, ack) = self.queue.pop_front()?;
        let (viewer, bytes) = measure(&event);
        self.bytes -= bytes;
        if let Some(viewer) = viewer {
            match self.of_viewer.get_mut(viewer) {
                Some(n) if *n > 1 => *n -= 1,
                _ => drop(self.of_viewer.remove(viewer)),
            }
        }
        Some((event, ack))
    }
}

fn measure(event: &LinkEvent) -> (Option<&Id>, usize) {
    match event {
        LinkEvent::Message { viewer, payload, .. } => (Some(viewer), payload.len()),
        LinkEvent::Oversize { viewer, .. } => (Some(viewer), 0),
        LinkEvent::Up { .. } | LinkEvent::Down => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(viewer: &str, bytes: usize) -> LinkEvent {
        LinkEvent::Message { viewer: Id::new(viewer).unwrap(), payload: Bytes::from(vec![0; bytes]), correlation: None }
    }

    #[test]
    fn a_flood_leaves_room_for_others_and_order_is_kept() {
        let mut held = InboundQueue::default();
        let taken = (0..500).filter(|n| held.push(message("mallory", 10), *n).is_ok()).count();
        assert_eq!(taken, OF_ONE_VIEWER);
        assert_eq!(held.push(message("anna", 10), 1000), Ok(()));
        assert_eq!(held.push(message("mallory", 10), 1001), Err(1001));
        let order: Vec<_> = std::iter::from_fn(|| held.pop().map(|(_, n)| n)).collect();
        assert_eq!(order, (0..64).chain([1000]).collect::<Vec<_>>());
        assert!(held.of_viewer.is_empty() && held.bytes == 0);
        assert_eq!(held.push(message("mallory", 10), 1), Ok(()));
    }

    #[test]
    fn many_viewers_and_many_bytes_are_bounded_too() {
        let mut held = InboundQueue::default();
        let taken = (0..100_000).filter(|n| held.push(message(&format!("v{n}"), 1), ()).is_ok()).count();
        assert_eq!(taken, OF_ALL);

        let mut held = InboundQueue::default();
        let taken = (0..100).filter(|n| held.push(message(&format!("v{n}"), 32 << 10), ()).is_ok()).count();
        assert_eq!(taken, 16);
        let oversize = LinkEvent::Oversize { viewer: Id::new("anna").unwrap(), len: 1 << 30, correlation: None };
        assert_eq!(held.push(oversize, ()), Ok(()));
    }
}
