//! Offers as real clients wrote them (`tests/sdp/clients`), and two shaped after clients that do not run here, through the real
//! sessions: each gets picture and sound, or a sentence.

use super::{
    descriptions::{both, holds, lines},
    *,
};
use crate::protocol::sdp::Setup;

fn offer(client: &str) -> String {
    let path = format!("{}/tests/sdp/clients/{client}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[tokio::test]
async fn real_clients_get_picture_and_sound() {
    const BOTH: &[&str] = &["video send", "audio send"];
    let table: [(&str, &[&str], u8, u8); 8] = [
        ("chromium", BOTH, 0, 111),
        ("chromium-data", &["video send", "audio send", "application refused"], 0, 111),
        ("firefox", BOTH, 126, 109),
        ("webrtcbin-max-bundle", BOTH, 102, 111),
        ("webrtcbin-max-compat", BOTH, 102, 111),
        ("aiortc", BOTH, 0, 96),
        ("safari", BOTH, 98, 111),
        ("asterisk", &["audio send", "video send"], 99, 107),
    ];
    let mut house = both();
    for (client, expected, picture, sound) in table {
        let offer = offer(client);
        house.say(client, 'A', 0, "offer", json!({"sdp": offer})).await;
        let answer = house.hear(client, "answer").await;
        let text = answer["sdp"].as_str().unwrap();
        let own = holds(&offer, text);
        assert_eq!(lines(&own), expected, "{client}: {text}");
        for line in own.lines.iter().filter(|line| line.port != 0) {
            assert_eq!(line.setup, Some(Setup::Active), "{client}: {text}");
            let choice = line.choice().unwrap();
            let pt = if line.media == "video" { picture } else { sound };
            // Chromium and aiortc number their formats as they like: only that one was taken counts there.
            assert!(pt == 0 || choice.payload_type == pt, "{client}: {choice:?}");
            assert!(line.media != "video" || choice.fmtp.contains("packetization-mode=1"), "{client}: {choice:?}");
        }
        house.say(client, 'A', 1, "bye", json!({})).await;
        house.hear(client, "bye").await;
    }
}

#[tokio::test]
async fn a_webrtcbin_without_bundle_is_told_what_to_set() {
    let mut house = both();
    house.say("gst", 'A', 0, "offer", json!({"sdp": offer("webrtcbin-none")})).await;
    let refusal = house.refused("gst", 400, "bad_sdp").await;
    assert!(refusal["message"].as_str().unwrap().contains("bundle-policy=max-bundle"), "{refusal}");
}
