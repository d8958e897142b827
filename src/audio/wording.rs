//! Errors of alsa-lib as sentences for people.

use std::io;

use alsa::Direction;

use crate::feed::Fault;

use super::{alsa_messages::AlsaMessages, cards};

/// The fault of the step `doing` on the microphone `name`.
pub(super) fn fault(name: &str, doing: &str, error: alsa::Error, messages: &AlsaMessages) -> Fault {
    device_fault(Direction::Capture, name, doing, error, messages)
}

/// The fault of the step `doing` on the microphone or the speaker `name`.
pub(super) fn device_fault(
    direction: Direction,
    name: &str,
    doing: &str,
    error: alsa::Error,
    messages: &AlsaMessages,
) -> Fault {
    let device = if direction == Direction::Capture { "microphone" } else { "speaker" };
    let what = format!("{device} {name}: {doing}");
    match error.errno().abs() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO if cards::locked() => Fault::Failed(format!("{what}: {LOCKED}")),
        libc::ENOENT | libc::ENODEV | libc::ENXIO => {
            Fault::Absent(format!("{what}: no such device{}; {}", messages.in_brackets(), there_are(direction)))
        }
        libc::EACCES | libc::EPERM => Fault::Failed(format!("{what}: {LOCKED}")),
        libc::EBUSY | libc::EAGAIN => Fault::Failed(format!(
            "{what}: busy: another program has it, `fuser -v /dev/snd/*` tells which; `default` can often be shared"
        )),
        errno => Fault::Failed(format!("{what}: {}{}", io::Error::from_raw_os_error(errno), messages.in_brackets())),
    }
}

const LOCKED: &str = "permission denied: add this user to the group `audio` and start again";

/// The devices of this board, as a sentence.
fn there_are(direction: Direction) -> String {
    match cards::list(direction) {
        Ok(cards) if !cards.is_empty() => {
            let names: Vec<String> = cards.iter().map(cards::Card::plug).collect();
            format!("there are: {}", names.join(", "))
        }
        _ if direction == Direction::Capture => "there is no capture device on this board".into(),
        _ => "there is no playback device on this board".into(),
    }
}
