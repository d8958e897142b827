//! The questions: what is typed, what options give, and what is refused.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn asked(arguments: &[&str], typed: &str) -> (Result<Answers, String>, String) {
    let words = ["fanlight", "setup"].iter().chain(arguments);
    let Command::Setup(given) = Cli::parse_from(words).command else { panic!("not setup") };
    let camera = DeviceOffer {
        names: vec!["/dev/video0".into()],
        about: "HD Webcam (/dev/video0)".into(),
        lines: "[video]\nsource = \"/dev/video0\"\nformat = \"mjpeg\"\n".into(),
    };
    let offers = Offers { cameras: vec![camera], ..Offers::default() };
    let mut output = Vec::new();
    let answers = answers(&given, &offers, &mut typed.as_bytes(), &mut output).map_err(|end| end.to_string());
    (answers, String::from_utf8(output).unwrap())
}

const ALL: [&str; 8] = ["--device", "cam", "--broker", "mqtts://b", "--camera", "test", "--microphone", "off"];

#[test]
fn everything_can_be_typed_and_a_wrong_answer_is_asked_again() {
    let typed = "a b\ngarden\nme\nbroker\nperhaps\nYes\nftp://b\nmqtt://b\nmqtts://b\ngarden\ns3cret\n2\n1\n\n";
    let (answers, told) = asked(&[], typed);
    let answers = answers.unwrap_or_else(|e| panic!("{e}\n{told}"));
    assert_eq!((&*answers.device, &*answers.broker), ("garden", "mqtts://b"));
    assert_eq!(answers.login.unwrap().1.expose(), "s3cret");
    assert!(answers.video.contains("mjpeg") && answers.audio.contains("\"auto\""));
    assert!(answers.the_broker_can_watch);
    for part in [
        "1 to 64 characters",
        "keys, home and broker are possible",
        "yes or no are possible",
        "mqtts://",
        "HD Webcam",
        "there is no camera 2",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert!(!told.contains("s3cret"));
}

#[test]
fn without_another_answer_a_list_on_the_board_decides() {
    let typed = "garden\n\nwss://b/mqtt\nhttp://x\nhttps://cam.example.org/\n\n\n1\n\n";
    let (answers, told) = asked(&[], typed);
    let answers = answers.unwrap_or_else(|e| panic!("{e}\n{told}"));
    assert!(!answers.the_broker_can_watch);
    assert_eq!(answers.page.as_deref(), Some("https://cam.example.org/"));
    assert_eq!(answers.viewer_broker.as_deref(), Some("wss://b/mqtt"), "the same address, if browsers can use it");
    let (answers, told) = asked(&[&ALL[..], &["--user", "", "--keys"]].concat(), "");
    let answers = answers.unwrap();
    assert_eq!((answers.the_broker_can_watch, answers.page, answers.viewer_broker, &*told), (false, None, None, ""));
    let addresses = ["--user", "", "--keys", "--page", "https://a", "--viewer-broker", "wss://b"];
    let (answers, told) = asked(&[&ALL[..], &addresses].concat(), "");
    let answers = answers.unwrap();
    assert_eq!((answers.page.as_deref(), answers.viewer_broker.as_deref()), (Some("https://a"), Some("wss://b")));
    assert_eq!(told, "");
}

#[test]
fn home_mode_is_one_of_the_answers_and_keeps_the_name_of_the_board() {
    let Command::Setup(given) = Cli::parse_from(["fanlight", "setup"]).command else { panic!("not setup") };
    let (mut typed, mut output) = (&b"garden\nhome\n"[..], Vec::new());
    let chosen = answers(&given, &Offers::default(), &mut typed, &mut output);
    assert_eq!(chosen, Err(NoAnswer::Home("garden".into())));
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
        (&[][..], "", "give it with --device"),
        (&ALL, "", "give it with --keys"),
        (&ALL, "broker\n", "give it with --the-broker-can-watch"),
        (&ALL, "broker\nno\n", "nothing was written"),
        (&[&ALL[..], &["--keys", "--page", "x"]].concat(), "", "--page x: \"x\" is not possible"),
        (&["--device", "a b"], "", "--device a b: \"a b\" is not possible"),
        (
            &["--device", "a", "--the-broker-can-watch", "--broker", "mqtt://10.0.0.1"],
            "",
            "--broker mqtt://10.0.0.1: \"broker\" needs a link",
        ),
        (
            &["--device", "a", "--keys", "--broker", "mqtts://b", "--user", "u", "--password-file", "/no/such"],
            "",
            "read /no/such",
        ),
        (
            &["--device", "a", "--keys", "--broker", "mqtts://b", "--user", "u", "--password-file", "-"],
            "\n",
            "empty; one line of 1 to",
        ),
        (
            &["--device", "a", "--keys", "--broker", "mqtts://b", "--ca-file", "/no/such"],
            "",
            "--ca-file /no/such: read /no/such",
        ),
        (&["--device", "a", "--keys", "--broker", "mqtts://b", "--ca-file", "/dev/zero"], "", "not a regular file"),
        (&["--device", "a", "--keys", "--broker", "mqtt://127.0.0.1", "--ca-file", "/no/such"], "", "needs TLS"),
    ] {
        let error = asked(arguments, typed).0.unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
