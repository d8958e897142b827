//! A doorbell button on a GPIO line: levels of the line → rings. Pure: time is an argument.
//!
//! The kernel reports edges with the time of their interrupt, which is `CLOCK_MONOTONIC` unless another clock is asked
//! for (linux/gpio.h, `gpio_v2_line_event`). A contact bounces for some milliseconds, and a long wire catches pulses.
//! So a level counts once it has lasted for the time `debounce`. Not every chip and kernel debounces for us.

use std::time::Duration;

use crate::{
    clock::Mono,
    config::{self, LinePolarity},
};

/// Rings that are remembered, for the limit of a minute.
const REMEMBERED: usize = 10;
/// The time in which at most [`REMEMBERED`] rings come.
const WINDOW: Duration = Duration::from_secs(60);
/// A button that is held for this long hangs, or its polarity is configured the wrong way round.
const STUCK: Duration = Duration::from_secs(30);

/// How a button is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ButtonTerms {
    /// Which level means pressed.
    pub polarity: LinePolarity,
    /// How long a level must last before it counts.
    pub debounce: Duration,
    /// The pause between two rings.
    pub pause: Duration,
}

impl ButtonTerms {
    /// Those of the configuration.
    pub fn new(button: &config::Button) -> Self {
        Self { polarity: button.polarity, debounce: button.debounce, pause: button.pause }
    }
}

/// What a button did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ButtonEvent {
    /// It was pressed: the bell rings. The time is that of the press.
    Ring(Mono),
    /// It was pressed again too soon: nothing rings. The press is counted.
    TooSoon,
    /// It is held for so long that it hangs, or that its polarity is wrong. Reported once for each press.
    Stuck,
}

/// A button.
#[derive(Debug)]
pub struct ButtonState {
    terms: ButtonTerms,
    /// The level of the line, and since when.
    seen: bool,
    since: Mono,
    /// The level that counts.
    pressed: bool,
    reported: bool,
    /// The times of the last rings, oldest first.
    rings: [Option<Mono>; REMEMBERED],
    /// Presses that did not ring.
    left_out: u64,
}

impl ButtonState {
    /// A button whose line has the level `high` now. A button that is held while the daemon starts does not ring.
    pub fn new(terms: ButtonTerms, high: bool, now: Mono) -> Self {
        let pressed = terms.polarity.convert(high);
        Self { terms, seen: pressed, since: now, pressed, reported: false, rings: [None; REMEMBERED], left_out: 0 }
    }

