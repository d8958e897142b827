//! Skips MQTT messages that are too large, without storing them or ending the connection. Pure.
//!
//! MQTT 3.1.1 has no Maximum Packet Size, and a client can only disconnect when a larger packet comes. A retained one
//! comes again with each connection, so one message could keep a board offline for good. So this filter reads the byte
//! stream before the MQTT client. Of a PUBLISH above the limit it keeps topic and packet identifier, and replaces the
//! payload by a mark with the true length. The client acknowledges it like any other message.

use bytes::{Buf, BytesMut};

/// Bytes of a mark: the connection's random number, then the length.
const MARK: usize = 24;
/// Bytes of a remaining length (MQTT 5, section 1.5.5).
const LENGTH: usize = 4;

/// Recognises the marks of one connection. Only this program can make one.
#[derive(Debug, Clone, Copy)]
pub(super) struct SkipMarks([u8; 16]);

impl SkipMarks {
    /// Marks with this random number.
    pub(super) fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The true length of a payload that was skipped.
    pub(super) fn length(&self, payload: &[u8]) -> Option<usize> {
        let length = payload.strip_prefix(&self.0)?.try_into().map(u64::from_be_bytes).ok()?;
        usize::try_from(length).ok()
    }

    fn payload(&self, length: usize) -> [u8; MARK] {
        let mut mark = [0; MARK];
        mark[..16].copy_from_slice(&self.0);
        mark[16..].copy_from_slice(&(length as u64).to_be_bytes());
        mark
    }
}

/// The parser's state: where the next byte belongs.
#[derive(Debug)]
enum Place {
    /// In a fixed header, with its bytes so far.
    Header { bytes: [u8; 1 + LENGTH], known: usize },
    /// In a packet that is passed on unchanged, with the number of bytes that are left.
    Inside { left: usize },
    /// In topic, packet identifier and properties of a PUBLISH that is skipped.
    Head { first: u8, remaining: usize, head: Vec<u8> },
    /// In a payload that is skipped. `packet` replaces the whole packet at its end.
    Skipping { left: usize, packet: Vec<u8> },
    /// The stream cannot be parsed. Everything is passed on, and the client reports the error.
    Lost,
}

const START: Place = Place::Header { bytes: [0; 1 + LENGTH], known: 0 };

/// Filters the stream of one connection.
#[derive(Debug)]
pub(super) struct OversizedSkipper {
    place: Place,
    marks: SkipMarks,
    /// The largest packet, in bytes after its fixed header, that is passed on.
    most: usize,
    /// Whether packets have properties (MQTT 5).
    properties: bool,
    out: BytesMut,
}

impl OversizedSkipper {
    /// For a connection in MQTT 5 (with `properties`) or 3.1.1.
    pub(super) fn new(marks: SkipMarks, most: usize, properties: bool) -> Self {
        Self { place: START, marks, most, properties, out: BytesMut::new() }
    }

    /// Whether bytes are being skipped now.
    pub(super) fn is_skipping(&self) -> bool {
        matches!(self.place, Place::Skipping { .. } | Place::Head { .. })
    }

    /// The bytes for the client.
    pub(super) fn ready(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Adds received bytes. At most as many bytes, and one packet more, are ready for the client afterwards.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.place = match std::mem::replace(&mut self.place, Place::Lost) {
                Place::Header { bytes: mut header, known } => {
                    header[known] = bytes.get_u8();
                    self.header(header, known + 1)
                }
                Place::Inside { left } => {
                    let n = left.min(bytes.len());
                    self.out.extend_from_slice(&bytes[..n]);
                    bytes.advance(n);
                    if left == n { START } else { Place::Inside { left: left - n } }
                }
                Place::Head { first, remaining, mut head } => {
                    head.push(bytes.get_u8());
                    self.head(first, remaining, head)
                }
                Place::Skipping { left, packet } => {
                    let n = left.min(bytes.len());
                    bytes.advance(n);
                    self.skipped(left - n, packet)
                }
                Place::Lost => {
                    self.out.extend_from_slice(bytes);
                    return;
                }
            };
        }
    }

    /// Handles one byte of a fixed header.
    fn header(&mut self, header: [u8; 1 + LENGTH], known: usize) -> Place {
        let ends = known > 1 && header[known - 1] & 0x80 == 0;
        if !ends && known < header.len() {
            return Place::Header { bytes: header, known };
        }
        let remaining = header[1..known].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        let (first, is_publish) = (header[0], header[0] >> 4 == 3);
        if ends && is_publish && remaining > self.most {
            return Place::Head { first, remaining, head: Vec::new() };
        }
        self.out.extend_from_slice(&header[..known]);
        match (ends, remaining) {
            (false, _) => Place::Lost,
            (true, 0) => START,
            (true, left) => Place::Inside { left },
        }
    }

    /// Handles one byte of a PUBLISH's variable header.
    fn head(&mut self, first: u8, remaining: usize, head: Vec<u8>) -> Place {
        let Some(parts) = parts(&head, first, self.properties) else {
            return match head.len() < remaining {
                true => Place::Head { first, remaining, head },
                false => self.give_up(first, remaining, &head),
            };
        };
        let Some(length) = remaining.checked_sub(head.len() + parts.properties) else {
            return self.give_up(first, remaining, &head);
        };
        let mut body = head[..parts.identified].to_vec();
        if self.properties {
            body.push(0);
        }
        body.extend_from_slice(&self.marks.payload(length));
        let mut packet = vec![first];
        put_length(&mut packet, body.len());
        packet.extend_from_slice(&body);
        self.skipped(remaining - head.len(), packet)
    }

    fn skipped(&mut self, left: usize, packet: Vec<u8>) -> Place {
        if left > 0 {
            return Place::Skipping { left, packet };
        }
        self.out.extend_from_slice(&packet);
        START
    }

    /// A PUBLISH that contradicts itself is passed on unchanged.
    fn give_up(&mut self, first: u8, remaining: usize, head: &[u8]) -> Place {
        let mut packet = vec![first];
        put_length(&mut packet, remaining);
        self.out.extend_from_slice(&packet);
        self.out.extend_from_slice(head);
        Place::Lost
    }
}

