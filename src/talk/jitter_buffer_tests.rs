use super::{
    super::{
        clock_drift::PlaybackRate,
        simulation_tests::{CELT, COPY, DTX, MS, Room, SILK, START, Sent, noise, sent},
    },
    *,
};

/// Plays packets, each given as number, ms of delay and kind, for `steps` of 20 ms.
fn story(packets: &[(u64, u64, u8)], steps: u64) -> Room {
    let mut packets: Vec<Sent> = packets.iter().map(|&(n, late, kind)| sent(n, late, kind)).collect();
    packets.sort_by_key(|packet| packet.at);
    let mut room = Room::new(0.0);
    room.play(&packets, START + steps * 20);
    room
}

#[test]
fn what_is_played_and_what_is_counted() {
    type Packets = &'static [(u64, u64, u8)];
    // What, packets, what is played, and: late, lost, duplicate, reordered, restored, discarded.
    let table: [(&str, Packets, &str, [u64; 6]); 10] = [
        ("in order", &[(0, 0, CELT), (1, 0, CELT), (2, 0, CELT)], "- - 0 1 2 c ", [0; 6]),
        (
            "the first two change places",
            &[(0, 25, CELT), (1, 0, CELT), (2, 0, CELT)],
            "- - - 0 1 2 c ",
            [0, 0, 0, 1, 0, 0],
        ),
        (
            "twice",
            &[(0, 0, CELT), (1, 0, CELT), (1, 1, CELT), (1, 60, CELT), (2, 0, CELT)],
            "- - 0 1 2 c ",
            [0, 0, 2, 0, 0, 0],
        ),
        ("one is lost", &[(0, 0, CELT), (2, 0, CELT), (3, 0, CELT)], "- - 0 c c 2 3 c ", [0, 1, 0, 0, 0, 0]),
        ("one is lost, SILK", &[(0, 0, SILK), (2, 0, SILK), (3, 0, SILK)], "- - 0 c c 2 3 c ", [0, 1, 0, 0, 0, 0]),
        (
            "two are lost, one is restored",
            &[(0, 0, COPY), (3, 0, COPY), (4, 0, COPY)],
            "- - 0 c c +3 3 4 c ",
            [0, 2, 0, 0, 1, 0],
        ),
        ("30 ms late: played all the same", &[(0, 0, CELT), (1, 30, CELT), (2, 10, CELT)], "- - 0 c 1 2 c ", [0; 6]),
        (
            "after its turn",
            &[(0, 0, CELT), (1, 50, CELT), (2, 0, CELT), (3, 0, CELT)],
            "- - 0 c c 2 3 c ",
            [1, 1, 0, 0, 0, 0],
        ),
        (
            "longer than is concealed",
            &[(0, 0, CELT), (1, 190, CELT)],
            "- - 0 c c c c c c c c c c - - - - - - - - 1 ",
            [0; 6],
        ),
        ("nothing more", &[(0, 0, CELT)], "- - 0 c c c c c c c c c c - - - - - ", [0; 6]),
    ];
    for (what, packets, expected, counts) in table {
        let room = story(packets, 14);
        assert!(room.played.starts_with(expected), "{what}: {}", room.played);
        let c = room.buffer.counters();
        let found = [c.late, c.lost, c.duplicate, c.reordered, c.restored, c.discarded];
        assert_eq!((c.received, found), (packets.len() as u64, counts), "{what}: {}", room.played);
    }
}

/// The copy came just too late. It is played all the same, and the next copy is in time.
#[test]
fn the_delay_is_long_enough_for_copies() {
    let room = story(&[(0, 0, COPY), (2, 1, COPY), (3, 0, COPY), (5, 1, COPY)], 8);
    assert!(room.played.starts_with("- - 0 c +2 2 3 +5 5 c "), "{}", room.played);
    assert!(room.buffer.target() > Duration::from_millis(29), "{:?}", room.buffer.target());
    assert_eq!(room.buffer.counters().restored, 2);
}

#[test]
fn a_packet_after_its_turn_raises_the_delay() {
    let room = story(&[(0, 0, CELT), (1, 50, CELT), (2, 0, CELT), (3, 0, CELT)], 4);
    assert!(room.buffer.counters().late == 1 && room.buffer.target() > Duration::from_millis(49));
}

