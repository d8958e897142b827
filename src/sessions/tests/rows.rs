//! The contract row by row: the reply to each kind of message that does not fit.

use super::*;

/// Every type that has a session, with the fields that it needs.
fn types() -> [(&'static str, Value); 9] {
    [
        ("offer", json!({"sdp": OFFER})),
        ("offer", json!({"sdp": OFFER, "restart": true})),
        ("request", json!({"media": {"audio": true}})),
        ("answer", json!({"sdp": OFFER})),
        ("renew", json!({})),
        ("ping", json!({"n": 1})),
        ("candidates", json!({"candidates": [candidate("192.0.2.1", 9)]})),
        ("bye", json!({})),
        ("pong", json!({"n": 1})),
    ]
}

fn candidate(address: &str, port: u16) -> Value {
    json!({"candidate": format!("candidate:1 1 udp 5 {address} {port} typ host"), "mid": "0", "mline": 0})
}

impl House {
    /// Checks that no further message to `viewer` waits: the next one answers a `hello`. The state of the microphone
    /// may come at any time.
    async fn is_quiet_to(&mut self, viewer: &str) {
        self.say(viewer, 'z', 0, "hello", json!({})).await;
        let mut next = self.next(viewer).await;
        while next["type"] == "media" {
            next = self.next(viewer).await;
        }
        assert_eq!(next["type"], "welcome", "{next}");
    }

    async fn candidates(&self, seq: u64, ufrag: &str, candidates: &[Value]) {
        self.say("anna", 'A', seq, "candidates", json!({"ufrag": ufrag, "candidates": candidates})).await;
    }

    /// Waits for the end of the device's candidates. Afterwards it sends nothing by itself.
    async fn settled(&mut self, viewer: &str) {
        while self.receive(viewer, "candidates").await["end"] != true {}
    }
}

#[tokio::test]
async fn of_a_session_that_never_was() {
    let mut house = House::usual();
    for (kind, fields) in types().into_iter().skip(1).filter(|(kind, _)| *kind != "request") {
        house.say("anna", 'A', 3, kind, fields).await;
        match kind {
            "candidates" | "bye" | "pong" => house.is_quiet_to("anna").await,
            _ => drop(house.refused("anna", 404, "no_session").await),
        }
    }
    let late = house.refused("anna", 404, "no_session").await;
    assert_eq!(late["session"], "A".repeat(22), "the candidates waited 5 s for their offer");
    house.open("anna", 'A').await;
}

#[tokio::test]
async fn of_a_session_that_is_over() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.settled("anna").await;
    house.say("anna", 'A', 1, "bye", json!({})).await;
    house.receive("anna", "bye").await;
    house.viewers(0).await;
    for (seq, (kind, fields)) in types().into_iter().enumerate() {
        house.say("anna", 'A', seq as u64 + 2, kind, fields).await;
        match kind {
            "candidates" | "bye" | "pong" => house.is_quiet_to("anna").await,
            _ => drop(house.refused("anna", 410, "gone").await),
        }
    }
}

#[tokio::test]
async fn of_somebody_elses_session() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    for (kind, fields) in types().into_iter().skip(3) {
        house.say("mallory", 'A', 1, kind, fields).await;
        match kind {
            "candidates" | "bye" | "pong" => house.is_quiet_to("mallory").await,
            _ => drop(house.refused("mallory", 404, "no_session").await),
        }
    }
    house.open("mallory", 'A').await;
    house.viewers(2).await;
    house.say("anna", 'A', 1, "ping", json!({"n": 1})).await;
    house.receive("anna", "pong").await;
}

#[tokio::test]
async fn the_order_begins_with_the_opening() {
    let mut house = House::usual();
    house.say("anna", 'A', 7, "offer", json!({"sdp": OFFER})).await;
    house.receive("anna", "answer").await;
    house.say("anna", 'A', 8, "ping", json!({"n": 8})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 8);
    house.say("anna", 'A', 3, "renew", json!({})).await;
    house.say("anna", 'A', 9, "ping", json!({"n": 9})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 9, "what is older than the opening is ignored");
}

