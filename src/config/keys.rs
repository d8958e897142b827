//! The configuration keys and what is known about each: type, range, unit, default, description, and when a change
//! takes effect. A key is declared only here. The parser, the defaults, a reload, the reference in
//! `docs/reference/config.md` and the manual page all use this table.

mod table;

use toml::de::{DeTable, DeValue};

pub use self::table::{KEYS, TABLES};

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table that contains it: `broker`, `webrtc.ice_servers`. Empty for the keys above the first table.
    pub table: &'static str,
    /// Its name, with its unit if it has one: `linger_s`.
    pub name: &'static str,
    /// The type and the range of its value.
    pub kind: ValueKind,
    /// The value if the key is absent.
    pub fallback: Fallback,
    /// When a change takes effect.
    pub apply: Apply,
    /// What it does.
    pub text: &'static str,
}

/// The type of a key's value. The texts complete the sentence "Possible: …".
#[derive(Debug, Clone, Copy)]
pub enum ValueKind {
    /// `true` or `false`.
    Flag,
    /// A whole number: minimum, maximum, unit.
    Number(i64, i64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string, with a description of what is accepted.
    Text(&'static str),
    /// A list of strings, with a description of what is accepted.
    Texts(&'static str),
    /// Two numbers or a word, with a description of what is accepted, and the unit.
    Pair(&'static str, &'static str),
    /// A table or a list of tables, with a description of what is accepted.
    Inner(&'static str),
}

/// The value of a key that is absent.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// The key must be present.
    Required,
    /// This value, as TOML.
    Is(&'static str),
    /// No value, with a description of what that means.
    Unset(&'static str),
}

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// On SIGHUP, without disturbing viewers.
    Live,
    /// On the next start.
    Restart,
}

impl Key {
    /// Reads the default. `None` if the key has none, or if `read` does not accept it.
    pub(super) fn default<T>(&self, read: impl FnOnce(&DeValue<'_>) -> Option<T>) -> Option<T> {
        let Fallback::Is(text) = self.fallback else { return None };
        let text = format!("default = {text}");
        let document = DeTable::parse(&text).ok()?;
        read(document.get_ref().get("default")?.get_ref())
    }

    /// The full name: `video.fps`.
    pub fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }

    /// What the key accepts, as the end of a sentence.
    pub fn accepts(&self) -> String {
        use ValueKind as V;
        match self.kind {
            V::Flag => "true or false".into(),
            V::Number(min, max, _) => format!("a whole number, {min} to {max}"),
            V::Choice(words) => one_of(words),
            V::Text(accepted) | V::Texts(accepted) | V::Pair(accepted, _) | V::Inner(accepted) => accepted.into(),
        }
    }

    /// The name of the type, for the reference.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            ValueKind::Flag => "flag",
            ValueKind::Number(..) => "number",
            ValueKind::Choice(_) | ValueKind::Text(_) => "string",
            ValueKind::Texts(_) => "list of strings",
            ValueKind::Pair(..) => "two numbers",
            ValueKind::Inner(_) => "table",
        }
    }

    /// The unit, for the reference. Empty for a key without a unit.
    pub fn unit(&self) -> &'static str {
        match self.kind {
            ValueKind::Number(_, _, unit) | ValueKind::Pair(_, unit) => unit,
            _ => "",
        }
    }
}

/// The key of this name in this table.
pub fn key(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// `"a"`, `"b"` or `"c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The most similar of `names` by Jaro-Winkler distance, for "did you mean". `None` if none is similar enough.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Found by trial: `brokr`, `linger` and `frames` find a name; `name` and `fps` find none.
    const SIMILAR: f64 = 0.8;
    let word = word.to_lowercase();
    names
        .map(|name| (strsim::jaro_winkler(&word, name), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_appears_twice_and_every_table_is_listed() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(TABLES.contains(&key.table), "{}", key.path());
            assert!(KEYS[..i].iter().all(|other| other.path() != key.path()), "{}", key.path());
            assert!(
                key.text.ends_with('.') && !key.text.contains('|') && !key.accepts().contains('|'),
                "{}",
                key.path()
            );
        }
    }

    #[test]
    fn similar_names_are_found_and_others_are_not() {
        let names = || KEYS.iter().filter(|key| key.table == "video").map(|key| key.name);
        for (word, expected) in [
            ("linger", Some("linger_s")),
            ("bitrate", Some("bitrate_kbps")),
            ("framt", Some("format")),
            ("scource", Some("source")),
            ("Fps", Some("fps")),
            ("device", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names()), expected, "{word}");
        }
    }
}
