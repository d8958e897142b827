//! What one viewer says back, and what leaves for it: sender reports that tie sound and picture to the capture clock,
//! wishes for key frames, transport feedback and lost packets for `flow`.
//!
//! One interceptor in place of the bundled ones. The bundled sender report maps RTP time to the time of writing, which
//! puts encoder and queue into the lip-sync; the bundled responder keeps whole packets and answers a repeated NACK each
//! time; the bundled pacer puts sound behind pictures, and the bundled estimator fills the queues of the path.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
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
    shared::{TransportContext, error::Error},
};

use tracing::debug;

use super::{
    burst::Bursts,
    flow::{Agreed, Bounds, Flow, Leaving},
    pacer::Dropped,
    reporters::Reporters,
};
use crate::{
    clock::Mono,
    config::Secret,
    feed::{Evidence, Network, Wishes, Word},
};

/// Packets sent again for one NACK at most.
const RESEND_BURST: usize = 64;
/// The RTP clock that tells the picture from the sound.
const VIDEO_RATE: u32 = 90_000;
/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_EPOCH: u64 = 2_208_988_800;
/// A second report soon after the first lets the viewer relate both clocks at once; then one a second.
const SECOND_REPORT: Duration = Duration::from_millis(200);
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// What the interceptor, inside the connection's driver, shares with the viewer's pumps. Newer replaces older.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The first guess of what the network carries, bits per second.
    pub start: u32,
    /// The most that is looked for, bits per second on the wire; follows the configuration. 0: not set.
    pub ceiling: Arc<AtomicU32>,
    /// A number that stands for the viewer's login; 0: not known.
    pub login: u64,
    /// Whether delay or loss said that more than the estimate does not go.
    pub limited: AtomicBool,
    /// What follows the first packet of a picture.
    pub bursts: Bursts,
    /// Where key-frame wishes go, and what is known of this viewer's network, once a picture is leased.
    pub picture: OnceLock<(Arc<Wishes>, Arc<Network>)>,
    /// The same network, for the sound.
    pub sound: OnceLock<Arc<Network>>,
    /// What the viewer signs its connectivity checks with.
    pub password: Mutex<Option<Secret>>,
    /// Who sent RTCP that was authentic.
    pub reporters: Reporters,
    /// What the negotiation gave.
    pub agreed: Mutex<Agreed>,
    /// The latest frame's place on both clocks, per kind.
    pub video: Anchor,
    /// The latest packet's place on both clocks.
    pub audio: Anchor,
    /// Pictures that were dropped because the network does not take them.
    pub dropped: AtomicU64,
    /// Packets sent again.
    pub resent: AtomicU64,
}

impl Said {
    /// Wishes for a picture that mends what is on the screen; a thin viewer has key frames at its own pace.
    pub(super) fn wish_repair(&self) {
        self.wishes().inspect(|wishes| wishes.wish_repair());
    }

    /// The viewer is reached again: it has a key frame at once, for one that was made in the silence did not arrive.
    pub(super) fn wish_key(&self) {
        self.wishes().inspect(|wishes| wishes.wish_key());
    }

    fn wishes(&self) -> Option<&Wishes> {
        self.picture.get().filter(|(_, network)| !network.is_thin()).map(|(wishes, _)| &**wishes)
    }

    /// The viewer's ICE password.
    pub(super) fn password(&self) -> Option<String> {
        let password = self.password.lock().unwrap_or_else(PoisonError::into_inner);
        password.as_ref().map(|password| password.expose().to_owned())
    }
}

/// Relates RTP time to capture time: the pair of the newest frame.
#[derive(Debug, Default)]
pub(super) struct Anchor(Mutex<Option<(u32, Mono)>>);

impl Anchor {
    /// Sets the newest frame's RTP time stamp and capture time.
    pub(super) fn set(&self, rtp: u32, at: Mono) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((rtp, at));
    }

    /// The RTP time stamp that belongs to `now`.
    fn rtp_at(&self, now: Mono, rate: u32) -> Option<u32> {
        let (rtp, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        // Frames are never captured in the future, so the difference is the frame's age.
        Some(rtp.wrapping_add(now.since(at).as_nanos().saturating_mul(rate.into()).div_euclid(1_000_000_000) as u32))
    }
}

/// One outgoing stream.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rate: u32,
    packets: u32,
    octets: u32,
    reports: u32,
    next_report: Option<Instant>,
}

