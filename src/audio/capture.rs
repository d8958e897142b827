//! ALSA capture: opens a device with what it has, reads it without ever blocking for long, and gets over what happens
//! to a card.

use std::{
    ffi::CString,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use alsa::{
    Direction, PCM, PollDescriptors as _, ValueOr,
    pcm::{Access, Format, Frames, HwParams, State, Status, TstampType},
    poll::{Flags, poll, pollfd},
};
use tracing::debug;

use crate::{
    audio::{
        alsa_messages::AlsaMessages,
        pipeline::AudioPipeline,
        resample::Resampler,
        sample_clock::RATE,
        samples::Layout,
        terms::{self, Terms},
        wording::fault,
    },
    clock::Mono,
    feed::Fault,
    idle::Idle,
    liveness::{self, Closes},
};

/// The longest wait for samples, in ms: how soon `stop` is noticed.
const WAIT: i32 = 100;
/// Without samples for this long, a card is taken to be stuck.
const SILENT: Duration = Duration::from_secs(2);
/// A source that was this far ahead of time is paced by nothing. More than a card's pointer steps and a sound server
/// has in hand; from there on it may run as fast as no crystal does.
const AHEAD: Duration = Duration::from_millis(300);
const FASTEST: f64 = 1.05;
/// What to say of it. Taken, it would fill the feed as fast as a core can.
const NO_CLOCK: &str = "it gives sound faster than time goes by, like ALSA's `null` and `file`: that is no microphone";

/// Why listening ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Told,
    /// The card gives no samples any more, and no error.
    Silent,
}

/// An open microphone. Calls of alsa-lib are marked as what the thread is doing: each ends in the kernel, or in a plugin that
/// talks to another program, and may hang there.
pub(super) struct Capture {
    pcm: Closes<PCM>,
    name: String,
    layout: Layout,
    rate: u32,
    channels: usize,
    /// In frames.
    period: Frames,
    /// In frames.
    buffer: Frames,
    /// Channels that are wanted of it.
    wanted: usize,
    /// When it began to hear.
    started: Mono,
}

/// What one look at the card gave.
struct CapturedPeriod {
    frames: usize,
    /// When the first of them was captured.
    at: Mono,
}

impl Capture {
    /// Opens the PCM `name`, agrees with it on format, rate, channels and period, and starts it: what it hears until
    /// `listen` waits in its buffer.
    pub(super) fn open(name: &str, wanted: usize) -> Result<Self, Fault> {
        let messages = AlsaMessages::catch();
        let c_name = CString::new(name).map_err(|_| Fault::Failed(format!("microphone {name:?}: not a name")))?;
        let on: Arc<str> = name.into();
        if let Some(why) = liveness::still_hangs(name) {
            return Err(Fault::Failed(format!("microphone {name}: {why}")));
        }
        let pcm = liveness::during("snd_pcm_open", &on, || PCM::open(&c_name, Direction::Capture, true));
        let pcm = pcm.map_err(|e| fault(name, "open", e, &messages))?;
        let mut capture = Self {
            pcm: Closes::new(pcm, "snd_pcm_close", Arc::clone(&on)),
            name: name.to_owned(),
            layout: Layout::S16,
            rate: 0,
            channels: 0,
            period: 0,
            buffer: 0,
            wanted,
            started: Mono::default(),
        };
        liveness::during("snd_pcm_hw_params", &on, || capture.negotiate(&messages))?;
        liveness::during("snd_pcm_sw_params", &on, || capture.set_wake_up(&messages))?;
        drop(messages);
        capture.started = Mono::now();
        capture.start()?;
        // What nothing paces is full at once. A thread held up for as long as the buffer lasts cannot tell, and does not.
        let full = capture.pcm.status().is_ok_and(|status| status.get_avail() >= capture.buffer);
        if full && Mono::now().since(capture.started) < capture.time(capture.buffer) / 2 {
            return Err(Fault::Failed(format!("{}: {NO_CLOCK}", capture.name())));
        }
        Ok(capture)
    }

    /// ALSA's name for it.
    pub(super) fn alsa_name(&self) -> &str {
        &self.name
    }

    /// Its name in a sentence.
    pub(super) fn name(&self) -> String {
        format!("microphone {}", self.name)
    }