/// Numbers without a gap and times with one: silence, also of a length that no decoder knows.
#[test]
fn a_gap_in_time_alone_is_silence() {
    for (gap, lost, expected) in [
        (960, 0, "- - 0 - - 1 c "),
        (1_001, 0, "- - 0 - - - 1 c "),
        (960, 1, "- - 0 c c 1 c "),
        (1_001, 1, "- - 0 - c c 1 c "),
    ] {
        let mut packets: Vec<Sent> = (0..2).map(|n| sent(n, 0, CELT)).collect();
        packets[1].timestamp = packets[1].timestamp.wrapping_add(gap);
        packets[1].sequence = packets[1].sequence.wrapping_add(lost);
        let mut room = Room::new(0.0);
        room.play(&packets, START + 140);
        assert!(room.played.starts_with(expected), "{gap} {lost}: {}", room.played);
    }
}

/// A sender is silent for `pause` packets, and its numbers go on. Its times go on with the clock, or do not.
#[test]
fn silence_needs_no_packets() {
    for (pause, clock, silent) in [
        (0, true, 0),
        (3, true, 6),
        (20, true, 40),
        (500, true, 1000),
        (3, false, 4),
        (20, false, 38),
        (500, false, 1000),
    ] {
        let mut packets: Vec<Sent> = (0..200).map(|n| sent(n, 0, if n == 99 { DTX } else { CELT })).collect();
        for packet in &mut packets[100..] {
            packet.at = Mono(packet.at.0 + pause * 20 * MS);
            packet.timestamp = packet.timestamp.wrapping_add(if clock { 960 * pause as u32 } else { 0 });
        }
        let mut room = Room::new(0.0);
        room.play(&packets, START + 4_000 + pause * 20);
        let (_, after) = room.played.split_once(" 99 ").unwrap();
        let between = after.split_once("100 ").unwrap().0;
        assert_eq!(between, "- ".repeat(silent), "{pause} {clock}");
        let expected =
            JitterCounters { received: 200, concealed: room.buffer.counters().concealed, ..Default::default() };
        assert_eq!(room.buffer.counters(), expected, "{pause} {clock}");
        assert!(expected.concealed <= 960, "{pause} {clock}: {expected:?}");
    }
}

/// Packets of every length, and of changing length: each is played in its turn, also if 20 % of them are lost.
#[test]
fn packets_of_every_length() {
    let lengths: [&[u8]; 7] = [
        &[16 << 3, 0, 0],
        &[17 << 3, 0, 0],
        &[18 << 3, 0, 0],
        &[2 << 3, 0, 0],
        &[3 << 3, 0, 0],
        &[11, 3, 0],
        &[11, 6, 0],
    ];
    for (which, lost) in (0..=lengths.len()).flat_map(|which| [(which, false), (which, true)]) {
        let (mut packets, mut samples) = (Vec::new(), 0);
        for n in 0..200 {
            let payload = lengths.get(which).unwrap_or(&lengths[usize::from(n) % lengths.len()]).to_vec();
            let length = OpusToc::read(&payload).unwrap().samples;
            let at = Mono(START * MS + samples_to_ns((samples + length).into()).unsigned_abs());
            packets.push(Sent { at, ssrc: 1, sequence: n, timestamp: samples, payload });
            samples += length;
        }
        let (all, end) = (packets.len(), START + u64::from(samples) / 48 + 100);
        if lost {
            packets.retain(|packet| packet.sequence % 5 != 3);
        }
        let mut room = Room::new(0.0);
        room.play(&packets, end);
        let c = room.buffer.counters();
        let missing = (all - packets.len()) as u64;
        assert_eq!(c.lost, missing, "{which}, {lost}: {c:?}");
        assert_eq!((c.late, c.discarded, c.reordered), (0, 0, 0), "{which}, {lost}: {c:?}");
        assert!(lost || c.concealed <= CONCEAL_MAX.unsigned_abs(), "{which}: only the end is concealed: {c:?}");
    }
}

