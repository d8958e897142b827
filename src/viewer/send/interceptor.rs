//! The interceptor: the last stop of RTP before SRTP, and the first of decrypted RTCP. It answers NACK and PLI,
//! passes TWCC, REMB and receiver reports to the send path, and writes sender reports.
//!
//! It replaces the bundled interceptors, for these reasons. The bundled sender report uses the time of writing, which
//! adds the encoder and the queue to the lip-sync error. The bundled NACK responder keeps whole packets and answers
//! each repeated NACK. The bundled pacer puts audio behind video. The bundled estimator fills the queues of the path.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rtc::{
    interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        payload_feedbacks::{
            full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
            receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
        },
        receiver_report::ReceiverReport,
        sender_report::SenderReport,
        transport_feedbacks::{transport_layer_cc::TransportLayerCc, transport_layer_nack::TransportLayerNack},
    },
    rtp,
    sansio::Protocol,
    shared::{TransportContext, error::Error, marshal::MarshalSize},
};

use tokio::sync::watch;
use tracing::debug;

use crate::{
    clock::Mono,
    config::Secret,
    feed::{Evidence, NetworkReport},
    level::Level,
    units::{AtomicBitrate, Bitrate},
    viewer::{
        receive::{SharedTalk, TalkReceiver},
        send::{
            pacer::Dropped,
            rtcp_senders::RtcpSenders,
            send_path::{OutgoingPacket, RateBounds, SendPath},
            sender_report::{SentStream, StreamKind},
            shared_streams::{SharedStream, SharedStreams},
        },
    },
};

/// The most packets that one NACK can make us send again.
const RESEND_BURST: usize = 64;

/// State that the interceptor, inside the connection's driver, shares with the pumps and the session.
#[derive(Debug, Default)]
pub(crate) struct SendShared {
    /// The start rate.
    pub start: Bitrate,
    /// The highest bitrate that the estimator looks for, with all headers; follows the configuration.
    pub ceiling: Arc<AtomicBitrate>,
    /// A number that stands for the viewer's login; 0: unknown.
    pub login: u64,
    /// Whether delay or loss showed that the path carries no more than the estimate.
    pub limited: AtomicBool,
    /// The outgoing streams that were negotiated.
    pub streams: SharedStreams,
    /// The password of the viewer's connectivity checks.
    pub password: Mutex<Option<Secret>>,
    /// The sound of the viewer, if it may talk and once that is negotiated.
    pub talk: SharedTalk,
    /// The senders of authentic RTCP.
    pub rtcp_senders: RtcpSenders,
    /// The level of the picture and the one that the viewer takes, while that is too high and none is sent.
    pub beyond: watch::Sender<Option<(Level, Level)>>,
    /// Frames that were dropped because the network was too slow.
    pub dropped: AtomicU64,
    /// Packets that were sent again.
    pub resent: AtomicU64,
    /// Bytes of RTP that were sent, with headers.
    pub sent: AtomicU64,
}

impl SendShared {
    /// Requests a keyframe of each video stream at once, because the viewer is reached again.
    pub(crate) fn request_keyframe(&self) {
        self.streams.for_each(SharedStream::request_keyframe);
    }

    /// The viewer's ICE password.
    pub(crate) fn password(&self) -> Option<String> {
        let password = self.password.lock().unwrap_or_else(PoisonError::into_inner);
        password.as_ref().map(|password| password.expose().to_owned())
    }
}

