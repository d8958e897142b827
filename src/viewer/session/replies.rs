//! What one session says: numbered, and remembered while a message is being answered.

use std::time::Duration;

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::{
    config::Id,
    protocol::{Addressed, Correlation, Refusal, Reply, SessionId, compose::compose},
};

/// How long a message may wait for its turn on the link. A link that is down does not hold a session up: its timers
/// matter more than its words.
const PATIENCE: Duration = Duration::from_secs(2);

/// One session's way out.
#[derive(Debug)]
pub(crate) struct ReplySender {
    viewer: Id,
    session: SessionId,
    seq: u64,
    out: mpsc::Sender<Addressed>,
    patience: Duration,
    sent: Vec<Bytes>,
    correlation: Option<Correlation>,
}

impl ReplySender {
    pub(crate) fn new(viewer: Id, session: SessionId, out: mpsc::Sender<Addressed>) -> Self {
        Self { viewer, session, seq: 0, out, patience: PATIENCE, sent: Vec::new(), correlation: None }
    }

    /// What comes back with everything that is said from here on: that of the request that is answered, or nothing.
    pub(crate) fn answers(&mut self, correlation: Option<Correlation>) {
        self.correlation = correlation;
    }

    fn addressed(&self, payload: Bytes) -> Addressed {
        Addressed { viewer: self.viewer.clone(), payload, correlation: self.correlation.clone() }
    }

    /// Says something. A message that finds no turn in time is dropped and takes no number: the viewer sees no gap.
    pub(crate) async fn send(&mut self, reply: &Reply) {
        let Ok(Ok(permit)) = timeout(self.patience, self.out.reserve()).await else {
            debug!("viewer {}: a message was dropped: the link takes none", self.viewer);
            return;
        };
        let message = compose(reply, Some(&self.session), Some(self.seq));
        self.seq += 1;
        self.sent.push(message.clone());
        permit.send(self.addressed(message));
    }

    /// Says a refusal.
    pub(crate) async fn refuse(&mut self, refusal: Refusal) {
        debug!("viewer {}: refused: {}", self.viewer, refusal.message);
        self.send(&Reply::Error(refusal)).await;
    }

    /// Says again what was said before, word for word.
    pub(crate) async fn resend(&mut self, sent: Vec<Bytes>) {
        for message in sent {
            if timeout(self.patience, self.out.send(self.addressed(message))).await.is_err() {
                return;
            }
        }
    }

    /// What was said since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.sent)
    }

    /// From here on nothing waits long.
    pub(crate) fn set_closing(&mut self) {
        self.patience = Duration::from_millis(200);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_that_takes_nothing_costs_time_and_no_number() {
        let (out, mut link) = mpsc::channel(1);
        let mut replies = ReplySender::new(Id::new("anna").unwrap(), SessionId::new(&"A".repeat(22)).unwrap(), out);
        replies.patience = Duration::from_millis(1);
        replies.send(&Reply::Pong { n: 1 }).await;
        replies.send(&Reply::Pong { n: 2 }).await;
        let first = link.recv().await.unwrap().payload;
        replies.send(&Reply::Pong { n: 3 }).await;
        let third = link.recv().await.unwrap().payload;
        assert!(first.ends_with(br#""seq":0}"#) && third.ends_with(br#""seq":1}"#));
        assert_eq!(replies.take_sent(), [first, third]);
    }
}
