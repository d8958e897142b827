//! The one clock of media: `CLOCK_MONOTONIC`, which V4L2 and ALSA stamp with and which no NTP step moves.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A point in time, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// Now.
    pub fn now() -> Self {
        Self(nanos(ClockId::Monotonic))
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time in ticks of a media clock of `rate` Hz, not wrapped.
    pub fn ticks(self, rate: u32) -> u64 {
        let ticks = u128::from(self.0) * u128::from(rate) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The wall clock's time at this point: for what other machines read (RTCP NTP time, the picture clock).
    /// Asked anew each time, since the wall clock of a board jumps when NTP first answers.
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
    fn wall_time_of_now_is_now() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let wall = Mono::now().wall();
        assert!(wall.abs_diff(now) < Duration::from_secs(1));
    }
}
