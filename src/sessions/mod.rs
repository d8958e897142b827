//! Who is watching: admits, routes, reaps. One task; it alone makes and ends viewer tasks.
//!
//! It never waits for anybody: what a viewer or the link does not take at once ends that viewer, or is dropped and
//! counted.

mod admission;
mod early_candidates;
mod eviction;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{Id as TaskId, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, error, info};

use self::{
    admission::{Admission, Entry},
    early_candidates::EarlyCandidates,
    eviction::{Evictable, Eviction},
};
use crate::{
    broker::Event,
    clock::{self, Mono},
    config::Id,
    feed::Health,
    grant::{self, Grant},
    liveness::{Heartbeat, TURN},
    media_source::MediaSource,
    protocol::{
        Addressed, Clock, Correlation, ErrorName, MediaHealth, Presence, Refusal, Reply, Request, SessionId,
        compose::compose,
        envelope,
        parse::{Head, parse},
    },
    viewer::{
        INBOX, MediaSources, Message, Terms, Viewer, health_changed,
        peer::PeerFactory,
        session::lifecycle::{EndReason, SessionPhase},
    },
};

/// How long all viewers together may take to leave when the daemon stops.
const LEAVE: Duration = Duration::from_millis(1500);

/// A session, and whose it is: nobody else can touch it.
type Key = (Id, SessionId);

/// What is kept of a session that runs.
#[derive(Debug)]
struct SessionHandle {
    inbox: mpsc::Sender<Message>,
    stop: watch::Sender<Option<EndReason>>,
    phase: watch::Receiver<SessionPhase>,
    since: Mono,
}

impl SessionHandle {
    fn is_leaving(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn end(&self, reason: EndReason) {
        self.stop.send_if_modified(|stop| stop.replace(reason).is_none());
    }
}

/// Who is watching.
#[derive(Debug)]
pub struct Sessions {
    grant: Grant,
    terms: watch::Receiver<Arc<Terms>>,
    peers: Arc<PeerFactory>,
    sources: MediaSources,
    out: mpsc::Sender<Addressed>,
    presence: watch::Sender<Presence>,
    admission: Admission,
    early: EarlyCandidates,
    handles: HashMap<Key, SessionHandle>,
    names: HashMap<TaskId, Key>,
    tasks: JoinSet<EndReason>,
    /// Candidates and last words for sessions that are not there (any more).
    late: u64,
    /// What comes back with whatever is said now: that of the request which is being looked at.
    correlation: Option<Correlation>,
    /// Refusals that the link did not take.
    unsaid: u64,
}

impl Sessions {
    /// Nobody watches yet. What is said goes to `out` (64), by viewer; what belongs into `status` is in the receiver.
    pub fn new(
        grant: Grant,
        terms: watch::Receiver<Arc<Terms>>,
        peers: Arc<PeerFactory>,
        sources: MediaSources,
        out: mpsc::Sender<Addressed>,
    ) -> (Self, watch::Receiver<Presence>) {
        let now = Mono::now();
        let limits = terms.borrow().limits.clone();
        let presence = Presence {
            media: health(&sources),
            viewers: 0,
            max_viewers: limits.viewers,
            clock: Clock::new(clock::is_synced()),
            nonce: grant.nonce(now),
        };
        let (presence, seen) = watch::channel(presence);
        let sessions = Self {
            grant,
            terms,
            peers,
            sources,
            out,
            presence,
            admission: Admission::new(limits, now),
            early: EarlyCandidates::default(),
            handles: HashMap::new(),
            names: HashMap::new(),
            tasks: JoinSet::new(),
            late: 0,
            correlation: None,
            unsaid: 0,
        };
        (sessions, seen)
    }

