//! Who may watch in the mode `keys` (`docs/reference/signed-messages.md`): the list of viewers, and pairing, by which a
//! new viewer gets on it. In the mode `token` also the tokens of issuers (`docs/reference/tokens.md`). Pure, and behind
//! a lock where several parts use it.

pub mod board_keys;
pub mod deny_list;
pub(crate) mod fuzz;
#[cfg(test)]
pub(crate) mod issuer_tests;
pub mod issuers;
mod last_seen;
pub mod list_changes;
mod name;
pub mod pairing;
mod pairing_handle;
pub mod pairing_link;
mod pairing_mac;
#[cfg(test)]
mod pairing_tests;
pub mod token;
#[cfg(test)]
mod token_tests;
mod viewer_file;
pub mod viewer_list;
#[cfg(test)]
mod viewer_list_tests;

pub use self::{
    last_seen::LastSeen,
    name::{NAME_MAX, checked_name, proposed_name},
};

/// What signalling hands over to the owner of the lists. Each was authentic when it came.
#[derive(Debug, Clone, PartialEq)]
pub enum TrustRequest {
    /// A viewer that knows the secret of the pairing wants to be on the list.
    Pair(pairing::PairRequest),
    /// An issuer takes tokens back.
    Deny(deny_list::SignedDenyList),
}
