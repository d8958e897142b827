use super::*;

fn command(name: &str, args: &str) -> String {
    format!(r#"{{"id":7,"name":"{name}","args":{args}}}"#)
}

fn read(text: &str) -> BoardCommand {
    let message = CommandMessage::read(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    assert_eq!(message.id, 7, "{text}");
    message.command
}

fn main_camera() -> Id {
    Id::new("main").unwrap()
}

/// Each command with the fewest arguments, and with all.
fn every_command() -> Vec<(String, BoardCommand)> {
    use BoardCommand as C;
    let camera = main_camera;
    vec![
        (command("cameras", "{}"), C::Cameras),
        (command("stats", "null"), C::Stats),
        (r#"{"id":7,"name":"stats"}"#.into(), C::Stats),
        (command("keyframe", "{}"), C::Keyframe { camera: camera() }),
        (command("keyframe", r#"{"camera":"garden"}"#), C::Keyframe { camera: Id::new("garden").unwrap() }),
        (command("privacy.set", r#"{"on":true}"#), C::PrivacyOn),
        (command("privacy.set", r#"{"on":true,"change":3}"#), C::PrivacyOn),
        (command("privacy.set", r#"{"on":false,"change":3}"#), C::PrivacyOff { change: 3 }),
    ]
}

#[test]
fn every_command_is_read() {
    for (text, expected) in every_command() {
        let read = read(&text);
        assert_eq!(read, expected, "{text}");
        assert!(text.contains(&format!("\"{}\"", read.name())), "{text}");
    }
    let mut names: Vec<_> = every_command().iter().map(|(_, command)| command.name()).collect();
    names.dedup();
    assert_eq!(names, BoardCommand::NAMES);
}

#[test]
fn unknown_fields_and_those_of_the_envelope_are_ignored() {
    let text = r#"{"v":1,"type":"command","session":"x","seq":0,"id":7,"name":"stats","args":{"new":[1]},"more":{}}"#;
    assert_eq!(read(text), BoardCommand::Stats);
}

#[test]
fn what_is_wrong_gets_a_name_and_a_sentence() {
    use ErrorName::{BadRequest, UnknownCommand};
    let table: Vec<(String, ErrorName, &str)> = vec![
        (r#"{"id":7}"#.into(), BadRequest, "name is missing"),
        (r#"{"id":7,"name":5}"#.into(), BadRequest, "name must be a string"),
        (command(&"x".repeat(65), "{}"), BadRequest, "name has 65 bytes"),
        (command("reboot", "{}"), UnknownCommand, "command reboot is not known: cameras, stats"),
        (command("Cameras", "{}"), UnknownCommand, "is not known"),
        (command("", "{}"), UnknownCommand, "is not known"),
        (command("cameras", "[]"), BadRequest, "args must be an object"),
        (command("cameras", "1"), BadRequest, "args must be an object"),
        (command("keyframe", r#"{"camera":1}"#), BadRequest, "camera must be a string"),
        (command("keyframe", r#"{"camera":"a/b"}"#), BadRequest, "camera must be the id"),
        (command("keyframe", r#"{"camera":""}"#), BadRequest, "camera must be the id"),
        (command("privacy.set", "{}"), BadRequest, "on must be true or false"),
        (command("privacy.set", r#"{"on":1}"#), BadRequest, "on must be true or false"),
        (command("privacy.set", r#"{"on":false}"#), BadRequest, "change is missing"),
        (command("privacy.set", r#"{"on":false,"change":-1}"#), BadRequest, "change must be a whole number"),
    ];
    for (text, name, sentence) in table {
        let rejected = CommandMessage::read(&text).expect_err(&text);
        assert_eq!((rejected.id, rejected.refusal.name), (Some(7), name), "{text}");
        assert!(rejected.refusal.message.contains(sentence), "{text}: {}", rejected.refusal.message);
    }
}

#[test]
fn what_has_no_number_is_refused_without_one() {
    for (text, name) in [
        (String::new(), ErrorName::BadRequest),
        ("[]".into(), ErrorName::BadRequest),
        (r#"{"name":"stats"}"#.into(), ErrorName::BadRequest),
        (r#"{"id":"7","name":"stats"}"#.into(), ErrorName::BadRequest),
        (r#"{"id":-1,"name":"stats"}"#.into(), ErrorName::BadRequest),
        (r#"{"id":9007199254740992,"name":"stats"}"#.into(), ErrorName::BadRequest),
        (r#"{"id":7,"id":7,"name":"stats"}"#.into(), ErrorName::BadRequest),
        (r#"{"id":7,"name":"stats","args":{"a":1,"a":1}}"#.into(), ErrorName::BadRequest),
        (format!(r#"{{"id":7,"name":"stats","args":{}}}"#, "[".repeat(20_000)), ErrorName::BadRequest),
        (format!(r#"{{"id":7,"name":"stats","args":[{}0]}}"#, "0,".repeat(2000)), ErrorName::BadRequest),
        (format!(r#"{{"id":7,"name":"{}"}}"#, "x".repeat(envelope::MESSAGE_MAX)), ErrorName::TooLarge),
    ] {
        let rejected = CommandMessage::read(&text).expect_err(&text);
        assert_eq!((rejected.id, rejected.refusal.name), (None, name), "{text:.100}");
        assert!(rejected.refusal.message.chars().count() <= 401);
    }
}

#[test]
fn a_sentence_quotes_no_control_characters() {
    let rejected = CommandMessage::read(&command("a\\u001b[31m\\n", "{}")).unwrap_err();
    assert!(!rejected.refusal.message.contains(['\u{1b}', '\n']), "{}", rejected.refusal.message);
}

#[test]
fn each_command_needs_its_rights() {
    for (text, needs) in [
        (command("cameras", "{}"), Rights::default()),
        (command("stats", "{}"), Rights::default()),
        (command("keyframe", "{}"), Rights::of([Right::View])),
        (command("privacy.set", r#"{"on":true}"#), Rights::of([Right::Control])),
        (command("privacy.set", r#"{"on":false,"change":0}"#), Rights::of([Right::Control])),
    ] {
        let command = read(&text);
        assert_eq!(command.needs(), needs, "{text}");
        assert!(command.check_rights(needs).is_ok() && command.check_rights(Rights::of(Right::ALL)).is_ok());
        for right in needs.iter() {
            let without = Rights::of(Right::ALL.into_iter().filter(|other| *other != right));
            let refusal = command.check_rights(without).unwrap_err();
            assert_eq!((refusal.code, refusal.name), (403, ErrorName::Forbidden), "{text} without {right:?}");
            assert!(refusal.message.contains(right.name()), "{}", refusal.message);
        }
    }
}

#[test]
fn what_stops_something_is_never_limited_and_the_rest_is() {
    for (text, command) in every_command() {
        assert_eq!(command.stops(), command == BoardCommand::PrivacyOn, "{text}");
        assert_eq!(command.rate().is_none(), command.stops(), "{text}");
        assert!(command.rate().is_none_or(|rate| rate.burst > 0 && rate.per_minute >= rate.burst), "{text}");
        assert_eq!(command.needs_session(), command.name() == "keyframe", "{text}");
    }
}
