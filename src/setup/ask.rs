//! The questions of `setup`. What was given on the command line is not asked.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::{Answers, Offer, Offers, id_of, lines};
use crate::{cli::Setup, config::Secret};

/// All answers; an error says which one is missing, and how it can be given.
pub fn answers(
    given: &Setup,
    offers: &Offers,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<Answers, String> {
    let mut talk = Talk { input, output };
    // Complete and right from the start, so that whatever the parser says is said of the answer that came last.
    let mut so_far = Answers {
        device: "board".into(),
        broker: "mqtts://broker".into(),
        the_broker_can_watch: true,
        video: lines("video", "auto", &[]),
        audio: lines("audio", "auto", &[]),
        ..Answers::default()
    };

    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let text = "What is this board called? An id, a level of its MQTT topics";
    talk.put("--device", given.device.as_deref(), text, id_of(&host).as_deref(), |answer| {
        so_far.device = answer.to_owned();
        so_far.fault("device")
    })?;
    if let Some(name) = &given.name {
        so_far.name = Some(name.clone());
        said("--name", name, so_far.fault("name"))?;
    }
    let text = "Where is the broker? mqtts://host, wss://host/path; mqtt://127.0.0.1 if it is on this board";
    talk.put("--broker", given.broker.as_deref(), text, None, |answer| {
        so_far.broker = answer.to_owned();
        so_far.fault("broker.url").or_else(|| so_far.fault("access.mode"))
    })?;
    if let Some(file) = &given.ca_file {
        let file = fs::canonicalize(file).map_err(|e| format!("--ca-file: read {}: {e}", file.display()))?;
        so_far.ca_file = Some(file.clone());
        said("--ca-file", &file.display().to_string(), so_far.fault("broker.ca_file"))?;
    }
    let mut user = String::new();
    talk.put(
        "--user",
        given.user.as_deref(),
        "Its login for this board: the user; empty for none",
        Some(""),
        |answer| {
            user = answer.to_owned();
            let fits = answer.len() <= 256 && !answer.contains(char::is_control);
            (!fits).then(|| "up to 256 characters in one line are possible".to_owned())
        },
    )?;
    if !user.is_empty() {
        let password = talk.password(given.password_file.as_deref(), &user)?;
        so_far.login = Some((user, password));
    }

    let devices = [
        ("--camera", &given.camera, "video", "camera", &offers.cameras),
        ("--microphone", &given.microphone, "audio", "microphone", &offers.microphones),
    ];
    for (option, given, table, what, found) in devices {
        let text = talk.listed(what, found)?;
        let proposal = if found.is_empty() { "auto" } else { "1" };
        talk.put(option, given.as_deref(), &text, Some(proposal), |answer| {
            let number = answer.parse::<usize>().ok().filter(|_| given.is_none());
            let lines = match number {
                Some(n) => match n.checked_sub(1).and_then(|n| found.get(n)) {
                    Some(offer) => offer.lines.clone(),
                    None => return Some(format!("there is no {what} {n}")),
                },
                None => lines(table, answer, found),
            };
            *(if table == "video" { &mut so_far.video } else { &mut so_far.audio }) = lines;
            so_far.fault(&format!("{table}.source"))
        })?;
    }

    if !given.the_broker_can_watch {
        let text = "Whoever controls the broker can watch, too. Is that all right? yes or no";
        let mut all_right = false;
        talk.put("--the-broker-can-watch", None, text, None, |answer| {
            all_right = answer.eq_ignore_ascii_case("yes");
            let known = all_right || answer.eq_ignore_ascii_case("no");
            (!known).then(|| "yes or no are possible".to_owned())
        })?;
        if !all_right {
            return Err("nothing was written: the only way there is so far lets the broker watch (SECURITY.md)".into());
        }
    }
    Ok(so_far)
}

/// The two ends of the conversation.
struct Talk<'a, R, W> {
    input: &'a mut R,
    output: &'a mut W,
}

