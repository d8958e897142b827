use super::*;
use Action::{Start, Stop};
use DemandEvent::{Ended, FirstFrame, Freed, Stalled, Stopped, Tick, Wanted};

/// Plays steps of (seconds, event, expected action) and a last expected state.
fn play(steps: &[(u64, DemandEvent, Option<Action>)], last: DeviceState) {
    let mut demand = Demand::new(Duration::from_secs(10));
    for (i, &(at, event, expected)) in steps.iter().enumerate() {
        assert_eq!(demand.on(event, seconds(at)), expected, "step {i}: {event:?} at {at} s");
    }
    assert_eq!(demand.state(), last);
}

fn seconds(n: u64) -> Mono {
    Mono(n * 1_000_000_000)
}

const GONE: DemandEvent = Ended { absent: true };
const BROKEN: DemandEvent = Ended { absent: false };

#[test]
fn on_while_watched_and_a_little_longer() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (1, FirstFrame, None),
            (5, Wanted(2), None),
            (6, Wanted(0), None),
            (15, Tick, None),
            (16, Tick, Some(Stop)),
            (17, BROKEN, None),
        ],
        DeviceState::Off,
    );
}

#[test]
fn a_returning_viewer_cancels_the_closing() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (1, FirstFrame, None),
            (2, Wanted(0), None),
            (9, Wanted(1), None),
            (20, Tick, None),
        ],
        DeviceState::On,
    );
}

#[test]
fn a_viewer_who_comes_while_stopping_gets_a_fresh_start_after_the_end() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (1, Wanted(0), None),
            (11, Tick, Some(Stop)),
            (11, Wanted(1), None),
            (12, BROKEN, Some(Start)),
        ],
        DeviceState::Starting,
    );
}

#[test]
fn a_missing_device_is_looked_for_each_second() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (0, GONE, None),
            (1, Tick, Some(Start)),
            (1, GONE, None),
            (2, Tick, Some(Start)),
        ],
        DeviceState::Starting,
    );
}

#[test]
fn a_broken_device_is_tried_more_and_more_seldom_until_it_has_worked() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (0, BROKEN, None),
            (1, Tick, Some(Start)),
            (1, BROKEN, None),
            (2, Tick, None),
            (3, Tick, Some(Start)),
            (3, BROKEN, None),
            (7, Tick, Some(Start)),
            (7, FirstFrame, None),
            (17, BROKEN, None),
            (18, Tick, Some(Start)),
        ],
        DeviceState::Starting,
    );
}

/// The times in five minutes at which a device that always fails is tried. Each try is a list of events with their
/// times.
fn tries(each: &[(u64, DemandEvent)]) -> Vec<u64> {
    let mut demand = Demand::new(Duration::ZERO);
    let (mut now, mut tries) = (0, Vec::new());
    let mut action = demand.on(Wanted(1), seconds(now));
    while now < 300 {
        assert_eq!(action, Some(Start));
        tries.push(now);
        for &(takes, event) in each {
            now += takes;
            assert_eq!(demand.on(event, seconds(now)), None, "{event:?} at {now} s");
        }
        let DeviceState::Waiting(until) = demand.state() else { panic!("{demand:?}") };
        now = until.0 / 1_000_000_000;
        action = demand.on(Tick, seconds(now));
    }
    tries
}

#[test]
fn one_frame_is_no_success() {
    let fails = tries(&[(0, BROKEN)]);
    assert_eq!(fails[..8], [0, 1, 3, 7, 15, 31, 61, 91]);
    assert_eq!(tries(&[(0, FirstFrame), (0, BROKEN)]), fails, "one frame each time");
    // Ten seconds without a frame end the try, and do not count as work.
    let stalls = tries(&[(0, FirstFrame), (2, Stalled), (8, BROKEN)]);
    assert_eq!(stalls[..7], [0, 11, 23, 37, 55, 81, 121]);
    assert_eq!(tries(&[(0, FirstFrame), (10, BROKEN)])[..4], [0, 11, 22, 33], "this one works each time");
    assert_eq!(tries(&[(0, FirstFrame), (0, GONE)]), fails, "one that vanishes as soon as it sends");
    assert_eq!(tries(&[(0, FirstFrame), (10, GONE)])[..4], [0, 11, 22, 33], "and one that worked before that");
    let crashes = tries(&[(0, BROKEN)]).len();
    assert!(crashes < 16, "{crashes} tries in five minutes");
}

