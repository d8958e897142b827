//! One session: it handles requests of its viewer, events of its peer connection, and deadlines.

mod channel_line;
mod commands;
mod description_checks;
pub mod lifecycle;
mod media_health;
mod media_state;
pub(crate) mod negotiation;
pub(crate) mod opening;
pub(crate) mod replies;
mod step;
mod talk_line;
mod trickle;
mod viewer_lines;

mod descriptions;

use std::{collections::VecDeque, sync::OnceLock, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    addresses::BoardAddresses,
    clock::Mono,
    commands::WaitingCommands,
    ice::ViewerLogins,
    level::Level,
    media_source::{Lease, MediaSource},
    meter,
    protocol::{
        Authorised, Candidate, Correlation, ErrorName, OutgoingReply, Refusal, Reply, Request, Rights, Wanted,
        candidate::CandidateBudget,
        sequence::{Gap, Sequence, SequenceVerdict},
    },
    viewer::{
        SessionRequest, Viewer,
        channel::{CommandChannel, door::ChannelDoor},
        peer::{Peer, events::PeerEvent},
        session::{
            commands::{CommandContext, next_message},
            lifecycle::{EndReason, Lifecycle, LifecycleAction, LifecycleEvent, SessionPhase, SessionState},
            media_health::MediaHealthWatch,
            negotiation::Negotiation,
            opening::Opening,
            replies::ReplySender,
            step::{STEP, step},
            trickle::{CandidateBatch, RemoteCandidates},
        },
    },
};

/// Events of the peer connection that may wait.
const EVENTS: usize = 64;

/// The longest gathering of candidates. The stack gives a TURN server up after 8 s, but never reports that if the
/// server is silent or its first answer is an error.
const GATHERING: Duration = Duration::from_secs(10);

/// The result of a step: the session continues, or it ends for a reason.
type Step = Result<(), EndReason>;

/// A running session.
struct Session<'a> {
    viewer: &'a mut Viewer,
    peer: &'a Peer,
    replies: &'a mut ReplySender,
    life: Lifecycle,
    order: Sequence<(Request, Rights, Option<Correlation>), OutgoingReply>,
    /// Commands that have no result yet.
    waiting: WaitingCommands<CommandContext>,
    local: CandidateBatch,
    /// The end of gathering local candidates, at the latest. `None`: it is over.
    gathering: Option<Mono>,
    /// What both descriptions agree on.
    negotiation: Negotiation,
    remote: RemoteCandidates,
    /// The hash of the device's offer that has no answer yet.
    offered: Option<String>,
    /// The leases of camera and microphone, until the viewer's answer is known.
    leases: (Option<Lease>, Option<Lease>),
    /// ICE restarts by the viewer, and by the device, in the last minute.
    restarts: VecDeque<Mono>,
    own_restarts: VecDeque<Mono>,
    /// The rights that its media need.
    needs: Rights,
    /// Which data channel of the viewer is used, and that one.
    door: ChannelDoor,
    channel: Option<CommandChannel>,
    /// The viewer's logins at TURN servers.
    logins: ViewerLogins,
    /// The route in the newest `media` message.
    route: Option<String>,
    health: MediaHealthWatch,
    /// The level of the picture and the one that this viewer takes, while that is too low.
    beyond: watch::Receiver<Option<(Level, Level)>>,
    moved: watch::Receiver<BoardAddresses>,
}

/// Runs until the session ends. The peer connection stays in `slot`: the caller closes it.
pub(crate) async fn run(viewer: &mut Viewer, slot: &OnceLock<Peer>, replies: &mut ReplySender) -> EndReason {
    let (tell, events) = mpsc::channel(EVENTS);
    match open(viewer, slot, replies, tell).await {
        Ok(session) => match session.watch(events).await {
            Err(reason) => reason,
            Ok(()) => EndReason::Shutdown,
        },
        Err(refusal) => {
            info!("viewer {}: refused: {}", viewer.from.who, refusal.message);
            viewer.audit.refused(refusal.name);
            replies.refuse(refusal).await;
            EndReason::Refused
        }
    }
}

