//! The protocol over the broker: topics and messages. Pure: no clock, no channel.
//!
//! The contract is `docs/reference/protocol.md`. Section numbers in this part are its sections.

mod addressed;
mod authorised;
pub mod candidate;
pub mod command;
pub mod command_result;
pub mod compose;
#[cfg(test)]
pub(crate) mod contract_tests;
pub mod envelope;
mod event;
mod exchange;
pub mod info;
pub(crate) mod json;
pub mod pair;
pub mod parse;
mod refusal;
pub mod sdp;
pub mod sequence;
pub mod status;

use std::fmt;

use serde::Serialize;

pub use self::{
    addressed::{Addressed, CORRELATION_MAX, Correlation},
    authorised::{Authorised, PermittedBy, RightsEnd, TokenReference},
    event::{EventMessage, doorbell},
    exchange::{Addressee, IncomingRequest, OutgoingReply, RequestHead},
    refusal::{ErrorName, Refusal, TalkerInfo},
};
use self::{
    command::ReadCommand,
    command_result::{CommandResult, SnapshotPart},
};
pub use crate::rights::{Right, Rights};
use crate::{config::Id, feed::Health};

/// The protocol version this daemon speaks.
pub const VERSION: u32 = 1;

/// A session: 128 random bits chosen by the viewer, 22 base64url characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Accepts 22 base64url characters; `None` otherwise.
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One ICE candidate as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Candidate {
    /// `candidate:…` (RFC 8839 section 5.1).
    pub candidate: String,
    /// Media stream identification tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Index of the m-line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mline: Option<u16>,
}

/// Which media a viewer asks for in a `request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Wanted {
    /// The picture.
    #[serde(default)]
    pub video: bool,
    /// The sound.
    #[serde(default)]
    pub audio: bool,
    /// Sound from the viewer to the board. A board without a speaker does not offer it.
    #[serde(default)]
    pub talk: bool,
    /// A data channel for commands (board-commands.md).
    #[serde(default)]
    pub commands: bool,
}

impl Wanted {
    /// The rights that these media need.
    pub fn needs(self) -> Rights {
        let needs = [(self.video, Right::View), (self.audio, Right::Listen), (self.talk, Right::Talk)];
        Rights::of(needs.into_iter().filter(|(wanted, _)| *wanted).map(|(_, right)| right))
    }
}

/// A request of a viewer.
///
/// The fields bear the names that `docs/reference/protocol.md`, section 3, explains.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Asks for a fresh nonce. `events`: and for audit records, for the next ten minutes.
    Hello { events: bool },
    /// Opens a session or, with `restart`, restarts ICE in it.
    Offer { sdp: String, restart: bool },
    /// Asks the device to make the offer.
    Request { media: Wanted },
    /// Answers the device's offer.
    Answer { sdp: String, offer_hash: Option<String> },
    /// Candidates of one ICE generation. `end`: there are no more.
    Candidates { ufrag: Option<String>, candidates: Vec<Candidate>, end: bool },
    /// Renews the lease.
    Renew,
    /// Ends the session.
    Bye { reason: String },
    /// Liveness of signalling, before ICE is connected.
    Ping { n: u64 },
    /// Answers a `ping` of the device.
    Pong { n: u64 },
    /// A command to the board (board-commands.md), or what is wrong with it.
    Command(ReadCommand),
}

/// A reply of the device.
///
/// The fields bear the names that `docs/reference/protocol.md`, section 3, explains.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Reply {
    /// Answers `hello`. In the signed modes it also has what `status` and `info` do not tell everybody.
    Welcome {
        nonce: String,
        clock: Clock,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        details: Option<Box<WelcomeDetails>>,
    },
    /// Answers `pair`: the viewer is on the list.
    Paired {
        name: String,
        rights: Rights,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
        mac: String,
    },
    /// The device's offer: after a `request` (then with lease and ICE servers), or to restart ICE.
    Offer {
        sdp: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        restart: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        lease_s: Option<u64>,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        ice: Option<IceServers>,
    },
    /// Answers the viewer's offer.
    Answer {
        sdp: String,
        offer_hash: String,
        lease_s: u64,
        #[serde(flatten)]
        ice: IceServers,
    },
    /// Candidates of one ICE generation.
    Candidates {
        ufrag: String,
        candidates: Vec<Candidate>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        end: bool,
    },
    /// The lease was renewed. ICE servers are there if their logins end.
    Renewed {
        lease_s: u64,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        ice: Option<IceServers>,
    },
    /// The health of picture and sound, the reasons, and the route of media.
    Media {
        #[serde(flatten)]
        media: SessionMedia,
        #[serde(skip_serializing_if = "Option::is_none")]
        video_reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        audio_reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        route: Option<String>,
    },
    /// The session will end soon.
    Goaway { in_s: u64, reason: String },
    /// The session is over.
    Bye { reason: String },
    /// Liveness of signalling.
    Ping { n: u64 },
    /// Answers a `ping`.
    Pong { n: u64 },
    /// An audit record, for a viewer that asked for them.
    Event(Box<EventMessage>),
    /// The result of a command.
    Result(CommandResult),
    /// A part of a snapshot, after its result.
    Part(SnapshotPart),
    /// A refusal: a code, its name, and a sentence.
    Error(Refusal),
}

