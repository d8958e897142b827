//! What is wrong with a configuration, and where: one sentence each.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// One thing that is wrong, or that deserves a second look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Where in the file; `None`: the file as a whole.
    pub place: Option<Place>,
    /// The key (`video.fps`) or table (`[video]`); empty: no particular one.
    pub key: String,
    /// What was said, and what is possible.
    pub message: String,
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
            write!(f, ":{}", place.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A configuration that cannot be used: exit code 78, and no use in trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Everything that is wrong, in the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// What deserves a second look beside that.
    pub warnings: Vec<Problem>,
    /// Whether the file can be read and says nothing at all: the board is not set up yet.
    pub blank: bool,
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

/// The text under inspection and what was found in it so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Notes something that is wrong.
    pub(super) fn problem(&mut self, key: impl Into<String>, at: &Range<usize>, message: impl Into<String>) {
        let problem = self.told(key.into(), at, message.into());
        self.problems.push(problem);
    }

    /// Notes something that deserves a second look.
    pub(super) fn warning(&mut self, key: impl Into<String>, at: &Range<usize>, message: impl Into<String>) {
        let warning = self.told(key.into(), at, message.into());
        self.warnings.push(warning);
    }

    fn told(&self, key: String, at: &Range<usize>, message: String) -> Problem {
        Problem { file: self.file.to_owned(), place: Some(self.place(at.start)), key, message }
    }

    /// The line in which a place begins.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        self.place(at.start).line
    }

    fn place(&self, offset: usize) -> Place {
        // Spans come from the parser, but an offset beyond the text or inside a character must not panic.
        let before = (0..=offset.min(self.text.len())).rev().find_map(|end| self.text.get(..end)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Place { line, column }
    }

    /// The source text of a value, fit to be shown inside one line.
    pub(super) fn shown(&self, at: &Range<usize>) -> String {
        const LONGEST: usize = 48;
        let source = self.text.get(at.clone()).unwrap_or_default();
        let line: String = source.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
        if source.chars().nth(LONGEST).is_some() { format!("{line}…") } else { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one_in_characters() {
        let report = Report::new(Path::new("f"), "a\nüb\n");
        for (offset, line, column) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (3, 2, 1), (4, 2, 2), (6, 3, 1), (99, 3, 1)] {
            assert_eq!(report.place(offset), Place { line, column }, "{offset}");
        }
    }

    #[test]
    fn shown_values_stay_in_one_short_line() {
        let text = format!("[\n1,{}]", "2,".repeat(100));
        let shown = Report::new(Path::new("f"), &text).shown(&(0..text.len()));
        assert!(shown.starts_with("[ 1,2,2,") && shown.ends_with('…') && shown.chars().count() == 49, "{shown}");
    }
}
