//! The questions of `fanlight setup`. Answers given on the command line are not asked for.

mod password;

use std::{
    fmt, fs,
    io::{BufRead, Write},
    path::Path,
};

use super::{Answers, DeviceOffer, Offers, id_of, lines, settle::UNTESTED};
use crate::cli::SetupOptions;

/// Placeholders for the id and the URL until they are known.
const UNNAMED: &str = "board";
const NOWHERE: &str = "mqtts://broker";

/// Collects all answers. An error names the missing answer and its option.
pub fn answers(
    given: &SetupOptions,
    offers: &Offers,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Answers, NoAnswer> {
    let (mut dialog, mut so_far) = begin(given, input, output)?;
    dialog.access(&mut so_far, given)?;
    dialog.broker(&mut so_far, given.broker.as_deref())?;
    dialog.addresses(&mut so_far, given)?;
    if let Some(file) = &given.ca_file {
        let fault = so_far.take_authority(file);
        reject("--ca-file", &file.display().to_string(), fault)?;
    }
    dialog.login(&mut so_far, given.user.as_deref(), given.password_file.as_deref())?;
    dialog.devices(&mut so_far, given, offers)?;
    Ok(so_far)
}

/// Collects the answers that home mode needs: the board, the camera and the microphone.
pub fn home_answers(
    given: &SetupOptions,
    offers: &Offers,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Answers, NoAnswer> {
    let (mut dialog, mut so_far) = begin(given, input, output)?;
    dialog.devices(&mut so_far, given, offers)?;
    Ok(so_far)
}

/// Both dialogs begin with the board.
fn begin<'a, R: BufRead, W: Write>(
    given: &SetupOptions,
    input: &'a mut R,
    output: &'a mut W,
) -> Result<(Dialog<'a, R, W>, Answers), NoAnswer> {
    let mut dialog = Dialog { input, output };
    let mut so_far = unanswered();
    dialog.board(&mut so_far, given)?;
    Ok((dialog, so_far))
}

/// A valid configuration from the start, so that an error of the parser always concerns the last answer.
fn unanswered() -> Answers {
    Answers {
        device: UNNAMED.into(),
        broker: NOWHERE.into(),
        the_broker_can_watch: true,
        video: lines("video", "auto", &[]),
        audio: lines("audio", "auto", &[]),
        ..Answers::default()
    }
}

/// Whether the command line has all answers, so that nothing is asked.
pub(super) fn is_complete(given: &SetupOptions) -> bool {
    let user = given.user.as_deref().is_some_and(|user| user.is_empty() || given.password_file.is_some());
    let texts = [&given.device, &given.broker, &given.camera, &given.microphone];
    texts.iter().all(|text| text.is_some()) && user && (given.keys || given.the_broker_can_watch)
}

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// A fault, as a text for the user.
    Fault(String),
    /// The user asked to write the configuration without a successful test.
    Untested,
    /// The user chose home mode, and gave the board this id.
    Home(String),
}

impl From<String> for NoAnswer {
    fn from(fault: String) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => f.write_str(fault),
            Self::Home(_) => f.write_str("home mode is chosen: sudo fanlight setup --home"),
            Self::Untested => {
                write!(f, "{UNTESTED} is a possible answer only after a failed test; before that, give it as an option")
            }
        }
    }
}

/// The question for a camera or microphone.
struct SourceQuestion<'a> {
    option: &'static str,
    /// The configuration's table for the answer.
    table: &'static str,
    /// The word for the device.
    what: &'static str,
    /// The devices that were found.
    found: &'a [DeviceOffer],
}

/// Asks questions on `output` and reads answers from `input`.
pub(super) struct Dialog<'a, R, W> {
    pub(super) input: &'a mut R,
    pub(super) output: &'a mut W,
}

