//! A device as its viewers know it: its feed, and a lease that keeps it on.

use std::time::Duration;

use tokio::sync::watch;

use crate::feed::{Health, Reader, Writer};

/// One device and its feed: a cheap handle, made by whoever switches the device.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Where its frames come from.
    pub(crate) writer: Writer,
    /// How many leases there are.
    pub(crate) wanted: watch::Sender<usize>,
    /// Whether its thread runs.
    pub(crate) on: watch::Receiver<bool>,
    /// How long it stays on after the last lease.
    pub(crate) linger: watch::Sender<Duration>,
}

/// The right to have a device on, and a reader of its feed. Dropping it lets go.
#[derive(Debug)]
pub struct Lease {
    /// The feed.
    pub reader: Reader,
    wanted: watch::Sender<usize>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.wanted.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl Stage {
    /// Asks for the device, which starts if it was off.
    pub fn lease(&self) -> Lease {
        self.wanted.send_modify(|n| *n += 1);
        Lease { reader: self.writer.subscribe(), wanted: self.wanted.clone() }
    }

    /// Follows how the device is doing.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.writer.watch_health()
    }

    /// Changes how long the device stays on after the last viewer.
    pub fn set_linger(&self, linger: Duration) {
        self.linger.send_replace(linger);
    }

    /// Changes the bitrate of the encoder while it runs.
    pub fn set_bitrate(&self, bits: u32) {
        self.writer.wishes().wish_bitrate(bits);
    }

    /// Whether the device's thread runs.
    pub fn is_on(&self) -> bool {
        *self.on.borrow()
    }
}
