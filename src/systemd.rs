//! What systemd is told: ready, reloading, stopping, and that everything still moves. Without systemd nothing happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tracing::{debug, error};

use crate::clock::Mono;

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

/// Whether every loop of the daemon still turns. Made before the loops, then given to `feed_watchdog`.
#[derive(Debug, Default)]
pub struct Pulse {
    loops: Vec<Loop>,
}

#[derive(Debug)]
struct Loop {
    name: &'static str,
    period: Duration,
    last: Arc<AtomicU64>,
}

/// One loop's end of the pulse.
#[derive(Debug, Clone)]
pub struct Beat {
    last: Arc<AtomicU64>,
}

impl Beat {
    /// The loop turned.
    pub fn tick(&self, now: Mono) {
        self.last.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Adds a loop that promises to turn at least once in every `period`, from `now` on.
    pub fn register(&mut self, name: &'static str, period: Duration, now: Mono) -> Beat {
        let last = Arc::new(AtomicU64::new(now.0));
        self.loops.push(Loop { name, period, last: Arc::clone(&last) });
        Beat { last }
    }

    /// The loops that did not turn within their period.
    pub fn late(&self, now: Mono) -> Vec<&'static str> {
        let last = |l: &Loop| Mono(l.last.load(Ordering::Relaxed));
        self.loops.iter().filter(|l| now.since(last(l)) > l.period).map(|l| l.name).collect()
    }
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

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn every_loop_has_to_turn_within_its_own_period() {
        let mut pulse = Pulse::default();
        assert!(pulse.late(seconds(99)).is_empty());
        let studio = pulse.register("studio", Duration::from_secs(2), seconds(10));
        let broker = pulse.register("broker", Duration::from_secs(60), seconds(10));
        for (now, expected) in [(10, &[][..]), (12, &[]), (13, &["studio"]), (71, &["studio", "broker"])] {
            assert_eq!(pulse.late(seconds(now)), expected, "at {now} s");
        }
        studio.tick(seconds(71));
        assert_eq!(pulse.late(seconds(72)), ["broker"]);
        broker.tick(seconds(72));
        broker.tick(seconds(11));
        assert!(pulse.late(seconds(73)).is_empty(), "an older tick takes nothing back");
        assert!(pulse.late(seconds(0)).is_empty());
    }

    #[test]
    fn a_status_stays_one_message() {
        assert_eq!(line("watching\nREADY=1"), "watching READY=1");
    }
}
