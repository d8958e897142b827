//! The thread of a button: edges of its line → what it did. A line that cannot be used is looked for again.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tracing::{info, warn};

use super::{
    button::{ButtonEvent, ButtonState, ButtonTerms},
    chip::InputLine,
};
use crate::{
    clock::Mono,
    config::{GpioLine, LineBias},
};

/// The thread looks this often whether it should end, and at the level of the line, in case that edges were lost.
const LOOK: Duration = Duration::from_secs(2);
/// The pause before a line that cannot be used is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How a button is wired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonWiring {
    /// Its key in the configuration, for messages.
    pub key: &'static str,
    /// Its line.
    pub line: GpioLine,
    /// The resistor of the chip.
    pub bias: LineBias,
    /// How it is read.
    pub terms: ButtonTerms,
}

/// A button that is followed until this is dropped.
#[derive(Debug)]
pub struct WatchedButton {
    stop: Arc<AtomicBool>,
}

impl Drop for WatchedButton {
    /// The thread ends soon. Nobody waits for it.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl WatchedButton {
    /// Starts the thread. It calls `on` for what the button does; `on` must not wait.
    pub fn start(wiring: ButtonWiring, on: impl FnMut(ButtonEvent) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        thread::Builder::new().name("button".into()).spawn(move || run(&wiring, &of_thread, on))?;
        Ok(Self { stop })
    }
}

fn run(wiring: &ButtonWiring, stop: &AtomicBool, mut on: impl FnMut(ButtonEvent)) {
    let ButtonWiring { key, line, bias, terms } = wiring;
    let mut is_told = false;
    while !stop.load(Ordering::Acquire) {
        let followed = InputLine::open(line, *bias).and_then(|input| {
            info!("{key}: {line} is followed");
            is_told = false;
            follow(input, *terms, stop, &mut on)
        });
        if let Err(said) = followed
            && !is_told
        {
            warn!("{key}: {said}; it is tried again each {} s", RETRY.as_secs());
            is_told = true;
        }
        let again = Mono::now() + RETRY;
        while !stop.load(Ordering::Acquire) && Mono::now() < again {
            thread::sleep(LOOK);
        }
    }
}

/// Follows a line until the end, or until it cannot be used any more.
fn follow(
    mut input: InputLine,
    terms: ButtonTerms,
    stop: &AtomicBool,
    on: &mut impl FnMut(ButtonEvent),
) -> Result<(), String> {
    let mut button = ButtonState::new(terms, input.is_high()?, Mono::now());
    while !stop.load(Ordering::Acquire) {
        let pause = button.deadline().map_or(LOOK, |at| at.since(Mono::now())).min(LOOK);
        let edges = input.wait(pause)?;
        if edges.is_empty() {
            // In case that the kernel had no room for an edge.
            button.on_edge(input.is_high()?, Mono::now()).into_iter().for_each(&mut *on);
        }
        for edge in edges {
            button.on_edge(edge.high, edge.at).into_iter().for_each(&mut *on);
        }
        button.tick(Mono::now()).into_iter().for_each(&mut *on);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_button_without_its_line_ends_when_it_is_dropped() {
        let terms = ButtonTerms::new(&config::Button::default());
        let line = GpioLine::Named("fanlight-has-no-such-line".into());
        let wiring = ButtonWiring { key: "button.doorbell", line, bias: LineBias::PullUp, terms };
        let button = WatchedButton::start(wiring, |_| panic!("there is no such button")).unwrap();
        let stop = Arc::clone(&button.stop);
        drop(button);
        assert!(stop.load(Ordering::Acquire));
    }
}