/// A sender that starts again: other numbers, other times, or another SSRC.
#[test]
fn a_new_stream_is_played_from_its_second_packet_on() {
    type Change = fn(&mut Sent);
    let changes: [(&str, Change); 7] = [
        ("SSRC, and a little time", |p| (p.ssrc, p.timestamp) = (2, p.timestamp.wrapping_sub(7_200))),
        ("sequence number", |p| p.sequence = p.sequence.wrapping_add(20_000)),
        ("sequence number, back", |p| p.sequence = p.sequence.wrapping_sub(150)),
        ("time, forward", |p| p.timestamp = p.timestamp.wrapping_add(48_000 * 3600)),
        ("time, back", |p| p.timestamp = p.timestamp.wrapping_sub(48_000 * 3600)),
        ("SSRC", |p| p.ssrc = 2),
        ("all of them", |p| {
            (p.ssrc, p.sequence, p.timestamp) = (2, p.sequence.wrapping_add(9_999), p.timestamp.wrapping_add(1 << 31))
        }),
    ];
    for (what, change) in changes {
        let mut packets: Vec<Sent> = (0..200).map(|n| sent(n, 0, CELT)).collect();
        // The times do not wrap here, so that a new stream may have nearly the same.
        packets.iter_mut().for_each(|packet| packet.timestamp = packet.timestamp.wrapping_add(1 << 31));
        packets.iter_mut().skip(100).for_each(change);
        let mut room = Room::new(0.0);
        // What is known about the path stays, so the delay does, too.
        room.play(&packets, START + 4_000);
        let played = &room.played;
        assert!(played.contains(" 98 ") && played.contains(" 101 102 103 "), "{what}: {played}");
        let c = room.buffer.counters();
        assert!(c.discarded <= 3 && c.concealed <= 3 * 960 && c.lost == 0, "{what}: {c:?} {played}");
        assert_eq!(room.buffer.target(), Duration::from_millis(20), "{what}");
        // One packet that lies changes nothing but itself.
        let mut packets: Vec<Sent> = (0..200).map(|n| sent(n, 0, CELT)).collect();
        packets.iter_mut().skip(100).step_by(10).for_each(change);
        let mut room = Room::new(0.0);
        room.play(&packets, START + 4_000);
        let c = room.buffer.counters();
        assert_eq!((c.discarded, c.lost), (10, 10), "{what}: {c:?}");
    }
}

/// Each row: what, delay (ms) of packet n, how much may be concealed after the first ten seconds (percent), and the
/// target after a minute (ms). The delay to the loudspeaker must follow the target.
#[test]
fn the_delay_follows_the_jitter() {
    type Delay = fn(u64) -> u64;
    let table: [(&str, Delay, f64, u64); 5] = [
        ("no jitter", |_| 0, 0.0, 20),
        ("15 ms", |n| noise(n, 15), 0.0, 20),
        ("80 ms", |n| noise(n, 80), 3.0, 80),
        ("180 ms", |n| noise(n, 180), 3.0, 180),
        (
            "an outage of 2 s after 20 s",
            |n| if (1000..1100).contains(&n) { 2_000 - (n - 1000) * 20 } else { 0 },
            0.6,
            20,
        ),
    ];
    for (what, delay, allowed, target) in table {
        let mut packets: Vec<Sent> = (0..3_000).map(|n| sent(n, delay(n), CELT)).collect();
        packets.sort_by_key(|packet| packet.at);
        let mut room = Room::new(0.0);
        room.rate = Some(PlaybackRate::new(Duration::from_millis(10)));
        room.play(&packets, START + 10_000);
        let before = room.buffer.counters();
        room.play(&packets, START + 60_000);
        let c = room.buffer.counters();
        let concealed = (c.concealed - before.concealed) as f64 / 480.0 / 50.0;
        assert!(concealed <= allowed, "{what}: {concealed} % {c:?}");
        let (found, heard) = (room.buffer.target().as_millis() as u64, room.rates.last().unwrap().1);
        assert!(found.abs_diff(target) <= 10, "{what}: target {found} ms");
        assert!((heard - found as f64 - 10.0).abs() <= 10.0, "{what}: heard after {heard} ms, target {found} ms");
    }
}

#[test]
fn five_percent_are_lost_and_the_copies_are_played() {
    let packets: Vec<Sent> = (0..3_000).filter(|n| noise(*n, 100) >= 5).map(|n| sent(n, noise(n, 10), COPY)).collect();
    let mut room = Room::new(0.0);
    room.rate = Some(PlaybackRate::new(Duration::from_millis(10)));
    room.play(&packets, START + 60_000);
    let c = room.buffer.counters();
    assert!(c.lost > 100 && c.late == 0 && c.discarded == 0, "{c:?}");
    assert!(c.restored as f64 >= 0.9 * c.lost as f64, "{c:?}");
    assert!(room.buffer.target() <= Duration::from_millis(30), "{:?}", room.buffer.target());
}

