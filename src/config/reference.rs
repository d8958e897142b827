//! The reference of all keys, generated from the table in `keys`, for `docs/reference/config.md` and the manual page.

use std::fmt::Write as _;

use clap_mangen::roff::{Roff, bold, italic, roman};

use super::keys::{Apply, Fallback, KEYS, Key, TABLES};

/// The reference of one table, as a Markdown table.
pub fn markdown(table: &str) -> String {
    let mut out = String::from("| key | type | unit | default | SIGHUP | what it does |\n|---|---|---|---|---|---|\n");
    for key in KEYS.iter().filter(|key| key.table == table) {
        let default = match key.fallback {
            Fallback::Required => "**required**".to_owned(),
            Fallback::Is(value) => format!("`{value}`"),
            Fallback::Unset(meaning) => meaning.to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {default} | {} | {} Possible: {}. |",
            key.name,
            key.type_name(),
            key.unit(),
            applies(key),
            key.text,
            code(&key.accepts()),
        );
    }
    out
}

/// The manual page `fanlight.toml(5)`.
pub fn manual() -> String {
    let mut page = Roff::new();
    page.control("TH", ["fanlight.toml", "5"]);
    page.control("SH", ["NAME"]).text([roman("fanlight.toml - the configuration of fanlight")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "A TOML file. Unknown keys are refused. Secrets are in separate files or in systemd credentials. \
         `fanlight check --config FILE` reports every fault in a file and prints the configuration in force. \
         On SIGHUP the daemon reads its file again. Some keys cannot change without dropping viewers: the daemon logs \
         them, and they take effect on the next start.",
    )]);
    for &table in TABLES {
        let title = match table {
            "" => "ABOVE THE FIRST TABLE".to_owned(),
            "webrtc.ice_servers" => "[[webrtc.ice_servers]]".to_owned(),
            _ => format!("[{table}]"),
        };
        page.control("SH", [title.as_str()]);
        for key in KEYS.iter().filter(|key| key.table == table) {
            let default = match key.fallback {
                Fallback::Required => "required".to_owned(),
                Fallback::Is(value) => format!("default {value}"),
                Fallback::Unset(meaning) => format!("default: {meaning}"),
            };
            page.control("TP", []);
            page.text([bold(key.name), roman(" ("), italic(key.type_name()), roman(format!(", {default})"))]);
            page.text([roman(format!("{} Possible: {}. On SIGHUP: {}.", key.text, key.accepts(), applies(key)))]);
        }
    }
    page.control("SH", ["SEE ALSO"]).text([bold("fanlight"), roman("(1)")]);
    page.to_roff()
}

fn applies(key: &Key) -> &'static str {
    match key.apply {
        Apply::Live => "at once",
        Apply::Restart => "restart",
    }
}

/// Marks the quoted parts of a sentence as code, so Markdown does not interpret them.
fn code(sentence: &str) -> String {
    let mut out = String::new();
    for (i, part) in sentence.split('"').enumerate() {
        match i % 2 {
            0 => out.push_str(part),
            _ => {
                let _ = write!(out, "`\"{part}\"`");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_matches_the_parser() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/config.md");
        let mut document = std::fs::read_to_string(path).unwrap();
        for table in TABLES {
            let (begin, end) = (format!("<!-- keys: {table} -->\n"), "<!-- end -->");
            let from = document.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
            let to = from + document[from..].find(end).unwrap();
            if std::env::var_os("UPDATE_DOCS").is_some() {
                document.replace_range(from..to, &markdown(table));
                std::fs::write(path, &document).unwrap();
            }
            let written = &document[from..from + document[from..].find(end).unwrap()];
            assert_eq!(written, markdown(table), "UPDATE_DOCS=1 cargo test writes this part of config.md");
        }
        let rows = document.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, KEYS.len(), "rows outside of the parts that are compared with the parser");
    }

    #[test]
    fn the_manual_page_names_every_key() {
        let page = manual();
        for key in KEYS {
            // roff escapes hyphens; no key has one.
            assert!(page.contains(key.name), "{}", key.path());
        }
    }
}
