use bytes::Bytes;
use rtc::rtcp::{
    goodbye::Goodbye,
    reception_report::ReceptionReport,
    transport_feedbacks::{
        transport_layer_cc::{
            PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, SymbolTypeTcc, TransportLayerCc,
        },
        transport_layer_nack::{NackPair, nack_pairs_from_sequence_numbers},
    },
};

use super::*;
use crate::{
    feed::{AUDIO_RING, EncoderRequests, Network, VIDEO_RING, feed},
    viewer::send::{
        sender_report::{NTP_EPOCH, REPORT_PERIOD, SECOND_REPORT},
        stream_state::NegotiatedIds,
    },
};

const SSRC: u32 = 7;
const SOUND: u32 = 17;
const BOUNDS: RateBounds =
    RateBounds { start: Bitrate::from_kbps(1_000), ceiling: Bitrate::from_kbps(3_000), known: false };

fn feedback() -> (SendInterceptor, Arc<SendShared>) {
    let shared = Arc::new(SendShared::default());
    negotiate(&shared, 0);
    let mut feedback = SendInterceptor::new(Arc::clone(&shared), BOUNDS, Instant::now());
    feedback.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        ssrc_rtx: Some(8),
        payload_type: 108,
        // Another codec's payload type: the stack chose it before the negotiation.
        payload_type_rtx: Some(103),
        mime_type: "video/H264".into(),
        clock_rate: 90_000,
        ..Default::default()
    });
    feedback.bind_local_stream(&StreamInfo {
        ssrc: SOUND,
        payload_type: 111,
        mime_type: "audio/opus".into(),
        clock_rate: 48_000,
        ..Default::default()
    });
    (feedback, shared)
}

/// Both streams are negotiated, with this id for TWCC.
fn negotiate(shared: &SendShared, twcc: u8) {
    let reader = feed(VIDEO_RING).subscribe();
    shared.streams.add(SharedStream::video(SSRC, NegotiatedIds { twcc, rtx: 109 }, &reader));
    let reader = feed(AUDIO_RING).subscribe();
    shared.streams.add(SharedStream::audio(SOUND, NegotiatedIds { twcc, rtx: 0 }, &reader));
}

/// The requests to the encoder of the picture, and the network as it sees it.
fn picture(shared: &SendShared) -> (Arc<EncoderRequests>, Arc<Network>) {
    let stream = shared.streams.get(SSRC).unwrap();
    (Arc::clone(stream.requests.as_ref().unwrap()), Arc::clone(&stream.network))
}

fn packet(ssrc: u32, sequence: u16, len: usize) -> rtp::Packet {
    let header = rtp::Header { version: 2, sequence_number: sequence, timestamp: 1000, ssrc, ..Default::default() };
    rtp::Packet { header, payload: Bytes::from(vec![sequence as u8; len]) }
}

/// A picture of this many packets.
fn send(feedback: &mut SendInterceptor, now: Instant, first: u16, packets: u16, key: bool) -> Vec<Packet> {
    let rest = (1..packets).map(|n| packet(SSRC, first + n, 1000)).collect();
    assert!(feedback.shared.streams.get(SSRC).unwrap().bursts.push(first, key, rest));
    feedback.handle_write(tagged(now, Packet::Rtp(packet(SSRC, first, 1000)))).unwrap();
    drain(feedback)
}

fn sequences(packets: &[Packet]) -> Vec<u16> {
    let rtp = |p: &Packet| if let Packet::Rtp(p) = p { Some(p.header.sequence_number) } else { None };
    packets.iter().filter_map(rtp).collect()
}

fn nack(feedback: &mut SendInterceptor, now: Instant, sequences: &[u16]) -> Vec<Packet> {
    let nack =
        TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC, nacks: nack_pairs_from_sequence_numbers(sequences) };
    feedback.handle_read(tagged(now, Packet::Rtcp(vec![Box::new(nack)]))).unwrap();
    drain(feedback)
}

fn drain(feedback: &mut SendInterceptor) -> Vec<Packet> {
    std::iter::from_fn(|| feedback.poll_write()).map(|m| m.message.packet).collect()
}

#[test]
fn a_picture_leaves_whole_and_what_was_lost_of_it_is_sent_again() {
    let (mut feedback, shared) = feedback();
    let start = Instant::now();
    let sent = send(&mut feedback, start, 9, 4, true);
    assert_eq!(sequences(&sent), [9, 10, 11, 12], "nothing speaks against it");
    let again = nack(&mut feedback, start, &[10, 12, 40]);
    assert_eq!(again.len(), 2, "what was never sent is not answered");
    let Packet::Rtp(first) = &again[0] else { panic!("not RTP") };
    assert_eq!((first.header.ssrc, first.header.payload_type, first.header.timestamp), (8, 109, 1000));
    assert_eq!(&first.payload[..2], &10_u16.to_be_bytes(), "the original sequence number goes in front");
    assert!(nack(&mut feedback, start, &[10]).is_empty(), "asked again within a round trip");
    assert_eq!(shared.resent.load(Ordering::Relaxed), 2);
}

