use super::*;

fn ms(n: u64) -> Mono {
    Mono(n * 1_000_000)
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn admission() -> Admission {
    Admission::new(Limits::default())
}

#[test]
fn five_starts_a_minute_and_viewer() {
    let mut admission = admission();
    let mut start = |viewer: &str, second: u64| admission.admit(&id(viewer), Running::default(), ms(second * 1000));
    for second in 0..5 {
        assert_eq!(start("anna", second), Ok(()));
    }
    let refusal = start("anna", 10).unwrap_err();
    assert_eq!((refusal.code, refusal.name, refusal.retry_after_ms), (429, ErrorName::RateLimited, Some(50_000)));
    assert_eq!(start("bert", 10), Ok(()));
    assert!(start("anna", 59).is_err());
    assert_eq!(start("anna", 60), Ok(()), "the first one is a minute old");
    assert!(start("anna", 60).is_err());
}

#[test]
fn a_full_device_is_busy_and_says_when_to_try_again() {
    let table = [
        (Running { all: 7, own: 1, setups: 7, own_setups: 1 }, None),
        (Running { all: 8, own: 0, setups: 0, own_setups: 0 }, Some(5000)),
        (Running { all: 2, own: 2, setups: 0, own_setups: 0 }, Some(5000)),
        (Running { all: 7, own: 0, setups: 8, own_setups: 0 }, Some(1000)),
    ];
    for (running, expected) in table {
        let refusal = admission().admit(&id("anna"), running, ms(0)).err();
        assert_eq!(refusal.as_ref().and_then(|r| r.retry_after_ms), expected, "{running:?}");
        assert!(refusal.is_none_or(|r| (r.code, r.name) == (503, ErrorName::Busy)));
    }
}

#[test]
fn asking_at_a_full_device_uses_up_no_starts() {
    let mut admission = admission();
    let full = Running { all: 8, ..Running::default() };
    for _ in 0..20 {
        assert_eq!(admission.admit(&id("anna"), full, ms(0)).unwrap_err().name, ErrorName::Busy);
    }
    assert_eq!(admission.admit(&id("anna"), Running::default(), ms(0)), Ok(()));
}

#[test]
fn a_viewer_whose_sessions_never_connect_sets_up_one_at_a_time() {
    let mut admission = admission();
    let busy = Running { all: 1, own: 1, setups: 1, own_setups: 1 };
    let start = |admission: &mut Admission, now| admission.admit(&id("mallory"), busy, now).map_err(|r| r.name);
    assert_eq!(start(&mut admission, ms(0)), Ok(()));
    admission.count_unconnected(&id("mallory"), ms(15_000));
    assert_eq!(start(&mut admission, ms(15_000)), Ok(()), "once may happen to anybody");
    admission.count_unconnected(&id("mallory"), ms(16_000));
    assert_eq!(start(&mut admission, ms(16_000)), Err(ErrorName::Busy));
    assert!(!admission.displaces(&id("mallory"), ms(16_000)) && admission.displaces(&id("anna"), ms(16_000)));
    assert_eq!(admission.admit(&id("mallory"), Running::default(), ms(16_000)), Ok(()), "one session is allowed");
    assert_eq!(start(&mut admission, ms(75_000)), Ok(()), "a minute later it is forgotten");
    admission.count_unconnected(&id("mallory"), ms(75_000));
    admission.connected(&id("mallory"));
    assert_eq!(admission.unconnected(&id("mallory"), ms(75_000)), 0);
}

#[test]
fn ended_sessions_are_remembered_for_thirty_seconds() {
    let mut admission = admission();
    let session = SessionId::new("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    admission.remember_ended(id("anna"), session.clone(), ms(0));
    assert!(admission.has_ended(&id("anna"), &session, ms(29_999)));
    assert!(!admission.has_ended(&id("bert"), &session, ms(0)), "a session belongs to its viewer");
    assert!(!admission.has_ended(&id("anna"), &session, ms(30_000)));
}

#[test]
fn many_logins_cost_no_memory() {
    let mut admission = admission();
    let session = SessionId::new("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    for n in 0..10_000 {
        let viewer = id(&format!("viewer-{n}"));
        let _ = admission.admit(&viewer, Running::default(), ms(n));
        admission.remember_ended(viewer, session.clone(), ms(n));
    }
    assert_eq!((admission.accounts.len(), admission.ended_sessions.len()), (VIEWERS, ENDED_MAX));
    assert!(admission.accounts.contains_key(&id("viewer-9999")));
}
