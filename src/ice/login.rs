//! Temporary TURN logins, made from a secret shared with the TURN server ("TURN REST API",
//! draft-uberti-behave-turn-rest). The user name begins with the time at which it expires, in Unix seconds. The
//! password is its HMAC. Pure: time is an argument.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

use crate::{
    config::{IceLogin, Id, Login, Secret},
    protocol::SessionId,
};

/// How long a session may hand out a login again instead of making a new one, as a part of its lease. Shorter than half
/// of the lease, after which viewers renew it, so that each renewal brings a new one. A viewer that asks more often has
/// at most this many logins for each lease.
const LOGINS_A_LEASE: u32 = 4;
/// How many characters of a session's id are in its user names. The audit records show as many.
const SESSION_PART: usize = 8;

/// The logins of one session's viewer.
#[derive(Debug)]
pub struct ViewerLogins {
    /// The part of the user names after the expiry time.
    name: String,
    lease: Duration,
    /// When the newest one was made, by the wall clock.
    made: Option<SystemTime>,
}

impl ViewerLogins {
    /// The logins of a session of `viewer` that runs with this lease. The names contain the viewer's id, so that the
    /// owner of the TURN server knows whose they are, and the front of the session's id: quotas of the server then
    /// hold for each session.
    pub fn new(viewer: &Id, session: &SessionId, lease: Duration) -> Self {
        let part = session.as_str().get(..SESSION_PART).unwrap_or_default();
        Self { name: format!("{viewer}-{part}"), lease, made: None }
    }

    /// The time from which a login counts that is handed out now. It is that of an earlier one if that is still good.
    /// After a jump of the clock no earlier one is.
    pub(super) fn made(&mut self, now: SystemTime) -> SystemTime {
        let again = self.lease / LOGINS_A_LEASE;
        let good = self.made.filter(|made| now.duration_since(*made).is_ok_and(|age| age < again));
        *self.made.insert(good.unwrap_or(now))
    }

    /// The login at a server, and when it ends; `None` if the server needs none. A login that the configuration has
    /// does not end.
    pub(super) fn login(&self, of: &IceLogin, made: SystemTime) -> Option<(Login, Option<SystemTime>)> {
        match of {
            IceLogin::None => None,
            IceLogin::Fixed(login) => Some((login.clone(), None)),
            IceLogin::Made { secret, ttl, .. } => {
                // A session keeps the lease with which it began, also if the configuration has another one by now.
                let end = made + (*ttl).max(self.lease * 2);
                Some((login_until(secret, Some(&self.name), end), Some(end)))
            }
        }
    }
}

/// The board's own login from `now` on; `None` if the server needs none. It is valid for longer than any session.
pub(super) fn own_login(of: &IceLogin, now: SystemTime) -> Option<Login> {
    match of {
        IceLogin::None => None,
        IceLogin::Fixed(login) => Some(login.clone()),
        IceLogin::Made { secret, user, own_ttl, .. } => Some(login_until(secret, user.as_deref(), now + *own_ttl)),
    }
}

fn login_until(secret: &Secret, who: Option<&str>, end: SystemTime) -> Login {
    let until = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let user = match who {
        Some(who) => format!("{until}:{who}"),
        None => until.to_string(),
    };
    // The scheme requires SHA-1. As an HMAC it is still secure.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
    let password = STANDARD.encode(hmac::sign(&key, user.as_bytes()));
    Login { user, password: Secret::new(password) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    fn made(user: Option<&str>) -> IceLogin {
        IceLogin::Made {
            secret: Secret::new("north"),
            user: user.map(str::to_owned),
            ttl: Duration::from_secs(600),
            own_ttl: Duration::from_secs(15_000),
        }
    }

    fn logins(session: &str, lease: u64) -> ViewerLogins {
        let session = SessionId::new(&format!("{session:A<22}")).unwrap();
        ViewerLogins::new(&Id::new("anna").unwrap(), &session, Duration::from_secs(lease))
    }

    #[test]
    fn the_user_name_tells_the_end_and_the_password_vouches_for_it() {
        let now = at(1_700_000_000);
        let shown = |login: Option<Login>| login.map(|l| (l.user, l.password.expose().to_owned()));
        // printf 1700015000:garden | openssl dgst -sha1 -hmac north -binary | base64
        let rows = [(made(Some("garden")), "1700015000:garden", GARDEN), (made(None), "1700015000", NOBODY)];
        for (of, user, password) in rows {
            assert_eq!(shown(own_login(&of, now)), Some((user.to_owned(), password.to_owned())));
        }
        let mut anna = logins("q83vEjRWeJ", 300);
        let since = anna.made(now);
        let (login, end) = anna.login(&made(Some("garden")), since).unwrap();
        assert_eq!(shown(Some(login)), Some(("1700000600:anna-q83vEjRW".to_owned(), ANNA.to_owned())));
        assert_eq!(end, Some(at(1_700_000_600)));
        let fixed = Login { user: "a".into(), password: Secret::new("b") };
        assert_eq!(anna.login(&IceLogin::Fixed(fixed.clone()), since), Some((fixed.clone(), None)));
        assert_eq!(own_login(&IceLogin::Fixed(fixed.clone()), now), Some(fixed));
        assert!(anna.login(&IceLogin::None, since).is_none() && own_login(&IceLogin::None, now).is_none());
        assert!(!format!("{:?}", made(None)).contains("north"));
    }

    #[test]
    fn a_login_is_valid_for_twice_the_lease_of_its_session_or_longer() {
        for (lease, valid) in [(600, 1200), (300, 600), (60, 600)] {
            let (_, end) = logins("a", lease).login(&made(None), NOW).unwrap();
            assert_eq!(end, Some(at(valid)), "with a lease of {lease} s");
        }
    }

    #[test]
    fn a_session_has_its_own_name_and_shows_only_the_front_of_its_id() {
        let names = ["q83vEjRWeJCrze8SNFZ4kA", "r83vEjRWeJCrze8SNFZ4kA"].map(|session| logins(session, 600).name);
        assert_eq!(names, ["anna-q83vEjRW", "anna-r83vEjRW"]);
    }

    #[test]
    fn each_renewal_brings_a_new_login_and_asking_more_often_brings_none() {
        let mut anna = logins("a", 600);
        let times = [0, 1, 149, 150, 299, 300, 600].map(|now| (now, anna.made(at(now))));
        let expected = [0, 0, 0, 150, 150, 300, 600].map(at);
        assert_eq!(times.map(|(_, made)| made), expected);
    }

    #[test]
    fn a_clock_that_is_set_while_a_session_runs_ends_the_login_of_the_wrong_time() {
        let (day, year) = (86_400, 365 * 86_400);
        let mut anna = logins("a", 600);
        assert_eq!(anna.made(at(day)), at(day), "the clock has not been set since power-on");
        assert_eq!(anna.made(at(56 * year)), at(56 * year), "it is set now");
        assert_eq!(anna.made(at(56 * year - 2)), at(56 * year - 2), "it goes back a little");
    }

    const GARDEN: &str = "rj7HSHb8G+6LHwYStibe4LICpYY=";
    const ANNA: &str = "/P7lZ0oY2YMMjnhQCFOFKbOrnE4=";
    const NOBODY: &str = "Kt4AaeyKNVRSfXsbuhy6DfMM7xI=";
}
