use super::*;
use crate::{
    privacy::BoardPrivacy,
    protocol::{Clock, MediaHealth, Right},
};

struct Board {
    commands: Commands,
    privacy: PrivacyHandle,
}

/// A board without a device.
fn board() -> Board {
    let (privacy, _) = PrivacyHandle::new(BoardPrivacy::restore(None));
    let media = MediaHealth { video: Health::Absent, audio: Health::Absent };
    let presence = Presence { media, viewers: 2, max_viewers: 8, clock: Clock::Synced, nonce: String::new() };
    let presence = watch::channel(presence).1;
    Board { commands: Commands::new(MediaSources::default(), privacy.clone(), presence, Mono(0)), privacy }
}

fn seconds(n: u64) -> Mono {
    Mono(n * 1_000_000_000)
}

impl Board {
    /// Gives a command of one viewer, outside of a session, and returns the result as it travels.
    fn give(&self, rights: &[Right], text: &str, at: u64) -> serde_json::Value {
        self.give_in(CommandPlace::Alone, rights, text, at)
    }

    fn give_in(&self, place: CommandPlace<'_>, rights: &[Right], text: &str, at: u64) -> serde_json::Value {
        let anna = Id::new("anna").unwrap();
        let rights = Rights::of(rights.iter().copied());
        let caller = Caller { viewer: &anna, name: Some("Anna's phone"), rights };
        let begun = self.commands.begin(caller, place, CommandMessage::read(text), seconds(at));
        let BegunCommand::Done(result) = begun else { panic!("{text} takes time") };
        let result = serde_json::to_value(result).unwrap();
        crate::protocol::contract_tests::check("result", &result);
        result
    }
}

fn command(name: &str, args: &str) -> String {
    format!(r#"{{"id":7,"name":"{name}","args":{args}}}"#)
}

#[test]
fn checks_come_in_their_order_and_the_first_fault_is_the_answer() {
    let board = board();
    let all = Right::ALL;
    for (rights, text, expected) in [
        (&all[..], r#"{"name":"stats"}"#.to_owned(), "bad_request"),
        (&all, command("reboot", "{}"), "unknown_command"),
        (&[Right::View], command("privacy.set", r#"{"on":1}"#), "bad_request"),
        (&[Right::View], command("privacy.set", r#"{"on":true}"#), "forbidden"),
        (&[Right::Listen], command("keyframe", "{}"), "forbidden"),
        (&all, command("keyframe", r#"{"camera":"garden"}"#), "no_session"),
        (&all, command("privacy.set", r#"{"on":false,"change":9}"#), "null"),
        (&[Right::View], command("snapshot", "{}"), "forbidden"),
        (&all, command("snapshot", r#"{"camera":"garden","width":1}"#), "out_of_range"),
        (&all, command("snapshot", r#"{"camera":"garden"}"#), "not_found"),
        (&all, command("controls.list", "{}"), "not_found"),
        (&all, command("controls.get", r#"{"names":["gain"]}"#), "not_found"),
        (&all, command("controls.set", r#"{"values":{"gain":1}}"#), "not_found"),
        (&all, command("controls.set", r#"{"values":{"gain":1},"save":true}"#), "not_found"),
        (&all, command("talk.begin", "{}"), "no_session"),
        (&[Right::Talk], command("talk.begin", r#"{"take":true}"#), "forbidden"),
        (&all, command("talk.end", "{}"), "no_session"),
    ] {
        let result = board.give(rights, &text, 1);
        assert_eq!(result["error"]["name"].as_str().unwrap_or("null"), expected, "{text}: {result}");
    }
    for (text, expected) in [
        (command("keyframe", r#"{"camera":"garden"}"#), "not_found"),
        (command("talk.begin", "{}"), "unsupported"),
        (command("talk.end", "{}"), "null"),
    ] {
        let place = CommandPlace::Session { figures: None, talker: None };
        let result = board.give_in(place, &all, &text, 2);
        assert_eq!(result["error"]["name"].as_str().unwrap_or("null"), expected, "{result}");
    }
}

#[test]
fn what_is_forbidden_uses_up_no_rate_and_changes_nothing() {
    let board = board();
    for _ in 0..100 {
        let result = board.give(&[Right::View, Right::Listen], &command("privacy.set", r#"{"on":true}"#), 1);
        assert_eq!(result["error"]["name"], "forbidden");
    }
    assert!(!board.privacy.state(seconds(1)).is_on);
    let result = board.give(&[Right::Control], &command("privacy.set", r#"{"on":true}"#), 1);
    assert_eq!(result["ok"]["privacy"]["on"], true, "{result}");
}

#[test]
fn a_viewer_sets_and_lifts_the_switch_that_it_saw() {
    let board = board();
    let control = &[Right::Control];
    let result = board.give(control, &command("privacy.set", r#"{"on":true}"#), 10);
    let expected = serde_json::json!({"on": true, "change": 1, "by": "viewer", "name": "Anna's phone", "seconds": 0});
    assert_eq!(result["ok"]["privacy"], expected);
    let lift = |change: u64, at| {
        board.give(control, &command("privacy.set", &format!(r#"{{"on":false,"change":{change}}}"#)), at)
    };
    let conflict = lift(0, 20);
    assert_eq!(conflict["error"]["name"], "conflict");
    assert!(conflict["error"]["message"].as_str().unwrap().contains("last change is 1"), "{conflict}");
    assert_eq!(lift(1, 70)["ok"]["privacy"]["change"], 2);
    board.give(control, &command("privacy.set", r#"{"on":true}"#), 71);
    let soon = lift(3, 72);
    assert_eq!((&soon["error"]["name"], &soon["error"]["retry_after_ms"]), (&"rate_limited".into(), &3000.into()));
}

#[test]
fn figures_and_devices_of_a_board_without_any() {
    let board = board();
    let cameras = board.give(&[Right::View], &command("cameras", "{}"), 10);
    let privacy = serde_json::json!({"on": false, "change": 0, "by": "nobody"});
    let expected = serde_json::json!({"cameras": [], "microphone": "absent", "speaker": "absent", "privacy": privacy});
    assert_eq!(cameras["ok"], expected);
    let stats = board.give(&[Right::View], &command("stats", "{}"), 61);
    assert_eq!((&stats["ok"]["uptime_s"], &stats["ok"]["viewers"]), (&61.into(), &2.into()));
    assert!(stats["ok"]["session"].is_null());
}
