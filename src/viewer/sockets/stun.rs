//! What can be read from the outside of a packet: its class (RFC 7983), STUN and TURN messages (RFC 8489, RFC 8656), the
//! headers of DTLS records (RFC 6347) and of RTCP (RFC 3550). Pure, and nothing here allocates for what comes in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ring::hmac;

pub(crate) const BINDING_REQUEST: u16 = 0x0001;
pub(crate) const BINDING_SUCCESS: u16 = 0x0101;
pub(crate) const ALLOCATE: u16 = 0x0003;
pub(crate) const REFRESH: u16 = 0x0004;
pub(crate) const CHANNEL_BIND: u16 = 0x0009;
/// Indications of TURN: data on its way to a peer, and from one.
pub(crate) const SEND: u16 = 0x0016;
pub(crate) const DATA: u16 = 0x0017;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const CHANNEL_NUMBER: u16 = 0x000C;
const LIFETIME: u16 = 0x000D;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA_ATTRIBUTE: u16 = 0x0013;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const HEADER: usize = 20;
/// The header of a DTLS record: type, version, epoch, sequence number, length.
const RECORD: usize = 13;
/// DTLS content types that a connection without data channels has: change cipher spec, alert, handshake.
const EXPECTED_RECORDS: std::ops::RangeInclusive<u8> = 20..=22;

/// A STUN transaction.
pub(crate) type Transaction = [u8; 12];

/// What a packet is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketClass {
    /// A whole STUN message.
    StunMessage,
    /// DTLS records of a handshake, and alerts.
    Dtls,
    /// DTLS with anything else in it: application data, which is SCTP, or what is no record.
    DtlsData,
    /// ChannelData of TURN.
    Channel,
    Rtp,
    /// RTCP, by this sender.
    Rtcp(u32),
    /// None of them, or cut short.
    Other,
}

/// The class of a packet.
pub(crate) fn class(packet: &[u8]) -> PacketClass {
    match packet {
        [0..=3, ..] if StunMessage::read(packet).is_some() => PacketClass::StunMessage,
        [20..=63, ..] if is_handshake(packet) => PacketClass::Dtls,
        [20..=63, ..] => PacketClass::DtlsData,
        [64..=79, _, _, _, ..] => PacketClass::Channel,
        // RFC 5761 section 4: the payload types that RTCP and RTP could be mistaken in are not used for RTP.
        [128..=191, 192..=223, _, _, a, b, c, d, ..] => PacketClass::Rtcp(u32::from_be_bytes([*a, *b, *c, *d])),
        [128..=191, 192..=223, ..] => PacketClass::Other,
        [128..=191, ..] => PacketClass::Rtp,
        _ => PacketClass::Other,
    }
}

/// DTLS or SRTP, which the stack sends to nobody but the address it chose. What goes through a TURN channel does not
/// count: its address is the server's.
pub(crate) fn is_media(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(20..=63 | 128..=191))
}

/// Whether all records of a datagram belong to a handshake or are alerts. The type of a record is never encrypted.
fn is_handshake(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some((header, after)) = rest.split_at_checked(RECORD) {
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        if !EXPECTED_RECORDS.contains(&header[0]) || header[1] != 0xfe || after.len() < length {
            return false;
        }
        rest = &after[length..];
    }
    rest.is_empty()
}

/// A STUN message whose header and length are right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StunMessage<'a>(&'a [u8]);

