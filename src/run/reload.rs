//! While the daemon runs: applies a new configuration, and follows the board's addresses.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;
use tracing::info;

use super::{
    Error, access,
    build::{Daemon, keep_ice_servers},
};
use crate::{addresses::BoardAddresses, config::Config, viewer::SessionTerms};

impl Daemon {
    /// Returns when `shutdown` completes. An error if a part ends before.
    pub(super) async fn serve(
        &mut self,
        mut reload: watch::Receiver<Config>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let mut addresses = self.peers.moved.subscribe();
        let mut present = addresses.borrow_and_update().clone();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(part) = self.parts.ended.recv() => return Err(Error::Part(part)),
                Ok(()) = addresses.changed() => {
                    let now = addresses.borrow_and_update().clone();
                    let before = std::mem::replace(&mut present, now);
                    self.addresses_changed(&before, &present);
                }
                changed = reload.changed() => {
                    if changed.is_err() {
                        shutdown.await;
                        return Ok(());
                    }
                    let new = reload.borrow_and_update().clone();
                    self.apply(&new);
                }
            }
        }
    }

    /// Asks the broker link for a new connection if its address is gone, or if it is offline and an address was added.
    fn addresses_changed(&self, before: &BoardAddresses, now: &BoardAddresses) {
        match self.outbox.local() {
            Some(local) if !now.has(local) => {
                info!("the board's address {local} is gone: the broker link reconnects");
                self.outbox.reconnect();
            }
            // The link waits for its next try. A new address may help now.
            None if now.gained(before) => self.outbox.reconnect(),
            _ => {}
        }
    }

    /// Applies the keys that take effect at once.
    fn apply(&mut self, new: &Config) {
        self.settings.terms.send_replace(Arc::new(SessionTerms::new(new)));
        self.peers.configure(new.webrtc.clone());
        self.peers.set_need(new.video.bitrate, new.audio.bitrate);
        self.background.ice_servers.abort();
        self.background.ice_servers = keep_ice_servers(&self.peers);
        self.settings.describe(new);
        self.settings.owner.send_replace(access::settings(new));
        let issuers = access::issuer_ids(new);
        self.settings.issuers.send_if_modified(|known| std::mem::replace(known, Arc::clone(&issuers)) != issuers);
        self.settings.broker.send_if_modified(|now| std::mem::replace(now, new.broker.clone()) != new.broker);
        for camera in self.devices.sources.cameras() {
            camera.set_linger(new.video.linger);
            camera.set_bitrate(new.video.bitrate);
            camera.set_floor(new.video.floor);
        }
        for microphone in self.devices.sources.microphones() {
            microphone.set_linger(new.audio.linger);
        }
        if let Some(speaker) = self.devices.sources.speaker() {
            speaker.source.set_linger(new.speaker.linger);
        }
    }
}
