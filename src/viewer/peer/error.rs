//! Why a step of a peer connection failed, and whether the board ran out of something.

/// Why a description was refused.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Not SDP, or SDP that cannot be applied.
    #[error("{0}")]
    BadSdp(String),
    /// A candidate that cannot be applied.
    #[error("{0}")]
    BadCandidate(String),
    /// The board has no more of what a connection needs: descriptors, memory, ports.
    #[error("{0}")]
    OutOfResources(String),
    /// Anything that is not the viewer's fault.
    #[error("{0}")]
    Internal(String),
}

/// An error of the stack about a description.
pub(crate) fn bad_sdp(error: impl std::fmt::Display) -> PeerError {
    let text = format!("session description: {error}");
    if is_scarce(&text) { PeerError::OutOfResources(text) } else { PeerError::BadSdp(text) }
}

/// An error of the stack that is not the viewer's fault, with what was being done.
pub(crate) fn internal<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> PeerError {
    move |error| {
        let text = format!("{doing}: {error}");
        if is_scarce(&text) { PeerError::OutOfResources(text) } else { PeerError::Internal(text) }
    }
}

/// Whether an error of the stack says that the board has run out of something: EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRINUSE. The
/// stack gives the system's word and no number of its own.
fn is_scarce(text: &str) -> bool {
    let scarce = [24, 23, 12, 105, 98].iter().any(|errno| text.contains(&format!("(os error {errno})")));
    scarce || text.contains(NO_SOCKET) && std::net::UdpSocket::bind(("127.0.0.1", 0)).is_err()
}

/// What the stack says when it could bind no socket at all. It logs why and does not pass it on: a board without an
/// address says the same as one without a descriptor, so another socket is tried.
const NO_SOCKET: &str = "no udp_sockets or tcp_listeners";

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_the_board_has_no_more_of_is_told_apart() {
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
