//! Explains a TOML syntax error by the key on that line and the values it accepts. Pure.

use std::ops::Range;

use super::{
    keys::{self, Key, ValueKind},
    problem::line_at,
};

/// A line that is not TOML, read as `key = value`.
#[derive(Debug, PartialEq, Eq)]
struct Written<'t> {
    /// The full name of the key: `video.fps`.
    path: String,
    /// The text after the `=`, without a comment.
    value: &'t str,
}

/// The key (empty if unknown) and the message for the syntax error `said` that the TOML parser found at `at`. The
/// parser gives its errors as text only, without a kind, so it looks for the words "duplicate key" and "value".
pub(super) fn explain(text: &str, at: &Range<usize>, said: &str) -> (String, String) {
    let (_, start) = line_at(text, at.start);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let written = written(text, start, line);
    if said.contains("duplicate key") {
        let path = written.map(|written| written.path).unwrap_or_default();
        return match first(text, start, line) {
            Some(first) => (path, format!("appears twice in this file, first in line {first}: remove one of them")),
            None => (path, format!("not TOML: {said}")),
        };
    }
    let key = written.as_ref().and_then(|written| key(&written.path));
    match (written, key) {
        (Some(written), Some(key)) if !written.value.is_empty() || said.contains("value") => {
            let cure = if may_hold_a_secret(line) { String::new() } else { cure(key, written.value) };
            (key.path(), format!("not TOML: {said}; possible: {}{cure}", key.accepts()))
        }
        (Some(written), None) if !written.path.is_empty() => (String::new(), format!("not TOML: {said}")),
        _ => (String::new(), format!("not TOML: {said}")),
    }
}

/// The correct line, if it can be guessed.
fn cure(key: &Key, value: &str) -> String {
    let bare = !value.is_empty() && value.len() <= 64 && !value.contains(['"', '\'', '[', ']', '{', '}', '=']);
    match key.kind {
        ValueKind::Flag => match value.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => format!("; write {} = true", key.name),
            "no" | "off" | "n" | "0" | "false" => format!("; write {} = false", key.name),
            _ => String::new(),
        },
        ValueKind::Choice(_) | ValueKind::Text(_) if bare => {
            format!("; write it in quotes: {} = \"{value}\"", key.name)
        }
        ValueKind::Texts(_) if bare => format!("; write it in brackets and quotes: {} = [\"{value}\"]", key.name),
        ValueKind::Choice(_) | ValueKind::Text(_) => "; write strings in quotes".into(),
        _ => String::new(),
    }
}

fn key(path: &str) -> Option<&'static Key> {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    keys::key(table, name)
}

fn written<'t>(text: &str, start: usize, line: &'t str) -> Option<Written<'t>> {
    let (name, value) = line.split_once('=')?;
    let table = table_above(text.get(..start).unwrap_or_default());
    let name = plain_name(name);
    let path = if table.is_empty() { name } else { format!("{table}.{name}") };
    Some(Written { path, value: value.split('#').next().unwrap_or_default().trim() })
}

/// The table of the last header in these lines.
fn table_above(text: &str) -> String {
    text.lines().rev().find_map(header).unwrap_or_default()
}

fn header(line: &str) -> Option<String> {
    let inner = line.split('#').next().unwrap_or_default().trim().strip_prefix('[')?.strip_suffix(']')?;
    Some(plain_name(inner.trim_start_matches('[').trim_end_matches(']')))
}

fn plain_name(name: &str) -> String {
    name.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join(".")
}

/// The line in which a key or a table first appears, if the line at `start` repeats it.
fn first(text: &str, start: usize, line: &str) -> Option<usize> {
    let above = text.get(..start)?;
    if let Some(table) = header(line) {
        let below = format!("{table}.");
        let dotted = |l: &str| l.split_once('=').is_some_and(|(name, _)| plain_name(name).starts_with(&below));
        let begins = |l: &str| header(l).is_some_and(|other| other == table) || written_at(l, "", &table) || dotted(l);
        return above.lines().position(begins).map(|index| index + 1);
    }
    let path = written(text, start, line)?.path;
    let mut table = String::new();
    for (index, other) in above.lines().enumerate() {
        if let Some(new) = header(other) {
            table = new;
        } else if written_at(other, &table, &path) {
            return Some(index + 1);
        }
    }
    None
}

/// Whether a line below the header of `table` sets `path`.
fn written_at(line: &str, table: &str, path: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let name = plain_name(name);
    if table.is_empty() {
        name == path
    } else {
        path.strip_prefix(table).and_then(|p| p.strip_prefix('.')) == Some(&name)
    }
}

/// Whether a line may contain a secret, which must not be shown: a password, or a URL with one in it.
pub(super) fn may_hold_a_secret(line: &str) -> bool {
    // These are keys and values of the configuration, and no secrets.
    let lower = line.to_lowercase().replace("token_max_s", "").replace("\"token\"", "");
    let named = ["pass", "secret", "token", "credential", "pwd"].iter().any(|word| lower.contains(word));
    named || lower.contains('@') || lower.split("://").skip(1).any(|rest| rest.matches(':').count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_key_of_a_line_are_found() {
        let text = "device = \"a\"\n[ video ] # x\nfps = 3\n[[webrtc.ice_servers]]\nurls = stun:a # here\n";
        for (line, path, value) in [
            ("device = \"a\"", "device", "\"a\""),
            ("fps = 3", "video.fps", "3"),
            ("urls = stun:a # here", "webrtc.ice_servers.urls", "stun:a"),
        ] {
            let start = text.find(line).unwrap();
            assert_eq!(written(text, start, line), Some(Written { path: path.into(), value }));
        }
    }

    #[test]
    fn lines_that_may_hold_a_secret_are_recognised() {
        for (line, secret) in [
            ("url = \"mqtts://me:pw@host\"", true),
            ("url = \"mqtts://me:pw:1883\"", true),
            ("PassWord = 3", true),
            ("secret_file = \"hunter2\"", true),
            ("url = \"mqtts://host:8883\"", false),
            ("fps = 30", false),
            ("mode = \"token\"", false),
            ("token_max_s = 30", false),
            ("token = \"hunter2\"", true),
        ] {
            assert_eq!(may_hold_a_secret(line), secret, "{line}");
        }
    }
}
