//! The tables `[lamp]` and `[button]`.

use std::{fmt, time::Duration};

use super::{
    section::Section,
    values::{one_line, word_of},
};

/// The lamps that show what camera, microphone and loudspeaker do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lamp {
    /// The lamp for the picture.
    pub picture: LampOutput,
    /// The lamp for sound in either direction.
    pub sound: LampOutput,
    /// Which level of a GPIO line lights a lamp.
    pub polarity: LinePolarity,
}

/// What lights a lamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LampOutput {
    /// The board has no such lamp.
    Off,
    /// The LED of this name in `/sys/class/leds`.
    Led(String),
    /// A GPIO line.
    Line(GpioLine),
}

/// The buttons of the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// The doorbell.
    pub doorbell: ButtonInput,
    /// The button that sets the privacy switch.
    pub privacy: ButtonInput,
    /// Which level of the line means that a button is pressed.
    pub polarity: LinePolarity,
    /// The resistor of the chip on the line.
    pub bias: LineBias,
    /// How long a level must last before it counts.
    pub debounce: Duration,
    /// The pause between two rings.
    pub pause: Duration,
    /// Whether the privacy button may also lift the switch.
    pub privacy_lifts: bool,
}

/// What a button is wired to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ButtonInput {
    /// The board has no such button.
    Off,
    /// A GPIO line.
    Line(GpioLine),
}

/// A line of a GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpioLine {
    /// The line of this name, of whatever chip.
    Named(String),
    /// A line by its number.
    Numbered {
        /// The device of the chip without `/dev/`, or its label.
        chip: String,
        /// The number of the line.
        number: u32,
    },
}

/// Which level of a line is the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinePolarity {
    /// High: a button to the supply with a resistor to ground, or a lamp to ground.
    ActiveHigh,
    /// Low: a button to ground with a resistor to the supply, or a lamp to the supply.
    ActiveLow,
}

/// The resistor of the chip on a line (`GPIO_V2_LINE_FLAG_BIAS_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineBias {
    /// As it is.
    AsIs,
    /// None.
    Disabled,
    /// To the supply.
    PullUp,
    /// To ground.
    PullDown,
}

impl LinePolarity {
    /// The words of `polarity`.
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("active_high", Self::ActiveHigh), ("active_low", Self::ActiveLow)];

    /// Whether a line of this level is active; also the level (true: high) of a line that is active or not.
    pub fn convert(self, high_or_active: bool) -> bool {
        high_or_active == (self == Self::ActiveHigh)
    }
}

impl LineBias {
    /// The words of `button.bias`.
    pub(super) const WORDS: [(&'static str, Self); 4] =
        [("as_is", Self::AsIs), ("disabled", Self::Disabled), ("pull_up", Self::PullUp), ("pull_down", Self::PullDown)];
}

impl GpioLine {
    /// Reads `gpio:NAME` or `gpio:CHIP:NUMBER`.
    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("gpio:")?;
        if !one_line(name, 64) || name.contains('/') {
            return None;
        }
        let Some((chip, number)) = name.rsplit_once(':') else { return Some(Self::Named(name.to_owned())) };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Some(Self::Named(name.to_owned()));
        }
        let number = number.parse().ok()?;
        (!chip.is_empty()).then(|| Self::Numbered { chip: chip.to_owned(), number })
    }
}

impl LampOutput {
    /// Reads `off`, `led:NAME`, or a GPIO line.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::Off);
        }
        match text.strip_prefix("led:") {
            // The name becomes part of a path. The kernel's longest one has 63 bytes.
            Some(name) => {
                let fits = one_line(name, 63) && !name.contains('/') && !name.starts_with('.');
                fits.then(|| Self::Led(name.to_owned()))
            }
            None => GpioLine::parse(text).map(Self::Line),
        }
    }
}

impl ButtonInput {
    /// Reads `off` or a GPIO line.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "off" { Some(Self::Off) } else { GpioLine::parse(text).map(Self::Line) }
    }

    /// The line. `None`: there is no such button.
    pub fn line(&self) -> Option<&GpioLine> {
        match self {
            Self::Off => None,
            Self::Line(line) => Some(line),
        }
    }
}

impl fmt::Display for GpioLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "gpio:{name}"),
            Self::Numbered { chip, number } => write!(f, "gpio:{chip}:{number}"),
        }
    }
}

impl fmt::Display for LampOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Led(name) => write!(f, "led:{name}"),
            Self::Line(line) => line.fmt(f),
        }
    }
}

