//! The sessions of all viewers: admits them, passes requests to them, and removes them. One task; only it starts and
//! ends viewer tasks.
//!
//! It takes requests and returns replies, and does not know how either of them travels. It never waits for anybody. A
//! viewer that does not take its requests fast enough ends. A reply for which there is no room is dropped and counted.

mod admission;
mod alone;
mod early_candidates;
mod event_receivers;
mod eviction;
mod hello;
mod places;
mod surroundings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::{Id as TaskId, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, error, info};

pub use self::surroundings::SessionSurroundings;
use self::{
    admission::Admission, early_candidates::EarlyCandidates, event_receivers::EventReceivers, eviction::Eviction,
    hello::next_of, surroundings::health,
};
use crate::{
    audit::{AuditLog, AuditRecord},
    clock::{self, Mono},
    commands::{Commands, WaitingCommands},
    config::Id,
    grant::{self, Grant, WallClock},
    liveness::{Heartbeat, TICK},
    media_source::{MediaSource, MediaSources},
    message_limits::MessageLimits,
    protocol::{
        Addressee, Authorised, Clock, ErrorName, EventMessage, IncomingRequest, OutgoingReply, Presence, Refusal,
        Reply, Request, SessionId, command::id_of,
    },
    viewer::{
        INBOX, SessionAudit, SessionRequest, SessionTerms, Viewer, health_changed,
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
    /// Its viewer, and what this viewer could do when the session began, or since it sent a newer token.
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
    commands: Commands,
    /// Those outside of sessions that have no result yet.
    waiting: WaitingCommands<IncomingRequest>,
    out: mpsc::Sender<OutgoingReply>,
    presence: watch::Sender<Presence>,
    /// The JSON of `info`, for viewers that learn it in `welcome`.
    info: watch::Receiver<Bytes>,
    limits: MessageLimits,
    audit: AuditLog,
    /// `None` while `run` has it.
    news: Option<mpsc::Receiver<EventMessage>>,
    events: EventReceivers,
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
    /// Nobody watches yet. The receiver has what `status` reports.
    pub fn new(around: SessionSurroundings) -> (Self, watch::Receiver<Presence>) {
        let now = Mono::now();
        let limits = around.terms.borrow().limits.clone();
        let presence = Presence {
            media: health(&around.sources),
            viewers: 0,
            max_viewers: limits.viewers,
            clock: Clock::new(clock::is_synced()),
            nonce: around.grant.nonce(now),
        };
        let (presence, seen) = watch::channel(presence);
        let commands =
            Commands::new(around.sources.clone(), around.privacy, seen.clone(), now).with_folder(around.folder);
        let sessions = Self {
            grant: around.grant,
            terms: around.terms,
            peers: around.peers,
            sources: around.sources,
            commands,
            waiting: WaitingCommands::default(),
            out: around.out,
            presence,
            info: around.info,
            limits: around.limits,
            audit: around.audit,
            news: Some(around.news),
            events: EventReceivers::default(),
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
        let mut permissions = self.grant.changes();
        let (mut news, out) = (self.news.take(), self.out.clone());
        loop {
            let now = Mono::now();
            heartbeat.tick(now);
            let next_deadline = self.next_deadline(now);
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next_with_id() => self.reap(ended),
                (request, finished) = self.waiting.next() => self.finish_alone(&request, finished, Mono::now()),
                request = requests.recv() => match request {
                    Some(request) => self.handle(request, Mono::now()),
                    None => break,
                },
                () = health_changed(&mut video) => {}
                () = health_changed(&mut audio) => {}
                () = permissions.changed() => self.end_forbidden(Mono::now(), WallClock::now()),
                Some(event) = next_of(&mut news) => self.tell(&event, Mono::now()),
                Ok(room) = out.reserve(), if self.events.is_waiting() => {
                    if let Some(reply) = self.events.next(Mono::now()) {
                        room.send(reply);
                    }
                }
                Ok(()) = terms.changed() => {
                    let limits = terms.borrow_and_update().limits.clone();
                    self.limits.set_rate(limits.messages_per_second);
                    self.admission.configure(limits);
                }
                () = sleep(TICK) => {}
                () = sleep(next_deadline.since(now)) => self.expire(Mono::now()),
            }
            self.publish(Mono::now());
        }
        self.leave().await;
    }

    /// When the nonce changes, the next candidates without an offer are refused, or a record has waited too long,
    /// whichever is first.
    fn next_deadline(&self, now: Mono) -> Mono {
        let slot = u64::try_from(grant::SLOT.as_nanos()).unwrap_or(u64::MAX);
        let next = Mono((now.0 / slot + 1) * slot);
        [self.early.deadline(), self.events.deadline()].into_iter().flatten().fold(next, Mono::min)
    }

    fn handle(&mut self, request: IncomingRequest, now: Mono) {
        // The list may have changed since signalling read the request; `end_forbidden` may have seen no session then.
        if !self.grant.still_permits(&request.from, now, WallClock::now()) {
            return self.refuse(request, Refusal::new(ErrorName::Forbidden, "this viewer may no longer do this"), now);
        }
        self.events.follow(&request.from);
        if let Request::Hello { events } = request.request {
            return self.welcome(request, events, now);
        }
        let key = (request.from.who.clone(), request.head.session.clone());
        if let Some(handle) = self.handles.get_mut(&key) {
            if request.from.replaces(&handle.from) {
                handle.from = request.from.clone();
            }
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
            Request::Command(_) => self.run_alone(request, now),
            _ => self.refuse_unknown(request, now),
        }
    }

    /// Ends the sessions of viewers that no longer have every right that they began with, and events without theirs.
    fn end_forbidden(&mut self, now: Mono, wall: WallClock) {
        self.keep_event_receivers(now, wall);
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
        let gone = Refusal::new(ErrorName::Gone, "the session has ended: a new one needs a new id");
        match &request.request {
            Request::Command(read) => self.refuse_command(&request, id_of(read), gone),
            _ => self.refuse(request, gone, now),
        }
    }

    fn refuse_unknown(&mut self, request: IncomingRequest, now: Mono) {
        self.refuse(request, Refusal::new(ErrorName::NoSession, "there is no such session: offer again"), now);
    }

    fn expire(&mut self, now: Mono) {
        self.events.expire(now);
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
        if let Err(refusal) = self.make_room(ends, &request, &terms) {
            return self.refuse(request, refusal, now);
        }
        let (inbox, heard) = mpsc::channel(INBOX);
        early.into_iter().for_each(|request| drop(inbox.try_send(request.into())));
        let (stop, stopped) = watch::channel(None);
        let (phase, seen) = watch::channel(SessionPhase::Setup);
        let from = request.from.clone();
        let start = AuditRecord {
            token: from.token_id().map(Id::to_string),
            ..AuditRecord::started(key.0.clone(), self.grant.name_of(&from), key.1.clone(), from.rights)
        };
        let name = start.name.clone();
        let audit = SessionAudit::new(self.audit.clone(), start, stopped.clone(), now);
        let task = Viewer {
            from: from.clone(),
            name,
            began: now,
            session: key.1.clone(),
            opening: request.into(),
            terms,
            peers: Arc::clone(&self.peers),
            sources: self.sources.clone(),
            commands: self.commands.clone(),
            message_limits: self.limits.clone(),
            out: self.out.clone(),
            inbox: heard,
            stop: stopped,
            phase,
            audit,
        };
        let task = self.tasks.spawn(task.run());
        self.limits.session_started(&key.0);
        self.names.insert(task.id(), key.clone());
        self.handles.insert(key, SessionHandle { from, inbox, stop, phase: seen, since: now });
    }

    fn reap(&mut self, ended: Result<(TaskId, EndReason), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((viewer, session)) = self.names.remove(&id) else { return };
        let handle = self.handles.remove(&(viewer.clone(), session.clone()));
        self.limits.session_ended(&viewer);
        let now = Mono::now();
        let has_been = |phase| matches!(phase, SessionPhase::Live | SessionPhase::Lost);
        let was_live = handle.as_ref().is_some_and(|handle| has_been(*handle.phase.borrow()));
        match ended {
            Err(e) => {
                error!("viewer {viewer}: its task panicked: {e}");
                if let Some(handle) = handle {
                    self.send_last(Addressee::of(&handle.from), &session, EndReason::Internal);
                }
            }
            Ok(_) if was_live => self.admission.connected(&viewer),
            Ok((_, reason)) if reason.is_unconnected() => self.admission.count_unconnected(&viewer, now),
            Ok(_) => {}
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
        let who = &request.from.who;
        debug!("viewer {who}: refused: {}", refusal.message);
        self.audit.record(AuditRecord::refused(who.clone(), self.grant.name_of(&request.from), refusal.name));
        if self.limits.refusal(who, now) {
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
        let (late, unsent) = (self.late, self.unsent + self.events.lost());
        debug!("sessions: {late} messages came too late, {unsent} replies were not sent");
    }
}

#[cfg(test)]
mod tests;
