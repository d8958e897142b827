//! `status` as it is published: plain JSON in the mode `broker`, signed in the other modes.

use bytes::Bytes;
use tracing::error;

use super::{Link, LinkKeys};
use crate::{
    protocol::status::{self, Absence},
    trust::board_keys::{Announcement, BoardKeys},
};

impl Link {
    /// `online` for the connection `conn`.
    pub(super) fn online(&mut self, conn: u64) -> Bytes {
        let presence = self.presence.borrow_and_update();
        match &self.keys {
            None => status::online(&self.epoch, conn, &presence),
            Some(LinkKeys { board, auth, .. }) => {
                let seal = board.sealing().public();
                signed(board, &status::sealed_online(auth, &self.epoch, conn, &presence.nonce, seal))
            }
        }
    }

    /// `offline` for the connection `conn`.
    pub(super) fn offline(&self, reason: Absence, conn: u64) -> Bytes {
        let offline = status::offline(reason, &self.epoch, conn);
        self.keys.as_ref().map_or_else(|| offline.clone(), |keys| signed(&keys.board, &offline))
    }

    /// What a change of the presence must show before `status` is published again. In the signed modes, `status` does
    /// not tell when somebody watches.
    pub(super) fn shown(&self) -> Option<String> {
        self.keys.as_ref().map(|_| self.presence.borrow().nonce.clone())
    }
}

/// A message that cannot be signed is empty, which removes the retained one.
fn signed(keys: &BoardKeys, json: &[u8]) -> Bytes {
    keys.announce(Announcement::Status, json).map(Bytes::from).unwrap_or_else(|e| {
        error!("status cannot be signed: {e}");
        Bytes::new()
    })
}
