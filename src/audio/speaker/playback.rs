//! ALSA playback: opens a device with parameters that it supports, keeps a little sound in its buffer, and recovers
//! from errors of the card. It is the counterpart of `capture.rs`.
//!
//! The buffer of the device is longer than needed. How much sound waits in it is decided here (`target`), because each
//! millisecond in it is a delay.

use std::{ffi::CString, fmt, sync::Arc, time::Duration};

use alsa::{
    Direction, PCM, ValueOr,
    pcm::{Access, Frames, HwParams, State},
};

use crate::{
    audio::{
        alsa_messages::AlsaMessages,
        capture::{formats, frames},
        pcm::{self, Resumed},
        sample_clock::RATE,
        samples::SampleLayout,
        terms::{self, NegotiatedParams},
        wording::device_fault,
    },
    clock::Mono,
    feed::Fault,
    liveness::{self, Closes},
};

/// Units of sound in the device: one that plays, one that waits, and one that may be late.
const UNITS: Frames = 3;

/// An open playback device. Calls of alsa-lib are marked for the liveness report.
pub(super) struct Playback {
    pcm: Closes<PCM>,
    name: String,
    layout: SampleLayout,
    rate: u32,
    channels: usize,
    /// Frames per period, and in the whole buffer.
    period: Frames,
    buffer: Frames,
    /// Frames that are written at a time, and that should wait in the buffer.
    unit: Frames,
    target: Frames,
    /// When playback began, and frames written since.
    began: Mono,
    written: u64,
    /// Whether the device takes samples faster than real time, as ALSA's `null` and `file` do. The monotonic clock then
    /// sets the pace.
    is_clockless: bool,
    underruns: u32,
    bytes: Vec<u8>,
}

impl Playback {
    /// Opens the PCM `name`, and negotiates format, rate, channels and period. It plays nothing before `begin`.
    pub(super) fn open(name: &str) -> Result<Self, Fault> {
        let messages = AlsaMessages::catch();
        let c_name = CString::new(name).map_err(|_| Fault::Failed(format!("speaker {name:?}: not a name")))?;
        let on: Arc<str> = name.into();
        if let Some(why) = liveness::still_hangs(name) {
            return Err(Fault::Failed(format!("speaker {name}: {why}")));
        }
        let pcm = liveness::during("snd_pcm_open", &on, || PCM::open(&c_name, Direction::Playback, true));
        let pcm = pcm.map_err(|e| device_fault(Direction::Playback, name, "open", e, &messages))?;
        let mut playback = Self {
            pcm: Closes::new(pcm, "snd_pcm_close", Arc::clone(&on)),
            name: name.to_owned(),
            layout: SampleLayout::S16,
            rate: 0,
            channels: 0,
            period: 0,
            buffer: 0,
            unit: 0,
            target: 0,
            began: Mono::default(),
            written: 0,
            is_clockless: false,
            underruns: 0,
            bytes: Vec::new(),
        };
        liveness::during("snd_pcm_hw_params", &on, || playback.negotiate(&messages))?;
        liveness::during("snd_pcm_sw_params", &on, || playback.set_thresholds(&messages))?;
        Ok(playback)
    }

    /// The ALSA name of the device.
    pub(super) fn alsa_name(&self) -> &str {
        &self.name
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        format!("speaker {}", self.name)
    }

    /// Frames per second.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Frames that are written at a time.
    pub(super) fn unit(&self) -> usize {
        usize::try_from(self.unit).unwrap_or(0)
    }

    /// How much sound waits in the device at most.
    pub(super) fn longest(&self) -> Duration {
        self.time(self.target)
    }

    /// Whether the device has no clock.
    pub(super) fn is_clockless(&self) -> bool {
        self.is_clockless
    }

    /// How often the device ran out of samples.
    pub(super) fn underruns(&self) -> u32 {
        self.underruns
    }

    fn fault(&self, doing: &str, error: alsa::Error, messages: &AlsaMessages) -> Fault {
        device_fault(Direction::Playback, &self.name, doing, error, messages)
    }

    /// Negotiates parameters near 48 kHz and one channel, with periods of 10 ms.
    fn negotiate(&mut self, messages: &AlsaMessages) -> Result<(), Fault> {
        let name = self.name.as_str();
        let wrong = |doing: &'static str| move |e| device_fault(Direction::Playback, name, doing, e, messages);
        let hw = HwParams::any(&self.pcm).map_err(wrong("ask what it offers"))?;
        // As in `capture.rs`: ALSA's resampler is the worse one.
        let _ = hw.set_rate_resample(false);
        hw.set_access(Access::RWInterleaved).map_err(wrong("write interleaved samples"))?;
        let Some(layout) = SampleLayout::ALL.into_iter().find(|l| hw.test_format(l.format()).is_ok()) else {
            let offered = formats(&hw).join(", ");
            let other = if name.starts_with("hw:") { format!("; try plug{name}") } else { String::new() };
            return Err(Fault::Failed(format!("speaker {name}: device offers {offered}, none can be written{other}")));
        };
        hw.set_format(layout.format()).map_err(wrong("set its format"))?;
        let rate = hw.set_rate_near(RATE, ValueOr::Nearest).map_err(wrong("set its rate"))?;
        let channels = hw.set_channels_near(1).map_err(wrong("set its channels"))?;
        let refused = |why: String| Fault::Failed(format!("speaker {name}: {why}"));
        terms::check_samples(channels, rate).map_err(refused)?;
        // Preferences, which the card may ignore.
        let _ = hw.set_periods_min(4, ValueOr::Nearest);
        let period = frames(rate / 100);
        let period = hw.set_period_size_near(period, ValueOr::Nearest).unwrap_or(period);
        let _ = hw.set_buffer_size_near(frames(rate / 10).max(period.saturating_mul(4)));
        self.pcm.hw_params(&hw).map_err(wrong("set its parameters"))?;
        let period = hw.get_period_size().map_err(wrong("ask for its period"))?;
        let buffer = hw.get_buffer_size().map_err(wrong("ask for its buffer"))?;
        drop(hw);
        terms::check(NegotiatedParams { channels, rate, period, buffer }).map_err(refused)?;
        (self.layout, self.rate, self.period, self.buffer) = (layout, rate, period, buffer);
        self.channels = usize::try_from(channels).unwrap_or(1);
        self.unit = period.max(frames(rate / 100)).min(buffer);
        self.target = self.unit.saturating_mul(UNITS).min(buffer);
        Ok(())
    }

