//! Which sessions end so that a new one may begin. Pure: it only decides. They end once the new one is admitted.
//!
//! A session that works never ends here. A viewer at its own limit loses one of its own sessions that was lost, or that
//! never had a connection. When every place is taken, a new session takes the place of one that was not live in time:
//! first of one without a candidate pair, then of one whose DTLS handshake does not end. So somebody who opens sessions
//! and completes none keeps nobody out.

use std::{cmp::Reverse, time::Duration};

use crate::{
    clock::Mono,
    config::{Id, Limits},
    sessions::admission::Running,
    viewer::session::lifecycle::{EndReason, SessionPhase},
};

/// A session that was not live may be evicted after this time. One is usually live within a second.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A session that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evictable<'a, K> {
    pub(super) key: K,
    pub(super) viewer: &'a Id,
    pub(super) phase: SessionPhase,
    pub(super) since: Mono,
    /// How many sessions of this viewer ended lately without a pair.
    pub(super) unconnected: usize,
}

/// The decision: which sessions end and why, and what still runs then.
#[derive(Debug)]
pub(super) struct Eviction<K> {
    pub(super) running: Running,
    pub(super) ends: Vec<(K, EndReason)>,
}

/// Decides for a session that `viewer` wants to start. `displaces`: whether it may take another viewer's place.
pub(super) fn make<K: Copy>(
    handles: &[Evictable<'_, K>],
    viewer: &Id,
    displaces: bool,
    limits: &Limits,
    now: Mono,
) -> Eviction<K> {
    let mut staying: Vec<_> = handles.iter().collect();
    let mut ends = Vec::new();
    let mut end = |staying: &mut Vec<&Evictable<'_, K>>, at: Option<usize>, reason| {
        ends.extend(at.map(|at| (staying.swap_remove(at).key, reason)));
    };
    let is_ghost = |handle: &Evictable<'_, K>| is_setup(handle) && now.since(handle.since) >= GRACE;
    if running(&staying, viewer).own >= limits.sessions_per_viewer {
        let own = |handle: &&Evictable<'_, K>| handle.viewer == viewer;
        let lost = oldest(&staying, |handle| own(&handle) && handle.phase == SessionPhase::Lost);
        let spare = lost.or_else(|| oldest(&staying, |handle| own(&handle) && is_ghost(handle)));
        end(&mut staying, spare, EndReason::Replaced);
    }
    let now_running = running(&staying, viewer);
    let full = now_running.all >= limits.viewers || now_running.setups >= limits.setups;
    if full && displaces && now_running.own < limits.sessions_per_viewer {
        let ghost = oldest(&staying, |handle| handle.viewer != viewer && is_ghost(handle));
        end(&mut staying, ghost, EndReason::GaveWay);
    }
    Eviction { running: running(&staying, viewer), ends }
}

/// Whether it was never live.
fn is_setup<K>(handle: &Evictable<'_, K>) -> bool {
    matches!(handle.phase, SessionPhase::Setup | SessionPhase::Connecting)
}

/// The oldest session that fits. Sessions of viewers that often did not connect come first, then those without a
/// candidate pair.
fn oldest<K>(handles: &[&Evictable<'_, K>], fits: impl Fn(&Evictable<'_, K>) -> bool) -> Option<usize> {
    let fitting = handles.iter().enumerate().filter(|(_, handle)| fits(handle));
    let order = |handle: &Evictable<'_, K>| {
        (Reverse(handle.unconnected), handle.phase == SessionPhase::Connecting, handle.since)
    };
    fitting.min_by_key(|(_, handle)| order(handle)).map(|(at, _)| at)
}

