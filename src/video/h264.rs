//! H.264 packetizer: from the byte stream of an encoder or camera to RTP payloads (RFC 6184, packetization mode 1).
//! Pure.
//!
//! All payloads of a frame are slices of one allocation, which is written once. The fragmentation headers are written
//! between them, so that nothing is copied for each viewer (see [`AccessUnit`]).

pub(crate) mod inspector;
mod packetizer;
pub(crate) mod parameter_sets;
mod slice_header;
pub(crate) mod sps;

use crate::{
    feed::AccessUnit,
    level::Level,
    video::{decode::jpeg::PictureError, sources::unit::Found},
};
pub(crate) use inspector::StreamInspector;
use packetizer::packetize;
pub(crate) use parameter_sets::ParameterSets;

/// The largest RTP payload, in bytes. With RTP header (12), header extensions (up to 16) and SRTP tag (up to 16), a
/// packet has at most 1200 bytes, which every internet path carries.
pub(crate) const PAYLOAD_LIMIT: usize = 1156;

/// The longest coded frame that is accepted, in bytes.
pub(crate) const LONGEST: usize = 4 << 20;

/// NAL unit types (ITU-T H.264, table 7-1).
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const END_OF_SEQUENCE: u8 = 10;
const END_OF_STREAM: u8 = 11;
const FILLER: u8 = 12;

/// The index of the next start code (00 00 01) at or after `from`.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    while let Some(&byte) = stream.get(at) {
        match byte {
            1 if stream[at - 1] == 0 && stream[at - 2] == 0 => return Some(at - 2),
            0 | 1 => at += 1,
            // No start code can end here or have this byte.
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

/// The NAL unit type.
fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1F)
}

/// Whether a NAL unit is a slice of a coded frame.
fn is_slice(nal: &[u8]) -> bool {
    (SLICE..=IDR).contains(&kind(nal))
}

/// Whether a byte stream contains a slice of an IDR frame.
#[cfg(test)]
pub(crate) fn has_idr(stream: &[u8]) -> bool {
    nals(stream).any(|nal| kind(nal) == IDR)
}

/// Whether these NAL units contain a slice of a coded frame.
pub(crate) fn has_picture(nals: &[&[u8]]) -> bool {
    nals.iter().any(|nal| is_slice(nal))
}

/// Why a frame longer than [`LONGEST`] is refused.
pub(crate) fn too_long(length: usize) -> PictureError {
    PictureError(format!("a coded picture of {} KiB; {} KiB are possible", length >> 10, LONGEST >> 10))
}

/// Finds the first access unit of `stream`. `ended`: nothing follows after `stream`.
pub(crate) fn find(stream: &[u8], ended: bool) -> Found {
    match unit_end(stream) {
        Some(end) => Found::Unit(end),
        None if ended => Found::Unit(stream.len()),
        None => Found::Nothing,
    }
}

/// The first sequence parameter set (SPS) in a byte stream.
pub(crate) fn find_sps(stream: &[u8]) -> Option<&[u8]> {
    nals(stream).find(|nal| kind(nal) == SPS)
}

