//! ALSA capture: opens a device with parameters that it supports, reads it without blocking for long, and recovers from
//! errors of the card.

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
    pcm::{Access, Format, Frames, HwParams, Status, TstampType},
    poll::{Flags, poll, pollfd},
};
use tracing::debug;

use crate::{
    audio::{
        alsa_messages::AlsaMessages,
        pcm::{self, Resumed},
        pipeline::AudioPipeline,
        resample::Resampler,
        sample_clock::RATE,
        samples::SampleLayout,
        terms::{self, NegotiatedParams},
        wording::fault,
    },
    clock::Mono,
    feed::Fault,
    idle::Idle,
    liveness::{self, Closes},
};

/// The longest wait for samples, in ms, and so how soon `stop` is noticed.
const WAIT: i32 = 100;
/// A card without samples for this long counts as stuck.
const SILENT: Duration = Duration::from_secs(2);
/// A source that is this much ahead of time has no clock. It is more than the steps of a card's pointer and the buffer
/// of a sound server. The source may also run faster than time by this factor, more than any crystal does.
const AHEAD: Duration = Duration::from_millis(300);
const FASTEST: f64 = 1.05;
/// The error for such a source. It would fill the feed as fast as a core can.
const NO_CLOCK: &str = "it delivers sound faster than real time, like ALSA's `null` and `file`: it is not a microphone";

/// Why `listen` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaptureEnd {
    /// `stop` was set.
    Stopped,
    /// The card delivers no samples any more, and no error.
    Silent,
}

/// An open microphone. Calls of alsa-lib are marked for the liveness report. Each ends in the kernel, or in a plugin
/// that talks to another program, and may hang there.
pub(super) struct Capture {
    pcm: Closes<PCM>,
    name: String,
    layout: SampleLayout,
    rate: u32,
    channels: usize,
    /// Frames per period.
    period: Frames,
    /// Frames in the whole buffer.
    buffer: Frames,
    /// The number of channels that is encoded.
    wanted: usize,
    /// When capture began.
    started: Mono,
}

/// The result of one read.
struct CapturedPeriod {
    frames: usize,
    /// When the first frame was captured.
    at: Mono,
}