#[test]
fn one_that_crashes_and_comes_back_by_itself_is_not_taken_for_one_that_was_plugged_in_anew() {
    let mut demand = Demand::new(Duration::ZERO);
    demand.on(Wanted(1), seconds(0));
    for (at, pause) in [(0, 1), (10, 2), (20, 4), (30, 8), (40, 16), (60, 30)] {
        demand.on(GONE, seconds(at));
        demand.on(Tick, seconds(at + 1));
        demand.on(BROKEN, seconds(at + 1));
        assert_eq!(demand.state(), DeviceState::Waiting(seconds(at + 1 + pause)));
        demand.on(Tick, seconds(at + 1 + pause));
    }
}

#[test]
fn being_away_is_no_failure() {
    let mut demand = Demand::new(Duration::ZERO);
    demand.on(Wanted(1), seconds(0));
    for at in 0..60 {
        demand.on(GONE, seconds(at));
        assert_eq!(demand.on(Tick, seconds(at + 1)), Some(Start), "looked for at {at} s");
    }
    // The device is plugged in, and for a moment only root may open it.
    demand.on(BROKEN, seconds(60));
    assert_eq!(demand.on(Tick, seconds(61)), Some(Start));
}

#[test]
fn one_that_is_unplugged_is_begun_with_anew() {
    let mut demand = Demand::new(Duration::ZERO);
    demand.on(Wanted(1), seconds(0));
    for at in [0, 100, 200, 300, 400, 500] {
        demand.on(BROKEN, seconds(at));
        demand.on(Tick, seconds(at + 99));
    }
    for at in 600..605 {
        demand.on(GONE, seconds(at));
        demand.on(Tick, seconds(at + 1));
    }
    demand.on(BROKEN, seconds(605));
    assert_eq!(demand.state(), DeviceState::Waiting(seconds(606)));
}

#[test]
fn one_that_hung_is_started_as_soon_as_it_is_free() {
    play(
        &[
            (0, Wanted(1), Some(Start)),
            (0, FirstFrame, None),
            (1, Freed, None),
            (20, BROKEN, None),
            (20, Freed, Some(Start)),
            (20, Wanted(0), None),
            (30, Tick, Some(Stop)),
            (40, BROKEN, None),
            (41, Freed, None),
        ],
        DeviceState::Off,
    );
}

#[test]
fn the_privacy_switch_closes_a_device_in_every_state_and_keeps_it_closed() {
    let (on, off) = (Stopped(true), Stopped(false));
    type Step = (u64, DemandEvent, Option<Action>);
    let rows: [(&str, &[Step], DeviceState); 7] = [
        ("nobody watches", &[(0, on, None), (1, off, None)], DeviceState::Off),
        ("a viewer comes", &[(0, on, None), (1, Wanted(1), None), (2, off, Some(Start))], DeviceState::Starting),
        (
            "while it starts",
            &[(0, Wanted(1), Some(Start)), (1, on, Some(Stop)), (1, FirstFrame, None), (2, BROKEN, None)],
            DeviceState::Off,
        ),
        (
            "while frames come, and it is lifted",
            &[
                (0, Wanted(1), Some(Start)),
                (1, FirstFrame, None),
                (2, on, Some(Stop)),
                (2, on, None),
                (3, BROKEN, None),
                (9, off, Some(Start)),
            ],
            DeviceState::Starting,
        ),
        (
            "it is lifted while the device still closes",
            &[(0, Wanted(1), Some(Start)), (1, on, Some(Stop)), (2, off, None), (3, BROKEN, Some(Start))],
            DeviceState::Starting,
        ),
        (
            "while it lingers",
            &[(0, Wanted(1), Some(Start)), (1, FirstFrame, None), (2, Wanted(0), None), (3, on, Some(Stop))],
            DeviceState::Stopping,
        ),
        (
            "while it waits for the next try",
            &[(0, Wanted(1), Some(Start)), (0, BROKEN, None), (0, on, None), (5, Tick, None), (6, Freed, None)],
            DeviceState::Off,
        ),
    ];
    for (_name, steps, last) in rows {
        play(steps, last);
    }
}

#[test]
fn nobody_waits_for_a_missing_device_after_the_last_viewer_left() {
    play(&[(0, Wanted(1), Some(Start)), (0, GONE, None), (0, Wanted(0), None), (5, Tick, None)], DeviceState::Off);
}
