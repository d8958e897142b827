//! How often something may happen: a token bucket. Pure: time is an argument.

use std::time::Duration;

use crate::clock::Mono;

/// A token bucket for what counts one by one. It is full at first.
#[derive(Debug, Clone)]
pub struct RateLimit {
    level: f64,
    per_second: f64,
    size: f64,
    seen: Mono,
}

impl RateLimit {
    /// `size` at once, and then `per_second`.
    pub fn new(per_second: u32, size: u32, now: Mono) -> Self {
        Self { level: f64::from(size), per_second: f64::from(per_second), size: f64::from(size), seen: now }
    }

    /// `size` at once, and then `per_minute` in a minute.
    pub fn per_minute(per_minute: u32, size: u32, now: Mono) -> Self {
        Self { per_second: f64::from(per_minute) / 60.0, ..Self::new(0, size, now) }
    }

    fn refill(&mut self, now: Mono) {
        let gained = now.since(self.seen).as_secs_f64() * self.per_second;
        (self.level, self.seen) = ((self.level + gained).min(self.size), self.seen.max(now));
    }

    /// Takes one token. Returns whether there was one.
    pub fn take(&mut self, now: Mono) -> bool {
        let enough = !self.is_empty(now);
        if enough {
            self.level -= 1.0;
        }
        enough
    }

    /// Whether there is no token.
    pub fn is_empty(&mut self, now: Mono) -> bool {
        self.refill(now);
        self.level < 1.0
    }

    /// Whether nothing was taken that has not come back.
    pub fn is_full(&mut self, now: Mono) -> bool {
        self.refill(now);
        self.level >= self.size
    }

    /// How long it takes until there is a token. Zero if there is one.
    pub fn wait(&mut self, now: Mono) -> Duration {
        self.refill(now);
        Duration::try_from_secs_f64((1.0 - self.level).max(0.0) / self.per_second).unwrap_or(Duration::MAX)
    }
}
