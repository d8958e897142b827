//! Rewrites a JPEG so that a strict decoder accepts it. Pure.
//!
//! Decoders disagree on what is an error. Everything that is not part of the frame (comments, thumbnails, bytes between
//! segments) is left out. What cameras forget (the end marker, the standard Huffman tables) is added, and restart
//! markers are renumbered. Coded data is never changed: a frame that is cut short stays so.

use crate::video::decode::jpeg::{
    tables,
    unit::{EOI, SOI, SOS, is_segment},
};

/// How many bytes of tables are kept for frames without their own tables.
const REMEMBERED: usize = 4096;
/// The most components of a frame.
const COMPONENTS: usize = 4;

/// Rewrites the frames of one source.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    out: Vec<u8>,
    /// The last tables, since a source may send them with its first frame only.
    huffman: Vec<u8>,
    quantizers: Vec<u8>,
}

/// What has been read of the current frame.
#[derive(Debug, Default)]
struct Seen {
    huffman: bool,
    quantizers: bool,
    jfif: bool,
    adobe: bool,
    /// The marker SOF, which gives the coding process.
    kind: Option<u8>,
    /// The identifier of each component, and whether a scan contained it.
    components: Vec<(u8, bool)>,
    restart: u16,
}

impl Tidy {
    /// Returns the rewritten frame, or what it lacks.
    pub(crate) fn picture(&mut self, unit: &[u8]) -> Result<&[u8], String> {
        self.out.clear();
        self.out.extend([0xFF, SOI]);
        let mut seen = Seen::default();
        let mut at = 2;
        while let Some(next) = unit.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
            at += next;
            let Some(&marker) = unit.get(at + 1) else { break };
            match marker {
                EOI => break,
                0xFF => at += 1,
                0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
                _ => {
                    let Some(body) = body(unit, at) else { break };
                    at += 4 + body.len();
                    if marker == SOS {
                        let coded = coded_length(&unit[at..]);
                        self.scan(&mut seen, body, &unit[at..at + coded])?;
                        at += coded;
                    } else {
                        self.segment(&mut seen, marker, body)?;
                    }
                }
            }
        }
        if seen.components.is_empty() || seen.components.iter().any(|(_, coded)| !coded) {
            return Err("cut short before its coded data".into());
        }
        self.out.extend([0xFF, EOI]);
        Ok(&self.out)
    }

    fn segment(&mut self, seen: &mut Seen, marker: u8, body: &[u8]) -> Result<(), String> {
        match marker {
            0xC4 => {
                if !std::mem::replace(&mut seen.huffman, true) {
                    self.huffman.clear();
                }
                let begin = self.out.len();
                huffman(body, &mut self.out);
                remember(&mut self.huffman, &self.out[begin..]);
            }
            0xDB => {
                if !std::mem::replace(&mut seen.quantizers, true) {
                    self.quantizers.clear();
                }
                let begin = self.out.len();
                quantizers(body, &mut self.out);
                remember(&mut self.quantizers, &self.out[begin..]);
            }
            // Arithmetic coding has its own tables (DAC).
            0xCC => put(&mut self.out, marker, body),
            0xC0..=0xCF if seen.kind.is_none() => {
                seen.frame(marker, body)?;
                put(&mut self.out, marker, &body[..6 + 3 * seen.components.len()]);
            }
            0xDD => seen.restart = body.get(..2).map_or(0, |value| u16::from_be_bytes([value[0], value[1]])),
            0xE0 if body.starts_with(b"JFIF\0") && !std::mem::replace(&mut seen.jfif, true) => {
                // Written as version 1.01 without a thumbnail; readers may refuse unknown versions.
                put(&mut self.out, marker, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
            }
            // Byte 11 is the colour transform; 0 to 2 are defined.
            0xEE if body.starts_with(b"Adobe")
                && body.get(11).is_some_and(|transform| *transform <= 2)
                && !seen.adobe =>
            {
                seen.adobe = true;
                put(&mut self.out, marker, &body[..12]);
            }
            _ => {}
        }
        Ok(())
    }

    fn scan(&mut self, seen: &mut Seen, body: &[u8], coded: &[u8]) -> Result<(), String> {
        let Some(kind) = seen.kind else { return Err("coded data before the size of the picture".into()) };
        let count = usize::from(body.first().copied().unwrap_or(0));
        let (true, Some(fields)) = ((1..=COMPONENTS).contains(&count), body.get(1..4 + 2 * count)) else {
            return Err("a scan without components".into());
        };
        for selector in fields[..2 * count].chunks_exact(2) {
            seen.components.iter_mut().filter(|(id, _)| *id == selector[0]).for_each(|(_, coded)| *coded = true);
        }
        if !std::mem::replace(&mut seen.quantizers, true) {
            self.out.extend_from_slice(&self.quantizers);
        }
        if !std::mem::replace(&mut seen.huffman, true) {
            match self.huffman.is_empty() {
                true => self.out.extend(tables::standard()),
                false => self.out.extend_from_slice(&self.huffman),
            }
        }
        let restarts = coded.windows(2).any(|pair| pair[0] == 0xFF && is_restart(pair[1]));
        // Some encoders declare restart markers and write none.
        let interval = if restarts { seen.restart } else { 0 };
        put(&mut self.out, 0xDD, &interval.to_be_bytes());
        put_marker(&mut self.out, SOS, 1 + fields.len());
        self.out.push(count as u8);
        self.out.extend_from_slice(&fields[..2 * count]);
        match kind {
            // In a sequential frame each scan has all coefficients, whatever its fields are.
            0xC0 | 0xC1 => self.out.extend([0, 63, 0]),
            _ => self.out.extend_from_slice(&fields[2 * count..]),
        }
        let begin = self.out.len();
        self.out.extend_from_slice(coded);
        renumber(&mut self.out[begin..]);
        Ok(())
    }
}

