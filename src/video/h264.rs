//! H.264: from the byte stream of an encoder or a camera to RTP payloads (RFC 6184, packetization mode 1). Pure.
//!
//! All payloads of a picture are slices of one allocation, written once; fragmentation headers are written between the
//! parts, so nothing is copied again for any viewer.

use bytes::{Bytes, BytesMut};

/// The largest RTP payload: with RTP header (12), header extensions (up to 16) and SRTP tag (up to 16) a packet stays
/// within 1200 bytes, which every path on the internet carries.
pub(crate) const PAYLOAD_LIMIT: usize = 1156;

/// What is remembered of parameter sets: more than any real stream has.
const SETS: usize = 16;
const SET_LENGTH: usize = 1024;

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const END_OF_SEQUENCE: u8 = 10;
const END_OF_STREAM: u8 = 11;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The index of the next start code (00 00 01) at or after `from`.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    while let Some(&byte) = stream.get(at) {
        match byte {
            1 if stream[at - 1] == 0 && stream[at - 2] == 0 => return Some(at - 2),
            0 | 1 => at += 1,
            // No start code can have its third byte here, or its first or second.
            _ => at += 3,
        }
    }
    None
}

/// The NAL units of a byte stream (Annex B), without start codes and trailing zeros.
pub(crate) fn nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = start_code(stream, 0);
    std::iter::from_fn(move || {
        let begin = next? + 3;
        next = start_code(stream, begin);
        let nal = &stream[begin..next.unwrap_or(stream.len())];
        let length = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..length])
    })
    .filter(|nal| !nal.is_empty())
}

fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1F)
}

/// Whether a NAL unit is a slice of a picture.
fn is_slice(nal: &[u8]) -> bool {
    (SLICE..=IDR).contains(&kind(nal))
}

/// Whether a byte stream holds a slice of an IDR picture.
pub(crate) fn has_idr(stream: &[u8]) -> bool {
    nals(stream).any(|nal| kind(nal) == IDR)
}

/// The sequence parameter set in a byte stream.
pub(crate) fn sps(stream: &[u8]) -> Option<&[u8]> {
    nals(stream).find(|nal| kind(nal) == SPS)
}

/// The length of the first access unit of `stream`, which begins with one; `None` where its end is not in sight. An
/// access unit ends before a delimiter, a parameter set or supplemental information after a slice, or before the first
/// slice of the next picture (7.4.1.2.3 and 7.4.1.2.4, for streams without redundant or lost slices).
pub(crate) fn unit_end(stream: &[u8]) -> Option<usize> {
    let mut slices = false;
    let mut next = start_code(stream, 0);
    while let Some(at) = next {
        // The header and the byte with first_mb_in_slice, whose first bit is set for 0.
        let (header, first) = (*stream.get(at + 3)?, *stream.get(at + 4)?);
        match header & 0x1F {
            SLICE..=IDR if slices && first & 0x80 != 0 => return Some(zeros_before(stream, at)),
            SLICE..=IDR => slices = true,
            SEI..=DELIMITER | 14..=18 if slices => return Some(zeros_before(stream, at)),
            _ => {}
        }
        next = start_code(stream, at + 3);
    }
    None
}

/// A start code may have one more zero in front.
fn zeros_before(stream: &[u8], at: usize) -> usize {
    if at > 0 && stream[at - 1] == 0 { at - 1 } else { at }
}

/// One picture, cut for RTP.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Payloads in order.
    pub(crate) payloads: Vec<Bytes>,
    /// Whether a decoder can start here.
    pub(crate) key: bool,
}

/// Cuts pictures into payloads and keeps the parameter sets, to put them in front of every IDR picture: a viewer that
/// joins has never seen them.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    sets: Vec<Vec<u8>>,
}

impl Cutter {
    /// Cuts one access unit; `None` where it holds no slice.
    pub(crate) fn cut(&mut self, nals: &[&[u8]]) -> Option<Cut> {
        for nal in nals {
            self.learn(nal);
        }
        if !nals.iter().any(|nal| is_slice(nal)) {
            return None;
        }
        let idr = nals.iter().any(|nal| kind(nal) == IDR);
        let sent = |nal: &&&[u8]| match kind(nal) {
            DELIMITER | END_OF_SEQUENCE | END_OF_STREAM | FILLER => false,
            SPS | PPS => !idr,
            _ => true,
        };
        let sets = self.sets.iter().map(Vec::as_slice).filter(|_| idr);
        let whole: Vec<&[u8]> = sets.chain(nals.iter().filter(sent).copied()).collect();
        Some(Cut { payloads: packetize(&whole, PAYLOAD_LIMIT), key: idr && self.complete() })
    }

