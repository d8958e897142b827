//! Checks whether the coded data of a JPEG is complete. Pure.
//!
//! The decoder library only warns if coded data ends early, fills the rest with grey, and reports only the first of
//! several warnings. So a frame with a warning is read again here: only its Huffman codes, to count the blocks.

use crate::video::decode::jpeg::unit::{EOI, SOS};

/// Codes of up to this many bits are decoded with one table lookup.
const QUICK: u32 = 9;

/// Whether every block of a frame is there and readable. The frame must be written by
/// [`crate::video::decode::jpeg::tidy`]. `None` if it is neither baseline nor extended sequential with Huffman codes.
pub(crate) fn is_whole(picture: &[u8]) -> Option<bool> {
    let mut state = State::default();
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = picture.get(at..at + 4) {
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = picture.get(at + 4..end) else { return Some(false) };
        at = end;
        match marker {
            0xC0 | 0xC1 => state.frame(body)?,
            0xC4 => state.table(body)?,
            0xC2..=0xCF => return None,
            0xDD => state.restart = usize::from(u16::from_be_bytes([body[0], body[1]])),
            SOS => {
                let length = scan_length(&picture[at..]);
                if !state.scan(body, &picture[at..at + length])? {
                    return Some(false);
                }
                at += length;
            }
            _ => {}
        }
    }
    Some(picture.get(at..at + 2) == Some(&[0xFF, EOI]))
}

#[derive(Debug, Default)]
struct State {
    size: (usize, usize),
    /// The identifier, and the horizontal and vertical sampling factors.
    components: Vec<(u8, usize, usize)>,
    /// DC tables 0 to 3, then AC tables 0 to 3.
    tables: [Option<Table>; 8],
    restart: usize,
}

impl State {
    fn frame(&mut self, body: &[u8]) -> Option<()> {
        let side = |at: usize| Some(usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?])));
        self.size = (side(3)?, side(1)?);
        let fields = body.get(6..)?.chunks_exact(3);
        self.components = fields.map(|c| (c[0], usize::from(c[1] >> 4), usize::from(c[1] & 15))).collect();
        let usable = self.components.iter().all(|(_, h, v)| (1..=4).contains(h) && (1..=4).contains(v));
        (usable && !self.components.is_empty()).then_some(())
    }

    fn table(&mut self, body: &[u8]) -> Option<()> {
        let id = usize::from(*body.first()?);
        *self.tables.get_mut((id >> 4) * 4 + (id & 3))? = Some(Table::new(body.get(1..17)?, body.get(17..)?));
        Some(())
    }

    /// Whether a scan is complete.
    fn scan(&self, body: &[u8], coded: &[u8]) -> Option<bool> {
        let count = usize::from(*body.first()?);
        let most = |side: fn(&(u8, usize, usize)) -> usize| self.components.iter().map(side).max();
        let (wide, high) = (most(|c| c.1)?, most(|c| c.2)?);
        let mut blocks = Vec::new();
        let mut units = 0;
        for selector in body.get(1..1 + 2 * count)?.chunks_exact(2) {
            let &(_, h, v) = self.components.iter().find(|(id, ..)| *id == selector[0])?;
            let (dc, ac) = (usize::from(selector[1] >> 4 & 3), usize::from(selector[1] & 3));
            let tables = (self.tables[dc].as_ref()?, self.tables[4 + ac].as_ref()?);
            if count == 1 {
                // A scan that is not interleaved has as many blocks as its component needs.
                let side = |size: usize, own: usize, most: usize| (size * own).div_ceil(most).div_ceil(8);
                units = side(self.size.0, h, wide) * side(self.size.1, v, high);
                blocks.push(tables);
            } else {
                units = self.size.0.div_ceil(8 * wide) * self.size.1.div_ceil(8 * high);
                blocks.extend(std::iter::repeat_n(tables, h * v));
            }
        }
        let each = if self.restart == 0 { units } else { self.restart };
        let mut parts = parts(coded);
        let mut left = units;
        while left > 0 {
            let Some(part) = parts.next() else { return Some(false) };
            let here = left.min(each);
            let mut bits = Bits { bytes: part, held: 0, count: 0 };
            for _ in 0..here {
                for (dc, ac) in &blocks {
                    if bits.block(dc, ac).is_none() {
                        return Some(false);
                    }
                }
            }
            left -= here;
        }
        Some(true)
    }
}

