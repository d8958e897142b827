//! The test picture: colour bars, a ramp, noise, a moving ball and the picture clock.

use std::{ops::Range, time::Duration};

use openh264::formats::YUVSource;

use crate::{
    clock::Mono,
    video::{
        decode::planes::{Colour, Planes},
        frame_pace::{FrameClock, Rate},
        sources::clockstrip,
    },
};

/// 75 % colour bars (white, yellow, cyan, green, magenta, red, blue) in Y, U, V of BT.709.
const BARS: [[u8; 3]; 7] =
    [[180, 128, 128], [168, 44, 136], [145, 147, 44], [133, 63, 52], [63, 193, 204], [51, 109, 212], [28, 212, 120]];

/// The range of the noise's grey values above the ground's.
const SNOW: u32 = 64;
/// The number of offsets in the noise buffer at which a line can begin.
const FLAKES: usize = 1 << 16;

/// The test picture. The background is drawn once. Each frame restores and draws the ball and the sweep, copies some
/// lines of noise, and draws the picture clock.
#[derive(Debug)]
pub(crate) struct Pattern {
    background: Planes,
    canvas: Planes,
    /// The ball's brightness at each pixel, or 0 outside of it; `2 * radius` squared values.
    ball: Vec<u8>,
    radius: usize,
    /// Noise that an encoder cannot predict. Without it, the picture would need only a fifth of the usual bitrate.
    snow: Vec<u8>,
    /// The rectangles of the canvas that differ from the background: x, y, width, height, all even.
    dirty: Vec<[usize; 4]>,
    frame_clock: FrameClock,
    start: Mono,
}

