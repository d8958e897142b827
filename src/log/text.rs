//! Texts as they may stand in a log line: no control characters, no tricks with direction, and a bound on the length.
//! Pure.

use std::fmt::{self, Write};

/// Characters of a text from outside, after escaping.
const OUTSIDE: usize = 200;
/// Characters of a sentence that may quote a text from outside.
const SENTENCE: usize = 400;
/// Characters of a library's message, after what it carries was taken out.
const LIBRARY: usize = 160;
/// A word of a library that is longer may be a key, a payload in hexadecimal or in base64.
const WORD: usize = 40;

/// A text from outside: from the network, a device or another program. Shown with control characters, line ends and
/// characters that change the direction of text escaped, and cut to 200 characters. Every log line shows such a text
/// through this type.
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

/// A sentence that may quote others, such as a broker's reason, as one line of at most 400 characters. What it quotes is
/// best put into `Outside` first.
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
        // A String takes everything.
        let _ = put(c, &mut out);
    }
    out
}

/// Whether a character would change what a person sees of the characters around it: controls, line and paragraph
/// separators, marks of direction (Unicode Annex #9), and characters without width.
pub(super) fn is_deceptive(c: char) -> bool {
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

/// Our own message. `lines`: line ends stay, and what follows one is indented, so that no text can look like a line of its
/// own.
pub(super) fn own(message: &str, lines: bool) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.trim_end().chars() {
        match c {
            '\n' if lines => out.push_str("\n    "),
            // A String takes everything.
            _ => {
                let _ = put(c, &mut out);
            }
        }
    }
    out
}

/// A library's message without what it may carry: quoted texts, lists, structures and long words are left out. What
/// libraries print with `{:?}` is a packet, a payload or a key as likely as not.
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
        // Of `b"…"` and `Some(…)` the first part may stay.
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

/// `[controlled]`, `(on init)`: a name in brackets and no content.
fn is_name(open: char, inside: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphabetic() || c == ' ' || c == '_';
    (open == '[' || open == '(') && inside.len() <= 24 && inside.chars().all(letters)
}

/// The text inside the brackets or quotes with which `text` begins, and what follows them. Without an end, all of it is
/// inside.
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

/// Takes characters up to a bound, and then refuses, so that whoever formats something huge stops early.
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
    fn a_text_from_outside_stays_one_honest_line() {
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
    fn a_second_line_of_ours_cannot_be_taken_for_a_record() {
        assert_eq!(own("refused:\n3: x\n", true), "refused:\n    3: x");
        assert_eq!(own("a\r2026 ERROR b\u{2028}c", true), "a\\r2026 ERROR b\\u{2028}c");
        assert_eq!(own("a\nb", false), "a\\nb");
        assert_eq!(sentence("a\nb"), "a\\nb");
        assert_eq!(sentence(&"\r".repeat(20_000)).chars().count(), 401);
    }

    #[test]
    fn what_a_library_carries_is_left_out() {
        let table = [
            ("[controlled]: no candidate pairs (on init)", "[controlled]: no candidate pairs (on init)"),
            (
                "Failed to send RtpPacket to track remote a1: Full(OnRtpPacket(Packet { header: Header { ssrc: 7 }, payload: b\"\\x01\\\"}\\xff\" }))",
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
    fn what_is_too_long_is_not_even_built() {
        let mut bounded = Bounded::new(5);
        assert!(write!(bounded, "äöü{}", 1).is_err());
        assert_eq!(bounded.text, "äö…");
        assert!(bounded.write_str("x").is_err());
    }
}
