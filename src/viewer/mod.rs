//! One session of a remote viewer, from the offer to `bye`. Each is a task.

pub mod bandwidth;
pub(crate) mod channel;
pub(crate) mod fuzz;
pub mod peer;
mod random;
pub(crate) mod receive;
pub mod send;
pub mod session;
mod session_audit;
pub(crate) mod sockets;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::{error, info};

pub use self::session_audit::SessionAudit;
use self::{
    peer::{Peer, PeerFactory, PeerSummary},
    session::{
        lifecycle::{EndReason, SessionPhase},
        replies::ReplySender,
    },
};
use crate::{
    clock::Mono,
    commands::Commands,
    config::{Config, Id, Limits},
    feed::Health,
    media_source::MediaSources,
    message_limits::MessageLimits,
    protocol::{Addressee, Authorised, Correlation, IncomingRequest, OutgoingReply, Reply, Request, SessionId},
};

/// Requests that wait for one session. When it is full, that session ends: `flood`.
pub const INBOX: usize = 64;
/// How long the peer connection may take to summarise itself at the end of a session.
const SUMMARY: Duration = Duration::from_millis(200);
/// How long a connection may take to close. With the last replies this keeps a shutdown under 1.5 s.
const CLOSE: Duration = Duration::from_millis(800);

/// The limits for every session. A session that runs keeps the ones it began with.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionTerms {
    /// The limits of protocol section 7.
    pub limits: Limits,
    /// Whether loopback candidates may be used.
    pub loopback: bool,
}

impl SessionTerms {
    /// The terms of a configuration.
    pub fn new(config: &Config) -> Self {
        Self { limits: config.limits.clone(), loopback: config.webrtc.loopback }
    }
}

/// A request to one session.
#[derive(Debug)]
pub struct SessionRequest {
    /// Who sent it, and what this viewer may do now.
    pub from: Authorised,
    /// Its number in the session.
    pub seq: u64,
    /// The request.
    pub request: Request,
    /// Returned with each reply to it.
    pub correlation: Option<Correlation>,
}

impl From<IncomingRequest> for SessionRequest {
    fn from(IncomingRequest { from, head, request, correlation }: IncomingRequest) -> Self {
        Self { from, seq: head.seq, request, correlation }
    }
}

/// The parts of a viewer task.
#[derive(Debug)]
pub struct Viewer {
    /// Who watches, and what this viewer could do when the session began, or since it sent a newer token.
    pub from: Authorised,
    /// Its name for people.
    pub name: Option<String>,
    /// When the session began.
    pub began: Mono,
    /// Which of its sessions.
    pub session: SessionId,
    /// The `offer` or `request` that opened it.
    pub opening: SessionRequest,
    /// The limits for it.
    pub terms: Arc<SessionTerms>,
    /// Opens its peer connection.
    pub peers: Arc<PeerFactory>,
    /// Camera and microphone.
    pub sources: MediaSources,
    /// Does its commands.
    pub commands: Commands,
    /// The limits of messages, which hold for commands by the data channel, too.
    pub message_limits: MessageLimits,
    /// Where its replies go.
    pub out: mpsc::Sender<OutgoingReply>,
    /// Its further requests; holds [`INBOX`].
    pub inbox: mpsc::Receiver<SessionRequest>,
    /// Set once, by the owner, to end the session.
    pub stop: watch::Receiver<Option<EndReason>>,
    /// Its phase, for the owner.
    pub phase: watch::Sender<SessionPhase>,
    /// Its audit records.
    pub audit: SessionAudit,
}

impl Viewer {
    /// Runs from the opening to the end of the session, and returns why it ended.
    pub async fn run(mut self) -> EndReason {
        let began = Mono::now();
        let mut replies = ReplySender::new(Addressee::of(&self.from), self.session.clone(), self.out.clone());
        let mut stop = self.stop.clone();
        // Outside of the future that may be dropped or panic, because the connection has to be closed in any case.
        let peer = OnceLock::new();
        let reason = tokio::select! {
            biased;
            reason = stopped(&mut stop) => reason,
            reason = catch_panic(session::run(&mut self, &peer, &mut replies)) => reason,
        };
        send_goodbye(&mut replies, reason, self.peers.without_relays()).await;
        let summary = close(peer.get()).await;
        self.audit.ended(&summary.route, summary.bytes, reason, Mono::now());
        log_end(&self.from.who, &self.session, began, &summary, reason);
        reason
    }
}

/// Waits until the owner ends the session, and returns why.
async fn stopped(stop: &mut watch::Receiver<Option<EndReason>>) -> EndReason {
    match stop.wait_for(Option::is_some).await {
        Ok(reason) => reason.unwrap_or(EndReason::Shutdown),
        Err(_) => EndReason::Shutdown,
    }
}

/// A session that panics ends like any other, with the reason `internal`.
async fn catch_panic(session: impl Future<Output = EndReason>) -> EndReason {
    let mut session = pin!(session);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| session.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => {
            error!("a session panicked; the others go on");
            Poll::Ready(EndReason::Internal)
        }
    })
    .await
}

async fn send_goodbye(replies: &mut ReplySender, reason: EndReason, without_relays: Option<String>) {
    replies.set_closing();
    if let Some(mut refusal) = reason.error() {
        if let (EndReason::IceTimeout | EndReason::IceFailed, Some(why)) = (reason, without_relays) {
            refusal.message = format!("{}; {why}", refusal.message);
        }
        replies.refuse(refusal).await;
    }
    if reason != EndReason::Refused {
        replies.send(Reply::Bye { reason: reason.word().to_owned() }).await;
    }
}

async fn close(peer: Option<&Peer>) -> PeerSummary {
    let Some(peer) = peer else { return PeerSummary::default() };
    let summary = timeout(SUMMARY, peer.summary()).await.unwrap_or_default();
    let _ = timeout(CLOSE, peer.close()).await;
    summary
}

fn log_end(viewer: &Id, session: &SessionId, began: Mono, summary: &PeerSummary, reason: EndReason) {
    let seconds = Mono::now().since(began).as_secs_f64();
    info!("viewer {viewer}: ended after {seconds:.1} s: {}; {summary}; session {session}", reason.word());
}

/// Waits for the next change of health. Without a source it waits for ever.
pub(crate) async fn health_changed(health: &mut Option<watch::Receiver<Health>>) {
    let gone = match health {
        Some(health) => health.changed().await.is_err(),
        None => true,
    };
    if gone {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_reason() {
        let sudden = async { panic!("on purpose") };
        assert_eq!(catch_panic(sudden).await, EndReason::Internal);
        assert_eq!(catch_panic(async { EndReason::Bye }).await, EndReason::Bye);
    }
}
