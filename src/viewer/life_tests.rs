use super::*;

const LEASE: u64 = 600;
const LONGEST: u64 = 4 * 3600;

/// One step: at this second, this happens, this is to be done, and this is why.
type Step = (u64, Event, Option<Action>, &'static str);

fn play(steps: &[Step], last: State) -> Life {
    let mut life = Life::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    for &(second, event, expected, sentence) in steps {
        assert_eq!(life.on(event, at(second)), expected, "{second} s, {event:?}: {sentence}");
    }
    assert_eq!(life.state(), last);
    life
}

fn at(second: u64) -> Mono {
    Mono(second * 1_000_000_000)
}

const fn over(reason: Reason) -> Option<Action> {
    Some(Action::End(reason))
}

const ANSWERED: Step = (0, Event::Answered, None, "the answer goes out");
const PAIRED: Step = (1, Event::IceConnected, None, "ICE finds a pair");
const LIVE: Step = (2, Event::Connected, None, "DTLS is up");

#[test]
fn the_viewer_offers_and_watches() {
    let life = play(&[ANSWERED, PAIRED, LIVE, (60, Event::Tick, None, "nothing is due")], State::Live);
    assert_eq!(life.phase(), Phase::Live);
}

#[test]
fn the_device_offers_and_is_watched() {
    let steps = [
        (0, Event::Offered, None, "the own offer goes out"),
        (14, Event::Tick, None, "the viewer has 15 s"),
        (14, Event::Answered, None, "and answers"),
        (28, Event::Tick, None, "ICE has 15 s of its own"),
        (28, Event::Connected, None, "DTLS may be heard of before the pair"),
    ];
    play(&steps, State::Live);
}

#[test]
fn each_step_of_the_setup_has_its_time_and_its_name() {
    play(
        &[(9, Event::Tick, None, "in time"), (10, Event::Tick, over(Reason::Timeout), "no description")],
        State::Ended,
    );
    let offered = (0, Event::Offered, None, "the own offer goes out");
    play(&[offered, (15, Event::Tick, over(Reason::Timeout), "no answer")], State::Ended);
    let late = (14, Event::Tick, None, "in time");
    play(&[ANSWERED, late, (15, Event::Tick, over(Reason::IceTimeout), "no pair")], State::Ended);
    let late = (10, Event::Tick, None, "in time");
    play(&[ANSWERED, PAIRED, late, (11, Event::Tick, over(Reason::DtlsFailed), "no handshake")], State::Ended);
    play(&[ANSWERED, (3, Event::IceFailed, over(Reason::IceFailed), "ICE knows better")], State::Ended);
    play(&[ANSWERED, PAIRED, (3, Event::DtlsFailed, over(Reason::DtlsFailed), "a wrong fingerprint")], State::Ended);
}

const GONE: Event = Event::Moved { left: true };
const MORE: Event = Event::Moved { left: false };

#[test]
fn a_pair_that_is_lost_is_looked_for_from_a_new_address() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, Event::IceDisconnected, None, "lost"),
        (11, MORE, Some(Action::Restart), "at once"),
    ];
    play(&steps, State::Restarting);
}

#[test]
fn a_board_that_moves_does_not_wait_for_silence() {
    let restart = Some(Action::Restart);
    let steps = [
        ANSWERED,
        (1, GONE, None, "ICE looks for a pair anyway"),
        PAIRED,
        LIVE,
        (9, MORE, None, "an address more is no reason to give up a pair that works"),
        (10, GONE, restart, "at once"),
        (11, Event::IceConnected, None, "a new pair"),
        (20, Event::IceFailed, restart, "the new one is lost"),
        (22, MORE, restart, "what was tried was tried from the old addresses"),
        (41, Event::Tick, restart, "and it has its time again"),
        (42, Event::Tick, over(Reason::IceFailed), "all of it"),
    ];
    play(&steps, State::Ended);
}

#[test]
fn a_pair_that_comes_back_at_once_was_never_lost() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, Event::IceDisconnected, None, "the pair is lost"),
        (10, Event::Tick, None, "it may come back"),
        (10, Event::IceConnected, None, "it does"),
        (30, Event::Tick, None, "nothing is due"),
    ];
    play(&steps, State::Live);
}

#[test]
fn a_lost_pair_is_replaced_by_up_to_five_restarts_in_twenty_seconds() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, Event::IceDisconnected, None, "the pair is lost"),
        (11, Event::Tick, Some(Action::Restart), "a moment later: the first restart"),
        (12, Event::Tick, None, "2 s apart, where nobody answers"),
        (13, Event::Tick, Some(Action::Restart), "the second"),
        (13, Event::IceFailed, None, "what ICE says of an older generation changes nothing"),
        (15, Event::Tick, Some(Action::Restart), "the third"),
        (17, Event::Tick, Some(Action::Restart), "the fourth"),
        (19, Event::Tick, Some(Action::Restart), "the fifth"),
        (21, Event::Tick, None, "and no more"),
        (30, Event::Tick, None, "the last one has its time"),
        (31, Event::Tick, over(Reason::IceFailed), "20 s after the first"),
    ];
    play(&steps, State::Ended);
}

#[test]
fn a_restart_that_is_answered_has_the_time_that_checks_take() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, Event::IceFailed, Some(Action::Restart), "ICE gave up"),
        (11, Event::Answered, None, "the viewer answers"),
        (17, Event::Tick, None, "checks run"),
        (18, Event::Tick, Some(Action::Restart), "and come to nothing"),
        (19, Event::Answered, None, "answered again"),
        (26, Event::IceConnected, None, "a pair is back"),
    ];
    play(&steps, State::Live);
}

