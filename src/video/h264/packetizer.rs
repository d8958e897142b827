//! Packetizes NAL units into RTP payloads (RFC 6184, packetization mode 1). Pure.

use crate::{
    feed::{AccessUnit, AccessUnitWriter},
    video::h264::{PPS, SEI, SPS, kind},
};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Cuts NAL units into RTP payloads of at most `limit` bytes. Small units without slices share one packet (STAP-A). A
/// unit that fits is sent as it is, a larger one in fragments of equal size (FU-A).
pub(crate) fn packetize(nals: &[&[u8]], limit: usize) -> AccessUnit {
    let fragments = |nal: &&[u8]| nal.len().div_ceil(limit - 2);
    let room = nals.iter().map(|nal| nal.len() + 4 + 2 * fragments(nal)).sum();
    let mut unit = AccessUnitWriter::with_capacity(room, nals.iter().map(fragments).sum());
    let mut rest = nals;
    while let [nal, ..] = rest {
        let together = shared(rest, limit);
        if together > 1 {
            let group = &rest[..together];
            let importance = group.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
            unit.header(&[importance | STAP_A]);
            for nal in group {
                // The length fits into 16 bits, since the packet is within the limit.
                unit.header(&(nal.len() as u16).to_be_bytes());
                unit.begin_nal(nal);
            }
            unit.end_payload();
        } else if nal.len() <= limit {
            unit.begin_nal(nal);
            unit.end_payload();
        } else {
            fragment(nal, limit, &mut unit);
        }
        rest = &rest[together.max(1)..];
    }
    unit.finish()
}

/// How many of the first units share one packet.
fn shared(nals: &[&[u8]], limit: usize) -> usize {
    let small = nals.iter().take_while(|nal| matches!(kind(nal), SEI | SPS | PPS));
    let sizes = small.scan(1, |size, nal| {
        *size += 2 + nal.len();
        Some(*size)
    });
    sizes.take_while(|&size| size <= limit).count()
}

fn fragment(nal: &[u8], limit: usize, unit: &mut AccessUnitWriter) {
    let (header, body) = (nal[0], &nal[1..]);
    let count = body.len().div_ceil(limit - 2);
    let parts = body.chunks(body.len().div_ceil(count));
    let last = parts.len() - 1;
    // The headers of the fragments carry what is in the NAL header, so it is not sent itself.
    unit.begin_nal(&[header]);
    unit.leave_out();
    for (i, part) in parts.enumerate() {
        let start = if i == 0 { 0x80 } else { 0 };
        let end = if i == last { 0x40 } else { 0 };
        unit.header(&[header & 0xE0 | FU_A, start | end | header & 0x1F]);
        unit.continue_nal(part);
        unit.end_payload();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::video::h264::{
        PAYLOAD_LIMIT,
        packetizer::*,
        tests::{received, unit},
    };

    #[test]
    fn every_size_arrives_whole_within_the_limit() {
        for length in [1, 2, 1155, 1156, 1157, 1158, 2309, 2310, 2311, 50_000] {
            let nal = unit(0x61, length);
            let unit = packetize(&[&nal], PAYLOAD_LIMIT);
            let payloads: Vec<Bytes> = unit.payloads().collect();
            assert!(payloads.iter().all(|p| p.len() <= PAYLOAD_LIMIT), "{length}");
            assert_eq!(payloads.len() == 1, length <= PAYLOAD_LIMIT, "{length}");
            if length > 2 {
                assert_eq!(received(&unit), [nal], "{length}");
            }
        }
    }

    #[test]
    fn fragments_are_marked_and_of_equal_size() {
        let payloads: Vec<Bytes> = packetize(&[&unit(0x65, 3000)], 1002).payloads().collect();
        assert_eq!(payloads.iter().map(Bytes::len).collect::<Vec<_>>(), [1002, 1002, 1001]);
        let headers: Vec<_> = payloads.iter().map(|p| [p[0], p[1]]).collect();
        assert_eq!(headers, [[0x7C, 0x85], [0x7C, 0x05], [0x7C, 0x45]]);
        let begin = payloads[0].as_ptr();
        assert_eq!(payloads[1].as_ptr(), begin.wrapping_add(1002), "one allocation for all");
    }
}
