use super::*;

/// The interval of the stack's rounds.
const TICK: Duration = Duration::from_millis(20);

fn path(host: u8, port: u16) -> PacketPath {
    PacketPath {
        local: SocketAddr::from(([192, 0, 2, 1], 40_000)),
        transport: Transport::Udp,
        peer: SocketAddr::from(([198, 51, 100, host], port)),
    }
}

fn checks() -> CheckPacer {
    CheckPacer::new(Arc::new(Mutex::new(TokenBucket::new(LOGIN))))
}

/// The checks that leave if the stack sends one for each pair in each round: the time in ms, and the pair's index.
fn play(checks: &mut CheckPacer, pairs: &[PacketPath], from: Instant, rounds: u32) -> Vec<(u128, usize)> {
    let mut left = Vec::new();
    for round in 0..rounds {
        let now = from + TICK * round;
        for (place, pair) in pairs.iter().enumerate() {
            if checks.may_leave(*pair, now) {
                left.push((now.duration_since(from).as_millis(), place));
            }
        }
    }
    left
}

#[test]
fn a_pair_has_seven_tries_that_come_ever_later() {
    let left = play(&mut checks(), &[path(1, 1)], Instant::now(), 3000);
    let times: Vec<_> = left.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 100, 300, 700, 1500, 3100, 6300]);
}

#[test]
fn a_home_network_is_asked_at_once_and_all_others_at_the_pace_of_the_rfc() {
    let start = Instant::now();
    let pairs: Vec<_> = (0..72).map(|n| path(n, 5)).collect();
    let left = play(&mut checks(), &pairs, start, 750);
    assert!(left[..8].iter().all(|(at, _)| *at == 0), "{left:?}");
    for after in 1..15_u128 {
        let count = left.iter().filter(|(at, _)| *at < after * 1000).count() as f64;
        assert!(count <= AT_ONCE + CHECKS_PER_SECOND * after as f64, "{count} in {after} s");
        assert!(count <= SESSION.0 + after as f64, "{count} in {after} s");
    }
    // All 72 pairs are tried before one of them has many tries, so that no pair waits for those before it.
    let first_72 = left[..72].iter().map(|(_, place)| place).collect::<std::collections::BTreeSet<_>>();
    assert!(first_72.len() >= 60, "{}", first_72.len());
}

#[test]
fn one_address_is_not_asked_more_because_it_is_named_with_many_ports() {
    let mut checks = checks();
    let start = Instant::now();
    let victim: Vec<_> = (0..24).map(|port| path(1, 1000 + port)).collect();
    assert_eq!(play(&mut checks, &victim, start, 3000).len(), 60);
    // Other pairs may still send.
    let both: Vec<_> = victim.iter().copied().chain([path(2, 1)]).collect();
    let left = play(&mut checks, &both, start + Duration::from_secs(60), 50);
    assert_eq!(left.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [24; 4]);
}

#[test]
fn restarts_and_further_sessions_give_no_further_budget() {
    let login = Arc::new(Mutex::new(TokenBucket::new(LOGIN)));
    let start = Instant::now();
    let pairs: Vec<_> = (0..24).map(|n| path(n, 5)).collect();
    // Ten sessions with six ICE restarts each, in a minute.
    let mut sessions: Vec<_> = (0..10).map(|_| CheckPacer::new(Arc::clone(&login))).collect();
    let mut count = 0;
    for turn in 0..6 {
        for session in &mut sessions {
            count += play(session, &pairs, start + Duration::from_secs(10) * turn, 200).len();
            session.restart(start + Duration::from_secs(10) * turn + Duration::from_secs(9));
        }
    }
    assert!(count as f64 <= LOGIN.0 + LOGIN.1 * 60.0, "{count}");
    let mut alone = checks();
    let mut count = 0;
    for turn in 0..6 {
        count += play(&mut alone, &pairs, start + Duration::from_secs(10) * turn, 400).len();
        alone.restart(start + Duration::from_secs(10) * turn + Duration::from_secs(9));
    }
    assert!(count as f64 <= SESSION.0 + SESSION.1 * 60.0, "{count}");
    assert!(count > 120, "a restart tries again: {count}");
}

#[test]
fn who_asks_is_answered_at_once_a_few_times_and_who_answers_is_asked_on() {
    let mut checks = checks();
    let start = Instant::now();
    let strangers: Vec<_> = (0..200).map(|n| path(n, 5)).collect();
    play(&mut checks, &strangers, start, 10);
    // A pair that sends signed checks; its sender address may be forged.
    let asks = path(250, 1);
    checks.asked(asks, start);
    assert!(checks.is_heard(&asks, start));
    let left = (0..100).filter(|_| checks.may_leave(asks, start)).count();
    assert_eq!(left, TRIGGERED_OF_A_PAIR as usize);
    // All pairs that only send checks share one budget.
    for stranger in &strangers {
        checks.asked(*stranger, start);
    }
    let left = play(&mut checks, &strangers, start, 50).len();
    assert!(left as f64 <= TRIGGERED.0 + TRIGGERED.1 + AT_ONCE + CHECKS_PER_SECOND, "{left}");
    // A pair that answers gets a check each 400 ms while it does, and for 30 s after that.
    checks.answered(asks, start);
    let keepalives = (0..1000).filter(|n| {
        let now = start + Duration::from_millis(400) * *n;
        let leaves = checks.may_leave(asks, now);
        if *n < 500 {
            checks.answered(asks, now);
        }
        leaves
    });
    assert!((574..=590).contains(&keepalives.count()));
    assert!(!checks.is_heard(&asks, start + Duration::from_millis(400) * 499 + CONSENT));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut checks = checks();
    let start = Instant::now();
    for n in 0..2_000_u16 {
        let path = path((n % 250) as u8, n);
        checks.asked(path, start);
        checks.may_leave(path, start);
    }
    assert_eq!(checks.pairs.len(), PAIRS);
    // The lower pairs have priority only for a while.
    assert!(checks.may_leave(path(251, 1), start + CONSENT * 2));
    let mut logins = LoginBuckets::default();
    let kept = logins.of("kept", start);
    for n in 0..3000 {
        let bucket = logins.of(&n.to_string(), start);
        assert!(bucket.lock().unwrap().take(1.0, start), "each login has its own bucket");
    }
    assert!(logins.0.len() <= LOGINS);
    assert!(Arc::ptr_eq(&kept, &logins.of("kept", start)));
    // Its bucket is full and it has no session: it is forgotten.
    logins.of("new", start + Duration::from_secs(600));
    assert_eq!(logins.0.len(), 2);
}
