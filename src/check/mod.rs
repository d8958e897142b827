//! `fanlight check` and `fanlight probe`: faults of the configuration, the devices, and lines for the configuration.
//! Both return text, which `main` prints.

mod access;
mod network;
mod wiring;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::network::{ReportLine, network};
use crate::{
    audio::{
        self, Microphone,
        speaker::{self, Loudspeaker},
    },
    clock,
    config::{AudioSource, Config, Problem, SpeakerOutput, Surroundings, VideoSource, load},
    gpio::{self, ProbedChip, ProbedLed},
    home, tls,
    video::{
        self, HardwareEncoder,
        capture::probe::{ProbedCamera, Size},
    },
};

/// The result of `check`.
#[derive(Debug)]
pub struct ConfigCheck {
    /// The file.
    pub file: PathBuf,
    /// The configuration as it would be used; `None` if the file cannot be used.
    pub effective: Option<String>,
    /// Errors and warnings, one sentence each.
    pub remarks: Vec<String>,
}

/// Checks a configuration file, and whether its devices are present.
pub fn check(file: &Path) -> ConfigCheck {
    let loaded = load(file, &Surroundings::of_process(true));
    let file = file.to_owned();
    match loaded {
        Ok(loaded) => {
            let mut remarks: Vec<String> = loaded.warnings.iter().map(warning).collect();
            let access = access::faults(&file, &loaded.config);
            let home = home::check::faults(&file, &loaded.config);
            let others = certificates(&loaded.config).into_iter().chain(devices(&loaded.config));
            let others = others.chain(access).chain(home);
            remarks.extend(others.map(|other| format!("warning: {other}")));
            ConfigCheck { file, effective: Some(loaded.config.to_toml()), remarks }
        }
        Err(error) => {
            let mut remarks: Vec<String> = error.problems.iter().map(Problem::with_excerpt).collect();
            remarks.extend(error.warnings.iter().map(warning));
            ConfigCheck { file, effective: None, remarks }
        }
    }
}

fn warning(problem: &Problem) -> String {
    format!("warning: {}", problem.with_excerpt())
}

/// Certificate and key files that cannot be used now. These are warnings, since the files may come later.
fn certificates(config: &Config) -> Vec<String> {
    let (mut files, mut wrong) = (Vec::new(), Vec::new());
    files.extend(config.broker.ca_file.as_ref().map(|file| ("broker.ca_file", file)));
    if let Some((certificate, key)) = &config.broker.client_certificate {
        files.push(("broker.certificate_file", certificate));
        wrong.extend(tls::read(key).err().map(|said| format!("broker.key_file: {said}")));
    }
    let servers = config.webrtc.ice_servers.iter().filter_map(|server| server.ca_file.as_ref());
    files.extend(servers.map(|file| ("webrtc.ice_servers.ca_file", file)));
    wrong.extend(
        files.iter().filter_map(|(key, file)| tls::certificates(file).err().map(|said| format!("{key}: {said}"))),
    );
    wrong
}

/// Devices that cannot be used now. These are warnings, since the devices may come later.
fn devices(config: &Config) -> Vec<String> {
    let mut missing: Vec<_> =
        config.video.openh264_library.as_deref().and_then(video::library_fault).into_iter().collect();
    if config.video.source != VideoSource::Off
        && let Err(fault) = video::choose(&config.video).source
    {
        missing.push(fault.to_string());
    }
    if config.audio.source != AudioSource::Off {
        let choice = audio::choose(&config.audio);
        if choice.taken.is_none() {
            missing.push(choice.reasons("no microphone can be used"));
        }
    }
    if config.speaker.output != SpeakerOutput::Off {
        let choice = speaker::choose(&config.speaker);
        if choice.taken.is_none() {
            missing.push(choice.reasons());
        }
    }
    missing.extend(wiring::faults(config));
    missing
}

