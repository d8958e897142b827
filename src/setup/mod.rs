//! `fanlight setup`: turns answers into a configuration. This file is pure; the questions are in `ask`, the files in
//! `write`.

pub mod ask;
pub mod home;
pub mod settle;
pub mod write;

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    audio::{Microphone, speaker::Loudspeaker},
    config::{Secret, Surroundings, load, parse},
    tls,
    video::capture::probe::ProbedCamera,
};

/// The answers that make up a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The board's id.
    pub device: String,
    /// The name for people, if it differs from the id.
    pub name: Option<String>,
    /// The broker's URL.
    pub broker: String,
    /// User and password at the broker.
    pub login: Option<(String, Secret)>,
    /// The broker's own certificate authority.
    pub ca_file: Option<PathBuf>,
    /// Whether the broker supports only MQTT 3.1.1.
    pub old_mqtt: bool,
    /// Whether the broker decides who may watch, and the user confirmed that whoever runs it can watch. Otherwise a
    /// list of keys on this board decides.
    pub the_broker_can_watch: bool,
    /// The address of the viewer page, for pairing links.
    pub page: Option<String>,
    /// The broker's address for browsers, for pairing links.
    pub viewer_broker: Option<String>,
    /// The lines of `[video]`.
    pub video: String,
    /// The lines of `[audio]`.
    pub audio: String,
    /// The lines of `[speaker]`. Empty: no viewer can talk.
    pub speaker: String,
}

impl Answers {
    /// The configuration as TOML. The password is in a separate file.
    pub fn toml(&self, password_file: &Path) -> String {
        let mut out = String::from("# Written by `fanlight setup`. Every setting: fanlight.toml(5).\n");
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = writeln!(out, "{text}");
        };
        line(format_args!("device = {}", quoted(&self.device)));
        if let Some(name) = &self.name {
            line(format_args!("name = {}", quoted(name)));
        }
        line(format_args!("\n[broker]\nurl = {}", quoted(&self.broker)));
        if self.old_mqtt {
            line(format_args!("version = \"3.1.1\""));
        }
        if let Some((user, _)) = &self.login {
            line(format_args!("user = {}", quoted(user)));
            line(format_args!("password_file = {}", quoted(&password_file.to_string_lossy())));
        }
        if let Some(file) = &self.ca_file {
            line(format_args!("ca_file = {}", quoted(&file.to_string_lossy())));
        }
        match self.the_broker_can_watch {
            true => line(format_args!("\n[access]\nmode = \"broker\"\nthe_broker_can_watch = true")),
            false => line(format_args!("\n[access]\nmode = \"keys\"")),
        }
        for (key, address) in [("page", &self.page), ("viewer_broker", &self.viewer_broker)] {
            if let Some(address) = address {
                line(format_args!("{key} = {}", quoted(address)));
            }
        }
        line(format_args!("\n{}\n{}", self.video, self.audio.trim_end()));
        if !self.speaker.is_empty() {
            line(format_args!("\n{}", self.speaker.trim_end()));
        }
        out
    }

    /// Sets the file with the broker's certificate authority. Returns why it cannot be used.
    fn take_authority(&mut self, file: &Path) -> Option<String> {
        let whole = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        self.ca_file = Some(whole.clone());
        let fault = self.fault("broker.ca_file").or_else(|| tls::certificates(&whole).err());
        if fault.is_some() {
            self.ca_file = None;
        }
        fault
    }

    /// The parser's error for one key, together with the other answers so far.
    fn fault(&self, key: &str) -> Option<String> {
        // The password has no file yet, which is not a fault of this key.
        let whole = Self { login: None, ..self.clone() };
        let error = parse(&whole.toml(Path::new("")), Path::new(""), &Surroundings::default()).err()?;
        error.problems.into_iter().find(|problem| problem.key == key).map(|problem| problem.message)
    }
}

/// Writes a string in TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The path of the password file: next to the configuration.
pub fn password_file(config: &Path) -> PathBuf {
    config.with_file_name("broker-password")
}

/// The path of the broker's CA certificate, if it has its own CA: next to the configuration.
pub fn ca_file(config: &Path) -> PathBuf {
    config.with_file_name("broker-ca.pem")
}

/// Whether the configuration may be written: the file does not exist, has only comments, or may be replaced.
pub fn replaceable(config: &Path, replace: bool) -> Result<(), String> {
    let blank = match load(config, &Surroundings { checking: true, ..Surroundings::default() }) {
        Ok(_) => false,
        Err(error) => error.blank || !config.exists(),
    };
    match blank || replace {
        true => Ok(()),
        false => Err(format!(
            "{} exists already; --replace writes a new one and keeps the old one as {0}.old",
            config.display()
        )),
    }
}

