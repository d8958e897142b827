//! Catches the messages that alsa-lib would write to standard error.

use std::{cell::RefCell, rc::Rc};

use alsa::Output;

/// Catches what alsa-lib would write to standard error from this thread, until the next value is made. Make a new one
/// before each step that can fail, so that the text stays short.
pub(super) struct AlsaMessages(Option<Rc<RefCell<Output>>>);

impl AlsaMessages {
    /// Starts to catch messages.
    pub(super) fn catch() -> Self {
        Self(Output::local_error_handler().ok())
    }

    /// The last message in brackets, without the name of the function that reported it; empty if there was none.
    pub(super) fn in_brackets(&self) -> String {
        let all = self.0.as_ref().map(|messages| messages.borrow().to_string()).unwrap_or_default();
        let line = all.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let line = line.split_once(": ").map_or(line, |(_, text)| text);
        let text: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        if text.is_empty() { text } else { format!(" ({text})") }
    }
}
