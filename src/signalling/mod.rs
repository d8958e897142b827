//! Signalling over the broker: messages become requests for the sessions, and replies become messages. No other part
//! knows both. Another way in, such as HTTP, would be a module beside this one, with the same requests and replies.
//!
//! ```text
//! broker ──► events (32) ──► limits, envelope, permission, JSON ──► requests (32) ──► sessions
//! broker ◄── outbox ◄─────────────────────── JSON ◄───────────────── replies (64) ◄──┘
//! ```

pub mod inbound;
pub mod outbound;

use std::sync::Arc;

use tokio::{sync::mpsc, time::sleep};
use tracing::{debug, warn};

use self::inbound::{Inbound, Received};
use crate::{
    broker::{LinkEvent, Outbox},
    clock::Mono,
    liveness::{Heartbeat, TICK},
    protocol::{IncomingRequest, OutgoingReply},
    trust::{TrustRequest, board_keys::BoardKeys},
};

/// Requests that wait for the sessions. When it is full, signalling waits and reads no further message.
pub const REQUESTS: usize = 32;
/// Replies that wait for the broker link. The sessions never wait for it.
pub const REPLIES: usize = 64;

/// Where messages of viewers go.
#[derive(Debug)]
pub struct SignallingQueues {
    /// Requests, to the sessions.
    pub requests: mpsc::Sender<IncomingRequest>,
    /// Refusals, which need no session: back to signalling.
    pub refusals: mpsc::Sender<OutgoingReply>,
    /// Requests to be put on the list of viewers, and deny lists: to the owner. `None` in the mode `broker`.
    pub trust: Option<mpsc::Sender<TrustRequest>>,
}

/// Carries messages in both directions. It ends when the sessions have ended and their last reply has gone to `outbox`.
/// `keys` sign and seal the replies; `None` in the mode `broker`.
pub async fn run(
    inbound: Inbound,
    events: mpsc::Receiver<LinkEvent>,
    destinations: SignallingQueues,
    mut replies: mpsc::Receiver<OutgoingReply>,
    keys: Option<Arc<BoardKeys>>,
    outbox: Outbox,
    heartbeat: Heartbeat,
) {
    let send = async {
        while let Some(reply) = replies.recv().await {
            match outbound::message(&reply, keys.as_deref()) {
                Ok(message) => outbox.publish_reply(message).await,
                Err(e) => warn!("viewer {}: a reply could not be sealed and is not sent: {e}", reply.to.viewer),
            }
        }
    };
    tokio::join!(receive(inbound, events, destinations, heartbeat), send);
}

/// Reads messages until the sessions or the link have ended.
pub(crate) async fn receive(
    inbound: Inbound,
    mut events: mpsc::Receiver<LinkEvent>,
    destinations: SignallingQueues,
    heartbeat: Heartbeat,
) {
    let SignallingQueues { requests, refusals, trust } = destinations;
    let mut unsent: u64 = 0;
    loop {
        heartbeat.tick(Mono::now());
        // A message is taken from the link only if there is room for its request.
        let next = async {
            let room = requests.reserve().await.ok()?;
            events.recv().await.map(|event| (room, event))
        };
        tokio::select! {
            next = next => match next {
                Some((room, event)) => match inbound.receive(event, Mono::now()) {
                    Received::Request(request) => room.send(request),
                    // The link is full. A refusal is not worth a wait.
                    Received::Refusal(refusal) => unsent += u64::from(refusals.try_send(refusal).is_err()),
                    Received::Trust(request) => {
                        unsent += u64::from(trust.as_ref().is_none_or(|queue| queue.try_send(request).is_err()));
                    }
                    Received::Nothing => {}
                },
                None => break,
            },
            () = requests.closed() => break,
            () = sleep(TICK) => {}
        }
    }
    debug!("signalling: {unsent} refusals, pairings and deny lists found no room");
}

#[cfg(test)]
mod ended_tests;
#[cfg(test)]
mod histories_tests;
#[cfg(test)]
mod signed_examples_tests;