/// A whole variable header.
struct Parts {
    /// Bytes of topic and packet identifier.
    identified: usize,
    /// Bytes of the properties after their length.
    properties: usize,
}

fn parts(head: &[u8], first: u8, properties: bool) -> Option<Parts> {
    let topic = head.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))?;
    let identifier = if first & 0b110 == 0 { 0 } else { 2 };
    let identified = 2 + topic + identifier;
    let rest = head.get(identified..)?;
    if !properties {
        return Some(Parts { identified, properties: 0 });
    }
    let (last, length) = (rest.last()?, rest.iter().take(LENGTH));
    let whole = last & 0x80 == 0 || rest.len() >= LENGTH;
    let properties = length.rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    whole.then_some(Parts { identified, properties })
}

fn put_length(packet: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 100;
    const MARKS: SkipMarks = SkipMarks([7; 16]);

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![first];
        put_length(&mut packet, body.len());
        packet.extend_from_slice(body);
        packet
    }

    fn publish(first: u8, topic: &str, properties: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        if first & 0b110 != 0 {
            body.extend_from_slice(&[0x12, 0x34]);
        }
        body.extend_from_slice(properties);
        body.extend_from_slice(payload);
        packet(first, &body)
    }

    /// The client's bytes, whatever pieces the stream comes in.
    fn through(stream: &[u8], properties: bool) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in [1, 2, 3, 7, 64, stream.len().max(1)] {
            let mut skipper = OversizedSkipper::new(MARKS, MOST, properties);
            let mut out = Vec::new();
            for bytes in stream.chunks(piece) {
                skipper.take(bytes);
                assert!(skipper.ready().len() <= piece + 300, "not more than the bytes received");
                out.extend_from_slice(&skipper.ready().split());
            }
            all.push(out);
        }
        assert!(all.iter().all(|out| *out == all[0]), "the pieces change nothing");
        all.remove(0)
    }

    #[test]
    fn what_is_small_enough_is_not_touched() {
        let mut stream = vec![0x20, 2, 0, 0, 0xd0, 0];
        stream.extend(publish(0x30, "a/b", &[], b"x"));
        stream.extend(publish(0x32, "a/b", &[], &[b'x'; 93]));
        stream.extend([0x40, 2, 0, 1]);
        assert_eq!(through(&stream, false), stream);
    }

    #[test]
    fn a_large_message_keeps_its_topic_flags_and_number() {
        for first in [0x30, 0x31, 0x32, 0x33, 0x3b, 0x34] {
            for (properties, props) in [(false, &[][..]), (true, &[0][..]), (true, &[3, 1, 2, 3][..])] {
                for length in [200, 20_000] {
                    let before = publish(first, "a/b", &[0][..usize::from(properties)], b"small");
                    let mut stream = before.clone();
                    stream.extend(publish(first, "fanlight/v1/cam/req/anna", props, &vec![b'z'; length]));
                    stream.extend([0xd0, 0]);
                    let out = through(&stream, properties);
                    let kept = &[0][..usize::from(properties)];
                    let mut expected = before;
                    expected.extend(publish(first, "fanlight/v1/cam/req/anna", kept, &MARKS.payload(length)));
                    expected.extend([0xd0, 0]);
                    assert_eq!(out, expected, "{first:x} {properties} {length}");
                }
            }
        }
    }

    #[test]
    fn a_quarter_of_a_gigabyte_is_skipped_in_no_memory() {
        let mut skipper = OversizedSkipper::new(MARKS, MOST, false);
        skipper.take(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b'a']);
        let (mut left, piece) = (268_435_455 - 3, vec![0; 1 << 20]);
        while left > 0 {
            assert!(skipper.is_skipping() && skipper.ready().is_empty());
            let n = piece.len().min(left);
            skipper.take(&piece[..n]);
            left -= n;
        }
        assert!(!skipper.is_skipping());
        assert_eq!(skipper.ready()[..], publish(0x30, "a", &[], &MARKS.payload(268_435_452)));
    }

    #[test]
    fn a_stream_that_is_no_mqtt_is_handed_on() {
        let table: [&[u8]; 4] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2],
            // A topic that is longer than its packet, and properties that are.
            &[&[0x30, 0xc8, 1, 0xff, 0xff][..], &[b'a'; 300]].concat(),
            &[&[0x30, 0xc8, 1, 0, 1, b'a', 0xff, 0x7f][..], &[b'a'; 300]].concat(),
        ];
        for stream in table {
            assert_eq!(through(stream, true), stream);
        }
        // Only a PUBLISH can be shortened. The client refuses any other packet of this length.
        let suback = [&[0x90, 0xc8, 1][..], &[0; 200]].concat();
        assert_eq!(through(&suback, false), suback);
    }

    #[test]
    fn only_marks_of_the_connection_tell_a_length() {
        assert_eq!(MARKS.length(&MARKS.payload(1_200_000)), Some(1_200_000));
        for other in [&SkipMarks([8; 16]).payload(5)[..], &[7; 16], &[7; 25], b""] {
            assert_eq!(MARKS.length(other), None);
        }
    }
}
