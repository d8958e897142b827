//! A device as its viewers know it: its feed, and a lease that keeps it on.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::feed::{FeedReader, FeedWriter, Health};

/// One device and its feed: a cheap handle, made by whoever switches the device.
#[derive(Debug, Clone)]
pub struct MediaSource {
    /// Where its frames come from.
    pub(crate) writer: FeedWriter,
    /// How many leases there are.
    pub(crate) wanted: watch::Sender<usize>,
    /// Whether its thread runs.
    pub(crate) on: watch::Receiver<bool>,
    /// What is wrong with it, for a person; `None` while nothing is.
    pub(crate) trouble: watch::Receiver<Option<Arc<str>>>,
    /// How long it stays on after the last lease.
    pub(crate) linger: watch::Sender<Duration>,
    /// Its health, for whoever waits for a change of anything.
    pub(crate) seen: watch::Receiver<Health>,
}

/// The right to have a device on, and a reader of its feed. Dropping it lets go.
#[derive(Debug)]
pub struct Lease {
    /// The feed.
    pub reader: FeedReader,
    wanted: watch::Sender<usize>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.wanted.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl MediaSource {
    /// Asks for the device, which starts if it was off.
    pub fn lease(&self) -> Lease {
        self.wanted.send_modify(|n| *n += 1);
        Lease { reader: self.writer.subscribe(), wanted: self.wanted.clone() }
    }

    /// Follows how the device is doing.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.watch_health()
    }

    /// Why the device is not well, where that is known.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.writer.trouble()
    }

    /// Changes how long the device stays on after the last viewer.
    pub fn set_linger(&self, linger: Duration) {
        self.linger.send_replace(linger);
    }

    /// Changes the bitrate of the encoder while it runs.
    pub fn set_bitrate(&self, bits: u32) {
        self.writer.requests().request_bitrate(bits);
    }

    /// Sets the share of the configured bitrate, in per cent, below which one viewer's network does not lower the picture of
    /// the others.
    pub fn set_floor(&self, percent: u32) {
        self.writer.requests().set_floor(percent);
    }

    /// Whether the device's thread runs.
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// How it is doing, in words: `on`, `off`, or what is wrong.
    pub fn described(&self) -> String {
        let trouble = self.trouble.borrow().clone();
        let because = |what: &str| trouble.as_ref().map_or_else(|| what.to_owned(), |why| format!("{what} ({why})"));
        match self.writer.health() {
            Health::Ok if self.is_on() => "on".to_owned(),
            Health::Ok => "off".to_owned(),
            Health::Starting => "starting".to_owned(),
            Health::Privacy => "on, covered".to_owned(),
            Health::Stalled => because("stalled"),
            Health::Absent => because("absent"),
        }
    }

    /// Waits until [`described`](Self::described) may say something else.
    pub async fn changed(&mut self) {
        let ended = tokio::select! {
            changed = self.seen.changed() => changed,
            changed = self.on.changed() => changed,
            changed = self.trouble.changed() => changed,
        };
        if ended.is_err() {
            // Whoever switched the device is gone.
            std::future::pending::<()>().await;
        }
    }
}
