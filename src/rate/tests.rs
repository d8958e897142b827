use super::*;

const FULL: Full = Full { size: (1280, 720), fps: 30.0 };
const CEILING: Bitrate = Bitrate::from_kbps(2_000);
const WANTED: RateLimits = RateLimits { ceiling: CEILING, floor: 0.33 };
/// As it is without a floor.
const NO_FLOOR: RateLimits = RateLimits { floor: 0.0, ..WANTED };

const fn bps(bits: u32) -> Bitrate {
    Bitrate::from_bps(bits as u64)
}

fn network(id: u64, bits: u32) -> Estimate {
    Estimate { id, login: id, bitrate: bps(bits), loss: 0.0, evidence: Evidence::Measured }
}

fn silent(id: u64, bits: u32) -> Estimate {
    Estimate { evidence: Evidence::Silent, ..network(id, bits) }
}

fn guess(id: u64, bits: u32) -> Estimate {
    Estimate { evidence: Evidence::Guessed, ..network(id, bits) }
}

fn seconds(n: f64) -> Mono {
    Mono((n * 1e9) as u64)
}

/// Plans each tenth of a second from `from` to `to`, without a floor; the last one.
fn play(rate: &mut RatePlanner, bits: &[u32], from: f64, to: f64) -> (EncoderPlan, Vec<bool>) {
    let networks: Vec<_> = bits.iter().zip(1..).map(|(bits, id)| network(id, *bits)).collect();
    run(rate, &networks, NO_FLOOR, from, to)
}

fn run(
    rate: &mut RatePlanner,
    networks: &[Estimate],
    wanted: RateLimits,
    from: f64,
    to: f64,
) -> (EncoderPlan, Vec<bool>) {
    let times = (from * 10.0) as u32..=(to * 10.0) as u32;
    times.map(|n| rate.plan(networks, FULL, wanted, seconds(f64::from(n) / 10.0))).last().unwrap()
}

#[test]
fn the_picture_is_made_for_the_weakest_network() {
    for (bits, bitrate, every, shrink) in [
        (&[3_000_000][..], 2_000_000, 1, 1),
        (&[3_000_000, 1_000_000], 860_250, 1, 1),
        (&[3_000_000, 600_000], 488_250, 2, 1),
        (&[500_000], 395_250, 1, 2),
        (&[300_000], 209_250, 1, 2),
        (&[200_000], 138_570, 2, 2),
        (&[150_000], 92_070, 3, 2),
        (&[60_000], 40_000, 4, 4),
        (&[], 2_000_000, 1, 1),
    ] {
        let (plan, keyframe_only) = play(&mut RatePlanner::default(), bits, 0.0, 10.0);
        assert_eq!(plan, EncoderPlan { bitrate: bps(bitrate), every, shrink }, "{bits:?}");
        assert!(keyframe_only.iter().all(|only| !only), "{bits:?}");
    }
}

#[test]
fn a_minority_that_would_take_more_than_half_is_keyframe_only() {
    let mut rate = RatePlanner::default();
    let (plan, keyframe_only) = play(&mut rate, &[3_000_000, 300_000, 3_000_000, 3_000_000], 0.0, 1.0);
    assert_eq!((plan.bitrate, keyframe_only), (CEILING, vec![false; 4]), "not at once, and the others keep their rate");
    let (plan, keyframe_only) = play(&mut rate, &[3_000_000, 300_000, 3_000_000, 3_000_000], 1.1, 5.0);
    assert_eq!((plan.bitrate, keyframe_only), (CEILING, vec![false, true, false, false]));
    let (_, keyframe_only) = play(&mut rate, &[3_000_000, 1_200_000, 3_000_000, 3_000_000], 5.1, 9.0);
    assert!(keyframe_only[1], "a viewer must reach three quarters to count again");
    let (_, keyframe_only) = play(&mut rate, &[3_000_000, 1_900_000, 3_000_000, 3_000_000], 9.1, 13.0);
    assert!(!keyframe_only[1]);
    let mut rate = RatePlanner::default();
    play(&mut rate, &[3_000_000, 300_000, 3_000_000], 0.0, 1.0);
    let (plan, keyframe_only) = play(&mut rate, &[3_000_000, 1_500_000, 3_000_000], 1.1, 9.0);
    assert_eq!((plan.bitrate, keyframe_only), (bps(1_325_250), vec![false; 3]), "a moment's weakness");
    let (plan, keyframe_only) = play(&mut RatePlanner::default(), &[3_000_000, 300_000], 0.0, 9.0);
    assert_eq!((plan.bitrate, keyframe_only), (bps(209_250), vec![false; 2]), "one of two is no minority");
    let (_, keyframe_only) = play(&mut RatePlanner::default(), &[3_000_000, 300_000, 300_000], 0.0, 9.0);
    assert_eq!(keyframe_only, [false; 3], "nor are two of three");
}

