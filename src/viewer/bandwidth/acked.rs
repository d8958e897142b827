//! What arrives: the rate at which the receiver got what was sent, over the last half second.

use std::{collections::VecDeque, time::Duration};

const WINDOW: Duration = Duration::from_millis(500);
/// "Now".
const MOMENT: Duration = Duration::from_millis(200);
/// Less than this tells nothing.
const LEAST: Duration = Duration::from_millis(150);
/// Packets remembered at most.
const MOST: usize = 4096;

/// Arrivals of the last half second, on the receiver's clock.
#[derive(Debug, Default)]
pub struct Acked {
    arrivals: VecDeque<(Duration, usize)>,
}

impl Acked {
    /// A packet of so many bytes arrived.
    pub fn packet(&mut self, arrived: Duration, bytes: usize) {
        if self.arrivals.back().is_some_and(|(last, _)| arrived + WINDOW < *last) {
            // The receiver's clock went back: begin anew.
            *self = Self::default();
        }
        self.arrivals.push_back((arrived, bytes));
        let old = arrived.saturating_sub(WINDOW);
        while self.arrivals.len() > MOST || self.arrivals.front().is_some_and(|(at, _)| *at < old) {
            self.arrivals.pop_front();
        }
    }

    /// Bits per second; `None` before there is enough to tell.
    pub fn rate(&self) -> Option<f64> {
        self.rate_over(WINDOW)
    }

    /// The lower of the rate and that of the last moments: what goes now, where that has just become less.
    pub fn rate_now(&self) -> Option<f64> {
        let rate = self.rate()?;
        Some(self.rate_over(MOMENT).map_or(rate, |now| now.min(rate)))
    }

    fn rate_over(&self, window: Duration) -> Option<f64> {
        let (last, _) = self.arrivals.back()?;
        let old = last.saturating_sub(window);
        let mut recent = self.arrivals.iter().skip_while(|(at, _)| *at < old);
        // The first packet's bytes arrived before the span began.
        let (first, _) = recent.next()?;
        let span = last.saturating_sub(*first);
        let bits = recent.map(|(_, bytes)| *bytes as f64 * 8.0).sum::<f64>();
        (span >= LEAST).then(|| bits / span.as_secs_f64())
    }
}