impl<R: BufRead, W: Write> Dialog<'_, R, W> {
    /// Asks for the board's id, and takes its name if an option gives it.
    fn board(&mut self, answers: &mut Answers, given: &SetupOptions) -> Result<(), NoAnswer> {
        self.device(answers, given.device.as_deref())?;
        if let Some(name) = &given.name {
            answers.name = Some(name.clone());
            reject("--name", name, answers.fault("name"))?;
        }
        Ok(())
    }

    /// Asks for the camera and the microphone, and for the speaker if there is one.
    fn devices(&mut self, answers: &mut Answers, given: &SetupOptions, offers: &Offers) -> Result<(), NoAnswer> {
        let camera = SourceQuestion { option: "--camera", table: "video", what: "camera", found: &offers.cameras };
        self.source(answers, &camera, given.camera.as_deref())?;
        let microphone =
            SourceQuestion { option: "--microphone", table: "audio", what: "microphone", found: &offers.microphones };
        self.source(answers, &microphone, given.microphone.as_deref())?;
        self.speaker(answers, given, &offers.speakers)
    }

    /// Asks for the board's id.
    pub(super) fn device(&mut self, answers: &mut Answers, given: Option<&str>) -> Result<(), NoAnswer> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let proposal = if answers.device == UNNAMED { id_of(&host) } else { Some(answers.device.clone()) };
        let text = "What is this board called? An id, a level of its MQTT topics";
        self.put("--device", given, text, proposal.as_deref(), |answer| {
            answers.device = answer.to_owned();
            answers.fault("device")
        })
    }

    /// Asks who decides who may watch.
    fn access(&mut self, answers: &mut Answers, given: &SetupOptions) -> Result<(), NoAnswer> {
        let chosen = match (given.keys, given.the_broker_can_watch) {
            (true, _) => Some("keys"),
            (_, true) => Some("broker"),
            _ => None,
        };
        let text = "Who decides who may watch?\n  keys    a list on this board, to which you add viewers; whoever runs the \
                    broker cannot watch\n  home    the same, with broker and viewer page on this board, for your own \
                    network\n  broker  the broker's access list; whoever runs the broker can watch too\n  keys, home or \
                    broker";
        let mut home = false;
        self.put("--keys", chosen, text, Some("keys"), |answer| {
            answers.the_broker_can_watch = answer == "broker";
            home = answer == "home";
            (!["keys", "home", "broker"].contains(&answer)).then(|| "keys, home and broker are possible".to_owned())
        })?;
        if home {
            return Err(NoAnswer::Home(answers.device.clone()));
        }
        if answers.the_broker_can_watch && !given.the_broker_can_watch { self.consent() } else { Ok(()) }
    }

    /// In the mode `keys`: asks for the addresses of the pairing links.
    fn addresses(&mut self, answers: &mut Answers, given: &SetupOptions) -> Result<(), NoAnswer> {
        let (page, broker) = (given.page.as_deref(), given.viewer_broker.as_deref());
        if answers.the_broker_can_watch || (given.keys && page.is_none() && broker.is_none()) {
            return Ok(());
        }
        let text = "Where is the viewer page? https://…; empty to tell `fanlight pair` later";
        self.put("--page", page.or(given.keys.then_some("")), text, Some(""), |answer| {
            answers.page = (!answer.is_empty()).then(|| answer.to_owned());
            answers.fault("access.page")
        })?;
        let is_web = answers.broker.starts_with("wss://") || answers.broker.starts_with("ws://");
        let proposal = if is_web { answers.broker.clone() } else { String::new() };
        let text = "Where do browsers reach the broker? wss://host/path; empty to tell `fanlight pair` later";
        self.put("--viewer-broker", broker.or(given.keys.then_some("")), text, Some(&proposal), |answer| {
            answers.viewer_broker = (!answer.is_empty()).then(|| answer.to_owned());
            answers.fault("access.viewer_broker")
        })
    }

    /// Asks for the broker's URL.
    pub(super) fn broker(&mut self, answers: &mut Answers, given: Option<&str>) -> Result<(), NoAnswer> {
        let proposal = (answers.broker != NOWHERE).then(|| answers.broker.clone());
        let text = "Where is the broker? mqtts://host, wss://host/path; mqtt://127.0.0.1 if it is on this board";
        self.put("--broker", given, text, proposal.as_deref(), |answer| {
            answers.broker = answer.to_owned();
            // A CA file without TLS is an error, so it is dropped if the URL has no TLS.
            if answers.fault("broker.ca_file").is_some() {
                answers.ca_file = None;
            }
            answers.fault("broker.url").or_else(|| answers.fault("access.mode"))
        })
    }

    /// Asks for the file with the broker's certificate authority. An empty answer keeps the current one.
    pub(super) fn authority(&mut self, answers: &mut Answers) -> Result<(), NoAnswer> {
        let text = "A PEM file with the certificate of the broker's authority (ca.crt)";
        let proposal = answers.ca_file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        self.put("--ca-file", None, text, Some(&proposal), |answer| match answer {
            "" => None,
            file => answers.take_authority(Path::new(file)),
        })
    }

    /// Asks for user and password. An empty password keeps the current one.
    pub(super) fn login(
        &mut self,
        answers: &mut Answers,
        given: Option<&str>,
        password: Option<&Path>,
    ) -> Result<(), NoAnswer> {
        let known = answers.login.clone();
        let proposal = known.as_ref().map_or("", |(user, _)| user.as_str());
        let text = "Its login for this board: the user; empty for none";
        let mut user = String::new();
        self.put("--user", given, text, Some(proposal), |answer| {
            user = answer.to_owned();
            let fits = answer.len() <= 256 && !answer.contains(char::is_control);
            (!fits).then(|| "up to 256 characters in one line are possible".to_owned())
        })?;
        answers.login = match user.as_str() {
            "" => None,
            _ => {
                let before = known.filter(|(known, _)| *known == user).map(|(_, password)| password);
                let password = self.password(password, &user, before)?;
                Some((user, password))
            }
        };
        Ok(())
    }

    /// Asks for a camera or microphone: a number of the list, a name, `auto` or `off`.
    fn source(&mut self, answers: &mut Answers, ask: &SourceQuestion<'_>, given: Option<&str>) -> Result<(), NoAnswer> {
        let SourceQuestion { option, table, what, found } = *ask;
        let text = self.listed(what, found)?;
        let proposal = if found.is_empty() { "auto" } else { "1" };
        self.put(option, given, &text, Some(proposal), |answer| {
            let number = answer.parse::<usize>().ok().filter(|_| given.is_none());
            let lines = match number {
                Some(n) => match n.checked_sub(1).and_then(|n| found.get(n)) {
                    Some(offer) => offer.lines.clone(),
                    None => return Some(format!("there is no {what} {n}")),
                },
                None => lines(table, answer, found),
            };
            *(if table == "video" { &mut answers.video } else { &mut answers.audio }) = lines;
            answers.fault(&format!("{table}.source"))
        })
    }

    /// Asks for the speaker, unless there is none or the command line has all other answers.
    fn speaker(&mut self, answers: &mut Answers, given: &SetupOptions, found: &[DeviceOffer]) -> Result<(), NoAnswer> {
        if found.is_empty() || given.microphone.is_some() {
            return Ok(());
        }
        let mut text = String::from("May viewers talk through a speaker, if you give them that right?\n");
        for (n, offer) in found.iter().enumerate() {
            text += &format!("  {}  {}\n", n + 1, offer.about);
        }
        text += "A number, or off";
        self.put("[speaker]", None, &text, Some("off"), |answer| {
            let chosen = answer.parse::<usize>().ok().and_then(|n| found.get(n.checked_sub(1)?));
            answers.speaker = chosen.map(|offer| offer.lines.clone()).unwrap_or_default();
            (chosen.is_none() && answer != "off").then(|| "a number of the list and off are possible".to_owned())
        })
    }

    /// Asks whether the broker may watch. An error if it may not.
    fn consent(&mut self) -> Result<(), NoAnswer> {
        let text = "Whoever controls the broker can watch too. Is that all right? yes or no";
        let mut all_right = false;
        self.put("--the-broker-can-watch", None, text, None, |answer| {
            all_right = answer.eq_ignore_ascii_case("yes");
            let known = all_right || answer.eq_ignore_ascii_case("no");
            (!known).then(|| "yes or no are possible".to_owned())
        })?;
        if all_right {
            return Ok(());
        }
        let why = "nothing was written: choose keys, so that the broker cannot watch (SECURITY.md)";
        Err(NoAnswer::Fault(why.into()))
    }

    /// Gets one answer: the one given by an option, or the one that the user types. It asks again until `take` accepts
    /// it.
    fn put(
        &mut self,
        option: &str,
        given: Option<&str>,
        question: &str,
        proposal: Option<&str>,
        mut take: impl FnMut(&str) -> Option<String>,
    ) -> Result<(), NoAnswer> {
        if let Some(given) = given {
            return reject(option, given, take(given)).map_err(NoAnswer::Fault);
        }
        loop {
            match proposal {
                Some(proposal) if !proposal.is_empty() => self.say(&format!("{question} [{proposal}]: "))?,
                _ => self.say(&format!("{question}: "))?,
            }
            let line = self.line(option)?;
            if line == UNTESTED {
                return Err(NoAnswer::Untested);
            }
            let answer = match (line.as_str(), proposal) {
                ("", Some(proposal)) => proposal,
                ("", None) => continue,
                (line, _) => line,
            };
            match take(answer) {
                None => return Ok(()),
                Some(fault) => self.say(&format!("  {fault}\n"))?,
            }
        }
    }

    /// The question for a camera or microphone, with a list of those found.
    fn listed(&mut self, what: &str, found: &[DeviceOffer]) -> Result<String, String> {
        if found.is_empty() {
            return Ok(format!(
                "No {what} was found. auto uses the first one that is plugged in; or type a name, or off"
            ));
        }
        let mut text = format!("Which {what}?\n");
        for (n, offer) in found.iter().enumerate() {
            text += &format!("  {}  {}\n", n + 1, offer.about);
        }
        Ok(text + "  a number, a name, auto, or off")
    }

    fn line(&mut self, option: &str) -> Result<String, String> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => Err(format!("no answer; give it with {option}")),
            Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(e) => Err(format!("read an answer: {e}")),
        }
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), String> {
        self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()).map_err(|e| format!("ask: {e}"))
    }
}

fn reject(option: &str, given: &str, fault: Option<String>) -> Result<(), String> {
    /// How many characters of an answer are shown, so that the error stays one line.
    const SHOWN: usize = 80;
    let mut shown: String = given.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if given.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    fault.map_or(Ok(()), |fault| Err(format!("{option} {shown}: {fault}")))
}

#[cfg(test)]
mod tests;