#[tokio::test]
async fn a_ninth_message_behind_a_gap_is_a_conflict_at_once() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.settled("anna").await;
    for seq in 2..=9 {
        house.say("anna", 'A', seq, "ping", json!({"n": seq})).await;
    }
    house.say("anna", 'A', 10, "renew", json!({})).await;
    let conflict = house.refused("anna", 409, "conflict").await;
    let sentence = conflict["message"].as_str().unwrap();
    assert!(sentence.contains("message 1 ") && sentence.contains("continue with 11"), "{sentence}");
    house.is_quiet_to("anna").await;
    house.say("anna", 'A', 11, "ping", json!({"n": 11})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 11);
}

#[tokio::test]
async fn what_is_out_of_order_for_less_than_a_second_is_taken_in_its_turn() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    for seq in [3, 2, 1] {
        house.say("anna", 'A', seq, "ping", json!({"n": seq})).await;
    }
    for n in 1..=3 {
        assert_eq!(house.receive("anna", "pong").await["n"], n);
    }
    house.say("anna", 'A', 2, "ping", json!({"n": 2})).await;
    assert_eq!(house.receive("anna", "pong").await["n"], 2, "and a replay is only answered again");
}

#[tokio::test]
async fn only_what_belongs_to_a_running_session_has_a_number() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "hello", json!({})).await;
    assert!(house.receive("anna", "welcome").await["seq"].is_null());
    house.say("anna", 'A', 0, "renew", json!({})).await;
    assert!(house.refused("anna", 404, "no_session").await["seq"].is_null());
    assert_eq!(house.open("anna", 'A').await["seq"], 0);
    house.settled("anna").await;
    house.say("anna", 'A', 1, "answer", json!({"sdp": OFFER})).await;
    assert!(house.refused("anna", 409, "conflict").await["seq"].is_u64());
}

#[tokio::test]
async fn an_id_is_used_up_by_a_refused_opening_unless_there_was_no_place() {
    let mut house = House::new(Limits { viewers: 1, ..Limits::default() }, AudioSource::Tone);
    house.say("anna", 'A', 0, "offer", json!({"sdp": "hello"})).await;
    house.refused("anna", 400, "bad_sdp").await;
    house.viewers(0).await;
    house.say("anna", 'A', 0, "offer", json!({"sdp": OFFER})).await;
    house.refused("anna", 410, "gone").await;
    house.open("bert", 'B').await;
    house.say("anna", 'C', 0, "offer", json!({"sdp": OFFER})).await;
    house.refused("anna", 503, "busy").await;
    house.say("bert", 'B', 1, "bye", json!({})).await;
    house.viewers(0).await;
    house.open("anna", 'C').await;
}

#[tokio::test]
async fn talk_is_asked_for_in_vain_and_harms_nothing() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "request", json!({"media": {"audio": true, "talk": true}})).await;
    let offer = house.receive("anna", "offer").await;
    let sdp = offer["sdp"].as_str().unwrap();
    assert!(sdp.contains("a=sendonly") && !sdp.contains("a=sendrecv"), "{sdp}");
}

#[tokio::test]
async fn candidates_nobody_should_be_sent_to() {
    let mut house = House::usual();
    let terms = SessionTerms { limits: Limits::default(), loopback: false };
    house.terms.send_replace(Arc::new(terms));
    house.open("anna", 'A').await;
    house.settled("anna").await;
    let table = [
        ("192.0.2.1", 0, "the port"),
        ("0.0.0.0", 9, "unspecified"),
        ("::", 9, "unspecified"),
        ("127.0.0.1", 9, "loopback"),
        ("::1", 9, "loopback"),
        ("::ffff:127.0.0.1", 9, "loopback"),
        ("224.0.0.251", 9, "multicast"),
        ("ff02::fb", 9, "multicast"),
        ("255.255.255.255", 9, "broadcast"),
        ("camera.example.org", 9, "neither an IP address nor"),
        ("a.b.local", 9, "neither an IP address nor"),
    ];
    for (seq, (address, port, why)) in table.into_iter().enumerate() {
        house.candidates(seq as u64 + 1, "abcd", &[candidate(address, port), candidate("192.0.2.7", 9)]).await;
        let refusal = house.refused("anna", 400, "bad_request").await;
        assert!(refusal["message"].as_str().unwrap().contains(why), "{address}: {refusal}");
    }
    house.candidates(12, "abcd", &[candidate("0e1c7fbd-7f4d-4ea0-a2d5-4a4f6a5d4a52.local", 9)]).await;
    house.is_quiet_to("anna").await;
}

