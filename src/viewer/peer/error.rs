//! Why a step of a peer connection failed, and whether the board lacks a resource.

/// Why a step of a peer connection failed. Each text is `what was done: what the stack reported`.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not SDP, or SDP that cannot be applied.
    #[error("{0}")]
    BadSdp(String),
    /// A candidate that cannot be applied.
    #[error("{0}")]
    BadCandidate(String),
    /// The board lacks something that a connection needs: file descriptors, memory or ports.
    #[error("{0}")]
    OutOfResources(String),
    /// Any other fault; the viewer did not cause it.
    #[error("{0}")]
    Internal(String),
}

/// Wraps the stack's error about a session description.
pub(crate) fn bad_sdp(error: impl std::fmt::Display) -> PeerError {
    let text = format!("session description: {error}");
    if is_scarce(&text) { PeerError::OutOfResources(text) } else { PeerError::BadSdp(text) }
}

/// Wraps the stack's error about a step that does not depend on the viewer. `doing` names the step.
pub(crate) fn internal<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> PeerError {
    move |error| {
        let text = format!("{doing}: {error}");
        if is_scarce(&text) { PeerError::OutOfResources(text) } else { PeerError::Internal(text) }
    }
}

/// Whether an error of the stack means that the board lacks a resource: EMFILE, ENFILE, ENOMEM, ENOBUFS or EADDRINUSE.
/// The stack passes on only the system's text, so the number is searched for in it.
fn is_scarce(text: &str) -> bool {
    let scarce = [24, 23, 12, 105, 98].iter().any(|errno| text.contains(&format!("(os error {errno})")));
    scarce || text.contains(NO_SOCKET) && std::net::UdpSocket::bind(("127.0.0.1", 0)).is_err()
}

/// The stack's error if it could bind no socket. It logs the cause but does not return it. A board without an address
/// and a board without file descriptors give the same text, so `is_scarce` tries to bind another socket.
const NO_SOCKET: &str = "no udp_sockets or tcp_listeners";

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lack_of_resources_is_an_error_of_its_own() {
        let open = |errno| internal("open a peer connection")(io::Error::from_raw_os_error(errno));
        assert!(
            matches!(open(libc::EMFILE), PeerError::OutOfResources(why) if why.starts_with("open a peer connection: "))
        );
        for errno in [libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRINUSE] {
            assert!(matches!(open(errno), PeerError::OutOfResources(_)), "{errno}");
        }
        assert!(matches!(open(libc::EACCES), PeerError::Internal(_)));
    }
}
