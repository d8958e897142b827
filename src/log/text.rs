//! Makes texts safe for a log line: escapes control characters and marks of direction, and bounds the length. Pure.

use std::fmt::{self, Write};

/// Longest text from outside, in characters after escaping.
const OUTSIDE: usize = 200;
/// Longest sentence that may quote a text from outside, in characters.
const SENTENCE: usize = 400;
/// Longest message of a library, in characters after data was removed.
const LIBRARY: usize = 160;
/// Longest word of a library's message, in characters. A longer one may be a key, or data in hexadecimal or base64.
const WORD: usize = 40;

/// A text from outside: from the network, a device or another program. Every log line must show such a text through
/// this type. It escapes control characters, line ends and marks of direction, and cuts the text to 200 characters.
#[derive(Debug, Clone, Copy)]
pub struct Outside<T>(pub T);

impl<T: AsRef<str>> fmt::Display for Outside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = OUTSIDE;
        for c in self.0.as_ref().chars() {
            let width = width(c);
            if width > left {
                return f.write_char('…');
            }
            left -= width;
            put(c, f)?;
        }
        Ok(())
    }
}

/// A sentence that may quote a text from outside, such as a broker's reason, as one line of at most 400 characters. The
/// quoted part should be wrapped in `Outside` first.
pub fn sentence(text: &str) -> String {
    let mut out = String::new();
    let mut left = SENTENCE;
    for c in text.chars() {
        match left.checked_sub(width(c)) {
            Some(room) => left = room,
            None => {
                out.push('…');
                break;
            }
        }
        // Writing to a String never fails.
        let _ = put(c, &mut out);
    }
    out
}

/// Whether a character changes how the characters around it look: controls, line and paragraph separators, marks of
/// direction (Unicode Annex #9), and characters without width.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn put(c: char, out: &mut impl Write) -> fmt::Result {
    match is_deceptive(c) {
        true => write!(out, "{}", c.escape_default()),
        false => out.write_char(c),
    }
}

fn width(c: char) -> usize {
    if is_deceptive(c) { c.escape_default().len() } else { 1 }
}

/// A message of this program. `lines`: line ends are kept, and the lines after the first are indented, so none of them
/// can look like a log line of its own.
pub(super) fn own(message: &str, lines: bool) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.trim_end().chars() {
        match c {
            '\n' if lines => out.push_str("\n    "),
            // Writing to a String never fails.
            _ => {
                let _ = put(c, &mut out);
            }
        }
    }
    out
}

/// A library's message without data: quoted texts, lists, structures and long words are replaced by `…`. Libraries
/// often print packets, payloads or keys with `{:?}`.
pub(super) fn library(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        if let '[' | '{' | '(' | '"' = c {
            let (inside, after) = group(rest);
            match is_name(c, inside) {
                true => out.push_str(&rest[..rest.len() - after.len()]),
                false => out.push('…'),
            }
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "[{(\"".contains(c)).unwrap_or(rest.len()).max(c.len_utf8());
        let (word, after) = rest.split_at(end);
        // The first part of `b"…"` and `Some(…)` may stay.
        match word.chars().count() > WORD || !word.is_ascii() {
            true => out.push('…'),
            false => word.chars().for_each(|c| out.push(if c.is_control() { ' ' } else { c })),
        }
        rest = after;
    }
    let mut cut: String = out.chars().take(LIBRARY).collect();
    if cut.len() < out.len() {
        cut.push('…');
    }
    cut
}

/// Whether a text in brackets is a name, such as `[controlled]` or `(on init)`, and not data.
fn is_name(open: char, inside: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphabetic() || c == ' ' || c == '_';
    (open == '[' || open == '(') && inside.len() <= 24 && inside.chars().all(letters)
}

/// The text inside the brackets or quotes with which `text` begins, and the text after them. If they are not closed,
/// all of it is inside.
fn group(text: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                if !quoted && depth == 0 {
                    return (&text[1..at], &text[at + 1..]);
                }
            }
            _ if quoted => {}
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (&text[1..at], &text[at + 1..]);
                }
            }
            _ => {}
        }
    }
    (&text[1..], "")
}

/// A writer that accepts up to `most` bytes. Then it returns an error, so formatting a huge value stops early.
pub(super) struct Bounded {
    pub(super) text: String,
    most: usize,
}

impl Bounded {
    pub(super) fn new(most: usize) -> Self {
        Self { text: String::new(), most }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.most.saturating_sub(self.text.len());
        if text.len() <= left {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=left).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.text.push('…');
        self.most = 0;
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_escaped() {
        let table = [
            ("Küche 📷", "Küche 📷"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[31mred\u{7}\0", "\\u{1b}[31mred\\u{7}\\u{0}"),
            ("\u{202e}evil\u{2066}\u{200f}", "\\u{202e}evil\\u{2066}\\u{200f}"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"),
            ("\u{feff}\u{200b}\u{e0041}", "\\u{feff}\\u{200b}\\u{e0041}"),
        ];
        for (text, shown) in table {
            assert_eq!(Outside(text).to_string(), shown);
        }
    }

    #[test]
    fn a_text_from_outside_is_short() {
        let exact = "x".repeat(200);
        assert_eq!(Outside(&exact).to_string(), exact);
        for long in ["x".repeat(20_000), "\r".repeat(20_000), "\u{202e}".repeat(20_000), "é".repeat(20_000)] {
            let shown = Outside(&long).to_string();
            assert!(shown.chars().count() <= 201 && shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn a_second_line_cannot_look_like_a_log_line() {
        assert_eq!(own("refused:\n3: x\n", true), "refused:\n    3: x");
        assert_eq!(own("a\r2026 ERROR b\u{2028}c", true), "a\\r2026 ERROR b\\u{2028}c");
        assert_eq!(own("a\nb", false), "a\\nb");
        assert_eq!(sentence("a\nb"), "a\\nb");
        assert_eq!(sentence(&"\r".repeat(20_000)).chars().count(), 401);
    }

    #[test]
    fn data_in_a_librarys_message_is_removed() {
        let table = [
            ("[controlled]: no candidate pairs (on init)", "[controlled]: no candidate pairs (on init)"),
            (
                "Failed to send RtpPacket to track remote a1: Full(OnRtpPacket(Packet { header: Header { ssrc: 7 }, \
                 payload: b\"\\x01\\\"}\\xff\" }))",
                "Failed to send RtpPacket to track remote a1: Full…",
            ),
            ("read [1, 2, 3] from 192.0.2.1:5000", "read … from 192.0.2.1:5000"),
            ("one byte [7], text \"secret\" left", "one byte …, text … left"),
            ("never closed [1, 2, \"]\"", "never closed …"),
            ("key 000102030405060708090a0b0c0d0e0f10111213141516 ends", "key … ends"),
            ("raw \u{fffd}\u{1}x ends", "raw … ends"),
            ("a\nb", "a b"),
            ("] } )", "] } )"),
        ];
        for (message, shown) in table {
            assert_eq!(library(message), shown, "{message}");
        }
        assert!(library(&"word ".repeat(1000)).chars().count() <= 161);
    }

    #[test]
    fn formatting_stops_at_the_bound() {
        let mut bounded = Bounded::new(5);
        assert!(write!(bounded, "äöü{}", 1).is_err());
        assert_eq!(bounded.text, "äö…");
        assert!(bounded.write_str("x").is_err());
    }
}
