//! What capture and playback have in common: the state of a PCM, its recovery from a suspend, and its description.

use std::time::Duration;

use alsa::{
    PCM,
    pcm::{Format, Frames, State},
};

use super::alsa_messages::AlsaMessages;
use crate::liveness::{self, Closes};

/// An error if the PCM does not run, as a read or a write would return it.
pub(super) fn check_running(pcm: &PCM) -> alsa::Result<()> {
    // Compared as numbers, because the crate's enum panics on a state that it does not know.
    let state = pcm.state_raw();
    let is = |s: State| state == s as i32;
    if is(State::XRun) || is(State::Setup) || is(State::Prepared) {
        return Err(alsa::Error::new("state", libc::EPIPE));
    }
    if is(State::Suspended) {
        return Err(alsa::Error::new("state", libc::ESTRPIPE));
    }
    if is(State::Disconnected) {
        return Err(alsa::Error::new("state", libc::ENODEV));
    }
    Ok(())
}

/// What became of a PCM after a suspend of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resumed {
    /// It runs, or the board is not awake yet.
    Runs,
    /// It cannot resume: it has to be started again.
    Stopped,
}

/// Resumes a PCM after a suspend of the board.
pub(super) fn resume(pcm: &Closes<PCM>) -> Resumed {
    let _messages = AlsaMessages::catch();
    match liveness::during("snd_pcm_resume", pcm.on(), || pcm.resume()) {
        Ok(()) if pcm.state_raw() == State::Running as i32 => Resumed::Runs,
        // The board is not awake yet.
        Err(e) if e.errno().abs() == libc::EAGAIN => Resumed::Runs,
        Ok(()) | Err(_) => Resumed::Stopped,
    }
}

/// The duration of this many frames.
pub(super) fn duration(frames: Frames, rate: u32) -> Duration {
    Duration::from_nanos(u64::try_from(frames).unwrap_or(0) * 1_000_000_000 / u64::from(rate.max(1)))
}

/// The parameters of an open PCM, for people: `48000 Hz, S16_LE, 1 channel, period 10 of 100 ms`.
pub(super) fn describe(rate: u32, format: Format, channels: usize, period: Frames, buffer: Frames) -> String {
    let ms = |frames| duration(frames, rate).as_millis();
    let channels = match channels {
        1 => "1 channel".to_owned(),
        n => format!("{n} channels"),
    };
    format!("{rate} Hz, {format}, {channels}, period {} of {} ms", ms(period), ms(buffer))
}