/// What is missing when the daemon starts. Opens nothing, since cameras and microphones stay off until somebody
/// watches.
pub fn missing(config: &Config) -> Vec<String> {
    let gone =
        |what: &str, path: &Path| (!path.exists()).then(|| format!("{what} {} is not there yet", path.display()));
    let none = |what: &str| format!("there is no {what} on this board yet");
    let camera = match &config.video.source {
        VideoSource::Camera(path) => gone("camera", path),
        VideoSource::Clip(path) => gone("video file", path),
        VideoSource::Auto => video::nodes(Path::new("/dev")).is_empty().then(|| none("camera")),
        VideoSource::Test | VideoSource::Off => None,
    };
    // pcmC0D0c: card 0, device 0, capture; pcmC0D0p: playback.
    let has_pcm = |end: char| {
        let is_one = |name: &str| name.starts_with("pcm") && name.ends_with(end);
        fs::read_dir("/dev/snd")
            .is_ok_and(|nodes| nodes.flatten().any(|node| node.file_name().to_str().is_some_and(is_one)))
    };
    let microphone = match &config.audio.source {
        AudioSource::Clip(path) => gone("sound file", path),
        AudioSource::Auto => (!has_pcm('c')).then(|| none("microphone")),
        // Only alsa-lib knows what a name stands for, and only by opening it.
        AudioSource::Microphone(_) | AudioSource::Tone | AudioSource::Off => None,
    };
    let devices = camera.into_iter().chain(microphone);
    let mut missing: Vec<String> = devices.map(|m| format!("{m}; it is looked for while somebody watches")).collect();
    if config.speaker.output == SpeakerOutput::Auto && !has_pcm('p') {
        missing.push(format!("{}; it is looked for while somebody talks", none("speaker")));
    }
    if !clock::is_synced() {
        missing.push("the clock of this board is not set yet; TLS may refuse certificates until it is".into());
    }
    missing
}

/// The result of `probe`.
#[derive(Debug, Serialize)]
pub struct Probed {
    /// All V4L2 nodes.
    pub cameras: Vec<ProbedCamera>,
    /// All hardware H.264 encoders.
    pub encoders: Vec<HardwareEncoder>,
    /// All ALSA capture devices.
    pub microphones: Vec<Microphone>,
    /// All ALSA playback devices.
    pub speakers: Vec<Loudspeaker>,
    /// All LEDs.
    pub leds: Vec<ProbedLed>,
    /// All GPIO chips.
    pub gpio_chips: Vec<ProbedChip>,
}

/// Queries all devices; opens each for a moment, but LEDs.
pub fn probe() -> Probed {
    Probed {
        cameras: video::capture::probe::probe(),
        encoders: video::encoders(),
        microphones: audio::probe(),
        speakers: speaker::probe(),
        leds: gpio::leds(),
        gpio_chips: gpio::chips(),
    }
}

impl Probed {
    /// The report for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let (usable, useless): (Vec<_>, Vec<_>) = self.cameras.iter().partition(|c| c.refused.is_none());
        let none = "; there is no /dev/video*: plug one in, and see `dmesg` for what its driver says";
        let why = if self.cameras.is_empty() { none } else { "" };
        let _ = writeln!(out, "Cameras: {}{why}", count(usable.len()));
        out.extend(usable.into_iter().map(camera_text));
        for camera in useless {
            let _ = writeln!(out, "  not used: {}", camera.refused.as_deref().unwrap_or_default());
        }
        let (usable, useless): (Vec<_>, Vec<_>) = self.encoders.iter().partition(|e| e.refused.is_none());
        let processor = "none in hardware; software encoding is used".to_owned();
        let _ = writeln!(out, "\nEncoders: {}", if usable.is_empty() { processor } else { count(usable.len()) });
        out.extend(usable.into_iter().map(encoder_text));
        for e in useless {
            let why = e.refused.as_deref().unwrap_or_default();
            let _ = writeln!(out, "  not used: encoder {}: {why}", e.node.display());
        }
        let (usable, useless): (Vec<_>, Vec<_>) = self.microphones.iter().partition(|m| m.unusable.is_none());
        let _ = writeln!(out, "\nMicrophones: {}{}", count(usable.len()), no_microphone(self.microphones.is_empty()));
        out.extend(usable.into_iter().map(microphone_text));
        for m in useless {
            let _ = writeln!(out, "  not used: {}", m.unusable.as_deref().unwrap_or_default());
        }
        let (usable, useless): (Vec<_>, Vec<_>) = self.speakers.iter().partition(|s| s.unusable.is_none());
        let _ = writeln!(out, "\nSpeakers: {}", count(usable.len()));
        out.extend(usable.into_iter().map(speaker_text));
        for s in useless {
            let _ = writeln!(out, "  not used: {}", s.unusable.as_deref().unwrap_or_default());
        }
        out += &wiring::text(&self.leds, &self.gpio_chips);
        out
    }
}

