//! The replies of one session: numbered, and remembered while a request is being answered.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tracing::debug;

use crate::protocol::{Addressee, Correlation, OutgoingReply, Refusal, Reply, SessionId};

/// How long a reply may wait for room on the way out. While the link is down, the timers of the session matter more
/// than its replies.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends the replies of one session.
#[derive(Debug)]
pub(crate) struct ReplySender {
    to: Addressee,
    session: SessionId,
    seq: u64,
    out: mpsc::Sender<OutgoingReply>,
    patience: Duration,
    sent: Vec<OutgoingReply>,
}

impl ReplySender {
    pub(crate) fn new(to: Addressee, session: SessionId, out: mpsc::Sender<OutgoingReply>) -> Self {
        Self { to, session, seq: 0, out, patience: PATIENCE, sent: Vec::new() }
    }

    /// Sets the request that the following replies answer. `None`: the device speaks first.
    pub(crate) fn answers(&mut self, correlation: Option<Correlation>) {
        self.to.correlation = correlation;
    }

    /// The request that the following replies answer.
    pub(crate) fn correlation(&self) -> Option<Correlation> {
        self.to.correlation.clone()
    }

    /// Sends a reply. If there is no room in time, it is dropped and takes no number: the viewer sees no gap. Returns
    /// whether it was sent.
    pub(crate) async fn send(&mut self, reply: Reply) -> bool {
        let Ok(Ok(room)) = timeout(self.patience, self.out.reserve()).await else {
            debug!("viewer {}: a message was dropped: the link takes none", self.to.viewer);
            return false;
        };
        let (to, session) = (self.to.clone(), Some(self.session.clone()));
        let reply = OutgoingReply { to, session, seq: Some(self.seq), reply };
        self.seq += 1;
        self.sent.push(reply.clone());
        room.send(reply);
        true
    }

    /// Sends a refusal.
    pub(crate) async fn refuse(&mut self, refusal: Refusal) {
        debug!("viewer {}: refused: {}", self.to.viewer, refusal.message);
        self.send(Reply::Error(refusal)).await;
    }

    /// Sends replies again, unchanged, to the request that asks again.
    pub(crate) async fn resend(&mut self, sent: Vec<OutgoingReply>) {
        for reply in sent {
            let reply = OutgoingReply { to: self.to.clone(), ..reply };
            if timeout(self.patience, self.out.send(reply)).await.is_err() {
                return;
            }
        }
    }

    /// The replies since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<OutgoingReply> {
        std::mem::take(&mut self.sent)
    }

    /// From here on no reply waits for long, because the session ends.
    pub(crate) fn set_closing(&mut self) {
        self.patience = Duration::from_millis(200);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Id;

    #[tokio::test]
    async fn a_full_link_costs_time_and_no_number() {
        let (out, mut link) = mpsc::channel(1);
        let to = Addressee { viewer: Id::new("anna").unwrap(), reply_key: None, correlation: None };
        let mut replies = ReplySender::new(to, SessionId::new(&"A".repeat(22)).unwrap(), out);
        replies.patience = Duration::from_millis(1);
        replies.send(Reply::Pong { n: 1 }).await;
        assert!(!replies.send(Reply::Pong { n: 2 }).await);
        let first = link.recv().await.unwrap();
        replies.send(Reply::Pong { n: 3 }).await;
        let third = link.recv().await.unwrap();
        let numbered = |reply: &OutgoingReply| (reply.seq, reply.reply.clone());
        assert_eq!(numbered(&first), (Some(0), Reply::Pong { n: 1 }));
        assert_eq!(numbered(&third), (Some(1), Reply::Pong { n: 3 }));
        assert_eq!(replies.take_sent(), [first, third]);
    }
}
