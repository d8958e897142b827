//! Offers and answers as real clients wrote them (`tests/sdp/clients`; `tests/browser/record_sdp.mjs` records them),
//! and two offers shaped after clients that do not run here, through the real sessions: each gets picture and sound, or
//! a sentence.

use super::{
    descriptions::{both, holds, lines},
    *,
};
use crate::protocol::sdp::{CodecChoice, Description, DtlsSetup, MediaKind};

/// The recorded offer of a client, or its answer to this device's offer if the name ends with `-answer`.
fn wrote(client: &str) -> String {
    let path = format!("{}/tests/sdp/clients/{client}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The means of repair and measurement that both sides support.
fn means(choice: &CodecChoice) -> String {
    choice.rtx.map(|_| "rtx").into_iter().chain(choice.feedback.iter().copied()).collect::<Vec<_>>().join(", ")
}

const ALL: &str = "rtx, nack, nack pli, ccm fir, transport-cc, goog-remb";
const AIORTC: &str = "rtx, nack, nack pli, goog-remb";
const WEBRTCBIN: &str = "nack pli, ccm fir, transport-cc";

#[tokio::test]
async fn real_clients_get_picture_and_sound() {
    const BOTH: &[&str] = &["video send", "audio send"];
    const SOUND: &[&str] = &["video inactive", "audio send"];
    let table: [(&str, &[&str], u8, u8, &str); 14] = [
        ("chromium", BOTH, 0, 111, ALL),
        ("chromium-balanced", BOTH, 0, 111, ALL),
        ("chromium-data", &["video send", "audio send", "application receives"], 0, 111, ALL),
        ("chromium-without-h264", SOUND, 0, 111, ""),
        ("firefox", BOTH, 126, 109, ALL),
        ("firefox-balanced", BOTH, 126, 109, ALL),
        ("firefox-without-h264", SOUND, 0, 109, ""),
        ("webrtcbin-max-bundle", BOTH, 102, 111, WEBRTCBIN),
        ("webrtcbin-max-compat", BOTH, 102, 111, WEBRTCBIN),
        ("aiortc", BOTH, 0, 96, AIORTC),
        ("pion", BOTH, 0, 111, ALL),
        ("pion-lite", BOTH, 0, 111, ALL),
        ("safari", BOTH, 98, 111, ALL),
        ("asterisk", &["audio send", "video send"], 99, 107, "nack, ccm fir, goog-remb"),
    ];
    let mut house = both();
    for (client, expected, picture, sound, repairs) in table {
        let offer = wrote(client);
        house.say(client, 'A', 0, "offer", json!({"sdp": offer})).await;
        let answer = house.receive(client, "answer").await;
        let text = answer["sdp"].as_str().unwrap();
        let own = holds(&offer, text);
        assert_eq!(lines(&own), expected, "{client}: {text}");
        for line in own.lines.iter().filter(|line| line.port != 0) {
            assert_eq!(line.setup, Some(DtlsSetup::Active), "{client}: {text}");
            let Some(choice) = line.choice() else { continue };
            let pt = if line.kind == MediaKind::Video { picture } else { sound };
            // Chromium, aiortc and Pion choose their own payload types. Only that one was chosen counts there.
            assert!(pt == 0 || choice.payload_type == pt, "{client}: {choice:?}");
            if line.kind == MediaKind::Video {
                assert!(choice.fmtp.contains("packetization-mode=1"), "{client}: {choice:?}");
                assert_eq!(means(&choice), repairs, "{client}: {text}");
            }
        }
        house.say(client, 'A', 1, "bye", json!({})).await;
        house.receive(client, "bye").await;
    }
}

#[tokio::test]
async fn real_clients_answers_are_understood() {
    use DtlsSetup::{Active, Passive};
    // The DTLS role of the client, the means of repair, and the result.
    let table = [
        ("chromium", Active, ALL, "both"),
        ("chromium-without-h264", Active, "", "video refused"),
        ("firefox", Active, ALL, "both"),
        ("firefox-without-h264", Active, "", "video refused"),
        ("webrtcbin-max-bundle", Active, WEBRTCBIN, "both"),
        ("webrtcbin-max-compat", Active, WEBRTCBIN, "both"),
        ("webrtcbin-none", Active, WEBRTCBIN, "bad_sdp"),
        ("aiortc", Active, AIORTC, "both"),
        ("pion", Active, ALL, "both"),
        ("pion-lite", Active, ALL, "both"),
        ("pion-passive", Passive, ALL, "both"),
    ];
    let mut house = both();
    for (client, setup, repairs, expected) in table {
        house.say(client, 'A', 0, "request", json!({"media": {"video": true, "audio": true}})).await;
        let offer = house.receive(client, "offer").await;
        let offered = Description::parse(offer["sdp"].as_str().unwrap()).unwrap();
        let text = wrote(&format!("{client}-answer"));
        let answer = Description::parse(&text).unwrap();
        for (line, own) in answer.lines.iter().zip(&offered.lines) {
            let Some(choice) = line.choice().filter(|_| !line.is_refused()) else { continue };
            let recorded = own.choice_of(choice.payload_type).map(|own| own.payload_type);
            assert_eq!(recorded, Some(choice.payload_type), "{client} answered another offer: record it again");
            assert_eq!(line.setup, Some(setup), "{client}");
            if line.kind == MediaKind::Video {
                assert_eq!(means(&choice), repairs, "{client}");
            }
        }
        house.say(client, 'A', 1, "answer", json!({"sdp": text})).await;
        if expected == "bad_sdp" {
            let error = house.error(client).await;
            assert_eq!(error["name"], expected, "{client}: {error}");
            assert!(error["message"].as_str().unwrap().contains("bundle-policy=max-bundle"), "{client}: {error}");
            continue;
        }
        house.say(client, 'A', 2, "ping", json!({"n": 7})).await;
        let mut refused = Vec::new();
        let mut answered = false;
        // The session reports refused media before or after it answers the ping.
        while !answered || refused.is_empty() && expected != "both" {
            let message = house.next(client).await;
            assert_ne!(message["type"], "error", "{client}: {message}");
            answered |= message["type"] == "pong";
            refused.extend(["video", "audio"].into_iter().filter(|kind| message[kind] == "refused"));
        }
        let refused: Vec<_> = refused.iter().map(|kind| format!("{kind} refused")).collect();
        assert_eq!(refused.first().map_or("both", |one| one), expected, "{client}");
        house.say(client, 'A', 3, "bye", json!({})).await;
        assert_eq!(house.receive(client, "bye").await["reason"], "bye", "{client}");
    }
}

#[tokio::test]
async fn a_webrtcbin_without_bundle_is_told_what_to_set() {
    let mut house = both();
    house.say("gst", 'A', 0, "offer", json!({"sdp": wrote("webrtcbin-none")})).await;
    let refusal = house.refused("gst", 400, "bad_sdp").await;
    assert!(refusal["message"].as_str().unwrap().contains("bundle-policy=max-bundle"), "{refusal}");
}
