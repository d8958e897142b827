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

fn snapshot(width: Option<u16>, height: Option<u16>, quality: u8) -> BoardCommand {
    BoardCommand::Snapshot(SnapshotArgs { camera: main_camera(), width, height, quality })
}

fn set(values: &[(&str, i32)], save: bool) -> BoardCommand {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    BoardCommand::ControlsSet { camera: main_camera(), values, save }
}

/// Each command with the fewest arguments, and with all.
fn every_command() -> Vec<(String, BoardCommand)> {
    use BoardCommand as C;
    let camera = main_camera;
    let list = |camera, after: Option<&str>| C::ControlsList { camera, after: after.map(str::to_owned) };
    let get =
        |names: &[&str]| C::ControlsGet { camera: camera(), names: names.iter().map(ToString::to_string).collect() };
    vec![
        (command("cameras", "{}"), C::Cameras),
        (command("stats", "null"), C::Stats),
        (r#"{"id":7,"name":"stats"}"#.into(), C::Stats),
        (command("keyframe", "{}"), C::Keyframe { camera: camera() }),
        (command("keyframe", r#"{"camera":"garden"}"#), C::Keyframe { camera: Id::new("garden").unwrap() }),
        (command("snapshot", "{}"), snapshot(None, None, 85)),
        (command("snapshot", r#"{"width":16,"height":8192,"quality":1}"#), snapshot(Some(16), Some(8192), 1)),
        (command("snapshot", r#"{"width":null,"quality":100}"#), snapshot(None, None, 100)),
        (command("controls.list", "{}"), list(camera(), None)),
        (command("controls.list", r#"{"after":"gain"}"#), list(camera(), Some("gain"))),
        (command("controls.get", r#"{"names":["gain"]}"#), get(&["gain"])),
        (command("controls.get", r#"{"camera":"main","names":["gain","a_1"]}"#), get(&["gain", "a_1"])),
        (command("controls.set", r#"{"values":{"gain":-5}}"#), set(&[("gain", -5)], false)),
        (
            command("controls.set", r#"{"values":{"gain":2147483647,"low":-2147483648,"flip":true},"save":true}"#),
            set(&[("gain", i32::MAX), ("low", i32::MIN), ("flip", 1)], true),
        ),
        (command("controls.set", r#"{"values":{"flip":false}}"#), set(&[("flip", 0)], false)),
        (command("privacy.set", r#"{"on":true}"#), C::PrivacyOn),
        (command("privacy.set", r#"{"on":true,"change":3}"#), C::PrivacyOn),
        (command("privacy.set", r#"{"on":false,"change":3}"#), C::PrivacyOff { change: 3 }),
        (command("talk.begin", "{}"), C::TalkBegin { take: false }),
        (command("talk.begin", r#"{"take":true}"#), C::TalkBegin { take: true }),
        (command("talk.end", "{}"), C::TalkEnd),
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
    let text =
        r#"{"v":1,"type":"command","session":"x","seq":0,"id":7,"name":"talk.end","args":{"new":[1]},"more":{}}"#;
    assert_eq!(read(text), BoardCommand::TalkEnd);
}

#[test]
fn what_is_wrong_gets_a_name_and_a_sentence() {
    use ErrorName::{BadRequest, OutOfRange, UnknownCommand};
    let many = |item: &str| vec![item; CONTROLS_MAX + 1].join(",");
    let numbered: Vec<_> = (0..=CONTROLS_MAX).map(|n| format!(r#""c{n}":0"#)).collect();
    let long = "c".repeat(CONTROL_NAME_MAX + 1);
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
        (command("snapshot", r#"{"width":15}"#), OutOfRange, "width 15 is not possible: whole numbers from 16 to 8192"),
        (command("snapshot", r#"{"height":8193}"#), OutOfRange, "height 8193"),
        (command("snapshot", r#"{"height":-1}"#), OutOfRange, "height -1"),
        (command("snapshot", r#"{"width":640.5}"#), OutOfRange, "width 640.5"),
        (command("snapshot", r#"{"width":"640"}"#), BadRequest, "width must be a whole number from 16"),
        (command("snapshot", r#"{"quality":0}"#), OutOfRange, "quality 0"),
        (command("snapshot", r#"{"quality":101}"#), OutOfRange, "quality 101"),
        (command("snapshot", r#"{"quality":true}"#), BadRequest, "quality must be"),
        (command("controls.list", r#"{"after":"A"}"#), BadRequest, "A is not the name of a control"),
        (command("controls.list", r#"{"after":1}"#), BadRequest, "after must be a string"),
        (command("controls.get", "{}"), BadRequest, "names must be a list"),
        (command("controls.get", r#"{"names":[]}"#), BadRequest, "0 controls in one command: 1 to 32"),
        (command("controls.get", &format!(r#"{{"names":[{}]}}"#, many("\"a\""))), BadRequest, "33 controls"),
        (command("controls.get", r#"{"names":[1]}"#), BadRequest, "each of names"),
        (command("controls.get", r#"{"names":["gain","gain"]}"#), BadRequest, "gain occurs twice"),
        (command("controls.get", r#"{"names":["Gain"]}"#), BadRequest, "a-z 0-9 _ are possible"),
        (command("controls.get", r#"{"names":[""]}"#), BadRequest, "is not the name"),
        (command("controls.get", &format!(r#"{{"names":["{long}"]}}"#)), BadRequest, "is not the name"),
        (command("controls.set", "{}"), BadRequest, "values must be an object"),
        (command("controls.set", r#"{"values":[]}"#), BadRequest, "values must be an object"),
        (command("controls.set", r#"{"values":{}}"#), BadRequest, "0 controls"),
        (command("controls.set", &format!(r#"{{"values":{{{}}}}}"#, numbered.join(","))), BadRequest, "33 controls"),
        (command("controls.set", r#"{"values":{"gain":"5"}}"#), BadRequest, "the value of gain must be"),
        (command("controls.set", r#"{"values":{"gain":null}}"#), BadRequest, "the value of gain must be"),
        (command("controls.set", r#"{"values":{"gain":1.5}}"#), OutOfRange, "set control gain to 1.5"),
        (command("controls.set", r#"{"values":{"gain":2147483648}}"#), OutOfRange, "from -2147483648 to 2147483647"),
        (command("controls.set", r#"{"values":{"gain":1e300}}"#), OutOfRange, "set control gain"),
        (command("controls.set", r#"{"values":{"Gain":1}}"#), BadRequest, "Gain is not the name"),
        (command("controls.set", r#"{"values":{"gain":1},"save":1}"#), BadRequest, "save must be true or false"),
        (command("privacy.set", "{}"), BadRequest, "on must be true or false"),
        (command("privacy.set", r#"{"on":1}"#), BadRequest, "on must be true or false"),
        (command("privacy.set", r#"{"on":false}"#), BadRequest, "change is missing"),
        (command("privacy.set", r#"{"on":false,"change":-1}"#), BadRequest, "change must be a whole number"),
        (command("talk.begin", r#"{"take":"yes"}"#), BadRequest, "take must be true or false"),
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
    let talk = Rights::of([Right::Talk]);
    for (text, needs) in [
        (command("cameras", "{}"), Rights::default()),
        (command("stats", "{}"), Rights::default()),
        (command("keyframe", "{}"), Rights::of([Right::View])),
        (command("snapshot", "{}"), Rights::of([Right::Snapshot])),
        (command("controls.list", "{}"), Rights::of([Right::Control])),
        (command("controls.get", r#"{"names":["a"]}"#), Rights::of([Right::Control])),
        (command("controls.set", r#"{"values":{"a":1}}"#), Rights::of([Right::Control])),
        (command("privacy.set", r#"{"on":true}"#), Rights::of([Right::Control])),
        (command("privacy.set", r#"{"on":false,"change":0}"#), Rights::of([Right::Control])),
        (command("talk.begin", "{}"), talk),
        (command("talk.begin", r#"{"take":true}"#), Rights::of([Right::Talk, Right::Control])),
        (command("talk.end", "{}"), talk),
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
        let is_free = command.stops() || command == BoardCommand::TalkEnd;
        assert_eq!(command.rate().is_none(), is_free, "{text}");
        assert!(command.rate().is_none_or(|rate| rate.burst > 0 && rate.per_minute >= rate.burst), "{text}");
        let of_session = ["keyframe", "talk.begin", "talk.end"].contains(&command.name());
        assert_eq!(command.needs_session(), of_session, "{text}");
    }
}