    /// Whether a decoder could start with what is known.
    fn complete(&self) -> bool {
        [SPS, PPS].iter().all(|wanted| self.sets.iter().any(|set| kind(set) == *wanted))
    }

    fn learn(&mut self, nal: &[u8]) {
        let parameter_set = matches!(kind(nal), SPS | PPS) && nal.len() <= SET_LENGTH;
        if !parameter_set || self.sets.iter().any(|set| set == nal) {
            return;
        }
        // Another sequence: what belonged to the one before is void.
        if kind(nal) == SPS || self.sets.len() == SETS {
            self.sets.clear();
        }
        self.sets.push(nal.to_vec());
    }
}

/// Cuts NAL units into RTP payloads of at most `limit` bytes: small units without slices share one packet (STAP-A), a
/// unit that fits is sent as it is, a larger one in fragments of equal size (FU-A).
fn packetize(nals: &[&[u8]], limit: usize) -> Vec<Bytes> {
    let room = nals.iter().map(|nal| nal.len() + 4 + 2 * nal.len().div_ceil(limit - 2)).sum();
    let mut bytes = BytesMut::with_capacity(room);
    let mut ends = Vec::new();
    let mut rest = nals;
    while let [nal, ..] = rest {
        let together = shared(rest, limit);
        if together > 1 {
            let group = &rest[..together];
            let importance = group.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
            bytes.extend_from_slice(&[importance | STAP_A]);
            for nal in group {
                // Fits: the whole packet is within the limit.
                bytes.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                bytes.extend_from_slice(nal);
            }
            ends.push(bytes.len());
        } else if nal.len() <= limit {
            bytes.extend_from_slice(nal);
            ends.push(bytes.len());
        } else {
            fragment(nal, limit, &mut bytes, &mut ends);
        }
        rest = &rest[together.max(1)..];
    }
    let bytes = bytes.freeze();
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, &end)| bytes.slice(begin..end)).collect()
}

/// How many of the first units go into one packet.
fn shared(nals: &[&[u8]], limit: usize) -> usize {
    let small = nals.iter().take_while(|nal| matches!(kind(nal), SEI | SPS | PPS));
    let sizes = small.scan(1, |size, nal| {
        *size += 2 + nal.len();
        Some(*size)
    });
    sizes.take_while(|&size| size <= limit).count()
}

