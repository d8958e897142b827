//! LEDs of the kernel's LED class: `/sys/class/leds/NAME`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

/// The folder of all LEDs.
const LEDS: &str = "/sys/class/leds";
/// A number of the kernel is shorter.
const NUMBER_MAX: u64 = 32;
/// LEDs that `fanlight probe` lists. A keyboard has three.
const LISTED_MAX: usize = 64;

/// An LED that this process switches.
#[derive(Debug)]
pub(super) struct Led {
    folder: PathBuf,
    brightest: u32,
}

impl Led {
    /// Takes an LED, and its trigger from it: what else switched it, such as `mmc0`, would go on otherwise.
    pub(super) fn open(name: &str) -> Result<Self, String> {
        Self::open_in(Path::new(LEDS), name)
    }

    fn open_in(leds: &Path, name: &str) -> Result<Self, String> {
        let folder = leds.join(name);
        let brightest = brightest(&folder)?;
        let trigger = folder.join("trigger");
        if trigger.exists() {
            write(&trigger, "none")?;
        }
        Ok(Self { folder, brightest })
    }

    /// Lights it, or makes it dark.
    pub(super) fn set(&self, lit: bool) -> Result<(), String> {
        let level = if lit { self.brightest } else { 0 };
        write(&self.folder.join("brightness"), &level.to_string())
    }
}

/// The highest brightness of an LED.
fn brightest(folder: &Path) -> Result<u32, String> {
    let path = folder.join("max_brightness");
    let fault = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => format!("{}: there is no such LED; `fanlight probe` lists them", folder.display()),
        _ => format!("read {}: {e}", path.display()),
    };
    let mut text = String::new();
    let file = File::open(&path).map_err(fault)?;
    file.take(NUMBER_MAX).read_to_string(&mut text).map_err(fault)?;
    let brightest: u32 = text.trim().parse().unwrap_or(1);
    Ok(brightest.max(1))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let write = || OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    write().map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("write {}: {e}; docs/guide/lamp-and-button.md says how the service gets the right", path.display())
        }
        _ => format!("write {}: {e}", path.display()),
    })
}

/// An LED, for `fanlight probe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbedLed {
    /// Its name in the configuration: `led:ACT`.
    pub output: String,
    /// What switches it now: the name in brackets in its file `trigger`. `None`: nothing does, or that is not known.
    pub trigger: Option<String>,
}

/// All LEDs of the board, by name. Changes none.
pub fn leds() -> Vec<ProbedLed> {
    leds_in(Path::new(LEDS))
}

fn leds_in(leds: &Path) -> Vec<ProbedLed> {
    let Ok(entries) = fs::read_dir(leds) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.take(LISTED_MAX).collect();
    names.sort();
    let probe = |name: String| ProbedLed { trigger: trigger(&leds.join(&name)), output: format!("led:{name}") };
    names.into_iter().map(probe).collect()
}

fn trigger(folder: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(folder.join("trigger")).ok()?.take(16 * 1024).read_to_string(&mut text).ok()?;
    let (_, rest) = text.split_once('[')?;
    let (trigger, _) = rest.split_once(']')?;
    (trigger != "none").then(|| trigger.to_owned())
}

/// Why an LED cannot be switched. Changes nothing.
pub fn led_fault(name: &str) -> Option<String> {
    let folder = Path::new(LEDS).join(name);
    let usable = || {
        brightest(&folder)?;
        let path = folder.join("brightness");
        OpenOptions::new().write(true).open(&path).map_err(|e| format!("open {}: {e}", path.display())).map(drop)
    };
    usable().err()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the kernel has one for each LED.
    fn simulated(name: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let leds = tempfile::tempdir().unwrap();
        let folder = leds.path().join(name);
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
        leds
    }

    #[test]
    fn an_led_loses_its_trigger_and_is_switched() {
        let files = [("max_brightness", "255\n"), ("brightness", "7"), ("trigger", "none [mmc0] timer")];
        let leds = simulated("ACT", &files);
        let expected = ProbedLed { output: "led:ACT".into(), trigger: Some("mmc0".into()) };
        assert_eq!(leds_in(leds.path()), [expected]);
        let led = Led::open_in(leds.path(), "ACT").unwrap();
        let read = |file: &str| fs::read_to_string(leds.path().join("ACT").join(file)).unwrap();
        assert!(read("trigger").starts_with("none"), "a real file would have its length");
        led.set(true).unwrap();
        assert_eq!(read("brightness"), "255");
    }

    #[test]
    fn what_cannot_be_switched_has_a_reason() {
        let leds = simulated("ACT", &[("max_brightness", "1\n")]);
        let fault = Led::open_in(leds.path(), "PWR").unwrap_err();
        assert!(fault.ends_with("/PWR: there is no such LED; `fanlight probe` lists them"), "{fault}");
        let led = Led::open_in(leds.path(), "ACT").unwrap();
        let fault = led.set(false).unwrap_err();
        assert!(fault.starts_with("write ") && fault.contains("/ACT/brightness: "), "{fault}");
        assert!(led_fault("fanlight-has-no-such-led").unwrap().contains("no such LED"));
    }
}