impl<R: BufRead, W: Write> Talk<'_, R, W> {
    /// Has one answer taken: the one given by an option, or one that is asked for until `take` has nothing against it.
    fn put(
        &mut self,
        option: &str,
        given: Option<&str>,
        question: &str,
        proposal: Option<&str>,
        mut take: impl FnMut(&str) -> Option<String>,
    ) -> Result<(), String> {
        if let Some(given) = given {
            return said(option, given, take(given));
        }
        loop {
            match proposal {
                Some(proposal) if !proposal.is_empty() => self.say(&format!("{question} [{proposal}]: "))?,
                _ => self.say(&format!("{question}: "))?,
            }
            let line = self.line(option)?;
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

    /// The devices found, and the question for one of them.
    fn listed(&mut self, what: &str, found: &[Offer]) -> Result<String, String> {
        if found.is_empty() {
            return Ok(format!("There is no {what} now. auto takes the first one that comes; a name, or off"));
        }
        let mut text = format!("Which {what}?\n");
        for (n, offer) in found.iter().enumerate() {
            text += &format!("  {}  {}\n", n + 1, offer.about);
        }
        Ok(text + "  a number, a name, auto, or off")
    }

    fn password(&mut self, given: Option<&Path>, user: &str) -> Result<Secret, String> {
        let text = match given {
            Some(file) if file != Path::new("-") => {
                fs::read_to_string(file).map_err(|e| format!("--password-file: read {}: {e}", file.display()))?
            }
            Some(_) => self.line("--password-file")?,
            None => loop {
                self.say(&format!("The password of {user} there: "))?;
                let line = if io::stdin().is_terminal() { self.hidden()? } else { self.line("--password-file")? };
                if !line.is_empty() {
                    break line;
                }
            },
        };
        let text = text.trim_end_matches(['\r', '\n']);
        match text.is_empty() || text.contains(char::is_control) || text.len() > 4000 {
            true => Err("--password-file: one line of 1 to 4000 characters is possible".into()),
            false => Ok(Secret::new(text)),
        }
    }

    /// A line of the terminal that is not shown. The shell puts the echo back, also when Ctrl-C ends both.
    fn hidden(&mut self) -> Result<String, String> {
        const READ: &str =
            "trap 'stty echo' EXIT; trap 'exit 130' INT TERM; stty -echo; IFS= read -r line; printf %s \"$line\"";
        let asked =
            Command::new("/bin/sh").args(["-c", READ]).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
        let output = asked.map_err(|e| format!("read the password: run /bin/sh: {e}"))?;
        self.say("\n")?;
        match output.status.success() {
            true => String::from_utf8(output.stdout).map_err(|_| "read the password: not UTF-8 text".to_owned()),
            false => Err("read the password: interrupted".to_owned()),
        }
    }

    fn line(&mut self, option: &str) -> Result<String, String> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => Err(format!("no answer came: {option} gives it beforehand")),
            Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
            Err(e) => Err(format!("read an answer: {e}")),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), String> {
        self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()).map_err(|e| format!("ask: {e}"))
    }
}

fn said(option: &str, given: &str, fault: Option<String>) -> Result<(), String> {
    fault.map_or(Ok(()), |fault| Err(format!("{option} {given}: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn asked(arguments: &[&str], typed: &str) -> (Result<Answers, String>, String) {
        let words = ["fanlight", "setup"].iter().chain(arguments);
        let Command::Setup(given) = Cli::parse_from(words).command else { panic!("not setup") };
        let camera = Offer {
            names: vec!["/dev/video0".into()],
            about: "HD Webcam (/dev/video0)".into(),
            lines: "[video]\nsource = \"/dev/video0\"\nformat = \"mjpeg\"\n".into(),
        };
        let offers = Offers { cameras: vec![camera], microphones: Vec::new() };
        let mut output = Vec::new();
        let answers = answers(&given, &offers, &mut typed.as_bytes(), &mut output);
        (answers, String::from_utf8(output).unwrap())
    }

    const ALL: [&str; 8] = ["--device", "cam", "--broker", "mqtts://b", "--camera", "test", "--microphone", "off"];

    #[test]
    fn everything_can_be_typed_and_a_wrong_answer_is_asked_again() {
        let typed = "a b\ngarden\nftp://b\nmqtt://b\nmqtts://b\ngarden\ns3cret\n2\n1\n\nperhaps\nYes\n";
        let (answers, told) = asked(&[], typed);
        let answers = answers.unwrap_or_else(|e| panic!("{e}\n{told}"));
        assert_eq!((&*answers.device, &*answers.broker), ("garden", "mqtts://b"));
        assert_eq!(answers.login.unwrap().1.expose(), "s3cret");
        assert!(answers.video.contains("mjpeg") && answers.audio.contains("\"auto\""));
        assert!(answers.the_broker_can_watch);
        for part in ["1 to 64 characters", "mqtts://", "HD Webcam", "there is no camera 2", "yes or no are possible"] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
        assert!(!told.contains("s3cret"));
    }

    #[test]
    fn with_all_options_nothing_is_asked() {
        let (answers, told) = asked(&[&ALL[..], &["--user", "", "--the-broker-can-watch"]].concat(), "");
        assert_eq!((answers.unwrap().login, &*told), (None, ""));
        let (answers, told) =
            asked(&[&ALL[..], &["--user", "u", "--password-file", "-", "--the-broker-can-watch"]].concat(), "pw\n");
        assert_eq!((answers.unwrap().login.unwrap().1.expose(), &*told), ("pw", ""));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_option() {
        for (arguments, typed, expected) in [
            (&[][..], "", "--device gives it beforehand"),
            (&ALL, "\n", "--the-broker-can-watch gives it beforehand"),
            (&ALL, "\nno\n", "nothing was written"),
            (&["--device", "a b"], "", "--device a b: \"a b\" is not possible"),
            (
                &["--device", "a", "--broker", "mqtt://10.0.0.1"],
                "",
                "--broker mqtt://10.0.0.1: \"broker\" is not possible",
            ),
            (
                &["--device", "a", "--broker", "mqtts://b", "--user", "u", "--password-file", "/no/such"],
                "",
                "read /no/such",
            ),
            (
                &["--device", "a", "--broker", "mqtts://b", "--user", "u", "--password-file", "-"],
                "\n",
                "one line of 1 to",
            ),
        ] {
            let error = asked(arguments, typed).0.unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }
}
