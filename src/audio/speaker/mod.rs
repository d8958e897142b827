//! The loudspeaker: the sound of the viewer that has the turn to talk. It is one thread, which runs only while somebody
//! talks, and a little longer. It owns the card.
//!
//! ```text
//! TalkTurns ─ packets ─► renderer (jitter buffer, decoder, resampler) ─ units of 10 ms ─► playback (ALSA)
//! ```

mod playback;
mod probe;
mod renderer;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use alsa::Direction;
use tracing::{debug, info};

use self::{playback::Playback, renderer::Renderer};
use super::{cards, choose::UnusableSource};
use crate::{
    clock::Mono,
    config::{Speaker, SpeakerOutput},
    feed::{Fault, FeedWriter, Health},
    liveness,
    talk::turns::{TalkPacket, TalkTurns},
};

pub use self::probe::{Loudspeaker, probe};

/// A card that takes no samples for this long is stuck.
const STUCK: Duration = Duration::from_secs(2);
/// The shortest and the longest sleep: `stop` is noticed soon, and packets are taken before their queue is full.
const SLEEP: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Plays the sound of talkers until `stop` is set or the device fails. It blocks, since it is the body of the thread
/// `speaker`. It reports its health to `out`, and sends no frames.
pub fn run(config: &Speaker, turns: &TalkTurns, out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    out.set_health(Health::Starting);
    let ended = open(&config.output).and_then(|playback| play(playback, turns, out, stop));
    if let Err(fault) = &ended {
        let health = if matches!(fault, Fault::Absent(_)) { Health::Absent } else { Health::Stalled };
        out.set_trouble(health, &fault.to_string());
    }
    ended
}

fn open(output: &SpeakerOutput) -> Result<Playback, Fault> {
    match output {
        SpeakerOutput::Off => Err(Fault::Absent("the speaker is switched off in the configuration".into())),
        SpeakerOutput::Named(name) => {
            let mut playback = Playback::open(name)?;
            playback.begin()?;
            if playback.is_clockless() {
                info!("audio: {}: it has no clock of its own; the board's sets the pace", playback.name());
            }
            Ok(playback)
        }
        SpeakerOutput::Auto => {
            let mut refused = Vec::new();
            for name in names() {
                let opened = Playback::open(&name).and_then(|mut playback| playback.begin().map(|()| playback));
                match opened {
                    Ok(playback) if !playback.is_clockless() => {
                        refused.iter().for_each(|why| debug!("audio: not {why}"));
                        return Ok(playback);
                    }
                    Ok(playback) => refused.push(format!("{}: it has no clock, like ALSA's `null`", playback.name())),
                    Err(fault) => refused.push(fault.to_string()),
                }
            }
            Err(Fault::Absent(format!("no speaker can be used: {}", refused.join("; "))))
        }
    }
}

/// `default`, which the user or a sound server sets up, and then each card.
fn names() -> Vec<String> {
    let cards = cards::list(Direction::Playback).unwrap_or_default();
    std::iter::once("default".to_owned()).chain(cards.iter().map(cards::Card::plug)).collect()
}

fn play(mut playback: Playback, turns: &TalkTurns, out: &FeedWriter, stop: &AtomicBool) -> Result<(), Fault> {
    info!("audio: {playback}");
    let unit = playback.unit();
    let behind = playback.longest() + renderer::time(unit, playback.rate());
    let mut renderer = Renderer::new(playback.rate(), behind)?;
    let mut packets: Vec<TalkPacket> = Vec::new();
    let mut moved = Mono::now();
    let ended = loop {
        if stop.load(Ordering::Acquire) {
            break Ok(());
        }
        liveness::tick();
        let now = Mono::now();
        turns.drain(&mut packets, now);
        packets.drain(..).for_each(|packet| renderer.take(&packet));
        let pause = match unit_of_sound(&mut playback, &mut renderer, unit, now) {
            Ok(Some(pause)) => pause,
            Ok(None) => {
                moved = now;
                out.set_health(Health::Ok);
                if let Some(talker) = renderer.take_heard() {
                    turns.heard(talker, now);
                }
                continue;
            }
            Err(Broken::Device(e)) => match playback.recover(e) {
                Ok(()) => Duration::from_millis(5),
                Err(fault) => break Err(fault),
            },
            Err(Broken::Renderer(fault)) => break Err(fault),
        };
        if now.since(moved) > STUCK {
            break Err(Fault::Failed(format!("{}: it takes no samples any more", playback.name())));
        }
        thread::sleep(pause.clamp(SLEEP.0, SLEEP.1));
    };
    if ended.is_ok() {
        playback.stop();
    }
    report(&playback, &renderer);
    ended
}

