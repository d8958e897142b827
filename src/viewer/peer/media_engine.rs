//! What every peer connection is built from: codecs, header extensions, RTCP feedback and timeouts.

use std::time::Duration;

use rtc::{
    dtls::{cipher_suite::CipherSuiteId, extension::extension_use_srtp::SrtpProtectionProfile},
    ice::mdns::MulticastDnsMode,
    interceptor::{Registry, Slot},
    media_stream::MediaStreamTrack,
    peer_connection::{
        configuration::{
            media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine},
            setting_engine::{SctpMaxMessageSize, SettingEngine, SettingEngineBuilder},
        },
        transport::RTCDtlsRole,
    },
    rtp_transceiver::rtp_sender::{
        RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
    },
    shared::error::Result,
};

use crate::{
    protocol::sdp::channel::STACK_MESSAGE_MAX,
    viewer::send::{interceptor::SendInterceptor, twcc::TWCC_URI},
};

/// The ciphers of DTLS, the best first: all are authenticated (AEAD) and have forward secrecy. The stack's own list
/// also has AES-CBC with SHA-1. A viewer's certificate may have an RSA key (GStreamer).
const DTLS_CIPHERS: [CipherSuiteId; 4] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
];
/// The profiles of SRTP, the best first. The one with SHA-1 is there because every WebRTC client must have it (RFC 8827
/// section 6.5). The stack's own list also has it with tags of 32 bits.
const SRTP_PROFILES: [SrtpProtectionProfile; 3] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];

/// URI of the RTP header extension `playout-delay`, which limits the receiver's jitter buffer.
pub(crate) const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// ICE state "disconnected": nothing arrived for this long, which is three unanswered consent checks. The pair may
/// recover.
const DISCONNECTED_AFTER: Duration = Duration::from_millis(1200);
/// ICE state "failed": disconnected for this much longer. The session's own timeout (`viewer/session/lifecycle.rs`) is
/// shorter and decides first.
const FAILED_AFTER: Duration = Duration::from_secs(30);
/// The interval of checks on the selected pair. They are consent checks too (RFC 7675).
const KEEPALIVE: Duration = Duration::from_millis(400);
/// The interval between rounds of connectivity checks. The stack's default of 200 ms would take most of the time to the
/// first picture.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Rounds of checks before a pair is given up: 6 s at the interval above.
const CHECKS: u16 = 300;
/// The interval of TURN Refresh requests. The stack answers an expired nonce only with its next Refresh. That must
/// happen well before the allocation expires, and before the new nonce expires too.
const RELAY_REFRESH: Duration = Duration::from_secs(10);

/// Payload types and `a=fmtp` parameters of H.264 (RFC 6184 section 8.1): constrained baseline first, then baseline.
const H264_FMTP: [(u8, &str); 2] = [
    (102, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (104, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
];

/// The codecs and header extensions that the board can send.
pub(crate) fn media_engine(stereo: bool) -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    for (payload_type, fmtp) in H264_FMTP {
        engine.register_codec(codec(h264(fmtp), payload_type), RtpCodecKind::Video)?;
        let rtx = RTCRtpCodec {
            mime_type: MIME_TYPE_RTX.to_owned(),
            clock_rate: 90_000,
            sdp_fmtp_line: format!("apt={payload_type}"),
            ..Default::default()
        };
        engine.register_codec(codec(rtx, payload_type + 1), RtpCodecKind::Video)?;
    }
    engine.register_codec(codec(opus(stereo), 111), RtpCodecKind::Audio)?;
    for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
        for uri in [PLAYOUT_DELAY, TWCC_URI] {
            engine.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.to_owned() }, kind, None)?;
        }
    }
    Ok(engine)
}

fn codec(rtp_codec: RTCRtpCodec, payload_type: u8) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

fn rtcp(typ: &str, parameter: &str) -> RTCPFeedback {
    RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }
}

fn h264(fmtp: &str) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback: vec![
            rtcp("nack", ""),
            rtcp("nack", "pli"),
            rtcp("ccm", "fir"),
            rtcp("transport-cc", ""),
            rtcp("goog-remb", ""),
        ],
    }
}

fn opus(stereo: bool) -> RTCRtpCodec {
    let more = if stereo { ";stereo=1;sprop-stereo=1" } else { "" };
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: format!("minptime=10;useinbandfec=1{more}"),
        rtcp_feedback: vec![rtcp("transport-cc", "")],
    }
}

/// The outgoing video track.
pub(crate) fn video_track(ssrc: u32, rtx: u32) -> MediaStreamTrack {
    let coding =
        RTCRtpCodingParameters { ssrc: Some(ssrc), rtx: Some(RTCRtpRtxParameters { ssrc: rtx }), ..Default::default() };
    track("video", RtpCodecKind::Video, coding, h264(H264_FMTP[0].1))
}

/// The outgoing audio track.
pub(crate) fn audio_track(ssrc: u32, stereo: bool) -> MediaStreamTrack {
    let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() };
    track("audio", RtpCodecKind::Audio, coding, opus(stereo))
}

/// Both tracks share a stream id, so that a browser synchronises picture and sound (RFC 8830).
fn track(name: &str, kind: RtpCodecKind, coding: RTCRtpCodingParameters, codec: RTCRtpCodec) -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..Default::default() };
    MediaStreamTrack::new("fanlight".to_owned(), name.to_owned(), name.to_owned(), kind, vec![encoding])
}

/// The interceptor chain has our interceptor only. `docs/design/decisions.md` says why it uses no pacer and no
/// estimator of the stack.
pub(crate) fn registry(feedback: SendInterceptor) -> Registry {
    Registry::new().with(Slot::SenderReport, feedback)
}

/// ICE timeouts, the DTLS role, the ciphers of DTLS and SRTP, and the limits of SCTP, which runs only for a viewer that
/// negotiated a data channel.
pub(crate) fn settings(loopback: bool, mdns: MulticastDnsMode) -> SettingEngine {
    let zero = Some(Duration::ZERO);
    SettingEngineBuilder::new()
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEPALIVE))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS))
        .with_host_acceptance_min_wait(zero)
        .with_srflx_acceptance_min_wait(zero)
        .with_prflx_acceptance_min_wait(zero)
        .with_relay_acceptance_min_wait(Some(Duration::from_millis(200)))
        .with_turn_allocation_refresh_interval_cap(RELAY_REFRESH)
        .with_multicast_dns_mode(mdns)
        .with_include_loopback_candidate(loopback)
        .with_discard_local_candidates_during_ice_restart(true)
        .with_answering_dtls_role(RTCDtlsRole::Client)
        .with_dtls_cipher_suites(DTLS_CIPHERS.to_vec())
        .with_srtp_protection_profiles(SRTP_PROFILES.to_vec())
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(STACK_MESSAGE_MAX))
        .with_sctp_max_receive_buffer_size(STACK_MESSAGE_MAX)
        .build()
}
