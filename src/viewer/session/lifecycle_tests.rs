use super::*;

const LEASE: u64 = 600;
const LONGEST: u64 = 4 * 3600;

/// One step: the second, the event, the expected action, and the reason.
type Step = (u64, LifecycleEvent, Option<LifecycleAction>, &'static str);

fn play(steps: &[Step], last: SessionState) -> Lifecycle {
    let mut life = Lifecycle::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    for &(second, event, expected, sentence) in steps {
        assert_eq!(life.handle(event, at(second)), expected, "{second} s, {event:?}: {sentence}");
    }
    assert_eq!(life.state(), last);
    life
}

fn at(second: u64) -> Mono {
    Mono(second * 1_000_000_000)
}

const fn over(reason: EndReason) -> Option<LifecycleAction> {
    Some(LifecycleAction::End(reason))
}

const ANSWERED: Step = (0, LifecycleEvent::Answered, None, "the answer goes out");
const PAIRED: Step = (1, LifecycleEvent::IceConnected, None, "ICE finds a pair");
const LIVE: Step = (2, LifecycleEvent::Connected, None, "DTLS is up");

#[test]
fn the_viewer_offers_and_watches() {
    let life = play(&[ANSWERED, PAIRED, LIVE, (60, LifecycleEvent::Tick, None, "nothing is due")], SessionState::Live);
    assert_eq!(life.phase(), SessionPhase::Live);
}

#[test]
fn the_device_offers_and_is_watched() {
    let steps = [
        (0, LifecycleEvent::Offered, None, "the own offer goes out"),
        (14, LifecycleEvent::Tick, None, "the viewer has 15 s"),
        (14, LifecycleEvent::Answered, None, "and answers"),
        (28, LifecycleEvent::Tick, None, "ICE has 15 s of its own"),
        (28, LifecycleEvent::Connected, None, "DTLS may be heard of before the pair"),
    ];
    play(&steps, SessionState::Live);
}

#[test]
fn each_step_of_the_setup_has_its_time_and_its_name() {
    play(
        &[
            (9, LifecycleEvent::Tick, None, "in time"),
            (10, LifecycleEvent::Tick, over(EndReason::Timeout), "no description"),
        ],
        SessionState::Ended,
    );
    let offered = (0, LifecycleEvent::Offered, None, "the own offer goes out");
    play(&[offered, (15, LifecycleEvent::Tick, over(EndReason::Timeout), "no answer")], SessionState::Ended);
    let late = (14, LifecycleEvent::Tick, None, "in time");
    play(&[ANSWERED, late, (15, LifecycleEvent::Tick, over(EndReason::IceTimeout), "no pair")], SessionState::Ended);
    let late = (10, LifecycleEvent::Tick, None, "in time");
    play(
        &[ANSWERED, PAIRED, late, (11, LifecycleEvent::Tick, over(EndReason::DtlsFailed), "no handshake")],
        SessionState::Ended,
    );
    play(
        &[ANSWERED, (3, LifecycleEvent::IceFailed, over(EndReason::IceFailed), "ICE knows better")],
        SessionState::Ended,
    );
    play(
        &[ANSWERED, PAIRED, (3, LifecycleEvent::DtlsFailed, over(EndReason::DtlsFailed), "a wrong fingerprint")],
        SessionState::Ended,
    );
}

const GONE: LifecycleEvent = LifecycleEvent::Moved { left: true };
const MORE: LifecycleEvent = LifecycleEvent::Moved { left: false };

#[test]
fn a_pair_that_is_lost_is_looked_for_from_a_new_address() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, LifecycleEvent::IceDisconnected, None, "lost"),
        (11, MORE, Some(LifecycleAction::Restart), "at once"),
    ];
    play(&steps, SessionState::Restarting);
}

#[test]
fn addresses_that_come_and_go_do_not_renew_the_time_of_a_lost_viewer() {
    let restart = Some(LifecycleAction::Restart);
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, GONE, restart, "at once"),
        (20, MORE, restart, "from the new address"),
        (29, MORE, restart, "again"),
        (30, LifecycleEvent::Tick, over(EndReason::IceFailed), "20 s after the first restart"),
    ];
    play(&steps, SessionState::Ended);
}

#[test]
fn a_board_that_moves_does_not_wait_for_silence() {
    let restart = Some(LifecycleAction::Restart);
    let steps = [
        ANSWERED,
        (1, GONE, None, "ICE looks for a pair anyway"),
        PAIRED,
        LIVE,
        (9, MORE, None, "an address more is no reason to give up a pair that works"),
        (10, GONE, restart, "at once"),
        (11, LifecycleEvent::IceConnected, None, "a new pair"),
        (20, LifecycleEvent::IceFailed, restart, "the new one is lost"),
        (22, MORE, restart, "what was tried was tried from the old addresses"),
        (39, LifecycleEvent::Tick, restart, "in what is left of its time"),
        (40, LifecycleEvent::Tick, over(EndReason::IceFailed), "all of it"),
    ];
    play(&steps, SessionState::Ended);
}

