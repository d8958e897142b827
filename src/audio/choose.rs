//! Which source is taken, and why not the others.

use std::fmt;

use crate::{
    audio::{capture::Capture, cards, clip::Clip},
    config::{Audio, AudioSource},
    feed::Fault,
};

/// A source that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// ALSA's name for it, or the file's.
    pub name: String,
    /// Why not, as a sentence that names it too.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// What `run` would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The source that can be used, and what it is, for a person; `None`: there would be no sound.
    pub taken: Option<(AudioSource, String)>,
    /// Those that were looked at before it, or all of them.
    pub refused: Vec<Refusal>,
}

impl Choice {
    /// Why none was taken, as a sentence that begins with `what`.
    pub fn reasons(&self, what: &str) -> String {
        let why: Vec<_> = self.refused.iter().map(|r| r.why.as_str()).collect();
        if why.is_empty() { format!("{what}: there is none") } else { format!("{what}: {}", why.join("; ")) }
    }
}

/// Looks which source `run` would take now. Opens devices for a moment: not for while the sound is on.
pub fn choose(config: &Audio) -> Choice {
    let channels = usize::from(config.channels.clamp(1, 2));
    let one = |name: &str, tried: Result<String, Fault>| match tried {
        Ok(what) => Choice { taken: Some((config.source.clone(), what)), refused: Vec::new() },
        Err(fault) => Choice { taken: None, refused: vec![refusal(name, &fault)] },
    };
    match &config.source {
        AudioSource::Off => Choice { taken: None, refused: Vec::new() },
        AudioSource::Tone => one("tone", Ok("test tone".into())),
        AudioSource::Clip(path) => {
            one(&path.display().to_string(), Clip::open(path, channels).map(|clip| clip.describe()))
        }
        AudioSource::Microphone(name) => one(name, Capture::open(name, channels).map(|capture| capture.to_string())),
        AudioSource::Auto => match look(channels) {
            (Some(capture), refused) => {
                let taken = Some((AudioSource::Microphone(capture.alsa_name().to_owned()), capture.to_string()));
                Choice { taken, refused }
            }
            (None, refused) => Choice { taken: None, refused },
        },
    }
}

/// Opens the first capture device that works.
pub(super) fn first(channels: usize) -> Result<(Capture, Vec<Refusal>), Fault> {
    match look(channels) {
        (Some(capture), refused) => Ok((capture, refused)),
        (None, refused) => {
            let choice = Choice { taken: None, refused };
            Err(Fault::Absent(choice.reasons("no microphone can be used")))
        }
    }
}

/// `default`, which is what a person set up or a sound server offers, and then each card.
fn look(channels: usize) -> (Option<Capture>, Vec<Refusal>) {
    let cards = cards::list().unwrap_or_default();
    let mut refused = Vec::new();
    for name in std::iter::once("default".to_owned()).chain(cards.iter().map(cards::Card::plug)) {
        match Capture::open(&name, channels) {
            Ok(capture) => return (Some(capture), refused),
            Err(fault) => refused.push(refusal(&name, &fault)),
        }
    }
    (None, refused)
}

fn refusal(name: &str, fault: &Fault) -> Refusal {
    Refusal { name: name.to_owned(), why: fault.to_string() }
}
