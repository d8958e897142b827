//! The senders of the viewer's authentic RTCP and RTP. The stack has decrypted and checked what arrives here. The
//! packet filter in front of the socket asks for the senders.

use std::sync::{Mutex, PoisonError};

use rtc::rtcp::{
    Packet,
    payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
        receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
    },
    receiver_report::ReceiverReport,
    sender_report::SenderReport,
    transport_feedbacks::{transport_layer_cc::TransportLayerCc, transport_layer_nack::TransportLayerNack},
};

use crate::viewer::send::interceptor::SendShared;

/// Senders that are remembered. A browser has one or two; further ones count as unknown.
const SENDERS: usize = 32;

/// What identifies a viewer: the password of its connectivity checks, and the senders of its authentic RTCP.
pub(crate) trait ViewerIdentity {
    fn password(&self) -> Option<String>;
    fn is_authentic(&self, ssrc: u32) -> bool;
}

/// The senders of authentic RTCP.
#[derive(Debug, Default)]
pub(crate) struct RtcpSenders(Mutex<Vec<u32>>);

impl RtcpSenders {
    /// Remembers the sender of the first packet in a compound packet: SRTCP uses its SSRC.
    pub(crate) fn heard(&self, packets: &[Box<dyn Packet>]) {
        if let Some(ssrc) = packets.first().and_then(|packet| sender(packet.as_ref())) {
            self.add(ssrc);
        }
    }

    /// Remembers the sender of an authentic packet.
    pub(crate) fn add(&self, ssrc: u32) {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() < SENDERS && !senders.contains(&ssrc) {
            senders.push(ssrc);
        }
    }
}

impl ViewerIdentity for SendShared {
    fn password(&self) -> Option<String> {
        Self::password(self)
    }

    fn is_authentic(&self, ssrc: u32) -> bool {
        self.rtcp_senders.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&ssrc)
    }
}

/// The sender of a packet, if its type is one that viewers send.
fn sender(packet: &dyn Packet) -> Option<u32> {
    let any = packet.as_any();
    None.or_else(|| any.downcast_ref::<ReceiverReport>().map(|packet| packet.ssrc))
        .or_else(|| any.downcast_ref::<SenderReport>().map(|packet| packet.ssrc))
        .or_else(|| any.downcast_ref::<TransportLayerCc>().map(|packet| packet.sender_ssrc))
        .or_else(|| any.downcast_ref::<TransportLayerNack>().map(|packet| packet.sender_ssrc))
        .or_else(|| any.downcast_ref::<PictureLossIndication>().map(|packet| packet.sender_ssrc))
        .or_else(|| any.downcast_ref::<FullIntraRequest>().map(|packet| packet.sender_ssrc))
        .or_else(|| any.downcast_ref::<ReceiverEstimatedMaximumBitrate>().map(|packet| packet.sender_ssrc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sent_the_first_packet_is_known_and_no_more_than_so_many() {
        let shared = SendShared::default();
        let report = |ssrc| Box::new(ReceiverReport { ssrc, ..Default::default() }) as Box<dyn Packet>;
        let loss = |ssrc| Box::new(PictureLossIndication { sender_ssrc: ssrc, media_ssrc: 9 }) as Box<dyn Packet>;
        shared.rtcp_senders.heard(&[]);
        shared.rtcp_senders.heard(&[report(1), loss(2)]);
        shared.rtcp_senders.heard(&[loss(3), report(1)]);
        assert_eq!([1, 2, 3, 9].map(|ssrc| shared.is_authentic(ssrc)), [true, false, true, false]);
        (0..1000).for_each(|ssrc| shared.rtcp_senders.heard(&[report(ssrc)]));
        assert_eq!((0..1000).filter(|ssrc| shared.is_authentic(*ssrc)).count(), SENDERS);
    }
}