    /// `begin` starts the device; it does not start by itself.
    fn set_thresholds(&self, messages: &AlsaMessages) -> Result<(), Fault> {
        let wrong = |e| self.fault("set its thresholds", e, messages);
        let sw = self.pcm.sw_params_current().map_err(wrong)?;
        sw.set_avail_min(self.period).map_err(wrong)?;
        sw.set_start_threshold(self.buffer).map_err(wrong)?;
        self.pcm.sw_params(&sw).map_err(wrong)
    }

    /// Starts the device with silence, also after an interruption.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        let messages = AlsaMessages::catch();
        let on = Arc::clone(self.pcm.on());
        liveness::during("snd_pcm_prepare", &on, || self.pcm.prepare())
            .map_err(|e| self.fault("prepare", e, &messages))?;
        (self.written, self.is_clockless) = (0, false);
        let silence = vec![0.0; usize::try_from(self.target).unwrap_or(0)];
        self.began = Mono::now();
        self.write(&silence).map_err(|e| self.fault("write", e, &messages))?;
        // Writing a whole buffer has started it already.
        if self.pcm.state_raw() != State::Running as i32 {
            liveness::during("snd_pcm_start", &on, || self.pcm.start())
                .map_err(|e| self.fault("start", e, &messages))?;
        }
        let left = self.pcm.avail().map(|avail| self.buffer.saturating_sub(avail));
        let early = Mono::now().since(self.began) < self.longest() / 2;
        self.is_clockless = early && left.is_ok_and(|left| left <= 0);
        Ok(())
    }

    /// Frames that wait in the device.
    pub(super) fn queued(&self) -> alsa::Result<Frames> {
        pcm::check_running(&self.pcm)?;
        let avail = liveness::during("snd_pcm_avail", self.pcm.on(), || self.pcm.avail())?;
        if self.is_clockless {
            let played = Mono::now().since(self.began).as_secs_f64() * f64::from(self.rate);
            return Ok((self.written as f64 - played).max(0.0) as Frames);
        }
        Ok(self.buffer.saturating_sub(avail).max(0))
    }

    /// How long to wait until the device has room for another unit; zero if it has.
    pub(super) fn wait(&self, queued: Frames) -> Duration {
        self.time(queued.saturating_add(self.unit).saturating_sub(self.target).max(0))
    }

    /// Writes samples of one channel, as many as fit. Returns how many.
    pub(super) fn write(&mut self, samples: &[f32]) -> alsa::Result<usize> {
        self.bytes.clear();
        self.layout.encode(samples, self.channels, &mut self.bytes);
        let written = liveness::during("snd_pcm_writei", self.pcm.on(), || self.pcm.io_bytes().writei(&self.bytes));
        match written {
            Ok(written) => {
                self.written += written as u64;
                Ok(written)
            }
            Err(e) if matches!(e.errno().abs(), libc::EAGAIN | libc::EINTR) => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Recovers from an error, or returns why that is not possible.
    pub(super) fn recover(&mut self, error: alsa::Error) -> Result<(), Fault> {
        match error.errno().abs() {
            libc::EPIPE | libc::EBADFD => {
                self.underruns += 1;
                self.begin()
            }
            libc::ESTRPIPE => match pcm::resume(&self.pcm) {
                Resumed::Runs => Ok(()),
                Resumed::Stopped => self.begin(),
            },
            libc::ENODEV | libc::ENXIO => Err(Fault::Absent(format!("{}: unplugged", self.name()))),
            _ => Err(self.fault("write", error, &AlsaMessages::catch())),
        }
    }

    /// Stops at once. What waits in the device is not played.
    pub(super) fn stop(&self) {
        let _messages = AlsaMessages::catch();
        // The device is closed next, so an error changes nothing.
        let _ = liveness::during("snd_pcm_drop", self.pcm.on(), || PCM::drop(&self.pcm));
    }

    /// The duration of this many frames.
    pub(super) fn time(&self, frames: Frames) -> Duration {
        pcm::duration(frames, self.rate)
    }
}

impl fmt::Display for Playback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, channels, period, buffer, .. } = *self;
        write!(f, "{}: {}", self.name(), pcm::describe(rate, self.layout.format(), channels, period, buffer))
    }
}