#[test]
fn packets_that_follow_no_picture_are_not_sent() {
    let (mut feedback, _) = feedback();
    feedback.handle_write(tagged(Instant::now(), Packet::Rtp(packet(SSRC, 1, 100)))).unwrap();
    assert!(sequences(&drain(&mut feedback)).is_empty());
}

#[test]
fn packets_are_numbered_across_streams_where_that_was_agreed_on() {
    let (mut feedback, shared) = feedback();
    let start = Instant::now();
    let number = |p: &Packet| match p {
        Packet::Rtp(p) => p.header.get_extension(3).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])),
        _ => None,
    };
    assert!(send(&mut feedback, start, 1, 2, true).iter().all(|p| number(p).is_none()), "not agreed on");
    negotiate(&shared, 3);
    let mut numbers: Vec<_> = send(&mut feedback, start, 3, 2, false).iter().filter_map(number).collect();
    feedback.handle_write(tagged(start, Packet::Rtp(packet(SOUND, 1, 80)))).unwrap();
    numbers.extend(drain(&mut feedback).iter().filter_map(number));
    numbers.extend(nack(&mut feedback, start, &[3]).iter().filter_map(number));
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn sound_without_a_picture_is_numbered_and_tells_of_its_network() {
    let (mut feedback, shared) = feedback();
    negotiate(&shared, 3);
    let network = Arc::clone(&shared.streams.get(SOUND).unwrap().network);
    feedback.handle_write(tagged(Instant::now(), Packet::Rtp(packet(SOUND, 1, 80)))).unwrap();
    let numbered = |p: &Packet| matches!(p, Packet::Rtp(p) if p.header.get_extension(3).is_some());
    assert!(drain(&mut feedback).iter().any(numbered));
    assert_eq!(network.estimate(Mono::now()).map(|e| (e.bitrate, e.evidence)), Some((BOUNDS.start, Evidence::Guessed)));
}

#[test]
fn a_network_that_takes_less_gets_pictures_later_or_not_at_all_and_sound_at_once() {
    let (mut feedback, shared) = feedback();
    let (requests, _) = picture(&shared);
    let start = Instant::now();
    // Without TWCC, the viewer's own estimate counts.
    let remb = ReceiverEstimatedMaximumBitrate { bitrate: 200_000.0, ..Default::default() };
    send(&mut feedback, start, 1, 1, true);
    feedback.path.set_constrained(start);
    feedback.handle_read(tagged(start, Packet::Rtcp(vec![Box::new(remb)]))).unwrap();
    let sent = send(&mut feedback, start, 2, 20, false);
    assert!(sent.len() < 5, "spread: {}", sent.len());
    feedback.handle_write(tagged(start, Packet::Rtp(packet(SOUND, 1, 80)))).unwrap();
    assert_eq!(sequences(&drain(&mut feedback)), [1], "sound does not wait");
    let due = feedback.poll_timeout().unwrap();
    assert!(due > start && due < start + Duration::from_millis(100), "{:?}", due - start);
    assert!(!requests.take_repair());
    assert!(sequences(&send(&mut feedback, start, 22, 5, false)).is_empty());
    assert_eq!((shared.dropped.load(Ordering::Relaxed), requests.take_repair()), (1, true), "it would wait too long");
    // Sequence numbers have no gaps, because a viewer would request the missing packets.
    let mut now = start;
    let mut left = Vec::new();
    while now < start + Duration::from_secs(2) {
        now += Duration::from_millis(5);
        feedback.handle_timeout(now).unwrap();
        left.extend(drain(&mut feedback));
    }
    left.extend(send(&mut feedback, now, 27, 2, true));
    let left = sequences(&left);
    assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "{left:?}");
}

#[test]
fn a_wish_for_a_key_frame_reaches_the_encoder() {
    let (mut feedback, shared) = feedback();
    let (requests, network) = picture(&shared);
    let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: SSRC };
    feedback.handle_read(tagged(Instant::now(), Packet::Rtcp(vec![Box::new(pli)]))).unwrap();
    assert!(requests.take_repair());
    network.set_keyframe_only(true);
    let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: SSRC };
    feedback.handle_read(tagged(Instant::now(), Packet::Rtcp(vec![Box::new(pli)]))).unwrap();
    assert!(!requests.take_repair(), "a thin viewer has keyframes at its own pace");
}

