//! Lists the loudspeakers, with the configuration lines for each.

use alsa::Direction;
use serde::Serialize;

use super::playback::Playback;
use crate::audio::cards::{self, Card};

/// One playback device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loudspeaker {
    /// The ALSA name of the hardware: `hw:CARD=Device,DEV=0`.
    pub name: String,
    /// The ALSA name for the configuration, with conversion: `plughw:CARD=Device,DEV=0`.
    pub output: String,
    /// The driver's name of the card.
    pub card: String,
    /// The driver's name of the device.
    pub device: String,
    /// The parameters with which it would be opened now.
    pub opened_as: Option<String>,
    /// Why it cannot be used now; `None` if it can.
    pub unusable: Option<String>,
    /// The configuration lines for it; empty if it cannot be used.
    pub config: String,
}

/// Tests all playback devices. It opens each for a moment, and plays nothing.
pub fn probe() -> Vec<Loudspeaker> {
    cards::list(Direction::Playback).unwrap_or_default().iter().map(look).collect()
}

fn look(card: &Card) -> Loudspeaker {
    let output = card.plug();
    let opened = Playback::open(&output);
    let config = format!("[speaker]\noutput = \"{output}\"\n");
    Loudspeaker {
        name: card.hw(),
        card: card.name.clone(),
        device: card.device_name.clone(),
        config: if opened.is_ok() { config } else { String::new() },
        opened_as: opened.as_ref().ok().map(Playback::to_string),
        unusable: opened.err().map(|fault| fault.to_string()),
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_that_is_not_there_says_why_and_has_no_lines() {
        let card = Card { id: "Device".into(), name: "USB DAC".into(), device_name: "USB Audio".into(), device: 1 };
        let seen = look(&card);
        assert!(seen.unusable.as_ref().is_some_and(|why| why.starts_with("speaker plughw:CARD=Device,DEV=1: open: ")));
        assert_eq!((seen.config.as_str(), seen.opened_as), ("", None));
    }
}
