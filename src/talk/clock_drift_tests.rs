use super::{
    super::simulation_tests::{CELT, Room, START, Sent, noise, sent},
    *,
};

const DEVICE: Duration = Duration::from_millis(10);

fn fill(delay_ms: f64) -> DelayFill {
    DelayFill { delay: Duration::from_secs_f64(delay_ms / 1e3), target: Duration::from_millis(20) }
}

/// Five minutes with a jitter buffer, a path and a device of another clock.
#[test]
fn the_drift_is_found_and_the_delay_stays() {
    // Drift of the device, jitter (ms), and how far rate (ppm) and delay (ms) may be off in the last three minutes.
    let table = [
        (0.0, 0, 5.0, 0.1),
        (200.0, 0, 5.0, 0.1),
        (-200.0, 0, 5.0, 0.1),
        (200.0, 15, 5.0, 0.1),
        (-200.0, 15, 5.0, 0.1),
        // The fastest packets of 5 s are not equally fast here, so the delay is not known better.
        (200.0, 60, 400.0, 2.5),
        (-200.0, 60, 400.0, 2.5),
        (900.0, 0, 5.0, 0.1),
        (-900.0, 0, 5.0, 0.1),
    ];
    for (drift, jitter, ppm, ms) in table {
        let late = |n| if jitter > 0 { noise(n, jitter) } else { 0 };
        let mut packets: Vec<Sent> = (0..15_000).map(|n| sent(n, late(n), CELT)).collect();
        packets.sort_by_key(|packet| packet.at);
        let mut room = Room::new(drift);
        room.rate = Some(PlaybackRate::new(DEVICE));
        room.play(&packets, START + 300_000);
        let rates = &room.rates;
        assert!(rates.len() > 500, "{}", rates.len());
        let last = &rates[rates.len() - 360..];
        let delay = jitter.max(20) as f64 + 10.0;
        let what = format!("{drift} ppm, {jitter} ms of jitter");
        for (rate, heard) in last {
            // A device that is too fast needs its sound stretched.
            assert!((rate + drift).abs() <= ppm, "{what}: {rate} ppm");
            assert!((heard - delay).abs() <= ms, "{what}: heard after {heard} ms");
        }
        let mean = last.iter().map(|(rate, _)| rate).sum::<f64>() / last.len() as f64;
        assert!((mean + drift).abs() <= 2.0, "{what}: {mean} ppm");
        let c = room.buffer.counters();
        assert!(c.concealed < 48_000 / 5 && c.discarded == 0, "{what}: {c:?}");
    }
}

#[test]
fn what_a_delay_does() {
    // Delays in a row, of which 30 ms is right; the rate after them.
    let table: [(&str, &[f64], std::ops::RangeInclusive<f64>); 8] = [
        ("right", &[30.0; 100], 0.0..=0.0),
        ("a little too long", &[31.0], 140.0..=150.0),
        ("a little too short", &[29.0], -150.0..=-140.0),
        ("too long: by steps of 500 ppm", &[60.0; 3], 1_500.0..=1_500.0),
        ("too long for a long time", &[300.0; 1000], 5_000.0..=5_000.0),
        ("too short for a long time", &[0.0; 1000], -4_400.0..=-4_100.0),
        ("far too long, then right: nothing is learned", &[&[300.0; 50][..], &[30.0; 11]].concat(), 0.0..=0.0),
        ("the clocks differ by more than they can", &[39.0; 10_000], 1_500.0..=1_500.0),
    ];
    for (what, delays, expected) in table {
        let mut rate = PlaybackRate::new(DEVICE);
        let mut before = 0.0;
        for delay in delays {
            let now = rate.steer(fill(*delay));
            assert!((now - before).abs() <= 500.0, "{what}: a step of {} ppm", now - before);
            before = now;
        }
        assert!(expected.contains(&rate.ppm()), "{what}: {} ppm", rate.ppm());
    }
}

#[test]
fn no_measurement_breaks_it() {
    let mut rate = PlaybackRate::new(DEVICE);
    for (delay, target) in
        [(Duration::MAX, Duration::ZERO), (Duration::ZERO, Duration::MAX / 2), (Duration::MAX, Duration::MAX / 8)]
    {
        for _ in 0..100 {
            let ppm = rate.steer(DelayFill { delay, target });
            assert!(ppm.abs() <= 6_000.0, "{delay:?} {target:?}: {ppm}");
        }
    }
    rate.reset(DEVICE);
    assert!(rate.ppm() == 0.0);
}
