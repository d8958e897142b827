//! The m-line of data channels (RFC 8841): whether it can be used, and how long a message is. Pure.

use super::{MediaKind, MediaSection};

/// The SCTP port inside of DTLS. All browsers have this one, and the stack can use no other.
pub const SCTP_PORT: u16 = 5000;
/// The longest message of a data channel, in bytes.
pub const CHANNEL_MESSAGE_MAX: usize = 64 * 1024;
/// The longest message that the stack delivers, in bytes. It is more than the limit, so that a message above the limit
/// is seen, and closes the channel.
pub const STACK_MESSAGE_MAX: u32 = 128 * 1024;
/// What a viewer must accept at least in one message, in bytes. No result is longer.
const LEAST: u64 = 16 * 1024;
const FORMAT: &str = "webrtc-datachannel";

impl MediaSection {
    /// Whether data channels can be opened on it.
    pub fn has_channels(&self) -> bool {
        const NAMES: [&str; 2] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];
        let is_sctp = NAMES.iter().any(|name| self.protocol.eq_ignore_ascii_case(name));
        // 0 means any length, and without the attribute it is 64 KiB (RFC 8841 section 6.1).
        let takes_results = self.max_message.is_none_or(|most| most == 0 || most >= LEAST);
        self.kind == MediaKind::Data
            && !self.is_refused()
            && is_sctp
            && self.formats == [FORMAT]
            && self.sctp_port.is_none_or(|port| port == SCTP_PORT)
            && takes_results
    }
}
