//! Pictures of a higher level of H.264 than a viewer takes.

use super::*;

/// An offer of one video m-line, with these format parameters.
fn offer(parameters: &str) -> String {
    let sdp = OFFER.replace("m=audio", "m=video").replace("opus/48000/2", "H264/90000");
    sdp.replace("minptime=10;useinbandfec=1", &format!("packetization-mode=1;{parameters}"))
}

#[tokio::test]
async fn a_picture_beyond_the_level_that_a_viewer_takes_is_not_sent_to_it() {
    let mut house = House::with(sessions_with(Limits::default(), AudioSource::Off, VideoSource::Test));
    // Level 1.1 has room for 352x288; the test picture is larger.
    house.say("anna", 'A', 0, "offer", json!({"sdp": offer("profile-level-id=42e00b")})).await;
    house.receive("anna", "answer").await;
    let media = loop {
        let media = house.receive("anna", "media").await;
        if media["video"] == "stalled" {
            break media;
        }
    };
    let why = media["video_reason"].as_str().unwrap();
    assert!(why.contains("of H.264 level 3.1, and this viewer said that it takes up to 1.1"), "{why}");
    // The level that browsers write is no limit, and other viewers are not affected.
    house.say("bert", 'B', 0, "offer", json!({"sdp": offer("profile-level-id=42e01f")})).await;
    let media = house.receive("bert", "media").await;
    assert_ne!(media["video"], "stalled", "{media}");
    house.say("bert", 'B', 1, "bye", json!({})).await;
    house.receive("bert", "bye").await;
}
