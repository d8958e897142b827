//! What the sessions take and return: requests of authorised viewers, and replies with their addressee. No type here
//! names a transport. `signalling` converts them from and to messages of the broker.

use crate::{
    config::Id,
    jose::PublicKey,
    protocol::{Authorised, Correlation, Reply, Request, SessionId},
};

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The session, chosen by the viewer.
    pub session: SessionId,
    /// The number of the message in its session.
    pub seq: u64,
}

/// A request of a viewer who may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingRequest {
    /// Who sent it, and what this viewer may do.
    pub from: Authorised,
    /// Its session and number.
    pub head: RequestHead,
    /// The request.
    pub request: Request,
    /// Returned with each reply to this request.
    pub correlation: Option<Correlation>,
}

impl IncomingRequest {
    /// Who gets the replies to it.
    pub fn addressee(&self) -> Addressee {
        Addressee { correlation: self.correlation.clone(), ..Addressee::of(&self.from) }
    }
}

/// Who gets a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The viewer.
    pub viewer: Id,
    /// The key to which the reply is sealed. `None`: it is plain JSON.
    pub reply_key: Option<PublicKey>,
    /// The tag of the request that is answered. `None` if it had none, or if the device speaks first.
    pub correlation: Option<Correlation>,
}

impl Addressee {
    /// A viewer to which the device speaks first.
    pub fn of(viewer: &Authorised) -> Self {
        Self { viewer: viewer.who.clone(), reply_key: viewer.reply_key, correlation: None }
    }
}

/// A reply, and who gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingReply {
    /// Who gets it.
    pub to: Addressee,
    /// The session. `None` if the request named none that could be read.
    pub session: Option<SessionId>,
    /// The number of the reply in its session. `None` outside of the session's order: `welcome`, and refusals that do
    /// not come from a running session.
    pub seq: Option<u64>,
    /// The reply.
    pub reply: Reply,
}
