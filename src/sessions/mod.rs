//! The sessions of all viewers: admits them, passes requests to them, and removes them. One task; only it starts and
//! ends viewer tasks.
//!
//! It takes requests and returns replies, and does not know how either of them travels. It never waits for anybody. A
//! viewer that does not take its requests fast enough ends. A reply for which there is no room is dropped and counted.

mod admission;
mod early_candidates;
mod eviction;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::{Id as TaskId, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, error, info};

use self::{
    admission::Admission,
    early_candidates::EarlyCandidates,
    eviction::{Evictable, Eviction},
};
use crate::{
    clock::{self, Mono},
    config::Id,
    feed::Health,
    grant::{self, Grant, WallClock},
    liveness::{Heartbeat, TURN},
    media_source::{MediaSource, MediaSources},
    message_limits::MessageLimits,
    protocol::{
        Addressee, Authorised, Clock, ErrorName, IncomingRequest, MediaHealth, OutgoingReply, Presence, Refusal, Reply,
        Request, SessionId, WelcomeDetails, WelcomeStatus,
    },
    trust::viewer_list::ViewerList,
    viewer::{
        INBOX, SessionRequest, SessionTerms, Viewer, health_changed,
        peer::PeerFactory,
        session::lifecycle::{EndReason, SessionPhase},
    },
};

/// How long all sessions together may take to end when the daemon stops.
const LEAVE: Duration = Duration::from_millis(1500);

/// A session and its viewer. No other viewer can reach it.
type Key = (Id, SessionId);

/// The way to a session that runs.
#[derive(Debug)]
struct SessionHandle {
    /// Its viewer, and what this viewer could do when the session began.
    from: Authorised,
    inbox: mpsc::Sender<SessionRequest>,
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

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    grant: Arc<Grant>,
    terms: watch::Receiver<Arc<SessionTerms>>,
    peers: Arc<PeerFactory>,
    sources: MediaSources,
    out: mpsc::Sender<OutgoingReply>,
    presence: watch::Sender<Presence>,
    /// The JSON of `info`, for viewers that learn it in `welcome`.
    info: watch::Receiver<Bytes>,
    limits: MessageLimits,
    admission: Admission,
    early: EarlyCandidates,
    handles: HashMap<Key, SessionHandle>,
    names: HashMap<TaskId, Key>,
    tasks: JoinSet<EndReason>,
    /// Candidates, `bye` and `pong` for sessions that do not exist or have ended.
    late: u64,
    /// Replies that were dropped because there was no room for them.
    unsent: u64,
}