/// Why a unit of sound could not be played.
enum Broken {
    Device(alsa::Error),
    Renderer(Fault),
}

/// Writes one unit if the device has room for it. Otherwise it returns how long to wait.
fn unit_of_sound(
    playback: &mut Playback,
    renderer: &mut Renderer,
    unit: usize,
    now: Mono,
) -> Result<Option<Duration>, Broken> {
    let queued = playback.queued().map_err(Broken::Device)?;
    let pause = playback.wait(queued);
    if !pause.is_zero() {
        return Ok(Some(pause));
    }
    renderer.render(unit, now, playback.time(queued)).map_err(Broken::Renderer)?;
    let written = playback.write(&renderer.ready()[..unit]).map_err(Broken::Device)?;
    renderer.taken(written);
    Ok(if written == 0 { Some(SLEEP.0) } else { None })
}

fn report(playback: &Playback, renderer: &Renderer) {
    let c = renderer.counters();
    let (late, lost, restored) = (c.late, c.lost, c.restored);
    info!(
        "audio: {}: {} packets of talkers, {late} late, {lost} lost, {restored} of them restored, {} discarded, {} ms \
         concealed, {} underruns, {:.0} ppm",
        playback.name(),
        c.received,
        c.discarded,
        c.concealed / 48,
        playback.underruns(),
        renderer.ppm(),
    );
}

/// The speaker that `run` would use now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeakerChoice {
    /// Its ALSA name, and its description for people. `None`: none can be used.
    pub taken: Option<(String, String)>,
    /// The devices that were tried before it, or all if none works.
    pub refused: Vec<UnusableSource>,
}

impl SpeakerChoice {
    /// Why no speaker was chosen, as a sentence.
    pub fn reasons(&self) -> String {
        let why: Vec<_> = self.refused.iter().map(|r| r.why.as_str()).collect();
        format!("no speaker can be used: {}", why.join("; "))
    }
}

/// Finds the speaker that `run` would use now. It opens devices for a moment, and plays nothing.
pub fn choose(config: &Speaker) -> SpeakerChoice {
    let names = match &config.output {
        SpeakerOutput::Off => Vec::new(),
        SpeakerOutput::Named(name) => vec![name.clone()],
        SpeakerOutput::Auto => names(),
    };
    let mut refused = Vec::new();
    for name in names {
        match Playback::open(&name) {
            Ok(playback) => {
                let taken = Some((playback.alsa_name().to_owned(), playback.to_string()));
                return SpeakerChoice { taken, refused };
            }
            Err(fault) => refused.push(UnusableSource { name, why: fault.to_string() }),
        }
    }
    SpeakerChoice { taken: None, refused }
}

/// The body of a fuzz target: RTP of a talker, to samples.
pub(crate) mod fuzz {
    use bytes::Bytes;

    use super::{Renderer, renderer};
    use crate::{clock::Mono, talk::turns::TalkPacket};

    /// Reads packets of a header of 8 bytes (talker and length, milliseconds since the last one, sequence number, time
    /// stamp) and that many bytes. Each is rendered at its time, as a device of 44.1 kHz asks for it.
    pub(crate) fn talk(data: &[u8]) {
        let device = std::time::Duration::from_millis(40);
        let mut renderer = Renderer::new(44_100, device).expect("the parameters are fixed");
        let (mut now, mut rest, mut rendered) = (Mono(1_000_000_000), data, 0_usize);
        while let Some((&[who, length, wait, a, b, c, d, e], after)) = rest.split_first_chunk::<8>() {
            let (payload, next) = after.split_at(after.len().min(usize::from(length)));
            rest = next;
            now = Mono(now.0 + u64::from(wait) * 1_000_000);
            renderer.take(&TalkPacket {
                talker: u64::from(who & 1),
                ssrc: u32::from(who >> 1 & 1),
                sequence: u16::from_be_bytes([a, b]),
                timestamp: u32::from_be_bytes([0, c, d, e]),
                payload: Bytes::copy_from_slice(payload),
                at: now,
            });
            for _ in 0..(wait / 10).min(3) {
                renderer.render(441, now, device).expect("a device always gets samples");
                assert!(renderer.ready()[..441].iter().all(|sample| sample.is_finite()), "a sample is no number");
                assert!(renderer.ready().len() < 441 + 48_000 / 5, "{} samples wait", renderer.ready().len());
                renderer.taken(441);
                rendered += 441;
            }
        }
        assert!(renderer::time(rendered, 44_100).as_secs() < 3_600);
        assert!(renderer.ppm().abs() < 10_000.0);
    }
}
