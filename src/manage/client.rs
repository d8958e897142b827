//! The way to the daemon.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::owner::control_message::{ControlReply, ControlRequest, REPLY_MAX};

/// A connection to the daemon, with one request.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Sends a request. The error says what to do if there is no daemon.
    pub(super) fn ask(socket: &Path, request: &ControlRequest) -> Result<Self, String> {
        let mut stream = UnixStream::connect(socket).map_err(|e| unreachable(socket, &e))?;
        let mut line = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        line.push(b'\n');
        // A daemon that refuses this user may have closed the connection. Its answer is still there to be read.
        let _ = stream.write_all(&line);
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The next answer. It waits for as long as the daemon does.
    pub(super) fn answer(&mut self) -> Result<ControlReply, String> {
        let mut line = Vec::new();
        // An error after a part of the line, or none at all: the line decides.
        let read = self.stream.by_ref().take(REPLY_MAX as u64).read_until(b'\n', &mut line);
        if line.is_empty() {
            let why = read.err().map(|e| format!(": {e}")).unwrap_or_default();
            return Err(format!("the daemon ended before it answered{why}"));
        }
        match serde_json::from_slice(&line) {
            Ok(ControlReply::Failed { message }) => Err(message),
            Ok(reply) => Ok(reply),
            Err(e) => Err(format!("the answer is not understood; are command and daemon of the same version? {e}")),
        }
    }
}

fn unreachable(socket: &Path, e: &io::Error) -> String {
    let socket = socket.display();
    match e.kind() {
        io::ErrorKind::PermissionDenied => format!("only root may do this: use sudo ({socket}: {e})"),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            // In a folder that only root may enter, others are told that they may not. So this is the truth.
            format!("the daemon is not running, or is not set up: see systemctl status fanlight ({socket}: {e})")
        }
        _ => format!("reach the daemon at {socket}: {e}"),
    }
}

/// What the daemon answers instead of what was asked for.
pub(super) fn unexpected(reply: &ControlReply) -> String {
    format!("an unexpected answer: {reply:?}")
}
