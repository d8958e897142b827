//! The commands `fanlight pair`, `viewers`, `token` and `privacy`: they ask the daemon by its control socket, and
//! print what it answers, or do what an issuer does. They run in the owner's terminal, not in the daemon.

mod client;
mod dates;
mod key_file;
mod pair;
mod privacy;
mod qr;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod token_tests;
mod viewers;

pub use self::{pair::pair, privacy::privacy, qr::Screen, token::token, viewers::viewers};
