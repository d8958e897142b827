//! Holds the code, `docs/reference/schemas/` and the examples beside `docs/reference/protocol.md` together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use jsonschema::{Resource, Validator};
use serde_json::Value;

use super::*;
use crate::config::{
    Access, AccessMode, Audio, AudioSource, Broker, Button, Config, Lamp, Limits, Log, Speaker, SpeakerOutput, Video,
    VideoSource, Webrtc,
};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference")
}

fn schema(name: &str) -> Value {
    let path = docs().join("schemas").join(format!("{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn validator(name: &str) -> Validator {
    let envelope = schema("envelope");
    let id = envelope["$id"].as_str().unwrap().to_owned();
    let resource = Resource::from_contents(envelope).unwrap();
    jsonschema::options().with_resource(id, resource).build(&schema(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Holds a message against the published schema of this name.
pub(crate) fn check(schema: &str, message: &Value) {
    static VALIDATORS: LazyLock<BTreeMap<String, Validator>> =
        LazyLock::new(|| names().map(|name| (name.clone(), validator(&name))).collect());
    let validator = VALIDATORS.get(schema).unwrap_or_else(|| panic!("no schema {schema}: {message}"));
    if let Err(e) = validator.validate(message) {
        panic!("{schema}: {e} at {}: {message}", e.instance_path);
    }
}

/// The names of all schemas but the one that the others share.
fn names() -> impl Iterator<Item = String> {
    let schemas = fs::read_dir(docs().join("schemas")).unwrap().map(|file| file.unwrap().file_name());
    let names = schemas.map(|name| name.into_string().unwrap().trim_end_matches(".schema.json").to_owned());
    names.filter(|name| name != "envelope")
}

/// The examples in the protocol document: the type of each message, and its text.
fn examples() -> Vec<(String, String)> {
    let pages =
        ["protocol.md", "protocol-examples.md", "signed-messages.md", "tokens.md", "audit.md", "board-commands.md"];
    let text = pages.map(|page| fs::read_to_string(docs().join(page)).unwrap()).concat();
    let blocks = text.split("```json ").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.map(|block| block.split_once('\n').unwrap()).map(|(who, json)| (who.into(), json.trim().into())).collect()
}

fn every_reply() -> Vec<Reply> {
    use MediumState as M;
    let server = |login: bool| RtcIceServer {
        urls: vec!["turn:192.0.2.1:3478".into()],
        username: login.then(|| "user".into()),
        credential: login.then(|| "secret".into()),
    };
    let candidate = |mid: Option<&str>, mline| Candidate { candidate: "x".into(), mid: mid.map(Into::into), mline };
    let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".to_owned();
    let servers = |logins_s| IceServers { ice_servers: vec![server(true), server(false)], logins_s };
    let sdp = "v=0\r\n".to_owned();
    let candidates = vec![candidate(Some("0"), Some(0)), candidate(None, None)];
    let mut all = vec![
        Reply::Welcome { nonce: "A".repeat(32), clock: Clock::Synced, details: None },
        Reply::Welcome { nonce: "A".repeat(32), clock: Clock::Unsynced, details: Some(Box::new(details())) },
        paired(None),
        paired(Some(1_900_000_000)),
        Reply::Offer { sdp: sdp.clone(), restart: true, lease_s: None, ice: None },
        Reply::Offer { sdp: sdp.clone(), restart: true, lease_s: None, ice: Some(servers(Some(1200))) },
        Reply::Offer { sdp: sdp.clone(), restart: false, lease_s: Some(9), ice: Some(servers(None)) },
        Reply::Answer { sdp: sdp.clone(), offer_hash: hash.clone(), lease_s: 600, ice: servers(None) },
        Reply::Answer { sdp, offer_hash: hash, lease_s: 600, ice: servers(Some(1200)) },
        Reply::Candidates { ufrag: "u".into(), candidates, end: false },
        Reply::Candidates { ufrag: "u".into(), candidates: vec![], end: true },
        Reply::Renewed { lease_s: 0, ice: None },
        Reply::Renewed { lease_s: 600, ice: Some(servers(Some(1200))) },
        Reply::Goaway { in_s: 30, reason: "expired".into() },
        Reply::Bye { reason: "bye".into() },
        Reply::Ping { n: 1 },
        Reply::Pong { n: u64::from(u32::MAX) },
    ];
    all.extend(SnapshotPart::all(7, &[0; command_result::SNAPSHOT_MAX]).map(Reply::Part));
    all.extend(every_event().map(|event| Reply::Event(Box::new(event))));
    for state in [M::Ok, M::Starting, M::Stalled, M::Absent, M::Privacy, M::Refused] {
        for route in [None, Some("relay-prflx tls by turns:turn.example.org:5349?transport=tcp".to_owned())] {
            let why = |said: bool| said.then(|| "é".repeat(crate::feed::REASON));
            let (video_reason, audio_reason) = (why(state == M::Stalled), why(state == M::Absent));
            let media = SessionMedia { video: state, audio: state };
            all.push(Reply::Media { media, video_reason, audio_reason, route });
        }
    }
    all.extend(every_error().into_iter().map(|name| {
        let mut refusal = Refusal::new(name, "why");
        refusal.supported = (name == ErrorName::Version).then(|| vec![VERSION]);
        match name {
            ErrorName::Busy | ErrorName::OutOfResources => Reply::Error(refusal.retry_after(Duration::from_secs(1))),
            _ => Reply::Error(refusal),
        }
    }));
    all
}

/// Events with few fields and with all.
fn every_event() -> impl Iterator<Item = EventMessage> {
    let bare = EventMessage {
        n: 0,
        kind: "start",
        at: None,
        viewer: None,
        name: None,
        rights: None,
        token: None,
        route: None,
        bytes: None,
        seconds: None,
        reason: None,
        change: None,
        left_out: None,
    };
    let text = |text: &str| Some(text.to_owned());
    let full = EventMessage {
        at: Some(1_767_225_600),
        viewer: text("axfR8uEsQkf4vOblY6RA8n"),
        name: text("Anna's phone"),
        rights: Some(Rights::of(Right::ALL)),
        token: text("4mJc1fXgQYk"),
        route: text("relay-prflx tls"),
        bytes: Some(1 << 40),
        seconds: Some(14_400),
        reason: text("consent_lost"),
        left_out: Some(5),
        ..bare.clone()
    };
    let kinds = ["refuse", "start", "end", "pair", "list", "privacy", "snapshot", "doorbell"];
    let changes = ["add", "remove", "rename", "rights", "deny", "configured", "on", "off"];
    let with_kind = kinds.map(|kind| EventMessage { kind, ..full.clone() });
    let with_change = changes.map(|change| EventMessage { kind: "list", change: Some(change), ..full.clone() });
    std::iter::once(bare).chain(with_kind).chain(with_change)
}

fn details() -> WelcomeDetails {
    let media = MediaHealth { video: Health::Ok, audio: Health::Absent };
    let status = WelcomeStatus { media, viewers: 1, max_viewers: 8, version: "1.0.0" };
    let info = serde_json::from_slice(&info::info(&config())).unwrap();
    WelcomeDetails { status, info, rights: Rights::of(Right::ALL) }
}

fn paired(until: Option<u64>) -> Reply {
    let rights = Rights::of([Right::View, Right::Listen]);
    Reply::Paired { name: "Anna's phone".into(), rights, until, mac: "A".repeat(43) }
}

fn every_error() -> [ErrorName; 27] {
    use ErrorName as E;
    [
        E::BadRequest,
        E::BadSdp,
        E::Unauthorized,
        E::AuthRequired,
        E::StaleNonce,
        E::ClockUnsynced,
        E::Forbidden,
        E::NoSession,
        E::Timeout,
        E::IceTimeout,
        E::Conflict,
        E::Gone,
        E::TooLarge,
        E::NoCommonCodec,
        E::Version,
        E::RateLimited,
        E::Privacy,
        E::NoMedia,
        E::Replaced,
        E::Shutdown,
        E::Expired,
        E::IceFailed,
        E::DtlsFailed,
        E::ConsentLost,
        E::Internal,
        E::Busy,
        E::OutOfResources,
    ]
}

/// The names that only the result of a command has.
fn every_command_error() -> [ErrorName; 5] {
    use ErrorName as E;
    [E::OutOfRange, E::UnknownCommand, E::NotFound, E::Unsupported, E::DeviceError]
}

#[test]
fn everything_the_device_says_is_as_the_schemas_say() {
    let session = SessionId::new(&"A".repeat(22)).unwrap();
    for reply in every_reply() {
        let is_outside = matches!(reply, Reply::Welcome { .. } | Reply::Paired { .. } | Reply::Event(_));
        let seq = (!is_outside).then_some(4);
        let message: Value = serde_json::from_slice(&compose::compose(&reply, Some(&session), seq)).unwrap();
        check(message["type"].as_str().unwrap(), &message);
    }
}

#[test]
fn every_example_is_as_its_schema_says_and_those_of_a_viewer_are_understood() {
    let mut seen = BTreeSet::new();
    for (who, text) in examples() {
        let message: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let kind = message["type"].as_str().unwrap_or(&who).to_owned();
        check(&kind, &message);
        match who.as_str() {
            "command" if text.contains("\"v\"") => {
                let (_, request) = parse::parse(&text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
                assert!(matches!(request, Request::Command(Ok(_))), "{text}: {request:?}");
            }
            "command" => drop(command::CommandMessage::read(&text).unwrap_or_else(|e| panic!("{text}: {e:?}"))),
            "viewer" => drop(parse::parse(&text).unwrap_or_else(|e| panic!("{text}: {e:?}"))),
            "pair" => assert!(pair::PairMessage::read(text.as_bytes()).is_some(), "{text}"),
            "token" => assert!(crate::trust::token::TokenClaims::read(&text).is_some(), "{text}"),
            "deny" => assert!(crate::trust::deny_list::DenyList::read(&text).is_some(), "{text}"),
            _ => {}
        }
        seen.insert(kind);
    }
    assert_eq!(seen, names().collect(), "every schema has an example, and every example a schema");
}

#[test]
fn the_schemas_refuse_what_is_wrong() {
    let session = "A".repeat(22);
    for (kind, fields) in [
        ("answer", r#""seq":0,"sdp":"v=0","offer_hash":"short""#),
        ("offer", r#""seq":0,"sdp":"hello""#),
        ("request", r#""seq":0,"media":{"talk":true}"#),
        ("request", r#""seq":0,"media":{"video":false}"#),
        ("candidates", r#""seq":0"#),
        ("renew", r#""token":"x""#),
        ("renewed", r#""seq":0,"lease_s":600,"ice_servers":[{"urls":"turn:x"}]"#),
        ("renewed", r#""seq":0,"lease_s":600,"logins_s":"1200""#),
        ("media", r#""seq":0,"video":"dark","audio":"ok""#),
        ("error", r#""code":404,"name":"busy","message":"x","retry_after_ms":1"#),
        ("error", r#""code":503,"name":"busy","message":"x""#),
        ("error", r#""code":426,"name":"version","message":"x""#),
        ("ping", r#""seq":-1,"n":0"#),
        ("event", r#""kind":"start""#),
        ("event", r#""n":1,"kind":"party""#),
        ("event", r#""n":1,"kind":"start","name":"""#),
        ("hello", r#""seq":0,"events":1"#),
    ] {
        let text = format!(r#"{{"v":1,"type":"{kind}","session":"{session}",{fields}}}"#);
        assert!(!validator(kind).is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
    }
}

#[test]
fn the_contract_names_every_error_with_its_code() {
    let tables = [("protocol.md", every_error().to_vec()), ("board-commands.md", every_command_error().to_vec())];
    for (page, errors) in tables {
        let text = fs::read_to_string(docs().join(page)).unwrap();
        for error in errors {
            let name = serde_json::to_value(error).unwrap();
            let (name, code) = (format!("`{}`", name.as_str().unwrap()), format!("| {} |", error.code()));
            assert!(text.lines().any(|line| line.starts_with(&code) && line.contains(&name)), "{page}: {code} {name}");
        }
    }
}

fn config() -> Config {
    Config {
        device: Id::new("porch").unwrap(),
        name: "Front \"porch\"".into(),
        broker: Broker::default(),
        access: Access::of_mode(AccessMode::Broker),
        video: Video::default(),
        audio: Audio::default(),
        speaker: Speaker::default(),
        lamp: Lamp::default(),
        button: Button::default(),
        webrtc: Webrtc::default(),
        limits: Limits::default(),
        log: Log::default(),
    }
}

#[test]
fn what_a_board_in_the_mode_keys_tells_everybody_is_as_the_schemas_say_and_no_more() {
    let key = crate::jose::SealingKey::generate().unwrap();
    let mut config = config();
    for mode in [AccessMode::Keys, AccessMode::Token] {
        config.access.mode = mode;
        let info = info::sealed_info(&config, key.public());
        check("signed-info", &serde_json::from_slice(&info).unwrap());
        let status = status::sealed_online(mode.word(), "d2VkbmVzZGF5", 7, &"A".repeat(32), key.public());
        check("signed-status", &serde_json::from_slice(&status).unwrap());
        for said in [info, status] {
            let said = String::from_utf8(said.to_vec()).unwrap();
            assert!(said.contains(&format!(r#""auth":"{}""#, mode.word())), "{said}");
            for private in ["Front", "viewers", "video", "camera", "limits", "issuer"] {
                assert!(!said.contains(private), "{private}: {said}");
            }
        }
        check("info", &serde_json::from_slice(&info::info(&config)).unwrap());
    }
}

#[test]
fn the_schemas_of_tokens_refuse_what_the_code_refuses() {
    let example = |name: &str| examples().into_iter().find(|(who, _)| who == name).unwrap().1;
    let with = |name: &str, field: &str, value: Value| {
        let mut message: Value = serde_json::from_str(&example(name)).unwrap();
        message[field] = value;
        message
    };
    for (name, field, value) in [
        ("token", "jti", "a b".into()),
        ("token", "aud", Value::Array(vec![])),
        ("token", "aud", 7.into()),
        ("token", "cnf", serde_json::json!({"kid": "a"})),
        ("token", "rights", serde_json::json!(["fly"])),
        ("token", "iat", "1767225600".into()),
        ("token", "exp", 1.5.into()),
        ("token", "name", "x".repeat(65).into()),
        ("deny", "number", 0.into()),
        ("deny", "before", (-1).into()),
        ("deny", "ids", serde_json::json!(["a b"])),
        ("deny", "ids", "a".into()),
    ] {
        let message = with(name, field, value);
        assert!(!validator(name).is_valid(&message), "{message}");
        let text = message.to_string();
        let read = match name {
            "token" => crate::trust::token::TokenClaims::read(&text).is_some(),
            _ => crate::trust::deny_list::DenyList::read(&text).is_some(),
        };
        assert!(!read, "{message}");
    }
}

#[test]
fn info_is_as_its_schema_says() {
    let mut config = config();
    let of = |config: &Config| serde_json::from_slice::<Value>(&info::info(config)).unwrap();
    let info = of(&config);
    check("info", &info);
    assert_eq!((&info["cameras"][0]["sizes"][0][1], &info["audio"]["channels"]), (&720.into(), &1.into()));
    assert_eq!(info["talk"], false);
    (config.video.source, config.audio.source) = (VideoSource::Off, AudioSource::Off);
    config.speaker.output = SpeakerOutput::Auto;
    let info = of(&config);
    check("info", &info);
    assert!(info["cameras"].as_array().unwrap().is_empty() && info["audio"].is_null() && info["talk"] == true);
}

#[test]
fn status_is_as_its_schema_says() {
    use crate::feed::Health as H;
    let said = |bytes: &[u8]| check("status", &serde_json::from_slice(bytes).unwrap());
    for (video, audio, clock) in [
        (H::Ok, H::Absent, Clock::Synced),
        (H::Starting, H::Stalled, Clock::Unsynced),
        (H::Privacy, H::Ok, Clock::Synced),
    ] {
        let media = MediaHealth { video, audio };
        let presence = Presence { media, viewers: 0, max_viewers: 8, clock, nonce: "A".repeat(32) };
        said(&status::online("d2VkbmVzZGF5", 1, &presence));
    }
    for reason in [status::Absence::Lost, status::Absence::Shutdown] {
        said(&status::offline(reason, "d2VkbmVzZGF5", 7));
    }
    for wrong in [
        r#"{"v":1,"state":"offline","reason":"tired","epoch":"e","conn":1}"#,
        r#"{"v":1,"state":"online","epoch":"e","conn":1}"#,
        r#"{"v":1,"state":"away","epoch":"e","conn":1}"#,
    ] {
        assert!(!validator("status").is_valid(&serde_json::from_str(wrong).unwrap()), "{wrong}");
    }
}

#[test]
fn a_credential_is_in_no_debug_output() {
    let credential = Some("hunter2".to_owned());
    let server = RtcIceServer { urls: vec!["turn:x".into()], username: Some("porch".into()), credential };
    assert!(!format!("{server:?}").contains("hunter2"));
}
