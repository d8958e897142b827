//! An access unit, and where to cut it into RTP payloads.
//!
//! The stack's RTP packet holds its payload in one piece of memory. A NAL unit that is longer than a packet travels in
//! fragments, and each has two bytes of header in front (FU-A, RFC 6184 section 5.8). So an access unit in one piece
//! would have to be copied for each viewer. Instead, the encoder's bytes are copied once, and the headers are written
//! into gaps between the fragments. A viewer's payload is then a slice, and a NAL unit is a list of slices: a reader
//! that is no viewer gets the access unit as it left the encoder.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// A range of bytes, as 32-bit numbers: a frame is much shorter, and has many of them.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: u32,
    end: u32,
}

/// A NAL unit or a fragment of one.
#[derive(Debug, Clone, Copy)]
struct Piece {
    span: Span,
    /// Whether a NAL unit begins here.
    begins: bool,
}

/// The bytes of one access unit (H.264) or one packet (Opus), and the RTP payloads into which they are cut. All readers
/// share one allocation.
#[derive(Clone, Default)]
pub struct AccessUnit {
    /// The pieces, with payload headers in the gaps between them.
    bytes: Bytes,
    pieces: Vec<Piece>,
    /// The RTP payloads: each is some pieces with the headers in front of them.
    payloads: Vec<Span>,
}

impl fmt::Debug for AccessUnit {
    /// Without the picture or sound.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access unit of {} bytes in {} payloads", self.bytes.len(), self.payloads.len())
    }
}

impl AccessUnit {
    /// A packet that is not cut: its bytes are one RTP payload.
    pub fn whole(bytes: Bytes) -> Self {
        let span = Span { begin: 0, end: offset(bytes.len()) };
        Self { bytes, pieces: vec![Piece { span, begins: true }], payloads: vec![span] }
    }

    /// The RTP payloads in order (RFC 6184 for H.264, RFC 7587 for Opus). They are not copied.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = Bytes> {
        self.payloads.iter().map(|span| self.bytes.slice(span.begin as usize..span.end as usize))
    }

    /// The sum of the lengths of all RTP payloads, in bytes.
    pub fn payload_len(&self) -> usize {
        self.payloads.iter().map(|span| span.len()).sum()
    }

    /// The NAL units in order, without start codes.
    pub fn nal_units(&self) -> impl Iterator<Item = NalUnit<'_>> {
        self.pieces.chunk_by(|_, next| !next.begins).map(|pieces| NalUnit { bytes: &self.bytes, pieces })
    }

    /// The access unit as a byte stream (ITU-T H.264 annex B), as decoders and files take it.
    pub fn annex_b(&self) -> Vec<u8> {
        let length = self.nal_units().map(|unit| 4 + unit.byte_len()).sum();
        let mut joined = Vec::with_capacity(length);
        for unit in self.nal_units() {
            joined.extend_from_slice(&[0, 0, 0, 1]);
            unit.pieces().for_each(|piece| joined.extend_from_slice(piece));
        }
        joined
    }
}

/// One NAL unit of an access unit.
#[derive(Debug, Clone, Copy)]
pub struct NalUnit<'a> {
    bytes: &'a [u8],
    pieces: &'a [Piece],
}

impl<'a> NalUnit<'a> {
    /// Its bytes, from the NAL header on, in one or more slices.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (bytes, pieces) = (self.bytes, self.pieces);
        pieces.iter().map(move |Piece { span, .. }| &bytes[span.begin as usize..span.end as usize])
    }

    /// Its length in bytes, with the NAL header.
    pub fn byte_len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.span.len()).sum()
    }
}

impl Span {
    fn len(self) -> usize {
        (self.end - self.begin) as usize
    }
}

/// Writes an access unit, piece by piece.
#[derive(Debug)]
pub struct AccessUnitWriter {
    bytes: BytesMut,
    pieces: Vec<Piece>,
    payloads: Vec<Span>,
    /// Where the next payload begins.
    begin: u32,
}

