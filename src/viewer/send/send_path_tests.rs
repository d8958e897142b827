use super::*;
use crate::viewer::bandwidth::PacketResult;

const SSRC: u32 = 7;

fn bounds(start_kbps: u32, known: bool) -> RateBounds {
    RateBounds { start: Bitrate::from_kbps(start_kbps), ceiling: Bitrate::from_kbps(2_000), known }
}

#[test]
fn what_is_sent_again_over_a_far_lossy_path_has_a_twin() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    for (trip, loses, copies) in [(100, true, 2), (100, false, 1), (20, true, 1)] {
        let mut path = SendPath::new(bounds(2_000, true), start);
        path.add_stream(SSRC, Some(8));
        path.set_negotiated(SSRC, NegotiatedIds { twcc: 3, rtx: 109 });
        let header = |n| rtp::Header { version: 2, ssrc: SSRC, sequence_number: n, ..Default::default() };
        for n in 0..40_u16 {
            let ms = u64::from(n) * 33;
            path.enqueue_access_unit(
                vec![rtp::Packet { header: header(n), payload: vec![1; 900].into() }],
                n == 0,
                at(ms),
            );
            while path.pop(at(ms)).is_some() {}
            let arrived = (!loses || n % 8 != 7).then(|| Duration::from_millis(ms));
            let size = DataSize::from_bytes(960);
            path.estimator.feedback(at(ms + trip), &[PacketResult { sent: at(ms), size, train: 0, arrived }]);
        }
        assert!(path.retransmit(SSRC, 31, at(2000)));
        let mut left = Vec::new();
        for ms in 2000..2100 {
            left.extend(std::iter::from_fn(|| path.pop(at(ms))).map(|one| one.packet.header.sequence_number));
        }
        assert_eq!(left.len(), copies, "round trip {trip} ms, loss {loses}");
        assert!(left.windows(2).all(|pair| pair[1] == pair[0] + 1), "each with a number of its own");
    }
}

#[test]
fn a_viewer_that_falls_silent_is_told_of_twice() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut path = SendPath::new(bounds(1_000, false), start);
    path.add_stream(SSRC, None);
    path.set_negotiated(SSRC, NegotiatedIds { twcc: 3, rtx: 0 });
    let sound = |path: &mut SendPath, ms: u64| {
        let header = rtp::Header { version: 2, ssrc: SSRC, ..Default::default() };
        path.send_audio(&mut rtp::Packet { header, payload: vec![0; 80].into() }, at(ms));
        path.take_feedback_lost()
    };
    let size = DataSize::from_bytes(120);
    let seen = |ms: u64| PacketResult { sent: at(ms), size, train: 0, arrived: Some(Duration::from_millis(ms)) };
    assert!(!(0..2000).step_by(20).any(|ms| sound(&mut path, ms)), "it may have no such feedback at all");
    path.estimator.feedback(at(2000), &[seen(1980)]);
    let logged: Vec<u64> = (2000..5000).step_by(20).filter(|ms| sound(&mut path, *ms)).collect();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!((2800..3000).contains(&logged[0]) && (4000..4300).contains(&logged[1]), "{logged:?}");
    path.estimator.feedback(at(5000), &[seen(4980)]);
    assert_eq!((5000..8000).step_by(20).filter(|ms| sound(&mut path, *ms)).count(), 2, "and again");
}

/// A send path that has sent pictures of one packet each, one per ms, with sequence numbers up to `last`.
fn sent(last: u16, start: Instant) -> SendPath {
    let mut path = SendPath::new(bounds(1_000, false), start);
    path.add_stream(SSRC, None);
    for n in 0..=last {
        let now = start + Duration::from_millis(n.into());
        let header = rtp::Header { version: 2, ssrc: SSRC, sequence_number: n, ..Default::default() };
        path.enqueue_access_unit(vec![rtp::Packet { header, payload: vec![1; 100].into() }], n == 0, now);
        while path.pop(now).is_some() {}
    }
    assert_eq!(path.streams[0].sequence, Some(last + 1), "all of them have left");
    path
}

