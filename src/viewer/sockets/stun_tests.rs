use super::*;

/// A message with an attribute of odd length before the signature, and a fingerprint behind it.
pub(crate) fn stun(kind: u16, transaction: u8, password: &str) -> Vec<u8> {
    signed(kind, [transaction; 12], &[(0x8022, b"xyz")], password)
}

/// A message with these attributes, a signature and a fingerprint.
pub(crate) fn signed(kind: u16, transaction: Transaction, attributes: &[(u16, &[u8])], password: &str) -> Vec<u8> {
    let mut packet = unsigned(kind, transaction, attributes);
    let length = |packet: &[u8], more: usize| u16::try_from(packet.len() - HEADER + more).unwrap().to_be_bytes();
    let until = length(&packet, 24);
    packet[2..4].copy_from_slice(&until);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let signature = hmac::sign(&key, &packet);
    packet.extend([0, 8, 0, 20]);
    packet.extend(signature.as_ref());
    packet.extend([0x80, 0x28, 0, 4, 1, 2, 3, 4]);
    let whole = length(&packet, 0);
    packet[2..4].copy_from_slice(&whole);
    packet
}

pub(crate) fn unsigned(kind: u16, transaction: Transaction, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(COOKIE);
    packet.extend(transaction);
    for (kind, value) in attributes {
        packet.extend(kind.to_be_bytes());
        packet.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        packet.extend(*value);
        packet.resize(packet.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(packet.len() - HEADER).unwrap().to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    packet
}

/// A DTLS record.
pub(crate) fn record(kind: u8, length: u16) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend(length.to_be_bytes());
    record.resize(RECORD + usize::from(length), 7);
    record
}

#[test]
fn a_renewed_check_differs_in_its_transaction_alone() {
    assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926, "the polynomial of ISO 3309, as RFC 8489 requires");
    let original = signed(BINDING_REQUEST, [1; 12], &[(USERNAME, b"viewer:own"), (0x0024, &[1, 2, 3, 4])], "theirs");
    let renewed = StunMessage::read(&original).unwrap().renewed([2; 12], b"theirs").unwrap();
    let read = StunMessage::read(&renewed).unwrap();
    assert_eq!(
        (read.kind(), read.transaction(), read.username()),
        (BINDING_REQUEST, [2; 12], Some(&b"viewer:own"[..]))
    );
    assert!(read.is_signed(b"theirs") && !read.is_signed(b"another"));
    assert_eq!(read.attribute(0x0024), StunMessage::read(&original).unwrap().attribute(0x0024));
    let (content, fingerprint) = renewed.split_at(renewed.len() - 8);
    let crc = CRC.checksum(content) ^ 0x5354_554e;
    assert_eq!(fingerprint, [&[0x80, 0x28, 0, 4], &crc.to_be_bytes()[..]].concat());
    // With the ID of before, it is the message of before, up to the fingerprint.
    let same = StunMessage::read(&renewed).unwrap().renewed([1; 12], b"theirs").unwrap();
    assert_eq!(same[..same.len() - 4], original[..original.len() - 4]);
    let unsigned = unsigned(BINDING_REQUEST, [1; 12], &[(USERNAME, b"viewer:own")]);
    assert!(StunMessage::read(&unsigned).unwrap().renewed([2; 12], b"theirs").is_none());
}

#[test]
fn each_first_byte_has_its_class() {
    let stun = stun(BINDING_REQUEST, 1, "password");
    for first in 0..=255_u8 {
        let mut packet = stun.clone();
        packet[0] = first;
        let expected = match first {
            0..=3 => PacketClass::StunMessage,
            20..=63 => PacketClass::DtlsData,
            64..=79 => PacketClass::Channel,
            128..=191 => PacketClass::Rtp,
            _ => PacketClass::Other,
        };
        assert_eq!(class(&packet), expected, "{first}");
        for length in 0..packet.len() {
            // Cut short, a packet keeps its class or has none.
            let cut = class(&packet[..length]);
            assert!(cut == PacketClass::Other || cut == expected && first > 3, "{first} {length}: {cut:?}");
        }
    }
    for (packet, expected) in [
        (vec![0x80, 200, 0, 1, 0, 0, 1, 2], PacketClass::Rtcp(0x0102)),
        (vec![0x81, 223, 0, 1, 0, 0, 1, 2, 9], PacketClass::Rtcp(0x0102)),
        (vec![0x80, 200, 0, 1, 0, 0, 1], PacketClass::Other),
        (vec![0x80, 191, 0, 1], PacketClass::Rtp),
        (vec![0x80, 224, 0, 1], PacketClass::Rtp),
        (vec![0x80], PacketClass::Rtp),
        (vec![], PacketClass::Other),
    ] {
        assert_eq!(class(&packet), expected, "{packet:?}");
    }
}

