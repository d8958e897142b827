//! Chooses the audio source, and reports why others were not chosen.

use std::fmt;

use alsa::Direction;

use crate::{
    audio::{capture::Capture, cards, clip::SoundClip},
    config::{Audio, AudioSource},
    feed::Fault,
};

/// A source that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableSource {
    /// Its ALSA name, or the path of the file.
    pub name: String,
    /// Why it was not chosen, as a sentence that contains the name.
    pub why: String,
}

impl fmt::Display for UnusableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// The source that `run` would use now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioChoice {
    /// The source, and its description for people; `None`: there would be no sound.
    pub taken: Option<(AudioSource, String)>,
    /// The sources that were tried before it, or all if none works.
    pub refused: Vec<UnusableSource>,
}

impl AudioChoice {
    /// Why no source was chosen, as a sentence that begins with `what`.
    pub fn reasons(&self, what: &str) -> String {
        let why: Vec<_> = self.refused.iter().map(|r| r.why.as_str()).collect();
        if why.is_empty() { format!("{what}: there is none") } else { format!("{what}: {}", why.join("; ")) }
    }
}

/// Finds the source that `run` would use now. It opens devices for a moment, so do not call it while audio runs.
pub fn choose(config: &Audio) -> AudioChoice {
    let channels = usize::from(config.channels.clamp(1, 2));
    let one = |name: &str, tried: Result<String, Fault>| match tried {
        Ok(what) => AudioChoice { taken: Some((config.source.clone(), what)), refused: Vec::new() },
        Err(fault) => AudioChoice { taken: None, refused: vec![refusal(name, &fault)] },
    };
    match &config.source {
        AudioSource::Off => AudioChoice { taken: None, refused: Vec::new() },
        AudioSource::Tone => one("tone", Ok("test tone".into())),
        AudioSource::Clip(path) => {
            one(&path.display().to_string(), SoundClip::open(path, channels).map(|clip| clip.describe()))
        }
        AudioSource::Microphone(name) => one(name, Capture::open(name, channels).map(|capture| capture.to_string())),
        AudioSource::Auto => match look(channels) {
            (Some(capture), refused) => {
                let taken = Some((AudioSource::Microphone(capture.alsa_name().to_owned()), capture.to_string()));
                AudioChoice { taken, refused }
            }
            (None, refused) => AudioChoice { taken: None, refused },
        },
    }
}

/// Opens the first capture device that works.
pub(super) fn first(channels: usize) -> Result<(Capture, Vec<UnusableSource>), Fault> {
    match look(channels) {
        (Some(capture), refused) => Ok((capture, refused)),
        (None, refused) => {
            let choice = AudioChoice { taken: None, refused };
            Err(Fault::Absent(choice.reasons("no microphone can be used")))
        }
    }
}

/// Tries `default`, which the user or a sound server sets up, and then each card.
fn look(channels: usize) -> (Option<Capture>, Vec<UnusableSource>) {
    let cards = cards::list(Direction::Capture).unwrap_or_default();
    let mut refused = Vec::new();
    for name in std::iter::once("default".to_owned()).chain(cards.iter().map(cards::Card::plug)) {
        match Capture::open(&name, channels) {
            Ok(capture) => return (Some(capture), refused),
            Err(fault) => refused.push(refusal(&name, &fault)),
        }
    }
    (None, refused)
}

fn refusal(name: &str, fault: &Fault) -> UnusableSource {
    UnusableSource { name: name.to_owned(), why: fault.to_string() }
}