#[test]
fn steps_are_climbed_one_by_one_and_fallen_at_once() {
    let mut rate = RatePlanner::default();
    play(&mut rate, &[3_000_000], 0.0, 1.0);
    let (plan, _) = play(&mut rate, &[300_000], 1.1, 1.1);
    assert_eq!((plan.every, plan.shrink), (1, 2), "at once");
    let (plan, _) = play(&mut rate, &[3_000_000], 1.2, 5.0);
    assert_eq!((plan.every, plan.shrink), (1, 2), "not yet");
    let (plan, _) = play(&mut rate, &[3_000_000], 5.1, 9.1);
    assert_eq!((plan.every, plan.shrink), (2, 1));
    let (plan, _) = play(&mut rate, &[3_000_000], 9.2, 13.2);
    assert_eq!((plan.every, plan.shrink), (1, 1));
    // Just enough for a better step is not enough room.
    play(&mut rate, &[600_000], 13.3, 13.4);
    let (plan, _) = play(&mut rate, &[780_000], 13.5, 30.0);
    assert_eq!(plan.every, 2);
}

#[test]
fn a_large_picture_of_few_bits_is_somebodys_wish() {
    let mut rate = RatePlanner::default();
    let wanted = RateLimits { ceiling: bps(100_000), floor: 0.33 };
    let plan = |rate: &mut RatePlanner, bits, at| rate.plan(&[network(1, bits)], FULL, wanted, seconds(at)).0;
    assert_eq!(plan(&mut rate, 500_000, 0.0), EncoderPlan { bitrate: bps(100_000), every: 1, shrink: 1 });
    assert_eq!(plan(&mut rate, 90_000, 1.0), EncoderPlan { bitrate: bps(40_000), every: 1, shrink: 2 });
    plan(&mut rate, 500_000, 2.0);
    plan(&mut rate, 500_000, 6.1);
    assert_eq!(plan(&mut rate, 500_000, 10.2), EncoderPlan { bitrate: bps(100_000), every: 1, shrink: 1 });
}

#[test]
fn only_who_is_measured_counts_beside_others() {
    let plan = |networks: &[Estimate]| RatePlanner::default().plan(networks, FULL, WANTED, seconds(0.0)).0.bitrate;
    assert_eq!(plan(&[guess(9, 1_000_000)]), bps(860_250));
    assert_eq!(plan(&[guess(9, 1_000_000), network(1, 3_000_000)]), CEILING);
    assert_eq!(plan(&[silent(9, 60_000), network(1, 3_000_000)]), CEILING);
    assert_eq!(plan(&[silent(9, 60_000), guess(1, 1_000_000)]), bps(860_250), "not beside a guess either");
}

#[test]
fn a_dead_viewer_lowers_nothing_however_few_the_others_are() {
    for others in 1..4 {
        let mut rate = RatePlanner::default();
        let mut networks: Vec<_> = (0..=others).map(|id| network(id, 3_000_000)).collect();
        assert_eq!(run(&mut rate, &networks, WANTED, 0.0, 1.0).0.bitrate, CEILING);
        // Its estimate falls because nothing is heard of it.
        for (n, bits) in [2_000_000, 500_000, 60_000].into_iter().enumerate() {
            networks[0] = silent(0, bits);
            let (plan, keyframe_only) = run(&mut rate, &networks, WANTED, 2.0 + n as f64, 2.9 + n as f64);
            assert_eq!(plan, EncoderPlan { bitrate: CEILING, every: 1, shrink: 1 }, "{others} others, {bits}");
            assert!(keyframe_only.iter().all(|only| !only));
        }
    }
}

