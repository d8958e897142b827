//! Temporary TURN logins, made from a secret shared with the TURN server ("TURN REST API",
//! draft-uberti-behave-turn-rest). The user name begins with the time at which it expires, in Unix seconds. The
//! password is its HMAC. Pure: time is an argument.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

use crate::config::{IceLogin, Login, Secret};

/// The login for the user `who` from `now` on; `None` if the server needs none.
pub(super) fn login(of: &IceLogin, who: Option<&str>, now: SystemTime) -> Option<Login> {
    match of {
        IceLogin::None => None,
        IceLogin::Fixed(login) => Some(login.clone()),
        IceLogin::Made { secret, user, ttl } => Some(made(secret, who.or(user.as_deref()), now, *ttl)),
    }
}

fn made(secret: &Secret, who: Option<&str>, now: SystemTime, ttl: Duration) -> Login {
    let until = (now + ttl).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
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

    #[test]
    fn the_user_name_tells_the_end_and_the_password_vouches_for_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let made = |user: Option<&str>| IceLogin::Made {
            secret: Secret::new("north"),
            user: user.map(str::to_owned),
            ttl: Duration::from_secs(600),
        };
        let shown = |login: Option<Login>| login.map(|l| (l.user, l.password.expose().to_owned()));
        // printf 1700000600:garden | openssl dgst -sha1 -hmac north -binary | base64
        let rows = [
            (made(Some("garden")), None, "1700000600:garden", GARDEN),
            (made(Some("garden")), Some("anna"), "1700000600:anna", ANNA),
            (made(None), None, "1700000600", NOBODY),
        ];
        for (of, who, user, password) in rows {
            assert_eq!(shown(login(&of, who, now)), Some((user.to_owned(), password.to_owned())));
        }
        let fixed = Login { user: "a".into(), password: Secret::new("b") };
        assert_eq!(login(&IceLogin::Fixed(fixed.clone()), Some("anna"), now), Some(fixed));
        assert_eq!(login(&IceLogin::None, Some("anna"), now), None);
        assert!(!format!("{:?}", made(None)).contains("north"));
    }

    const GARDEN: &str = "OQWQ/QAUbAQNJQoQdkW167Fwg1Y=";
    const ANNA: &str = "QArDp18zdKr4CT8tvpVplSgsreQ=";
    const NOBODY: &str = "pL3AD+pdSi0Td8xk/uSD7cXdsYc=";
}