/// From the opening request to the description that is sent. The devices are leased first, so that they start while the
/// peer connection is opened.
async fn open<'a>(
    viewer: &'a mut Viewer,
    slot: &'a OnceLock<Peer>,
    replies: &'a mut ReplySender,
    tell: mpsc::Sender<PeerEvent>,
) -> Result<Session<'a>, Refusal> {
    let (now, limits) = (Mono::now(), &viewer.terms.limits);
    let mut life = Lifecycle::new(limits.lease, limits.session, now);
    life.set_permission_end(viewer.from.ends_at(), now);
    let mut budget = CandidateBudget::new(limits.candidates, viewer.terms.loopback);
    let (seq, request) = (viewer.opening.seq, std::mem::replace(&mut viewer.opening.request, Request::Renew));
    replies.answers(viewer.opening.correlation.take());
    let sources = (viewer.sources.camera(), viewer.sources.microphone(), viewer.sources.speaker());
    // Read before anything is opened, so that a bad offer costs nothing.
    let has = opening::offers(&viewer.sources);
    let Opening { media, negotiation, offer } = Opening::read(request, has, viewer.from.rights, &mut budget)?;
    let leases = lease(sources.0, sources.1, media);
    // Boxed, because this future runs once and is larger than the rest of the session.
    let peer = step(Box::pin(viewer.peers.open(viewer.from.who.as_str(), media, tell))).await?;
    let peer = slot.get_or_init(|| peer);
    let health = MediaHealthWatch::new(sources.0, sources.1);
    let mut session = Session {
        peer,
        replies,
        life,
        order: Sequence::after(seq),
        waiting: WaitingCommands::default(),
        local: CandidateBatch::default(),
        gathering: Some(now + GATHERING),
        negotiation,
        remote: RemoteCandidates::new(budget.clone()),
        offered: None,
        leases,
        restarts: VecDeque::new(),
        own_restarts: VecDeque::new(),
        needs: media.needs(),
        door: ChannelDoor::default(),
        channel: None,
        logins: ViewerLogins::new(&viewer.from.who, &viewer.session, viewer.terms.limits.lease),
        route: None,
        health,
        beyond: peer.beyond(),
        moved: viewer.peers.moved.subscribe(),
        viewer,
    };
    match offer {
        Some((sdp, incoming)) => session.answer(&sdp, incoming, budget).await?,
        None => session.offer(false).await?,
    }
    session.viewer.audit.started();
    let (who, took) = (&session.viewer.from.who, Mono::now().since(now));
    debug!("viewer {who}: description sent {:.1} ms after the request", took.as_secs_f64() * 1000.0);
    session.send_media().await;
    session.order.remember(seq, session.replies.take_sent());
    session.replies.answers(None);
    Ok(session)
}

/// Leases what the session sends. If the camera runs already, its next frame is a keyframe.
fn lease(
    camera: Option<&MediaSource>,
    microphone: Option<&MediaSource>,
    media: Wanted,
) -> (Option<Lease>, Option<Lease>) {
    let picture = camera.filter(|_| media.video).map(MediaSource::lease);
    if let Some(picture) = &picture {
        picture.reader.requests().request_keyframe();
    }
    (picture, microphone.filter(|_| media.audio).map(MediaSource::lease))
}

