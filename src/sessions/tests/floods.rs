//! Many viewers that ask at once, and others that come meanwhile.

use super::*;

impl House {
    /// Offers until the answer comes, with the retry delay of each refusal. Returns the number of refusals.
    async fn insists(&mut self, viewer: &str, session: char) -> usize {
        let offer = json!({"v": 1, "type": "offer", "session": session.to_string().repeat(22), "seq": 0, "sdp": OFFER});
        let wait = async {
            let mut refused = 0;
            loop {
                self.send(viewer, offer.to_string()).await;
                // If there are too many refusals, some are not sent. Then the viewer asks again, as real ones do.
                let Ok(said) = timeout(Duration::from_secs(1), self.next(viewer)).await else { continue };
                match said["type"].as_str() {
                    Some("answer") => return refused,
                    _ => assert_eq!(said["name"], "busy", "{said}"),
                }
                refused += 1;
                sleep(Duration::from_millis(said["retry_after_ms"].as_u64().unwrap())).await;
            }
        };
        timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("{viewer} never gets in"))
    }

    /// Sends a message from each of `n` viewers, and returns the replies that came meanwhile.
    async fn crowd(&mut self, n: usize, message: impl Fn(usize) -> Value) -> Vec<Value> {
        let events = self.events.clone();
        let messages: Vec<_> = (0..n).map(|i| (format!("crowd-{i}"), message(i).to_string())).collect();
        let sending = tokio::spawn(async move {
            for (viewer, payload) in messages {
                let viewer = Id::new(&viewer).unwrap();
                events.send(LinkEvent::Message { viewer, payload: payload.into(), correlation: None }).await.unwrap();
            }
        });
        let mut heard = Vec::new();
        while !sending.is_finished() || heard.len() < 50 && heard.len() < n {
            heard.extend(timeout(Duration::from_millis(100), self.next_of_all()).await.map(|(_, message)| message));
        }
        heard
    }
}

fn offer(n: usize) -> Value {
    json!({"v": 1, "type": "offer", "session": format!("{n:022}"), "seq": 0, "sdp": OFFER})
}

#[tokio::test]
async fn fifty_offers_at_once_where_four_have_room() {
    let mut house = House::new(Limits { viewers: 4, ..Limits::default() }, AudioSource::Tone);
    let mut heard = house.crowd(50, offer).await;
    let count = |heard: &[Value], key: &str, value: &str| heard.iter().filter(|m| m[key] == value).count();
    let rest = async {
        while count(&heard, "type", "answer") + count(&heard, "name", "busy") < 50 {
            heard.push(house.next_of_all().await.1);
        }
    };
    timeout(Duration::from_secs(20), rest).await.expect("each request gets a reply");
    assert_eq!((count(&heard, "type", "answer"), count(&heard, "name", "busy")), (4, 46));
    assert!(heard.iter().filter(|m| m["name"] == "busy").all(|m| m["retry_after_ms"].is_u64()));
    house.viewers(4).await;
}

/// All of them keep the limits. They take every place, never answer, and come again under other names.
#[tokio::test]
async fn ten_thousand_who_never_answer_keep_nobody_out() {
    let mut house = House::usual();
    house.crowd(10_000, offer).await;
    house.viewers(8).await;
    let refused = house.insists("anna", 'A').await;
    assert!(refused <= 8, "refused {refused} times");
    assert!(house.presence.borrow().viewers <= 8);
}

/// Somebody recorded a whole exchange and sends it again.
#[tokio::test]
async fn a_recorded_exchange_opens_nothing() {
    let mut house = House::usual();
    let exchange: Vec<(u64, &str, Value)> = vec![
        (0, "offer", json!({"sdp": OFFER})),
        (1, "candidates", json!({"candidates": [], "end": true})),
        (2, "renew", json!({})),
    ];
    let answer = house.open("anna", 'A').await;
    // While the session runs, the same replies are sent again, and no second session begins.
    for (seq, kind, fields) in exchange.clone() {
        house.say("anna", 'A', seq, kind, fields).await;
    }
    assert_eq!(house.receive("anna", "answer").await, answer);
    house.receive("anna", "renewed").await;
    house.viewers(1).await;
    house.say("anna", 'A', 3, "bye", json!({})).await;
    house.receive("anna", "bye").await;
    house.viewers(0).await;
    // After its end, the id of a session cannot be used again.
    for (seq, kind, fields) in exchange {
        house.say("anna", 'A', seq, kind, fields).await;
        if kind != "candidates" {
            house.refused("anna", 410, "gone").await;
        }
    }
    house.viewers(0).await;
}

/// One viewer sends 1000 messages a second. The others get their answers.
#[tokio::test]
async fn who_floods_is_told_and_the_others_are_heard() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    for seq in 1..=20 {
        for n in 0..50 {
            house.say("mallory", 'M', n, "renew", json!({})).await;
            while house.said.len() > 32 {
                house.next_of_all().await;
            }
        }
        house.say("anna", 'A', seq, "ping", json!({"n": seq})).await;
        assert_eq!(house.receive("anna", "pong").await["n"], seq);
    }
}

#[tokio::test]
async fn a_flood_of_one_costs_the_others_nothing() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    for seq in 0..500 {
        house.say("mallory", 'M', seq, "ping", json!({"n": 0})).await;
    }
    house.say("anna", 'A', 1, "ping", json!({"n": 1})).await;
    house.receive("anna", "pong").await;
    assert_eq!(house.presence.borrow().viewers, 1);
}

#[tokio::test]
async fn who_says_too_much_is_told_so() {
    let mut house = House::usual();
    for seq in 0..100 {
        house.say("mallory", 'M', seq, "bye", json!({})).await;
    }
    house.refused("mallory", 429, "rate_limited").await;
}
