use super::*;
use crate::{
    feed::{ControlKind, ControlUnit, MenuItem},
    protocol::TalkerInfo,
};

fn control(name: &str) -> ControlDescription {
    ControlDescription {
        name: name.into(),
        kind: ControlKind::Integer,
        min: -64,
        max: 64,
        step: 1,
        default: 0,
        value: None,
        unit: None,
        items: Vec::new(),
        inactive: false,
    }
}

fn controls(count: usize) -> Vec<ControlDescription> {
    (0..count).map(|n| control(&format!("control_{n}"))).collect()
}

fn text(outcome: CommandOutcome) -> String {
    serde_json::to_string(&CommandResult { id: Some(7), outcome }).unwrap()
}

fn ok(ok: CommandOk) -> String {
    text(CommandOutcome::Ok(ok))
}

fn privacy() -> PrivacyView {
    PrivacyView { on: true, change: 3, by: "viewer", name: Some("Anna's phone".into()), seconds: Some(61) }
}

fn medium() -> MediumStats {
    MediumStats {
        health: Health::Ok,
        size: Some([1280, 720]),
        frames_per_s: 30,
        bitrate_bps: 1_950_000,
        frames: 108_000,
    }
}

/// One result of each kind, as it travels. They are the examples of board-commands.md.
fn every_result() -> Vec<String> {
    let camera = CameraCondition { id: "main".into(), health: Health::Ok, size: Some([1280, 720]) };
    let session = SessionStats {
        seconds: 61,
        route: Some("host-prflx udp".into()),
        estimate_bps: Some(4_200_000),
        bytes: 15_400_000,
        retransmitted: 9,
    };
    let silent = MediumStats { health: Health::Absent, size: None, frames_per_s: 0, bitrate_bps: 0, frames: 0 };
    let stats = BoardStats {
        uptime_s: 86_400,
        viewers: 1,
        max_viewers: 8,
        clock: Clock::Synced,
        video: medium(),
        audio: silent,
        session: Some(session),
    };
    let pan = ControlDescription { value: Some(0), unit: Some(ControlUnit::Arcsec), ..control("pan_absolute") };
    let item = |value, name: &str| MenuItem { value, name: name.into() };
    let menu = ControlDescription {
        kind: ControlKind::Menu,
        min: 0,
        max: 3,
        value: Some(3),
        items: vec![item(1, "Manual Mode"), item(3, "Aperture Priority Mode")],
        inactive: true,
        ..control("auto_exposure")
    };
    let head = SnapshotHead {
        camera: "main".into(),
        width: 1280,
        height: 720,
        bytes: 131_072,
        parts: 8,
        age_ms: 21,
        at: Some(1_767_225_600),
    };
    let talker = Some(Box::new(TalkerInfo { name: "Anna's phone".into(), seconds: 4 }));
    let second = std::time::Duration::from_secs(1);
    let busy = Refusal { talker, ..Refusal::new(ErrorName::Busy, "talk.begin: somebody else talks") };
    let soon = Refusal::new(ErrorName::RateLimited, "privacy.set: the switch was lifted a moment ago");
    let unread = CommandResult {
        id: None,
        outcome: CommandOutcome::Error(Refusal::new(ErrorName::BadRequest, "id is missing")),
    };
    vec![
        ok(CommandOk::Done {}),
        ok(CommandOk::Cameras {
            cameras: vec![camera],
            microphone: Health::Ok,
            speaker: Health::Absent,
            privacy: PrivacyView { on: false, change: 0, by: "nobody", name: None, seconds: None },
        }),
        ok(CommandOk::Stats(Box::new(stats))),
        ok(CommandOk::Privacy { privacy: privacy() }),
        text(CommandOutcome::Error(soon.retry_after(std::time::Duration::from_secs(4)))),
        serde_json::to_string(&unread).unwrap(),
        ok(CommandOk::Controls(ControlsPage { controls: vec![pan, menu], more: true })),
        ok(CommandOk::Values { values: [("gain".to_owned(), 5)].into() }),
        ok(CommandOk::Snapshot(head)),
        ok(CommandOk::Talk { silence_s: 15 }),
        text(CommandOutcome::Error(busy.retry_after(second))),
    ]
}