#[test]
fn a_viewer_that_is_reached_again_has_its_key_frame_at_once() {
    let (_, shared) = feedback();
    let (requests, network) = picture(&shared);
    shared.request_keyframe();
    assert!(requests.take_key() && !requests.take_repair(), "not within a second of the last one");
    network.set_keyframe_only(true);
    shared.request_keyframe();
    assert!(!requests.take_key());
}

#[test]
fn reports_map_rtp_time_to_capture_time() {
    let (mut feedback, shared) = feedback();
    let start = Instant::now();
    let age = Duration::from_millis(40);
    let captured = Mono(Mono::now().0 - age.as_nanos() as u64);
    shared.streams.get(SSRC).unwrap().clock.set(5000, captured);
    let sent = send(&mut feedback, start, 1, 1, true);
    let Packet::Rtcp(report) = &sent[1] else { panic!("the first packet brings a report: {sent:?}") };
    let report = report[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let late = report.rtp_time - 5000;
    // This holds even if the test was delayed.
    let most = Mono::now().since(captured).as_millis() as u32 * 90 + 90;
    assert!((3600..most).contains(&late), "a frame captured 40 ms ago is 3600 ticks old, said {late}");
    let said_unix = (report.ntp_time >> 32) - NTP_EPOCH;
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(said_unix.abs_diff(unix) <= 1);
    assert_eq!(feedback.poll_timeout(), Some(start + SECOND_REPORT));
    feedback.handle_timeout(start + SECOND_REPORT).unwrap();
    assert_eq!(drain(&mut feedback).len(), 1);
    assert_eq!(feedback.poll_timeout(), Some(start + SECOND_REPORT + REPORT_PERIOD));
}

#[test]
fn what_hostile_reports_claim_is_clamped_and_costs_little() {
    let remb = |bitrate| -> Box<dyn rtc::rtcp::Packet> {
        Box::new(ReceiverEstimatedMaximumBitrate { bitrate, ssrcs: vec![SSRC], ..Default::default() })
    };
    let loss = |fraction_lost, last_sequence_number| -> Box<dyn rtc::rtcp::Packet> {
        let block = ReceptionReport { ssrc: SSRC, fraction_lost, last_sequence_number, ..Default::default() };
        Box::new(ReceiverReport { reports: vec![block], ..Default::default() })
    };
    let nacks = || (0..u16::MAX).step_by(17).map(|n| NackPair { packet_id: n, lost_packets: 0xffff });
    let run = |packet_status_symbol| {
        PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol,
            run_length: 8_191,
        })
    };
    let transport = |symbol, deltas: &[i64]| -> Box<dyn rtc::rtcp::Packet> {
        let delta = |delta: &i64| RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta, delta: *delta };
        Box::new(TransportLayerCc {
            packet_status_count: u16::MAX,
            packet_chunks: vec![run(symbol); 9],
            recv_deltas: deltas.iter().map(delta).collect(),
            ..Default::default()
        })
    };
    let claims: [(&str, Box<dyn rtc::rtcp::Packet>); 12] = [
        ("REMB of nothing", remb(0.0)),
        ("REMB of 2^63", remb(9.2e18)),
        ("REMB of no number", remb(f32::NAN)),
        ("REMB without end", remb(f32::INFINITY)),
        ("all lost", loss(255, 20)),
        ("all lost of what was never sent", loss(255, u32::MAX)),
        ("nothing lost", loss(0, 20)),
        (
            "each number is missed",
            Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC, nacks: nacks().collect() }),
        ),
        ("everything lost, by transport feedback", transport(SymbolTypeTcc::PacketNotReceived, &[])),
        (
            "times at their ends",
            transport(SymbolTypeTcc::PacketReceivedLargeDelta, &[-8_192_000, 8_191_750, -8_192_000]),
        ),
        ("others say goodbye", Box::new(Goodbye { sources: vec![SSRC, SOUND, 99], ..Default::default() })),
        ("a keyframe is asked for", Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc: SSRC })),
    ];
    for (name, claim) in claims {
        let (mut feedback, shared) = feedback();
        negotiate(&shared, 3);
        let start = Instant::now();
        send(&mut feedback, start, 1, 20, true);
        for n in 0..200 {
            let now = start + Duration::from_millis(100 * n);
            feedback.handle_read(tagged(now, Packet::Rtcp(vec![claim.cloned()]))).unwrap();
            assert!(drain(&mut feedback).len() <= RESEND_BURST, "{name}");
            let estimate = feedback.path.estimate();
            assert!((Bitrate::from_kbps(60)..=BOUNDS.ceiling).contains(&estimate), "{name}: {estimate}");
        }
        let later = start + Duration::from_secs(30);
        assert!(!send(&mut feedback, later, 40, 1, true).is_empty(), "{name}: pictures go on");
    }
}

