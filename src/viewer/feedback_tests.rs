use rtc::rtcp::transport_feedbacks::transport_layer_nack::nack_pairs_from_sequence_numbers;

use super::*;

const SSRC: u32 = 7;

fn feedback() -> (Feedback, Arc<Said>) {
    let said = Arc::new(Said::default());
    let mut feedback = Feedback::new(Arc::clone(&said));
    feedback.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        ssrc_rtx: Some(8),
        payload_type: 108,
        payload_type_rtx: Some(109),
        clock_rate: 90_000,
        ..Default::default()
    });
    (feedback, said)
}

fn send(feedback: &mut Feedback, now: Instant, sequence: u16) -> Vec<Packet> {
    let header =
        rtp::Header { version: 2, sequence_number: sequence, timestamp: 1000, ssrc: SSRC, ..Default::default() };
    let packet = rtp::Packet { header, payload: Bytes::from(sequence.to_be_bytes().to_vec()) };
    feedback.handle_write(tagged(now, Packet::Rtp(packet))).unwrap();
    drain(feedback)
}

fn nack(feedback: &mut Feedback, now: Instant, sequences: &[u16]) -> Vec<Packet> {
    let nack =
        TransportLayerNack { sender_ssrc: 1, media_ssrc: SSRC, nacks: nack_pairs_from_sequence_numbers(sequences) };
    feedback.handle_read(tagged(now, Packet::Rtcp(vec![Box::new(nack)]))).unwrap();
    drain(feedback)
}

fn drain(feedback: &mut Feedback) -> Vec<Packet> {
    std::iter::from_fn(|| feedback.poll_write()).map(|m| m.message.packet).collect()
}

#[test]
fn what_was_lost_is_sent_again_once_per_pause_and_only_while_it_is_kept() {
    let (mut feedback, said) = feedback();
    let start = Instant::now();
    for sequence in 65_500..=65_535 {
        send(&mut feedback, start, sequence);
    }
    let again = nack(&mut feedback, start, &[65_501, 65_503, 3]);
    assert_eq!(again.len(), 2, "what was never sent is not answered");
    let Packet::Rtp(first) = &again[0] else { panic!("not RTP") };
    assert_eq!((first.header.ssrc, first.header.payload_type, first.header.timestamp), (8, 109, 1000));
    assert_eq!(&first.payload[..2], &65_501_u16.to_be_bytes(), "the original sequence number goes in front");
    assert_eq!(&first.payload[2..], &65_501_u16.to_be_bytes());
    assert!(nack(&mut feedback, start + RESEND_PAUSE / 2, &[65_501]).is_empty(), "asked again too soon");
    assert_eq!(nack(&mut feedback, start + RESEND_PAUSE, &[65_501]).len(), 1);
    assert_eq!(said.resent.load(Ordering::Relaxed), 3);
    for sequence in 0..600 {
        send(&mut feedback, start, sequence);
    }
    assert!(nack(&mut feedback, start + REPORT_PERIOD, &[65_501]).is_empty(), "overwritten since");
}

#[test]
fn the_rest_of_a_picture_follows_its_first_packet_and_is_remembered_too() {
    let (mut feedback, said) = feedback();
    let start = Instant::now();
    send(&mut feedback, start, 9);
    let rest = |n: u16| rtp::Packet {
        header: rtp::Header { sequence_number: n, ssrc: SSRC, ..Default::default() },
        payload: Bytes::from_static(b"more"),
    };
    assert!(said.bursts.leave(10, vec![rest(11), rest(12)]));
    let sent: Vec<u16> = send(&mut feedback, start, 10)
        .iter()
        .filter_map(|p| if let Packet::Rtp(p) = p { Some(p.header.sequence_number) } else { None })
        .collect();
    assert_eq!(sent, [10, 11, 12]);
    assert_eq!(nack(&mut feedback, start, &[10, 11, 12]).len(), 3);
}

#[test]
fn a_wish_for_a_key_frame_reaches_the_encoder() {
    let (mut feedback, said) = feedback();
    let wishes = Arc::new(Wishes::default());
    said.picture.set(Arc::clone(&wishes)).unwrap();
    let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: SSRC };
    feedback.handle_read(tagged(Instant::now(), Packet::Rtcp(vec![Box::new(pli)]))).unwrap();
    assert!(wishes.take_repair());
}

#[test]
fn reports_map_rtp_time_to_capture_time() {
    let (mut feedback, said) = feedback();
    let start = Instant::now();
    let age = Duration::from_millis(40);
    said.video.set(5000, Mono(Mono::now().0 - age.as_nanos() as u64));
    let sent = send(&mut feedback, start, 1);
    let Packet::Rtcp(report) = &sent[1] else { panic!("the first packet brings a report: {sent:?}") };
    let report = report[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let late = report.rtp_time - 5000;
    assert!((3600..3600 + 900).contains(&late), "a frame captured 40 ms ago is 3600 ticks old, said {late}");
    let said_unix = (report.ntp_time >> 32) - NTP_EPOCH;
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(said_unix.abs_diff(unix) <= 1);
    assert_eq!(feedback.poll_timeout(), Some(start + SECOND_REPORT));
    feedback.handle_timeout(start + SECOND_REPORT).unwrap();
    assert_eq!(drain(&mut feedback).len(), 1);
    assert_eq!(feedback.poll_timeout(), Some(start + SECOND_REPORT + REPORT_PERIOD));
}
