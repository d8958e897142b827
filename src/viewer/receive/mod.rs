//! The sound of a viewer, from decrypted RTP to the talker's queue, and the reports about it.
//!
//! The interceptor gives each RTP packet to [`TalkReceiver`], which takes those of the negotiated payload type. The
//! stack's own receivers are not used: they make state for each SSRC, and queue packets that nobody may need. The
//! packet filter (`sockets/rtp_budget.rs`) limits what comes here. Pure, but for the talker's queue.

pub(crate) mod reception;
pub(crate) mod twcc_receiver;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rtc::{
    rtcp::{Packet, receiver_report::ReceiverReport, sender_report::SenderReport},
    rtp,
};

use self::{reception::Reception, twcc_receiver::TwccReceiver};
use crate::{
    clock::Mono,
    talk::turns::{TalkPacket, Talker},
};

/// How often the viewer gets a receiver report (RFC 3550 section 6.2 permits less at such a rate of data).
const REPORTS: Duration = Duration::from_secs(1);

/// What was negotiated for the sound of the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TalkLine {
    /// The index of the m-line.
    pub(crate) line: usize,
    /// The payload type of Opus.
    pub(crate) payload_type: u8,
    /// The id of the header extension with transport-wide numbers; 0: there is none.
    pub(crate) twcc: u8,
}

/// The viewer's sound, from its negotiation on.
#[derive(Debug)]
pub(crate) struct TalkStream {
    pub(crate) line: TalkLine,
    pub(crate) talker: Arc<Talker>,
}

/// The viewer's sound, once it is negotiated.
pub(crate) type SharedTalk = OnceLock<TalkStream>;

/// Receives the sound of one viewer.
#[derive(Debug)]
pub(crate) struct TalkReceiver {
    reception: Reception,
    twcc: TwccReceiver,
    /// When the next receiver report is due. `None`: nothing arrived since the last one.
    due: Option<Instant>,
}

impl TalkReceiver {
    pub(crate) fn new(now: Instant) -> Self {
        Self { reception: Reception::default(), twcc: TwccReceiver::new(now), due: None }
    }

    /// A decrypted packet arrived. Returns whether it is one of the talker's.
    pub(crate) fn take(&mut self, stream: &TalkStream, packet: &rtp::Packet, now: Instant) -> bool {
        let rtp::Packet { header, payload } = packet;
        let TalkLine { payload_type, twcc, .. } = stream.line;
        // The number counts for all packets of the transport.
        if let Some(number) = header.get_extension(twcc).filter(|_| twcc != 0)
            && let [high, low] = number[..]
        {
            self.twcc.arrived(header.ssrc, u16::from_be_bytes([high, low]), now);
        }
        if header.payload_type != payload_type {
            return false;
        }
        self.reception.arrived(header.ssrc, header.sequence_number, header.timestamp, now);
        self.due.get_or_insert(now + REPORTS);
        stream.talker.push(TalkPacket {
            talker: stream.talker.number(),
            ssrc: header.ssrc,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            payload: payload.clone(),
            at: Mono::now(),
        })
    }

    /// A sender report of the viewer arrived.
    pub(crate) fn handle_sender_report(&mut self, report: &SenderReport, now: Instant) {
        self.reception.handle_sender_report(report.ssrc, report.ntp_time, now);
    }

    /// The reports that are due. `ssrc`: who reports.
    pub(crate) fn reports(&mut self, ssrc: u32, now: Instant) -> Vec<Box<dyn Packet>> {
        let mut reports: Vec<Box<dyn Packet>> = Vec::new();
        if self.due.is_some_and(|due| now >= due) {
            self.due = None;
            let block = self.reception.report(now);
            reports.extend(block.map(|block| {
                let report = ReceiverReport { ssrc, reports: vec![block], ..Default::default() };
                Box::new(report) as Box<dyn Packet>
            }));
        }
        reports.extend(self.twcc.report(ssrc, now).map(|report| Box::new(report) as Box<dyn Packet>));
        reports
    }

    /// When `reports` should be called next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.twcc.due()).min()
    }
}
