//! RTCP sender reports (RFC 3550 section 6.4.1). They relate the RTP time of each stream to the capture clock, so that
//! the viewer plays sound and picture in step.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rtc::rtcp::sender_report::SenderReport;

use crate::clock::Mono;

/// Seconds from 1900 (NTP) to 1970 (Unix).
pub(super) const NTP_EPOCH: u64 = 2_208_988_800;
/// The second report follows the first one soon: from two reports a viewer can relate both clocks.
pub(super) const SECOND_REPORT: Duration = Duration::from_millis(200);
/// The period of the later ones.
pub(super) const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// What an outgoing stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// The picture.
    Video,
    /// The sound.
    Audio,
}

impl StreamKind {
    /// The kind of a codec by its media type, such as `video/H264`.
    pub(super) fn of(mime_type: &str) -> Self {
        let is_video = mime_type.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("video/"));
        if is_video { Self::Video } else { Self::Audio }
    }
}

/// Relates RTP time to capture time: the pair of the newest frame.
#[derive(Debug, Default)]
pub(crate) struct RtpClockAnchor(Mutex<Option<(u32, Mono)>>);

impl RtpClockAnchor {
    /// Sets the newest frame's RTP time stamp and capture time.
    pub(crate) fn set(&self, rtp: u32, at: Mono) {
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
pub(super) struct SentStream {
    pub(super) ssrc: u32,
    pub(super) kind: StreamKind,
    /// Ticks per second of its RTP clock.
    rate: u32,
    packets: u32,
    octets: u32,
    reports: u32,
    pub(super) next_report: Option<Instant>,
}

impl SentStream {
    pub(super) fn new(ssrc: u32, kind: StreamKind, rate: u32) -> Self {
        Self { ssrc, kind, rate, packets: 0, octets: 0, reports: 0, next_report: None }
    }

    /// The sender report that is due now (RFC 3550 section 6.4.1); `None` before the first frame. `wall` is the wall
    /// clock minus the monotonic clock.
    pub(super) fn report(&mut self, anchor: &RtpClockAnchor, wall: Duration, now: Instant) -> Option<SenderReport> {
        let mono = Mono::now();
        let rtp_time = anchor.rtp_at(mono, self.rate)?;
        self.reports += 1;
        self.next_report = Some(now + if self.reports == 1 { SECOND_REPORT } else { REPORT_PERIOD });
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(wall + Duration::from_nanos(mono.0)),
            rtp_time,
            packet_count: self.packets,
            octet_count: self.octets,
            ..Default::default()
        })
    }

    /// A packet of so many bytes of payload leaves: sender reports tell of it.
    pub(super) fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(payload).unwrap_or(u32::MAX));
    }
}

/// A time since 1970 as the 64 bits of RFC 3550 section 4.
fn ntp(wall: Duration) -> u64 {
    let seconds = wall.as_secs().wrapping_add(NTP_EPOCH) & 0xffff_ffff;
    let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_decides_the_kind_of_a_stream_and_its_clock_does_not() {
        for (mime_type, clock_rate, kind) in [
            ("video/H264", 90_000, StreamKind::Video),
            ("video/H264", 48_000, StreamKind::Video),
            ("VIDEO/h264", 90_000, StreamKind::Video),
            ("audio/opus", 48_000, StreamKind::Audio),
            ("audio/opus", 90_000, StreamKind::Audio),
            ("", 90_000, StreamKind::Audio),
        ] {
            let stream = SentStream::new(1, StreamKind::of(mime_type), clock_rate);
            assert_eq!((stream.kind, stream.rate), (kind, clock_rate), "{mime_type}");
        }
    }
}
