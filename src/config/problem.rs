//! Faults and warnings of a configuration: one sentence each, with its place in the file.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use super::syntax;

/// A fault or a warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The place in the file. `None` for the file as a whole.
    pub place: Option<Place>,
    /// The key (`video.fps`) or table (`[video]`). Empty if the problem belongs to none.
    pub key: String,
    /// What is wrong, and what is possible.
    pub message: String,
    /// The line of the file with the place marked below it. `None` if the line may contain a secret.
    pub excerpt: Option<String>,
    /// Whether the problem is that a required key is missing.
    pub is_missing: bool,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            key: String::new(),
            message: message.into(),
            excerpt: None,
            is_missing: false,
        }
    }

    /// The sentence, followed by the line of the file, for a terminal.
    pub fn with_excerpt(&self) -> String {
        match &self.excerpt {
            Some(excerpt) => format!("{self}\n{excerpt}"),
            None => self.to_string(),
        }
    }
}

/// A place in a text file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A configuration that cannot be used. The daemon then exits with code 78, because a restart would not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// All faults, in the order of the file. Never empty.
    pub problems: Vec<Problem>,
    /// All warnings.
    pub warnings: Vec<Problem>,
    /// Whether the file sets no key at all: the board is not set up yet.
    pub blank: bool,
}

impl ConfigError {
    /// All faults, each followed by its line of the file, for a terminal.
    pub fn with_excerpts(&self) -> String {
        self.problems.iter().map(Problem::with_excerpt).collect::<Vec<_>>().join("\n")
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The text of a file and the problems found in it so far.
#[derive(Debug)]
pub(super) struct ProblemList<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> ProblemList<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a fault.
    pub(super) fn problem(&mut self, key: impl Into<String>, at: &Range<usize>, message: impl Into<String>) {
        let problem = self.make(key.into(), at, message.into());
        self.problems.push(problem);
    }

    /// Adds the fault that a required key is missing. `accepted` completes the sentence.
    pub(super) fn missing(&mut self, key: String, at: &Range<usize>, accepted: &str) {
        let problem = self.make(key, at, format!("missing: {accepted}"));
        self.problems.push(Problem { is_missing: true, ..problem });
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, key: impl Into<String>, at: &Range<usize>, message: impl Into<String>) {
        let warning = self.make(key.into(), at, message.into());
        self.warnings.push(warning);
    }

    fn make(&self, key: String, at: &Range<usize>, message: String) -> Problem {
        let excerpt = excerpt(self.text, at);
        let place = Some(self.place(at.start));
        Problem { file: self.file.to_owned(), place, key, message, excerpt, is_missing: false }
    }

    /// Adds a syntax error, with an explanation.
    pub(super) fn syntax(&mut self, at: &Range<usize>, said: &str) {
        let (key, message) = syntax::explain(self.text, at, said);
        self.problem(key, at, message);
    }

    /// The number of the line in which a place begins.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        self.place(at.start).line
    }

    fn place(&self, offset: usize) -> Place {
        let (line, start) = line_at(self.text, offset);
        // Spans come from the parser. An offset after the text or inside a character must not panic.
        let end = (start..=offset.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end));
        let column = self.text[start..end.unwrap_or(start)].chars().count() + 1;
        Place { line, column }
    }

    /// The source text of a value, shortened to fit in one line.
    pub(super) fn shown(&self, at: &Range<usize>) -> String {
        const LONGEST: usize = 48;
        let source = self.text.get(at.clone()).unwrap_or_default();
        let line: String = source.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
        if source.chars().nth(LONGEST).is_some() { format!("{line}…") } else { line }
    }
}

/// The line in which `at` begins, with its number and a mark below, as compilers show it. `None` if the line may
/// contain a secret, which must reach no screen and no log.
fn excerpt(text: &str, at: &Range<usize>) -> Option<String> {
    /// The most characters shown of a line. There is no excerpt for a place after them.
    const WIDEST: usize = 160;
    let (number, start) = line_at(text, at.start);
    let line = text.get(start..)?.lines().next().unwrap_or_default();
    if syntax::may_hold_a_secret(line) {
        return None;
    }
    let before = line.get(..at.start.checked_sub(start)?).map_or(line.chars().count(), |before| before.chars().count());
    if before >= WIDEST {
        return None;
    }
    let length = line.chars().count();
    let marked = text.get(at.clone()).unwrap_or_default().lines().next().unwrap_or_default().chars().count();
    let marks = marked.min(length.saturating_sub(before)).min(WIDEST - before).max(1);
    let mut shown: String = line.chars().take(WIDEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if length > WIDEST {
        shown.push('…');
    }
    let (number, mark) = (number.to_string(), "^".repeat(marks));
    let gutter = " ".repeat(number.len());
    Some(format!("{gutter} |\n{number} | {shown}\n{gutter} | {}{mark}", " ".repeat(before)))
}

/// The number of the line that contains an offset, from 1, and the offset at which the line starts.
pub(super) fn line_at(text: &str, offset: usize) -> (usize, usize) {
    let before = (0..=offset.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_place_and_no_secret() {
        for (text, at, expected) in [
            ("a = 1\n\tfps = 300\n", 13..16, Some("  |\n2 |  fps = 300\n  |        ^^^")),
            ("x = \"ü\" 3", 9..10, Some("  |\n1 | x = \"ü\" 3\n  |         ^")),
            ("a =\n", 3..4, Some("  |\n1 | a =\n  |    ^")),
            ("a = [\n1,\n2]", 4..12, Some("  |\n1 | a = [\n  |     ^")),
            ("", 0..0, Some("  |\n1 | \n  | ^")),
            ("password = \"hunter2", 11..19, None),
            ("url = \"mqtts://me:hunter2@host\"", 0..3, None),
        ] {
            assert_eq!(excerpt(text, &at).as_deref(), expected, "{text}");
        }
        let long = format!("x = \"{}\"", "y".repeat(300));
        assert!(excerpt(&long, &(4..306)).unwrap().lines().all(|line| line.chars().count() < 170));
        assert_eq!(excerpt(&long, &(250..251)), None);
    }

    #[test]
    fn places_are_counted_from_one_in_characters() {
        let report = ProblemList::new(Path::new("f"), "a\nüb\n");
        for (offset, line, column) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (3, 2, 1), (4, 2, 2), (6, 3, 1), (99, 3, 1)] {
            assert_eq!(report.place(offset), Place { line, column }, "{offset}");
        }
    }

    #[test]
    fn shown_values_stay_in_one_short_line() {
        let text = format!("[\n1,{}]", "2,".repeat(100));
        let shown = ProblemList::new(Path::new("f"), &text).shown(&(0..text.len()));
        assert!(shown.starts_with("[ 1,2,2,") && shown.ends_with('…') && shown.chars().count() == 49, "{shown}");
    }
}
