//! RTCP of one viewer, both ways: sender reports that tie sound and picture to the capture clock, retransmissions for
//! what got lost, and the viewer's wishes for key frames.
//!
//! One interceptor in place of the bundled ones. The bundled sender report maps RTP time to the time of writing, which
//! puts encoder and queue into the lip-sync; the bundled responder keeps whole packets and answers a repeated NACK each time.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::{
    interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        payload_feedbacks::{
            full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
            receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
        },
        receiver_report::ReceiverReport,
        sender_report::SenderReport,
        transport_feedbacks::transport_layer_nack::TransportLayerNack,
    },
    rtp,
    sansio::Protocol,
    shared::{TransportContext, error::Error},
};

use super::burst::Bursts;
use crate::{clock::Mono, feed::Wishes};

/// Packets kept for retransmission: 2 s at 2 Mbit/s. A power of two, so that the sequence number finds its place.
const HISTORY: usize = 512;
/// A packet is sent again at most this often; a viewer that asks more often has not waited for its own round trip.
const RESEND_PAUSE: Duration = Duration::from_millis(20);
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
    /// What follows the first packet of a picture.
    pub bursts: Bursts,
    /// Where key-frame wishes go, once a picture is leased.
    pub picture: OnceLock<Arc<Wishes>>,
    /// The latest frame's place on both clocks, per kind.
    pub video: Anchor,
    /// The latest packet's place on both clocks.
    pub audio: Anchor,
    /// The viewer's own estimate of what it can take (REMB), bits per second; 0: never said.
    pub remb: AtomicU64,
    /// Fraction lost in the last receiver report of the picture, of 256.
    pub lost: AtomicU32,
    /// Packets sent again.
    pub resent: AtomicU64,
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

/// A packet as it has to be sent again.
#[derive(Debug, Clone)]
struct Sent {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
    resent: Option<Instant>,
}

/// One outgoing stream.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rate: u32,
    rtx: Option<(u32, u8)>,
    rtx_sequence: u16,
    packets: u32,
    octets: u32,
    reports: u32,
    next_report: Option<Instant>,
    history: Vec<Option<Sent>>,
}

/// The interceptor. Sits closest to the application.
pub(super) struct Feedback {
    said: Arc<Said>,
    /// Wall clock minus monotonic clock, fixed for the session: a wall clock that jumps must not move lip-sync.
    wall: Duration,
    streams: Vec<Stream>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Feedback {
    /// An interceptor that talks to the pumps through `said`.
    pub(super) fn new(said: Arc<Said>) -> Self {
        Self { said, wall: Mono(0).wall(), streams: Vec::new(), read: VecDeque::new(), write: VecDeque::new() }
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
            if let Some(wishes) = self.said.picture.get() {
                wishes.wish_repair();
            }
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            self.resend(nack, now);
        } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.said.remb.store(remb.bitrate.max(0.0) as u64, Ordering::Relaxed);
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            for block in &report.reports {
                if self.streams.iter().any(|s| s.ssrc == block.ssrc && s.rate == VIDEO_RATE) {
                    self.said.lost.store(block.fraction_lost.into(), Ordering::Relaxed);
                }
            }
        }
    }

    fn resend(&mut self, nack: &TransportLayerNack, now: Instant) {
        let Some(stream) = self.streams.iter_mut().find(|s| s.ssrc == nack.media_ssrc) else { return };
        let wanted = nack.nacks.iter().flat_map(|pair| pair.packet_list()).take(RESEND_BURST);
        for sequence in wanted {
            let Some(packet) = stream.again(sequence, now) else { continue };
            self.said.resent.fetch_add(1, Ordering::Relaxed);
            self.write.push_back(tagged(now, Packet::Rtp(packet)));
        }
    }
}

impl Stream {
    fn remember(&mut self, packet: &rtp::Packet) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(packet.payload.len()).unwrap_or(u32::MAX));
        if self.history.is_empty() {
            return;
        }
        let header = &packet.header;
        self.history[usize::from(header.sequence_number) % HISTORY] = Some(Sent {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload.clone(),
            resent: None,
        });
    }

    /// The packet of a retransmission (RFC 4588 section 4), unless it is too old or was sent again just now.
    fn again(&mut self, sequence: u16, now: Instant) -> Option<rtp::Packet> {
        let (ssrc, payload_type) = self.rtx?;
        let sent = self.history.get_mut(usize::from(sequence) % HISTORY)?.as_mut()?;
        let recent = sent.resent.is_some_and(|at| now.saturating_duration_since(at) < RESEND_PAUSE);
        if sent.sequence != sequence || recent {
            return None;
        }
        sent.resent = Some(now);
        let mut payload = BytesMut::with_capacity(2 + sent.payload.len());
        payload.put_u16(sequence);
        payload.extend_from_slice(&sent.payload);
        let header = rtp::Header {
            version: 2,
            marker: sent.marker,
            payload_type,
            sequence_number: self.rtx_sequence,
            timestamp: sent.timestamp,
            ssrc,
            ..Default::default()
        };
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        Some(rtp::Packet { header, payload: payload.freeze() })
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
                for packet in packets {
                    self.take_rtcp(packet.as_ref(), msg.now);
                }
            }
            _ => self.read.push_back(msg),
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        let now = msg.now;
        let mut sent = None;
        if let Packet::Rtp(packet) = &msg.message.packet
            && let Some(index) = self.streams.iter().position(|s| s.ssrc == packet.header.ssrc)
        {
            self.streams[index].remember(packet);
            sent = Some((index, packet.header.sequence_number));
        }
        self.write.push_back(msg);
        let Some((index, sequence)) = sent else { return Ok(()) };
        let stream = &mut self.streams[index];
        // Sound has sequence numbers of its own, and nothing that follows.
        if stream.rate == VIDEO_RATE {
            for packet in self.said.bursts.follow(sequence) {
                stream.remember(&packet);
                self.write.push_back(tagged(now, Packet::Rtp(packet)));
            }
        }
        if stream.next_report.is_none() {
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
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.streams.iter().filter_map(|s| s.next_report).min()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.unbind_local_stream(info);
        let rtx = info.ssrc_rtx.zip(info.payload_type_rtx);
        self.streams.push(Stream {
            ssrc: info.ssrc,
            rate: info.clock_rate,
            rtx,
            rtx_sequence: 1,
            packets: 0,
            octets: 0,
            reports: 0,
            next_report: None,
            history: if rtx.is_some() { vec![None; HISTORY] } else { Vec::new() },
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
