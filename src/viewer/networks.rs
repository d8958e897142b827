//! What is known of viewers' networks from earlier sessions: where a new one begins.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use super::flow::Bounds;

/// Viewers remembered; the one that was not seen for longest is forgotten.
const VIEWERS: usize = 64;
/// The first guess of an unknown network, in bits per second: what most carry.
const GUESS: u32 = 1_000_000;
/// An estimate is never sure to a third: so much more than the need is looked for.
const ROOM: f64 = 1.35;

/// The memory.
#[derive(Debug)]
pub(super) struct Networks {
    /// Bits per second that picture and sound need.
    need: AtomicU32,
    known: Mutex<VecDeque<(String, u32)>>,
}

impl Default for Networks {
    fn default() -> Self {
        Self { need: AtomicU32::new(2_100_000), known: Mutex::default() }
    }
}

impl Networks {
    /// Says what picture and sound need at most.
    pub(super) fn set_need(&self, video: u32, audio: u32) {
        self.need.store(video.saturating_add(audio), Ordering::Relaxed);
    }

    /// Where a session of this viewer begins, and what it may come to.
    pub(super) fn bounds(&self, viewer: &str) -> Bounds {
        let ceiling = (f64::from(self.need.load(Ordering::Relaxed)) * ROOM) as u32;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.iter().find(|(name, _)| name == viewer).map(|(_, bits)| *bits);
        Bounds { start: known.unwrap_or(GUESS).min(ceiling), ceiling, known: known.is_some() }
    }

    /// Remembers what a viewer's network carried in the end.
    pub(super) fn remember(&self, viewer: &str, bits: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(name, _)| name != viewer);
        if known.len() == VIEWERS {
            known.pop_front();
        }
        known.push_back((viewer.to_owned(), bits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_begins_where_it_ended_and_a_stranger_with_a_guess() {
        let networks = Networks::default();
        networks.set_need(2_000_000, 100_000);
        let bounds = networks.bounds("anna");
        assert_eq!((bounds.start, bounds.known, bounds.ceiling), (GUESS, false, 2_835_000));
        networks.remember("anna", 300_000);
        assert_eq!((networks.bounds("anna").start, networks.bounds("anna").known), (300_000, true));
        (0..VIEWERS).for_each(|n| networks.remember(&n.to_string(), 9_000_000));
        assert!(!networks.bounds("anna").known, "others came since");
        assert_eq!(networks.bounds("5").start, 2_835_000, "more than is needed is not wanted");
        networks.set_need(300_000, 30_000);
        assert_eq!(networks.bounds("bert").start, 445_500, "a small need is a small guess");
    }
}