    /// Settles on what the card has that is nearest to 48 kHz and the wanted channels, in periods of 10 ms.
    fn negotiate(&mut self, messages: &AlsaMessages) -> Result<(), Fault> {
        let name = self.name.as_str();
        let wrong = |doing: &'static str| move |e| fault(name, doing, e, messages);
        let hw = HwParams::any(&self.pcm).map_err(wrong("ask what it offers"))?;
        // ALSA's own resampler interpolates linearly; ours does better. Where it cannot be switched off, so be it.
        let _ = hw.set_rate_resample(false);
        hw.set_access(Access::RWInterleaved).map_err(wrong("read interleaved samples"))?;
        let Some(layout) = Layout::ALL.into_iter().find(|l| hw.test_format(l.format()).is_ok()) else {
            let offered = formats(&hw).join(", ");
            let other = if name.starts_with("hw:") { format!("; try plug{name}") } else { String::new() };
            return Err(Fault::Failed(format!("microphone {name}: device offers {offered}, none can be read{other}")));
        };
        hw.set_format(layout.format()).map_err(wrong("set its format"))?;
        let wanted = u32::try_from(self.wanted).unwrap_or(2);
        // The rate first: a card with 48 kHz only in stereo is better mixed down than heard at 16 kHz.
        let rate = hw.set_rate_near(RATE, ValueOr::Nearest).map_err(wrong("set its rate"))?;
        let channels = hw.set_channels_near(wanted).map_err(wrong("set its channels"))?;
        let refused = |why: String| Fault::Failed(format!("microphone {name}: {why}"));
        terms::check_samples(channels, rate).map_err(refused)?;
        // Wishes: what cannot be had is left to the card. A long buffer costs no delay and forgives hold-ups.
        let _ = hw.set_periods_min(4, ValueOr::Nearest);
        let _ = hw.set_period_time_max(20_000, ValueOr::Nearest);
        let period = frames(rate / 100);
        let period = hw.set_period_size_near(period, ValueOr::Nearest).unwrap_or(period);
        let _ = hw.set_buffer_size_near(frames(rate / 4).max(period.saturating_mul(4)));
        self.pcm.hw_params(&hw).map_err(wrong("set its parameters"))?;
        let period = hw.get_period_size().map_err(wrong("ask for its period"))?;
        let buffer = hw.get_buffer_size().map_err(wrong("ask for its buffer"))?;
        drop(hw);
        terms::check(Terms { channels, rate, period, buffer }).map_err(refused)?;
        (self.layout, self.rate, self.period, self.buffer) = (layout, rate, period, buffer);
        self.channels = usize::try_from(channels).unwrap_or(1);
        Ok(())
    }

    /// Wakes after each period, and stamps with the monotonic clock where it can.
    fn set_wake_up(&self, messages: &AlsaMessages) -> Result<(), Fault> {
        let name = self.name.as_str();
        let wrong = |e| fault(name, "set its wake-ups", e, messages);
        let sw = self.pcm.sw_params_current().map_err(wrong)?;
        sw.set_avail_min(self.period).map_err(wrong)?;
        self.pcm.sw_params(&sw).map_err(wrong)?;
        let stamped = sw
            .set_tstamp_mode(true)
            .and_then(|()| sw.set_tstamp_type(TstampType::Monotonic))
            .and_then(|()| self.pcm.sw_params(&sw));
        if let Err(e) = stamped {
            debug!("audio: {}: no time stamps of its own: {e}", self.name());
        }
        Ok(())
    }