/// The length of the access unit at the beginning of `stream`; `None` if its end is not there yet. After a slice, a
/// delimiter, a parameter set or SEI begins the next access unit; so does the first slice of the next frame. (ITU-T
/// H.264 sections 7.4.1.2.3 and 7.4.1.2.4, for streams without redundant or lost slices.)
pub(crate) fn unit_end(stream: &[u8]) -> Option<usize> {
    let mut slices = false;
    let mut next = start_code(stream, 0);
    while let Some(at) = next {
        // The NAL header, and the byte with first_mb_in_slice. If its first bit is set, the value is 0.
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

/// A start code may have one more zero byte before it.
fn zeros_before(stream: &[u8], at: usize) -> usize {
    if at > 0 && stream[at - 1] == 0 { at - 1 } else { at }
}

/// The result of [`H264Packetizer::packetize`].
#[derive(Debug)]
pub(crate) struct Packetized {
    /// The access unit, and where it is cut.
    pub(crate) unit: AccessUnit,
    /// Whether a decoder can start with it.
    pub(crate) key: bool,
    /// The level in its parameter sets, which a decoder must support.
    pub(crate) level: Option<Level>,
}

/// Cuts access units into RTP payloads. It keeps the parameter sets and puts them before every IDR frame, since a
/// viewer that joins later has not seen them.
#[derive(Debug, Default)]
pub(crate) struct H264Packetizer {
    sets: ParameterSets,
}

impl H264Packetizer {
    /// Cuts one access unit; `None` if it contains no slice.
    pub(crate) fn packetize(&mut self, nals: &[&[u8]]) -> Option<Packetized> {
        let key = self.sets.take_in(nals);
        if !has_picture(nals) {
            return None;
        }
        let idr = nals.iter().any(|nal| kind(nal) == IDR);
        let left_out = [DELIMITER, END_OF_SEQUENCE, END_OF_STREAM, FILLER, SPS, PPS];
        let sent = |nal: &&&[u8]| !left_out.contains(&kind(nal));
        // Before an IDR frame, the last set of each id; before other frames, only the new sets.
        let sets = self.sets.all(idr);
        let whole: Vec<&[u8]> = sets.chain(nals.iter().filter(sent).copied()).collect();
        let unit = packetize(&whole, PAYLOAD_LIMIT);
        self.sets.sent();
        Some(Packetized { unit, key, level: self.sets.level() })
    }

    /// The parameter sets seen so far.
    pub(crate) fn sets(&self) -> &ParameterSets {
        &self.sets
    }
}

#[cfg(test)]
mod tests {
    use rtc::rtp::{codec::h264::H264Packet, packetizer::Depacketizer};

    use super::*;

    const THE_SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x1F, 0xAA];
    const THE_PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];

    /// A NAL unit without a start code in its body.
    pub(crate) fn unit(header: u8, length: usize) -> Vec<u8> {
        let mut unit: Vec<u8> = std::iter::once(header).chain((1..length).map(|i| (i % 251) as u8 | 0x80)).collect();
        // The slice begins a frame, has type I and refers to parameter set 0.
        unit.iter_mut().skip(1).zip([0x88, 0x80]).for_each(|(byte, head)| *byte = head);
        unit
    }

    fn annex_b(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| [0, 0, 0, 1].into_iter().chain(unit.iter().copied())).collect()
    }

    /// What another implementation receives.
    pub(crate) fn received(unit: &AccessUnit) -> Vec<Vec<u8>> {
        let mut receiver = H264Packet::default();
        let stream: Vec<u8> = unit.payloads().flat_map(|p| receiver.depacketize(&p).unwrap().to_vec()).collect();
        let received: Vec<Vec<u8>> = nals(&stream).map(<[u8]>::to_vec).collect();
        let kept = unit.annex_b();
        assert_eq!(nals(&kept).collect::<Vec<_>>(), received, "other readers get the same");
        received
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
    fn parameter_sets_share_a_packet_in_front_of_every_idr() {
        let mut packetizer = H264Packetizer::default();
        let idr = unit(0x65, 3000);
        let first = packetizer.packetize(&[&[9, 0xF0], THE_SPS, THE_PPS, &idr]).unwrap();
        assert!(first.key);
        assert_eq!(first.unit.payloads().next().unwrap()[0] & 0x1F, 24, "in one packet");
        assert_eq!(received(&first.unit), [THE_SPS, THE_PPS, &idr], "without the delimiter");
        let slice = unit(0x41, 100);
        let between = packetizer.packetize(&[&slice]).unwrap();
        assert!(!between.key);
        assert_eq!(received(&between.unit), [&slice[..]]);
        let bare = packetizer.packetize(&[&idr]).unwrap();
        assert!(bare.key);
        assert_eq!(received(&bare.unit), [THE_SPS, THE_PPS, &idr], "repeated");
    }

    #[test]
    fn new_parameter_sets_replace_old_ones_and_unknown_ones_are_no_start() {
        let mut packetizer = H264Packetizer::default();
        let idr = unit(0x65, 30);
        assert!(!packetizer.packetize(&[&idr]).unwrap().key, "no decoder can start without parameter sets");
        assert!(packetizer.packetize(&[THE_SPS]).is_none(), "no picture in it");
        assert!(!packetizer.packetize(&[&idr]).unwrap().key, "half of them");
        assert!(packetizer.packetize(&[THE_PPS, &idr]).unwrap().key);
        let other: &[u8] = &[0x67, 0x42, 0xC0, 0x28, 0xBB];
        let cut = packetizer.packetize(&[other, THE_PPS, &idr]).unwrap();
        assert_eq!(received(&cut.unit), [other, THE_PPS, &idr]);
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