#[test]
fn a_pair_that_comes_back_at_once_was_never_lost() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, LifecycleEvent::IceDisconnected, None, "the pair is lost"),
        (10, LifecycleEvent::Tick, None, "it may come back"),
        (10, LifecycleEvent::IceConnected, None, "it does"),
        (30, LifecycleEvent::Tick, None, "nothing is due"),
    ];
    play(&steps, SessionState::Live);
}

#[test]
fn a_lost_pair_is_replaced_by_up_to_five_restarts_in_twenty_seconds() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, LifecycleEvent::IceDisconnected, None, "the pair is lost"),
        (11, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "a moment later: the first restart"),
        (12, LifecycleEvent::Tick, None, "2 s apart, where nobody answers"),
        (13, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "the second"),
        (13, LifecycleEvent::IceFailed, None, "what ICE says of an older generation changes nothing"),
        (15, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "the third"),
        (17, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "the fourth"),
        (19, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "the fifth"),
        (21, LifecycleEvent::Tick, None, "and no more"),
        (30, LifecycleEvent::Tick, None, "the last one has its time"),
        (31, LifecycleEvent::Tick, over(EndReason::IceFailed), "20 s after the first"),
    ];
    play(&steps, SessionState::Ended);
}

#[test]
fn a_restart_that_is_answered_has_the_time_that_checks_take() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, LifecycleEvent::IceFailed, Some(LifecycleAction::Restart), "ICE gave up"),
        (11, LifecycleEvent::Answered, None, "the viewer answers"),
        (17, LifecycleEvent::Tick, None, "checks run"),
        (18, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "and come to nothing"),
        (19, LifecycleEvent::Answered, None, "answered again"),
        (26, LifecycleEvent::IceConnected, None, "a pair is back"),
    ];
    play(&steps, SessionState::Live);
}

#[test]
fn a_restart_that_works_makes_it_live_again_with_all_its_tries() {
    let mut steps = vec![ANSWERED, PAIRED, LIVE];
    for round in [100, 200] {
        steps.extend([
            (round, LifecycleEvent::IceFailed, Some(LifecycleAction::Restart), "ICE gave up: restart at once"),
            (round + 2, LifecycleEvent::Tick, Some(LifecycleAction::Restart), "the second try"),
            (round + 4, LifecycleEvent::IceConnected, None, "a pair is back"),
            (round + 30, LifecycleEvent::Tick, None, "nothing is due"),
        ]);
    }
    play(&steps, SessionState::Live);
}

#[test]
fn the_device_yields_when_the_viewer_restarts() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, LifecycleEvent::IceFailed, Some(LifecycleAction::Restart), "the device restarts"),
        (11, LifecycleEvent::ViewerRestarts, None, "and so does the viewer: the device's tries rest"),
        (14, LifecycleEvent::Tick, None, "no second try"),
        (30, LifecycleEvent::Tick, over(EndReason::IceFailed), "the 20 s hold all the same"),
    ];
    play(&steps, SessionState::Ended);
}

#[test]
fn a_lease_that_is_not_renewed_ends_and_one_that_is_goes_on() {
    play(&[ANSWERED, PAIRED, LIVE, (599, LifecycleEvent::Tick, None, "the lease runs")], SessionState::Live);
    play(
        &[ANSWERED, PAIRED, LIVE, (600, LifecycleEvent::Tick, over(EndReason::Expired), "the lease is over")],
        SessionState::Ended,
    );
    let mut life = play(&[ANSWERED, PAIRED, LIVE], SessionState::Live);
    assert_eq!(life.renew(at(299)), Duration::from_secs(301), "before half the lease, renew returns the rest");
    assert_eq!(life.renew(at(300)), Duration::from_secs(600), "from half-time on: renewed");
    assert_eq!(life.handle(LifecycleEvent::Tick, at(899)), None);
    assert_eq!(life.handle(LifecycleEvent::Tick, at(900)), over(EndReason::Expired));
}

#[test]
fn no_lease_goes_beyond_four_hours_and_the_end_is_announced() {
    let mut life = play(&[ANSWERED, PAIRED, LIVE], SessionState::Live);
    for second in (400..LONGEST - 100).step_by(400) {
        life.renew(at(second));
        assert_eq!(life.handle(LifecycleEvent::Tick, at(second)), None);
    }
    assert_eq!(life.renew(at(LONGEST - 100)), Duration::from_secs(100));
    assert_eq!(life.deadline(), at(LONGEST - 30));
    let goaway = Some(LifecycleAction::Goaway { within: Duration::from_secs(30) });
    assert_eq!(life.handle(LifecycleEvent::Tick, at(LONGEST - 30)), goaway);
    assert_eq!(life.handle(LifecycleEvent::Tick, at(LONGEST - 29)), None, "once");
    assert_eq!(life.handle(LifecycleEvent::Tick, at(LONGEST)), over(EndReason::Expired));
}