#[tokio::test]
async fn candidates_beyond_the_end_and_of_another_generation_are_ignored_without_a_word() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.settled("anna").await;
    let bad = candidate("224.0.0.1", 9);
    house.candidates(1, "older", std::slice::from_ref(&bad)).await;
    house.is_quiet_to("anna").await;
    house.say("anna", 'A', 2, "candidates", json!({"end": true})).await;
    house.candidates(3, "abcd", &[bad]).await;
    house.is_quiet_to("anna").await;
}

#[tokio::test]
async fn no_more_candidates_than_the_limit() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    house.settled("anna").await;
    let good = candidate("192.0.2.1", 9);
    house.candidates(1, "abcd", &vec![good.clone(); 24]).await;
    house.is_quiet_to("anna").await;
    house.candidates(2, "abcd", std::slice::from_ref(&good)).await;
    let refusal = house.refused("anna", 400, "bad_request").await;
    assert!(refusal["message"].as_str().unwrap().contains("the 24 of a session"), "{refusal}");
    house.candidates(3, "abcd", &vec![good; 25]).await;
    let refusal = house.refused("anna", 400, "bad_request").await;
    assert!(refusal["message"].as_str().unwrap().contains("25 candidates in one message"), "{refusal}");
}

#[tokio::test]
async fn no_more_ice_restarts_than_six_a_minute() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    for seq in 1..=6 {
        let sdp = OFFER.replace("abcd", &format!("gen{seq}"));
        house.say("anna", 'A', seq, "offer", json!({"sdp": sdp, "restart": true})).await;
        house.receive("anna", "answer").await;
    }
    house.say("anna", 'A', 7, "offer", json!({"sdp": OFFER, "restart": true})).await;
    let refusal = house.refused("anna", 429, "rate_limited").await;
    assert!((50_000..=60_000).contains(&refusal["retry_after_ms"].as_u64().unwrap()), "{refusal}");
}

#[tokio::test]
async fn who_stands_in_the_door_keeps_others_out_shortly() {
    let mut house = House::new(Limits { setups: 1, ..Limits::default() }, AudioSource::Tone);
    house.open("anna", 'A').await;
    house.say("bert", 'B', 0, "request", json!({"media": {"audio": true}})).await;
    assert_eq!(house.refused("bert", 503, "busy").await["retry_after_ms"], 1000);
}

#[tokio::test]
async fn more_than_a_session_can_read_ends_it() {
    let mut house = House::new(Limits { messages_per_second: 1000, ..Limits::default() }, AudioSource::Tone);
    house.say("anna", 'A', 0, "offer", json!({"sdp": OFFER})).await;
    // The runtime has one thread, so nothing is read in between.
    for seq in 1..=u64::try_from(INBOX).unwrap() * 4 {
        house.say("anna", 'A', seq, "renew", json!({})).await;
    }
    let error = timeout(Duration::from_secs(10), house.error("anna")).await.unwrap();
    assert_eq!((&error["code"], &error["name"]), (&json!(429), &json!("rate_limited")));
    assert_eq!(house.receive("anna", "bye").await["reason"], "flood");
}

#[tokio::test]
async fn unauthorised_is_said_once_a_second() {
    let mut house = House::usual();
    for _ in 0..8 {
        house.send("anna", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln").await;
    }
    house.refused("anna", 401, "unauthorized").await;
    house.is_quiet_to("anna").await;
}

#[tokio::test]
async fn a_flood_is_told_so_even_when_it_has_used_up_all_refusals() {
    let mut house = House::usual();
    for payload in [Bytes::from_static(b"{}"), Bytes::from(vec![b' '; envelope::MESSAGE_MAX + 1])] {
        let viewer = if payload.len() == 2 { "anna" } else { "bert" };
        for _ in 0..200 {
            house.send(viewer, payload.clone()).await;
            // The link takes the replies.
            while house.said.len() > 32 {
                house.next_of_all().await;
            }
        }
        let wait = async { while house.next(viewer).await["name"] != "rate_limited" {} };
        timeout(Duration::from_secs(10), wait).await.expect("a reply rate_limited");
    }
}
