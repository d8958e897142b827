//! What alsa-lib says, in words for a person, and not on standard error.

use std::{cell::RefCell, io, rc::Rc};

use alsa::Output;

use crate::feed::Fault;

use super::cards;

/// Catches what alsa-lib would write to standard error from this thread, until the next one is made. Made anew before
/// each step that can fail, so that what is caught stays small.
pub(super) struct AlsaMessages(Option<Rc<RefCell<Output>>>);

impl AlsaMessages {
    /// Catches from now on.
    pub(super) fn catch() -> Self {
        Self(Output::local_error_handler().ok())
    }

    /// The last thing said, without the name of the function that said it; empty if nothing was.
    fn in_brackets(&self) -> String {
        let all = self.0.as_ref().map(|messages| messages.borrow().to_string()).unwrap_or_default();
        let line = all.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let line = line.split_once(": ").map_or(line, |(_, text)| text);
        let text: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
        if text.is_empty() { text } else { format!(" ({text})") }
    }
}

/// What became of `doing` on the microphone `name`.
pub(super) fn fault(name: &str, doing: &str, error: alsa::Error, messages: &AlsaMessages) -> Fault {
    let what = format!("microphone {name}: {doing}");
    match error.errno().abs() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO if cards::locked() => Fault::Failed(format!("{what}: {LOCKED}")),
        libc::ENOENT | libc::ENODEV | libc::ENXIO => {
            Fault::Absent(format!("{what}: no such device{}; {}", messages.in_brackets(), there_are()))
        }
        libc::EACCES | libc::EPERM => Fault::Failed(format!("{what}: {LOCKED}")),
        libc::EBUSY | libc::EAGAIN => Fault::Failed(format!(
            "{what}: busy: another program has it, `fuser -v /dev/snd/*` tells which; `default` can often be shared"
        )),
        errno => Fault::Failed(format!("{what}: {}{}", io::Error::from_raw_os_error(errno), messages.in_brackets())),
    }
}

const LOCKED: &str = "permission denied: add this user to the group `audio` and start again";

/// The capture devices of this board, as a sentence.
fn there_are() -> String {
    match cards::list() {
        Ok(cards) if !cards.is_empty() => {
            let names: Vec<String> = cards.iter().map(cards::Card::plug).collect();
            format!("there are: {}", names.join(", "))
        }
        _ => "there is no capture device on this board".into(),
    }
}
