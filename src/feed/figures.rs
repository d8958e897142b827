//! What a feed has sent, for `stats`. Pure: time is an argument.

use crate::clock::Mono;

const SECOND: u64 = 1_000_000_000;

/// Counts frames and bytes: in all, and of the last whole second.
#[derive(Debug, Default)]
pub(super) struct FeedCounter {
    frames: u64,
    size: Option<(u32, u32)>,
    current: Second,
    last: Second,
}

/// The counts of one second of the media clock.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    frames: u32,
    bytes: u64,
}

/// What a feed has sent since its device was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedFigures {
    /// Frames in all.
    pub frames: u64,
    /// Frames of the last second.
    pub frames_per_s: u32,
    /// Bits of the last second, without headers.
    pub bits_per_s: u64,
    /// Width and height of the pictures that the board encodes. `None`: not known, or no picture was encoded.
    pub size: Option<(u32, u32)>,
}

impl FeedCounter {
    /// Counts a frame.
    pub(super) fn count(&mut self, bytes: usize, now: Mono) {
        let number = now.0 / SECOND;
        if number != self.current.number {
            self.last = self.current;
            self.current = Second { number, ..Second::default() };
        }
        self.frames += 1;
        self.current.frames = self.current.frames.saturating_add(1);
        self.current.bytes += bytes as u64;
    }

    /// Sets the size of the pictures.
    pub(super) fn set_size(&mut self, size: (u32, u32)) {
        self.size = Some(size);
    }

    /// The figures now.
    pub(super) fn now(&self, now: Mono) -> FeedFigures {
        let before = (now.0 / SECOND).checked_sub(1);
        let of = |second: &Second| Some(second.number) == before;
        let last = [self.current, self.last].into_iter().find(of).unwrap_or_default();
        FeedFigures {
            frames: self.frames,
            frames_per_s: last.frames,
            bits_per_s: last.bytes.saturating_mul(8),
            size: self.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    #[test]
    fn the_rate_is_that_of_the_last_whole_second() {
        let mut counter = FeedCounter::default();
        assert_eq!(counter.now(ms(5000)), FeedFigures::default());
        (0..30).for_each(|n| counter.count(1000, ms(10_000 + n * 33)));
        counter.set_size((640, 360));
        let rate = |counter: &FeedCounter, at| {
            let FeedFigures { frames, frames_per_s, bits_per_s, .. } = counter.now(ms(at));
            (frames, frames_per_s, bits_per_s)
        };
        for (at, expected) in [(10_999, (30, 0, 0)), (11_000, (30, 30, 240_000)), (12_000, (30, 0, 0)), (0, (30, 0, 0))]
        {
            assert_eq!(rate(&counter, at), expected, "at {at} ms");
        }
        counter.count(500, ms(11_500));
        assert_eq!(rate(&counter, 11_900), (31, 30, 240_000), "the second that runs does not count yet");
        assert_eq!(rate(&counter, 12_100), (31, 1, 4000));
        assert_eq!(counter.now(ms(12_100)).size, Some((640, 360)));
    }
}