#[test]
fn receiver_reports_that_cannot_be_true_count_for_nothing() {
    // For each report: the loss in 256ths and the highest sequence number. Then whether the last report is believed.
    for (name, reports, believed) in [
        ("half got lost", &[(0, 100), (128, 200)][..], true),
        ("all but the highest got lost", &[(0, 100), (253, 200)], true),
        ("all got lost, the highest too", &[(0, 100), (255, 200)], false),
        ("something got lost, and nothing was expected", &[(0, 200), (128, 200)], false),
        ("what was never sent arrived", &[(0, 100), (128, 300)], false),
    ] {
        let start = Instant::now();
        let mut path = sent(200, start);
        let last = reports.len() - 1;
        for (n, (lost, highest)) in reports.iter().enumerate() {
            let before = path.estimate();
            path.handle_receiver_report(SSRC, *lost, *highest, start + Duration::from_secs(1 + n as u64));
            assert_eq!(path.estimate() != before, n < last || believed, "{name}, report {n}");
        }
    }
}

#[test]
fn a_viewer_without_transport_feedback_falls_silent_too() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut path = sent(20, start);
    assert_eq!(path.evidence(at(20)).0, Evidence::Guessed, "it never spoke");
    path.handle_receiver_report(SSRC, 0, 20, at(20));
    assert_eq!(path.evidence(at(90)).0, Evidence::Measured, "nothing has left since");
    let header = rtp::Header { version: 2, ssrc: SSRC, sequence_number: 21, ..Default::default() };
    path.enqueue_access_unit(vec![rtp::Packet { header, payload: vec![1; 100].into() }], true, at(21));
    while path.pop(at(21)).is_some() {}
    assert_eq!(path.evidence(at(28)).0, Evidence::Measured);
    assert_eq!(path.evidence(at(30)).0, Evidence::Silent);
    let rate = Bitrate::from_kbps(500);
    path.handle_remb(rate, at(31));
    assert_eq!((path.estimate(), path.evidence(at(31)).0), (rate, Evidence::Measured));
}

#[test]
fn each_stream_has_its_own_numbers_ids_and_retransmissions() {
    const OTHER: u32 = 17;
    let start = Instant::now();
    let mut path = SendPath::new(bounds(2_000, true), start);
    for (ssrc, rtx, twcc, payload_type) in [(SSRC, 8, 3, 109), (OTHER, 18, 4, 119)] {
        path.add_stream(ssrc, Some(rtx));
        path.set_negotiated(ssrc, NegotiatedIds { twcc, rtx: payload_type });
    }
    let packet = |ssrc, sequence_number| {
        let header = rtp::Header { version: 2, ssrc, sequence_number, ..Default::default() };
        rtp::Packet { header, payload: vec![1; 100].into() }
    };
    let mut left = Vec::new();
    for (ssrc, sequence) in [(SSRC, 65_535), (OTHER, 500), (SSRC, 9), (OTHER, 501), (99, 1)] {
        path.enqueue_access_unit(vec![packet(ssrc, sequence)], true, start);
        left.extend(std::iter::from_fn(|| path.pop(start)).map(|one| one.packet.header));
    }
    let numbers: Vec<_> = left.iter().map(|header| (header.ssrc, header.sequence_number)).collect();
    assert_eq!(
        numbers,
        [(SSRC, 65_535), (OTHER, 500), (SSRC, 0), (OTHER, 501)],
        "a stream that was not added is not sent"
    );
    let twcc: Vec<_> =
        left.iter().map(|header| header.get_extension(if header.ssrc == SSRC { 3 } else { 4 })).collect();
    let expected: Vec<_> = (0..4_u8).map(|n| Some(bytes::Bytes::copy_from_slice(&[0, n]))).collect();
    assert_eq!(twcc, expected, "the numbers of TWCC are common to all");
    assert!(!path.retransmit(OTHER, 65_535, start) && path.retransmit(OTHER, 501, start));
    assert!(path.retransmit(SSRC, 0, start));
    let again: Vec<_> = std::iter::from_fn(|| path.pop(start)).map(|one| one.packet.header).collect();
    assert_eq!(again.iter().map(|h| (h.ssrc, h.payload_type)).collect::<Vec<_>>(), [(18, 119), (8, 109)]);
    path.enqueue_access_unit(vec![packet(OTHER, 502)], true, start);
    path.remove_stream(OTHER);
    assert!(path.pop(start).is_none() && !path.retransmit(OTHER, 501, start), "what is gone sends nothing");
}
