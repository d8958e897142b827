use super::*;
use crate::config::Limits;

fn ms(n: u64) -> Mono {
    Mono(n * 1_000_000)
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn limits() -> MessageLimits {
    MessageLimits::new(Limits::default().messages_per_second, ms(0))
}

/// How many of `n` messages at one moment are read.
fn read(limits: &MessageLimits, viewer: &str, n: usize, now: Mono) -> usize {
    (0..n).filter(|_| limits.message(&id(viewer), now) == Admitted::Yes).count()
}

#[test]
fn twenty_messages_a_second_with_a_burst_of_sixty() {
    let limits = limits();
    assert_eq!(read(&limits, "anna", 100, ms(0)), 60);
    assert_eq!(read(&limits, "anna", 100, ms(1000)), 20);
    assert_eq!(read(&limits, "anna", 100, ms(1050)), 1);
    assert_eq!(read(&limits, "bert", 100, ms(1050)), 60, "each viewer for itself");
    assert_eq!(read(&limits, "anna", 100, ms(3_600_000)), 60, "an hour of silence saves up no more");
}

#[test]
fn who_says_too_much_is_told_once_a_second() {
    let limits = limits();
    read(&limits, "anna", 60, ms(0));
    let Admitted::Refused(refusal) = limits.message(&id("anna"), ms(0)) else { panic!() };
    assert_eq!((refusal.code, refusal.name, refusal.retry_after_ms), (429, ErrorName::RateLimited, Some(1000)));
    assert_eq!(limits.message(&id("anna"), ms(10)), Admitted::Dropped);
    read(&limits, "anna", 20, ms(1000));
    assert!(matches!(limits.message(&id("anna"), ms(1000)), Admitted::Refused(_)));
}

#[test]
fn who_sends_unauthorised_messages_uses_up_its_own_allowance() {
    let limits = limits();
    let mut read = 0;
    for n in 0..1000 {
        if limits.message(&id("mallory"), ms(n)) == Admitted::Yes {
            read += 1;
            limits.unauthorised(&id("mallory"), ms(n));
        }
    }
    assert!((10..=12).contains(&read), "{read}");
    limits.unauthorised(&id("anna"), ms(1000));
    limits.session_started(&id("anna"));
    assert_eq!(limits.message(&id("anna"), ms(1000)), Admitted::Yes, "a login with a session may send");
    assert!(!limits.unauthorised(&id("bert"), ms(1001)), "one report a second for all logins together");
    assert!(limits.unauthorised(&id("bert"), ms(2001)));
}

/// Payloads that look signed, 200 a second from each of 4, 40 and 300 logins: whoever comes new is read.
#[test]
fn newcomers_are_read_whatever_others_send() {
    for logins in [4, 40, 300] {
        let limits = limits();
        for n in 0..10_000 {
            for login in 0..logins / 4 {
                let flood = id(&format!("flood-{}", (n as usize + login * 4) % logins));
                if limits.message(&flood, ms(n)) == Admitted::Yes {
                    limits.unauthorised(&flood, ms(n));
                    let _ = limits.refusal(&flood, ms(n));
                }
            }
            if n % 500 == 499 {
                let newcomer = id(&format!("new-{n}"));
                assert_eq!(limits.message(&newcomer, ms(n)), Admitted::Yes, "{logins} logins at {n} ms");
                assert!(logins > 40 || limits.refusal(&newcomer, ms(n)), "a refusal may be sent to it");
            }
        }
    }
}

#[test]
fn sealed_messages_are_opened_within_an_allowance_for_each_and_for_strangers() {
    use Acquaintance::{Earlier, Known, Stranger};
    let limits = limits();
    let opened = |viewer: &str, of, at| (0..1000).filter(|_| limits.sealed(&id(viewer), of, ms(at))).count();
    for (viewer, of, at, expected) in [
        ("mallory", Stranger, 0, 5),
        ("trudy", Stranger, 0, 5),
        ("eve", Stranger, 0, 0),
        ("clara", Earlier, 0, 5),
        // 16 at once for each that is known, and 200 for all of them.
        ("anna", Known, 0, 16 + 128),
        ("bert", Known, 0, 16 + 72),
        ("carl", Known, 0, 16),
        ("anna", Known, 1000, 2 + 64),
        ("bert", Known, 1000, 2 + 36),
        ("carl", Known, 1000, 2),
        ("mallory", Stranger, 1000, 1),
        ("clara", Earlier, 1000, 1),
    ] {
        assert_eq!(opened(viewer, of, at), expected, "{viewer} at {at} ms");
    }
    assert_eq!(limits.lock().accounts.len(), 3, "a stranger has no account");
}

/// Forged messages in the names of 1, 3, 10 and 60 viewers on the list, 64 a second in each: another viewer on the list
/// is heard, each minute with all that a session needs.
#[test]
fn a_known_viewer_is_heard_whatever_comes_in_the_names_of_others() {
    for names in [1, 3, 10, 60] {
        let limits = limits();
        let mut opened = 0;
        for n in 0..12_000_u64 {
            let now = ms(n * 10);
            for name in 0..names {
                let flood = id(&format!("flood-{name}"));
                // 64 a second each, spread over the hundredths.
                let due = (n * 64 + name * 7) % 100 < 64;
                opened += u64::from(due && limits.sealed(&flood, Acquaintance::Known, now));
            }
            if n % 6000 == 5999 {
                let heard = (0..8).filter(|_| limits.sealed(&id("anna"), Acquaintance::Known, now)).count();
                assert_eq!(heard, 8, "{names} names at {} s", n / 100);
            }
        }
        // 120 s of both common allowances, and what they hold at first.
        assert!(opened <= 120 * 228 + 1024 + 200, "{opened} of {names} names");
    }
}

#[test]
fn however_many_known_names_are_misused_the_number_of_opened_messages_has_a_bound() {
    let limits = limits();
    let count = (0..100_000_u64).filter(|n| limits.sealed(&id(&format!("v{}", n % 1000)), Acquaintance::Known, ms(*n)));
    let opened = count.count();
    assert!(opened <= 100 * 228 + 1024 + 200, "{opened} within 100 s");
}

#[test]
fn commands_that_stand_alone_are_few() {
    let limits = limits();
    let taken = |at| (0..100).filter(|_| limits.command_alone(&id("anna"), ms(at)).is_ok()).count();
    assert_eq!((taken(0), taken(4999), taken(5000), taken(120_000)), (8, 0, 1, 8));
    let refusal = limits.command_alone(&id("anna"), ms(120_000)).unwrap_err();
    assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::RateLimited, Some(5000)));
    assert!(limits.command_alone(&id("bert"), ms(120_000)).is_ok(), "each viewer for itself");
}

