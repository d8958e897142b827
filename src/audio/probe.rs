//! Lists the microphones, with the configuration lines for each.

use std::ffi::CString;

use alsa::{Direction, PCM, pcm::HwParams};
use serde::Serialize;

use crate::audio::{
    alsa_messages::AlsaMessages,
    capture::{Capture, formats},
    cards::{self, Card},
    wording::fault,
};

/// Sample rates that are tested, in Hz.
const RATES: [u32; 11] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000];

/// One capture device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Microphone {
    /// The ALSA name of the hardware: `hw:CARD=Device,DEV=0`.
    pub name: String,
    /// The ALSA name for the configuration, with conversion: `plughw:CARD=Device,DEV=0`.
    pub source: String,
    /// The driver's name of the card.
    pub card: String,
    /// The driver's name of the device.
    pub device: String,
    /// The sample formats of the hardware, by their ALSA names.
    pub formats: Vec<String>,
    /// The fewest and the most channels.
    pub channels: Option<(u32, u32)>,
    /// The usual rates that the hardware supports, in Hz.
    pub rates: Vec<u32>,
    /// The shortest and the longest period, in microseconds.
    pub period_us: Option<(u32, u32)>,
    /// The parameters with which it would be opened now.
    pub opened_as: Option<String>,
    /// Why it cannot be used now; `None` if it can.
    pub unusable: Option<String>,
    /// The configuration lines for it; empty if it cannot be used.
    pub config: String,
}

/// Tests all capture devices. It opens each for a moment, so do not call it while audio runs.
pub fn probe() -> Vec<Microphone> {
    cards::list(Direction::Capture).unwrap_or_default().iter().map(look).collect()
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
    let queried = query(&mut seen);
    match queried.and_then(|()| Capture::open(&seen.source, 1).map_err(|fault| fault.to_string())) {
        Ok(capture) => {
            seen.opened_as = Some(capture.to_string());
            seen.config = lines(&seen.source, seen.channels);
        }
        Err(why) => seen.unusable = Some(why),
    }
    seen
}

fn lines(source: &str, channels: Option<(u32, u32)>) -> String {
    // A stereo microphone gets two channels; a microphone array does not.
    let channels = if channels == Some((2, 2)) { 2 } else { 1 };
    format!("[audio]\nsource = \"{source}\"\nchannels = {channels}\n")
}

/// Reads what the hardware offers.
fn query(seen: &mut Microphone) -> Result<(), String> {
    let messages = AlsaMessages::catch();
    let wrong = |doing: &'static str, e| fault(&seen.name, doing, e, &messages).to_string();
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