    /// An edge of the line, to the level `high`, at the time that the kernel gives. The level before it may have lasted
    /// long enough to count although nobody looked, so an edge can be the end of a press that rings.
    pub fn on_edge(&mut self, high: bool, at: Mono) -> Option<ButtonEvent> {
        let event = self.tick(at);
        let pressed = self.terms.polarity.convert(high);
        // After lost edges the same level may come twice. It has lasted since the first one, as far as anybody knows.
        if pressed != self.seen {
            (self.seen, self.since) = (pressed, at);
        }
        event
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Mono> {
        if self.seen != self.pressed {
            Some(self.since + self.terms.debounce)
        } else if self.pressed && !self.reported {
            Some(self.since + STUCK)
        } else {
            None
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: Mono) -> Option<ButtonEvent> {
        let lasted = now.since(self.since);
        if self.seen == self.pressed {
            let stuck = self.pressed && !self.reported && lasted >= STUCK;
            self.reported |= stuck;
            return stuck.then_some(ButtonEvent::Stuck);
        }
        if lasted < self.terms.debounce {
            return None;
        }
        (self.pressed, self.reported) = (self.seen, false);
        self.pressed.then(|| self.ring(self.since))
    }

    /// Presses that did not ring, since the start.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn ring(&mut self, at: Mono) -> ButtonEvent {
        let within = |ring: Option<Mono>, time| ring.is_some_and(|ring| at.since(ring) < time);
        if within(self.rings[REMEMBERED - 1], self.terms.pause) || within(self.rings[0], WINDOW) {
            self.left_out = self.left_out.saturating_add(1);
            return ButtonEvent::TooSoon;
        }
        self.rings.rotate_left(1);
        self.rings[REMEMBERED - 1] = Some(at);
        ButtonEvent::Ring(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ButtonEvent::{Ring, Stuck, TooSoon};

    fn terms() -> ButtonTerms {
        ButtonTerms::new(&config::Button::default())
    }

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    /// A step: the time in milliseconds, and the level of the line after an edge. `None`: time passed.
    type Step = (u64, Option<bool>, Option<ButtonEvent>);

    /// An edge to pressed, an edge to released, and none, for a button that is pressed at `high`.
    fn play(polarity: LinePolarity, steps: &[Step]) -> ButtonState {
        let idle = polarity == LinePolarity::ActiveLow;
        let mut button = ButtonState::new(ButtonTerms { polarity, ..terms() }, idle, ms(0));
        for (n, &(at, pressed, expected)) in steps.iter().enumerate() {
            let event = match pressed {
                Some(pressed) => button.on_edge(pressed != idle, ms(at)),
                None => button.tick(ms(at)),
            };
            assert_eq!(event, expected, "{polarity:?}: step {n} at {at} ms");
        }
        button
    }

    const DOWN: Option<bool> = Some(true);
    const UP: Option<bool> = Some(false);

    /// Plays it for both polarities: the same presses give the same rings.
    fn play_both(steps: &[Step]) -> ButtonState {
        play(LinePolarity::ActiveHigh, steps);
        play(LinePolarity::ActiveLow, steps)
    }

    #[test]
    fn a_press_rings_once_however_long_it_is_held() {
        let button = play_both(&[
            (1000, DOWN, None),
            (1029, None, None),
            (1030, None, Some(Ring(ms(1000)))),
            (1040, None, None),
            (9000, None, None),
            (9100, UP, None),
            (9130, None, None),
            (9900, None, None),
        ]);
        assert_eq!((button.deadline(), button.left_out()), (None, 0));
    }

    #[test]
    fn a_bouncing_contact_is_one_press() {
        play_both(&[
            (1000, DOWN, None),
            (1002, UP, None),
            (1003, DOWN, None),
            (1009, UP, None),
            (1010, DOWN, None),
            (1030, None, None),
            (1040, None, Some(Ring(ms(1010)))),
            (1500, UP, None),
            (1503, DOWN, None),
            (1505, UP, None),
            (1535, None, None),
            (1600, None, None),
        ]);
    }

    #[test]
    fn pulses_shorter_than_the_debounce_time_never_ring() {
        let pulses: Vec<Step> = (0..1000)
            .flat_map(|n| [(n * 50, DOWN, None), (n * 50 + 29, UP, None), (n * 50 + 49, None, None)])
            .collect();
        assert_eq!(play_both(&pulses).left_out(), 0);
    }

    #[test]
    fn a_press_that_was_read_late_rings_all_the_same() {
        play_both(&[(1000, DOWN, None), (1100, UP, Some(Ring(ms(1000)))), (1200, None, None)]);
        play_both(&[(1000, DOWN, None), (9000, None, Some(Ring(ms(1000))))]);
    }

    #[test]
    fn the_next_ring_comes_after_the_pause() {
        let press = |at: u64, event| [(at, DOWN, None), (at + 100, UP, Some(event)), (at + 200, None, None)];
        let steps = [
            press(1000, Ring(ms(1000))),
            press(2000, TooSoon),
            press(3999, TooSoon),
            press(4000, Ring(ms(4000))),
            press(6999, TooSoon),
            press(7000, Ring(ms(7000))),
        ];
        assert_eq!(play_both(&steps.concat()).left_out(), 3);
    }

    #[test]
    fn a_minute_has_ten_rings_at_most() {
        let mut button = ButtonState::new(terms(), true, ms(0));
        let mut rings = Vec::new();
        for second in (1..=180).step_by(3) {
            button.on_edge(false, ms(second * 1000));
            rings.extend(match button.on_edge(true, ms(second * 1000 + 100)) {
                Some(Ring(at)) => Some(at),
                event => {
                    assert_eq!(event, Some(TooSoon));
                    None
                }
            });
            button.tick(ms(second * 1000 + 200));
        }
        assert_eq!(rings.len(), 30);
        for minute in rings.windows(REMEMBERED + 1) {
            assert!(minute[REMEMBERED].since(minute[0]) >= WINDOW, "{minute:?}");
        }
        assert_eq!(button.left_out(), 30);
    }

    #[test]
    fn a_button_that_is_held_at_the_start_does_not_ring_and_is_reported_as_stuck_once() {
        let mut button = ButtonState::new(terms(), false, ms(0));
        assert_eq!(button.deadline(), Some(ms(30_000)));
        for (at, expected) in [(100, None), (29_999, None), (30_000, Some(Stuck)), (60_000, None)] {
            assert_eq!(button.tick(ms(at)), expected, "{at}");
        }
        assert_eq!(button.deadline(), None);
        assert_eq!(button.on_edge(true, ms(61_000)), None);
        assert_eq!(button.tick(ms(61_100)), None);
        assert_eq!(button.on_edge(false, ms(62_000)), None);
        assert_eq!(button.tick(ms(62_100)), Some(Ring(ms(62_000))), "then it works");
        assert_eq!(button.tick(ms(92_000)), Some(Stuck), "and is reported again");
    }

    #[test]
    fn lost_edges_and_a_time_that_goes_back_do_no_harm() {
        // Twice the same level: the edge between them is lost.
        play_both(&[(1000, DOWN, None), (1020, DOWN, None), (1030, None, Some(Ring(ms(1000))))]);
        play_both(&[(1000, UP, None), (2000, UP, None), (3000, None, None)]);
        // An edge before the last one, as two queues may give them.
        play_both(&[(1000, DOWN, None), (900, UP, None), (2000, None, None)]);
    }

    #[test]
    fn the_deadline_is_when_something_is_decided() {
        let mut button = ButtonState::new(terms(), true, ms(0));
        assert_eq!(button.deadline(), None, "an idle button needs no timer");
        button.on_edge(false, ms(500));
        assert_eq!(button.deadline(), Some(ms(530)));
        assert_eq!(button.tick(ms(530)), Some(Ring(ms(500))));
        assert_eq!(button.deadline(), Some(ms(30_500)), "for a button that hangs");
    }

    #[test]
    fn without_debouncing_each_edge_counts() {
        let terms = ButtonTerms { debounce: Duration::ZERO, pause: Duration::ZERO, ..terms() };
        let mut button = ButtonState::new(terms, true, ms(0));
        assert_eq!(button.on_edge(false, ms(1)), None);
        assert_eq!(button.on_edge(true, ms(2)), Some(Ring(ms(1))));
        assert_eq!(button.on_edge(false, ms(3)), None);
        assert_eq!(button.tick(ms(3)), Some(Ring(ms(3))));
    }
}
