//! What systemd is told: ready, reloading, stopping, and that everything still moves. Without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, error};

use crate::{clock::Mono, pulse::Pulse};

/// The service is up; `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

/// The configuration is being read again; `ready` ends this.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => debug!("tell systemd: read the clock: {e}"),
    }
}

/// The service is on its way down.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody to tell is no error, and a full socket is the watchdog's matter, not ours.
    if let Err(e) = sd_notify::notify(states) {
        debug!("tell systemd: {e}");
    }
}

/// A line end inside a status would begin another message.
fn line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Feeds systemd's watchdog while every loop turns; once one stands still it is named, and systemd restarts the service.
/// Never ends; without a watchdog it only waits.
pub async fn feed_watchdog(pulse: Pulse) {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // A third leaves room for one late wake-up (sd_watchdog_enabled(3) asks for half).
    let mut interval = tokio::time::interval((within / 3).max(Duration::from_millis(1)));
    let mut told = Vec::new();
    loop {
        interval.tick().await;
        let late = pulse.late(Mono::now());
        if late.is_empty() {
            tell(&[NotifyState::Watchdog]);
        } else if late != told {
            error!("watchdog: standing still: {}; systemd will restart the service", late.join(", "));
        }
        told = late;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stays_one_message() {
        assert_eq!(line("watching\nREADY=1"), "watching READY=1");
    }
}