/// The length of a scan's coded data, up to the next marker that is not a restart marker.
fn scan_length(bytes: &[u8]) -> usize {
    let marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF | 0xD0..=0xD7);
    bytes.windows(2).position(marker).unwrap_or(bytes.len())
}

/// The segments of a scan between restart markers.
fn parts(coded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(coded);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.windows(2).position(|pair| pair[0] == 0xFF && (0xD0..=0xD7).contains(&pair[1]));
        rest = end.map(|end| &all[end + 2..]);
        Some(&all[..end.unwrap_or(all.len())])
    })
}

/// A Huffman table (ITU-T T.81 section F.2.2.3).
#[derive(Debug)]
struct Table {
    /// Indexed by the next `QUICK` bits: length of the code (0: longer than `QUICK`) and value.
    quick: Vec<(u8, u8)>,
    /// For each code length: the first code, how many there are, and the index of their first value.
    lengths: [(u32, u32, usize); 17],
    values: Vec<u8>,
}

impl Table {
    fn new(counts: &[u8], values: &[u8]) -> Self {
        let mut table = Self { quick: vec![(0, 0); 1 << QUICK], lengths: [(0, 0, 0); 17], values: values.to_vec() };
        let (mut code, mut place) = (0_u32, 0);
        for (length, &count) in (1_u32..).zip(counts) {
            table.lengths[length as usize] = (code, count.into(), place);
            for n in 0..u32::from(count) {
                let value = values.get(place + n as usize).copied().unwrap_or(0);
                if let Some(shift) = QUICK.checked_sub(length) {
                    let first = ((code + n) << shift) as usize;
                    let places = table.quick.get_mut(first..first + (1 << shift));
                    places.into_iter().flatten().for_each(|quick| *quick = (length as u8, value));
                }
            }
            place += usize::from(count);
            code = (code + u32::from(count)) << 1;
        }
        table
    }
}

/// Reads bits of coded data, without the stuffed zero bytes.
struct Bits<'a> {
    bytes: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// Reads until at least 32 bits are buffered, or until the end.
    fn fill(&mut self) {
        while self.count <= 32 {
            let Some((&byte, rest)) = self.bytes.split_first() else { return };
            self.bytes = if byte == 0xFF { rest.strip_prefix(&[0]).unwrap_or(rest) } else { rest };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next bits; after the last one, zeros.
    fn peek(&self, length: u32) -> u32 {
        let bits = match self.count.checked_sub(length) {
            Some(behind) => self.held >> behind,
            None => self.held << (length - self.count),
        };
        (bits & ((1 << length) - 1)) as u32
    }

    fn skip(&mut self, length: u32) -> Option<()> {
        self.count = self.count.checked_sub(length)?;
        Some(())
    }

    /// The value of the next code; `None` if the code is unknown or incomplete.
    fn value(&mut self, table: &Table) -> Option<u8> {
        self.fill();
        let (length, value) = *table.quick.get(self.peek(QUICK) as usize)?;
        if length > 0 {
            self.skip(length.into())?;
            return Some(value);
        }
        for length in QUICK + 1..=16 {
            let (first, count, place) = table.lengths[length as usize];
            if let Some(n) = self.peek(length).checked_sub(first).filter(|n| *n < count) {
                self.skip(length)?;
                return table.values.get(place + n as usize).copied();
            }
        }
        None
    }

    /// Skips one block; `None` if it is incomplete.
    fn block(&mut self, dc: &Table, ac: &Table) -> Option<()> {
        let length = self.value(dc)?;
        self.skip(u32::from(length).min(16))?;
        let mut place = 1;
        while place < 64 {
            let value = self.value(ac)?;
            let (zeros, length) = (u32::from(value >> 4), u32::from(value & 15));
            match (zeros, length) {
                (15, 0) => place += 16,
                (_, 0) => break,
                _ => {
                    place += zeros + 1;
                    self.skip(length)?;
                }
            }
        }
        Some(())
    }
}
