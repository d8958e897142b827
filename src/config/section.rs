//! Reads one table of the file, key by key. A wrong value is reported and replaced by its default, so reading continues
//! and one run finds every fault.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{self, KEYS, Key, TABLES, ValueKind, nearest},
    problem::ProblemList,
    values::value_of,
};
use crate::units::Bitrate;

/// Why reading a key with a default always gives a value.
const HAS_DEFAULT: &str = "a test holds that the default of every key can be read";

/// A value as the TOML parser returns it, with its place in the file.
pub(super) type Raw<'i> = Spanned<DeValue<'i>>;

/// A table that is being read.
pub(super) struct Section<'r, 'a, 'i> {
    pub(super) report: &'r mut ProblemList<'a>,
    name: &'static str,
    at: Range<usize>,
    entries: DeTable<'i>,
    places: BTreeMap<&'static str, Range<usize>>,
    /// Every key that was looked up, for the test that compares the parser with the table of keys.
    asked: Vec<String>,
}

impl<'r, 'a, 'i> Section<'r, 'a, 'i> {
    pub(super) fn new(
        report: &'r mut ProblemList<'a>,
        name: &'static str,
        at: Range<usize>,
        entries: DeTable<'i>,
    ) -> Self {
        Self { report, name, at, entries, places: BTreeMap::new(), asked: Vec::new() }
    }

