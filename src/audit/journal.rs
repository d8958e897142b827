//! Entries with fields for systemd's journal, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one datagram for each entry.
//!
//! It is spoken here and not by a library: `tracing-journald` waits without an end while the journal is stuck, and
//! tells nobody when an entry is lost. An audit record must do neither.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal of this machine.
    pub(super) fn of_system() -> Self {
        Self::at(Path::new(SOCKET))
    }

    /// A journal that listens at this path.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Hands an entry over, and never waits. The socket is new each time: a journal that was started again is found,
    /// and records are rare.
    pub(super) fn send(&self, entry: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(entry, &self.path).map(drop)
    }
}
