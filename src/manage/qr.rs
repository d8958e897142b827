//! A QR code (ISO/IEC 18004) in a terminal. A character has two modules, one above the other. Dark modules are drawn in
//! black on a white ground, because many cameras do not read a code with the colours reversed.

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code. The standard wants four; telephones read a code with two.
const QUIET: usize = 4;
const QUIET_IN_A_SMALL_WINDOW: usize = 2;
/// Black on white (ECMA-48 8.3.117), then bright white, which some terminals do not know and leave out.
const BLACK_ON_WHITE: &str = "\x1b[30;47;107m";
const RESET: &str = "\x1b[0m";

/// What a text is printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Whether it shows colours.
    pub colours: bool,
    /// How many characters it has in a line. `None`: unknown.
    pub columns: Option<usize>,
}

impl Screen {
    /// Standard output.
    pub fn of_process() -> Self {
        let output = std::io::stdout();
        let is_terminal = std::io::IsTerminal::is_terminal(&output);
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let size = is_terminal.then(|| rustix::termios::tcgetwinsize(&output).ok()).flatten();
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Self { colours: is_terminal && !dumb, columns }
    }
}

/// Draws the code of a text. The error says why there is none.
pub(super) fn draw(text: &str, screen: Screen) -> Result<String, String> {
    // The lowest level of correction gives the largest modules. A screen has no scratches.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(|e| format!("no QR code: {e}"))?;
    let width = code.width();
    let room = screen.columns.unwrap_or(usize::MAX);
    let quiet = if width + 2 * QUIET <= room { QUIET } else { QUIET_IN_A_SMALL_WINDOW };
    let side = width + 2 * quiet;
    if side > room {
        return Err(format!("no QR code: this window has {room} columns, and the code needs {side}"));
    }
    let colors = code.into_colors();
    let is_dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(quiet).filter(|at| *at < width);
        let color = inside(x).zip(inside(y)).and_then(|(x, y)| colors.get(y * width + x));
        color == Some(&Color::Dark)
    };
    let mut drawn = String::new();
    for y in (0..side).step_by(2) {
        if screen.colours {
            drawn.push_str(BLACK_ON_WHITE);
        }
        for x in 0..side {
            drawn.push(half_blocks(is_dark(x, y), y + 1 < side && is_dark(x, y + 1), screen.colours));
        }
        if screen.colours {
            drawn.push_str(RESET);
        }
        drawn.push('\n');
    }
    Ok(drawn)
}

/// The character of two modules. Without colours, the light ones are drawn, which is right on a dark terminal.
fn half_blocks(upper: bool, lower: bool, colours: bool) -> char {
    match (upper == colours, lower == colours) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as an honest link gets.
    fn link() -> String {
        format!("https://cam.example.org/#p={}", "eyJ2IjoxLCJicm9rZXIi".repeat(17))
    }

    /// The drawing as grey pixels, as a terminal shows it: `scale` pixels a module, in the middle of a dark window.
    fn pixels(drawn: &str, colours: bool, scale: usize) -> (usize, Vec<u8>) {
        let rows: Vec<Vec<char>> = drawn
            .lines()
            .map(|line| {
                let line = line.strip_prefix(BLACK_ON_WHITE).unwrap_or(line);
                line.strip_suffix(RESET).unwrap_or(line).chars().collect()
            })
            .collect();
        let (ink, ground) = if colours { (0, 230) } else { (230, 20) };
        let (columns, margin) = (rows[0].len(), 10);
        let size = (columns.max(2 * rows.len()) + 2 * margin) * scale;
        let mut image = vec![20; size * size];
        for (at, pixel) in image.iter_mut().enumerate() {
            let (x, y) = ((at % size / scale).wrapping_sub(margin), (at / size / scale).wrapping_sub(margin));
            let Some(character) = rows.get(y / 2).and_then(|row| row.get(x)) else { continue };
            let full = match character {
                '█' => true,
                '▀' => y % 2 == 0,
                '▄' => y % 2 == 1,
                _ => false,
            };
            *pixel = if full { ink } else { ground };
        }
        (size, image)
    }

    /// Reads with another program's decoder.
    fn read(size: usize, image: &[u8]) -> Option<String> {
        let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(size, size, |x, y| image[y * size + x]);
        let grids = prepared.detect_grids();
        grids.first().and_then(|grid| grid.decode().ok()).map(|(_, text)| text)
    }

    #[test]
    fn another_decoder_reads_what_a_terminal_shows() {
        for colours in [true, false] {
            for columns in [None, Some(80), Some(200)] {
                let drawn = draw(&link(), Screen { colours, columns }).unwrap();
                let widest = drawn
                    .lines()
                    .map(|line| line.replace(BLACK_ON_WHITE, "").replace(RESET, ""))
                    .map(|line| line.chars().count())
                    .max();
                assert!(widest.unwrap() <= columns.unwrap_or(200), "{widest:?}");
                let (size, image) = pixels(&drawn, colours, 4);
                assert_eq!(read(size, &image).as_deref(), Some(link().as_str()), "{colours} {columns:?}");
            }
        }
    }

    #[test]
    fn a_code_for_which_the_window_is_too_small_is_not_drawn() {
        let error = draw(&link(), Screen { colours: true, columns: Some(60) }).unwrap_err();
        assert!(error.contains("60 columns"), "{error}");
        assert!(draw(&"x".repeat(4000), Screen { colours: true, columns: None }).is_err());
    }

    /// Writes the drawing as a picture, to be looked at: `FANLIGHT_QR=file.pgm cargo test a_picture_of_the_code`.
    #[test]
    fn a_picture_of_the_code() {
        let drawn = draw(&link(), Screen { colours: true, columns: Some(80) }).unwrap();
        let (size, image) = pixels(&drawn, true, 6);
        if let Some(file) = std::env::var_os("FANLIGHT_QR") {
            std::fs::write(file, [format!("P5 {size} {size} 255\n").as_bytes(), &image].concat()).unwrap();
        }
        assert_eq!(image.len(), size * size);
    }
}
