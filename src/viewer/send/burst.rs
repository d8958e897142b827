//! Hands all packets of a frame to the connection together.
//!
//! The stack takes packets one at a time through its driver's queue. For each packet the driver runs once and copies
//! all parameters of the sender. So only the first packet of a frame goes through that queue. The others wait here,
//! and the interceptor sends them behind the first one.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use rtc::rtp::Packet;

/// Frames that may wait. The driver takes one within microseconds: with this many it is stuck.
const WAITING: usize = 16;

/// The packets that follow each first packet in the driver's queue, in the same order.
#[derive(Debug, Default)]
pub(crate) struct PendingBursts(Mutex<VecDeque<Burst>>);

/// The packets of a frame that follow the packet with this sequence number.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    first: u16,
    /// Whether it is a keyframe.
    pub key: bool,
    pub rest: Vec<Packet>,
}

impl PendingBursts {
    /// Adds the packets that follow `first`; `false` if the driver is stuck.
    pub(crate) fn push(&self, first: u16, key: bool, rest: Vec<Packet>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.len() < WAITING;
        if taken {
            waiting.push_back(Burst { first, key, rest });
        }
        taken
    }

    /// Takes the packets that follow `first`; `None` if `first` does not begin a frame. Packets of earlier frames,
    /// whose first packet never came, are dropped.
    pub(crate) fn take_after(&self, first: u16) -> Option<Burst> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.iter().position(|burst| burst.first == first)?;
        waiting.drain(..=place).next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(sequences: &[u16]) -> Vec<Packet> {
        let packet = |n: &u16| {
            let mut packet = Packet::default();
            packet.header.sequence_number = *n;
            packet
        };
        sequences.iter().map(packet).collect()
    }

    fn follow(bursts: &PendingBursts, first: u16) -> Vec<u16> {
        let burst = bursts.take_after(first).unwrap_or_default();
        burst.rest.iter().map(|p| p.header.sequence_number).collect()
    }

    #[test]
    fn each_picture_follows_its_own_first_packet() {
        let bursts = PendingBursts::default();
        assert!(bursts.push(65_535, false, packets(&[0, 1])));
        assert!(bursts.push(2, false, packets(&[])), "a picture of one packet");
        assert!(bursts.push(3, true, packets(&[4])));
        assert_eq!(follow(&bursts, 65_535), [0, 1]);
        assert!(follow(&bursts, 2).is_empty());
        assert_eq!(follow(&bursts, 3), [4]);
        assert!(follow(&bursts, 3).is_empty(), "once");
    }

    #[test]
    fn what_never_entered_is_dropped_with_its_picture() {
        let bursts = PendingBursts::default();
        for first in [0, 10, 20] {
            assert!(bursts.push(first, false, packets(&[first + 1])));
        }
        assert_eq!(follow(&bursts, 10), [11]);
        assert!(follow(&bursts, 0).is_empty());
        assert_eq!(follow(&bursts, 20), [21]);
    }

    #[test]
    fn a_stuck_driver_takes_no_more() {
        let bursts = PendingBursts::default();
        let taken = (0..100).filter(|n| bursts.push(*n, false, packets(&[n + 1]))).count();
        assert_eq!(taken, WAITING);
    }
}