#[test]
fn a_restart_that_works_makes_it_live_again_with_all_its_tries() {
    let mut steps = vec![ANSWERED, PAIRED, LIVE];
    for round in [100, 200] {
        steps.extend([
            (round, Event::IceFailed, Some(Action::Restart), "ICE gave up: restart at once"),
            (round + 2, Event::Tick, Some(Action::Restart), "the second try"),
            (round + 4, Event::IceConnected, None, "a pair is back"),
            (round + 30, Event::Tick, None, "nothing is due"),
        ]);
    }
    play(&steps, State::Live);
}

#[test]
fn the_device_yields_when_the_viewer_restarts() {
    let steps = [
        ANSWERED,
        PAIRED,
        LIVE,
        (10, Event::IceFailed, Some(Action::Restart), "the device restarts"),
        (11, Event::ViewerRestarts, None, "and so does the viewer: the device's tries rest"),
        (14, Event::Tick, None, "no second try"),
        (30, Event::Tick, over(Reason::IceFailed), "the 20 s hold all the same"),
    ];
    play(&steps, State::Ended);
}

#[test]
fn a_lease_that_is_not_renewed_ends_and_one_that_is_goes_on() {
    play(&[ANSWERED, PAIRED, LIVE, (599, Event::Tick, None, "the lease runs")], State::Live);
    play(&[ANSWERED, PAIRED, LIVE, (600, Event::Tick, over(Reason::Expired), "the lease is over")], State::Ended);
    let mut life = play(&[ANSWERED, PAIRED, LIVE], State::Live);
    assert_eq!(life.renew(at(299)), Duration::from_secs(301), "before half-time: what is left, no more");
    assert_eq!(life.renew(at(300)), Duration::from_secs(600), "from half-time on: renewed");
    assert_eq!(life.on(Event::Tick, at(899)), None);
    assert_eq!(life.on(Event::Tick, at(900)), over(Reason::Expired));
}

#[test]
fn no_lease_goes_beyond_four_hours_and_the_end_is_announced() {
    let mut life = play(&[ANSWERED, PAIRED, LIVE], State::Live);
    for second in (400..LONGEST - 100).step_by(400) {
        life.renew(at(second));
        assert_eq!(life.on(Event::Tick, at(second)), None);
    }
    assert_eq!(life.renew(at(LONGEST - 100)), Duration::from_secs(100));
    assert_eq!(life.deadline(), at(LONGEST - 30));
    let goaway = Some(Action::Goaway { within: Duration::from_secs(30) });
    assert_eq!(life.on(Event::Tick, at(LONGEST - 30)), goaway);
    assert_eq!(life.on(Event::Tick, at(LONGEST - 29)), None, "once");
    assert_eq!(life.on(Event::Tick, at(LONGEST)), over(Reason::Expired));
}

#[test]
fn what_ended_ends_once() {
    let mut life = play(&[ANSWERED], State::Answered);
    assert_eq!(life.end(Reason::Bye), over(Reason::Bye));
    assert_eq!(life.end(Reason::Shutdown), None);
    for event in [Event::Connected, Event::IceFailed, Event::Closed, Event::Tick] {
        assert_eq!(life.on(event, at(9000)), None);
    }
}

#[test]
fn a_viewer_that_closes_without_a_word_withdraws_its_consent() {
    let closed = (30, Event::Closed, over(Reason::ConsentLost), "closed from the other side");
    play(&[ANSWERED, PAIRED, LIVE, closed], State::Ended);
}

#[test]
fn the_deadline_is_when_the_next_tick_does_something() {
    let mut life = Life::new(Duration::from_secs(LEASE), Duration::from_secs(LONGEST), at(0));
    let script = [
        (Event::Answered, 0, 15_000),
        (Event::IceConnected, 1, 11_000),
        (Event::Connected, 2, 600_000),
        (Event::IceDisconnected, 10, 10_300),
        (Event::Tick, 11, 13_000),
        (Event::Tick, 13, 15_000),
        (Event::Answered, 14, 21_000),
        (Event::ViewerRestarts, 16, 31_000),
        (Event::IceConnected, 20, 600_000),
    ];
    for (event, now, due) in script {
        life.on(event, at(now));
        assert_eq!(life.deadline(), Mono(due * 1_000_000), "after {event:?} at {now} s");
    }
}

#[test]
fn every_failure_has_its_name_and_every_regular_end_is_only_a_bye() {
    use ErrorName as E;
    let table = [
        (Reason::Bye, None),
        (Reason::Expired, None),
        (Reason::Shutdown, None),
        (Reason::Replaced, None),
        (Reason::Refused, None),
        (Reason::Flood, Some((429, E::RateLimited))),
        (Reason::Timeout, Some((408, E::Timeout))),
        (Reason::IceTimeout, Some((408, E::IceTimeout))),
        (Reason::IceFailed, Some((488, E::IceFailed))),
        (Reason::DtlsFailed, Some((488, E::DtlsFailed))),
        (Reason::ConsentLost, Some((488, E::ConsentLost))),
        (Reason::Internal, Some((500, E::Internal))),
    ];
    for (reason, expected) in table {
        assert_eq!(reason.error().map(|e| (e.code, e.name)), expected, "{}", reason.word());
    }
}