#[test]
fn deny_lists_are_read_once_a_second() {
    let limits = limits();
    let read = |at| (0..100).filter(|_| limits.deny_list(ms(at))).count();
    assert_eq!((read(0), read(1000), read(3_600_000)), (8, 1, 8));
}

#[test]
fn refusals_are_bounded_for_each_and_in_all() {
    let limits = limits();
    assert_eq!((0..1000).filter(|_| limits.refusal(&id("anna"), ms(0))).count(), 10);
    assert_eq!((0..1000).filter(|_| limits.refusal(&id("anna"), ms(1000))).count(), 2);
    let all = (0..1000).filter(|n| limits.refusal(&id(&format!("v{n}")), ms(5000))).count();
    assert_eq!(all, 100);
}

#[test]
fn many_logins_cost_no_memory() {
    let limits = limits();
    for n in 0..10_000 {
        limits.message(&id(&format!("viewer-{n}")), ms(n));
    }
    assert_eq!(limits.lock().accounts.len(), VIEWERS);
    assert!(limits.lock().accounts.contains_key(&id("viewer-9999")));
    for n in 0..10 {
        limits.session_started(&id("anna"));
        assert_eq!(limits.lock().sessions[&id("anna")], n + 1);
    }
    (0..10).for_each(|_| limits.session_ended(&id("anna")));
    assert!(limits.lock().sessions.is_empty());
}
