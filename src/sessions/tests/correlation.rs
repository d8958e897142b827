//! Correlation Data: each reply has that of its request (`docs/reference/protocol.md`, section 2).

use super::*;

impl House {
    /// The next message of this type to `anna`, and its Correlation Data.
    async fn correlated(&mut self, kind: &str) -> Option<String> {
        let wait = async {
            loop {
                let said = self.said.recv().await.expect("the sessions run");
                let message: Value = serde_json::from_slice(&said.payload).unwrap();
                if message["type"] == kind {
                    return said.correlation.map(|data| String::from_utf8(data.bytes().into()).unwrap());
                }
            }
        };
        timeout(Duration::from_secs(40), wait).await.unwrap_or_else(|_| panic!("no {kind} comes"))
    }
}

#[tokio::test]
async fn what_is_said_because_of_a_request_has_its_correlation_data() {
    let mut house = House::usual();
    let ask = async |house: &House, seq: u64, kind: &str, fields: Value, data: Option<&str>| {
        house.send_with("anna", message('A', seq, kind, fields), data).await;
    };
    house.send_with("anna", "not JSON", Some("one")).await;
    assert_eq!(house.correlated("error").await.as_deref(), Some("one"));
    let viewer = Id::new("anna").unwrap();
    let correlation = Correlation::new(b"two");
    house.events.send(LinkEvent::Oversize { viewer, len: 70_000, correlation }).await.unwrap();
    assert_eq!(house.correlated("error").await.as_deref(), Some("two"));
    ask(&house, 0, "hello", json!({}), Some("three")).await;
    assert_eq!(house.correlated("welcome").await.as_deref(), Some("three"));
    ask(&house, 0, "hello", json!({}), None).await;
    assert_eq!(house.correlated("welcome").await, None, "the correlation data of the request before is not used");

    ask(&house, 0, "offer", json!({"sdp": OFFER}), Some("four")).await;
    assert_eq!(house.correlated("answer").await.as_deref(), Some("four"));
    assert_eq!(house.correlated("media").await.as_deref(), Some("four"));
    // This is no reply: the device sends it by itself.
    assert_eq!(house.correlated("candidates").await, None);
    // The third request comes before the second. Each reply has its own data.
    ask(&house, 2, "ping", json!({"n": 2}), Some("six")).await;
    ask(&house, 1, "ping", json!({"n": 1}), Some("five")).await;
    assert_eq!(house.correlated("pong").await.as_deref(), Some("five"));
    assert_eq!(house.correlated("pong").await.as_deref(), Some("six"));
    // A repeated request gets the same reply, with its own data.
    ask(&house, 2, "ping", json!({"n": 2}), Some("seven")).await;
    assert_eq!(house.correlated("pong").await.as_deref(), Some("seven"));
    ask(&house, 3, "bye", json!({}), Some("eight")).await;
    assert_eq!(house.correlated("bye").await.as_deref(), Some("eight"));
}

#[tokio::test]
async fn a_refusal_that_comes_later_has_the_correlation_data_of_its_request() {
    let mut house = House::usual();
    let candidates = json!({"ufrag": "abcd", "candidates": [], "end": true});
    house.send_with("anna", message('A', 1, "candidates", candidates), Some("early")).await;
    assert_eq!(house.correlated("error").await.as_deref(), Some("early"), "candidates without an offer are refused");
}
