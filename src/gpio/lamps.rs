//! The thread that switches the lamps. The devices' tasks say what may be open; a device's thread waits for its lamp.
//!
//! Nobody waits for a lamp without an end: a chip behind a bus that hangs costs a device [`LIT_WITHIN`], and the end of
//! the process [`DARK_WITHIN`].

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::{info, warn};

use super::{
    chip::OutputLine,
    lamp::{DevicesInUse, FittedLamps, LampDevice, LampName, LampStates, LampWrite},
    led::Led,
};
use crate::{
    clock::Mono,
    config::{self, LampOutput, LinePolarity},
};

/// How long a device waits for its lamp.
const LIT_WITHIN: Duration = Duration::from_millis(200);
/// How long the end of the process waits until the lamps are dark.
const DARK_WITHIN: Duration = Duration::from_millis(200);
/// The thread wakes up this often without work.
const IDLE: Duration = Duration::from_secs(3600);

/// The lamps. Clones share them. The default: a board without lamps.
#[derive(Debug, Clone, Default)]
pub struct LampHandle {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something changed: what is wanted, or what the lamps show.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lamps: LampStates,
    used: DevicesInUse,
    is_closing: bool,
}

impl LampHandle {
    /// Starts the thread, if the configuration has a lamp. All lamps are switched off first.
    pub fn start(config: &config::Lamp) -> Self {
        let fitted = FittedLamps { picture: config.picture != LampOutput::Off, sound: config.sound != LampOutput::Off };
        if !fitted.picture && !fitted.sound {
            return Self::default();
        }
        let lamps = LampStates::new(fitted);
        let state = Mutex::new(State { lamps, used: DevicesInUse::default(), is_closing: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let of = |output: &LampOutput| Output { output: output.clone(), polarity: config.polarity, open: None };
        let outputs = [of(&config.picture), of(&config.sound)];
        let of_thread = Arc::clone(&shared);
        match thread::Builder::new().name("lamps".into()).spawn(move || of_thread.run(outputs)) {
            Ok(_) => Self { shared: Some(shared) },
            Err(e) => {
                warn!("start the lamp thread: {e}; the lamps do not work");
                Self::default()
            }
        }
    }

    /// The lamp of one device.
    pub fn of_device(&self, device: LampDevice) -> DeviceLamp {
        DeviceLamp { lamps: self.clone(), device: Some(device) }
    }

    /// The process ends, and all devices are closed: waits for up to 200 ms until the lamps are dark. It blocks.
    pub fn close(&self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        state.used = DevicesInUse::default();
        state.lamps.set(DevicesInUse::default());
        state.is_closing = true;
        shared.changed.notify_all();
        let (state, _) = shared
            .changed
            .wait_timeout_while(state, DARK_WITHIN, |state| !state.lamps.is_dark())
            .unwrap_or_else(PoisonError::into_inner);
        if !state.lamps.is_dark() {
            warn!("the lamps are not dark after {DARK_WITHIN:?}");
        }
    }
}

/// The lamp of one device. The default: none.
#[derive(Debug, Clone, Default)]
pub struct DeviceLamp {
    lamps: LampHandle,
    device: Option<LampDevice>,
}

impl DeviceLamp {
    /// The device may be open from now on, or is certainly closed. Never waits for a lamp.
    pub fn set(&self, is_used: bool) {
        let (Some(shared), Some(device)) = (&self.lamps.shared, self.device) else { return };
        let mut state = shared.lock();
        let mut used = state.used;
        used.set(device, is_used);
        if used != state.used {
            state.used = used;
            state.lamps.set(used);
            shared.changed.notify_all();
        }
    }

    /// Waits until the lamp is lit, for up to 200 ms. A lamp that does not work is not waited for. It blocks.
    pub fn wait_lit(&self) {
        let Some(shared) = &self.lamps.shared else { return };
        let state = shared.lock();
        let (state, _) = shared
            .changed
            .wait_timeout_while(state, LIT_WITHIN, |state| !state.lamps.shows_all())
            .unwrap_or_else(PoisonError::into_inner);
        if !state.lamps.shows_all() {
            warn!("a device is opened, and its lamp is not lit after {LIT_WITHIN:?}");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: switches what is due, until the end of the process.
    fn run(&self, mut outputs: [Output; 2]) {
        let mut state = self.lock();
        loop {
            let now = Mono::now();
            let due = state.lamps.due(now);
            if due.is_empty() {
                if state.is_closing && state.lamps.is_dark() {
                    return;
                }
                let pause = state.lamps.deadline().map_or(IDLE, |at| at.since(now));
                state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            // A write may take its time, and nobody who holds the lock may wait for it.
            drop(state);
            let done: Vec<_> =
                due.into_iter().map(|write| (write, outputs[write.lamp as usize].write(write))).collect();
            state = self.lock();
            for (write, result) in done {
                let is_news = state.lamps.wrote(write, result.is_ok(), Mono::now());
                if is_news {
                    report(write.lamp, result);
                }
            }
            self.changed.notify_all();
        }
    }
}

fn report(lamp: LampName, result: Result<(), String>) {
    match result {
        Ok(()) => info!("{}: works again", lamp.key()),
        Err(said) => warn!("{}: {said}; it is tried again, and the devices work without it", lamp.key()),
    }
}

/// What lights a lamp, and its open line or LED.
struct Output {
    output: LampOutput,
    polarity: LinePolarity,
    open: Option<OpenOutput>,
}

enum OpenOutput {
    Led(Led),
    Line(OutputLine),
}

impl Output {
    /// Switches it. What failed is opened again with the next try: its driver may have been loaded again.
    fn write(&mut self, LampWrite { lit, .. }: LampWrite) -> Result<(), String> {
        let result = match &self.open {
            Some(OpenOutput::Led(led)) => led.set(lit),
            Some(OpenOutput::Line(line)) => line.set(lit),
            None => self.open(lit),
        };
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn open(&mut self, lit: bool) -> Result<(), String> {
        self.open = match &self.output {
            LampOutput::Off => None,
            LampOutput::Led(name) => {
                let led = Led::open(name)?;
                led.set(lit)?;
                Some(OpenOutput::Led(led))
            }
            LampOutput::Line(line) => Some(OpenOutput::Line(OutputLine::open(line, self.polarity, lit)?)),
        };
        Ok(())
    }
}

#[cfg(test)]
impl LampHandle {
    /// For tests: no lamps, and `are_used` tells what they would show.
    pub(crate) fn simulated() -> Self {
        let lamps = LampStates::new(FittedLamps { picture: false, sound: false });
        let state = Mutex::new(State { lamps, used: DevicesInUse::default(), is_closing: false });
        Self { shared: Some(Arc::new(Shared { state, changed: Condvar::new() })) }
    }

    /// Whether a device may be open.
    pub(crate) fn are_used(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.lock().used != DevicesInUse::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_without_lamps_waits_for_none() {
        let lamps = LampHandle::start(&config::Lamp::default());
        let lamp = lamps.of_device(LampDevice::Camera);
        lamp.set(true);
        lamp.wait_lit();
        lamps.close();
        DeviceLamp::default().wait_lit();
    }

    #[test]
    fn a_lamp_that_does_not_work_delays_nothing_for_long() {
        let picture = LampOutput::Led("fanlight-has-no-such-led".into());
        let lamps = LampHandle::start(&config::Lamp { picture, ..config::Lamp::default() });
        let lamp = lamps.of_device(LampDevice::Camera);
        let begun = Mono::now();
        lamp.set(true);
        lamp.wait_lit();
        lamp.set(false);
        lamps.close();
        // Both waits have their limit; the rest is for a busy machine.
        assert!(Mono::now().since(begun) < LIT_WITHIN + DARK_WITHIN + Duration::from_secs(5));
    }
}
