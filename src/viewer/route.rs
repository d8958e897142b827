//! Reads what the connection is: the route that ICE chose, and what the viewer receives.

use rtc::peer_connection::transport::RTCIceCandidatePair;

use crate::ice::Url;

/// A pair as `local-remote protocol`, such as `host-prflx udp`; that of an own relay with the way to its server:
/// `relay-srflx tls by turns:host:5349`.
pub(super) fn name(pair: &RTCIceCandidatePair, server: Option<&Url>) -> String {
    let (local, remote) = (pair.local(), pair.remote());
    match server {
        Some(url) => format!("{}-{} {} by {url}", local.typ, remote.typ, url.transport()),
        None => format!("{}-{} {}", local.typ, remote.typ, local.protocol),
    }
}

/// Whether the remote description has an m-line of this kind that is not refused and takes media.
pub(super) fn receives(sdp: &str, kind: &str) -> bool {
    let mut sections = sdp.split("\nm=").skip(1);
    sections.any(|section| {
        let mut words = section.split_whitespace();
        let (media, port) = (words.next(), words.next());
        let takes = !section.lines().any(|l| matches!(l.trim(), "a=sendonly" | "a=inactive"));
        media == Some(kind) && port != Some("0") && takes
    })
}

#[cfg(test)]
mod tests {
    use super::receives;

    #[test]
    fn only_an_open_line_that_receives_takes_media() {
        let sdp = |line: &str, direction: &str| {
            format!("v=0\r\nm=audio 9 X 111\r\na=inactive\r\n{line}\r\na={direction}\r\n")
        };
        assert!(receives(&sdp("m=video 9 UDP/TLS/RTP/SAVPF 102", "recvonly"), "video"));
        assert!(receives(&sdp("m=video 9 UDP/TLS/RTP/SAVPF 102", "sendrecv"), "video"));
        assert!(!receives(&sdp("m=video 9 UDP/TLS/RTP/SAVPF 102", "sendonly"), "video"));
        assert!(!receives(&sdp("m=video 0 UDP/TLS/RTP/SAVPF 102", "recvonly"), "video"), "refused");
        assert!(!receives(&sdp("m=video 9 UDP/TLS/RTP/SAVPF 102", "recvonly"), "audio"), "inactive");
    }
}