#[test]
fn where_all_are_silent_the_plan_stays() {
    let mut rate = RatePlanner::default();
    let before = run(&mut rate, &[network(1, 1_000_000)], WANTED, 0.0, 1.0).0;
    assert_eq!(before.bitrate, bps(860_250));
    assert_eq!(run(&mut rate, &[silent(1, 60_000)], WANTED, 1.1, 9.0).0, before);
    assert_eq!(run(&mut rate, &[network(1, 1_000_000)], WANTED, 9.1, 9.1).0, before, "at once as it was");
    let lower = RateLimits { ceiling: bps(500_000), ..WANTED };
    assert_eq!(
        run(&mut rate, &[silent(1, 60_000)], lower, 9.2, 9.3).0.bitrate,
        bps(500_000),
        "never above the ceiling"
    );
    assert_eq!(rate.plan(&[], FULL, WANTED, seconds(9.4)).0.bitrate, CEILING, "nobody watches");
}

#[test]
fn nobody_is_pulled_below_the_floor_by_one_other_login() {
    let floor = CEILING * 0.33;
    let false_report = |id, login| Estimate { login, loss: 0.5, ..network(id, 60_000) };
    for (name, networks, protected) in [
        ("one of two", vec![network(1, 3_000_000), false_report(2, 2)], true),
        (
            "two of four",
            vec![network(1, 3_000_000), network(2, 3_000_000), false_report(3, 3), false_report(4, 4)],
            true,
        ),
        ("one of three", vec![network(1, 3_000_000), network(2, 3_000_000), false_report(3, 3)], true),
        (
            "two sessions of one login, of three",
            vec![network(1, 3_000_000), false_report(2, 2), false_report(3, 2)],
            true,
        ),
        (
            "three sessions of unknown logins",
            vec![network(1, 3_000_000), false_report(2, 0), false_report(3, 0)],
            false,
        ),
        ("two logins of three", vec![network(1, 3_000_000), false_report(2, 2), false_report(3, 3)], false),
    ] {
        let mut rate = RatePlanner::default();
        for step in 0..80 {
            let (plan, keyframe_only) = rate.plan(&networks, FULL, WANTED, seconds(f64::from(step) / 10.0));
            assert_eq!(plan.bitrate >= floor, protected, "{name}, {step}");
            if protected {
                assert_eq!((plan.every, plan.shrink), (1, 1), "{name}, {step}");
            }
            assert!(!keyframe_only[0], "{name}, {step}");
        }
    }
}

#[test]
fn a_network_above_the_floor_is_served_and_one_below_it_has_key_frames() {
    let pair = |bits| [network(1, 3_000_000), network(2, bits)];
    let mut rate = RatePlanner::default();
    let (plan, keyframe_only) = run(&mut rate, &pair(800_000), WANTED, 0.0, 9.0);
    assert_eq!((plan.bitrate, keyframe_only), (bps(674_250), vec![false; 2]), "just above");
    let (plan, keyframe_only) = run(&mut rate, &pair(700_000), WANTED, 9.1, 10.0);
    assert_eq!((plan.bitrate, keyframe_only), (CEILING, vec![false; 2]), "below it, and not keyframe-only yet");
    let (plan, keyframe_only) = run(&mut rate, &pair(700_000), WANTED, 10.1, 13.0);
    assert_eq!((plan.bitrate, keyframe_only), (CEILING, vec![false, true]));
    let (_, keyframe_only) = run(&mut rate, &pair(830_000), WANTED, 13.1, 18.0);
    assert!(keyframe_only[1], "a viewer must be a tenth above the floor to count again");
    let (plan, keyframe_only) = run(&mut rate, &pair(900_000), WANTED, 18.1, 21.0);
    assert_eq!((plan.bitrate, keyframe_only), (bps(767_250), vec![false; 2]));
    let (plan, keyframe_only) =
        run(&mut RatePlanner::default(), &[network(1, 600_000), network(2, 500_000)], WANTED, 0.0, 9.0);
    assert_eq!((plan.bitrate, keyframe_only), (bps(395_250), vec![false; 2]), "two that are nearly alike share");
    let (plan, _) = run(&mut RatePlanner::default(), &[network(1, 300_000)], WANTED, 0.0, 9.0);
    assert_eq!(plan.bitrate, bps(209_250), "a viewer that is alone has what it can carry");
    let all = RateLimits { floor: 1.0, ..WANTED };
    let (plan, keyframe_only) = run(&mut RatePlanner::default(), &pair(900_000), all, 0.0, 9.0);
    assert_eq!(
        (plan.bitrate, keyframe_only),
        (CEILING, vec![false, true]),
        "with a floor of 100 % no viewer lowers the rate of others"
    );
}

