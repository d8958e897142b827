//! Clocks. Media uses `CLOCK_MONOTONIC` (clock_gettime(2)): V4L2 and ALSA stamp with it, and no NTP step moves it. The
//! wall clock is read only for other machines.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// 2026-01-01, in seconds since 1970. A wall clock before this date has not been set since power-on.
const PLAUSIBLE: Duration = Duration::from_secs(1_767_225_600);
/// The folder in which systemd-timesyncd creates `synchronized` once it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";
/// How long an answer of [`is_synced`] holds.
pub const SYNC_AGE: Duration = Duration::from_secs(1);

/// A point in time, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The time now.
    pub fn now() -> Self {
        Self(nanos(ClockId::Monotonic))
    }

    /// Time since `earlier`. Zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time in ticks of a media clock of `rate` Hz. RTP timestamps are its low 32 bits (RFC 3550 section 5.1).
    pub fn ticks(self, rate: u32) -> u64 {
        let ticks = u128::from(self.0) * u128::from(rate) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The wall clock's time at this point, since 1970, for times that other machines read: RTCP NTP time and the
    /// picture clock. Each call reads the wall clock again, because it jumps when NTP first answers.
    pub fn wall(self) -> Duration {
        let (mono, wall) = (nanos(ClockId::Monotonic), nanos(ClockId::Realtime));
        Duration::from_nanos(wall.saturating_sub(mono.saturating_sub(self.0)))
    }
}

impl std::ops::Add<Duration> for Mono {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Whether the wall clock is right, as far as this is known without the kernel's NTP state. If systemd-timesyncd runs,
/// it decides: without an RTC, a board resumes at the time at which it was switched off, which is plausible but wrong.
/// Otherwise any time from 2026 on counts as right. Several parts ask for each message, so the answer holds for
/// [`SYNC_AGE`].
pub fn is_synced() -> bool {
    static LAST: Mutex<Option<(Mono, bool)>> = Mutex::new(None);
    let now = Mono::now();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match *last {
        Some((at, synced)) if now.since(at) < SYNC_AGE => synced,
        _ => {
            let synced = is_right(now.wall(), Path::new(TIMESYNC));
            *last = Some((now, synced));
            synced
        }
    }
}

/// `timesync`: the folder of systemd-timesyncd.
fn is_right(wall: Duration, timesync: &Path) -> bool {
    if timesync.is_dir() { timesync.join("synchronized").exists() } else { wall >= PLAUSIBLE }
}

fn nanos(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_do_not_lose_precision_after_years_of_uptime() {
        let year = 365 * 24 * 3600 * 1_000_000_000;
        assert_eq!(Mono(3 * year).ticks(90_000) + 90, Mono(3 * year + 1_000_000).ticks(90_000));
    }

    #[test]
    fn a_wall_clock_that_is_not_set_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("no");
        assert!(!is_right(Duration::from_secs(60), &absent));
        assert!(is_right(PLAUSIBLE, &absent));
        assert!(!is_right(PLAUSIBLE, dir.path()), "timesyncd has not set it yet");
        std::fs::write(dir.path().join("synchronized"), "").unwrap();
        assert!(is_right(PLAUSIBLE, dir.path()));
    }

    #[test]
    fn the_wall_time_of_now_is_now() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let wall = Mono::now().wall();
        assert!(wall.abs_diff(now) < Duration::from_secs(1));
    }
}