    /// Takes a value out of the table. Reports a required one that is missing.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(&'static Key, Raw<'i>)> {
        let key = known(self.name, name);
        self.asked.push(key.path());
        // `Spanned` borrows and hashes as its value, so the name alone finds the entry.
        let Some(value) = self.entries.remove(name) else {
            if matches!(key.fallback, keys::Fallback::Required) {
                self.report.missing(key.path(), &self.at, &key.accepts());
            }
            return None;
        };
        self.places.insert(key.name, value.span());
        Some((key, value))
    }

    /// The place of a key's value in the file. `None` if the file does not have the key.
    pub(super) fn place(&self, name: &str) -> Option<Range<usize>> {
        self.places.get(name).cloned()
    }

    /// Whether the file has the key, with a right or a wrong value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Reports that a key is missing which another key requires.
    pub(super) fn missing(&mut self, name: &str) {
        let key = known(self.name, name);
        self.report.missing(key.path(), &self.at, &key.accepts());
    }

    /// Reports a fault of a key in this table.
    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let at = self.place(name).unwrap_or_else(|| self.at.clone());
        self.report.problem(path(self.name, name), &at, message);
    }

    /// Reports a warning about a key in this table.
    pub(super) fn warning(&mut self, name: &str, message: impl Into<String>) {
        let at = self.place(name).unwrap_or_else(|| self.at.clone());
        self.report.warning(path(self.name, name), &at, message);
    }

    fn refuse(&mut self, key: &Key, value: &Raw<'_>, accepted: &str) {
        let shown = self.report.shown(&value.span());
        self.report.problem(key.path(), &value.span(), format!("{shown} is not possible: {accepted}"));
    }

    /// Reads a value, or its default from the table of keys if the key is absent or its value is wrong. `read` returns
    /// what is accepted instead of a wrong value. `None`: the key has no default.
    fn value<T>(&mut self, name: &'static str, read: impl Fn(&Key, &DeValue<'_>) -> Result<T, String>) -> Option<T> {
        if let Some((key, value)) = self.take(name) {
            match read(key, value.get_ref()) {
                Ok(read) => return Some(read),
                Err(accepted) => self.refuse(key, &value, &accepted),
            }
        }
        let key = known(self.name, name);
        key.default(|value| read(key, value).ok())
    }

    /// Reads a whole number within the range in the table of keys.
    pub(super) fn number<T: TryFrom<i64>>(&mut self, name: &'static str) -> T {
        self.optional_number(name).expect(HAS_DEFAULT)
    }

    fn optional_number<T: TryFrom<i64>>(&mut self, name: &'static str) -> Option<T> {
        self.value(name, |key, value| match (key.kind, integer(value)) {
            (ValueKind::Number(min, max, _), Some(n)) if (min..=max).contains(&n) => {
                T::try_from(n).map_err(|_| accepted(key, value))
            }
            (ValueKind::Number(min, max, _), Some(_)) => Err(format!("{min} to {max}")),
            _ => Err(accepted(key, value)),
        })
    }

    /// Reads a number of seconds.
    pub(super) fn seconds(&mut self, name: &'static str) -> Duration {
        Duration::from_secs(self.number(name))
    }

    /// Reads a number of seconds. `None` if the key is absent or wrong.
    pub(super) fn optional_seconds(&mut self, name: &'static str) -> Option<Duration> {
        self.optional_number(name).map(Duration::from_secs)
    }

    /// Reads a number of kilobits per second.
    pub(super) fn kilobits(&mut self, name: &'static str) -> Bitrate {
        Bitrate::from_kbps(self.number(name))
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.optional_flag(name).expect(HAS_DEFAULT)
    }

    /// Reads `true` or `false`. `None` if the key is absent or wrong.
    pub(super) fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        self.value(name, |key, value| match value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(accepted(key, value)),
        })
    }

    /// Reads a string that `parse` accepts.
    pub(super) fn text<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.optional(name, parse).expect(HAS_DEFAULT)
    }

    /// Reads a string that `parse` accepts. `None` if the key is absent or wrong, and has no default.
    pub(super) fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.value(name, |key, value| value.as_str().and_then(&parse).ok_or_else(|| accepted(key, value)))
    }

    /// Reads one of these words.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> T {
        self.optional_choice(name, words).expect(HAS_DEFAULT)
    }

    /// Reads one of these words. `None` if the key is absent or wrong.
    pub(super) fn optional_choice<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        self.optional(name, |text| value_of(words, text))
    }

    /// Reads a string that no error may show, because it may contain a secret by mistake. `parse` returns the error
    /// text.
    pub(super) fn unshown<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (key, value) = self.take(name)?;
        let parsed = match value.get_ref().as_str() {
            Some(text) => parse(text),
            None => Err(format!("not a string: {}", key.accepts())),
        };
        parsed.map_err(|message| self.report.problem(key.path(), &value.span(), message)).ok()
    }

    /// Reads a list of at most `most` strings. `parse` must accept each of them.
    pub(super) fn texts<T>(&mut self, name: &'static str, most: usize, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let text = |item: &Raw<'_>| item.get_ref().as_str().and_then(&parse);
        let default = known(self.name, name).default(|value| value.as_array()?.iter().map(text).collect());
        let default: Vec<T> = default.unwrap_or_default();
        let Some((key, value)) = self.take(name) else { return default };
        let Some(list) = value.get_ref().as_array().filter(|list| list.len() <= most) else {
            self.refuse(key, &value, &accepted(key, value.get_ref()));
            return default;
        };
        let mut taken = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str().and_then(&parse) {
                Some(parsed) => taken.push(parsed),
                None => {
                    let shown = self.report.shown(&item.span());
                    let message = format!("{shown} is not possible: {}", key.accepts());
                    self.report.problem(key.path(), &item.span(), message);
                }
            }
        }
        taken
    }

    /// Reads two numbers `[a, b]` that `parse` accepts. The word `word` means `None`.
    pub(super) fn pair<T>(
        &mut self,
        name: &'static str,
        word: &str,
        parse: impl Fn(i64, i64) -> Option<T>,
    ) -> Option<T> {
        let read = |value: &DeValue<'_>| {
            if value.as_str() == Some(word) {
                return Some(None);
            }
            let numbers: Option<Vec<_>> = value.as_array()?.iter().map(|item| integer(item.get_ref())).collect();
            match numbers?.as_slice() {
                &[a, b] => parse(a, b).map(Some),
                _ => None,
            }
        };
        self.value(name, |key, value| read(value).ok_or_else(|| accepted(key, value))).expect(HAS_DEFAULT)
    }

    /// Reports what is left in the table as unknown. Returns the keys that were looked up.
    pub(super) fn finish(mut self) -> Vec<String> {
        for (name, value) in std::mem::take(&mut self.entries) {
            let (word, at) = (name.get_ref().as_ref(), name.span());
            let key = path(self.name, &self.report.shown(&at));
            let message = match value.get_ref() {
                DeValue::Table(_) if self.name.is_empty() => unknown_table(word),
                _ => unknown_key(self.name, word),
            };
            self.report.problem(key, &at, message);
        }
        self.asked
    }
}

