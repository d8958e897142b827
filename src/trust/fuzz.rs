//! The bodies of fuzz targets: hostile bytes as tokens and as deny lists, a damaged list of viewers, and requests to
//! pair, which come before anybody is known.

use std::sync::LazyLock;

use super::{
    deny_list::{DENIED_MAX, DenyList, SignedDenyList},
    issuers::{DenyState, Issuers},
    pairing::{PairAttempt, PairClaim, PairOptions, PairSecret, Pairing},
    token::{TokenClaims, TokenContext, TokenFault, TokenTime, UnverifiedToken},
    viewer_list::ViewerList,
};
use crate::{
    clock::Mono,
    config::Id,
    jose::{IssuerKey, PublicKey, Thumbprint},
    protocol::{Right, Rights, pair::PairMessage},
};

/// The generator of P-256 (SP 800-186 section 3.2.1.3), as `tests/fuzz/seeds.py` has it: the issuer and the viewer of
/// the seeds. No input is signed with it.
const GENERATOR: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
/// The time of the seeds.
const NOW: u64 = 1_767_225_700;
/// A day.
const TOKEN_MAX: u64 = 86_400;

static ISSUERS: LazyLock<Option<(PublicKey, Issuers)>> = LazyLock::new(|| {
    let key: PublicKey = GENERATOR.parse().ok()?;
    let keys = [IssuerKey::Es256(key), IssuerKey::Ed25519([9; 32])];
    let mut issuers = Issuers::default().with_keys(keys, TOKEN_MAX);
    for issuer in issuers.clone().iter() {
        issuers = issuers.with_state(issuer.id(), DenyState::Known(Default::default()));
    }
    Some((key, issuers))
});

/// A token, and the claims of one. What is read is within its bounds, and nothing is authentic.
pub(crate) fn token(data: &[u8]) {
    let (Some((key, issuers)), Ok(text)) = (&*ISSUERS, std::str::from_utf8(data)) else { return };
    if let Some(claims) = TokenClaims::read(text) {
        assert!(!claims.rights.is_empty() && claims.audience.is_none_or(|boards| (1..=32).contains(&boards.len())));
        assert!(claims.name.is_none_or(|name| name.chars().count() <= 64));
    }
    let Some(device) = Id::new("porch") else { return };
    for now in [None, Some(0), Some(NOW), Some(u64::MAX)] {
        let context = TokenContext { issuers, device: &device, viewer: &key.thumbprint(), now };
        let Ok(token) = UnverifiedToken::check(text, &context) else { continue };
        let claims = UnverifiedToken::check(text, &context).map(UnverifiedToken::verified_before);
        if let Ok(accepted) = claims {
            assert!(accepted.claims.ends - accepted.claims.issued <= TOKEN_MAX && accepted.claims.key == *key);
            assert_eq!(accepted.time == TokenTime::Unknown, now.is_none());
        }
        assert_eq!(token.verify(), Err(TokenFault::Signature));
    }
}

/// A deny list, and the content of one. What is read can be written, and nothing is authentic.
pub(crate) fn deny_list(data: &[u8]) {
    let (Some((_, issuers)), Ok(text)) = (&*ISSUERS, std::str::from_utf8(data)) else { return };
    if let Some(list) = DenyList::read(text) {
        assert!(list.number > 0 && list.ids.len() <= DENIED_MAX);
        assert_eq!(DenyList::read(&list.to_json()).as_ref(), Some(&list));
        assert!(list.follows(&list).is_err());
        let first = list.ids.first().cloned();
        assert!(first.is_none_or(|id| list.denies(&id, &id, u64::MAX)));
    }
    for issuer in issuers.iter() {
        assert!(SignedDenyList::read(text, issuer).is_err());
    }
    let _ = SignedDenyList::named_issuer(text);
}

/// The secret of the seeds.
const SECRET: [u8; 16] = [7; 16];

static BOARD: LazyLock<Option<(Thumbprint, Id)>> = LazyLock::new(|| {
    let key: PublicKey = GENERATOR.parse().ok()?;
    Some((key.thumbprint(), Id::new("porch")?))
});

/// The file of viewers: what is read has one form, in which it is read again.
pub(crate) fn viewers(data: &[u8]) {
    let Ok(list) = ViewerList::parse(data) else { return };
    let written = list.to_bytes();
    assert_eq!(ViewerList::parse(&written).as_ref(), Ok(&list));
    for (id, entry) in list.iter() {
        assert_eq!(list.by_id(id), Some(entry));
    }
}

/// The message `pair`, before its signature is verified: only who knows the secret comes on the list.
pub(crate) fn pair(data: &[u8]) {
    let Some((board, device)) = &*BOARD else { return };
    let Some(message) = PairMessage::read(data) else { return };
    let viewer = message.key.thumbprint();
    let mut pairing = Pairing::default();
    let options = PairOptions { name: None, rights: Rights::of([Right::View]), until: None };
    let now = Mono(0);
    pairing.open(now, (*board, device.clone()), options.clone(), PairSecret::new(SECRET));
    let attempt = PairAttempt { board, device, viewer: &viewer, name: &message.name, mac: &message.mac };
    let is_right = pairing.check(now, &attempt);
    let claim = pairing.claim(now, &viewer);
    assert_eq!(claim, if is_right { PairClaim::Add(options) } else { PairClaim::Closed });
    // One more character, and it is wrong.
    let longer = format!("{}x", message.name);
    assert!(!pairing.check(now, &PairAttempt { name: &longer, ..attempt }));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bodies_accept_any_bytes() {
        for data in [&b""[..], b"{}", b"{\"v\":1,\"viewers\":[]}", &[0xff; 9]] {
            super::viewers(data);
            super::pair(data);
        }
    }
}
