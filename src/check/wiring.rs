//! What `check` and `probe` say about LEDs and GPIO lines.

use std::fmt::Write as _;

use crate::{
    config::{Config, LampOutput},
    gpio::{self, ProbedChip, ProbedLed},
};

/// Lamps and buttons that cannot be used now.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let lamps = [("lamp.picture", &config.lamp.picture), ("lamp.sound", &config.lamp.sound)];
    let lamps = lamps.map(|(key, output)| {
        let fault = match output {
            LampOutput::Off => None,
            LampOutput::Led(name) => gpio::led_fault(name),
            LampOutput::Line(line) => gpio::line_fault(line),
        };
        (key, fault)
    });
    let buttons = [("button.doorbell", &config.button.doorbell), ("button.privacy", &config.button.privacy)];
    let buttons = buttons.map(|(key, input)| (key, input.line().and_then(gpio::line_fault)));
    lamps.into_iter().chain(buttons).filter_map(|(key, fault)| Some(format!("{key}: {}", fault?))).collect()
}

/// The part of the report about LEDs and GPIO chips.
pub(super) fn text(leds: &[ProbedLed], chips: &[ProbedChip]) -> String {
    let mut out = format!("\nLEDs: {}\n", count(leds.len()));
    for ProbedLed { output, trigger } in leds {
        let switched = trigger.as_ref().map(|trigger| format!(" (switched by {trigger} now)")).unwrap_or_default();
        let _ = writeln!(out, "  {output}{switched}");
    }
    let usable = chips.iter().filter(|chip| chip.unusable.is_none()).count();
    let _ = writeln!(out, "\nGPIO chips: {}", count(usable));
    for chip in chips {
        match &chip.unusable {
            Some(why) => {
                let _ = writeln!(out, "  not used: {why}");
            }
            None => {
                let free = if chip.free.is_empty() { "none".to_owned() } else { chip.free.join(" ") };
                let (node, label, lines) = (chip.node.display(), &chip.label, chip.lines);
                let _ = writeln!(out, "  {node} ({label}), {lines} lines; free: {free}");
            }
        }
    }
    out
}

fn count(n: usize) -> String {
    if n == 0 { "none".to_owned() } else { n.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, parse};

    #[test]
    fn each_lamp_and_button_that_cannot_be_used_is_named() {
        let text = "device = \"garden\"\nbroker.url = \"mqtt://localhost\"\naccess.mode = \"keys\"\n\
            [lamp]\npicture = \"led:fanlight-none\"\nsound = \"gpio:fanlight-none-1\"\n\
            [button]\nprivacy = \"gpio:fanlight-none-2\"\n";
        let config = parse(text, std::path::Path::new("f"), &Surroundings::default()).unwrap().config;
        let found = faults(&config);
        assert_eq!(found.len(), 3, "{found:?}");
        for (fault, begin) in found.iter().zip(["lamp.picture: ", "lamp.sound: gpio:", "button.privacy: gpio:"]) {
            assert!(fault.starts_with(begin), "{fault}");
        }
        let plain = Config { lamp: Default::default(), button: Default::default(), ..config };
        assert!(faults(&plain).is_empty());
    }

    #[test]
    fn what_a_board_has_is_listed_as_the_configuration_names_it() {
        let led =
            |output: &str, trigger: Option<&str>| ProbedLed { output: output.into(), trigger: trigger.map(Into::into) };
        let chip = |node: &str, free: &[&str], unusable: Option<&str>| ProbedChip {
            node: node.into(),
            label: "pinctrl".into(),
            lines: 54,
            free: free.iter().map(ToString::to_string).collect(),
            unusable: unusable.map(Into::into),
        };
        let leds = [led("led:ACT", Some("mmc0")), led("led:door", None)];
        let chips = [
            chip("/dev/gpiochip0", &["gpio:GPIO17", "gpio:gpiochip0:45"], None),
            chip("/dev/gpiochip1", &[], None),
            chip("/dev/gpiochip2", &[], Some("open /dev/gpiochip2: no")),
        ];
        assert_eq!(
            text(&leds, &chips),
            "\nLEDs: 2\n  led:ACT (switched by mmc0 now)\n  led:door\n\nGPIO chips: 2\n  /dev/gpiochip0 (pinctrl), \
             54 lines; free: gpio:GPIO17 gpio:gpiochip0:45\n  /dev/gpiochip1 (pinctrl), 54 lines; free: none\n  \
             not used: open /dev/gpiochip2: no\n"
        );
        assert_eq!(text(&[], &[]), "\nLEDs: none\n\nGPIO chips: none\n");
    }
}