/// The key of this name in this table.
fn known(table: &str, name: &str) -> &'static Key {
    keys::key(table, name).expect("a test holds that every key that is read is in KEYS")
}

fn path(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// The whole number of a value; `None` for anything else, and for numbers beyond 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// What the key accepts instead of this value, with a hint if there is one.
fn accepted(key: &Key, value: &DeValue<'_>) -> String {
    format!("{}{}", key.accepts(), hint(key, value))
}

/// A hint for a right value in the wrong notation, which is the most frequent fault.
fn hint(key: &Key, value: &DeValue<'_>) -> String {
    match (key.kind, value) {
        (ValueKind::Number(..), DeValue::String(text)) if text.parse::<i64>().is_ok() => {
            "; write it without quotes".into()
        }
        (ValueKind::Flag, DeValue::String(text)) if matches!(text.as_ref(), "true" | "false") => {
            "; write it without quotes".into()
        }
        (ValueKind::Choice(words), DeValue::String(text)) => match nearest(text, words.iter().copied()) {
            Some(word) => format!("; did you mean {word:?}?"),
            None => String::new(),
        },
        (ValueKind::Choice(_) | ValueKind::Text(_), v) if v.is_array() => "; write it without brackets".into(),
        (ValueKind::Choice(_) | ValueKind::Text(_), v) if !v.is_str() && !v.is_table() => "; write it in quotes".into(),
        (ValueKind::Texts(_), v) if v.is_str() => "; write it in brackets: [\"…\"]".into(),
        (ValueKind::Pair(..), v) if !v.is_array() && !v.is_table() => "; write it in brackets, without quotes".into(),
        _ => String::new(),
    }
}

fn unknown_table(word: &str) -> String {
    match nearest(word, TABLES.iter().copied().filter(|table| !table.is_empty())) {
        Some(table) => format!("unknown table: did you mean `[{table}]`?"),
        None => format!("unknown table: possible are {}", TABLES[1..].join(", ")),
    }
}

fn unknown_key(table: &str, word: &str) -> String {
    let names = || KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    let takes_secret = names().any(|name| name == "password_file");
    if takes_secret && ["password", "passwd", "pass", "secret", "credential", "token"].contains(&word) {
        return "secrets do not belong in this file: write password_file = \"/path\" or password_credential = \"name\""
            .into();
    }
    let elsewhere: Vec<_> = KEYS.iter().filter(|key| key.name == word).map(|key| key.table).collect();
    match elsewhere[..] {
        [] => {}
        ["", ..] => return format!("unknown key: `{word}` belongs above the first table"),
        _ => return format!("unknown key: `{word}` belongs in `[{}]`", elsewhere.join("]` or `[")),
    }
    if let Some(name) = nearest(word, names()) {
        return format!("unknown key: did you mean `{name}`?");
    }
    if let Some(key) =
        nearest(word, KEYS.iter().map(|key| key.name)).and_then(|near| KEYS.iter().find(|k| k.name == near))
    {
        return format!("unknown key: did you mean `{}`?", key.path());
    }
    format!("unknown key: possible are {}", names().collect::<Vec<_>>().join(", "))
}