/// The interceptor.
pub(crate) struct SendInterceptor {
    shared: Arc<SendShared>,
    /// Wall clock minus monotonic clock, fixed for the session: a wall clock that jumps must not move lip-sync.
    wall: Duration,
    streams: Vec<SentStream>,
    path: SendPath,
    talk: TalkReceiver,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl SendInterceptor {
    /// An interceptor that shares state with the pumps through `shared`.
    pub(crate) fn new(shared: Arc<SendShared>, bounds: RateBounds, now: Instant) -> Self {
        Self {
            shared,
            wall: Mono(0).wall(),
            streams: Vec::new(),
            path: SendPath::new(bounds, now),
            talk: TalkReceiver::new(now),
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn send_report(&mut self, index: usize, now: Instant) {
        let stream = &mut self.streams[index];
        let Some(shared) = self.shared.streams.get(stream.ssrc) else { return };
        if let Some(report) = stream.report(&shared.clock, self.wall, now) {
            self.write.push_back(tagged(now, Packet::Rtcp(vec![Box::new(report)])));
        }
    }

    /// Reports about the sound of the viewer.
    fn send_receiver_reports(&mut self, now: Instant) {
        let ssrc = self.streams.first().map_or(1, |stream| stream.ssrc);
        for report in self.talk.reports(ssrc, now) {
            self.write.push_back(tagged(now, Packet::Rtcp(vec![report])));
        }
    }

    /// Whether this SSRC is that of a video stream.
    fn is_video(&self, ssrc: u32) -> bool {
        self.streams.iter().any(|stream| stream.ssrc == ssrc && stream.kind == StreamKind::Video)
    }

    fn handle_rtcp(&mut self, packet: &dyn rtc::rtcp::Packet, now: Instant) {
        let any = packet.as_any();
        if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
            debug!("the viewer asks for a keyframe");
            self.request_repair(&packet.destination_ssrc());
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            self.answer_nack(nack, now);
        } else if let Some(report) = any.downcast_ref::<TransportLayerCc>() {
            self.path.handle_twcc(report, now);
        } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.path.handle_remb(Bitrate::from_bps(remb.bitrate.max(0.0) as u64), now);
        } else if let Some(report) = any.downcast_ref::<SenderReport>() {
            self.talk.handle_sender_report(report, now);
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            for block in &report.reports {
                if self.is_video(block.ssrc) {
                    let highest = block.last_sequence_number as u16;
                    self.path.handle_receiver_report(block.ssrc, block.fraction_lost, highest, now);
                }
            }
        }
    }

    /// A viewer's decoder needs a keyframe of these streams. If it names no video stream, it may mean any.
    fn request_repair(&self, ssrcs: &[u32]) {
        let known = ssrcs.iter().any(|ssrc| self.is_video(*ssrc));
        self.shared.streams.for_each(|stream| {
            if !known || ssrcs.contains(&stream.ssrc) {
                stream.request_repair();
            }
        });
    }

    fn answer_nack(&mut self, nack: &TransportLayerNack, now: Instant) {
        if !self.is_video(nack.media_ssrc) || self.shared.streams.is_stopped() {
            return;
        }
        let wanted = nack.nacks.iter().flat_map(|pair| pair.packet_list()).take(RESEND_BURST);
        let sent = wanted.filter(|sequence| self.path.retransmit(nack.media_ssrc, *sequence, now)).count();
        self.shared.resent.fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// Queues the access unit that begins with this packet; the packets after it wait in `stream`.
    fn enqueue_access_unit(&mut self, first: rtp::Packet, stream: &SharedStream, now: Instant) {
        let Some(burst) = stream.bursts.take_after(first.header.sequence_number) else { return };
        let mut packets = Vec::with_capacity(1 + burst.rest.len());
        packets.push(first);
        packets.extend(burst.rest);
        self.path.set_keyframe_only(stream.ssrc, stream.network.is_keyframe_only());
        let dropped = self.path.enqueue_access_unit(packets, burst.key, now);
        self.report_dropped(stream.ssrc, dropped, now);
        self.publish_estimate(now);
    }

    fn report_dropped(&self, ssrc: u32, dropped: Dropped, now: Instant) {
        self.shared.dropped.fetch_add(dropped.pictures, Ordering::Relaxed);
        // A keyframe costs all viewers. None is requested for a viewer that may be gone.
        if dropped.breaks && self.path.evidence(now).0 != Evidence::Silent {
            debug!("pictures are dropped up to the next keyframe: they would wait too long for the network");
            self.request_repair(&[ssrc]);
        }
    }

    fn publish_estimate(&mut self, now: Instant) {
        if let Some(ceiling) = self.shared.ceiling.load() {
            self.path.set_ceiling(ceiling);
        }
        let (evidence, until) = self.path.evidence(now);
        let until = Mono::now() + until.saturating_duration_since(now);
        let report = NetworkReport { bitrate: self.path.estimate(), loss: self.path.loss(), evidence, until };
        self.shared.limited.store(self.path.is_limited(), Ordering::Relaxed);
        let lossy = self.path.is_lossy(now);
        self.shared.streams.for_each(|stream| {
            if stream.is_video() {
                stream.network.set_lossy(lossy);
            }
            stream.network.update(report);
        });
    }

    /// Counts a packet that leaves.
    fn count_bytes(&self, packet: &rtp::Packet) {
        self.shared.sent.fetch_add(packet.marshal_size() as u64, Ordering::Relaxed);
    }

    /// Sends the packets that may leave now.
    fn send_due(&mut self, now: Instant) {
        if self.shared.streams.is_stopped() {
            return self.path.clear();
        }
        while let Some((ssrc, dropped)) = self.path.expire(now) {
            self.report_dropped(ssrc, dropped, now);
        }
        while let Some(OutgoingPacket { packet, retransmission }) = self.path.pop(now) {
            if !retransmission && let Some(stream) = self.streams.iter_mut().find(|s| s.ssrc == packet.header.ssrc) {
                stream.count(packet.payload.len());
            }
            self.count_bytes(&packet);
            self.write.push_back(tagged(now, Packet::Rtp(packet)));
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for SendInterceptor {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        match &msg.message.packet {
            Packet::Rtcp(packets) => {
                self.shared.rtcp_senders.heard(packets);
                for packet in packets {
                    self.handle_rtcp(packet.as_ref(), msg.now);
                }
                self.publish_estimate(msg.now);
                self.send_due(msg.now);
            }
            // The sound of the viewer ends here. The stack would only queue it.
            Packet::Rtp(packet) => {
                let shared = Arc::clone(&self.shared);
                if let Some(stream) = shared.talk.get() {
                    shared.rtcp_senders.add(packet.header.ssrc);
                    self.talk.take(stream, packet, msg.now);
                    self.send_receiver_reports(msg.now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        let now = msg.now;
        let index = match &msg.message.packet {
            Packet::Rtp(packet) => self.streams.iter().position(|s| s.ssrc == packet.header.ssrc),
            _ => None,
        };
        let (Some(index), Packet::Rtp(packet)) = (index, &mut msg.message.packet) else {
            self.write.push_back(msg);
            return Ok(());
        };
        let stream = self.shared.streams.get(packet.header.ssrc);
        if let Some(stream) = stream.as_ref().filter(|stream| stream.is_stopped()) {
            // The last gate: whatever was on its way when the privacy switch was set ends here.
            stream.bursts.take_after(packet.header.sequence_number);
            self.path.clear();
            return Ok(());
        }
        if let Some(stream) = &stream {
            self.path.set_negotiated(stream.ssrc, stream.ids);
        }
        if self.streams[index].kind == StreamKind::Video {
            let first = std::mem::take(packet);
            stream.inspect(|stream| self.enqueue_access_unit(first, stream, now));
        } else {
            self.path.send_audio(packet, now);
            self.streams[index].count(packet.payload.len());
            self.count_bytes(packet);
            self.write.push_back(msg);
            self.publish_estimate(now);
        }
        if self.path.take_feedback_lost() {
            self.request_repair(&[]);
        }
        self.send_due(now);
        if self.streams[index].next_report.is_none() {
            self.send_report(index, now);
        }
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for index in 0..self.streams.len() {
            if self.streams[index].next_report.is_some_and(|due| now >= due) {
                self.send_report(index, now);
            }
        }
        self.send_due(now);
        self.send_receiver_reports(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.streams.iter().filter_map(|s| s.next_report).chain(self.path.due()).chain(self.talk.due()).min()
    }
}

impl Interceptor for SendInterceptor {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let kind = StreamKind::of(&info.mime_type);
        self.path.add_stream(info.ssrc, info.ssrc_rtx.filter(|_| kind == StreamKind::Video));
        self.streams.retain(|s| s.ssrc != info.ssrc);
        self.streams.push(SentStream::new(info.ssrc, kind, info.clock_rate));
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|s| s.ssrc != info.ssrc);
        self.path.remove_stream(info.ssrc);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
}

#[cfg(test)]
#[path = "interceptor_tests.rs"]
mod tests;
