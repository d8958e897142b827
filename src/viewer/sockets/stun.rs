//! Reads what is not encrypted in a packet: its class (RFC 7983), STUN and TURN messages (RFC 8489, RFC 8656), the
//! headers of DTLS records (RFC 6347), and those of RTCP (RFC 3550). Pure; nothing here allocates memory for received
//! data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ring::hmac;

pub(crate) const BINDING_REQUEST: u16 = 0x0001;
pub(crate) const BINDING_SUCCESS: u16 = 0x0101;
pub(crate) const ALLOCATE: u16 = 0x0003;
pub(crate) const REFRESH: u16 = 0x0004;
pub(crate) const CHANNEL_BIND: u16 = 0x0009;
/// TURN indications: Send carries data to a peer, Data carries data from a peer (RFC 8656 section 11).
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
const FINGERPRINT: u16 = 0x8028;

/// The checksum of a FINGERPRINT, and what it is XORed with.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const FINGERPRINT_MASK: u32 = 0x5354_554e;

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const HEADER: usize = 20;
/// The length of a DTLS record header: type, version, epoch, sequence number, length.
const RECORD: usize = 13;
/// The DTLS content types besides application data: change_cipher_spec, alert, handshake.
const EXPECTED_RECORDS: std::ops::RangeInclusive<u8> = 20..=22;

/// A STUN transaction ID.
pub(crate) type Transaction = [u8; 12];

/// The class of a packet, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketClass {
    /// A complete STUN message.
    StunMessage,
    /// DTLS: only records of handshakes and alerts.
    Dtls,
    /// DTLS with other contents: application data (SCTP), or no valid record.
    DtlsData,
    /// ChannelData of TURN (RFC 8656 section 12).
    Channel,
    Rtp,
    /// RTCP, with the SSRC of its sender.
    Rtcp(u32),
    /// Another class, or too short.
    Other,
}

/// Returns the class of a packet.
pub(crate) fn class(packet: &[u8]) -> PacketClass {
    match packet {
        [0..=3, ..] if StunMessage::read(packet).is_some() => PacketClass::StunMessage,
        [20..=63, ..] if is_handshake(packet) => PacketClass::Dtls,
        [20..=63, ..] => PacketClass::DtlsData,
        [64..=79, _, _, _, ..] => PacketClass::Channel,
        // RFC 5761 section 4: RTP does not use the payload types that could be mistaken for RTCP packet types.
        [128..=191, 192..=223, _, _, a, b, c, d, ..] => PacketClass::Rtcp(u32::from_be_bytes([*a, *b, *c, *d])),
        [128..=191, 192..=223, ..] => PacketClass::Other,
        [128..=191, ..] => PacketClass::Rtp,
        _ => PacketClass::Other,
    }
}

/// Whether this is DTLS or SRTP. The stack sends those only to the address of the selected pair. ChannelData does not
/// count, since it goes to the TURN server's address.
pub(crate) fn is_media(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(20..=63 | 128..=191))
}

/// Whether all records of a datagram are of a handshake or alerts. A record's type is never encrypted.
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

/// A STUN message with a valid header and length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StunMessage<'a>(&'a [u8]);

