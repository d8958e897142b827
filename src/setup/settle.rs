//! Tests the answers at the broker before anything is written, and asks again for the answer that failed.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use super::{
    Answers,
    ask::{self, Dialog},
};
use crate::{
    broker::{self, LinkErrorKind},
    cli::SetupOptions,
    config::{Config, Login, Surroundings, parse},
};

/// Typed instead of an answer, it writes the configuration without a successful test.
pub const UNTESTED: &str = "--untested";

/// Why a test failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which answer to ask for again.
    pub about: About,
    /// The error as a sentence.
    pub text: String,
}

/// The answers that a broker may reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Its URL.
    Broker,
    /// The file with its certificate authority.
    Authority,
    /// User and password.
    Login,
    /// The board's id, or what its login may do with it.
    Device,
    /// The MQTT version; this needs no question.
    Version,
}

impl About {
    /// The answer to ask for again after this kind of error.
    fn of(kind: LinkErrorKind) -> Self {
        match kind {
            LinkErrorKind::Untrusted | LinkErrorKind::Files => Self::Authority,
            LinkErrorKind::Login => Self::Login,
            LinkErrorKind::Subscription | LinkErrorKind::Publication => Self::Device,
            LinkErrorKind::Version => Self::Version,
            _ => Self::Broker,
        }
    }
}

/// The configuration from the answers, with the password, which is in no file yet.
pub fn config(answers: &Answers) -> Result<Config, String> {
    let text = Answers { login: None, ..answers.clone() }.toml(Path::new(""));
    let loaded = parse(&text, Path::new("the answers"), &Surroundings::default()).map_err(|e| e.to_string())?;
    let mut config = loaded.config;
    config.broker.login =
        answers.login.as_ref().map(|(user, password)| Login { user: user.clone(), password: password.clone() });
    Ok(config)
}

/// Tests the answers like `check --network`: each step up to a message that the broker acknowledges. Returns the steps.
pub async fn attempt(answers: &Answers) -> Result<String, Failure> {
    let config = config(answers).map_err(|text| Failure { about: About::Broker, text })?;
    let checked = broker::check::check(&config.broker, &config.device).await;
    match checked.link_error {
        None => Ok(checked.works()),
        Some(text) => {
            let done = checked.done.join(", ");
            let text = if done.is_empty() { text } else { format!("{text}; what works: {done}") };
            Err(Failure { about: checked.kind.map_or(About::Broker, About::of), text })
        }
    }
}

