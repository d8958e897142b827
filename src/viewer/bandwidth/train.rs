//! Packet trains: packets that leave faster than the path carries them arrive at the speed of the path.
//!
//! A frame is a train by itself; a probe is a train made for this purpose. The spacing of the arrivals measures the
//! narrowest link at once. Otherwise a queue would have to build up first.

use std::time::{Duration, Instant};

use crate::units::{Bitrate, DataSize};

/// A shorter train measures chance.
const MIN_PACKETS: u32 = 5;
/// The receiver's clock ticks in 250 µs; a span of a few ticks measures only the clock.
const MIN_SPAN: Duration = Duration::from_millis(1);

/// The result of a train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainRate {
    /// The rate at which it left.
    pub sent: Bitrate,
    /// The rate at which it arrived: the path carries at least this much.
    pub arrived: Bitrate,
    /// How many of its packets were lost.
    pub lost: u32,
}

impl TrainRate {
    /// Whether the path slowed it down, so that it met the limit.
    pub fn met_the_end(&self) -> bool {
        self.arrived < self.sent * 0.9
    }
}

/// The train of the newest feedback.
#[derive(Debug, Default)]
pub struct PacketTrains {
    train: Option<PacketTrain>,
}

#[derive(Debug)]
struct PacketTrain {
    id: u32,
    first: Option<(Instant, Duration)>,
    last: (Instant, Duration),
    /// The packets after the first one.
    size: DataSize,
    packets: u32,
    lost: u32,
}

impl PacketTrains {
    /// Feedback on a packet of train `id`, or of no train if that is 0. When a new train begins, returns the result
    /// of the one before.
    pub fn packet(&mut self, id: u32, sent: Instant, arrived: Option<Duration>, size: DataSize) -> Option<TrainRate> {
        if id == 0 {
            return None;
        }
        let before = match &self.train {
            Some(train) if train.id == id => None,
            _ => self.train.replace(PacketTrain {
                id,
                first: None,
                last: (sent, Duration::ZERO),
                size: DataSize::ZERO,
                packets: 0,
                lost: 0,
            }),
        };
        if let Some(train) = &mut self.train {
            match (arrived, train.first) {
                (None, _) => train.lost += 1,
                (Some(arrived), None) => {
                    train.first = Some((sent, arrived));
                    train.last = (sent, arrived);
                    train.packets = 1;
                }
                (Some(arrived), Some(_)) => {
                    train.last = (train.last.0.max(sent), train.last.1.max(arrived));
                    train.size += size;
                    train.packets += 1;
                }
            }
        }
        before.and_then(|train| train.rate())
    }

    /// The result of the running train so far.
    pub fn so_far(&self) -> Option<TrainRate> {
        self.train.as_ref()?.rate()
    }
}

impl PacketTrain {
    /// What it measures; `None` if too few of its packets arrived.
    fn rate(&self) -> Option<TrainRate> {
        let (sent, arrived) = self.first?;
        if self.packets < MIN_PACKETS {
            return None;
        }
        let rate = |span: Duration| self.size / span.max(MIN_SPAN);
        Some(TrainRate {
            sent: rate(self.last.0.saturating_duration_since(sent)),
            arrived: rate(self.last.1.saturating_sub(arrived)),
            lost: self.lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: DataSize = DataSize::from_bytes(1_000);

    /// A train of packets that leave `sent` apart and arrive `arrived` apart, in µs. Returns its result in kbit/s.
    fn found(packets: u64, sent: u64, arrived: u64, lost: &[u64]) -> Option<(u32, u32, u32)> {
        let (start, mut trains) = (Instant::now(), PacketTrains::default());
        for n in 0..packets {
            let at = (!lost.contains(&n)).then(|| Duration::from_micros(1_000_000 + n * arrived));
            assert_eq!(
                trains.packet(7, start + Duration::from_micros(n * sent), at, PACKET),
                None,
                "not before its end"
            );
        }
        let so_far = trains.so_far();
        let end = trains.packet(8, start + Duration::from_secs(1), Some(Duration::from_secs(2)), PACKET);
        assert_eq!(so_far, end, "the same before its end is known");
        let kbit = |rate: Bitrate| (rate / Bitrate::from_kbps(1)).round() as u32;
        end.map(|found| (kbit(found.sent), kbit(found.arrived), found.lost))
    }

    #[test]
    fn the_spacing_of_arrivals_is_what_goes() {
        for (name, packets, sent, arrived, lost, expected) in [
            ("it met the end", 10, 500, 4_000, &[][..], Some((16_000, 2_000, 0))),
            ("it did not", 10, 4_000, 4_000, &[], Some((2_000, 2_000, 0))),
            ("a part of it got lost", 10, 500, 4_000, &[4, 5], Some((12_444, 1_556, 2))),
            ("its first packet got lost", 10, 1_000, 4_000, &[0], Some((8_000, 2_000, 1))),
            ("too few", 4, 500, 4_000, &[], None),
            ("too few of it arrived", 10, 500, 4_000, &[0, 1, 2, 3, 4, 5], None),
            ("all at once: the clock's grain", 10, 0, 0, &[], Some((72_000, 72_000, 0))),
        ] {
            assert_eq!(found(packets, sent, arrived, lost), expected, "{name}");
        }
        let found = |arrived| {
            let (sent, arrived) = (Bitrate::from_kbps(2_000), Bitrate::from_kbps(arrived));
            TrainRate { sent, arrived, lost: 0 }
        };
        assert!(found(1_700).met_the_end() && !found(1_900).met_the_end());
    }

    #[test]
    fn packets_that_left_alone_are_no_train() {
        let (start, mut trains) = (Instant::now(), PacketTrains::default());
        for n in 0..20 {
            assert_eq!(trains.packet(0, start, Some(Duration::from_millis(n)), PACKET), None);
        }
        assert_eq!(trains.so_far(), None);
    }
}