impl Pattern {
    /// Prepares frames of this size, `fps` per second.
    pub(crate) fn new(size: (u32, u32), fps: u32) -> Result<Self, String> {
        let background = background(size)?;
        let radius = ((size.1 / 10) as usize & !1).clamp(2, 128);
        let start = Mono::now();
        Ok(Self {
            canvas: background.clone(),
            background,
            ball: ball(radius),
            radius,
            snow: snow(size.0 as usize),
            dirty: Vec::with_capacity(2),
            frame_clock: FrameClock::new(Rate::whole(fps), start),
            start,
        })
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Mono {
        self.frame_clock.due()
    }

    /// Draws the frame that is due now. Its time of capture is `now`.
    pub(crate) fn next(&mut self, now: Mono) -> &mut Planes {
        self.frame_clock.advance(now);
        self.draw(now.since(self.start), clockstrip::value(now.wall()))
    }

    /// The current frame, for its size and colour.
    #[cfg(test)]
    pub(crate) fn planes(&self) -> &Planes {
        &self.canvas
    }

    /// Draws the frame at `time` since the start, with `clock` as picture clock.
    pub(crate) fn draw(&mut self, time: Duration, clock: u32) -> &mut Planes {
        self.restore();
        self.draw_snow(time);
        let (width, height) = self.canvas.size();
        let top = strip_height(width);
        let side = 2 * self.radius;
        if height > top + side && width > side {
            let (x, y) = orbit(time, (width - side) as f64, (height - top - side) as f64);
            self.draw_ball(x & !1, (top + y) & !1);
        }
        self.draw_sweep(time);
        clockstrip::draw(self.canvas.split_mut(), width, clock);
        &mut self.canvas
    }

    fn restore(&mut self) {
        let (width, _) = self.canvas.size();
        let sources = [self.background.y(), self.background.u(), self.background.v()];
        for [x, y, w, h] in self.dirty.drain(..) {
            for (i, (target, source)) in self.canvas.split_mut().into_iter().zip(sources).enumerate() {
                let [x, y, w, h, width] = [x, y, w, h, width].map(|n| if i == 0 { n } else { n / 2 });
                for row in y..y + h {
                    let place = row * width + x..row * width + x + w;
                    target[place.clone()].copy_from_slice(&source[place]);
                }
            }
        }
    }

    /// Copies lines from offsets that look random. The same time gives the same lines.
    fn draw_snow(&mut self, time: Duration) {
        let (width, height) = self.canvas.size();
        let mut dice = time.as_millis() as u32;
        let [luma, ..] = self.canvas.split_mut();
        for line in luma[band(width, height)].chunks_exact_mut(width) {
            dice = roll(dice);
            line.copy_from_slice(&self.snow[dice as usize % FLAKES..][..width]);
        }
    }

    fn draw_ball(&mut self, x: usize, y: usize) {
        let (width, _) = self.canvas.size();
        let side = 2 * self.radius;
        let [luma, u, v] = self.canvas.split_mut();
        for (row, shade) in self.ball.chunks_exact(side).enumerate() {
            let line = &mut luma[(y + row) * width + x..][..side];
            for (pixel, &shade) in line.iter_mut().zip(shade) {
                if shade > 0 {
                    *pixel = shade;
                }
            }
            if row % 2 == 0 {
                let place = (y + row) / 2 * (width / 2) + x / 2;
                for (i, &shade) in shade.iter().step_by(2).enumerate() {
                    if shade > 0 {
                        (u[place + i], v[place + i]) = (90, 190);
                    }
                }
            }
        }
        self.dirty.push([x, y, side, side]);
    }

    /// A white mark that crosses the bottom once in two seconds, which makes stutter visible.
    fn draw_sweep(&mut self, time: Duration) {
        let (width, height) = self.canvas.size();
        let (mark_width, mark_height) = ((width / 80).max(2) & !1, (height / 24).max(2) & !1);
        let offset = (time.as_millis() % 2000) as usize * (width - mark_width) / 2000;
        let (x, y) = (offset & !1, (height - mark_height) & !1);
        let [luma, ..] = self.canvas.split_mut();
        for row in y..y + mark_height {
            luma[row * width + x..][..mark_width].fill(235);
        }
        self.dirty.push([x, y, mark_width, mark_height]);
    }
}

/// The height of the picture clock's strip, in rows. Nothing is drawn over it.
fn strip_height(width: usize) -> usize {
    2 * (width / 40)
}

/// The pixels with noise: between the ramp and the sweep.
fn band(width: usize, height: usize) -> Range<usize> {
    let first = (height * 87 / 100).max(strip_height(width)).min(height);
    first * width..(height * 95 / 100).max(first) * width
}

fn snow(width: usize) -> Vec<u8> {
    let mut dice = 1;
    let mut flake = || {
        dice = roll(dice);
        28 + (dice % SNOW) as u8
    };
    (0..FLAKES + width).map(|_| flake()).collect()
}

/// The next pseudo-random number: xorshift (Marsaglia, 2003), never from zero.
fn roll(dice: u32) -> u32 {
    let dice = dice | 1;
    let dice = dice ^ dice << 13;
    let dice = dice ^ dice >> 17;
    dice ^ dice << 5
}

/// The ball's position: two sines with periods of 4 s and 3.1 s, so that the path does not repeat soon.
fn orbit(time: Duration, width: f64, height: f64) -> (usize, usize) {
    let turn = |period: f64| (time.as_secs_f64() / period * std::f64::consts::TAU).sin() / 2.0 + 0.5;
    ((turn(4.0) * width) as usize, (turn(3.1) * height) as usize)
}

/// A ball with light from the upper left.
fn ball(radius: usize) -> Vec<u8> {
    let r = radius as f64;
    let place = |i: usize| (i as f64 + 0.5 - r) / r;
    let shade = |x: f64, y: f64| {
        let depth = 1.0 - x * x - y * y;
        if depth <= 0.0 {
            return 0;
        }
        let light = (-0.5 * x - 0.5 * y + 0.7 * depth.sqrt()).max(0.0);
        (50.0 + 170.0 * light.powf(1.5)).clamp(1.0, 235.0) as u8
    };
    (0..4 * radius * radius).map(|i| shade(place(i % (2 * radius)), place(i / (2 * radius)))).collect()
}

/// Colour bars at the top, below them a ramp from black to white, and dark ground at the bottom.
fn background(size: (u32, u32)) -> Result<Planes, String> {
    let mut planes = Planes::new(size, Colour::HD)?;
    let (width, height) = planes.size();
    for (i, plane) in planes.split_mut().into_iter().enumerate() {
        let width = if i == 0 { width } else { width / 2 };
        let height = if i == 0 { height } else { height / 2 };
        for (row, line) in plane.chunks_exact_mut(width).enumerate().take(height) {
            for (x, pixel) in line.iter_mut().enumerate() {
                *pixel = match (row * 100 / height, i) {
                    (0..70, _) => BARS[x * BARS.len() / width][i],
                    (70..86, 0) => (16 + x * 219 / width) as u8,
                    (86.., 0) => 28,
                    _ => 128,
                };
            }
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_can_be_drawn() {
        for size in [(16, 16), (40, 40), (320, 180), (1280, 720), (720, 1280), (3840, 2160)] {
            let mut pattern = Pattern::new(size, 30).unwrap();
            for second in 0..20 {
                pattern.draw(Duration::from_millis(second * 377), 1);
            }
        }
        assert!(Pattern::new((641, 480), 30).is_err());
    }

    #[test]
    fn the_picture_moves_and_leaves_no_trace() {
        let mut pattern = Pattern::new((640, 360), 30).unwrap();
        let first = pattern.draw(Duration::from_millis(100), 7).clone();
        let later = pattern.draw(Duration::from_millis(900), 7).clone();
        let moved = first.y().iter().zip(later.y()).filter(|(a, b)| a != b).count();
        assert!(moved > 3000, "{moved} pixels moved");
        let again = pattern.draw(Duration::from_millis(100), 7);
        assert_eq!((first.y(), first.u(), first.v()), (again.y(), again.u(), again.v()));
    }

    #[test]
    fn the_clock_shows_the_time_of_capture() {
        let mut pattern = Pattern::new((640, 360), 30).unwrap();
        let now = Mono::now();
        let picture = pattern.next(now);
        let read = clockstrip::read(picture.y(), 640, 640).unwrap();
        assert!(read.abs_diff(clockstrip::value(now.wall())) <= 1);
    }
}