fn running<K>(handles: &[&Evictable<'_, K>], viewer: &Id) -> Running {
    let own = || handles.iter().filter(|handle| handle.viewer == viewer);
    Running {
        all: handles.len(),
        own: own().count(),
        setups: handles.iter().filter(|handle| is_setup(handle)).count(),
        own_setups: own().filter(|handle| is_setup(handle)).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(100_000_000_000);

    /// A session: its viewer, its phase, its age in seconds, and how many sessions of this viewer never connected.
    type Session<'a> = (&'a str, SessionPhase, u64, usize);
    /// Sessions, the viewer that asks, whether it may displace others, and which of the sessions end.
    type Row<'a> = (&'a [Session<'a>], &'a str, bool, &'a [(usize, EndReason)]);

    /// Which sessions end, and why.
    fn decide(handles: &[Session<'_>], viewer: &str, displaces: bool, limits: &Limits) -> Vec<(usize, EndReason)> {
        let ids: Vec<Id> = handles.iter().map(|(viewer, ..)| Id::new(viewer).unwrap()).collect();
        let has_session: Vec<_> = handles
            .iter()
            .zip(&ids)
            .enumerate()
            .map(|(key, ((_, phase, age, unconnected), viewer))| Evictable {
                key,
                viewer,
                phase: *phase,
                since: Mono(NOW.0 - age * 1_000_000_000),
                unconnected: *unconnected,
            })
            .collect();
        let room = make(&has_session, &Id::new(viewer).unwrap(), displaces, limits, NOW);
        assert_eq!(room.running.all, handles.len() - room.ends.len());
        room.ends
    }

    #[test]
    fn who_gives_way_to_whom() {
        use SessionPhase::{Connecting, Live, Lost, Setup};
        let limits = Limits { viewers: 3, setups: 3, sessions_per_viewer: 2, ..Limits::default() };
        let rows: [Row<'_>; 14] = [
            // There is a free place.
            (&[("anna", Lost, 9, 0), ("bert", Setup, 9, 0)], "anna", true, &[]),
            // At the viewer's own limit, lost sessions end first, then those that never connected. Working ones stay.
            (&[("anna", Live, 9, 0), ("anna", Lost, 8, 0)], "anna", true, &[(1, EndReason::Replaced)]),
            (&[("anna", Lost, 8, 0), ("anna", Lost, 9, 0)], "anna", true, &[(1, EndReason::Replaced)]),
            (&[("anna", Live, 9, 0), ("anna", Setup, 5, 0)], "anna", true, &[(1, EndReason::Replaced)]),
            (&[("anna", Live, 9, 0), ("anna", Setup, 4, 0)], "anna", true, &[]),
            (&[("anna", Live, 9, 0), ("anna", Live, 8, 0), ("bert", Setup, 9, 0)], "anna", true, &[]),
            // All places are taken: the oldest session without a connection ends. Viewers that often did not connect
            // come first.
            (&[("a", Setup, 6, 0), ("b", Setup, 9, 0), ("c", Live, 99, 0)], "new", true, &[(1, EndReason::GaveWay)]),
            (&[("a", Setup, 6, 2), ("b", Setup, 9, 0), ("c", Live, 99, 0)], "new", true, &[(0, EndReason::GaveWay)]),
            (&[("a", Setup, 4, 9), ("b", Connecting, 4, 9), ("c", Lost, 99, 9)], "new", true, &[]),
            // A handshake that does not end holds no place either, but one without a pair goes first.
            (
                &[("a", Setup, 4, 0), ("b", Connecting, 9, 0), ("c", Lost, 99, 0)],
                "new",
                true,
                &[(1, EndReason::GaveWay)],
            ),
            (
                &[("a", Setup, 6, 0), ("b", Connecting, 9, 0), ("c", Live, 99, 0)],
                "new",
                true,
                &[(0, EndReason::GaveWay)],
            ),
            (&[("a", Setup, 6, 0), ("b", Setup, 9, 0), ("c", Live, 99, 0)], "new", false, &[]),
            // A session that ends for its own viewer frees a place, so no other ends.
            (&[("a", Setup, 9, 0), ("new", Lost, 9, 0), ("new", Live, 9, 0)], "new", true, &[(1, EndReason::Replaced)]),
            // A viewer whose sessions never connect displaces only its own.
            (
                &[("new", Setup, 9, 3), ("new", Setup, 8, 3), ("c", Setup, 9, 0)],
                "new",
                false,
                &[(0, EndReason::Replaced)],
            ),
        ];
        for (handles, viewer, displaces, expected) in rows {
            assert_eq!(decide(handles, viewer, displaces, &limits), expected, "{viewer} at {handles:?}");
        }
    }
}
