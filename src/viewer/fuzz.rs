//! Bodies of fuzz targets: what one viewer sends back.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket},
    peer_connection::{RTCPeerConnectionBuilder, sdp::RTCSessionDescription},
    rtcp, rtp,
    sansio::Protocol,
    shared::{TransportContext, error::Error},
};

use crate::{
    feed::{VIDEO_RING, feed},
    protocol::{
        Wanted, candidate::CandidateBudget, command::RejectedCommand, command_result::CommandResult, sdp::Description,
    },
    units::Bitrate,
    viewer::{
        channel,
        peer::media_engine,
        send::{
            interceptor::{SendInterceptor, SendShared},
            send_path::RateBounds,
            shared_streams::SharedStream,
            stream_state::NegotiatedIds,
        },
        session::negotiation::Negotiation,
    },
};

const VIDEO: u32 = 7;
const BOUNDS: RateBounds =
    RateBounds { start: Bitrate::from_kbps(1_000), ceiling: Bitrate::from_kbps(3_000), known: false };

/// A viewer's offer: read, decided, answered by the stack that answers in a session, without sockets; and the same
/// offer again, as a restart of ICE. The own answer is checked before it is given out, so an answer that comes is one
/// that fits.
pub(crate) fn sdp(text: &str) {
    let Ok(offer) = Description::parse(text) else { return };
    let mut negotiation = Negotiation::new(Wanted { video: true, audio: true, talk: true, commands: true });
    for _ in 0..2 {
        let mut budget = CandidateBudget::new(24, false);
        let Ok(incoming) = negotiation.take_offer(&offer, &mut budget) else { return };
        let Ok(stack) = answer(incoming.stack.clone()) else { return };
        if let Ok(text) = negotiation.own_answer(&stack, incoming, |line| vec![line.to_owned()]) {
            let own = Description::parse(&text).expect("our own answer can be parsed");
            assert_eq!(
                own.lines.len(),
                offer.lines.len(),
                "an answer has the m-lines of its offer (RFC 3264 section 6)"
            );
        }
    }
}

/// What the stack answers.
pub(crate) fn answer(sdp: String) -> Result<String, Error> {
    let now = Instant::now();
    let feedback = SendInterceptor::new(Arc::default(), BOUNDS, now);
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_media_engine(media_engine::media_engine(false)?)
        .with_setting_engine(media_engine::settings(false, MulticastDnsMode::Disabled))
        .with_interceptor_registry(media_engine::registry(feedback))
        .build(now)?;
    connection.add_track(media_engine::video_track(1, 2))?;
    connection.add_track(media_engine::audio_track(3, false))?;
    connection.set_remote_description(now, RTCSessionDescription::offer(sdp)?)?;
    let answer = connection.create_answer(None)?;
    let sdp = answer.sdp.clone();
    connection.set_local_description(now, answer)?;
    Ok(sdp)
}

/// A message of the data channel. A refusal is a short result, and what was accepted can be printed.
pub(crate) fn channel(data: &[u8]) {
    let Some((first, message)) = data.split_first() else { return };
    match channel::message::read(first & 1 == 0, message) {
        Ok(command) => assert!(format!("{command:?}").len() <= 64 * data.len() + 4096),
        Err(RejectedCommand { id, refusal }) => {
            let result = CommandResult::refused(id, refusal).text();
            assert!(result.len() <= 16 * 1024, "{} bytes", result.len());
        }
    }
}

/// RTCP of a viewer, into a send path that has some packets on their way.
pub(crate) fn rtcp(data: &[u8]) {
    let (mut now, shared) = (Instant::now(), Arc::new(SendShared::default()));
    let mut feedback = SendInterceptor::new(Arc::clone(&shared), BOUNDS, now);
    let stream = StreamInfo {
        ssrc: VIDEO,
        ssrc_rtx: Some(8),
        payload_type: 108,
        payload_type_rtx: Some(109),
        mime_type: "video/H264".into(),
        clock_rate: 90_000,
        ..Default::default()
    };
    feedback.bind_local_stream(&stream);
    let ids = NegotiatedIds { twcc: 3, rtx: 109 };
    let stream = shared.streams.add(SharedStream::video(VIDEO, ids, &feed(VIDEO_RING).subscribe()));
    for sequence in 0..8 {
        let header =
            rtp::Header { version: 2, sequence_number: sequence, timestamp: 1000, ssrc: VIDEO, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from_static(&[0x65; 600]) };
        stream.bursts.push(sequence, sequence == 0, Vec::new());
        let _ = feedback.handle_write(tagged(now, Packet::Rtp(packet)));
    }
    // Several reports, each some milliseconds later.
    for piece in data.chunks(1200) {
        let mut piece = Bytes::copy_from_slice(piece);
        if let Ok(packets) = rtcp::packet::unmarshal(&mut piece) {
            let _ = feedback.handle_read(tagged(now, Packet::Rtcp(packets)));
        }
        now += std::time::Duration::from_millis(30);
        let _ = feedback.handle_timeout(now);
        let mut sent = 0;
        while let Some(packet) = feedback.poll_write() {
            drop(packet);
            sent += 1;
            assert!(sent < 10_000, "one report causes endless packets");
        }
    }
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
}
