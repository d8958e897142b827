//! The commands `fanlight pair` and `fanlight viewers`: they ask the daemon by its control socket, and print what it
//! answers. They run in the owner's terminal, not in the daemon.

mod client;
mod dates;
mod key_file;
mod pair;
mod qr;
#[cfg(test)]
mod tests;
mod viewers;

pub use self::{pair::pair, qr::Screen, viewers::viewers};
