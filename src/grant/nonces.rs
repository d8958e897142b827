//! Nonces (protocol section 5). Pure.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::clock::Mono;

/// How long a nonce is given out before the next one replaces it.
pub const SLOT: Duration = Duration::from_secs(60);
/// How many slots are accepted: the current one and those before it.
pub(super) const LIVE_SLOTS: u64 = 3;
/// Bytes of the MAC in a nonce.
const MAC: usize = 16;

/// Nonces that need no storage: `base64url(slot || HMAC-SHA256(boot secret, slot)[..16])`.
#[derive(Debug)]
pub(super) struct Nonces {
    key: hmac::Key,
}

impl Nonces {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    pub(super) fn at(&self, now: Mono) -> String {
        self.of(slot(now))
    }

    fn of(&self, slot: u64) -> String {
        let slot = slot.to_be_bytes();
        let mut nonce = slot.to_vec();
        nonce.extend_from_slice(&hmac::sign(&self.key, &slot).as_ref()[..MAC]);
        URL_SAFE_NO_PAD.encode(nonce)
    }

    pub(super) fn accepts(&self, nonce: &str, now: Mono) -> bool {
        let now = slot(now);
        // A constant-time comparison is not needed: the nonces are published, so timing reveals nothing more.
        (0..LIVE_SLOTS).filter_map(|age| now.checked_sub(age)).any(|slot| self.of(slot) == nonce)
    }
}

fn slot(now: Mono) -> u64 {
    now.since(Mono(0)).as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn a_nonce_is_accepted_in_its_slot_and_two_more() {
        let nonces = Nonces::new(&[7; 32]);
        let nonce = nonces.at(seconds(600));
        assert_eq!(nonce.len(), 32);
        for (at, good) in [(540, false), (599, false), (600, true), (659, true), (779, true), (780, false)] {
            assert_eq!(nonces.accepts(&nonce, seconds(at)), good, "at {at} s");
        }
    }

    #[test]
    fn a_nonce_of_another_boot_or_a_forged_one_is_refused() {
        let nonces = Nonces::new(&[7; 32]);
        let mut forged = nonces.at(seconds(0)).into_bytes();
        forged[31] ^= 1;
        for bad in [Nonces::new(&[8; 32]).at(seconds(0)), String::from_utf8(forged).unwrap(), String::new()] {
            assert!(!nonces.accepts(&bad, seconds(0)), "{bad}");
        }
        assert!(nonces.accepts(&nonces.at(seconds(0)), seconds(0)), "also in the first seconds after a boot");
    }
}