impl<'a> StunMessage<'a> {
    /// Reads a packet that holds one STUN message and nothing else.
    pub(crate) fn read(packet: &'a [u8]) -> Option<Self> {
        let header = packet.get(..HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let whole = header[0] < 4 && header[4..8] == COOKIE && length % 4 == 0 && packet.len() == HEADER + length;
        whole.then_some(Self(packet))
    }

    /// The message type: method and class (RFC 8489 section 5).
    pub(crate) fn kind(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    /// Whether it is a success or error response.
    pub(crate) fn is_response(self) -> bool {
        self.kind() & 0x0100 != 0
    }

    /// Whether it is an error response.
    pub(crate) fn is_error(self) -> bool {
        self.kind() & 0x0110 == 0x0110
    }

    /// The transaction ID.
    pub(crate) fn transaction(self) -> Transaction {
        self.0[8..HEADER].try_into().unwrap_or_default()
    }

    /// The offset of an attribute in the message, and its value.
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

    /// The USERNAME of a connectivity check, `receiver:sender` (RFC 8445 section 7.2.2). No other message between
    /// viewer and device has a USERNAME without a REALM.
    pub(crate) fn username(self) -> Option<&'a [u8]> {
        self.attribute(USERNAME).map(|(_, value)| value)
    }

    /// Whether MESSAGE-INTEGRITY fits this password. It is the HMAC-SHA1 over the message before it, with the length as
    /// if the message ended with it (RFC 8489 section 14.5).
    pub(crate) fn is_signed(self, password: &[u8]) -> bool {
        let Some((at, signature)) = self.attribute(MESSAGE_INTEGRITY) else { return false };
        let Ok(ends) = u16::try_from(at + 24 - HEADER) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
        let mut signed = hmac::Context::with_key(&key);
        signed.update(&self.0[..2]);
        signed.update(&ends.to_be_bytes());
        signed.update(&self.0[4..at]);
        // Compares all bytes, so that the time does not show how many were right.
        let differs = signed.sign().as_ref().iter().zip(signature).fold(0, |differs, (a, b)| differs | (a ^ b));
        signature.len() == 20 && differs == 0
    }

    /// The same message as a new transaction, signed with this password, and with a fingerprint (RFC 8489 sections 14.5
    /// and 14.7). `None` if it was not signed.
    pub(crate) fn renewed(self, transaction: Transaction, password: &[u8]) -> Option<Vec<u8>> {
        let (at, _) = self.attribute(MESSAGE_INTEGRITY)?;
        let mut packet = self.0.get(..at)?.to_vec();
        packet[8..HEADER].copy_from_slice(&transaction);
        let length = |packet: &[u8], more| u16::try_from(packet.len() - HEADER + more).map(u16::to_be_bytes);
        let signed_length = length(&packet, 24).ok()?;
        packet[2..4].copy_from_slice(&signed_length);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
        let signature = hmac::sign(&key, &packet);
        packet.extend([MESSAGE_INTEGRITY.to_be_bytes(), 20_u16.to_be_bytes()].concat());
        packet.extend(signature.as_ref());
        let whole_length = length(&packet, 8).ok()?;
        packet[2..4].copy_from_slice(&whole_length);
        let fingerprint = CRC.checksum(&packet) ^ FINGERPRINT_MASK;
        packet.extend([FINGERPRINT.to_be_bytes(), 4_u16.to_be_bytes()].concat());
        packet.extend(fingerprint.to_be_bytes());
        Some(packet)
    }

    /// XOR-PEER-ADDRESS: the peer behind a TURN server.
    pub(crate) fn peer(self) -> Option<SocketAddr> {
        self.address(XOR_PEER_ADDRESS)
    }

    /// XOR-RELAYED-ADDRESS: the relay that a TURN server allocated.
    pub(crate) fn relay(self) -> Option<SocketAddr> {
        self.address(XOR_RELAYED_ADDRESS)
    }

    /// XOR-MAPPED-ADDRESS: the local address as the server sees it.
    pub(crate) fn mapped(self) -> Option<SocketAddr> {
        self.address(XOR_MAPPED_ADDRESS)
    }

    /// LIFETIME of an allocation, in seconds.
    pub(crate) fn lifetime(self) -> Option<u32> {
        let (_, value) = self.attribute(LIFETIME)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    /// The code of an ERROR-CODE attribute (RFC 8489 section 14.8).
    pub(crate) fn error_code(self) -> Option<u16> {
        let (_, value) = self.attribute(ERROR_CODE)?;
        Some(u16::from(value.get(2)? & 7) * 100 + u16::from(*value.get(3)?))
    }

    /// Whether REALM and NONCE are present and valid UTF-8, so that the client can authenticate.
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

    /// DATA: the payload of a Send or Data indication.
    pub(crate) fn data(self) -> Option<&'a [u8]> {
        self.attribute(DATA_ATTRIBUTE).map(|(_, value)| value)
    }

    /// CHANNEL-NUMBER of a ChannelBind request.
    pub(crate) fn channel(self) -> Option<u16> {
        let (_, value) = self.attribute(CHANNEL_NUMBER)?;
        Some(u16::from_be_bytes([*value.first()?, *value.get(1)?]))
    }
}

/// The channel number and the payload of ChannelData.
pub(crate) fn channel_data(packet: &[u8]) -> Option<(u16, &[u8])> {
    let [a, b, c, d, rest @ ..] = packet else { return None };
    let length = usize::from(u16::from_be_bytes([*c, *d]));
    Some((u16::from_be_bytes([*a, *b]), rest.get(..length)?))
}

/// Whether a packet comes from multicast DNS and is an mDNS response (RFC 6762). The stack classifies packets by their
/// first byte alone, whatever socket they arrive on, so it could take one for STUN.
pub(crate) fn is_mdns_answer(from: SocketAddr, packet: &[u8]) -> bool {
    matches!(packet, [0..=3, _, 0x80..=0xff, ..]) && packet.len() >= 12 && is_mdns(from)
}

/// Whether an address has the port of multicast DNS (RFC 6762 section 2).
pub(crate) fn is_mdns(address: SocketAddr) -> bool {
    address.port() == 5353
}

#[cfg(test)]
#[path = "stun_tests.rs"]
pub(crate) mod tests;
