//! Session descriptions (SDP): their limits and their meaning. Pure.
//!
//! [`Description::parse`] is the only reader. The WebRTC stack's parser reads the text, and the result becomes the few
//! things that this daemon needs. No other code reads the text of a description. [`write`] is its counterpart: it makes
//! the descriptions for the stack and for the viewer.

pub mod channel;
mod codec;
mod read;
pub mod write;

pub use codec::{CodecChoice, FEEDBACK_AUDIO, FEEDBACK_VIDEO};

use super::{
    ErrorName, Refusal,
    candidate::{self, CandidateBudget, CandidateVerdict},
};

/// The longest session description, in bytes.
pub const SDP_MAX: usize = 24 * 1024;
/// The most lines.
pub const LINES_MAX: usize = 512;
/// The longest line, in bytes.
pub const LINE_MAX: usize = 2048;
/// The most m-lines.
pub const MLINES_MAX: usize = 16;

/// The advice for a viewer that offers or accepts several m-lines without BUNDLE.
const NEED_BUNDLE: &str = "picture and sound travel on one transport here, so their m-lines must be in one BUNDLE group \
    (RFC 8843). Offer with BUNDLE (GStreamer's webrtcbin: bundle-policy=max-bundle; browsers do it by themselves), or use \
    picture or sound alone";

/// A refusal with `bad_sdp`.
pub fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorName::BadSdp, message)
}

/// The refusal of m-lines that do not share one transport. `which` names the description.
pub fn need_bundle(which: &str) -> Refusal {
    bad(format!("the {which} has no BUNDLE group for its m-lines: {NEED_BUNDLE}"))
}

/// The kind of an m-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=video`
    Video,
    /// `m=audio`
    Audio,
    /// `m=application`: data channels.
    Data,
    /// Anything else, such as text. It is refused.
    Other,
}

impl MediaKind {
    /// Its word in the m-line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Data => "application",
            Self::Other => "other",
        }
    }

    /// The kind of an m-line with this word.
    pub fn of_word(word: &str) -> Self {
        match word {
            "video" => Self::Video,
            "audio" => Self::Audio,
            "application" => Self::Data,
            _ => Self::Other,
        }
    }

    /// Whether it is carried by RTP.
    pub fn is_rtp(self) -> bool {
        matches!(self, Self::Video | Self::Audio)
    }
}

/// The direction of an m-line, from its writer's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Sends and receives. This is also the default.
    SendRecv,
    /// Sends only.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the writer receives media.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Whether the writer sends media.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// `a=setup`: who opens the DTLS connection (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsSetup {
    /// This side is the DTLS client.
    Active,
    /// This side is the DTLS server.
    Passive,
    /// Either, only in offers.
    ActPass,
    /// Neither, for now. It has no meaning with DTLS.
    HoldConn,
}

impl DtlsSetup {
    /// Its word after `a=setup:`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

/// One payload type of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Payload type.
    pub payload_type: u8,
    /// Encoding name, as written.
    pub name: String,
    /// Clock rate.
    pub clock: u32,
    /// Channels. 0: not written.
    pub channels: u16,
    /// Format parameters, as written.
    pub fmtp: String,
}

