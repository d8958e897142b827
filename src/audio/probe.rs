//! The microphones of this board, and what to write into the config for them.

use std::ffi::CString;

use alsa::{Direction, PCM, pcm::HwParams};
use serde::Serialize;

use crate::audio::{
    alsa_messages::AlsaMessages,
    capture::{Capture, formats},
    cards::{self, Card},
    wording::fault,
};

/// Rates that are asked for, in Hz.
const RATES: [u32; 11] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000];

/// One capture device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Microphone {
    /// ALSA's name for the hardware: `hw:CARD=Device,DEV=0`.
    pub name: String,
    /// The name for the config, through ALSA's converter: `plughw:CARD=Device,DEV=0`.
    pub source: String,
    /// What the driver calls the card.
    pub card: String,
    /// What the driver calls the device.
    pub device: String,
    /// Sample formats of the hardware, by ALSA's names.
    pub formats: Vec<String>,
    /// Fewest and most channels.
    pub channels: Option<(u32, u32)>,
    /// Rates of the hardware in Hz, of those that are usual.
    pub rates: Vec<u32>,
    /// Shortest and longest period, in microseconds.
    pub period_us: Option<(u32, u32)>,
    /// How it would be opened now.
    pub opened_as: Option<String>,
    /// Why it cannot be used now.
    pub unusable: Option<String>,
    /// The exact lines for the configuration; empty if it cannot be used.
    pub config: String,
}

/// Looks at all capture devices. Opens each for a moment: not for while the sound is on.
pub fn probe() -> Vec<Microphone> {
    cards::list().unwrap_or_default().iter().map(look).collect()
}

fn look(card: &Card) -> Microphone {
    let mut seen = Microphone {
        name: card.hw(),
        source: card.plug(),
        card: card.name.clone(),
        device: card.device_name.clone(),
        formats: Vec::new(),
        channels: None,
        rates: Vec::new(),
        period_us: None,
        opened_as: None,
        unusable: None,
        config: String::new(),
    };
    let asked = ask(&mut seen);
    match asked.and_then(|()| Capture::open(&seen.source, 1).map_err(|fault| fault.to_string())) {
        Ok(capture) => {
            seen.opened_as = Some(capture.to_string());
            seen.config = lines(&seen.source, seen.channels);
        }
        Err(why) => seen.unusable = Some(why),
    }
    seen
}

fn lines(source: &str, channels: Option<(u32, u32)>) -> String {
    // A stereo microphone is worth two channels; an array of microphones is not.
    let channels = if channels == Some((2, 2)) { 2 } else { 1 };
    format!("[audio]\nsource = \"{source}\"\nchannels = {channels}\n")
}

/// Fills in what the hardware offers.
fn ask(seen: &mut Microphone) -> Result<(), String> {
    let said = AlsaMessages::catch();
    let wrong = |doing: &'static str, e| fault(&seen.name, doing, e, &said).to_string();
    let name = CString::new(seen.name.as_str()).map_err(|e| e.to_string())?;
    let pcm = PCM::open(&name, Direction::Capture, true).map_err(|e| wrong("open", e))?;
    let hw = HwParams::any(&pcm).map_err(|e| wrong("ask what it offers", e))?;
    seen.formats = formats(&hw);
    seen.channels = hw.get_channels_min().and_then(|min| Ok((min, hw.get_channels_max()?))).ok();
    seen.rates = RATES.into_iter().filter(|rate| hw.test_rate(*rate).is_ok()).collect();
    seen.period_us = hw.get_period_time_min().and_then(|min| Ok((min, hw.get_period_time_max()?))).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_for_the_config_are_toml_that_says_what_was_found() {
        let card = Card { id: "Device".into(), name: "USB Mic".into(), device_name: "USB Audio".into(), device: 1 };
        let seen = look(&card);
        assert!(seen.unusable.as_ref().is_some_and(|why| why.contains("hw:CARD=Device,DEV=1")), "{seen:?}");
        assert_eq!(seen.config, "");
        for (channels, expected) in [(None, 1), (Some((1, 2)), 1), (Some((2, 2)), 2), (Some((4, 8)), 1)] {
            let lines: toml::Table = lines(&seen.source, channels).parse().unwrap();
            assert_eq!(lines["audio"]["source"].as_str(), Some("plughw:CARD=Device,DEV=1"));
            assert_eq!(lines["audio"]["channels"].as_integer(), Some(expected), "{channels:?}");
        }
    }
}
