//! The retransmission buffer (RFC 4588): packets that were sent, for viewers that miss them. Payload bytes are shared
//! with all viewers; each viewer has an index of its own.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::rtp;

use crate::units::DataSize;

/// Packets in the buffer: 2 s at 2 Mbit/s. A power of two, so that the sequence number gives the place.
pub(crate) const CAPACITY: usize = 512;

/// A packet as it can be sent again.
#[derive(Clone)]
struct SentPacket {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
    resent: Option<Instant>,
}

impl fmt::Debug for SentPacket {
    /// Without the picture.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, timestamp, marker, payload, resent } = self;
        let bytes = payload.len();
        write!(f, "packet {sequence} at {timestamp}, marker {marker}, {bytes} bytes, resent {resent:?}")
    }
}

/// The newest packets of a stream, and the RTX stream that repeats them (RFC 4588).
#[derive(Debug)]
pub(crate) struct RtxBuffer {
    ssrc: u32,
    /// 0: the viewer accepts no retransmissions.
    payload_type: u8,
    sequence: u16,
    sent: Vec<Option<SentPacket>>,
    /// The newest sequence number, and the first one of the last keyframe. Packets before that keyframe are not
    /// needed.
    newest: u16,
    key: Option<u16>,
}

impl RtxBuffer {
    /// An empty buffer that repeats packets on this SSRC.
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { ssrc, payload_type: 0, sequence: 1, sent: vec![None; CAPACITY], newest: 0, key: None }
    }

    /// Sets the payload type of retransmissions; 0: none.
    pub(crate) fn set_payload_type(&mut self, payload_type: u8) {
        self.payload_type = payload_type;
    }

    /// Stores a packet; `key` marks the first packet of a keyframe.
    pub(crate) fn store(&mut self, packet: &rtp::Packet, key: bool) {
        let header = &packet.header;
        self.newest = header.sequence_number;
        if key {
            self.key = Some(header.sequence_number);
        }
        // Sequence numbers have a larger range than the buffer: a keyframe this far back is no longer in it.
        if self.key.is_some_and(|key| usize::from(self.newest.wrapping_sub(key)) >= CAPACITY) {
            self.key = None;
        }
        self.sent[usize::from(header.sequence_number) % CAPACITY] = Some(SentPacket {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload.clone(),
            resent: None,
        });
    }

    /// The retransmission of a packet. `None` if the packet is unknown, is before the last keyframe, or was repeated
    /// within `pause`.
    pub(crate) fn retransmit(&mut self, sequence: u16, pause: Duration, now: Instant) -> Option<rtp::Packet> {
        let obsolete = self.key.is_some_and(|key| sequence.wrapping_sub(key) >= 0x8000);
        let sent = self.sent.get_mut(usize::from(sequence) % CAPACITY)?.as_mut()?;
        let recent = sent.resent.is_some_and(|at| now.saturating_duration_since(at) < pause);
        if sent.sequence != sequence || recent || obsolete || self.payload_type == 0 {
            return None;
        }
        sent.resent = Some(now);
        Some(self.rtx_packet(sequence))
    }

    /// A second copy of a packet that was repeated; `None` if it is no longer known.
    pub(crate) fn duplicate(&mut self, sequence: u16) -> Option<rtp::Packet> {
        let sent = self.sent[usize::from(sequence) % CAPACITY].as_ref()?;
        (sent.sequence == sequence && sent.resent.is_some()).then(|| self.rtx_packet(sequence))
    }

    /// Takes a retransmission back that was not sent.
    pub(crate) fn undo_retransmit(&mut self, sequence: u16) {
        if let Some(sent) = self.sent[usize::from(sequence) % CAPACITY].as_mut() {
            sent.resent = None;
        }
    }

    /// Repeats the newest packets as a probe, at least `size` of payload: they help if something was lost. Empty if
    /// there are too few packets for a train, or if they are larger than `most`.
    pub(crate) fn probe(&mut self, size: DataSize, most: DataSize) -> Vec<rtp::Packet> {
        let recent = |back: u16| {
            let sent = self.sent[usize::from(self.newest.wrapping_sub(back)) % CAPACITY].as_ref()?;
            Some((sent.sequence, DataSize::from_bytes(sent.payload.len())))
        };
        let size_of = |chosen: &[(u16, DataSize)]| chosen.iter().map(|(_, size)| *size).sum::<DataSize>();
        let mut chosen: Vec<(u16, DataSize)> = (0..32).filter_map(recent).collect();
        // Small packets make a longer train of the same bytes.
        chosen.sort_by_key(|(_, size)| *size);
        let enough = (5..=chosen.len()).find(|n| size_of(&chosen[..*n]) >= size);
        chosen.truncate(enough.unwrap_or(chosen.len()));
        if self.payload_type == 0 || chosen.len() < 5 || size_of(&chosen) > most {
            return Vec::new();
        }
        chosen.into_iter().map(|(sequence, _)| self.rtx_packet(sequence)).collect()
    }

    /// A stored packet on the RTX stream (RFC 4588 section 4).
    fn rtx_packet(&mut self, sequence: u16) -> rtp::Packet {
        let (timestamp, marker, payload) = match &self.sent[usize::from(sequence) % CAPACITY] {
            Some(sent) => (sent.timestamp, sent.marker, sent.payload.clone()),
            None => (0, false, Bytes::new()),
        };
        let mut whole = BytesMut::with_capacity(2 + payload.len());
        whole.put_u16(sequence);
        whole.extend_from_slice(&payload);
        let header = rtp::Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        rtp::Packet { header, payload: whole.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);

    fn rtx(sequences: impl IntoIterator<Item = u16>, keys: &[u16]) -> RtxBuffer {
        let mut rtx = RtxBuffer::new(8);
        rtx.set_payload_type(109);
        for sequence in sequences {
            let header = rtp::Header { version: 2, sequence_number: sequence, timestamp: 1000, ..Default::default() };
            let payload = Bytes::from(vec![sequence as u8; 100 + usize::from(sequence % 7) * 100]);
            rtx.store(&rtp::Packet { header, payload }, keys.contains(&sequence));
        }
        rtx
    }

    #[test]
    fn what_was_lost_is_sent_again_once_a_pause_and_only_while_it_is_kept() {
        let start = Instant::now();
        let mut rtx = rtx(65_500..=65_535, &[]);
        let first = rtx.retransmit(65_501, PAUSE, start).unwrap();
        assert_eq!((first.header.ssrc, first.header.payload_type, first.header.timestamp), (8, 109, 1000));
        assert_eq!(&first.payload[..2], &65_501_u16.to_be_bytes(), "the original sequence number goes in front");
        assert!(rtx.retransmit(65_501, PAUSE, start + PAUSE / 2).is_none(), "asked again too soon");
        let second = rtx.retransmit(65_501, PAUSE, start + PAUSE).unwrap();
        assert_eq!(second.header.sequence_number, first.header.sequence_number + 1);
        assert!(rtx.retransmit(3, PAUSE, start).is_none(), "never sent");
        rtx.undo_retransmit(65_501);
        assert!(rtx.retransmit(65_501, PAUSE, start + PAUSE).is_some(), "it was not sent after all");
        for n in 0..600_u16 {
            rtx.store(
                &rtp::Packet {
                    header: rtp::Header { sequence_number: n, ..Default::default() },
                    payload: Bytes::new(),
                },
                false,
            );
        }
        assert!(rtx.retransmit(65_501, PAUSE, start + Duration::from_secs(9)).is_none(), "overwritten since");
    }

    #[test]
    fn what_is_before_a_key_frame_is_of_no_use() {
        let start = Instant::now();
        let mut rtx = rtx(65_530..=65_535, &[65_533]);
        assert!(rtx.retransmit(65_532, PAUSE, start).is_none());
        assert!(rtx.retransmit(65_533, PAUSE, start).is_some() && rtx.retransmit(65_535, PAUSE, start).is_some());
    }

    #[test]
    fn a_probe_is_a_train_of_its_size_or_nothing() {
        let probe = |rtx: &mut RtxBuffer, size, most| rtx.probe(DataSize::from_bytes(size), DataSize::from_bytes(most));
        let mut known = rtx(100..140, &[]);
        let bytes = |packets: &[rtp::Packet]| packets.iter().map(|p| p.payload.len() - 2).sum::<usize>();
        let small = probe(&mut known, 600, 5_000);
        assert!(small.len() >= 5 && (500..1_500).contains(&bytes(&small)), "{} {}", small.len(), bytes(&small));
        let large = probe(&mut known, 6_000, 9_000);
        assert!((6_000..7_000).contains(&bytes(&large)));
        assert!(probe(&mut known, 6_000, 400).is_empty(), "more than may be sent");
        assert!(probe(&mut rtx(0..3, &[]), 600, 5_000).is_empty(), "three packets are no train");
    }
}