/// The report about a usable camera.
fn camera_text(camera: &ProbedCamera) -> String {
    let mut out = String::new();
    let ProbedCamera { card, driver, bus, .. } = camera;
    let _ = writeln!(out, "\n{} ({card}, driver {driver}, {bus})", camera.node.display());
    let (used, others): (Vec<_>, Vec<_>) = camera.formats.iter().partition(|f| f.name.is_some());
    for format in used {
        let modes: Vec<_> = format.modes.iter().map(mode).collect();
        let _ = writeln!(out, "  {} [{}]: {}", format.fourcc, format.name.unwrap_or_default(), modes.join(" | "));
    }
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(|f| f.fourcc.as_str()).collect();
        let _ = writeln!(out, "  formats not used: {}", others.join(", "));
    }
    if !camera.controls.is_empty() {
        let controls: Vec<_> = camera.controls.iter().map(|c| format!("{} {} to {}", c.name, c.min, c.max)).collect();
        let _ = writeln!(out, "  controls: {}", controls.join(", "));
    }
    let _ = writeln!(out, "  for the configuration:\n\n{}", indent(&camera.config));
    out
}

/// The report about a usable encoder.
fn encoder_text(e: &HardwareEncoder) -> String {
    let controls: Vec<_> = e.controls.iter().map(|c| format!("{} {} to {}", c.name, c.min, c.max)).collect();
    format!(
        "\n{} ({}, driver {}, {})\n  H.264 of {}\n  controls: {}\n",
        e.node.display(),
        e.card,
        e.driver,
        e.bus,
        e.formats.join(", "),
        controls.join(", ")
    )
}

/// The report about a usable microphone.
fn microphone_text(m: &Microphone) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "\n{} ({}, {})", m.source, m.card, m.device);
    let channels = m.channels.map_or_else(String::new, |(few, many)| format!("{few} to {many} channels, "));
    let rates: Vec<_> = m.rates.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "  {channels}{} Hz, {}", rates.join(" "), m.formats.join(" "));
    let _ = writeln!(out, "  for the configuration:\n\n{}", indent(&m.config));
    out
}

/// The report about a usable speaker.
fn speaker_text(s: &Loudspeaker) -> String {
    let opened = s.opened_as.as_deref().unwrap_or_default();
    let config = indent(&s.config);
    format!("\n{} ({}, {})\n  {opened}\n  for the configuration:\n\n{config}\n", s.output, s.card, s.device)
}

/// Why no microphone was found.
fn no_microphone(none: bool) -> &'static str {
    match (none, Path::new("/dev/snd").exists()) {
        (false, _) => "",
        (true, false) => "; there is no /dev/snd: no sound card, or its driver is not loaded (`dmesg`)",
        (true, true) => "; no sound card here can record, or this user may not open them (the group audio)",
    }
}

fn mode(size: &Size) -> String {
    if size.fps.is_empty() { size.size.clone() } else { format!("{} at {}", size.size, size.fps.join(", ")) }
}

fn count(n: usize) -> String {
    if n == 0 { "none that can be used".to_owned() } else { n.to_string() }
}

fn indent(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_once_with_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fanlight.toml");
        fs::write(&file, "device = \"a b\"\n[broker]\nurl = \"ftp://x\"\n[video]\nfsp = 30\n").unwrap();
        let checked = check(&file);
        assert!(checked.effective.is_none());
        let text = checked.remarks.join("\n");
        assert!(text.contains("fanlight.toml:1:10: device:"), "{text}");
        assert!(text.contains("fanlight.toml:3:7: broker.url"), "{text}");
        assert!(text.contains("fanlight.toml:5:1: video.fsp: unknown key"), "{text}");
    }

    #[test]
    fn what_cannot_be_used_is_told_too() {
        let probed = Probed {
            cameras: Vec::new(),
            encoders: Vec::new(),
            microphones: Vec::new(),
            speakers: Vec::new(),
            leds: Vec::new(),
            gpio_chips: Vec::new(),
        };
        let text = probed.text();
        let parts: Vec<_> = text.split("\n\n").collect();
        assert!(parts[0].starts_with("Cameras: none that can be used; there is no /dev/video*: plug one in"), "{text}");
        assert_eq!(parts[1], "Encoders: none in hardware; software encoding is used");
        assert!(parts[2].starts_with("Microphones: none that can be used; "), "{text}");
        assert_eq!(parts[3..], ["Speakers: none that can be used", "LEDs: none", "GPIO chips: none\n"]);
    }
}