impl Session<'_> {
    async fn watch(mut self, mut events: mpsc::Receiver<PeerEvent>) -> Step {
        let mut told = Instant::now();
        loop {
            self.viewer.phase.send_if_modified(|phase| std::mem::replace(phase, self.life.phase()) != *phase);
            let others = [self.order.deadline(), self.local.deadline(), self.gathering].into_iter().flatten();
            let wake = others.fold(self.life.deadline(), Mono::min);
            tokio::select! {
                message = self.viewer.inbox.recv() => match message {
                    Some(message) => self.receive(message).await?,
                    None => return Err(EndReason::Shutdown),
                },
                Some(event) = events.recv() => self.handle_peer_event(event).await?,
                message = next_message(&mut self.channel) => match message {
                    Some(message) => self.answer_channel(message).await,
                    None => self.channel = None,
                },
                (context, finished) = self.waiting.next() => self.finish_command(context, finished).await,
                () = sleep(wake.since(Mono::now())) => self.tick().await?,
                () = self.peer.ended() => return Err(EndReason::Internal),
                () = self.health.changed() => self.send_media().await,
                Ok(()) = self.beyond.changed() => self.tell_beyond().await,
                () = sleep_until(told + meter::period()) => {
                    debug!("viewer {}: so far {}", self.viewer.from.who, self.peer.summary().await);
                    told = Instant::now();
                }
                Ok(()) = self.moved.changed() => {
                    let concern = self.peer.moved(&mut self.moved).await;
                    let action = concern.and_then(|left| self.life.handle(LifecycleEvent::Moved { left }, Mono::now()));
                    self.apply(action).await?;
                }
            }
        }
    }

    async fn receive(&mut self, SessionRequest { from, seq, request, correlation }: SessionRequest) -> Step {
        let rights = from.rights;
        if from.replaces(&self.viewer.from) {
            self.continue_with(from)?;
        }
        self.replies.answers(correlation.clone());
        // `bye` counts in any order.
        if let Request::Bye { reason } = request {
            debug!("viewer {}: bye: {reason}", self.viewer.from.who);
            return Err(EndReason::Bye);
        }
        match self.order.on(seq, (request, rights, correlation), Mono::now()) {
            SequenceVerdict::Now((request, rights, _)) => self.handle_request(seq, request, rights).await?,
            SequenceVerdict::Again(said) => self.replies.resend(said).await,
            SequenceVerdict::Held => {}
            SequenceVerdict::Conflict(gap) => self.refuse_gap(gap).await,
        }
        while let Some((seq, (request, rights, correlation))) = self.order.take(Mono::now()) {
            self.replies.answers(correlation);
            self.handle_request(seq, request, rights).await?;
        }
        self.replies.answers(None);
        Ok(())
    }

    /// The viewer has a newer token. The session has its end, if it permits what the session does.
    fn continue_with(&mut self, from: Authorised) -> Step {
        if !from.rights.has_all(self.needs) {
            return Err(EndReason::Forbidden);
        }
        self.life.set_permission_end(from.ends_at(), Mono::now());
        self.viewer.from = from;
        Ok(())
    }

    async fn refuse_gap(&mut self, Gap { missing, next }: Gap) {
        let message = format!("message {missing} never arrived, and later ones were ignored: continue with {next}");
        self.replies.refuse(Refusal::new(ErrorName::Conflict, message)).await;
    }

    /// Handles a request in its turn, and remembers the replies. `rights`: those with which it was read.
    async fn handle_request(&mut self, seq: u64, request: Request, rights: Rights) -> Step {
        self.replies.take_sent();
        // A first answer that cannot be used ends the session.
        let decides = matches!(request, Request::Answer { .. }) && self.life.state() == SessionState::Offered;
        let done = match request {
            Request::Offer { sdp, restart } => self.take_offer(&sdp, restart).await,
            Request::Answer { sdp, offer_hash } => self.take_answer(&sdp, offer_hash).await,
            Request::Candidates { ufrag, candidates, end } => {
                self.take_candidates(trickle::CandidateMessage { ufrag, candidates, end }).await
            }
            Request::Renew => {
                let lease_s = self.life.renew(Mono::now()).as_secs();
                let ice = self.viewer.peers.servers_for(&mut self.logins).await.that_end();
                self.replies.send(Reply::Renewed { lease_s, ice }).await;
                Ok(())
            }
            Request::Ping { n } => {
                self.replies.send(Reply::Pong { n }).await;
                Ok(())
            }
            Request::Command(read) => {
                self.run_command(seq, read, rights).await;
                Ok(())
            }
            Request::Request { .. } => Err(Refusal::new(ErrorName::Conflict, "the session is open already")),
            Request::Bye { .. } => return Err(EndReason::Bye),
            Request::Hello { .. } | Request::Pong { .. } => Ok(()),
        };
        let ends = match &done {
            Err(refusal) if decides => EndReason::of_answer(refusal.name),
            _ => None,
        };
        if let Err(refusal) = done {
            self.replies.refuse(refusal).await;
        }
        let said = self.replies.take_sent();
        self.order.remember(seq, said);
        ends.map_or(Ok(()), Err)
    }

    async fn take_candidates(&mut self, message: trickle::CandidateMessage) -> Result<(), Refusal> {
        let sorted = self.remote.sort(message, self.offered.is_some());
        for candidate in sorted.usable {
            step(self.peer.add_candidate(&candidate)).await?;
        }
        sorted.refused.map_or(Ok(()), |why| Err(Refusal::new(ErrorName::BadRequest, why)))
    }

    async fn handle_peer_event(&mut self, event: PeerEvent) -> Step {
        let event = match event {
            PeerEvent::Candidate(candidate) => return self.add_local_candidate(candidate).await,
            PeerEvent::GatheringDone => {
                self.gathered_all().await;
                return Ok(());
            }
            PeerEvent::IceConnected => LifecycleEvent::IceConnected,
            PeerEvent::IceDisconnected if timeout(STEP, self.peer.is_closed()).await == Ok(true) => {
                LifecycleEvent::Closed
            }
            PeerEvent::IceDisconnected => LifecycleEvent::IceDisconnected,
            PeerEvent::IceFailed => LifecycleEvent::IceFailed,
            PeerEvent::Connected => {
                self.send_route().await;
                LifecycleEvent::Connected
            }
            PeerEvent::DtlsFailed => LifecycleEvent::DtlsFailed,
            PeerEvent::Closed => LifecycleEvent::Closed,
            PeerEvent::Channel(channel) => return self.take_channel(channel).await,
        };
        let was = self.life.phase();
        let action = self.life.handle(event, Mono::now());
        self.peer.set_lost(self.life.phase() == SessionPhase::Lost);
        if (was, self.life.phase()) == (SessionPhase::Lost, SessionPhase::Live) {
            self.peer.repair();
        }
        self.apply(action).await
    }

    /// All local candidates of this ICE generation are known, or no more are waited for.
    async fn gathered_all(&mut self) {
        if self.gathering.take().is_some() {
            self.peer.log_missing_relays();
            self.send_candidates(true).await;
        }
    }

    /// Sends the route of media if it is new.
    async fn send_route(&mut self) {
        let route = timeout(STEP, self.peer.route()).await.ok().flatten();
        if let Some(route) = route.filter(|route| self.route.as_ref() != Some(route)) {
            info!("viewer {}: connected by {route}", self.viewer.from.who);
            self.viewer.audit.routed(&route);
            self.route = Some(route);
            self.send_media().await;
        }
    }

    async fn add_local_candidate(&mut self, candidate: Candidate) -> Step {
        self.remote.local(&candidate.candidate);
        let is_known = self.negotiation.says(&candidate.candidate);
        let (mid, mline) = self.negotiation.tagged();
        let candidate = Candidate { mid, mline, ..candidate };
        if !is_known && self.local.push(candidate, Mono::now()) {
            self.send_candidates(false).await;
        }
        Ok(())
    }

    async fn send_candidates(&mut self, end: bool) {
        let candidates = self.local.take();
        let ufrag = self.negotiation.own_ufrag().to_owned();
        self.replies.send(Reply::Candidates { ufrag, candidates, end }).await;
    }

    async fn tick(&mut self) -> Step {
        let now = Mono::now();
        if let Some(gap) = self.order.expire(now) {
            self.refuse_gap(gap).await;
        }
        if self.local.deadline().is_some_and(|at| at <= now) {
            self.send_candidates(false).await;
        }
        if self.gathering.is_some_and(|at| at <= now) {
            self.gathered_all().await;
        }
        let action = self.life.handle(LifecycleEvent::Tick, now);
        self.apply(action).await
    }

    async fn apply(&mut self, action: Option<LifecycleAction>) -> Step {
        match action {
            None => {}
            Some(LifecycleAction::End(reason)) => return Err(reason),
            Some(LifecycleAction::Goaway { within }) => {
                self.replies.send(Reply::Goaway { in_s: within.as_secs(), reason: "expired".to_owned() }).await;
            }
            Some(LifecycleAction::Restart) => self.restart_ice().await,
        }
        Ok(())
    }
}