/// The interceptor. Sits closest to the application.
pub(super) struct Feedback {
    said: Arc<Said>,
    /// Wall clock minus monotonic clock, fixed for the session: a wall clock that jumps must not move lip-sync.
    wall: Duration,
    streams: Vec<Stream>,
    flow: Flow,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Feedback {
    /// An interceptor that talks to the pumps through `said`.
    pub(super) fn new(said: Arc<Said>, bounds: Bounds, now: Instant) -> Self {
        Self {
            said,
            wall: Mono(0).wall(),
            streams: Vec::new(),
            flow: Flow::new(bounds, now),
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn report(&mut self, index: usize, now: Instant) {
        let stream = &mut self.streams[index];
        let mono = Mono::now();
        let anchor = if stream.rate == VIDEO_RATE { &self.said.video } else { &self.said.audio };
        let Some(rtp_time) = anchor.rtp_at(mono, stream.rate) else { return };
        stream.reports += 1;
        stream.next_report = Some(now + if stream.reports == 1 { SECOND_REPORT } else { REPORT_PERIOD });
        let report = SenderReport {
            ssrc: stream.ssrc,
            ntp_time: ntp(self.wall + Duration::from_nanos(mono.0)),
            rtp_time,
            packet_count: stream.packets,
            octet_count: stream.octets,
            ..Default::default()
        };
        self.write.push_back(tagged(now, Packet::Rtcp(vec![Box::new(report)])));
    }

    fn take_rtcp(&mut self, packet: &dyn rtc::rtcp::Packet, now: Instant) {
        let any = packet.as_any();
        if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
            debug!("the viewer asks for a key frame");
            self.said.wish_repair();
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            self.resend(nack, now);
        } else if let Some(told) = any.downcast_ref::<TransportLayerCc>() {
            self.flow.feedback(told, now);
        } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.flow.remb(remb.bitrate.max(0.0) as u64, now);
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            for block in &report.reports {
                if self.streams.iter().any(|s| s.ssrc == block.ssrc && s.rate == VIDEO_RATE) {
                    self.flow.receiver_report(block.fraction_lost, block.last_sequence_number as u16, now);
                }
            }
        }
    }

    fn resend(&mut self, nack: &TransportLayerNack, now: Instant) {
        if !self.streams.iter().any(|s| s.ssrc == nack.media_ssrc && s.rate == VIDEO_RATE) {
            return;
        }
        let wanted = nack.nacks.iter().flat_map(|pair| pair.packet_list()).take(RESEND_BURST);
        let sent = wanted.filter(|sequence| self.flow.again(*sequence, now)).count();
        self.said.resent.fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// A picture, by its first packet; what follows it waits in `said`.
    fn take_picture(&mut self, first: rtp::Packet, now: Instant) {
        let Some(burst) = self.said.bursts.follow(first.header.sequence_number) else { return };
        let mut packets = Vec::with_capacity(1 + burst.rest.len());
        packets.push(first);
        packets.extend(burst.rest);
        if let Some((_, network)) = self.said.picture.get() {
            self.flow.set_thin(network.is_thin());
        }
        let dropped = self.flow.picture(packets, burst.key, now);
        self.tell_dropped(dropped, now);
        self.tell_network(now);
    }

    fn tell_dropped(&self, dropped: Dropped, now: Instant) {
        self.said.dropped.fetch_add(dropped.pictures, Ordering::Relaxed);
        // A key frame is everybody's: none is made for somebody who may be gone.
        if dropped.breaks && self.flow.evidence(now).0 != Evidence::Silent {
            debug!("pictures are dropped up to the next key frame: they would wait too long for the network");
            self.said.wish_repair();
        }
    }

    fn tell_network(&mut self, now: Instant) {
        self.flow.set_ceiling(self.said.ceiling.load(Ordering::Relaxed));
        let (evidence, until) = self.flow.evidence(now);
        let until = Mono::now() + until.saturating_duration_since(now);
        let word = Word { bits: self.flow.estimate(), loss: self.flow.loss(), evidence, until };
        self.said.limited.store(self.flow.is_limited(), Ordering::Relaxed);
        let picture = self.said.picture.get().map(|(_, network)| network);
        if let Some(network) = picture {
            network.set_lossy(self.flow.is_lossy(now));
        }
        for network in picture.into_iter().chain(self.said.sound.get()) {
            network.tell(word);
        }
    }

    /// Lets go what may leave now.
    fn let_go(&mut self, now: Instant) {
        let dropped = self.flow.expire(now);
        self.tell_dropped(dropped, now);
        while let Some(Leaving { packet, again }) = self.flow.pop(now) {
            if !again && let Some(stream) = self.streams.iter_mut().find(|s| s.ssrc == packet.header.ssrc) {
                stream.count(packet.payload.len());
            }
            self.write.push_back(tagged(now, Packet::Rtp(packet)));
        }
    }
}

impl Stream {
    /// A packet of so many bytes of payload leaves: sender reports tell of it.
    fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(payload).unwrap_or(u32::MAX));
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        match &msg.message.packet {
            Packet::Rtcp(packets) => {
                self.said.reporters.heard(packets);
                for packet in packets {
                    self.take_rtcp(packet.as_ref(), msg.now);
                }
                self.tell_network(msg.now);
                self.let_go(msg.now);
            }
            _ => self.read.push_back(msg),
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
        self.flow.set_agreed(*self.said.agreed.lock().unwrap_or_else(PoisonError::into_inner));
        if self.streams[index].rate == VIDEO_RATE {
            let first = std::mem::take(packet);
            self.take_picture(first, now);
        } else {
            self.flow.sound(packet, now);
            self.streams[index].count(packet.payload.len());
            self.write.push_back(msg);
            self.tell_network(now);
        }
        if self.flow.take_silence() {
            self.said.wish_repair();
        }
        self.let_go(now);
        if self.streams[index].next_report.is_none() {
            self.report(index, now);
        }
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        for index in 0..self.streams.len() {
            if self.streams[index].next_report.is_some_and(|due| now >= due) {
                self.report(index, now);
            }
        }
        self.let_go(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.streams.iter().filter_map(|s| s.next_report).chain(self.flow.due()).min()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.unbind_local_stream(info);
        if info.clock_rate == VIDEO_RATE {
            self.flow.set_again(info.ssrc_rtx);
        }
        self.streams.push(Stream {
            ssrc: info.ssrc,
            rate: info.clock_rate,
            packets: 0,
            octets: 0,
            reports: 0,
            next_report: None,
        });
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.retain(|s| s.ssrc != info.ssrc);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
}

/// A time since 1970 as the 64 bits of RFC 3550 section 4.
fn ntp(wall: Duration) -> u64 {
    let seconds = wall.as_secs().wrapping_add(NTP_EPOCH) & 0xffff_ffff;
    let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

#[cfg(test)]
#[path = "feedback_tests.rs"]
mod tests;