impl AccessUnitWriter {
    /// A writer with room for this many bytes, headers included, and this many payloads.
    pub fn with_capacity(bytes: usize, payloads: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(bytes),
            pieces: Vec::with_capacity(payloads + 1),
            payloads: Vec::with_capacity(payloads),
            begin: 0,
        }
    }

    /// Writes a payload header. It is no part of the access unit.
    pub fn header(&mut self, header: &[u8]) {
        self.bytes.extend_from_slice(header);
    }

    /// Writes a NAL unit, or its begin.
    pub fn begin_nal(&mut self, piece: &[u8]) {
        self.piece(piece, true);
    }

    /// Writes the next fragment of the NAL unit.
    pub fn continue_nal(&mut self, piece: &[u8]) {
        self.piece(piece, false);
    }

    fn piece(&mut self, piece: &[u8], begins: bool) {
        let begin = offset(self.bytes.len());
        self.bytes.extend_from_slice(piece);
        self.pieces.push(Piece { span: Span { begin, end: offset(self.bytes.len()) }, begins });
    }

    /// Ends a payload: it has everything since the last one.
    pub fn end_payload(&mut self) {
        let end = offset(self.bytes.len());
        self.payloads.push(Span { begin: self.begin, end });
        self.begin = end;
    }

    /// What was written since the last payload is sent in none.
    pub fn leave_out(&mut self) {
        self.begin = offset(self.bytes.len());
    }

    /// The access unit.
    pub fn finish(self) -> AccessUnit {
        AccessUnit { bytes: self.bytes.freeze(), pieces: self.pieces, payloads: self.payloads }
    }
}

/// A place in an access unit. Encoders and cameras are held to a few MiB.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_access_unit_has_no_picture() {
        assert_eq!(format!("{:?}", AccessUnit::whole(vec![0x78; 99].into())), "access unit of 99 bytes in 1 payloads");
    }

    #[test]
    fn payload_headers_are_sent_and_are_no_part_of_the_access_unit() {
        let mut writer = AccessUnitWriter::with_capacity(64, 3);
        writer.header(b"S2");
        writer.begin_nal(b"ab");
        writer.header(b"1");
        writer.begin_nal(b"c");
        writer.end_payload();
        writer.begin_nal(b"d");
        writer.leave_out();
        for (header, piece) in [(b"F1", b"efg"), (b"F2", b"hij")] {
            writer.header(header);
            writer.continue_nal(piece);
            writer.end_payload();
        }
        let unit = writer.finish();
        let payloads: Vec<Bytes> = unit.payloads().collect();
        assert_eq!(payloads, ["S2ab1c", "F1efg", "F2hij"]);
        assert_eq!((unit.payloads().len(), unit.payload_len()), (3, 16));
        assert_eq!(unit.annex_b(), b"\0\0\0\x01ab\0\0\0\x01c\0\0\0\x01defghij");
        assert_eq!(payloads[2].as_ptr(), payloads[1].as_ptr().wrapping_add(5), "one allocation for all");
        let last = unit.nal_units().last().unwrap();
        assert_eq!(last.pieces().nth(2).unwrap().as_ptr(), payloads[2].as_ptr().wrapping_add(2), "and for all readers");
    }

    #[test]
    fn a_packet_that_is_not_cut_is_one_payload() {
        let packet = Bytes::from_static(b"opus");
        let unit = AccessUnit::whole(packet.clone());
        let payloads: Vec<Bytes> = unit.payloads().collect();
        assert_eq!((payloads.len(), payloads[0].as_ptr()), (1, packet.as_ptr()));
        assert_eq!(unit.nal_units().flat_map(|unit| unit.pieces()).collect::<Vec<_>>(), [&packet[..]]);
        let nothing = AccessUnit::default();
        assert_eq!((nothing.payloads().len(), nothing.annex_b().len()), (0, 0));
    }
}