/// One m-line and its attributes. A session-level attribute counts for every m-line that does not have its own.
#[derive(Debug, Clone)]
pub struct MediaSection {
    /// Its kind.
    pub kind: MediaKind,
    /// The media word of the m-line.
    pub media: String,
    /// Its port: 0 refuses the line, unless it is `bundle_only`.
    pub port: u16,
    /// Transport protocol: `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// Formats. With RTP these are payload types.
    pub formats: Vec<String>,
    /// `a=mid`
    pub mid: Option<String>,
    /// `a=bundle-only` (RFC 8843 section 6): port 0 is then no refusal.
    pub bundle_only: bool,
    /// Its direction.
    pub direction: Direction,
    /// `a=rtcp-mux`
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`
    pub rtcp_rsize: bool,
    /// `a=ice-ufrag`
    pub ufrag: Option<String>,
    /// `a=ice-pwd`
    pub password: Option<String>,
    /// `a=fingerprint`: the hash function in lower case, the value in upper case.
    pub fingerprints: Vec<(String, String)>,
    /// `a=setup`
    pub setup: Option<DtlsSetup>,
    /// `a=crypto`: keys in plain text (SDES), never used.
    pub sdes: bool,
    /// Its payload types, in order.
    pub codecs: Vec<Codec>,
    /// `a=rtcp-fb`: payload type (none: all) and value, in lower case.
    pub feedback: Vec<(Option<u8>, String)>,
    /// `a=extmap`: id and URI.
    pub extensions: Vec<(u16, String)>,
    /// `candidate:…`
    pub candidates: Vec<String>,
    /// `a=sctp-port`; 0 if it is no port.
    pub sctp_port: Option<u16>,
    /// `a=max-message-size`; 1 if it is no number.
    pub max_message: Option<u64>,
}

/// A description that is within the limits.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its m-lines, in order.
    pub lines: Vec<MediaSection>,
    /// Its BUNDLE groups: lists of mids.
    pub groups: Vec<Vec<String>>,
    /// `a=ice-lite`
    pub ice_lite: bool,
}

/// How an m-line can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Media can be sent on it.
    Common(CodecChoice),
    /// It asks for media, and has no codec of this device.
    Foreign,
    /// It asks for media over a transport that this device does not have, for this reason.
    Unfit(&'static str),
    /// It asks for no media: it is refused, or does not receive.
    Unwanted,
}

/// ICE and DTLS parameters of a description's transport.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportParameters {
    /// ICE user fragment.
    pub ufrag: String,
    /// ICE password.
    pub password: String,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// Who opens the DTLS connection.
    pub setup: Option<DtlsSetup>,
}

impl std::fmt::Debug for TransportParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportParameters")
            .field("ufrag", &self.ufrag)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl MediaSection {
    /// Whether the line is refused. Port 0 with `a=bundle-only` is not (RFC 8843 section 6).
    pub fn is_refused(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Whether it is RTP over DTLS. Browsers must accept the short names too (RFC 9429 section 5.1.2).
    pub fn is_dtls_rtp(&self) -> bool {
        const NAMES: [&str; 6] = [
            "UDP/TLS/RTP/SAVPF",
            "UDP/TLS/RTP/SAVP",
            "TCP/DTLS/RTP/SAVPF",
            "TCP/DTLS/RTP/SAVP",
            "RTP/SAVPF",
            "RTP/SAVP",
        ];
        self.kind.is_rtp() && NAMES.iter().any(|name| self.protocol.eq_ignore_ascii_case(name))
    }

    /// How it can be used.
    pub fn usage(&self) -> Use {
        if !self.kind.is_rtp() || self.is_refused() || !self.direction.receives() {
            return Use::Unwanted;
        }
        if !self.is_dtls_rtp() {
            return Use::Unfit(
                "its transport is not RTP over DTLS: UDP/TLS/RTP/SAVPF is needed, never plain RTP or SDES",
            );
        }
        if !self.rtcp_mux {
            return Use::Unfit("it has no a=rtcp-mux: RTCP must share the port of RTP (RFC 8834 section 4.5)");
        }
        self.choice().map_or(Use::Foreign, Use::Common)
    }

    /// Its transport, as far as this m-line has it.
    pub fn transport(&self) -> Result<TransportParameters, Refusal> {
        let (Some(ufrag), Some(password)) = (&self.ufrag, &self.password) else {
            return Err(bad("the description has no ice-ufrag or no ice-pwd: ICE is needed (RFC 8839)"));
        };
        if !(4..=256).contains(&ufrag.len()) {
            return Err(bad(format!("the ice-ufrag has {} characters: RFC 8839 asks for 4 to 256", ufrag.len())));
        }
        if !(22..=256).contains(&password.len()) {
            return Err(bad(format!("the ice-pwd has {} characters: RFC 8839 asks for 22 to 256", password.len())));
        }
        if self.setup == Some(DtlsSetup::HoldConn) {
            return Err(bad("the description says setup:holdconn, so no DTLS connection could be opened; say actpass"));
        }
        Ok(TransportParameters {
            ufrag: ufrag.clone(),
            password: password.clone(),
            fingerprint: self.fingerprint()?,
            setup: self.setup,
        })
    }

    fn fingerprint(&self) -> Result<String, Refusal> {
        let mut strong = self.fingerprints.iter().filter(|(hash, _)| hash == "sha-256").map(|(_, value)| value);
        let Some(first) = strong.next() else {
            return Err(bad(match (self.fingerprints.is_empty(), self.sdes) {
                (true, true) => {
                    "the description has SDES keys (a=crypto) and no DTLS fingerprint: only DTLS-SRTP is supported"
                }
                (true, false) => "the description has no DTLS fingerprint (a=fingerprint): only DTLS-SRTP is supported",
                (false, _) => {
                    "the description has no SHA-256 fingerprint: weaker and other hash functions are not taken"
                }
            }));
        };
        if strong.any(|other| other != first) {
            return Err(bad(
                "the description has two different SHA-256 fingerprints: which one counts cannot be known",
            ));
        }
        let mut octets = first.split(':');
        if first.len() != 32 * 3 - 1 || !octets.all(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(bad("the SHA-256 fingerprint is not 32 bytes in hexadecimal with colons between them"));
        }
        Ok(first.clone())
    }

    /// The id of a header extension, if the m-line has it and it fits a one-byte header.
    pub fn extension(&self, uri: &str) -> Option<u8> {
        let found = self.extensions.iter().find(|(_, is)| is == uri)?;
        u8::try_from(found.0).ok().filter(|id| (1..=14).contains(id))
    }

    /// The candidates of this m-line that may be used, and how many may not.
    pub fn usable_candidates(&self, budget: &mut CandidateBudget) -> (Vec<String>, usize) {
        let mut usable = Vec::new();
        for line in &self.candidates {
            if let CandidateVerdict::Take { line, family } = candidate::judge(line, budget.loopback())
                && !usable.contains(&line)
                && budget.admit(family).is_ok()
            {
                usable.push(line);
            }
        }
        let dropped = self.candidates.len() - usable.len();
        (usable, dropped)
    }
}

impl Description {
    /// Reads a description. Every fault that does not depend on the session is refused here.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        read::description(text)
    }

    /// The first m-line of a kind that can be used, or else the first one that shows why not.
    pub fn best(&self, kind: MediaKind) -> Option<(usize, Use)> {
        let lines = self.lines.iter().enumerate().filter(|(_, line)| line.kind == kind);
        let rank = |usage: &Use| match usage {
            Use::Common(_) => 0,
            Use::Foreign => 1,
            Use::Unfit(_) => 2,
            Use::Unwanted => 3,
        };
        lines.map(|(at, line)| (at, line.usage())).min_by_key(|(_, usage)| rank(usage))
    }

    /// The BUNDLE group of an m-line.
    pub fn group_of(&self, line: usize) -> Option<&[String]> {
        let mid = self.lines.get(line)?.mid.as_ref()?;
        self.groups.iter().find(|group| group.contains(mid)).map(Vec::as_slice)
    }

    /// The m-line with this mid.
    pub fn by_mid(&self, mid: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.mid.as_deref() == Some(mid))
    }

    /// The *tagged* m-line, whose transport all `used` m-lines share (RFC 8843 section 7): the first of their group
    /// that is not refused. `used` must be bundled, or a single m-line.
    pub fn tagged(&self, used: &[usize]) -> Option<usize> {
        let first = *used.first()?;
        let Some(group) = self.group_of(first) else { return Some(first) };
        let mut lines = group.iter().filter_map(|mid| self.by_mid(mid));
        let carries = |at: &usize| {
            let line = &self.lines[*at];
            line.port != 0 && line.is_dtls_rtp() && line.ufrag.is_some()
        };
        lines.find(carries).or(Some(first))
    }

    /// Whether these m-lines share one transport.
    pub fn is_bundled(&self, lines: &[usize]) -> bool {
        let Some((first, rest)) = lines.split_first() else { return true };
        let group = self.group_of(*first);
        rest.is_empty() || group.is_some() && rest.iter().all(|line| self.group_of(*line) == group)
    }

    /// The transport of the tagged m-line. M-lines that share its ICE credentials must not contradict it.
    pub fn transport(&self, tagged: usize) -> Result<TransportParameters, Refusal> {
        let transport = self.lines.get(tagged).ok_or_else(|| bad("no m-line has a transport"))?.transport()?;
        for line in self.lines.iter().filter(|line| line.ufrag.as_deref() == Some(&transport.ufrag)) {
            let mut strong = line.fingerprints.iter().filter(|(hash, _)| hash == "sha-256");
            if strong.any(|(_, value)| *value != transport.fingerprint) {
                return Err(bad(
                    "two m-lines of one transport have different fingerprints: which one counts cannot be known",
                ));
            }
            if line.password.as_ref().is_some_and(|password| *password != transport.password) {
                return Err(bad("two m-lines have the same ice-ufrag and different ice-pwd"));
            }
        }
        Ok(transport)
    }
}

/// The user fragment, which names the ICE generation of a description.
pub fn ufrag(text: &str) -> Option<String> {
    Description::parse(text).ok()?.lines.into_iter().find_map(|line| line.ufrag)
}

#[cfg(test)]
mod tests;