/// What only viewers on the list learn about the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WelcomeDetails {
    /// The condition of the device.
    pub status: WelcomeStatus,
    /// The `info` of the mode `broker`.
    pub info: serde_json::Value,
    /// What this viewer may do.
    pub rights: Rights,
}

/// The fields of `status` that only viewers on the list get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WelcomeStatus {
    /// The health of picture and sound.
    pub media: MediaHealth,
    /// Sessions now.
    pub viewers: usize,
    /// Sessions at most.
    pub max_viewers: usize,
    /// The version of the daemon.
    pub version: &'static str,
}

/// The ICE servers of a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IceServers {
    /// The servers.
    pub ice_servers: Vec<RtcIceServer>,
    /// How long their logins are valid, in seconds. `None`: they do not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logins_s: Option<u64>,
}

impl IceServers {
    /// These, if they have to be sent again before their logins end.
    pub fn that_end(self) -> Option<Self> {
        self.logins_s.is_some().then_some(self)
    }
}

/// An ICE server, as in `RTCConfiguration.iceServers`.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct RtcIceServer {
    /// URLs.
    pub urls: Vec<String>,
    /// TURN user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password for this viewer. It is never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl fmt::Debug for RtcIceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcIceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// Whether the wall clock is known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Synchronised.
    Synced,
    /// Not yet. A board without an RTC starts in 1970.
    Unsynced,
}

impl Clock {
    /// `synced`: whether the wall clock is known to be right.
    pub fn new(synced: bool) -> Self {
        if synced { Self::Synced } else { Self::Unsynced }
    }
}

/// The health of picture and sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MediaHealth {
    /// The picture.
    pub video: Health,
    /// The sound.
    pub audio: Health,
}

/// The state of one medium in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediumState {
    /// Frames arrive.
    Ok,
    /// Being opened; no frame yet.
    Starting,
    /// Open, but no frame for a while.
    Stalled,
    /// Missing, or not configured.
    Absent,
    /// Covered or switched off on purpose.
    Privacy,
    /// This viewer does not get it: it has no codec of the device, or its answer refused the m-line.
    Refused,
}

impl From<Health> for MediumState {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Starting => Self::Starting,
            Health::Stalled => Self::Stalled,
            Health::Absent => Self::Absent,
            Health::Privacy => Self::Privacy,
        }
    }
}

/// The state of picture and sound in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SessionMedia {
    /// The picture.
    pub video: MediumState,
    /// The sound.
    pub audio: MediumState,
}

impl SessionMedia {
    /// The state for a viewer that does not get the media in `refused`.
    pub fn new(health: MediaHealth, refused: Wanted) -> Self {
        let of = |health: Health, refused| if refused { MediumState::Refused } else { health.into() };
        Self { video: of(health.video, refused.video), audio: of(health.audio, refused.audio) }
    }
}

/// The part of `status` that the sessions know. The link adds epoch and connection count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Presence {
    /// The health of picture and sound.
    pub media: MediaHealth,
    /// Sessions now.
    pub viewers: usize,
    /// Sessions at most.
    pub max_viewers: usize,
    /// Whether the wall clock is right.
    pub clock: Clock,
    /// A valid nonce (section 5), so that a viewer needs no `hello`.
    pub nonce: String,
}

/// The topics of one device (section 2).
#[derive(Debug, Clone)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// Topics under `{root}/{device}`.
    pub fn new(root: &str, device: &Id) -> Self {
        Self { base: format!("{root}/{device}") }
    }

    /// Presence; retained.
    pub fn status(&self) -> String {
        format!("{}/status", self.base)
    }

    /// What the device is and can do; retained.
    pub fn info(&self) -> String {
        format!("{}/info", self.base)
    }

    /// Audit and events.
    pub fn events(&self) -> String {
        format!("{}/evt", self.base)
    }

    /// The filter of all requests.
    pub fn requests(&self) -> String {
        format!("{}/req/+", self.base)
    }

    /// The topic of the requests of one viewer.
    pub fn request(&self, viewer: &Id) -> String {
        format!("{}/req/{viewer}", self.base)
    }

    /// The reply topic of one viewer. It comes from the viewer's id, never from a message.
    pub fn reply(&self, viewer: &Id) -> String {
        format!("{}/rsp/{viewer}", self.base)
    }

    /// The viewer that a request's topic names.
    pub fn viewer(&self, topic: &str) -> Option<Id> {
        Id::new(topic.strip_prefix(&self.base)?.strip_prefix("/req/")?)
    }
}
