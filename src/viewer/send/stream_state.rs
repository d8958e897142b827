//! What the send path keeps for each outgoing stream: negotiated ids, sequence numbers and retransmission buffer. Pure.

use rtc::rtp;

use crate::viewer::send::rtx::RtxBuffer;

/// Header extension and payload type that were negotiated for one stream; 0 means refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NegotiatedIds {
    /// Id of the TWCC header extension.
    pub twcc: u8,
    /// Payload type of retransmissions. Each codec has its own (RFC 4588 section 8.6). With the one of another codec,
    /// a browser starts a new decoder in the middle of the stream.
    pub rtx: u8,
}

/// One outgoing stream.
#[derive(Debug)]
pub(crate) struct StreamState {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Id of the TWCC header extension; 0: not negotiated.
    pub twcc_id: u8,
    /// The packets that can be sent again; `None` for audio.
    pub rtx: Option<RtxBuffer>,
    /// Whether the viewer gets keyframes only.
    pub keyframe_only: bool,
    /// The sequence number of the next packet. It is given when the packet leaves, so that dropped packets leave no
    /// gap. `None` before the first access unit.
    pub sequence: Option<u16>,
    /// The highest sequence number in a receiver report.
    reported: Option<u16>,
}

impl StreamState {
    /// A stream that has sent nothing.
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { ssrc, twcc_id: 0, rtx: None, keyframe_only: false, sequence: None, reported: None }
    }

    /// Sets what was negotiated.
    pub(crate) fn set_negotiated(&mut self, ids: NegotiatedIds) {
        self.twcc_id = ids.twcc;
        if let Some(rtx) = &mut self.rtx {
            rtx.set_payload_type(ids.rtx);
        }
    }

    /// Gives a packet that leaves its sequence number, and stores it; `key` marks the first packet of a keyframe.
    pub(crate) fn number(&mut self, packet: &mut rtp::Packet, key: bool) {
        let sequence = self.sequence.unwrap_or(packet.header.sequence_number);
        packet.header.sequence_number = sequence;
        self.sequence = Some(sequence.wrapping_add(1));
        if let Some(rtx) = &mut self.rtx {
            rtx.store(packet, key);
        }
    }

    /// Reads a receiver report (RFC 3550 section 6.4.1): the fraction lost in 256ths, and the highest sequence number
    /// that arrived. Returns whether the report can be true; if not, it is forgotten.
    pub(crate) fn take_receiver_report(&mut self, lost: u8, highest: u16) -> bool {
        let Some(next) = self.sequence else { return false };
        // Only packets that were sent can arrive, and the highest one of a report did arrive.
        let ahead = next.wrapping_sub(1).wrapping_sub(highest) >= 0x8000;
        let expected = self.reported.map_or(u16::MAX, |before| highest.wrapping_sub(before));
        let most = u32::from(expected.saturating_sub(1)) * 256 / u32::from(expected.max(1));
        if ahead || u32::from(lost) > most {
            return false;
        }
        self.reported = Some(highest);
        true
    }
}