impl Seen {
    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), String> {
        let &[precision, h1, h0, w1, w0, count, ..] = body else { return Err("cut short in its header".into()) };
        if precision != 8 || !matches!(count, 1 | 3) {
            return Err(format!("a JPEG with {count} components of {precision} bits; 1 or 3 of 8 bits can be used"));
        }
        let Some(fields) = body[6..].get(..3 * usize::from(count)) else {
            return Err("cut short in its header".into());
        };
        self.kind = Some(marker);
        if [h1, h0] == [0; 2] || [w1, w0] == [0; 2] {
            return Err("a JPEG without a size".into());
        }
        self.components = fields.chunks_exact(3).map(|c| (c[0], false)).collect();
        Ok(())
    }
}

fn remember(tables: &mut Vec<u8>, new: &[u8]) {
    if tables.len() + new.len() <= REMEMBERED {
        tables.extend_from_slice(new);
    }
}

/// The body of the segment whose marker is at offset `at`.
fn body(unit: &[u8], at: usize) -> Option<&[u8]> {
    let length = unit.get(at + 2..at + 4)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    unit.get(at + 4..at + 2 + length)
}

fn put_marker(out: &mut Vec<u8>, marker: u8, length: usize) {
    out.extend([0xFF, marker]);
    out.extend_from_slice(&((length + 2) as u16).to_be_bytes());
}

fn put(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    put_marker(out, marker, body.len());
    out.extend_from_slice(body);
}

/// Writes each table of a DHT segment as a segment of its own. Anything else in it is left out.
fn huffman(mut body: &[u8], out: &mut Vec<u8>) {
    while let Some((head, rest)) = body.split_at_checked(17) {
        let count: usize = head[1..].iter().map(|&n| usize::from(n)).sum();
        let Some((values, rest)) = rest.split_at_checked(count).filter(|_| count <= 256) else { return };
        if head[0] & 0xEC == 0 {
            out.extend(tables::segment(head[0], &head[1..], values));
        }
        body = rest;
    }
}

/// Writes each table of a DQT segment as a segment of its own.
fn quantizers(mut body: &[u8], out: &mut Vec<u8>) {
    while let Some(&id) = body.first() {
        let length = if id >> 4 == 0 { 65 } else { 129 };
        let Some((table, rest)) = body.split_at_checked(length) else { return };
        if id & 0xEC == 0 {
            put(out, 0xDB, table);
        }
        body = rest;
    }
}

fn is_restart(marker: u8) -> bool {
    (0xD0..=0xD7).contains(&marker)
}

/// The length of coded data up to the next segment, the end marker or the end. A single FF at the end is half a marker.
fn coded_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|&byte| byte == 0xFF) {
        at += next;
        match bytes.get(at + 1) {
            None => return at,
            Some(&(SOI | EOI)) => return at,
            Some(&marker) if !is_restart(marker) && is_segment(marker) => return at,
            Some(0xFF) => at += 1,
            Some(_) => at += 2,
        }
    }
    bytes.len()
}

/// Numbers restart markers from 0 modulo 8. A decoder takes other numbers for lost data.
fn renumber(coded: &mut [u8]) {
    let (mut at, mut number) = (0, 0);
    while let Some(next) = coded[at..].iter().position(|&byte| byte == 0xFF) {
        at += next + 1;
        if let Some(marker) = coded.get_mut(at).filter(|marker| is_restart(**marker)) {
            *marker = 0xD0 + number % 8;
            number = (number + 1) % 8;
        }
    }
}