impl<'a> StunMessage<'a> {
    /// The message in a packet; nothing may follow it.
    pub(crate) fn read(packet: &'a [u8]) -> Option<Self> {
        let header = packet.get(..HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let whole = header[0] < 4 && header[4..8] == COOKIE && length % 4 == 0 && packet.len() == HEADER + length;
        whole.then_some(Self(packet))
    }

    /// Method and class.
    pub(crate) fn kind(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Whether it is an answer, good or bad.
    pub(crate) fn is_response(self) -> bool {
        self.kind() & 0x0100 != 0
    }

    /// Whether it is a bad one.
    pub(crate) fn is_error(self) -> bool {
        self.kind() & 0x0110 == 0x0110
    }

    pub(crate) fn transaction(self) -> Transaction {
        self.0[8..HEADER].try_into().unwrap_or_default()
    }

    /// Where an attribute begins, and what it holds.
    fn attribute(self, wanted: u16) -> Option<(usize, &'a [u8])> {
        let mut at = HEADER;
        while let Some([a, b, c, d]) = self.0.get(at..at + 4) {
            let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
            let value = self.0.get(at + 4..at + 4 + length)?;
            if kind == wanted {
                return Some((at, value));
            }
            at += 4 + length.next_multiple_of(4);
        }
        None
    }

    /// Whom a connectivity check is for, `receiver:sender`; nothing else that this side sends or takes has a name without a
    /// realm.
    pub(crate) fn username(self) -> Option<&'a [u8]> {
        self.attribute(USERNAME).map(|(_, value)| value)
    }

    /// Whether it is signed with this password (RFC 8489 14.5: HMAC-SHA1 over what stands before the signature, with the
    /// length as if the message ended with it).
    pub(crate) fn is_signed(self, password: &[u8]) -> bool {
        let Some((at, signature)) = self.attribute(MESSAGE_INTEGRITY) else { return false };
        let Ok(ends) = u16::try_from(at + 24 - HEADER) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
        let mut signed = hmac::Context::with_key(&key);
        signed.update(&self.0[..2]);
        signed.update(&ends.to_be_bytes());
        signed.update(&self.0[4..at]);
        // Compared whole, without a hint at how much was right.
        let differs = signed.sign().as_ref().iter().zip(signature).fold(0, |differs, (a, b)| differs | (a ^ b));
        signature.len() == 20 && differs == 0
    }

    /// The peer behind a TURN server.
    pub(crate) fn peer(self) -> Option<SocketAddr> {
        self.address(XOR_PEER_ADDRESS)
    }

    /// The relay that a TURN server gives.
    pub(crate) fn relay(self) -> Option<SocketAddr> {
        self.address(XOR_RELAYED_ADDRESS)
    }

    /// Where a server sees this side.
    pub(crate) fn mapped(self) -> Option<SocketAddr> {
        self.address(XOR_MAPPED_ADDRESS)
    }

    /// How long a relay lasts, in seconds.
    pub(crate) fn lifetime(self) -> Option<u32> {
        let (_, value) = self.attribute(LIFETIME)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    /// The code of an error (RFC 8489 section 14.8).
    pub(crate) fn error_code(self) -> Option<u16> {
        let (_, value) = self.attribute(ERROR_CODE)?;
        Some(u16::from(value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    /// Whether it says what a login is to be signed for, readably.
    pub(crate) fn is_challenge(self) -> bool {
        let is_text = |wanted| self.attribute(wanted).is_some_and(|(_, value)| str::from_utf8(value).is_ok());
        is_text(REALM) && is_text(NONCE)
    }

    fn address(self, attribute: u16) -> Option<SocketAddr> {
        let (_, value) = self.attribute(attribute)?;
        let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        let mask = &self.0[4..HEADER];
        let ip: IpAddr = match (value.get(1)?, &value[4..]) {
            (1, ip) if ip.len() == 4 => Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(|i| ip[i] ^ mask[i])).into(),
            (2, ip) if ip.len() == 16 => Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| ip[i] ^ mask[i])).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// What a TURN server is asked to hand on, or hands on.
    pub(crate) fn data(self) -> Option<&'a [u8]> {
        self.attribute(DATA_ATTRIBUTE).map(|(_, value)| value)
    }

    /// The channel that a TURN server is asked for.
    pub(crate) fn channel(self) -> Option<u16> {
        let (_, value) = self.attribute(CHANNEL_NUMBER)?;
        Some(u16::from_be_bytes([*value.first()?, *value.get(1)?]))
    }
}

/// Channel and contents of ChannelData.
pub(crate) fn channel_data(packet: &[u8]) -> Option<(u16, &[u8])> {
    let [a, b, c, d, rest @ ..] = packet else { return None };
    let length = usize::from(u16::from_be_bytes([*c, *d]));
    Some((u16::from_be_bytes([*a, *b]), rest.get(..length)?))
}

/// Whether a packet on the socket of mDNS is an answer of mDNS (RFC 6762): the stack tells classes apart by the first
/// byte alone, whatever socket they come from.
pub(crate) fn is_mdns_answer(from: SocketAddr, packet: &[u8]) -> bool {
    matches!(packet, [0..=3, _, 0x80..=0xff, ..]) && packet.len() >= 12 && is_mdns(from)
}

/// Whether an address is one of mDNS (RFC 6762 section 2), here or elsewhere.
pub(crate) fn is_mdns(address: SocketAddr) -> bool {
    address.port() == 5353
}

#[cfg(test)]
#[path = "stun_tests.rs"]
pub(crate) mod tests;