impl Sessions {
    /// Nobody watches yet. Replies go to `out`, which holds 64. `message_limits` are the same that signalling uses. The receiver
    /// has what `status` reports.
    pub fn new(
        grant: Arc<Grant>,
        message_limits: MessageLimits,
        terms: watch::Receiver<Arc<SessionTerms>>,
        peers: Arc<PeerFactory>,
        sources: MediaSources,
        info: watch::Receiver<Bytes>,
        out: mpsc::Sender<OutgoingReply>,
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
            info,
            limits: message_limits,
            admission: Admission::new(limits),
            early: EarlyCandidates::default(),
            handles: HashMap::new(),
            names: HashMap::new(),
            tasks: JoinSet::new(),
            late: 0,
            unsent: 0,
        };
        (sessions, seen)
    }

    /// Serves until `shutdown` is true or no more requests can come. Then it ends all sessions, within 1.5 s.
    pub async fn run(
        mut self,
        mut requests: mpsc::Receiver<IncomingRequest>,
        mut shutdown: watch::Receiver<bool>,
        heartbeat: Heartbeat,
    ) {
        let mut terms = self.terms.clone();
        let mut video = self.sources.camera().map(MediaSource::health);
        let mut audio = self.sources.microphone().map(MediaSource::health);
        let mut viewers = self.grant.viewers();
        loop {
            let now = Mono::now();
            heartbeat.tick(now);
            let next_deadline = self.next_deadline(now);
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                request = requests.recv() => match request {
                    Some(request) => self.handle(request, Mono::now()),
                    None => break,
                },
                () = health_changed(&mut video) => {}
                () = health_changed(&mut audio) => {}
                () = list_changed(&mut viewers) => self.end_forbidden(Mono::now(), WallClock::now()),
                Ok(()) = terms.changed() => {
                    let limits = terms.borrow_and_update().limits.clone();
                    self.limits.set_rate(limits.messages_per_second);
                    self.admission.configure(limits);
                }
                () = sleep(TURN) => {}
                () = sleep(next_deadline.since(now)) => self.expire_early(Mono::now()),
            }
            self.publish(Mono::now());
        }
        self.leave().await;
    }

    /// When the nonce changes, or the next candidates without an offer are refused, whichever is first.
    fn next_deadline(&self, now: Mono) -> Mono {
        let slot = u64::try_from(grant::SLOT.as_nanos()).unwrap_or(u64::MAX);
        let next = Mono((now.0 / slot + 1) * slot);
        self.early.deadline().map_or(next, |early| early.min(next))
    }

    fn handle(&mut self, request: IncomingRequest, now: Mono) {
        // The list may have changed since signalling read the request, and `end_forbidden` may have seen no session then.
        if !self.grant.still_permits(&request.from, now, WallClock::now()) {
            return self.refuse(request, Refusal::new(ErrorName::Forbidden, "this viewer may no longer do this"), now);
        }
        if request.request == Request::Hello {
            let details = request.from.is_sealed().then(|| Box::new(self.details(&request.from)));
            let (nonce, clock) = (self.grant.nonce(now), Clock::new(clock::is_synced()));
            let welcome = Reply::Welcome { nonce, clock, details };
            return self.send(request.addressee(), Some(request.head.session), welcome);
        }
        let key = (request.from.who.clone(), request.head.session.clone());
        if let Some(handle) = self.handles.get(&key) {
            match handle.inbox.try_send(request.into()) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => handle.end(EndReason::Flood),
                Err(mpsc::error::TrySendError::Closed(_)) => self.late += 1,
            }
            return;
        }
        if self.admission.has_ended(&request.from.who, &request.head.session, now) {
            return self.answer_for_ended(request, now);
        }
        match request.request {
            Request::Offer { restart: false, .. } | Request::Request { .. } => self.start(request, now),
            // The order of one MQTT client is kept: what comes before its offer was brought forward by the broker.
            Request::Candidates { .. } if request.from.is_sealed() => self.late += 1,
            Request::Candidates { .. } => {
                if !self.early.keep(request, now) {
                    self.late += 1;
                }
            }
            Request::Bye { .. } | Request::Pong { .. } => self.late += 1,
            _ => self.refuse_unknown(request, now),
        }
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

    /// Ends the sessions of viewers that no longer have every right that they had when the session began.
    fn end_forbidden(&mut self, now: Mono, wall: WallClock) {
        for handle in self.handles.values() {
            if !self.grant.still_permits(&handle.from, now, wall) {
                info!("viewer {}: its permission has changed: the session ends", handle.from.who);
                handle.end(EndReason::Forbidden);
            }
        }
    }

    fn answer_for_ended(&mut self, request: IncomingRequest, now: Mono) {
        if matches!(request.request, Request::Candidates { .. } | Request::Bye { .. } | Request::Pong { .. }) {
            self.late += 1;
            return;
        }
        self.refuse(request, Refusal::new(ErrorName::Gone, "the session has ended: a new one needs a new id"), now);
    }

    fn refuse_unknown(&mut self, request: IncomingRequest, now: Mono) {
        self.refuse(request, Refusal::new(ErrorName::NoSession, "there is no such session: offer again"), now);
    }

    fn expire_early(&mut self, now: Mono) {
        while let Some(request) = self.early.expire(now) {
            self.refuse_unknown(request, now);
        }
    }

    fn start(&mut self, request: IncomingRequest, now: Mono) {
        let key = (request.from.who.clone(), request.head.session.clone());
        let early = self.early.take(&key.0, &key.1);
        let terms = self.terms.borrow().clone();
        let Eviction { running, ends } = self.room(&key.0, now);
        if let Err(refusal) = self.admission.admit(&key.0, running, now) {
            return self.refuse(request, refusal, now);
        }
        for (key, reason) in ends {
            if let Some(handle) = self.handles.get(&key) {
                handle.end(reason);
            }
        }
        let (inbox, heard) = mpsc::channel(INBOX);
        early.into_iter().for_each(|request| drop(inbox.try_send(request.into())));
        let (stop, stopped) = watch::channel(None);
        let (phase, seen) = watch::channel(SessionPhase::Setup);
        let from = request.from.clone();
        let task = Viewer {
            from: from.clone(),
            session: key.1.clone(),
            opening: request.into(),
            terms,
            peers: Arc::clone(&self.peers),
            sources: self.sources.clone(),
            out: self.out.clone(),
            inbox: heard,
            stop: stopped,
            phase,
        };
        let task = self.tasks.spawn(task.run());
        self.limits.session_started(&key.0);
        self.names.insert(task.id(), key.clone());
        self.handles.insert(key, SessionHandle { from, inbox, stop, phase: seen, since: now });
    }

    /// Which sessions end so that a new one of `viewer` can begin. They end only once that one is admitted.
    fn room(&mut self, viewer: &Id, now: Mono) -> Eviction<Key> {
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

    fn reap(&mut self, ended: Result<(TaskId, EndReason), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((viewer, session)) = self.names.remove(&id) else { return };
        let handle = self.handles.remove(&(viewer.clone(), session.clone()));
        self.limits.session_ended(&viewer);
        let now = Mono::now();
        match ended {
            Err(e) => {
                error!("viewer {viewer}: its task panicked: {e}");
                if let Some(handle) = handle {
                    self.send_last(Addressee::of(&handle.from), &session, EndReason::Internal);
                }
            }
            Ok((_, EndReason::Timeout | EndReason::IceTimeout | EndReason::GaveWay)) => {
                self.admission.count_unconnected(&viewer, now)
            }
            Ok((_, EndReason::Refused)) => {}
            Ok(_) => self.admission.connected(&viewer),
        }
        self.admission.remember_ended(viewer, session, now);
    }

    fn send_last(&mut self, to: Addressee, session: &SessionId, reason: EndReason) {
        if let Some(refusal) = reason.error() {
            self.send(to.clone(), Some(session.clone()), Reply::Error(refusal));
        }
        self.send(to, Some(session.clone()), Reply::Bye { reason: reason.word().to_owned() });
    }

    fn refuse(&mut self, request: IncomingRequest, refusal: Refusal, now: Mono) {
        debug!("viewer {}: refused: {}", request.from.who, refusal.message);
        if self.limits.refusal(&request.from.who, now) {
            self.send(request.addressee(), Some(request.head.session), Reply::Error(refusal));
        }
    }

    /// Sends a reply outside the order of a session. Never waits: if there is no room, the reply is dropped.
    fn send(&mut self, to: Addressee, session: Option<SessionId>, reply: Reply) {
        if self.out.try_send(OutgoingReply { to, session, seq: None, reply }).is_err() {
            self.unsent += 1;
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
        debug!("sessions: {} messages came too late, {} replies were not sent", self.late, self.unsent);
    }
}

/// Waits until the list of viewers changes. Without a list, for ever.
async fn list_changed(viewers: &mut Option<watch::Receiver<Arc<ViewerList>>>) {
    let changed = match viewers {
        Some(viewers) => viewers.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        // There is no list, or its owner has ended with the daemon.
        std::future::pending().await
    }
}

fn health(sources: &MediaSources) -> MediaHealth {
    let of = |source: Option<&MediaSource>| source.map_or(Health::Absent, |s| *s.health().borrow());
    MediaHealth { video: of(sources.camera()), audio: of(sources.microphone()) }
}

#[cfg(test)]
mod tests;
