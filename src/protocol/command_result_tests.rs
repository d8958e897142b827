use super::*;
use crate::protocol::ErrorName;

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
            privacy: PrivacyView { on: false, change: 0, by: "nobody", name: None, seconds: None },
        }),
        ok(CommandOk::Stats(Box::new(stats))),
        ok(CommandOk::Privacy { privacy: privacy() }),
        text(CommandOutcome::Error(soon.retry_after(std::time::Duration::from_secs(4)))),
        serde_json::to_string(&unread).unwrap(),
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
