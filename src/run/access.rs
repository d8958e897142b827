//! Who may watch: the parts of the modes `keys` and `token`, and the owner's task, which runs in each mode.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Error;
use crate::{
    audit::AuditLog,
    clock::Mono,
    config::{AccessMode, Config, ConfiguredViewer, Id},
    grant::{Grant, KeysAccess},
    jose::IssuerKey,
    liveness::{Liveness, MAX_TICK},
    owner::{Owner, OwnerBoard, OwnerSettings, PairAnswer, PairingAddresses, TRUST_REQUESTS},
    privacy::PrivacyHandle,
    protocol::{OutgoingReply, Reply},
    state_folder::StateFolder,
    trust::{
        TrustRequest,
        board_keys::BoardKeys,
        viewer_list::{EntryOrigin, ViewerEntry, viewer_id},
    },
};

/// What the other parts need to know of access.
pub(super) struct AccessParts {
    pub(super) grant: Arc<Grant>,
    /// `None` in the mode `broker`.
    pub(super) keys: Option<Arc<BoardKeys>>,
    /// Where requests to pair and deny lists go. `None` in the mode `broker`.
    pub(super) trust: Option<mpsc::Sender<TrustRequest>>,
    pub(super) owner: Owner,
    pub(super) privacy: PrivacyHandle,
    pub(super) settings: watch::Sender<OwnerSettings>,
}

impl AccessParts {
    /// Reads the keys of the board, or makes them. `secret`: random, for the nonces. Answers to `pair` go to `out`, and
    /// changes of the list to `audit`.
    pub(super) fn new(
        config: &Config,
        secret: &[u8; 32],
        out: mpsc::Sender<OutgoingReply>,
        audit: &AuditLog,
        liveness: &Liveness,
    ) -> Result<Self, Error> {
        let folder = StateFolder::of_process();
        let keys = match config.access.mode {
            AccessMode::Broker => None,
            mode @ (AccessMode::Keys | AccessMode::Token) => {
                let folder = folder.as_ref().ok_or(Error::NoStateFolder(mode.word()))?;
                Some(Arc::new(BoardKeys::of_folder(folder)?))
            }
        };
        let board = keys.as_ref().map(|keys| OwnerBoard {
            thumbprint: *keys.thumbprint(),
            device: config.device.clone(),
            root: config.broker.root.clone(),
        });
        let settings = watch::Sender::new(settings(config));
        let (trust, requests) = mpsc::channel(TRUST_REQUESTS);
        let answer = Box::new(move |answer: PairAnswer| out.try_send(reply(answer)).is_ok());
        let heartbeat = liveness.register("owner", MAX_TICK, Mono::now());
        let (owner, handles) =
            Owner::new(board, settings.subscribe(), folder, requests, answer, audit.clone(), heartbeat);
        let privacy = handles.privacy.clone();
        let grant = match &keys {
            None => Grant::by_broker(secret),
            Some(keys) => {
                let (board, device) = (Arc::clone(keys), config.device.clone());
                let access = KeysAccess::new(board, device, handles.viewers, handles.pairing, handles.last_seen);
                let access = match config.access.mode {
                    AccessMode::Token => access.with_tokens(handles.issuers),
                    AccessMode::Keys | AccessMode::Broker => access,
                };
                Grant::by_keys(access, secret)
            }
        };
        let trust = keys.is_some().then_some(trust);
        Ok(Self { grant: Arc::new(grant), keys, trust, owner, privacy, settings })
    }
}

/// What a reload changes of access.
pub(super) fn settings(config: &Config) -> OwnerSettings {
    let entry = |viewer: &ConfiguredViewer| ViewerEntry {
        key: viewer.key,
        name: viewer.name.clone(),
        rights: viewer.rights,
        until: None,
        since: 0,
        origin: EntryOrigin::Configured,
    };
    OwnerSettings {
        configured: config.access.viewers.iter().map(entry).collect(),
        addresses: PairingAddresses {
            page: config.access.page.clone(),
            viewer_broker: config.access.viewer_broker.clone(),
        },
        issuers: issuers(config).to_vec(),
        token_max: config.access.token_max,
    }
}

/// The keys of issuers. None but in the mode `token`.
fn issuers(config: &Config) -> &[IssuerKey] {
    let file = config.access.issuer_file.as_ref().filter(|_| config.access.mode == AccessMode::Token);
    file.map_or(&[], |file| &file.keys)
}

/// The ids of issuers: on their topics, a message may be retained.
pub(super) fn issuer_ids(config: &Config) -> Arc<[Id]> {
    issuers(config).iter().map(|key| viewer_id(&key.thumbprint())).collect()
}

fn reply(PairAnswer { to, session, paired }: PairAnswer) -> OutgoingReply {
    let reply = Reply::Paired { name: paired.name, rights: paired.rights, until: paired.until, mac: paired.mac };
    OutgoingReply { to, session: Some(session), seq: None, reply }
}