impl Capture {
    /// Opens the PCM `name`, negotiates format, rate, channels and period, and starts it. Until `listen` is called,
    /// samples wait in its buffer.
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
            layout: SampleLayout::S16,
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
        // The buffer of a source without a clock is full at once. If this thread was delayed for as long as the buffer
        // lasts, the check is not possible and is skipped.
        let full = capture.pcm.status().is_ok_and(|status| status.get_avail() >= capture.buffer);
        if full && Mono::now().since(capture.started) < capture.time(capture.buffer) / 2 {
            return Err(Fault::Failed(format!("{}: {NO_CLOCK}", capture.name())));
        }
        Ok(capture)
    }

    /// The ALSA name of the device.
    pub(super) fn alsa_name(&self) -> &str {
        &self.name
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        format!("microphone {}", self.name)
    }

    /// Negotiates parameters near 48 kHz and the wanted channels, with periods of 10 ms.
    fn negotiate(&mut self, messages: &AlsaMessages) -> Result<(), Fault> {
        let name = self.name.as_str();
        let wrong = |doing: &'static str| move |e| fault(name, doing, e, messages);
        let hw = HwParams::any(&self.pcm).map_err(wrong("ask what it offers"))?;
        // ALSA's resampler interpolates linearly, and ours is better. A device that cannot switch it off is used
        // anyway.
        let _ = hw.set_rate_resample(false);
        hw.set_access(Access::RWInterleaved).map_err(wrong("read interleaved samples"))?;
        let Some(layout) = SampleLayout::ALL.into_iter().find(|l| hw.test_format(l.format()).is_ok()) else {
            let offered = formats(&hw).join(", ");
            let other = if name.starts_with("hw:") { format!("; try plug{name}") } else { String::new() };
            return Err(Fault::Failed(format!("microphone {name}: device offers {offered}, none can be read{other}")));
        };
        hw.set_format(layout.format()).map_err(wrong("set its format"))?;
        let wanted = u32::try_from(self.wanted).unwrap_or(2);
        // The rate is set first: if a card has 48 kHz only in stereo, mixing down is better than 16 kHz.
        let rate = hw.set_rate_near(RATE, ValueOr::Nearest).map_err(wrong("set its rate"))?;
        let channels = hw.set_channels_near(wanted).map_err(wrong("set its channels"))?;
        let refused = |why: String| Fault::Failed(format!("microphone {name}: {why}"));
        terms::check_samples(channels, rate).map_err(refused)?;
        // These are only preferences, and the card may choose other values. A long buffer adds no delay and tolerates
        // late reads.
        let _ = hw.set_periods_min(4, ValueOr::Nearest);
        let _ = hw.set_period_time_max(20_000, ValueOr::Nearest);
        let period = frames(rate / 100);
        let period = hw.set_period_size_near(period, ValueOr::Nearest).unwrap_or(period);
        let _ = hw.set_buffer_size_near(frames(rate / 4).max(period.saturating_mul(4)));
        self.pcm.hw_params(&hw).map_err(wrong("set its parameters"))?;
        let period = hw.get_period_size().map_err(wrong("ask for its period"))?;
        let buffer = hw.get_buffer_size().map_err(wrong("ask for its buffer"))?;
        drop(hw);
        terms::check(NegotiatedParams { channels, rate, period, buffer }).map_err(refused)?;
        (self.layout, self.rate, self.period, self.buffer) = (layout, rate, period, buffer);
        self.channels = usize::try_from(channels).unwrap_or(1);
        Ok(())
    }

    /// Wakes the thread after each period. Uses time stamps of the monotonic clock if the device has them.
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

    /// Passes all samples to `pipeline`, until `stop` is set or the card ends.
    pub(super) fn listen(&self, stop: &AtomicBool, pipeline: &mut AudioPipeline<'_>) -> Result<CaptureEnd, Fault> {
        let messages = AlsaMessages::catch();
        let mut waiting = self.pcm.get().map_err(|e| fault(&self.name, "wait for it", e, &messages))?;
        let frame = self.layout.width() * self.channels;
        let mut bytes = vec![0; frame * usize::try_from(self.buffer.clamp(64, frames(self.rate))).unwrap_or(64)];
        let mut run = Run::new(self)?;
        let (mut heard_at, mut idle) = (Mono::now(), Idle::default());
        drop(messages);
        while !stop.load(Ordering::Acquire) {
            liveness::tick();
            match liveness::during("snd_pcm_readi", self.pcm.on(), || self.read(&mut bytes)) {
                Ok(Some(heard)) => {
                    heard_at = Mono::now();
                    idle.rest();
                    run.take(self, &bytes[..heard.frames * frame], &heard, pipeline)?;
                }
                Ok(None) if Mono::now().since(heard_at) > SILENT => return Ok(CaptureEnd::Silent),
                Ok(None) => {
                    thread::sleep(idle.pause());
                    if !liveness::during("poll", self.pcm.on(), || self.wait(&mut waiting)) {
                        idle.rest();
                    }
                }
                Err(_) if Mono::now().since(heard_at) > SILENT => return Ok(CaptureEnd::Silent),
                Err(e) => {
                    self.recover(e, pipeline)?;
                    run.broken();
                    // Half a period: this delays nothing, and a card that fails again at once does not use a whole
                    // core.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
        Ok(CaptureEnd::Stopped)
    }

    /// Reads the samples that are ready, if any.
    fn read(&self, bytes: &mut [u8]) -> alsa::Result<Option<CapturedPeriod>> {
        let status = self.pcm.status()?;
        let now = Mono::now();
        pcm::check_running(&self.pcm)?;
        // Reads whole periods only. Smaller reads cost more than they save. Reading more than a period leaves less than
        // one at the card's next interrupt. That interrupt would not wake us, and every other period would be 10 ms
        // late.
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

    /// When the first frame to be read was captured: the card's time stamp if it is plausible, else now, minus the time
    /// of the frames in the buffer.
    fn captured(&self, status: &Status, now: Mono) -> Mono {
        let stamp = status.get_htstamp();
        let (s, ns) = (u64::try_from(stamp.tv_sec).unwrap_or(0), u64::try_from(stamp.tv_nsec).unwrap_or(0));
        let stamp = Mono(s.saturating_mul(1_000_000_000).saturating_add(ns));
        let sane = stamp <= now && now.since(stamp) < Duration::from_secs(1);
        let stamp = if sane { stamp } else { now };
        // If the driver knows it, the delay includes the frames that are still inside the card.
        let avail = status.get_avail();
        let delay = status.get_delay();
        let behind = if (avail..avail + frames(self.rate / 5)).contains(&delay) { delay } else { avail };
        Mono(stamp.0.saturating_sub(u64::try_from(self.time(behind).as_nanos()).unwrap_or(0)))
    }

    /// Waits until the card has samples, for a short time at most. Returns whether it reported some.
    fn wait(&self, waiting: &mut [pollfd]) -> bool {
        let ready = match poll(waiting, if waiting.is_empty() { 5 } else { WAIT }) {
            Ok(1..) => self.pcm.revents(waiting).unwrap_or(Flags::ERR),
            Ok(_) | Err(_) => Flags::empty(),
        };
        // It reported none, or an error that the next read must find. Some plugins report this all the time, and must
        // not use a whole core.
        if ready != Flags::IN {
            thread::sleep(Duration::from_millis(1));
        }
        !ready.is_empty()
    }

    /// Recovers from an error, or returns why that is not possible.
    fn recover(&self, error: alsa::Error, pipeline: &mut AudioPipeline<'_>) -> Result<(), Fault> {
        match error.errno().abs() {
            libc::EPIPE | libc::EBADFD => {
                pipeline.overrun();
                self.start()
            }
            libc::ESTRPIPE => {
                pipeline.suspended();
                match pcm::resume(&self.pcm) {
                    Resumed::Runs => Ok(()),
                    Resumed::Stopped => self.start(),
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

    /// The duration of this many frames.
    fn time(&self, frames: Frames) -> Duration {
        pcm::duration(frames, self.rate)
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, channels, period, buffer, .. } = *self;
        write!(f, "{}: {}", self.name(), pcm::describe(rate, self.layout.format(), channels, period, buffer))
    }
}

/// The samples' path from the card to the pipeline, and how many were read since the last interruption.
struct Run {
    resampler: Option<Resampler>,
    /// Frames read since the card was started; `None` before the first.
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

    /// The next samples do not follow the ones before.
    fn broken(&mut self) {
        self.read = None;
        self.started = Mono::now();
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }
}

/// The names of all sample formats that the device offers.
pub(super) fn formats(hw: &HwParams<'_>) -> Vec<String> {
    let offered = |f: &&Format| **f != Format::Unknown && hw.test_format(**f).is_ok();
    Format::all().iter().filter(offered).map(Format::to_string).collect()
}

/// Converts to ALSA's frame count. All values here are far below the limits of 32 bits.
pub(super) fn frames(n: u32) -> Frames {
    n as Frames
}
