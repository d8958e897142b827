//! Who may watch in the mode `keys` (`docs/reference/signed-messages.md`): the list of viewers, and pairing, by which a
//! new viewer gets on it. Pure, and behind a lock where several parts use it.

pub mod board_keys;
mod last_seen;
mod name;
pub mod pairing;
mod pairing_handle;
pub mod pairing_link;
mod pairing_mac;
#[cfg(test)]
mod pairing_tests;
mod viewer_file;
pub mod viewer_list;
#[cfg(test)]
mod viewer_list_tests;

pub use self::{
    last_seen::LastSeen,
    name::{NAME_MAX, checked_name, proposed_name},
};
