//! `hello`, and the audit records that a viewer may ask for with it.

use tokio::sync::mpsc;

use super::{Sessions, WallClock};
use crate::{
    clock::{self, Mono},
    protocol::{Authorised, Clock, EventMessage, IncomingRequest, Reply, WelcomeDetails, WelcomeStatus},
};

impl Sessions {
    /// Answers `hello`. With `events`, the viewer gets records from now on.
    pub(super) fn welcome(&mut self, request: IncomingRequest, events: bool, now: Mono) {
        if events && let Err(refusal) = self.events.add(&request.from, &request.head.session, now) {
            return self.refuse(request, refusal, now);
        }
        let details = request.from.is_sealed().then(|| Box::new(self.details(&request.from)));
        let (nonce, clock) = (self.grant.nonce(now), Clock::new(clock::is_synced()));
        let welcome = Reply::Welcome { nonce, clock, details };
        self.send(request.addressee(), Some(request.head.session), welcome);
    }

    /// What a viewer on the list learns beside `status` and `info`.
    fn details(&self, from: &Authorised) -> WelcomeDetails {
        let presence = self.presence.borrow();
        let status = WelcomeStatus {
            media: presence.media,
            viewers: presence.viewers,
            max_viewers: presence.max_viewers,
            version: env!("CARGO_PKG_VERSION"),
        };
        // It was composed as JSON.
        let info = serde_json::from_slice(&self.info.borrow()).unwrap_or_default();
        WelcomeDetails { status, info, rights: from.rights }
    }

    /// Hands a record on to those who have the right now.
    pub(super) fn tell(&mut self, event: &EventMessage, now: Mono) {
        self.keep_event_receivers(now, WallClock::now());
        self.events.tell(event, now);
    }

    /// Forgets those who have the right no longer.
    pub(super) fn keep_event_receivers(&mut self, now: Mono, wall: WallClock) {
        let Self { events, grant, .. } = self;
        events.keep(|from| grant.still_permits(from, now, wall));
    }
}

/// The next audit record. `None`: nobody makes records any more.
pub(super) async fn next_of(news: &mut Option<mpsc::Receiver<EventMessage>>) -> Option<EventMessage> {
    news.as_mut()?.recv().await
}
