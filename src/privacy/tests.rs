use super::*;
use PrivacyChange::{Nothing, Resume, Stop};
use PrivacyFault::{Changed, NotAllowed, TooSoon};
use PrivacyRequest::{Lift, Set};

fn seconds(n: u64) -> Mono {
    Mono(n * 1_000_000_000)
}

fn anna() -> PrivacySource {
    PrivacySource::Viewer(Id::new("anna").unwrap())
}

fn ask(
    switch: &mut BoardPrivacy,
    request: PrivacyRequest,
    by: PrivacySource,
    at: u64,
) -> Result<PrivacyChange, PrivacyFault> {
    switch.ask(&request, by, true, seconds(at))
}

/// A switch that the owner has set at second 0: change 1.
fn set() -> BoardPrivacy {
    let mut switch = BoardPrivacy::restore(None);
    assert_eq!(ask(&mut switch, Set, PrivacySource::Owner, 0), Ok(Stop));
    switch
}

#[test]
fn a_new_board_may_film_and_viewers_with_the_right_the_owner_and_the_button_may_stop_it() {
    for by in [anna(), PrivacySource::Owner, PrivacySource::Button] {
        let mut switch = BoardPrivacy::restore(None);
        assert!(!switch.is_on() && !switch.is_unsaved());
        assert_eq!(ask(&mut switch, Set, by.clone(), 1), Ok(Stop));
        assert_eq!((switch.is_on(), switch.change(), switch.by()), (true, 1, &by));
        assert_eq!(switch.age(seconds(4)), Some(Duration::from_secs(3)));
        assert_eq!(ask(&mut switch, Set, PrivacySource::Owner, 2), Ok(Nothing));
        assert_eq!((switch.change(), switch.by()), (1, &by), "who set it first is kept");
    }
}

#[test]
fn who_may_lift_it() {
    let lift = || Lift { change: Some(1) };
    for (by, has_right, expected) in [
        (anna(), true, Ok(Resume)),
        (anna(), false, Err(NotAllowed)),
        (PrivacySource::Owner, false, Ok(Resume)),
        (PrivacySource::Button, true, Ok(Resume)),
        (PrivacySource::Button, false, Err(NotAllowed)),
        (PrivacySource::Nobody, true, Err(NotAllowed)),
        (PrivacySource::Fault, true, Err(NotAllowed)),
    ] {
        let mut switch = set();
        assert_eq!(switch.ask(&lift(), by.clone(), has_right, seconds(1)), expected, "{by:?}");
        assert_eq!(switch.is_on(), expected.is_err(), "{by:?}");
    }
}

#[test]
fn a_viewer_without_the_right_cannot_take_the_picture_from_others() {
    let mut switch = BoardPrivacy::restore(None);
    for request in [Set, Lift { change: None }] {
        assert_eq!(switch.ask(&request, anna(), false, seconds(1)), Err(NotAllowed));
    }
    assert!(!switch.is_on() && switch.change() == 0);
}

#[test]
fn a_button_that_may_not_lift_the_switch_sets_it_all_the_same() {
    let mut switch = BoardPrivacy::restore(None);
    assert_eq!(switch.ask(&Set, PrivacySource::Button, false, seconds(1)), Ok(Stop));
    assert_eq!(switch.ask(&Set, PrivacySource::Button, false, seconds(2)), Ok(Nothing));
    assert!(switch.is_on());
}

#[test]
fn a_viewer_lifts_only_the_change_that_it_names() {
    for (change, expected) in [(Some(1), Ok(Resume)), (Some(0), Err(Changed(1))), (None, Err(Changed(1)))] {
        assert_eq!(ask(&mut set(), Lift { change }, anna(), 1), expected, "{change:?}");
    }
    for change in [None, Some(1)] {
        assert_eq!(ask(&mut set(), Lift { change }, PrivacySource::Owner, 1), Ok(Resume), "{change:?}");
    }
}

/// What a hostile broker can do with the messages of an honest viewer.
#[test]
fn a_lift_that_is_repeated_or_held_back_lifts_no_later_switch() {
    let mut switch = set();
    let held_back = || Lift { change: Some(1) };
    assert_eq!(ask(&mut switch, held_back(), anna(), 10), Ok(Resume));
    assert_eq!(ask(&mut switch, Set, PrivacySource::Owner, 20), Ok(Stop));
    for at in [30, 200] {
        assert_eq!(ask(&mut switch, held_back(), anna(), at), Err(Changed(3)));
    }
    assert!(switch.is_on());
}

#[test]
fn lifts_are_rare_and_setting_is_never_delayed() {
    let mut switch = set();
    assert_eq!(ask(&mut switch, Lift { change: Some(1) }, anna(), 10), Ok(Resume));
    assert_eq!(ask(&mut switch, Set, anna(), 10), Ok(Stop));
    let again = || Lift { change: Some(3) };
    assert_eq!(ask(&mut switch, again(), anna(), 11), Err(TooSoon(Duration::from_secs(4))));
    assert_eq!(ask(&mut switch, again(), anna(), 9), Err(TooSoon(LIFT_PAUSE)), "a clock that stands still");
    assert_eq!(ask(&mut switch, again(), anna(), 15), Ok(Resume));
}

