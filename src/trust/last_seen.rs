//! When each viewer was last here. Only in memory: a write for each visit would wear out a board's card.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::viewer_list::{ENTRIES_MAX, ViewerList};
use crate::config::Id;

/// The last visit of each viewer on the list. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LastSeen {
    seen: Arc<Mutex<HashMap<Id, u64>>>,
}

impl LastSeen {
    /// An authentic message of a viewer on the list came. `now`: seconds since 1970.
    pub fn note(&self, viewer: &Id, now: u64) {
        let mut seen = self.lock();
        // Only viewers on the list come here, and `keep` removes the others. The limit is a second line of defence.
        if seen.len() < ENTRIES_MAX || seen.contains_key(viewer) {
            seen.insert(viewer.clone(), now);
        }
    }

    /// The last visit since the daemon started, in seconds since 1970.
    pub fn of(&self, viewer: &Id) -> Option<u64> {
        self.lock().get(viewer).copied()
    }

    /// Forgets viewers that are not on the list.
    pub fn keep(&self, list: &ViewerList) {
        self.lock().retain(|viewer, _| list.by_id(viewer).is_some());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_visit_counts_and_memory_is_bounded() {
        let seen = LastSeen::default();
        let anna = Id::new("anna").unwrap();
        assert_eq!(seen.of(&anna), None);
        seen.note(&anna, 7);
        seen.clone().note(&anna, 9);
        assert_eq!(seen.of(&anna), Some(9));
        (0..10_000).for_each(|n| seen.note(&Id::new(&format!("v{n}")).unwrap(), 1));
        assert_eq!(seen.lock().len(), ENTRIES_MAX);
        seen.keep(&ViewerList::default());
        assert_eq!((seen.of(&anna), seen.lock().len()), (None, 0));
    }
}
