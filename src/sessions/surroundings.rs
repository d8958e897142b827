//! What the sessions need of other parts.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::{
    audit::AuditLog,
    feed::Health,
    grant::Grant,
    media_source::{MediaSource, MediaSources},
    message_limits::MessageLimits,
    privacy::PrivacyHandle,
    protocol::{EventMessage, MediaHealth, OutgoingReply},
    state_folder::StateFolder,
    viewer::{SessionTerms, peer::PeerFactory},
};

/// What the sessions need of other parts.
#[derive(Debug)]
pub struct SessionSurroundings {
    /// Decides who may watch.
    pub grant: Arc<Grant>,
    /// The limits of messages, the same that signalling uses.
    pub limits: MessageLimits,
    /// The terms of sessions that begin.
    pub terms: watch::Receiver<Arc<SessionTerms>>,
    /// Opens peer connections.
    pub peers: Arc<PeerFactory>,
    /// Camera and microphone.
    pub sources: MediaSources,
    /// The privacy switch, for commands.
    pub privacy: PrivacyHandle,
    /// Where controls of cameras are saved.
    pub folder: Option<StateFolder>,
    /// The JSON of `info`, for viewers that learn it in `welcome`.
    pub info: watch::Receiver<Bytes>,
    /// Where replies go; holds 64.
    pub out: mpsc::Sender<OutgoingReply>,
    /// Takes audit records.
    pub audit: AuditLog,
    /// All audit records, for viewers with the right `events`.
    pub news: mpsc::Receiver<EventMessage>,
}

/// The health of picture and sound, as `status` reports it.
pub(super) fn health(sources: &MediaSources) -> MediaHealth {
    let of = |source: Option<&MediaSource>| source.map_or(Health::Absent, |s| *s.health().borrow());
    MediaHealth { video: of(sources.camera()), audio: of(sources.microphone()) }
}