impl fmt::Display for ButtonInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Line(line) => line.fmt(f),
        }
    }
}

impl fmt::Display for LinePolarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, *self))
    }
}

impl fmt::Display for LineBias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&Self::WORDS, *self))
    }
}

/// Reads `[lamp]`.
pub(super) fn lamp(section: &mut Section<'_, '_, '_>) -> Lamp {
    let lamp = Lamp {
        picture: section.text("picture", LampOutput::parse),
        sound: section.text("sound", LampOutput::parse),
        polarity: section.choice("polarity", &LinePolarity::WORDS),
    };
    if lamp.picture == lamp.sound && lamp.picture != LampOutput::Off {
        section.problem(
            "sound",
            "the same as lamp.picture: leave one of them out; a board with one lamp shows picture and sound with it",
        );
    }
    lamp
}

/// Reads `[button]`.
pub(super) fn button(section: &mut Section<'_, '_, '_>) -> Button {
    let button = Button {
        doorbell: section.text("doorbell", ButtonInput::parse),
        privacy: section.text("privacy", ButtonInput::parse),
        polarity: section.choice("polarity", &LinePolarity::WORDS),
        bias: section.choice("bias", &LineBias::WORDS),
        debounce: Duration::from_millis(section.number("debounce_ms")),
        pause: section.seconds("pause_s"),
        privacy_lifts: section.flag("privacy_lifts"),
    };
    if button.doorbell == button.privacy && button.doorbell != ButtonInput::Off {
        section.problem("privacy", "the same as button.doorbell: each button needs a line of its own");
    }
    button
}

/// Lamps for generated configurations.
#[cfg(test)]
pub(super) fn any_lamp(n: u64) -> Lamp {
    let outputs = ["off", "led:fanlight:white", "gpio:GPIO17", "gpio:gpiochip0:4"];
    let output = |n: u64| LampOutput::parse(outputs[(n % 4) as usize]).unwrap();
    let polarity = LinePolarity::WORDS[(n / 16 % 2) as usize].1;
    let sound = if n % 4 == n / 4 % 4 { LampOutput::Off } else { output(n / 4) };
    Lamp { picture: output(n), sound, polarity }
}

/// Buttons for generated configurations.
#[cfg(test)]
pub(super) fn any_button(n: u64) -> Button {
    let input = |text: &str| ButtonInput::parse(text).unwrap();
    Button {
        doorbell: input(["off", "gpio:GPIO27"][(n % 2) as usize]),
        privacy: input(["off", "gpio:pinctrl-rp1:22"][(n / 2 % 2) as usize]),
        polarity: LinePolarity::WORDS[(n / 4 % 2) as usize].1,
        bias: LineBias::WORDS[(n / 8 % 4) as usize].1,
        debounce: Duration::from_millis(n * 10),
        pause: Duration::from_secs(n),
        privacy_lifts: n.is_multiple_of(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lamps_and_buttons_are_read_as_they_are_written() {
        for text in ["off", "led:ACT", "led:fanlight:white:status", "gpio:GPIO17", "gpio:gpiochip0:17", "gpio:a b:0"] {
            assert_eq!(LampOutput::parse(text).unwrap().to_string(), text);
        }
        for text in ["off", "gpio:GPIO17", "gpio:pinctrl-rp1:4294967295", "gpio:a:b"] {
            assert_eq!(ButtonInput::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "on", "17", "led:", "led:../x", "led:a/b", "led:.", "gpio:", "gpio::3", "gpio:/dev/gpiochip0:3"]
        {
            assert_eq!(LampOutput::parse(text), None, "{text}");
        }
        for text in ["", "led:ACT", "GPIO17", "gpio:gpiochip0:4294967296", "gpio:a\nb"] {
            assert_eq!(ButtonInput::parse(text), None, "{text}");
        }
        let expected = GpioLine::Numbered { chip: "gpiochip0".into(), number: 17 };
        assert_eq!(ButtonInput::parse("gpio:gpiochip0:17").unwrap().line(), Some(&expected));
        assert_eq!(ButtonInput::Off.line(), None);
    }

    #[test]
    fn a_level_becomes_active_or_not_and_back() {
        for (polarity, high, active) in [
            (LinePolarity::ActiveHigh, true, true),
            (LinePolarity::ActiveHigh, false, false),
            (LinePolarity::ActiveLow, true, false),
            (LinePolarity::ActiveLow, false, true),
        ] {
            assert_eq!((polarity.convert(high), polarity.convert(active)), (active, high), "{polarity}");
        }
    }
}