    /// Serves until `shutdown` is true or the link is dropped; then says goodbye to all, within 1.5 s.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut shutdown: watch::Receiver<bool>,
        heartbeat: Heartbeat,
    ) {
        let mut terms = self.terms.clone();
        let mut video = self.sources.video.as_ref().map(MediaSource::health);
        let mut audio = self.sources.audio.as_ref().map(MediaSource::health);
        loop {
            let now = Mono::now();
            heartbeat.tick(now);
            let next_deadline = self.next_deadline(now);
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                event = events.recv() => match event {
                    Some(event) => self.handle_link_event(event),
                    None => break,
                },
                () = health_changed(&mut video) => {}
                () = health_changed(&mut audio) => {}
                Ok(()) = terms.changed() => self.admission.configure(terms.borrow_and_update().limits.clone()),
                () = sleep(TURN) => {}
                () = sleep(next_deadline.since(now)) => self.expire_early(Mono::now()),
            }
            self.publish(Mono::now());
        }
        self.leave().await;
    }

    /// When the next nonce or the next candidate without an offer is due.
    fn next_deadline(&self, now: Mono) -> Mono {
        let slot = u64::try_from(grant::SLOT.as_nanos()).unwrap_or(u64::MAX);
        let next = Mono((now.0 / slot + 1) * slot);
        self.early.deadline().map_or(next, |early| early.min(next))
    }

    fn handle_link_event(&mut self, event: Event) {
        let now = Mono::now();
        match event {
            Event::Message { viewer, payload, correlation } => {
                self.correlation = correlation;
                self.handle_payload(&viewer, &payload, now);
            }
            Event::Oversize { viewer, len, correlation } => {
                self.correlation = correlation;
                self.handle_oversized(&viewer, len, now);
            }
            // Media outlives signalling: the link may come and go.
            Event::Up { .. } | Event::Down => {}
        }
        self.correlation = None;
    }

    fn handle_oversized(&mut self, viewer: &Id, len: usize, now: Mono) {
        if self.is_read(viewer, now) {
            self.refuse(viewer, None, envelope::too_large(len), now);
        }
    }

    /// Whether a message of this viewer is looked at; if not, it is told so once a second. That word does not count among
    /// the refusals: it would be lost with those that the flood itself used up.
    fn is_read(&mut self, viewer: &Id, now: Mono) -> bool {
        match self.admission.message(viewer, self.has_session(viewer), now) {
            Entry::Read => true,
            Entry::Refused(refusal) => {
                self.send(viewer, None, &Reply::Error(refusal));
                false
            }
            Entry::Dropped => false,
        }
    }

    /// Size, rate, envelope, authority, shape: the cheapest first. Whatever fails ends here.
    fn handle_payload(&mut self, viewer: &Id, payload: &[u8], now: Mono) {
        if payload.len() > envelope::MESSAGE_MAX {
            return self.handle_oversized(viewer, payload.len(), now);
        }
        if !self.is_read(viewer, now) {
            return;
        }
        let opened = match envelope::open(payload) {
            Ok(opened) => opened,
            Err(rejected) => return self.refuse(viewer, rejected.session.as_ref(), rejected.refusal, now),
        };
        let text = match self.grant.authorise(viewer, opened) {
            Ok(text) => text,
            Err(refusal) if self.admission.unauthorised(viewer, now) => return self.refuse(viewer, None, refusal, now),
            Err(_) => return,
        };
        match parse(text) {
            Ok((head, request)) => self.route(viewer, head, request, now),
            Err(rejected) => self.refuse(viewer, rejected.session.as_ref(), rejected.refusal, now),
        }
    }

    fn route(&mut self, viewer: &Id, head: Head, request: Request, now: Mono) {
        if request == Request::Hello {
            let welcome = Reply::Welcome { nonce: self.grant.nonce(now), clock: Clock::new(clock::is_synced()) };
            return self.send(viewer, Some(&head.session), &welcome);
        }
        if let Some(handle) = self.handles.get(&(viewer.clone(), head.session.clone())) {
            let message = Message { seq: head.seq, request, correlation: self.correlation.take() };
            match handle.inbox.try_send(message) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => handle.end(EndReason::Flood),
                Err(mpsc::error::TrySendError::Closed(_)) => self.late += 1,
            }
            return;
        }
        if self.admission.has_ended(viewer, &head.session, now) {
            return self.answer_for_ended(viewer, &head, &request, now);
        }
        match request {
            Request::Offer { restart: false, .. } | Request::Request { .. } => self.start(viewer, head, request, now),
            Request::Candidates { .. } => {
                if !self.early.keep(viewer, head, request, self.correlation.take(), now) {
                    self.late += 1;
                }
            }
            Request::Bye { .. } | Request::Pong { .. } => self.late += 1,
            _ => self.refuse_unknown(viewer, &head, now),
        }
    }

    fn answer_for_ended(&mut self, viewer: &Id, head: &Head, request: &Request, now: Mono) {
        if matches!(request, Request::Candidates { .. } | Request::Bye { .. } | Request::Pong { .. }) {
            self.late += 1;
            return;
        }
        let refusal = Refusal::new(ErrorName::Gone, "the session has ended: a new one needs a new id");
        self.refuse(viewer, Some(&head.session), refusal, now);
    }

    fn refuse_unknown(&mut self, viewer: &Id, head: &Head, now: Mono) {
        let refusal = Refusal::new(ErrorName::NoSession, "there is no such session: offer anew");
        self.refuse(viewer, Some(&head.session), refusal, now);
    }

    fn expire_early(&mut self, now: Mono) {
        while let Some((viewer, head, correlation)) = self.early.expire(now) {
            self.correlation = correlation;
            self.refuse_unknown(&viewer, &head, now);
        }
        self.correlation = None;
    }

    fn start(&mut self, viewer: &Id, head: Head, request: Request, now: Mono) {
        let early = self.early.take(viewer, &head);
        let terms = self.terms.borrow().clone();
        let Eviction { running, ends } = self.room(viewer, now);
        if let Err(refusal) = self.admission.admit(viewer, running, now) {
            return self.refuse(viewer, Some(&head.session), refusal, now);
        }
        for (key, reason) in ends {
            if let Some(handle) = self.handles.get(&key) {
                handle.end(reason);
            }
        }
        let (inbox, heard) = mpsc::channel(INBOX);
        early.into_iter().for_each(|message| drop(inbox.try_send(message)));
        let (stop, stopped) = watch::channel(None);
        let (phase, seen) = watch::channel(SessionPhase::Setup);
        let task = Viewer {
            viewer: viewer.clone(),
            session: head.session.clone(),
            opening: Message { seq: head.seq, request, correlation: self.correlation.take() },
            terms,
            peers: Arc::clone(&self.peers),
            sources: self.sources.clone(),
            out: self.out.clone(),
            inbox: heard,
            stop: stopped,
            phase,
        };
        let key = (viewer.clone(), head.session);
        let task = self.tasks.spawn(task.run());
        self.names.insert(task.id(), key.clone());
        self.handles.insert(key, SessionHandle { inbox, stop, phase: seen, since: now });
    }

    /// What has to end so that a new session of `viewer` can begin. It does not end before that one is admitted.
    fn room(&mut self, viewer: &Id, now: Mono) -> Eviction<Key> {
        let Self { handles, admission, terms, .. } = self;
        let mut has_session: Vec<_> = handles
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
        // Of sessions that began at one moment always the same one.
        has_session.sort_unstable_by_key(|handle| handle.key);
        let displaces = admission.displaces(viewer, now);
        let Eviction { running, ends } = eviction::make(&has_session, viewer, displaces, &terms.borrow().limits, now);
        Eviction { running, ends: ends.into_iter().map(|(key, reason)| (key.clone(), reason)).collect() }
    }

    fn has_session(&self, viewer: &Id) -> bool {
        self.handles.keys().any(|(v, _)| v == viewer)
    }

    fn reap(&mut self, ended: Result<(TaskId, EndReason), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((viewer, session)) = self.names.remove(&id) else { return };
        self.handles.remove(&(viewer.clone(), session.clone()));
        let now = Mono::now();
        match ended {
            Err(e) => {
                error!("viewer {viewer}: its task panicked: {e}");
                self.send_last(&viewer, &session, EndReason::Internal);
            }
            Ok((_, EndReason::Timeout | EndReason::IceTimeout | EndReason::GaveWay)) => {
                self.admission.count_unconnected(&viewer, now)
            }
            Ok((_, EndReason::Refused)) => {}
            Ok(_) => self.admission.connected(&viewer),
        }
        self.admission.remember_ended(viewer, session, now);
    }

    fn send_last(&mut self, viewer: &Id, session: &SessionId, reason: EndReason) {
        if let Some(refusal) = reason.error() {
            self.send(viewer, Some(session), &Reply::Error(refusal));
        }
        self.send(viewer, Some(session), &Reply::Bye { reason: reason.word().to_owned() });
    }

    fn refuse(&mut self, viewer: &Id, session: Option<&SessionId>, refusal: Refusal, now: Mono) {
        debug!("viewer {viewer}: refused: {}", refusal.message);
        if self.admission.refusal(viewer, now) {
            self.send(viewer, session, &Reply::Error(refusal));
        }
    }

    /// Says something outside the order of a session. Never waits: a link that is full takes no refusals.
    fn send(&mut self, viewer: &Id, session: Option<&SessionId>, reply: &Reply) {
        let (viewer, payload) = (viewer.clone(), compose(reply, session, None));
        if self.out.try_send(Addressed { viewer, payload, correlation: self.correlation.clone() }).is_err() {
            self.unsaid += 1;
        }
    }

    fn publish(&self, now: Mono) {
        let next = Presence {
            media: health(&self.sources),
            viewers: self.handles.values().filter(|handle| !handle.is_leaving()).count(),
            max_viewers: self.terms.borrow().limits.viewers,
            clock: Clock::new(clock::is_synced()),
            nonce: self.grant.nonce(now),
        };
        self.presence.send_if_modified(|presence| {
            let changed = *presence != next;
            *presence = next;
            changed
        });
    }

    async fn leave(mut self) {
        self.handles.values().for_each(|handle| handle.end(EndReason::Shutdown));
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LEAVE, all).await.is_err() {
            info!("sessions: {} did not end within {LEAVE:?}", self.tasks.len());
            self.tasks.shutdown().await;
        }
        debug!("sessions: {} messages came too late, {} refusals were not said", self.late, self.unsaid);
    }
}

fn health(sources: &MediaSources) -> MediaHealth {
    let of = |source: &Option<MediaSource>| source.as_ref().map_or(Health::Absent, |s| *s.health().borrow());
    MediaHealth { video: of(&sources.video), audio: of(&sources.audio) }
}

#[cfg(test)]
mod tests;
