//! The head of a slice (ITU-T H.264, 7.3.3): which picture it belongs to, and when that is shown. Pure.

use crate::video::h264::{
    IDR, kind,
    sps::{self, Bits, Head},
};

/// As many bytes as the head may have, generously.
const HEAD: usize = 64;

/// The first fields of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Whether macroblocks are predicted from two pictures: type B.
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

/// The first fields; `None` where they are damaged.
pub(crate) fn parse(nal: &[u8]) -> Option<Slice> {
    first(&mut Bits { bytes: &rbsp(nal), at: 0 })
}

/// `pic_order_cnt_lsb` of a frame; `None` where it is a field, or has none.
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