#[test]
fn what_one_network_held_down_is_up_at_once_when_it_is_gone() {
    let down = EncoderPlan { bitrate: bps(138_570), every: 2, shrink: 2 };
    let up = EncoderPlan { bitrate: CEILING, every: 1, shrink: 1 };
    let weak = [network(1, 3_000_000), network(2, 200_000)];
    for (name, then, expected) in [
        ("it left", &[network(1, 3_000_000)][..], up),
        ("it fell silent", &[network(1, 3_000_000), silent(2, 60_000)], up),
        ("another one came for it", &[network(3, 3_000_000)], up),
        ("nobody is left", &[], up),
        (
            "it became better itself",
            &[network(1, 3_000_000), network(2, 3_000_000)],
            EncoderPlan { bitrate: CEILING, ..down },
        ),
    ] {
        let mut rate = RatePlanner::default();
        assert_eq!(run(&mut rate, &weak, NO_FLOOR, 0.0, 1.0).0, down);
        assert_eq!(run(&mut rate, then, NO_FLOOR, 1.1, 1.1).0, expected, "{name}");
    }
}

#[test]
fn a_bitrate_that_is_raised_is_there_at_once() {
    let mut rate = RatePlanner::default();
    let wanted = |ceiling| RateLimits { ceiling: bps(ceiling), floor: 0.33 };
    assert_eq!(run(&mut rate, &[network(1, 9_000_000)], wanted(1_000_000), 0.0, 1.0).0.bitrate, bps(1_000_000));
    assert_eq!(run(&mut rate, &[network(1, 9_000_000)], wanted(6_000_000), 1.1, 1.1).0.bitrate, bps(6_000_000));
    assert_eq!(run(&mut rate, &[network(1, 9_000_000)], wanted(300_000), 1.2, 1.2).0.bitrate, bps(300_000));
}

#[test]
fn sound_is_made_for_the_weakest_and_prepared_for_what_gets_lost() {
    let lossy = Estimate { loss: 0.123, ..network(2, 1_000_000) };
    for (networks, expected) in [
        (&[][..], (48_000, 5)),
        (&[network(1, 3_000_000), lossy], (48_000, 13)),
        (&[network(1, 3_000_000), network(2, 200_000)], (24_000, 5)),
        (&[network(1, 100_000)], (16_000, 5)),
        (&[network(1, 100_000), network(2, 200_000)], (16_000, 5)),
        (&[network(1, 3_000_000), network(2, 60_000)], (24_000, 5)),
        (&[network(1, 3_000_000), guess(3, 60_000)], (48_000, 5)),
        (&[network(1, 3_000_000), Estimate { loss: 0.9, ..silent(3, 60_000) }], (48_000, 5)),
        (&[Estimate { loss: 0.9, ..network(1, 3_000_000) }], (48_000, 30)),
    ] {
        let (bitrate, loss) = sound(networks, bps(48_000));
        assert_eq!((bitrate.as_bps(), loss), expected, "{networks:?}");
    }
    assert_eq!(sound(&[network(1, 200_000)], bps(12_000)).0, bps(12_000), "never more than is wished");
}

#[test]
fn small_pictures_and_slow_sources_are_left_as_they_are() {
    assert_eq!((fit_rate(6, 30.0), fit_rate(6, 15.0), fit_rate(2, 8.0)), (6, 3, 1));
    assert_eq!((fit_size(4, (1280, 720)), fit_size(4, (640, 360)), fit_size(2, (322, 242))), (4, 4, 1));
}
