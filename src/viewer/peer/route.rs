//! Texts and payload types that are read from the connection: the selected pair, and the payload type of
//! retransmissions.

use rtc::{peer_connection::transport::RTCIceCandidatePair, rtp_transceiver::rtp_sender::RTCRtpCodecParameters};

use crate::ice::IceUrl;

/// A candidate pair as `local-remote protocol`, such as `host-prflx udp`. For a local relay, the transport to its
/// server and the server's URL follow: `relay-srflx tls by turns:host:5349`.
pub(crate) fn name(pair: &RTCIceCandidatePair, server: Option<&IceUrl>) -> String {
    let (local, remote) = (pair.local(), pair.remote());
    match server {
        Some(url) => format!("{}-{} {} by {url}", local.typ, remote.typ, url.transport()),
        None => format!("{}-{} {}", local.typ, remote.typ, local.protocol),
    }
}

/// The payload type for retransmissions (RTX) of `payload_type` (RFC 4588 section 8.6).
pub(crate) fn rtx_payload_type(codecs: &[RTCRtpCodecParameters], payload_type: u8) -> Option<u8> {
    let apt = format!("apt={payload_type}");
    let is_its = |codec: &&RTCRtpCodecParameters| {
        let line = &codec.rtp_codec;
        line.mime_type.eq_ignore_ascii_case("video/rtx") && line.sdp_fmtp_line.split(';').any(|part| part.trim() == apt)
    };
    codecs.iter().find(is_its).map(|codec| codec.payload_type)
}

#[cfg(test)]
mod tests {
    use super::{RTCRtpCodecParameters, rtx_payload_type};

    #[test]
    fn retransmissions_have_the_payload_type_of_their_codec() {
        let codec = |payload_type, mime: &str, line: &str| {
            let mut codec = RTCRtpCodecParameters { payload_type, ..Default::default() };
            (codec.rtp_codec.mime_type, codec.rtp_codec.sdp_fmtp_line) = (mime.into(), line.into());
            codec
        };
        let codecs = [
            codec(102, "video/H264", "packetization-mode=1"),
            codec(103, "video/rtx", "apt=102"),
            codec(108, "video/H264", "packetization-mode=1"),
            codec(109, "video/rtx", "apt=108"),
            codec(110, "video/H264", "packetization-mode=1"),
        ];
        assert_eq!(
            (rtx_payload_type(&codecs, 102), rtx_payload_type(&codecs, 108), rtx_payload_type(&codecs, 110)),
            (Some(103), Some(109), None)
        );
    }
}
