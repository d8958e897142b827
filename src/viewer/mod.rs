//! One remote viewer, from offer to bye: a task each.

pub mod bandwidth;
pub(crate) mod fuzz;
pub mod peer;
pub mod send;
pub mod session;
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

use self::{
    peer::{Peer, PeerFactory, PeerSummary},
    session::{
        lifecycle::{EndReason, SessionPhase},
        replies::ReplySender,
    },
};
use crate::{
    clock::Mono,
    config::{Config, Id, Limits},
    feed::Health,
    media_source::MediaSource,
    protocol::{Addressed, Correlation, Reply, Request, SessionId},
};

/// Messages that wait for one viewer. When it is full, that viewer ends: `flood`.
pub const INBOX: usize = 64;
/// What is known of a session at its end is asked for this long.
const SUMMARY: Duration = Duration::from_millis(200);
/// How long a connection may take to close. With the last words this keeps a shutdown under 1.5 s.
const CLOSE: Duration = Duration::from_millis(800);

/// What every session is held to; sessions that run keep the terms they began with.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Numbers of section 7.
    pub limits: Limits,
    /// Whether loopback candidates are taken.
    pub loopback: bool,
}

impl Terms {
    /// The terms that the config sets.
    pub fn new(config: &Config) -> Self {
        Self { limits: config.limits.clone(), loopback: config.webrtc.loopback }
    }
}

/// Camera and microphone, as far as there are any.
#[derive(Debug, Clone)]
pub struct MediaSources {
    /// The picture.
    pub video: Option<MediaSource>,
    /// The sound.
    pub audio: Option<MediaSource>,
}

/// A message for one session.
#[derive(Debug)]
pub struct Message {
    /// Its number.
    pub seq: u64,
    /// What it says.
    pub request: Request,
    /// What comes back with the answer.
    pub correlation: Option<Correlation>,
}

/// What a viewer task is made of.
#[derive(Debug)]
pub struct Viewer {
    /// Who.
    pub viewer: Id,
    /// Which of its sessions.
    pub session: SessionId,
    /// The `offer` or `request` that opened it.
    pub opening: Message,
    /// What it is held to.
    pub terms: Arc<Terms>,
    /// What makes its peer connection.
    pub peers: Arc<PeerFactory>,
    /// What it watches.
    pub sources: MediaSources,
    /// The way out.
    pub out: mpsc::Sender<Addressed>,
    /// What it says; [`INBOX`] messages.
    pub inbox: mpsc::Receiver<Message>,
    /// Set once, by the owner, to end it.
    pub stop: watch::Receiver<Option<EndReason>>,
    /// How far it is, for the owner.
    pub phase: watch::Sender<SessionPhase>,
}

impl Viewer {
    /// Lives from the opening to the end, whatever the end is.
    pub async fn run(mut self) -> EndReason {
        let began = Mono::now();
        let mut replies = ReplySender::new(self.viewer.clone(), self.session.clone(), self.out.clone());
        let mut stop = self.stop.clone();
        // Outside of what may be cut off or panic: the connection has to be closed in any case.
        let peer = OnceLock::new();
        let reason = tokio::select! {
            biased;
            reason = stopped(&mut stop) => reason,
            reason = catch_panic(session::run(&mut self, &peer, &mut replies)) => reason,
        };
        send_goodbye(&mut replies, reason, self.peers.without_relays()).await;
        let summary = close(peer.get()).await;
        log_end(&self.viewer, &self.session, began, &summary, reason);
        reason
    }
}

/// Whether and why the owner ends the session.
async fn stopped(stop: &mut watch::Receiver<Option<EndReason>>) -> EndReason {
    match stop.wait_for(Option::is_some).await {
        Ok(reason) => reason.unwrap_or(EndReason::Shutdown),
        Err(_) => EndReason::Shutdown,
    }
}

/// A session that panics ends like any other, for an internal reason.
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
        replies.send(&Reply::Bye { reason: reason.word().to_owned() }).await;
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

/// The next change of health; never, where there is nothing to follow.
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
