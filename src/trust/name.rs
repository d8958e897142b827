//! Names of viewers. They are shown to people, so a name must not change how the text around it looks.

use crate::log::is_deceptive;

/// The longest name, in characters.
pub const NAME_MAX: usize = 64;

/// A name that was made of nothing.
const UNNAMED: &str = "viewer";

/// Checks a name that the owner gave, and returns it without spaces around it. The error is a sentence.
pub fn checked_name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    if name.is_empty() {
        return Err("a name must not be empty");
    }
    if name.chars().any(is_deceptive) {
        return Err("a name is one line, without control characters, marks of direction and invisible characters");
    }
    if name.chars().count() > NAME_MAX {
        return Err("a name has at most 64 characters");
    }
    Ok(name.to_owned())
}

/// Makes a name of what a viewer proposed: without what `checked_name` refuses. Never empty.
pub fn proposed_name(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let kept: String = spaced.filter(|c| !is_deceptive(*c)).take(NAME_MAX).collect();
    match kept.trim() {
        "" => UNNAMED.to_owned(),
        name => name.to_owned(),
    }
}

/// `name`, or with " 2", " 3" and so on at its end: the first that is not taken. `tries`: how many may be taken.
pub(super) fn free_name(name: &str, tries: usize, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = |n: usize| {
        let end = format!(" {n}");
        let front: String = name.chars().take(NAME_MAX - end.len()).collect();
        format!("{}{end}", front.trim_end())
    };
    let mut candidates = std::iter::once(name.to_owned()).chain((2..=tries + 2).map(numbered));
    candidates.find(|candidate| !is_taken(candidate)).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_owner_is_one_visible_line() {
        let long = "ä".repeat(NAME_MAX);
        for (text, expected) in [
            ("anna", Some("anna")),
            ("  Anna's phone\t", Some("Anna's phone")),
            ("Grüße 📷", Some("Grüße 📷")),
            (&long, Some(long.as_str())),
            ("", None),
            (" \n ", None),
            ("a\nb", None),
            ("a\u{2028}b", None),
            ("a\u{1b}[31mb", None),
            ("a\u{202e}b", None),
            ("a\u{200b}b", None),
            (&format!("{long}x"), None),
        ] {
            assert_eq!(checked_name(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_proposed_name_always_becomes_a_good_one() {
        let long = "ö".repeat(1000);
        for (text, expected) in [
            ("Anna's phone", "Anna's phone"),
            ("a\nb\u{202e}c", "a bc"),
            ("\u{200b}\u{feff}", UNNAMED),
            ("", UNNAMED),
            ("\0\u{1b}[2J", "[2J"),
            (&long, &"ö".repeat(NAME_MAX)),
        ] {
            assert_eq!(proposed_name(text), expected, "{text:?}");
            assert_eq!(checked_name(&proposed_name(text)).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn a_taken_name_gets_the_first_free_number() {
        let taken = |names: &'static [&str]| move |name: &str| names.contains(&name);
        assert_eq!(free_name("anna", 3, taken(&[])), "anna");
        assert_eq!(free_name("anna", 3, taken(&["anna"])), "anna 2");
        assert_eq!(free_name("anna", 3, taken(&["anna", "anna 2", "anna 4"])), "anna 3");
        let long: &'static str = "x".repeat(NAME_MAX).leak();
        let second = free_name(long, 3, |name| name == long);
        assert_eq!((second.chars().count(), second.ends_with("x 2")), (NAME_MAX, true));
    }
}
