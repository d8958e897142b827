//! Reads the header of a slice (ITU-T H.264, 7.3.3): its parameter set, type and picture order. Pure.

use crate::video::h264::{
    IDR, kind,
    sps::{self, Bits, Head},
};

/// More bytes than the fields in question can take.
const HEAD: usize = 64;

/// The first fields of a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Whether it is a B slice, which is predicted from two pictures.
    pub(crate) is_b: bool,
    /// `pic_parameter_set_id`.
    pub(crate) set: u32,
}

fn rbsp(nal: &[u8]) -> Vec<u8> {
    sps::without_emulation(nal.get(1..nal.len().min(HEAD)).unwrap_or_default())
}

fn first(bits: &mut Bits<'_>) -> Option<Slice> {
    bits.golomb()?; // first_mb_in_slice
    let slice_type = bits.golomb().filter(|n| *n < 10)?;
    let set = bits.golomb().filter(|n| *n < 256)?;
    Some(Slice { is_b: slice_type % 5 == 1, set })
}

/// Reads the first fields; `None` if they are damaged.
pub(crate) fn parse(nal: &[u8]) -> Option<Slice> {
    first(&mut Bits { bytes: &rbsp(nal), at: 0 })
}

/// `pic_order_cnt_lsb` of a frame; `None` if it is a field, or the stream does not use it.
pub(crate) fn order(nal: &[u8], head: &Head) -> Option<u32> {
    let rbsp = rbsp(nal);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    first(&mut bits)?;
    if head.separate {
        bits.take(2)?;
    }
    bits.take(head.number_bits)?;
    if !head.frames_only && bits.take(1)? == 1 {
        return None;
    }
    if kind(nal) == IDR {
        bits.golomb()?;
    }
    if head.order.0 == 0 { bits.take(head.order.1) } else { None }
}
