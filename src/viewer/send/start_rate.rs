//! Start rates: what earlier sessions measured of each viewer's network, and where a new session begins.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Mono,
    units::{AtomicBitrate, Bitrate},
    viewer::send::send_path::RateBounds,
};

/// The most viewers in the memory. The one whose last session is the oldest is forgotten.
const VIEWERS: usize = 64;
/// The first guess for an unknown network: most carry it.
const GUESS: Bitrate = Bitrate::from_kbps(1_000);
/// An estimate is uncertain by up to a third, so the estimator looks for this much more than is needed.
const ROOM: f64 = 1.35;
/// After this time a remembered rate is halfway back to the first guess, because people move and neighbours stop
/// downloading.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// After this time nothing is left of it.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Within this time the limit of the path is assumed to be unchanged.
const FRESH: Duration = Duration::from_secs(60);

/// What a session measured. It counts only if the viewer reported until the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LastEstimate {
    /// The bitrate that the network carried, with all headers.
    pub bitrate: Bitrate,
    /// Whether delay or loss showed that the path carries no more. Otherwise more was never tried.
    pub limited: bool,
}

#[derive(Debug)]
struct Entry {
    viewer: String,
    found: LastEstimate,
    at: Mono,
}

/// The memory of all viewers.
#[derive(Debug)]
pub(crate) struct StartRates {
    /// The highest bitrate that the estimator looks for: video, audio and some room. Open connections follow it.
    ceiling: Arc<AtomicBitrate>,
    known: Mutex<VecDeque<Entry>>,
}

impl Default for StartRates {
    fn default() -> Self {
        let networks = Self { ceiling: Arc::default(), known: Mutex::default() };
        networks.set_need(Bitrate::from_kbps(2_000), Bitrate::from_kbps(100));
        networks
    }
}

impl StartRates {
    /// Sets what video and audio need at most. Open connections follow.
    pub(crate) fn set_need(&self, video: Bitrate, audio: Bitrate) {
        self.ceiling.store((video + audio) * ROOM);
    }

    /// The value that open connections follow.
    pub(crate) fn ceiling(&self) -> Arc<AtomicBitrate> {
        Arc::clone(&self.ceiling)
    }

    /// Where a session of this viewer begins, and its limits.
    pub(crate) fn bounds(&self, viewer: &str, now: Mono) -> RateBounds {
        let ceiling = self.ceiling.load().unwrap_or_default();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.iter().find(|known| known.viewer == viewer).map(|known| (known.found, now.since(known.at)));
        let start = known.map_or(GUESS, |(found, age)| found.after(age)).min(ceiling);
        let known = known.is_some_and(|(found, age)| found.limited && age < FRESH);
        RateBounds { start, ceiling, known }
    }

    /// Remembers what a session of this viewer measured.
    pub(crate) fn remember(&self, viewer: &str, found: LastEstimate, now: Mono) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.viewer != viewer);
        if known.len() == VIEWERS {
            known.pop_front();
        }
        known.push_back(Entry { viewer: viewer.to_owned(), found, at: now });
    }
}

impl LastEstimate {
    /// The start rate this long after the session. It is never below the first guess, unless delay or loss proved a
    /// lower rate.
    fn after(self, age: Duration) -> Bitrate {
        if age >= FORGOTTEN {
            return GUESS;
        }
        let rate = if self.limited { self.bitrate } else { self.bitrate.max(GUESS) };
        let left = 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64());
        let difference = rate.abs_diff(GUESS) * left;
        let rate = if rate < GUESS { GUESS - difference } else { GUESS + difference };
        rate.floor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(0);

    const fn bps(bits: u64) -> Bitrate {
        Bitrate::from_bps(bits)
    }

    fn limited(bits: u64) -> LastEstimate {
        LastEstimate { bitrate: bps(bits), limited: true }
    }

    #[test]
    fn a_viewer_begins_where_it_ended_and_a_stranger_with_a_guess() {
        let networks = StartRates::default();
        networks.set_need(bps(2_000_000), bps(100_000));
        let bounds = networks.bounds("anna", START);
        assert_eq!((bounds.start, bounds.known, bounds.ceiling), (GUESS, false, bps(2_835_000)));
        networks.remember("anna", limited(300_000), START);
        let bounds = networks.bounds("anna", START);
        assert_eq!((bounds.start, bounds.known), (bps(300_000), true));
        (0..VIEWERS).for_each(|n| networks.remember(&n.to_string(), limited(9_000_000), START));
        assert!(!networks.bounds("anna", START).known, "others came since");
        assert_eq!(networks.bounds("5", START).start, bps(2_835_000), "more than is needed is not wanted");
        networks.set_need(bps(300_000), bps(30_000));
        assert_eq!(networks.bounds("bert", START).start, bps(445_500), "a small need is a small guess");
        assert_eq!(networks.ceiling().load(), Some(bps(445_500)));
    }

    fn not_limited(bits: u64) -> LastEstimate {
        LastEstimate { limited: false, ..limited(bits) }
    }

    #[test]
    fn memory_fades_and_is_never_worse_than_a_guess_without_a_reason() {
        for (name, found, age, start, known) in [
            ("a thin network", limited(200_000), 0, bps(200_000), true),
            ("a minute later", limited(200_000), 60, bps(303_559), false),
            ("five minutes later", limited(200_000), 300, bps(600_000), false),
            ("an hour later", limited(200_000), 3600, GUESS, false),
            ("a wide one", limited(2_000_000), 0, bps(2_000_000), true),
            ("a wide one, five minutes later", limited(2_000_000), 300, bps(1_500_000), false),
            ("one that was not tried", not_limited(60_000), 0, GUESS, false),
            ("one of which more was not needed", not_limited(2_500_000), 0, bps(2_500_000), false),
        ] {
            let networks = StartRates::default();
            networks.remember("anna", found, START);
            let bounds = networks.bounds("anna", START + Duration::from_secs(age));
            assert_eq!((bounds.start, bounds.known), (start, known), "{name}");
        }
    }

    #[test]
    fn who_comes_again_is_remembered_once() {
        let networks = StartRates::default();
        (0..100).for_each(|n| networks.remember("anna", limited(200_000 + n), START));
        assert_eq!(networks.bounds("anna", START).start, bps(200_099));
        assert_eq!(networks.known.lock().unwrap().len(), 1);
    }
}
