//! The places of the sessions: which of them end so that a new one can begin.

use super::{Key, Sessions, eviction};
use crate::{
    clock::Mono,
    config::Id,
    protocol::{IncomingRequest, Refusal},
    sessions::eviction::{Evictable, Eviction},
    viewer::{
        SessionTerms,
        session::{lifecycle::EndReason, opening::Opening},
    },
};

impl Sessions {
    /// Which sessions end so that a new one of `viewer` can begin. They end only once that one is admitted.
    pub(super) fn room(&mut self, viewer: &Id, now: Mono) -> Eviction<Key> {
        let Self { handles, admission, terms, .. } = self;
        let mut evictable: Vec<_> = handles
            .iter()
            .filter(|(_, handle)| !handle.is_leaving())
            .map(|(key, handle)| Evictable {
                key,
                viewer: &key.0,
                phase: *handle.phase.borrow(),
                since: handle.since,
                unconnected: admission.unconnected(&key.0, now),
            })
            .collect();
        // Among sessions that began at the same moment, the choice is always the same.
        evictable.sort_unstable_by_key(|handle| handle.key);
        let displaces = admission.displaces(viewer, now);
        let Eviction { running, ends } = eviction::make(&evictable, viewer, displaces, &terms.borrow().limits, now);
        Eviction { running, ends: ends.into_iter().map(|(key, reason)| (key.clone(), reason)).collect() }
    }

    /// Ends these sessions, unless the new one cannot begin: nobody loses a place to a request that is refused.
    pub(super) fn make_room(
        &self,
        ends: Vec<(Key, EndReason)>,
        request: &IncomingRequest,
        terms: &SessionTerms,
    ) -> Result<(), Refusal> {
        if !ends.is_empty() {
            Opening::check(&request.request, &self.sources, request.from.rights, terms)?;
        }
        for (key, reason) in ends {
            if let Some(handle) = self.handles.get(&key) {
                handle.end(reason);
            }
        }
        Ok(())
    }
}