#[test]
fn the_form_of_results() {
    let all = every_result();
    for (n, expected) in [
        (0, r#"{"id":7,"ok":{}}"#),
        (3, r#"{"id":7,"ok":{"privacy":{"on":true,"change":3,"by":"viewer","name":"Anna's phone","seconds":61}}}"#),
        (
            4,
            r#"{"id":7,"error":{"code":429,"name":"rate_limited","message":"privacy.set: the switch was lifted a moment ago","retry_after_ms":4000}}"#,
        ),
        (5, r#"{"error":{"code":400,"name":"bad_request","message":"id is missing"}}"#),
        (7, r#"{"id":7,"ok":{"values":{"gain":5}}}"#),
        (9, r#"{"id":7,"ok":{"silence_s":15}}"#),
        (
            10,
            r#"{"id":7,"error":{"code":503,"name":"busy","message":"talk.begin: somebody else talks","retry_after_ms":1000,"talker":{"name":"Anna's phone","seconds":4}}}"#,
        ),
    ] {
        assert_eq!(all[n], expected);
    }
}

/// The page of board-commands.md shows each of these results, as it is written here.
#[test]
fn the_page_of_commands_shows_every_result() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/board-commands.md");
    let page = std::fs::read_to_string(page).unwrap();
    for result in every_result() {
        assert!(page.contains(&result), "docs/reference/board-commands.md lacks {result}");
    }
}

#[test]
fn pages_of_controls_fit_and_come_to_an_end() {
    let mut wordy = controls(500);
    for control in &mut wordy {
        control.items = (0..200).map(|value| MenuItem { value, name: "\u{1}".repeat(32) }).collect();
    }
    for all in [controls(0), controls(1), controls(64), controls(65), controls(512), wordy] {
        let (mut seen, mut last): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            let page = ControlsPage::after(last.as_deref(), all.clone()).unwrap();
            let bytes = serde_json::to_vec(&page).unwrap().len();
            assert!(page.controls.len() <= PAGE_CONTROLS && bytes <= 30 * 1024, "{bytes}");
            assert!(page.controls.iter().all(|control| control.items.len() <= MENU_ITEMS));
            seen.extend(page.controls.iter().map(|control| control.name.clone()));
            if !page.more {
                break;
            }
            last = seen.last().cloned();
        }
        let names: Vec<_> = all.iter().map(|control| control.name.clone()).collect();
        assert_eq!(seen, names, "each once, in order");
    }
    let refusal = ControlsPage::after(Some("zoom"), controls(3)).unwrap_err();
    assert_eq!((refusal.code, refusal.name), (404, ErrorName::NotFound));
}

#[test]
fn the_parts_of_a_snapshot_are_its_bytes_in_order() {
    let jpeg: Vec<u8> = (0..2 * SNAPSHOT_PART + 1).map(|n| n as u8).collect();
    let parts: Vec<_> = SnapshotPart::all(7, &jpeg).collect();
    assert_eq!(parts.iter().map(|part| (part.id, part.part)).collect::<Vec<_>>(), [(7, 0), (7, 1), (7, 2)]);
    let bytes: Vec<u8> = parts.iter().flat_map(|part| URL_SAFE_NO_PAD.decode(&part.data).unwrap()).collect();
    assert!(bytes == jpeg);
    // The parts of the largest snapshot fit into the queue of replies to the broker.
    const { assert!(SNAPSHOT_MAX.div_ceil(SNAPSHOT_PART) <= 16 && SNAPSHOT_PART * 4 / 3 < 24 * 1024) }
}