#[test]
fn every_switch_survives_a_restart() {
    for by in [anna(), PrivacySource::Owner, PrivacySource::Button] {
        for lifted in [false, true] {
            let mut switch = BoardPrivacy::restore(None);
            switch.ask(&Set, by.clone(), true, seconds(1)).unwrap();
            if lifted {
                switch.ask(&Lift { change: Some(1) }, by.clone(), true, seconds(2)).unwrap();
            }
            let record = switch.record_due(seconds(2)).unwrap();
            assert!(record.len() <= RECORD_MAX, "{}", String::from_utf8_lossy(&record));
            let after = BoardPrivacy::restore(Some(&record));
            let of = |it: &BoardPrivacy| (it.is_on(), it.change(), it.by().clone());
            assert_eq!(of(&after), of(&switch));
            assert_eq!((after.age(seconds(9)), after.is_unsaved()), (None, false));
        }
    }
    let long = PrivacySource::Viewer(Id::new(&"v".repeat(64)).unwrap());
    let mut switch = BoardPrivacy { change: CHANGE_MAX - 1, ..BoardPrivacy::restore(None) };
    assert_eq!(ask(&mut switch, Set, long.clone(), 1), Ok(Stop));
    let record = switch.record_due(seconds(1)).unwrap();
    assert_eq!(BoardPrivacy::restore(Some(&record)).by(), &long, "the longest record is read back");
}

#[test]
fn a_record_that_is_not_exactly_ours_means_on() {
    let good = "fanlight-privacy 1 off 7 viewer anna\n";
    assert!(!BoardPrivacy::restore(Some(good.as_bytes())).is_on());
    for wrong in [
        "",
        "\n",
        "fanlight-privacy 1 off 7 viewer anna",
        "fanlight-privacy 1 off 7 viewer anna\n\n",
        "fanlight-privacy 1 off 7 viewer anna x\n",
        "fanlight-privacy 1 off 7 viewer\n",
        "fanlight-privacy 1 off 7 viewer a/b\n",
        "fanlight-privacy 1 off 7 owner anna\n",
        "fanlight-privacy 1 off 7 nobody else\n",
        "fanlight-privacy 2 off 7 owner\n",
        "fanlight 1 off 7 owner\n",
        "fanlight-privacy 1 Off 7 owner\n",
        "fanlight-privacy 1 off -7 owner\n",
        "fanlight-privacy 1 off +7 owner\n",
        "fanlight-privacy 1 off 07 owner\n",
        "fanlight-privacy 1 off 9007199254740992 button\n",
        "fanlight-privacy 1 off 99999999999999999999 button\n",
        "fanlight-privacy 1 off  7 owner\n",
        "fanlight-privacy 1 off 7\n",
        "fanlight-privacy\n",
    ] {
        let switch = BoardPrivacy::restore(Some(wrong.as_bytes()));
        assert_eq!((switch.is_on(), switch.by()), (true, &PrivacySource::Fault), "{wrong:?}");
    }
    for wrong in [vec![0xff; 8], vec![b'x'; RECORD_MAX + 1], [good.as_bytes(), &[0; RECORD_MAX]].concat()] {
        assert!(BoardPrivacy::restore(Some(&wrong)).is_on());
    }
    let mut switch = BoardPrivacy::restore(Some(b"damaged"));
    assert_eq!(ask(&mut switch, Lift { change: Some(0) }, anna(), 1), Ok(Resume), "a viewer with the right mends it");
}

#[test]
fn a_record_that_cannot_be_written_is_tried_again_and_more_and_more_seldom() {
    let mut switch = set();
    let mut now = seconds(0);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        let record = switch.record_due(now).expect("it is due");
        switch.wrote(&record, false, now);
        assert!(switch.is_on() && switch.is_unsaved() && switch.record_due(now).is_none());
        assert_eq!(switch.deadline(), Some(now + Duration::from_secs(pause)));
        now = now + Duration::from_secs(pause);
    }
    let record = switch.record_due(now).unwrap();
    switch.wrote(&record, true, now);
    assert_eq!((switch.is_unsaved(), switch.deadline(), switch.record_due(now)), (false, None, None));
}

#[test]
fn a_change_while_the_record_is_written_is_written_next() {
    for worked in [true, false] {
        let mut switch = set();
        let old = switch.record_due(seconds(0)).unwrap();
        assert_eq!(ask(&mut switch, Lift { change: Some(1) }, anna(), 1), Ok(Resume));
        switch.wrote(&old, worked, seconds(1));
        assert!(switch.is_unsaved(), "the file says on, and the switch is off");
        let newest = switch.record_due(seconds(2)).unwrap();
        assert_eq!(newest, b"fanlight-privacy 1 off 2 viewer anna\n");
        switch.wrote(&newest, true, seconds(2));
        assert!(!switch.is_unsaved());
    }
}