#[test]
fn only_datagrams_that_are_all_handshake_are_taken_for_one() {
    let all = |kinds: &[u8]| kinds.iter().flat_map(|kind| record(*kind, 30)).collect::<Vec<u8>>();
    for (datagram, expected) in [
        (all(&[22]), PacketClass::Dtls),
        (all(&[22, 22, 20, 22]), PacketClass::Dtls),
        (all(&[21]), PacketClass::Dtls),
        (all(&[23]), PacketClass::DtlsData),
        (all(&[22, 23]), PacketClass::DtlsData),
        (all(&[22, 24]), PacketClass::DtlsData),
        (all(&[25]), PacketClass::DtlsData),
        (record(22, 0), PacketClass::Dtls),
        (record(22, 30)[..42].to_vec(), PacketClass::DtlsData),
        (record(22, 30)[..12].to_vec(), PacketClass::DtlsData),
        ([record(22, 30), vec![22]].concat(), PacketClass::DtlsData),
        // DTLS 1.3's own record format, and an invalid version.
        (vec![0x2e; 60], PacketClass::DtlsData),
        ([vec![22, 3, 3], vec![0; 20]].concat(), PacketClass::DtlsData),
    ] {
        assert_eq!(class(&datagram), expected, "{datagram:?}");
    }
}

#[test]
fn broken_messages_are_signed_by_nobody() {
    const PASSWORD: &str = "the viewer's ICE password";
    let is_signed = |packet: &[u8], password: &str| {
        StunMessage::read(packet).is_some_and(|message| message.is_signed(password.as_bytes()))
    };
    let whole = stun(BINDING_SUCCESS, 1, PASSWORD);
    assert!(is_signed(&whole, PASSWORD) && !is_signed(&whole, "another") && !is_signed(&whole, ""));
    for end in 0..whole.len() {
        assert!(!is_signed(&whole[..end], PASSWORD), "{end}");
    }
    assert!(!is_signed(&[&whole[..], &[0; 4]].concat(), PASSWORD));
    // The signature does not cover the attributes after it.
    for at in 0..whole.len() - 8 {
        let mut other = whole.clone();
        other[at] ^= 0x55;
        assert!(!is_signed(&other, PASSWORD), "{at}");
    }
    // An attribute with a wrong length ends the search.
    for length in [4, 0x7fff, 0xffff_u16] {
        let mut lying = whole.clone();
        lying[HEADER + 2..HEADER + 4].copy_from_slice(&length.to_be_bytes());
        assert!(!is_signed(&lying, PASSWORD), "{length}");
    }
    assert!(!is_signed(&unsigned(BINDING_SUCCESS, [1; 12], &[(8, &[0; 19])]), PASSWORD));
    assert!(!is_signed(&unsigned(BINDING_SUCCESS, [1; 12], &[]), PASSWORD));
}

#[test]
fn what_goes_through_a_turn_server_is_read() {
    // RFC 8489 section 14.2: the port is masked with the cookie, the address with cookie and transaction.
    let four: &[u8] = &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    let message = unsigned(SEND, [9; 12], &[(XOR_PEER_ADDRESS, four), (DATA_ATTRIBUTE, b"inside")]);
    let read = StunMessage::read(&message).unwrap();
    assert_eq!(read.peer(), Some("192.0.2.1:32853".parse().unwrap()));
    assert_eq!(read.data(), Some(&b"inside"[..]));
    let mut six = vec![0, 2, 0xa1, 0x47];
    six.extend([0x21 ^ 0x20, 0x12 ^ 0x01, 0xA4 ^ 0x0d, 0x42 ^ 0xb8]);
    six.extend([9; 11]);
    six.push(8);
    let message = unsigned(CHANNEL_BIND, [9; 12], &[(CHANNEL_NUMBER, &[0x40, 1, 0, 0]), (XOR_PEER_ADDRESS, &six)]);
    let read = StunMessage::read(&message).unwrap();
    assert_eq!((read.channel(), read.peer()), (Some(0x4001), Some("[2001:db8::1]:32853".parse().unwrap())));
    for bad in [&four[..0], &four[..3], &four[..7], &[0, 3, 0, 0, 1, 2, 3, 4][..], &six[..19]] {
        let message = unsigned(SEND, [9; 12], &[(XOR_PEER_ADDRESS, bad)]);
        assert_eq!(StunMessage::read(&message).unwrap().peer(), None, "{bad:?}");
    }
    assert_eq!(channel_data(&[0x40, 1, 0, 2, b'a', b'b', 0, 0]), Some((0x4001, &b"ab"[..])));
    assert_eq!(channel_data(&[0x40, 1, 0, 3, b'a', b'b']), None);
    assert_eq!(channel_data(&[0x40, 1, 0]), None);
}
