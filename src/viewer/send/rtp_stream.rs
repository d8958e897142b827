//! From a coded frame to the RTP packets of one viewer. Pure: it joins what is private to a viewer (SSRC, sequence
//! number, payload type, RTP time offset) with what all viewers share (payloads, capture time).

use bytes::Bytes;
use rtc::rtp;

use crate::{feed::Frame, viewer::send::stream_state::NegotiatedIds};

/// The parameters of one outgoing stream, from the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamParameters {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Header extension `playout-delay`: its id and its three bytes. The last three are for a network that loses
    /// packets.
    pub playout_delay: Option<(u8, Bytes, Bytes)>,
    /// What the send path has to know.
    pub ids: NegotiatedIds,
}

/// The longest playout delay on a network that loses packets. A lost packet is there again after one or two round
/// trips. Browsers choose their delay themselves, up to this.
pub(crate) const MAX_PLAYOUT_DELAY: std::time::Duration = std::time::Duration::from_millis(400);

/// The RTP state of one outgoing stream.
#[derive(Debug)]
pub(crate) struct RtpStream {
    line: StreamParameters,
    sequence: u16,
    offset: u32,
}

impl RtpStream {
    /// A stream that starts at random numbers (RFC 3550 section 5.1).
    pub(crate) fn new(line: StreamParameters, sequence: u16, offset: u32) -> Self {
        Self { line, sequence, offset }
    }

    /// The RTP time stamp of a media time.
    pub(crate) fn timestamp(&self, ticks: u64) -> u32 {
        // The RTP clock wraps at 32 bits; the truncation is the wrap.
        self.offset.wrapping_add(ticks as u32)
    }

    /// The packets of one frame. The last packet of a picture has the marker bit (RFC 6184 section 5.1); audio has
    /// none. `patient`: the viewer may delay playout until lost packets are repeated.
    pub(crate) fn packets<'a>(
        &'a mut self,
        frame: &'a Frame,
        picture: bool,
        patient: bool,
    ) -> impl Iterator<Item = rtp::Packet> + 'a {
        let timestamp = self.timestamp(frame.ticks);
        let payloads = frame.unit.payloads();
        let last = payloads.len().saturating_sub(1);
        payloads.enumerate().map(move |(i, payload)| {
            let mut header = rtp::Header {
                version: 2,
                marker: picture && i == last,
                payload_type: self.line.payload_type,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.line.ssrc,
                ..Default::default()
            };
            if let (0, Some((id, usual, longer))) = (i, &self.line.playout_delay) {
                // Ids that do not fit the one-byte form are not negotiated (RFC 8285 section 4.2).
                let _ = header.set_extension(*id, if patient { longer } else { usual }.clone());
            }
            self.sequence = self.sequence.wrapping_add(1);
            rtp::Packet { header, payload }
        })
    }
}

/// The three bytes of the header extension `playout-delay`: twelve bits each for the least and the most delay, in 10
/// ms.
pub(crate) fn playout_delay(least: std::time::Duration, most: std::time::Duration) -> Bytes {
    let units = |d: std::time::Duration| u32::try_from(d.as_millis() / 10).unwrap_or(u32::MAX).min(0xfff);
    let bits = (units(least) << 12) | units(most);
    Bytes::copy_from_slice(&bits.to_be_bytes()[1..])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::Mono, feed::AccessUnitWriter};

    const MS_0: Duration = Duration::ZERO;
    const MS_200: Duration = Duration::from_millis(200);

    fn frame(payloads: &[&[u8]], ticks: u64) -> Frame {
        let mut writer = AccessUnitWriter::with_capacity(payloads.len(), payloads.len());
        for payload in payloads {
            writer.begin_nal(payload);
            writer.end_payload();
        }
        Frame { unit: writer.finish(), key: true, level: None, ticks, at: Mono(0) }
    }

    fn track() -> RtpStream {
        let line = StreamParameters {
            ssrc: 9,
            payload_type: 108,
            playout_delay: Some((5, playout_delay(MS_0, MS_200), playout_delay(MS_0, MAX_PLAYOUT_DELAY))),
            ids: NegotiatedIds::default(),
        };
        RtpStream::new(line, 65_535, 0xffff_ff00)
    }

    #[test]
    fn a_picture_is_one_time_stamp_rising_sequence_and_a_marker_at_its_end() {
        let mut track = track();
        let frame = frame(&[b"a", b"b", b"c"], 0x200);
        let packets: Vec<_> = track.packets(&frame, true, false).collect();
        let seen: Vec<_> =
            packets.iter().map(|p| (p.header.sequence_number, p.header.timestamp, p.header.marker)).collect();
        assert_eq!(seen, [(65_535, 0x100, false), (0, 0x100, false), (1, 0x100, true)]);
        assert!(packets[0].header.extension && !packets[1].header.extension, "the extension rides on the first packet");
        assert_eq!(packets[0].header.get_extension(5).as_deref(), Some(&[0, 0, 20][..]));
        let first = frame.unit.payloads().next().unwrap();
        assert_eq!(packets[0].payload.as_ptr(), first.as_ptr(), "payload bytes are shared, not copied");
    }

    #[test]
    fn a_network_that_loses_packets_is_given_time() {
        let mut track = track();
        let frame = frame(&[b"a"], 0);
        let first = track.packets(&frame, true, true).next().unwrap();
        assert_eq!(first.header.get_extension(5).as_deref(), Some(&[0, 0, 40][..]));
    }

    #[test]
    fn sound_has_no_marker() {
        let mut track = track();
        assert!(track.packets(&frame(&[b"a"], 0), false, false).all(|p| !p.header.marker));
    }

    #[test]
    fn playout_delay_is_two_times_twelve_bits_of_10_ms() {
        assert_eq!(playout_delay(Duration::ZERO, Duration::ZERO).as_ref(), [0, 0, 0]);
        assert_eq!(playout_delay(Duration::from_millis(20), Duration::from_millis(200)).as_ref(), [0, 0x20, 0x14]);
        assert_eq!(playout_delay(Duration::from_secs(99), Duration::from_secs(99)).as_ref(), [0xff, 0xff, 0xff]);
    }
}
