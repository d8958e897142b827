//! When a result may be sent by the data channel. Pure: time is an argument.

use std::time::Duration;

use crate::clock::Mono;

/// Bytes that may wait for the viewer to accept them.
pub(crate) const UNSENT_MAX: usize = 256 * 1024;
/// How long a viewer may accept nothing while a result waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendStep {
    /// It is sent.
    Send,
    /// It waits.
    Wait,
    /// The viewer accepts nothing: the channel is closed.
    Close,
}

/// What the viewer accepts.
#[derive(Debug, Default)]
pub(crate) struct SendWindow {
    /// The fewest bytes that waited since sending stopped, and since when there are no fewer.
    stopped: Option<(usize, Mono)>,
}

impl SendWindow {
    /// The next step for a result of `length` bytes, while `unsent` bytes wait before it.
    pub(crate) fn step(&mut self, unsent: usize, length: usize, now: Mono) -> SendStep {
        if unsent == 0 || unsent.saturating_add(length) <= UNSENT_MAX {
            self.stopped = None;
            return SendStep::Send;
        }
        match self.stopped {
            Some((least, since)) if unsent >= least => {
                if now.since(since) >= PATIENCE {
                    SendStep::Close
                } else {
                    SendStep::Wait
                }
            }
            _ => {
                self.stopped = Some((unsent, now));
                SendStep::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SendStep::*, *};

    #[test]
    fn results_wait_for_a_slow_viewer_and_not_for_a_silent_one() {
        let mut window = SendWindow::default();
        for (second, unsent, length, expected) in [
            (0, 0, 100, Send),
            (0, 0, 1_000_000, Send),
            (0, 262_044, 100, Send),
            (0, 262_044, 101, Wait),
            (9, 262_044, 101, Wait),
            (9, 262_000, 200, Wait),
            (18, 262_000, 200, Wait),
            (18, 261_944, 200, Send),
            (20, 262_144, 1, Wait),
            (29, 270_000, 1, Wait),
            (30, 262_144, 1, Close),
        ] {
            let step = window.step(unsent, length, Mono(second * 1_000_000_000));
            assert_eq!(step, expected, "{unsent} and {length} after {second} s");
        }
    }
}
