use super::*;

const THIN: Pacing = Pacing {
    estimate: Bitrate::from_kbps(400),
    pacing_factor: 2.5,
    spread: Duration::from_millis(500),
    unconstrained: false,
};
const STREAM: u32 = 7;
const PACKET: DataSize = DataSize::from_bytes(1_250);

fn pacer(pacing: Pacing) -> (Pacer<u32>, Instant) {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    pacer.set_pacing(pacing);
    (pacer, start)
}

fn picture(first: u32, packets: u32) -> Vec<Queued<u32>> {
    (first..first + packets).map(|n| (n, PACKET)).collect()
}

/// The packets that leave between two times in ms, with the time of each.
fn leave(pacer: &mut Pacer<u32>, start: Instant, from: u64, to: u64) -> Vec<(u64, u32)> {
    let at = |ms| start + Duration::from_millis(ms);
    (from..=to).flat_map(|ms| std::iter::from_fn(|| pacer.pop(at(ms))).map(|n| (ms, n)).collect::<Vec<_>>()).collect()
}

#[test]
fn a_picture_is_spread_and_no_more_than_its_haste() {
    let (mut pacer, start) = pacer(THIN);
    assert_eq!(pacer.enqueue(start, STREAM, false, picture(0, 10)), Dropped::default());
    // 10 000 bits each at 1 Mbit/s: one each 10 ms.
    let left = leave(&mut pacer, start, 0, 200);
    assert_eq!(left.iter().map(|l| l.1).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert!((75..=100).contains(&left[9].0), "{left:?}");
    assert_eq!(pacer.due(), None);
}

#[test]
fn a_path_without_an_end_in_sight_takes_a_picture_at_once() {
    let (mut pacer, start) = pacer(Pacing { unconstrained: true, ..THIN });
    pacer.enqueue(start, STREAM, true, picture(0, 13));
    assert_eq!(leave(&mut pacer, start, 0, 0).len(), 13);
}

#[test]
fn a_key_frame_takes_half_a_second_at_the_most() {
    let (mut pacer, start) = pacer(Pacing { estimate: Bitrate::from_kbps(60), ..THIN });
    pacer.enqueue(start, STREAM, true, picture(0, 50));
    let left = leave(&mut pacer, start, 0, 600);
    assert!(left.len() == 50 && (450..=500).contains(&left[49].0), "{}: {:?}", left.len(), left.last());
}

#[test]
fn what_would_wait_too_long_is_dropped_up_to_the_next_key_frame() {
    let (mut pacer, start) = pacer(THIN);
    assert_eq!(pacer.enqueue(start, STREAM, false, picture(0, 32)).pictures, 0);
    assert_eq!(pacer.enqueue(start, STREAM, false, picture(100, 2)), Dropped { pictures: 1, breaks: true });
    leave(&mut pacer, start, 0, 400);
    let later = start + Duration::from_millis(400);
    assert_eq!(
        pacer.enqueue(later, STREAM, false, picture(200, 2)),
        Dropped { pictures: 1, breaks: false },
        "still broken"
    );
    assert_eq!(pacer.enqueue(later, STREAM, true, picture(300, 2)).pictures, 0);
    assert_eq!(leave(&mut pacer, start, 400, 500).iter().map(|l| l.1).collect::<Vec<_>>(), [300, 301]);
}

#[test]
fn a_key_frame_overtakes_whole_pictures_only() {
    let (mut pacer, start) = pacer(THIN);
    pacer.enqueue(start, STREAM, false, picture(0, 5));
    pacer.enqueue(start, STREAM, false, picture(100, 5));
    assert_eq!(leave(&mut pacer, start, 0, 0).len(), 1);
    assert_eq!(pacer.enqueue(start, STREAM, true, picture(200, 2)), Dropped { pictures: 1, breaks: false });
    let left: Vec<u32> = leave(&mut pacer, start, 1, 200).iter().map(|l| l.1).collect();
    assert_eq!(left, [1, 2, 3, 4, 200, 201]);
}

#[test]
fn an_estimate_that_falls_lets_what_waits_expire() {
    let (mut pacer, start) = pacer(THIN);
    (0..3).for_each(|n| assert_eq!(pacer.enqueue(start, STREAM, false, picture(n * 100, 9)).pictures, 0));
    pacer.set_pacing(Pacing { estimate: Bitrate::from_kbps(60), ..THIN });
    leave(&mut pacer, start, 0, 290);
    assert_eq!(pacer.expire(start + Duration::from_millis(290)), None);
    let dropped = pacer.expire(start + Duration::from_millis(310));
    let expected = Some((STREAM, Dropped { pictures: 2, breaks: true }));
    assert_eq!(dropped, expected, "the one that has begun is finished");
    assert_eq!(pacer.expire(start + Duration::from_millis(310)), None);
}

#[test]
fn what_is_sent_again_goes_first_and_has_a_budget() {
    let (mut pacer, start) = pacer(THIN);
    pacer.enqueue(start, STREAM, false, picture(0, 20));
    let taken = (0..100).filter(|n| pacer.enqueue_retransmission(start, 1000 + n, PACKET)).count();
    assert_eq!(taken, 15, "the first burst");
    let left = leave(&mut pacer, start, 0, 100);
    assert_eq!(left[0].1, 1000);
    // A tenth of 400 kbit/s is a packet of 10 000 bits each 250 ms.
    let later = start + Duration::from_secs(1);
    assert_eq!((0..100).filter(|n| pacer.enqueue_retransmission(later, 2000 + n, PACKET)).count(), 4);
}

#[test]
fn a_probe_leaves_at_once_and_is_paid_for() {
    let (mut pacer, start) = pacer(THIN);
    pacer.enqueue(start, STREAM, false, picture(0, 3));
    (0..6).for_each(|n| pacer.enqueue_probe(start, 500 + n, PACKET));
    let left = leave(&mut pacer, start, 0, 50);
    assert_eq!(left.iter().map(|l| l.1).collect::<Vec<_>>(), [500, 501, 502, 503, 504, 505]);
    assert!(pacer.due().is_some_and(|due| due > start + Duration::from_millis(50)));
}

#[test]
fn a_stream_that_breaks_or_begins_again_disturbs_no_other() {
    const OTHER: u32 = 8;
    let (mut pacer, start) = pacer(THIN);
    pacer.enqueue(start, OTHER, false, picture(0, 2));
    pacer.enqueue(start, STREAM, false, picture(100, 2));
    assert_eq!(pacer.enqueue(start, STREAM, true, picture(200, 1)).pictures, 1);
    assert_eq!(leave(&mut pacer, start, 0, 100).iter().map(|l| l.1).collect::<Vec<_>>(), [0, 1, 200]);
    let now = start + Duration::from_millis(100);
    pacer.enqueue(now, OTHER, false, picture(300, 40));
    assert!(pacer.enqueue(now, STREAM, false, picture(400, 1)).breaks);
    let later = start + Duration::from_millis(600);
    leave(&mut pacer, start, 100, 600);
    assert_eq!(pacer.enqueue(later, STREAM, false, picture(500, 1)).pictures, 1, "it waits for its keyframe");
    assert_eq!(pacer.enqueue(later, OTHER, false, picture(600, 1)).pictures, 0);
}

#[test]
fn frames_of_each_stream_expire() {
    const OTHER: u32 = 8;
    let (mut pacer, start) = pacer(THIN);
    for (n, stream) in [STREAM, OTHER, STREAM].into_iter().enumerate() {
        assert_eq!(pacer.enqueue(start, stream, false, picture(n as u32 * 100, 9)).pictures, 0);
    }
    pacer.set_pacing(Pacing { estimate: Bitrate::from_kbps(60), ..THIN });
    leave(&mut pacer, start, 0, 290);
    let expired: Vec<_> = std::iter::from_fn(|| pacer.expire(start + Duration::from_millis(310))).collect();
    let dropped = Dropped { pictures: 1, breaks: true };
    assert_eq!(expired, [(OTHER, dropped), (STREAM, dropped)], "the one that has begun is finished");
}
