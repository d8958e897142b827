//! Who may watch (section 5): a payload in, an authorised text out. Pure but for the look at the wall clock.
//!
//! The mode `broker` believes the broker's ACL: whoever may publish on `req/{viewer}` is that viewer. The signed
//! modes come in here, between the envelope and the parser, and nothing behind this module changes for them.

use std::{path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::{
    clock::Mono,
    config::{Access, Id},
    protocol::{Clock, ErrorName, Refusal, envelope::Envelope},
};

/// How long a nonce is the newest one.
pub const SLOT: Duration = Duration::from_secs(60);
/// How many slots are good: the running one and those before it.
const LIVE_SLOTS: u64 = 3;
/// Bytes of the MAC that ride in a nonce.
const MAC: usize = 16;

/// Decides who may watch.
#[derive(Debug)]
pub struct Grant {
    access: Access,
    nonces: Nonces,
}

impl Grant {
    /// Decides by `access`; `secret` is made anew at each start.
    pub fn new(access: Access, secret: &[u8; 32]) -> Self {
        Self { access, nonces: Nonces::new(secret) }
    }

    /// The text of a message whose sender may speak.
    pub fn authorise<'a>(&self, _viewer: &Id, envelope: Envelope<'a>) -> Result<&'a str, Refusal> {
        match (self.access, envelope) {
            (Access::Broker, Envelope::Plain(text)) => Ok(text),
            (Access::Broker, Envelope::Signed(_)) => Err(Refusal::new(
                ErrorName::Unauthorized,
                "signed messages are not read here: this device is in the mode broker, which takes plain JSON",
            )),
        }
    }

    /// The nonce to give out.
    pub fn nonce(&self, now: Mono) -> String {
        self.nonces.at(now)
    }

    /// Whether a nonce was given out by this start of the daemon, not long ago.
    pub fn accepts(&self, nonce: &str, now: Mono) -> bool {
        self.nonces.accepts(nonce, now)
    }
}

/// Nonces without memory: `base64url(slot || HMAC-SHA256(boot secret, slot)[..16])`.
#[derive(Debug)]
struct Nonces {
    key: hmac::Key,
}

impl Nonces {
    fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    fn at(&self, now: Mono) -> String {
        self.of(slot(now))
    }

    fn of(&self, slot: u64) -> String {
        let slot = slot.to_be_bytes();
        let mut nonce = slot.to_vec();
        nonce.extend_from_slice(&hmac::sign(&self.key, &slot).as_ref()[..MAC]);
        URL_SAFE_NO_PAD.encode(nonce)
    }

    fn accepts(&self, nonce: &str, now: Mono) -> bool {
        let now = slot(now);
        // Comparing with what was given out, never MAC against MAC piece by piece: the text is no secret, and three
        // comparisons tell nobody more than the nonces that are published anyway.
        (0..LIVE_SLOTS).filter_map(|age| now.checked_sub(age)).any(|slot| self.of(slot) == nonce)
    }
}

fn slot(now: Mono) -> u64 {
    now.since(Mono(0)).as_secs() / SLOT.as_secs()
}

/// 2026-01-01: a wall clock that is earlier has not been set since power came.
const PLAUSIBLE: Duration = Duration::from_secs(1_767_225_600);
/// Where systemd-timesyncd says that it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

/// Whether the wall clock is right, as far as this can be known without asking the kernel's NTP state: where
/// systemd-timesyncd runs, its word counts (a board without an RTC resumes at the time it was switched off, which
/// looks plausible and is wrong); elsewhere every time after the year in which this was written.
pub fn clock() -> Clock {
    judge_clock(Mono::now().wall(), Path::new(TIMESYNC))
}

fn judge_clock(wall: Duration, timesync: &Path) -> Clock {
    let synced = if timesync.is_dir() { timesync.join("synchronized").exists() } else { wall >= PLAUSIBLE };
    if synced { Clock::Synced } else { Clock::Unsynced }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn a_nonce_lives_through_its_slot_and_two_more() {
        let nonces = Nonces::new(&[7; 32]);
        let nonce = nonces.at(seconds(600));
        assert_eq!(nonce.len(), 32);
        for (at, good) in [(540, false), (599, false), (600, true), (659, true), (779, true), (780, false)] {
            assert_eq!(nonces.accepts(&nonce, seconds(at)), good, "at {at} s");
        }
    }

    #[test]
    fn a_nonce_of_another_boot_or_made_up_is_not_accepted() {
        let nonces = Nonces::new(&[7; 32]);
        let mut forged = nonces.at(seconds(0)).into_bytes();
        forged[31] ^= 1;
        for bad in [Nonces::new(&[8; 32]).at(seconds(0)), String::from_utf8(forged).unwrap(), String::new()] {
            assert!(!nonces.accepts(&bad, seconds(0)), "{bad}");
        }
        assert!(nonces.accepts(&nonces.at(seconds(0)), seconds(0)), "in the first seconds of a boot too");
    }

    #[test]
    fn the_mode_broker_reads_plain_json_of_anybody_whom_the_broker_lets_speak() {
        let grant = Grant::new(Access::Broker, &[7; 32]);
        let anna = Id::new("anna").unwrap();
        assert_eq!(grant.authorise(&anna, Envelope::Plain("{}")), Ok("{}"));
        let refusal = grant.authorise(&anna, Envelope::Signed("eyJ.e.s")).unwrap_err();
        assert_eq!((refusal.code, refusal.name), (401, ErrorName::Unauthorized));
    }

    #[test]
    fn the_wall_clock_is_believed_with_care() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("no");
        assert_eq!(judge_clock(Duration::from_secs(60), &absent), Clock::Unsynced);
        assert_eq!(judge_clock(PLAUSIBLE, &absent), Clock::Synced);
        assert_eq!(judge_clock(PLAUSIBLE, dir.path()), Clock::Unsynced, "timesyncd has not set it yet");
        std::fs::write(dir.path().join("synchronized"), "").unwrap();
        assert_eq!(judge_clock(PLAUSIBLE, dir.path()), Clock::Synced);
    }
}