/// A device to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOffer {
    /// The names by which it can be given.
    pub names: Vec<String>,
    /// Its description for people.
    pub about: String,
    /// Its configuration lines.
    pub lines: String,
}

/// The devices of this board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// Cameras.
    pub cameras: Vec<DeviceOffer>,
    /// Microphones.
    pub microphones: Vec<DeviceOffer>,
    /// Speakers.
    pub speakers: Vec<DeviceOffer>,
}

impl Offers {
    /// The usable ones of the devices found.
    pub fn new(cameras: &[ProbedCamera], microphones: &[Microphone], speakers: &[Loudspeaker]) -> Self {
        let path = |path: &PathBuf| path.display().to_string();
        Self {
            cameras: cameras
                .iter()
                .filter(|camera| !camera.config.is_empty())
                .map(|camera| DeviceOffer {
                    names: camera.stable.iter().chain([&camera.node]).map(path).collect(),
                    about: format!("{} ({})", camera.card, camera.node.display()),
                    lines: camera.config.clone(),
                })
                .collect(),
            microphones: microphones
                .iter()
                .filter(|microphone| !microphone.config.is_empty())
                .map(|microphone| DeviceOffer {
                    names: vec![microphone.source.clone(), microphone.name.clone()],
                    about: format!("{}, {} ({})", microphone.card, microphone.device, microphone.source),
                    lines: microphone.config.clone(),
                })
                .collect(),
            speakers: speakers
                .iter()
                .filter(|speaker| !speaker.config.is_empty())
                .map(|speaker| DeviceOffer {
                    names: vec![speaker.output.clone(), speaker.name.clone()],
                    about: format!("{}, {} ({})", speaker.card, speaker.device, speaker.output),
                    lines: speaker.config.clone(),
                })
                .collect(),
        }
    }
}

/// The configuration lines for a source by name. A device that was found has lines with a suitable mode.
fn lines(table: &str, source: &str, offers: &[DeviceOffer]) -> String {
    match offers.iter().find(|offer| offer.names.iter().any(|name| name == source)) {
        Some(offer) => offer.lines.clone(),
        None => format!("[{table}]\nsource = {}\n", quoted(source)),
    }
}

/// An id made from a host name.
fn id_of(host: &str) -> Option<String> {
    let first = host.trim().split('.').next().unwrap_or_default();
    let id: String = first
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(64)
        .collect();
    (!id.is_empty() && !["localhost", "raspberrypi"].contains(&id.as_str())).then_some(id)
}

