//! The privacy switch as the parts of the daemon share it. A change takes effect at once: those who follow it stop the
//! devices. The owner's task gets each change, for the audit record and the file.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::{BoardPrivacy, PrivacyChange, PrivacyFault, PrivacyRequest, PrivacySource};
use crate::clock::Mono;

/// Changes that wait for the owner's task. Two lifts are 5 s apart, so this is more than two minutes of changes.
const CHANGES: usize = 64;

/// The switch. Clones share it.
#[derive(Debug, Clone)]
pub struct PrivacyHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    is_on: watch::Sender<bool>,
    changes: mpsc::Sender<PrivacyNews>,
}

#[derive(Debug)]
struct State {
    privacy: BoardPrivacy,
    /// The name for people of the viewer that made the last change.
    name: Option<String>,
}

/// The switch at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyState {
    /// Whether camera and microphone are stopped.
    pub is_on: bool,
    /// The number of the last change.
    pub change: u64,
    /// Who made it.
    pub by: PrivacySource,
    /// The name for people of that viewer, if a viewer made it since the daemon started.
    pub name: Option<String>,
    /// How long ago it was. `None`: before the daemon started.
    pub age: Option<Duration>,
}

/// A change, for those who record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyNews {
    /// Whether camera and microphone are stopped now.
    pub is_on: bool,
    /// Who made it.
    pub by: PrivacySource,
    /// The viewer's name for people, if a viewer made it and has one.
    pub name: Option<String>,
}

impl PrivacyHandle {
    /// The switch of a board. The receiver gets each change.
    pub fn new(privacy: BoardPrivacy) -> (Self, mpsc::Receiver<PrivacyNews>) {
        let (changes, news) = mpsc::channel(CHANGES);
        let is_on = watch::Sender::new(privacy.is_on());
        let state = Mutex::new(State { privacy, name: None });
        (Self { shared: Arc::new(Shared { state, is_on, changes }) }, news)
    }

    /// Takes a request. `has_right`: for a viewer, whether it has the right `control` now; for the button, whether it
    /// may lift the switch. `name`: the viewer's name for people. Returns the switch as it is now.
    pub fn ask(
        &self,
        request: &PrivacyRequest,
        by: PrivacySource,
        name: Option<&str>,
        has_right: bool,
        now: Mono,
    ) -> Result<PrivacyState, PrivacyFault> {
        let mut state = self.lock();
        let change = state.privacy.ask(request, by.clone(), has_right, now)?;
        if change != PrivacyChange::Nothing {
            state.name = name.map(str::to_owned);
            let is_on = state.privacy.is_on();
            // Under the lock, so that two changes are never seen in the wrong order.
            self.shared.is_on.send_replace(is_on);
            // An owner's task that takes nothing for minutes loses records. The switch is in force all the same.
            let _ = self.shared.changes.try_send(PrivacyNews { is_on, by, name: state.name.clone() });
        }
        Ok(state.seen(now))
    }

    /// The switch now.
    pub fn state(&self, now: Mono) -> PrivacyState {
        self.lock().seen(now)
    }

    /// Follows whether camera and microphone are stopped.
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.shared.is_on.subscribe()
    }

    /// The record to write now; see [`BoardPrivacy::record_due`].
    pub fn record_due(&self, now: Mono) -> Option<Vec<u8>> {
        self.lock().privacy.record_due(now)
    }

    /// A record was written, or could not be. Returns whether the next start would find another switch than this one.
    pub fn wrote(&self, record: &[u8], worked: bool, now: Mono) -> bool {
        let mut state = self.lock();
        state.privacy.wrote(record, worked, now);
        state.privacy.is_unsaved()
    }

    /// Whether the next start would find another switch than this one.
    pub fn is_unsaved(&self) -> bool {
        self.lock().privacy.is_unsaved()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seen(&self, now: Mono) -> PrivacyState {
        let privacy = &self.privacy;
        PrivacyState {
            is_on: privacy.is_on(),
            change: privacy.change(),
            by: privacy.by().clone(),
            name: self.name.clone(),
            age: privacy.age(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(id: &str) -> PrivacySource {
        PrivacySource::Viewer(crate::config::Id::new(id).unwrap())
    }

    #[test]
    fn a_change_is_followed_and_told_once() {
        let (switch, mut news) = PrivacyHandle::new(BoardPrivacy::restore(None));
        let mut followed = switch.follow();
        assert!(!*followed.borrow_and_update());
        for _ in 0..2 {
            let state = switch.ask(&PrivacyRequest::Set, viewer("anna"), Some("Anna"), true, Mono(0)).unwrap();
            assert_eq!((state.is_on, state.change, state.name.as_deref()), (true, 1, Some("Anna")));
        }
        assert!(followed.has_changed().unwrap() && *followed.borrow_and_update());
        let told = PrivacyNews { is_on: true, by: viewer("anna"), name: Some("Anna".into()) };
        assert_eq!((news.try_recv(), news.try_recv().is_err()), (Ok(told), true));
        let lift = PrivacyRequest::Lift { change: None };
        let state = switch.ask(&lift, PrivacySource::Owner, None, false, Mono(2_000_000_000)).unwrap();
        assert_eq!((state.is_on, state.change, state.name, state.age), (false, 2, None, Some(Duration::ZERO)));
        assert!(!*followed.borrow_and_update());
    }

    #[test]
    fn a_refusal_changes_and_tells_nothing() {
        let (switch, mut news) = PrivacyHandle::new(BoardPrivacy::restore(Some(b"damaged")));
        let before = switch.state(Mono(0));
        assert!(before.is_on && !switch.is_unsaved());
        let lift = PrivacyRequest::Lift { change: Some(7) };
        assert_eq!(switch.ask(&lift, viewer("anna"), None, true, Mono(0)), Err(PrivacyFault::Changed(0)));
        assert_eq!((switch.state(Mono(0)), news.try_recv().is_err()), (before, true));
    }

    #[test]
    fn a_full_queue_of_news_never_delays_a_stop() {
        let (switch, _news) = PrivacyHandle::new(BoardPrivacy::restore(None));
        for n in 0..500 {
            let now = Mono(n * 10_000_000_000);
            assert!(switch.ask(&PrivacyRequest::Set, PrivacySource::Owner, None, false, now).unwrap().is_on);
            let lift = PrivacyRequest::Lift { change: None };
            assert!(!switch.ask(&lift, PrivacySource::Owner, None, false, now).unwrap().is_on);
        }
        assert_eq!(switch.state(Mono(0)).change, 1000);
    }
}