/// Tests the answers until they work, and asks again for those that fail. `Ok(false)`: write them without a successful
/// test. An error says why nothing is written.
pub fn settle(
    given: &SetupOptions,
    answers: &mut Answers,
    mut attempt: impl FnMut(&Answers) -> Result<String, Failure>,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<bool, String> {
    if given.untested {
        return Ok(false);
    }
    let mut dialog = Dialog { input, output };
    loop {
        dialog.say(&format!("trying {} …\n", answers.broker))?;
        let Failure { about, text } = match in_either_version(answers, &mut attempt) {
            Ok(done) => {
                if answers.old_mqtt {
                    dialog.say("  this broker supports only MQTT 3.1.1: version = \"3.1.1\"\n")?;
                }
                dialog.say(&format!("  works: {done}\n"))?;
                return Ok(true);
            }
            Err(failure) => failure,
        };
        if ask::is_complete(given) {
            return Err(format!("nothing was written: {text}; {UNTESTED} writes the configuration anyway"));
        }
        dialog.say(&format!(
            "  {text}\n  press Enter to test the same answer again; type {UNTESTED} to write the configuration anyway\n"
        ))?;
        let asked = match about {
            About::Broker | About::Version => dialog.broker(answers, None),
            About::Authority => dialog.authority(answers),
            About::Login => dialog.login(answers, None, None),
            About::Device => dialog.device(answers, None),
        };
        match asked {
            Ok(()) => {}
            Err(ask::NoAnswer::Untested) => return Ok(false),
            // Home mode is only an answer to a question that was asked before.
            Err(end @ (ask::NoAnswer::Fault(_) | ask::NoAnswer::Home(_))) => {
                return Err(format!("nothing was written: {text}; {end}"));
            }
        }
    }
}

/// Tests the answers with MQTT 5, and with MQTT 3.1.1 if the broker does not take MQTT 5. `old_mqtt` stays set only if
/// that worked: the next test may be of another broker.
fn in_either_version(
    answers: &mut Answers,
    attempt: &mut impl FnMut(&Answers) -> Result<String, Failure>,
) -> Result<String, Failure> {
    answers.old_mqtt = false;
    let first = match attempt(answers) {
        Err(failure) if failure.about == About::Version => failure,
        ended => return ended,
    };
    answers.old_mqtt = true;
    attempt(answers).map_err(|second| {
        answers.old_mqtt = false;
        // Neither version: what was said of MQTT 5 names the port for browsers, too.
        if second.about == About::Version { first } else { second }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        config::Secret,
    };

    fn answers() -> Answers {
        Answers {
            device: "cam".into(),
            broker: "mqtts://b".into(),
            login: Some(("u".into(), Secret::new("wrong"))),
            the_broker_can_watch: true,
            video: "[video]\nsource = \"test\"\n".into(),
            audio: "[audio]\nsource = \"off\"\n".into(),
            ..Answers::default()
        }
    }

    fn settled(
        arguments: &[&str],
        typed: &str,
        attempt: impl FnMut(&Answers) -> Result<String, Failure>,
    ) -> (Result<bool, String>, Answers, String) {
        let words = ["fanlight", "setup"].iter().chain(arguments);
        let Command::Setup(given) = Cli::parse_from(words).command else { panic!("not setup") };
        let (mut answers, mut output) = (answers(), Vec::new());
        let ended = settle(&given, &mut answers, attempt, &mut typed.as_bytes(), &mut output);
        (ended, answers, String::from_utf8(output).unwrap())
    }

    fn fails(about: About) -> Failure {
        Failure { about, text: "it does not work".into() }
    }

    #[test]
    fn what_fails_is_asked_again_until_it_works() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap().cert.pem()).unwrap();
        let file = ca.to_str().unwrap();
        type Right = fn(&Answers) -> bool;
        let rows: [(About, String, Right); 5] = [
            (About::Broker, "ftp://x\nmqtts://other\n".into(), |a| a.broker == "mqtts://other"),
            (About::Login, "\nright\n".into(), |a| a.login.as_ref().is_some_and(|l| l.1.expose() == "right")),
            (About::Device, "a b\nhall\n".into(), |a| a.device == "hall"),
            (About::Authority, format!("/no/such\n{file}\n"), |a| a.ca_file.is_some()),
            (About::Version, String::new(), |a| a.old_mqtt),
        ];
        for (about, typed, right) in rows {
            let try_it = |a: &Answers| if right(a) { Ok("name".to_owned()) } else { Err(fails(about)) };
            let (ended, answers, told) = settled(&[], &typed, try_it);
            assert_eq!(ended, Ok(true), "{about:?}: {told}");
            assert!(right(&answers) && told.ends_with("works: name\n"), "{about:?}: {told}");
            assert!(!told.contains("right"), "a password is shown: {told}");
        }
    }

    #[test]
    fn the_version_of_one_broker_is_not_that_of_the_next() {
        // The first broker takes neither version, or refuses the login once it was asked in 3.1.1.
        for (second, typed) in [(About::Version, "mqtts://other\n"), (About::Login, "other\nsecret\n")] {
            let mut tries = Vec::new();
            let try_it = |a: &Answers| {
                tries.push(a.old_mqtt);
                let changed = a.broker == "mqtts://other" || a.login.as_ref().is_some_and(|login| login.0 == "other");
                match (changed, a.old_mqtt) {
                    (true, false) => Ok("name".to_owned()),
                    (_, false) => Err(fails(About::Version)),
                    (_, true) => Err(fails(second)),
                }
            };
            let (ended, answers, told) = settled(&[], typed, try_it);
            assert_eq!((ended, answers.old_mqtt), (Ok(true), false), "{second:?}: {told}");
            assert!(!told.contains("3.1.1"), "{second:?}: {told}");
            assert_eq!(tries, [false, true, false], "{second:?}");
        }
        let (ended, answers, told) = settled(&[], "--untested\n", |_| Err(fails(About::Version)));
        assert_eq!((ended, answers.old_mqtt), (Ok(false), false), "{told}");
        let old = |a: &Answers| if a.old_mqtt { Ok("name".to_owned()) } else { Err(fails(About::Version)) };
        let (_, answers, told) = settled(&[], "", old);
        assert!(answers.old_mqtt && told.contains("only MQTT 3.1.1: version = \"3.1.1\"\n  works"), "{told}");
    }

    #[test]
    fn nothing_is_written_after_a_failure_unless_that_is_wanted() {
        for about in [About::Broker, About::Authority, About::Login, About::Device] {
            let (ended, _, told) = settled(&[], "", |_| Err(fails(about)));
            let why = ended.unwrap_err();
            assert!(why.starts_with("nothing was written: it does not work; no answer"), "{about:?}: {why}\n{told}");
            let typed = format!("{UNTESTED}\n");
            assert_eq!(settled(&[], &typed, |_| Err(fails(about))).0, Ok(false), "{about:?}");
            // Enter: tests the same again.
            let mut tries = 0;
            let again = |_: &Answers| {
                tries += 1;
                if tries < 3 { Err(fails(about)) } else { Ok(String::new()) }
            };
            let ended = settled(&[], "\n\n\n\n\n\n", again).0;
            assert_eq!(ended, Ok(true), "{about:?}");
        }
        assert_eq!(settled(&[UNTESTED], "", |_| panic!("not tried")).0, Ok(false));
    }

    #[test]
    fn a_script_is_not_asked() {
        let all = "--device a --broker mqtts://b --user u --password-file f --camera test --microphone off --the-broker-can-watch";
        let words: Vec<_> = all.split(' ').collect();
        let (ended, _, told) = settled(&words, "typed ahead\n", |_| Err(fails(About::Login)));
        assert_eq!(
            ended,
            Err("nothing was written: it does not work; --untested writes the configuration anyway".into())
        );
        assert!(!told.contains(": "), "{told}");
    }
}