/// Senders that lie in each way at once, for a minute of 1 MB/s or of tiny packets.
#[test]
fn no_lie_breaks_a_bound() {
    for (what, each_us, size) in
        [("1 MB/s", 1_500, 1_500), ("tiny", 100, 1), ("too large", 1_500, 1_501), ("slow", 9_000, 60)]
    {
        let (mut buffer, mut popped, mut steps) = (JitterBuffer::default(), 0, 0);
        for n in 0..60_000_000 / each_us {
            let now = Mono(n * each_us * 1_000);
            // Mostly in order, with numbers, times, SSRC and TOC that jump now and then.
            let jump = |salt: u64, odds: u64| noise(n * 31 + salt, odds) == 0;
            let noise = |salt: u64| noise(n * 17 + salt, 1 << 24) as u32;
            let sequence = if jump(1, 20) { noise(2) as u16 } else { n as u16 };
            let timestamp = if jump(3, 20) { noise(4) << 8 } else { (n * each_us * 48 / 1_000) as u32 };
            let mut payload = vec![noise(5) as u8; size];
            payload[0] = if jump(6, 2) { noise(7) as u8 } else { 16 << 3 };
            buffer.push(IncomingOpus { ssrc: u32::from(jump(8, 9)), sequence, timestamp, payload: &payload }, now);
            let bytes: usize = buffer.queue.iter().map(|waiting| waiting.payload.capacity()).sum();
            assert!(buffer.queue.len() <= MAX_PACKETS && bytes <= MAX_PACKETS * MAX_PAYLOAD, "{what}");
            let span = buffer.queue.back().map_or(0, Waiting::end) - buffer.queue.front().map_or(0, |first| first.at);
            assert!(span <= MAX_SPAN && buffer.queue.iter().is_sorted_by(|a, b| a.end() <= b.at), "{what}: {span}");
            assert!(buffer.target() <= Duration::from_millis(200));
            while popped * 1_000 < now.0 * 48 / 1_000 {
                let out = buffer.pop(now, Duration::from_secs(noise(9).into()));
                assert!((1..=5_760).contains(&out.samples()), "{what}: {out:?}");
                assert!(!matches!(out, Playout::Conceal { samples } if samples % 120 != 0), "{what}: {out:?}");
                (popped, steps) = (popped + u64::from(out.samples()), steps + 1);
            }
        }
        let c = buffer.counters();
        assert!(c.discarded > 0 && c.received == 60_000_000 / each_us, "{what}: {c:?}");
        assert!(steps < 60_000_000 / 2_500 + 6_000, "{what}: {steps} steps in a minute");
    }
}

#[test]
fn two_streams_at_once_are_one() {
    let packets: Vec<Sent> = (0..200).flat_map(|n| [sent(n, 0, CELT), Sent { ssrc: 2, ..sent(n, 0, CELT) }]).collect();
    let mut room = Room::new(0.0);
    room.play(&packets, START + 4_000);
    let c = room.buffer.counters();
    assert_eq!((c.discarded, c.lost, c.concealed), (200, 0, 0), "{c:?}");
}

#[test]
fn what_does_not_fit_is_discarded() {
    use Pushed::{Discarded, Queued};
    // In order: number, time in samples, bytes of 2.5 ms of CELT, what becomes of it, and how often.
    let mut buffer = JitterBuffer::default();
    let table = [
        (1_000, 100_000, 1_500, Queued, 1),
        (1_001, 100_120, 1_501, Discarded, 1),
        (1_001, 100_120, 0, Discarded, 1),
        (1_001, 100_119, 3, Discarded, 1),
        (999, 100_000 - 23_040, 3, Discarded, 1),
        (1_002, 100_240, 3, Queued, 127),
        (1_129, 115_480, 3, Discarded, 20),
    ];
    for (number, time, bytes, expected, times) in table {
        for n in 0..times {
            let mut payload = vec![0; bytes];
            payload.iter_mut().take(1).for_each(|toc| *toc = 16 << 3);
            let (sequence, timestamp) = (number + n, time + 120 * u32::from(n));
            let pushed = buffer.push(IncomingOpus { ssrc: 1, sequence, timestamp, payload: &payload }, Mono(0));
            assert_eq!(pushed, expected, "{number} + {n}");
        }
    }
    assert_eq!(buffer.queue.len(), MAX_PACKETS);
}

#[test]
fn what_waits_for_too_long_is_discarded() {
    // A device that stands still for 300 ms, while packets come.
    let mut buffer = JitterBuffer::default();
    for n in 0..20 {
        let Sent { at, ssrc, sequence, timestamp, payload } = sent(n, 0, CELT);
        assert_eq!(buffer.push(IncomingOpus { ssrc, sequence, timestamp, payload: &payload }, at), Pushed::Queued);
    }
    let now = Mono((START + 400) * MS);
    let Playout::Decode { payload, .. } = buffer.pop(now, Duration::ZERO) else { panic!() };
    assert_eq!((payload.last(), buffer.counters().discarded), (Some(&19), 19), "the newest 20 ms stay");
    assert_eq!(buffer.counters().lost, 0);
}
