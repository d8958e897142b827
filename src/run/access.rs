//! Who may watch: the parts of the mode `keys`, and the owner's task, which runs in each mode.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Error;
use crate::{
    clock::Mono,
    config::{AccessMode, Config, ConfiguredViewer},
    grant::{Grant, KeysAccess},
    liveness::{Liveness, MAX_TURN},
    owner::{Owner, OwnerBoard, OwnerSettings, PAIR_REQUESTS, PairAnswer, PairingAddresses},
    protocol::{OutgoingReply, Reply},
    state_folder::StateFolder,
    trust::{
        board_keys::BoardKeys,
        pairing::PairRequest,
        viewer_list::{EntryOrigin, ViewerEntry},
    },
};

/// What the other parts need to know of access.
pub(super) struct AccessParts {
    pub(super) grant: Arc<Grant>,
    /// `None` in the mode `broker`.
    pub(super) keys: Option<Arc<BoardKeys>>,
    /// Where requests to pair go. `None` in the mode `broker`.
    pub(super) pairings: Option<mpsc::Sender<PairRequest>>,
    pub(super) owner: Owner,
    pub(super) settings: watch::Sender<OwnerSettings>,
}

impl AccessParts {
    /// Reads the keys of the board, or makes them. `secret`: random, for the nonces. Answers to `pair` go to `out`.
    pub(super) fn new(
        config: &Config,
        secret: &[u8; 32],
        out: mpsc::Sender<OutgoingReply>,
        liveness: &Liveness,
    ) -> Result<Self, Error> {
        let folder = StateFolder::of_process();
        let keys = match config.access.mode {
            AccessMode::Broker => None,
            AccessMode::Keys => {
                let folder = folder.as_ref().ok_or(Error::NoStateFolder)?;
                Some(Arc::new(BoardKeys::of_folder(folder)?))
            }
        };
        let board = keys.as_ref().map(|keys| OwnerBoard {
            thumbprint: *keys.thumbprint(),
            device: config.device.clone(),
            root: config.broker.root.clone(),
        });
        let settings = watch::Sender::new(settings(config));
        let (pairings, requests) = mpsc::channel(PAIR_REQUESTS);
        let answer = Box::new(move |answer: PairAnswer| out.try_send(reply(answer)).is_ok());
        let heartbeat = liveness.register("owner", MAX_TURN, Mono::now());
        let (owner, handles) = Owner::new(board, settings.subscribe(), folder, requests, answer, heartbeat);
        let grant = match &keys {
            None => Grant::by_broker(secret),
            Some(keys) => {
                let (board, device) = (Arc::clone(keys), config.device.clone());
                Grant::by_keys(
                    KeysAccess::new(board, device, handles.viewers, handles.pairing, handles.last_seen),
                    secret,
                )
            }
        };
        let pairings = keys.is_some().then_some(pairings);
        Ok(Self { grant: Arc::new(grant), keys, pairings, owner, settings })
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
    }
}

fn reply(PairAnswer { to, session, paired }: PairAnswer) -> OutgoingReply {
    let reply = Reply::Paired { name: paired.name, rights: paired.rights, until: paired.until, mac: paired.mac };
    OutgoingReply { to, session: Some(session), seq: None, reply }
}