#[test]
fn pictures_that_a_silent_viewer_does_not_take_wish_for_no_key_frame() {
    let (mut feedback, shared) = feedback();
    let (requests, network) = picture(&shared);
    let start = Instant::now();
    send(&mut feedback, start, 1, 1, true);
    feedback.path.set_constrained(start);
    let remb = ReceiverEstimatedMaximumBitrate { bitrate: 100_000.0, ..Default::default() };
    feedback.handle_read(tagged(start, Packet::Rtcp(vec![Box::new(remb)]))).unwrap();
    let mut wished = 0;
    for n in 1..600 {
        let now = start + Duration::from_millis(33 * n);
        send(&mut feedback, now, n as u16 * 20, 20, false);
        let silent = network.estimate(Mono::now()).is_some_and(|e| e.evidence == Evidence::Silent);
        wished += u32::from(requests.take_repair() && silent);
    }
    assert!(network.estimate(Mono::now()).is_some_and(|e| e.evidence == Evidence::Silent));
    assert!(wished <= 2, "{wished} in a silence of ten seconds");
    assert!(shared.dropped.load(Ordering::Relaxed) > 100);
}

#[test]
fn the_ceiling_follows_the_configuration() {
    let (mut feedback, shared) = feedback();
    let start = Instant::now();
    send(&mut feedback, start, 1, 2, true);
    shared.ceiling.store(Bitrate::from_kbps(400));
    send(&mut feedback, start, 3, 2, false);
    assert_eq!(feedback.path.estimate(), Bitrate::from_kbps(400));
}

#[test]
fn a_second_camera_has_its_own_requests_and_reports() {
    const SECOND: u32 = 27;
    let (mut feedback, shared) = feedback();
    feedback.bind_local_stream(&StreamInfo {
        ssrc: SECOND,
        mime_type: "video/H264".into(),
        clock_rate: 90_000,
        ..Default::default()
    });
    let reader = feed(VIDEO_RING).subscribe();
    let second = shared.streams.add(SharedStream::video(SECOND, NegotiatedIds::default(), &reader));
    let first = picture(&shared).0;
    let now = Instant::now();
    for (ssrc, asked) in [(SSRC, (true, false)), (SECOND, (false, true)), (99, (true, true))] {
        let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: ssrc };
        feedback.handle_read(tagged(now, Packet::Rtcp(vec![Box::new(pli)]))).unwrap();
        assert_eq!((first.take_repair(), reader.requests().take_repair()), asked, "for {ssrc}");
    }
    second.clock.set(7000, Mono::now());
    assert!(second.bursts.push(5, true, Vec::new()) && !send(&mut feedback, now, 5, 1, true).is_empty());
    feedback.handle_write(tagged(now, Packet::Rtp(packet(SECOND, 5, 1000)))).unwrap();
    let left = drain(&mut feedback);
    assert!(matches!(&left[0], Packet::Rtp(packet) if packet.header.ssrc == SECOND));
    let Packet::Rtcp(report) = &left[1] else { panic!("the first picture brings a report: {left:?}") };
    let report = report[0].as_any().downcast_ref::<SenderReport>().unwrap();
    assert!(report.ssrc == SECOND && report.rtp_time - 7000 < 90_000);
}

/// A slow network has a whole picture in the queue when the privacy switch is set.
#[test]
fn nothing_leaves_while_the_privacy_switch_is_on() {
    let (mut feedback, shared) = feedback();
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    feedback.path.set_constrained(start);
    let begun = send(&mut feedback, start, 1, 40, true);
    assert!(!begun.is_empty() && begun.len() < 40, "{} packets left at once", begun.len());
    let stream = shared.streams.get(SSRC).unwrap();
    stream.stopped.store(true, Ordering::Release);
    shared.streams.get(SOUND).unwrap().stopped.store(true, Ordering::Release);
    for ms in (0..1000).step_by(5) {
        feedback.handle_timeout(at(ms)).unwrap();
        assert_eq!(sequences(&drain(&mut feedback)), [] as [u16; 0], "at {ms} ms");
    }
    assert_eq!(sequences(&nack(&mut feedback, at(1000), &[1])), [] as [u16; 0], "a packet that is asked for again");
    assert_eq!(sequences(&send(&mut feedback, at(1001), 100, 2, true)), [] as [u16; 0], "a picture on its way");
    feedback.handle_write(tagged(at(1002), Packet::Rtp(packet(SOUND, 5, 100)))).unwrap();
    assert_eq!(sequences(&drain(&mut feedback)), [] as [u16; 0], "sound on its way");
    for stopped in [&stream, &shared.streams.get(SOUND).unwrap()] {
        stopped.stopped.store(false, Ordering::Release);
    }
    let next = begun.len() as u16 + 1;
    assert_eq!(sequences(&send(&mut feedback, at(2000), 200, 1, true)), [next], "without a gap in the numbers");
}