fn fragment(nal: &[u8], limit: usize, bytes: &mut BytesMut, ends: &mut Vec<usize>) {
    let (header, body) = (nal[0], &nal[1..]);
    let count = body.len().div_ceil(limit - 2);
    let parts = body.chunks(body.len().div_ceil(count));
    let last = parts.len() - 1;
    for (i, part) in parts.enumerate() {
        let start = if i == 0 { 0x80 } else { 0 };
        let end = if i == last { 0x40 } else { 0 };
        bytes.extend_from_slice(&[header & 0xE0 | FU_A, start | end | header & 0x1F]);
        bytes.extend_from_slice(part);
        ends.push(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};

    use super::*;

    const THE_SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x1F, 0xAA];
    const THE_PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];

    /// A unit whose body holds no start code.
    fn unit(header: u8, length: usize) -> Vec<u8> {
        std::iter::once(header).chain((1..length).map(|i| (i % 251) as u8 | 0x80)).collect()
    }

    fn annex_b(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [0, 0, 0, 1].into_iter().chain(unit.iter().copied())).collect()
    }

    /// What a receiver of another make puts together.
    fn received(payloads: &[Bytes]) -> Vec<Vec<u8>> {
        let mut receiver = H264Packet::default();
        let stream: Vec<u8> = payloads.iter().flat_map(|p| receiver.depacketize(p).unwrap().to_vec()).collect();
        nals(&stream).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn units_are_found_behind_every_kind_of_start_code() {
        let stream =
            [&[9, 9, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 0, 3, 0, 0, 1, 0, 0, 1, 0x65, 5, 0, 0][..]].concat();
        let found: Vec<&[u8]> = nals(&stream).collect();
        assert_eq!(found, [&[0x67, 1][..], &[0x68, 0, 3], &[0x65, 5]]);
        for nothing in [&[][..], &[0], &[0, 0], &[0, 0, 1], &[1, 2, 3, 4], &[0, 0, 2, 0, 0]] {
            assert_eq!(nals(nothing).count(), 0, "{nothing:?}");
        }
    }

    #[test]
    fn every_size_arrives_whole_within_the_limit() {
        for length in [1, 2, 1155, 1156, 1157, 1158, 2309, 2310, 2311, 50_000] {
            let nal = unit(0x61, length);
            let payloads = packetize(&[&nal], PAYLOAD_LIMIT);
            assert!(payloads.iter().all(|p| p.len() <= PAYLOAD_LIMIT), "{length}");
            assert_eq!(payloads.len() == 1, length <= PAYLOAD_LIMIT, "{length}");
            if length > 2 {
                assert_eq!(received(&payloads), [nal], "{length}");
            }
        }
    }

    #[test]
    fn fragments_are_marked_and_of_equal_size() {
        let payloads = packetize(&[&unit(0x65, 3000)], 1002);
        assert_eq!(payloads.iter().map(Bytes::len).collect::<Vec<_>>(), [1002, 1002, 1001]);
        let headers: Vec<_> = payloads.iter().map(|p| [p[0], p[1]]).collect();
        assert_eq!(headers, [[0x7C, 0x85], [0x7C, 0x05], [0x7C, 0x45]]);
        let begin = payloads[0].as_ptr();
        assert_eq!(payloads[1].as_ptr(), begin.wrapping_add(1002), "one allocation for all");
    }

    #[test]
    fn parameter_sets_share_a_packet_in_front_of_every_idr() {
        let mut cutter = Cutter::default();
        let idr = unit(0x65, 3000);
        let first = cutter.cut(&[&[9, 0xF0], THE_SPS, THE_PPS, &idr]).unwrap();
        assert!(first.key);
        assert_eq!(first.payloads[0][0] & 0x1F, STAP_A);
        assert_eq!(received(&first.payloads), [THE_SPS, THE_PPS, &idr], "without the delimiter");
        let slice = unit(0x41, 100);
        let between = cutter.cut(&[&slice]).unwrap();
        assert!(!between.key);
        assert_eq!(received(&between.payloads), [&slice[..]]);
        let bare = cutter.cut(&[&idr]).unwrap();
        assert!(bare.key);
        assert_eq!(received(&bare.payloads), [THE_SPS, THE_PPS, &idr], "repeated");
    }

    #[test]
    fn new_parameter_sets_replace_old_ones_and_unknown_ones_are_no_start() {
        let mut cutter = Cutter::default();
        let idr = unit(0x65, 30);
        assert!(!cutter.cut(&[&idr]).unwrap().key, "no decoder can start without parameter sets");
        assert!(cutter.cut(&[THE_SPS]).is_none(), "no picture in it");
        assert!(!cutter.cut(&[&idr]).unwrap().key, "half of them");
        assert!(cutter.cut(&[THE_PPS, &idr]).unwrap().key);
        let other: &[u8] = &[0x67, 0x42, 0xC0, 0x28, 0xBB];
        let cut = cutter.cut(&[other, THE_PPS, &idr]).unwrap();
        assert_eq!(received(&cut.payloads), [other, THE_PPS, &idr]);
        for i in 0..1000_u16 {
            let [a, b] = i.to_be_bytes();
            let _ = cutter.cut(&[&[0x68, a, b, 1]]);
        }
        assert!(cutter.sets.len() <= SETS, "a stream cannot make it remember more and more");
    }

    #[test]
    fn access_units_end_where_the_next_begins() {
        let (idr, p1, p2) = (unit(0x65, 40), unit(0x41, 30), unit(0x01, 20));
        let mut second_slice = unit(0x65, 20);
        second_slice[1] = 0x40;
        for (units, expected) in [
            (vec![THE_SPS, THE_PPS, &idr, &second_slice, &p1], Some(4)),
            (vec![&idr[..], &p1, &p2], Some(1)),
            (vec![&p1[..], &[9, 0xF0]], Some(1)),
            (vec![&p1[..], THE_SPS], Some(1)),
            (vec![&idr[..], &second_slice], None),
            (vec![&p1[..]], None),
            (vec![], None),
        ] {
            let stream = annex_b(&units);
            let end = expected.map(|n| annex_b(&units[..n]).len());
            assert_eq!(unit_end(&stream), end, "{} units", units.len());
        }
    }
}