    /// Hands everything it hears to `pipeline`, until `stop` or the card's end.
    pub(super) fn listen(&self, stop: &AtomicBool, pipeline: &mut AudioPipeline<'_>) -> Result<End, Fault> {
        let messages = AlsaMessages::catch();
        let mut waiting = self.pcm.get().map_err(|e| fault(&self.name, "wait for it", e, &messages))?;
        let frame = self.layout.width() * self.channels;
        let mut bytes = vec![0; frame * usize::try_from(self.buffer.clamp(64, frames(self.rate))).unwrap_or(64)];
        let mut run = Run::new(self)?;
        let (mut heard_at, mut idle) = (Mono::now(), Idle::default());
        drop(messages);
        while !stop.load(Ordering::Acquire) {
            liveness::turn();
            match liveness::during("snd_pcm_readi", self.pcm.on(), || self.read(&mut bytes)) {
                Ok(Some(heard)) => {
                    heard_at = Mono::now();
                    idle.rest();
                    run.take(self, &bytes[..heard.frames * frame], &heard, pipeline)?;
                }
                Ok(None) if Mono::now().since(heard_at) > SILENT => return Ok(End::Silent),
                Ok(None) => {
                    thread::sleep(idle.pause());
                    if !liveness::during("poll", self.pcm.on(), || self.wait(&mut waiting)) {
                        idle.rest();
                    }
                }
                Err(_) if Mono::now().since(heard_at) > SILENT => return Ok(End::Silent),
                Err(e) => {
                    self.recover(e, pipeline)?;
                    run.broken();
                    // Half a period: nothing is late by it, and a card that fails at once again cannot make it spin.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
        Ok(End::Told)
    }

    /// What there is to read now, if anything.
    fn read(&self, bytes: &mut [u8]) -> alsa::Result<Option<CapturedPeriod>> {
        let status = self.pcm.status()?;
        let now = Mono::now();
        // Compared as numbers: the crate's enum panics on a state it does not know.
        let state = self.pcm.state_raw();
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
        // Whole periods only. Crumbs cost more than they save, and taking more than a period leaves less than one at the
        // card's next interrupt: it would not wake us, and every other period would come 10 ms late.
        let period = self.period.max(1);
        let whole = usize::try_from(status.get_avail() / period * period).unwrap_or(0);
        let room = bytes.len().min(whole * self.layout.width() * self.channels);
        if room == 0 {
            return Ok(None);
        }
        let at = self.captured(&status, now);
        match self.pcm.io_bytes().readi(&mut bytes[..room]) {
            Ok(0) => Ok(None),
            Ok(frames) => Ok(Some(CapturedPeriod { frames, at })),
            Err(e) if matches!(e.errno().abs(), libc::EAGAIN | libc::EINTR) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// When the first frame that waits to be read was captured: the card's own time stamp where it makes sense, else
    /// now, less what waits behind it.
    fn captured(&self, status: &Status, now: Mono) -> Mono {
        let stamp = status.get_htstamp();
        let (s, ns) = (u64::try_from(stamp.tv_sec).unwrap_or(0), u64::try_from(stamp.tv_nsec).unwrap_or(0));
        let stamp = Mono(s.saturating_mul(1_000_000_000).saturating_add(ns));
        let sane = stamp <= now && now.since(stamp) < Duration::from_secs(1);
        let stamp = if sane { stamp } else { now };
        // The delay counts what is still inside the card, too, where the driver knows.
        let avail = status.get_avail();
        let delay = status.get_delay();
        let behind = if (avail..avail + frames(self.rate / 5)).contains(&delay) { delay } else { avail };
        Mono(stamp.0.saturating_sub(u64::try_from(self.time(behind).as_nanos()).unwrap_or(0)))
    }

    /// Waits until the card has something, or not for long; whether it says that it has.
    fn wait(&self, waiting: &mut [pollfd]) -> bool {
        let ready = match poll(waiting, if waiting.is_empty() { 5 } else { WAIT }) {
            Ok(1..) => self.pcm.revents(waiting).unwrap_or(Flags::ERR),
            Ok(_) | Err(_) => Flags::empty(),
        };
        // Woken for nothing, or by an error that the next look has to find: some plugins stay ready, and must not spin.
        if ready != Flags::IN {
            thread::sleep(Duration::from_millis(1));
        }
        !ready.is_empty()
    }

    /// Gets over an error, or says why it is the end.
    fn recover(&self, error: alsa::Error, pipeline: &mut AudioPipeline<'_>) -> Result<(), Fault> {
        match error.errno().abs() {
            libc::EPIPE | libc::EBADFD => {
                pipeline.overrun();
                self.start()
            }
            libc::ESTRPIPE => {
                pipeline.suspended();
                let messages = AlsaMessages::catch();
                match liveness::during("snd_pcm_resume", self.pcm.on(), || self.pcm.resume()) {
                    Ok(()) if self.pcm.state_raw() == State::Running as i32 => Ok(()),
                    // The board is not awake yet.
                    Err(e) if e.errno().abs() == libc::EAGAIN => Ok(()),
                    // Cards that cannot go on where they were are started anew.
                    Ok(()) | Err(_) => {
                        drop(messages);
                        self.start()
                    }
                }
            }
            libc::ENODEV | libc::ENXIO => Err(Fault::Absent(format!("{}: unplugged", self.name()))),
            _ => Err(fault(&self.name, "read", error, &AlsaMessages::catch())),
        }
    }

    fn start(&self) -> Result<(), Fault> {
        let messages = AlsaMessages::catch();
        let start = || self.pcm.prepare().and_then(|()| self.pcm.start());
        liveness::during("snd_pcm_start", self.pcm.on(), start).map_err(|e| fault(&self.name, "start", e, &messages))
    }

    /// How long so many frames last.
    fn time(&self, frames: Frames) -> Duration {
        Duration::from_nanos(u64::try_from(frames).unwrap_or(0) * 1_000_000_000 / u64::from(self.rate.max(1)))
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |n: Frames| self.time(n).as_millis();
        let (format, period, buffer) = (self.layout.format(), ms(self.period), ms(self.buffer));
        let channels = match self.channels {
            1 => "1 channel".into(),
            n => format!("{n} channels"),
        };
        write!(f, "{}: {} Hz, {format}, {channels}, period {period} of {buffer} ms", self.name(), self.rate)
    }
}

/// The way of the samples from the card to the desk, and how far it has come since the last break.
struct Run {
    resampler: Option<Resampler>,
    /// Frames read since the card was started; `None`: none yet.
    read: Option<u64>,
    started: Mono,
    samples: Vec<f32>,
    resampled: Vec<f32>,
}

impl Run {
    fn new(capture: &Capture) -> Result<Self, Fault> {
        let resampler = match capture.rate {
            RATE => None,
            rate => Some(
                Resampler::new(rate, capture.wanted)
                    .map_err(|e| Fault::Failed(format!("{}: resample {e}", capture.name())))?,
            ),
        };
        Ok(Self { resampler, read: None, started: capture.started, samples: Vec::new(), resampled: Vec::new() })
    }

    fn take(
        &mut self,
        capture: &Capture,
        bytes: &[u8],
        heard: &CapturedPeriod,
        pipeline: &mut AudioPipeline<'_>,
    ) -> Result<(), Fault> {
        match self.read {
            None => pipeline.begin(heard.at)?,
            // Exact: a double counts the samples of a thousand years.
            Some(read) => pipeline.observe(read as f64 * f64::from(RATE) / f64::from(capture.rate), heard.at)?,
        }
        let read = self.read.unwrap_or(0) + heard.frames as u64;
        self.read = Some(read);
        let time = Mono::now().since(self.started).as_secs_f64() * FASTEST + AHEAD.as_secs_f64();
        if read as f64 / f64::from(capture.rate) > time {
            return Err(Fault::Failed(format!("{}: {NO_CLOCK}", capture.name())));
        }
        self.samples.clear();
        capture.layout.decode(bytes, capture.channels, capture.wanted, &mut self.samples);
        let Some(resampler) = &mut self.resampler else { return pipeline.push(&self.samples) };
        self.resampled.clear();
        resampler
            .push(&self.samples, &mut self.resampled)
            .map_err(|e| Fault::Failed(format!("{}: resample: {e}", capture.name())))?;
        pipeline.push(&self.resampled)
    }

    /// What comes next does not follow what came before.
    fn broken(&mut self) {
        self.read = None;
        self.started = Mono::now();
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }
}

/// The names of all sample formats on offer.
pub(super) fn formats(hw: &HwParams<'_>) -> Vec<String> {
    let offered = |f: &&Format| **f != Format::Unknown && hw.test_format(**f).is_ok();
    Format::all().iter().filter(offered).map(Format::to_string).collect()
}

/// As ALSA counts; nothing here is near the limits of 32 bits.
fn frames(n: u32) -> Frames {
    n as Frames
}