#[test]
fn what_ended_ends_once() {
    let mut life = play(&[ANSWERED], SessionState::Answered);
    assert_eq!(life.end(EndReason::Bye), over(EndReason::Bye));
    assert_eq!(life.end(EndReason::Shutdown), None);
    for event in [LifecycleEvent::Connected, LifecycleEvent::IceFailed, LifecycleEvent::Closed, LifecycleEvent::Tick] {
        assert_eq!(life.handle(event, at(9000)), None);
    }
}

#[test]
fn a_viewer_that_closes_without_a_word_withdraws_its_consent() {
    let closed = (30, LifecycleEvent::Closed, over(EndReason::ConsentLost), "closed from the other side");
    play(&[ANSWERED, PAIRED, LIVE, closed], SessionState::Ended);
}

#[test]
fn the_deadline_is_when_the_next_tick_does_something() {
    let mut life = Lifecycle::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    let script = [
        (LifecycleEvent::Answered, 0, 15_000),
        (LifecycleEvent::IceConnected, 1, 11_000),
        (LifecycleEvent::Connected, 2, 600_000),
        (LifecycleEvent::IceDisconnected, 10, 10_300),
        (LifecycleEvent::Tick, 11, 13_000),
        (LifecycleEvent::Tick, 13, 15_000),
        (LifecycleEvent::Answered, 14, 21_000),
        (LifecycleEvent::ViewerRestarts, 16, 31_000),
        (LifecycleEvent::IceConnected, 20, 600_000),
    ];
    for (event, now, due) in script {
        life.handle(event, at(now));
        assert_eq!(life.deadline(), Mono(due * 1_000_000), "after {event:?} at {now} s");
    }
}

#[test]
fn every_failure_has_its_name_and_every_regular_end_is_only_a_bye() {
    use ErrorName as E;
    let table = [
        (EndReason::Bye, None),
        (EndReason::Expired, None),
        (EndReason::Shutdown, None),
        (EndReason::Replaced, None),
        (EndReason::Refused, None),
        (EndReason::Flood, Some((429, E::RateLimited))),
        (EndReason::Timeout, Some((408, E::Timeout))),
        (EndReason::IceTimeout, Some((408, E::IceTimeout))),
        (EndReason::IceFailed, Some((488, E::IceFailed))),
        (EndReason::DtlsFailed, Some((488, E::DtlsFailed))),
        (EndReason::ConsentLost, Some((488, E::ConsentLost))),
        (EndReason::Internal, Some((500, E::Internal))),
    ];
    for (reason, expected) in table {
        assert_eq!(reason.error().map(|e| (e.code, e.name)), expected, "{}", reason.word());
    }
}

#[test]
fn a_session_has_the_end_of_the_newest_permission() {
    let mut life = Lifecycle::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    life.set_permission_end(Some(at(100)), at(0));
    life.handle(LifecycleEvent::Answered, at(0));
    life.handle(LifecycleEvent::Connected, at(1));
    assert_eq!(life.left(at(1)), Duration::from_secs(99), "a lease is no longer than the permission");
    let goaway = |within| Some(LifecycleAction::Goaway { within: Duration::from_secs(within) });
    assert_eq!(life.deadline(), at(70));
    assert_eq!(life.handle(LifecycleEvent::Tick, at(70)), goaway(30));
    assert_eq!(life.deadline(), at(100));

    life.set_permission_end(Some(at(400)), at(80));
    assert_eq!((life.left(at(80)), life.deadline()), (Duration::from_secs(320), at(370)), "also without a renewal");
    assert_eq!(life.handle(LifecycleEvent::Tick, at(100)), None, "the earlier end is no more");
    assert_eq!(life.renew(at(300)), Duration::from_secs(100));
    assert_eq!(life.handle(LifecycleEvent::Tick, at(370)), goaway(30), "the viewer is told again");

    life.set_permission_end(Some(at(350 * 60)), at(380));
    assert_eq!(life.left(at(380)), Duration::from_secs(520));
    assert_eq!(life.renew(at(700)), Duration::from_secs(LEASE));
    life.set_permission_end(None, at(700));
    for renewed in (1200..LONGEST - 30).step_by(500) {
        life.renew(at(renewed));
        assert_eq!(life.handle(LifecycleEvent::Tick, at(renewed)), None);
    }
    assert_eq!(life.handle(LifecycleEvent::Tick, at(LONGEST - 30)), goaway(30), "never longer than a session lasts");
    assert_eq!(life.handle(LifecycleEvent::Tick, at(LONGEST)), over(EndReason::Expired));
}

#[test]
fn a_permission_that_ends_earlier_than_before_ends_the_session_then() {
    let mut life = Lifecycle::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    life.handle(LifecycleEvent::Answered, at(0));
    life.handle(LifecycleEvent::Connected, at(1));
    life.set_permission_end(Some(at(10)), at(5));
    assert_eq!(
        life.handle(LifecycleEvent::Tick, at(5)),
        Some(LifecycleAction::Goaway { within: Duration::from_secs(5) })
    );
    assert_eq!(life.handle(LifecycleEvent::Tick, at(10)), over(EndReason::Expired));
}