/// The error text of a file operation, with a hint.
fn wrong(doing: &str, path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; try it as root: sudo fanlight setup",
        io::ErrorKind::NotFound => "; does the folder exist?",
        _ => "",
    };
    format!("{doing} {}: {error}{hint}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AudioSource, FormatChoice, MqttTransport, PixelFormat, VideoSource};

    fn answers() -> Answers {
        Answers {
            device: "garden".into(),
            broker: "mqtts://broker.example.org".into(),
            the_broker_can_watch: true,
            video: "[video]\nsource = \"auto\"\n".into(),
            audio: "[audio]\nsource = \"off\"\n".into(),
            ..Answers::default()
        }
    }

    #[test]
    fn what_is_written_is_what_was_answered() {
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("a \"password\"");
        fs::write(&password, "s3cret\n").unwrap();
        let camera = "[video]\nsource = \"/dev/video2\"\nformat = \"mjpeg\"\nsize = \"1280x720\"\nfps = 25\n";
        for (given, expected) in [
            (answers(), ("garden", None, VideoSource::Auto, AudioSource::Off)),
            (
                Answers { name: Some("Grandma's \"shed\" = 1\\2".into()), ..answers() },
                ("Grandma's \"shed\" = 1\\2", None, VideoSource::Auto, AudioSource::Off),
            ),
            (
                Answers { login: Some(("o'hara\"".into(), Secret::new("not in it"))), ..answers() },
                ("garden", Some("o'hara\""), VideoSource::Auto, AudioSource::Off),
            ),
            (
                Answers {
                    the_broker_can_watch: false,
                    page: Some("https://cam.example.org/".into()),
                    viewer_broker: Some("wss://broker.example.org/mqtt".into()),
                    ..answers()
                },
                ("garden", None, VideoSource::Auto, AudioSource::Off),
            ),
            (
                Answers { video: camera.into(), audio: lines("audio", "tone", &[]), ..answers() },
                ("garden", None, VideoSource::Camera("/dev/video2".into()), AudioSource::Tone),
            ),
        ] {
            let text = given.toml(&password);
            assert!(!text.contains("not in it"), "{text}");
            let loaded =
                parse(&text, Path::new("f"), &Surroundings::default()).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert!(loaded.warnings.iter().all(|w| w.key == "broker.password_file"), "{:?}", loaded.warnings);
            let config = loaded.config;
            let user = config.broker.login.as_ref().map(|login| login.user.as_str());
            assert_eq!((&*config.name, user, config.video.source, config.audio.source), expected);
            assert_eq!(config.device.as_str(), "garden");
            assert_eq!((config.broker.transport, &*config.broker.host), (MqttTransport::Tls, "broker.example.org"));
            if let Some(login) = config.broker.login {
                assert_eq!(login.password.expose(), "s3cret");
            }
        }
    }

    #[test]
    fn each_answer_is_held_against_the_parser_when_it_is_given() {
        let with = |f: fn(&mut Answers)| {
            let mut answers = answers();
            f(&mut answers);
            answers
        };
        for (given, key, expected) in [
            (answers(), "device", None),
            (answers(), "broker.url", None),
            (with(|a| a.device = "a b".into()), "device", Some("1 to 64 characters")),
            (with(|a| a.broker = "ftp://x".into()), "broker.url", Some("mqtt")),
            (with(|a| a.broker = "mqtt://10.0.0.1".into()), "access.mode", Some("mqtts://")),
            (with(|a| a.broker = "mqtt://10.0.0.1".into()), "broker.url", None),
            (with(|a| a.the_broker_can_watch = false), "access.mode", None),
            (with(|a| (a.the_broker_can_watch, a.broker) = (false, "mqtt://10.0.0.1".into())), "access.mode", None),
            (with(|a| (a.the_broker_can_watch, a.page) = (false, Some("x".into()))), "access.page", Some("https://")),
            (with(|a| a.viewer_broker = Some("wss://b".into())), "access.viewer_broker", Some("needs mode")),
            (with(|a| a.video = lines("video", "/dev/null/\n", &[])), "video.source", Some("is not possible")),
            (with(|a| a.name = Some(String::new())), "name", Some("1 to 128")),
            (with(|a| a.login = Some(("x".into(), Secret::new("y")))), "broker.password_file", None),
        ] {
            let fault = given.fault(key);
            let right = match expected {
                Some(part) => fault.as_ref().is_some_and(|fault| fault.contains(part)),
                None => fault.is_none(),
            };
            assert!(right, "{key}: {fault:?}, expected {expected:?}");
        }
    }

    #[test]
    fn a_device_that_was_found_comes_with_its_mode_by_whichever_name() {
        let found = DeviceOffer {
            names: vec!["/dev/v4l/by-id/usb-Cam-index0".into(), "/dev/video0".into()],
            about: "Cam".into(),
            lines: "[video]\nsource = \"/dev/v4l/by-id/usb-Cam-index0\"\nformat = \"mjpeg\"\n".into(),
        };
        for (source, expected, format) in [
            ("/dev/video0", "/dev/v4l/by-id/usb-Cam-index0", FormatChoice::Only(PixelFormat::Mjpeg)),
            ("/dev/v4l/by-id/usb-Cam-index0", "/dev/v4l/by-id/usb-Cam-index0", FormatChoice::Only(PixelFormat::Mjpeg)),
            ("/dev/video1", "/dev/video1", FormatChoice::Auto),
        ] {
            let video = lines("video", source, std::slice::from_ref(&found));
            let text = Answers { video, ..answers() }.toml(Path::new(""));
            let config = parse(&text, Path::new("f"), &Surroundings::default()).unwrap().config;
            assert_eq!(config.video.source, VideoSource::Camera(expected.into()), "{source}");
            assert_eq!(config.video.format, format, "{source}");
        }
    }

    #[test]
    fn a_host_name_makes_an_id_unless_it_is_everybodys() {
        for (host, expected) in [
            ("garden\n", Some("garden")),
            ("pi.example.org", Some("pi")),
            ("größe", Some("gr--e")),
            ("localhost", None),
            ("raspberrypi", None),
            ("", None),
        ] {
            assert_eq!(id_of(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn what_somebody_wrote_is_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fanlight.toml");
        assert_eq!(replaceable(&file, false), Ok(()));
        fs::write(&file, "# comments\n\n#device = \"x\"\n").unwrap();
        assert_eq!(replaceable(&file, false), Ok(()));
        for written in ["device = \"x\"\n", "broken", &answers().toml(Path::new(""))] {
            fs::write(&file, written).unwrap();
            assert!(replaceable(&file, false).unwrap_err().contains("--replace"), "{written}");
            assert_eq!(replaceable(&file, true), Ok(()));
        }
    }
}
