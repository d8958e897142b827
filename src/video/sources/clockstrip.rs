//! The picture clock: a strip of 40 cells at the top of the picture that shows the time of capture, so that programs
//! can measure delay.
//!
//! In a picture of width W, a cell is a square of side c = floor(W / 40). Cells 0 and 1 are white and black. Cells 2 to
//! 33 are 32 bits, the most significant first: `CLOCK_REALTIME` in milliseconds modulo 2³². Cells 34 to 37 are a check
//! nibble (exclusive or of the value's nibbles and 0xA). Cells 38 and 39 are black and white. Rows 0 to c-1 hold the
//! cells, rows c to 2c-1 are grey. Chroma is neutral over both.

use std::time::Duration;

const CELLS: usize = 40;
const WHITE: u8 = 235;
const BLACK: u8 = 16;
const GREY: u8 = 126;
const NEUTRAL: u8 = 128;
/// The least difference between white and black that a reader accepts.
const CONTRAST: u32 = 60;

/// The value of the picture clock for a wall clock time since 1970.
pub fn value(wall: Duration) -> u32 {
    // The truncation is the modulo 2³².
    wall.as_millis() as u32
}

/// Draws the strip into the planes of an I420 picture that is `width` pixels wide and has no gaps between rows. A
/// picture that is narrower than 40 pixels or shorter than the strip stays unchanged.
pub fn draw([y, u, v]: [&mut [u8]; 3], width: usize, value: u32) {
    let side = width / CELLS;
    if side == 0 || y.len() < 2 * side * width || u.len() < side * (width / 2) || v.len() < side * (width / 2) {
        return;
    }
    let (cells, grey) = y[..2 * side * width].split_at_mut(side * width);
    grey.fill(GREY);
    let (first, others) = cells.split_at_mut(width);
    first.fill(GREY);
    for (cell, white) in first.chunks_exact_mut(side).zip(levels(value)) {
        cell.fill(if white { WHITE } else { BLACK });
    }
    others.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(first));
    // Two rows of luma share one row of chroma.
    for plane in [u, v] {
        plane[..side * (width / 2)].fill(NEUTRAL);
    }
}

/// Reads the strip from a luma plane; `None` if it is absent or damaged.
pub fn read(y: &[u8], stride: usize, width: usize) -> Option<u32> {
    let side = width / CELLS;
    if side == 0 || stride < width || y.len() < side * stride {
        return None;
    }
    let mut means = [0_u32; CELLS];
    for (i, mean) in means.iter_mut().enumerate() {
        *mean = middle(y, stride, i * side, side);
    }
    let white = (means[0] + means[39]) / 2;
    let black = (means[1] + means[38]) / 2;
    if white < black + CONTRAST {
        return None;
    }
    let cut = u32::midpoint(white, black);
    let bits = |cells: &[u32]| cells.iter().fold(0_u32, |bits, &mean| bits << 1 | u32::from(mean > cut));
    let value = bits(&means[2..34]);
    (bits(&means[34..38]) == check(value)).then_some(value)
}

/// The mean of the middle of the cell that begins at `x`, half as wide and high as the cell.
fn middle(y: &[u8], stride: usize, x: usize, side: usize) -> u32 {
    let (from, to) = (side / 4, (side - side / 4).max(side / 4 + 1));
    let sum: u32 = (from..to)
        .map(|row| y[row * stride + x + from..row * stride + x + to].iter().map(|&b| u32::from(b)).sum::<u32>())
        .sum();
    sum / ((to - from) * (to - from)) as u32
}

fn levels(value: u32) -> impl Iterator<Item = bool> {
    let bits = |value: u32, count: u32| (0..count).rev().map(move |bit| value >> bit & 1 == 1);
    [true, false].into_iter().chain(bits(value, 32)).chain(bits(check(value), 4)).chain([false, true])
}

fn check(value: u32) -> u32 {
    (0..8).fold(0xA, |check, nibble| check ^ (value >> (4 * nibble) & 0xF))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, height: usize, value: u32) -> Vec<u8> {
        let (mut y, mut u, mut v) =
            (vec![77; width * height], vec![1; width * height / 4], vec![2; width * height / 4]);
        draw([&mut y, &mut u, &mut v], width, value);
        y
    }

    #[test]
    fn what_is_drawn_is_read() {
        for width in [40, 42, 320, 640, 1280, 1922] {
            for value in [0, 1, 0x8000_0000, 0xFFFF_FFFF, 0x1234_5678, 0xDEAD_BEEF] {
                assert_eq!(read(&drawn(width, 160, value), width, width), Some(value), "{width} {value:x}");
            }
        }
    }

    #[test]
    fn the_geometry_is_the_published_one() {
        let (width, side) = (1280, 32);
        let y = drawn(width, 720, 0b1);
        let at = |x: usize, row: usize| y[row * width + x];
        assert_eq!([at(0, 0), at(side, 0), at(38 * side, 31), at(39 * side, 31)], [235, 16, 16, 235]);
        assert_eq!([at(32 * side, 0), at(33 * side, 0)], [16, 235], "the last bit is the least significant");
        let nibble: Vec<u8> = (34..38).map(|cell| at(cell * side, 5)).collect();
        assert_eq!(nibble, [235, 16, 235, 235], "1 xor 0xA is 0b1011");
        assert_eq!([at(0, side), at(1279, 63), at(0, 64)], [126, 126, 77]);
    }

    #[test]
    fn a_reader_refuses_what_is_not_a_strip() {
        let (width, height) = (640, 480);
        assert_eq!(read(&vec![100; width * height], width, width), None, "no contrast");
        let mut y = drawn(width, height, 0x0102_0304);
        for row in 0..16 {
            y[row * width + 2 * 16..][..16].fill(WHITE);
        }
        assert_eq!(read(&y, width, width), None, "one wrong bit");
        assert_eq!(read(&y[..100], width, width), None, "too short");
        assert_eq!(read(&y, width, 39), None, "too narrow");
    }

    #[test]
    fn a_picture_without_room_is_left_alone() {
        assert!(drawn(38, 38, 7).iter().all(|&b| b == 77));
        assert!(drawn(1280, 48, 7).iter().all(|&b| b == 77), "shorter than the strip");
    }

    #[test]
    fn the_value_is_wall_time_modulo_its_width() {
        assert_eq!(value(Duration::from_millis((1 << 32) + 5)), 5);
    }
}
