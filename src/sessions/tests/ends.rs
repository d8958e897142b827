//! Sessions that end by a failure. The viewer gets the failure's name as an error, and then as the reason of `bye`.

use super::{live::Eyes, *};

impl House {
    async fn fails(&mut self, code: u16, name: &str) {
        let wait = timeout(Duration::from_secs(40), self.error("anna"));
        let error = wait.await.unwrap_or_else(|_| panic!("no {name}"));
        assert_eq!((&error["code"], &error["name"]), (&json!(code), &json!(name)), "{error}");
        assert_eq!(self.receive("anna", "bye").await["reason"], name);
        self.viewers(0).await;
    }
}

#[tokio::test]
async fn an_offer_that_nobody_answers() {
    let mut house = House::usual();
    house.say("anna", 'A', 0, "request", json!({"media": {"audio": true}})).await;
    let began = Mono::now();
    house.receive("anna", "offer").await;
    house.fails(408, "timeout").await;
    let after = Mono::now().since(began).as_secs_f64();
    assert!((14.5..17.0).contains(&after), "{after} s");
}

#[tokio::test]
async fn no_path_is_found() {
    let mut house = House::usual();
    let began = Mono::now();
    house.open("anna", 'A').await;
    house.fails(408, "ice_timeout").await;
    let after = Mono::now().since(began).as_secs_f64();
    assert!((14.5..17.0).contains(&after), "{after} s");
}

#[tokio::test]
async fn no_path_is_found_though_candidates_are_there() {
    let mut house = House::usual();
    house.open("anna", 'A').await;
    // A loopback port without a listener.
    let dead = json!([{"candidate": "candidate:1 1 udp 5 127.0.0.1 9 typ host", "mid": "0", "mline": 0}]);
    house.say("anna", 'A', 1, "candidates", json!({"ufrag": "abcd", "candidates": dead, "end": true})).await;
    house.fails(408, "ice_timeout").await;
}

#[tokio::test]
async fn the_handshake_is_with_somebody_else() {
    let mut house = House::usual();
    let mut eyes = Eyes::open().await;
    let offer = eyes.peer.offer(false).await.unwrap();
    let forged = offer.lines().map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(hash) => format!(
            "a=fingerprint:sha-256 {}",
            hash.replacen(&hash[..2], if hash.starts_with("00") { "01" } else { "00" }, 1)
        ),
        None => line.to_owned(),
    });
    let forged = forged.collect::<Vec<_>>().join("\r\n") + "\r\n";
    eyes.offer(&mut house, 'A', &forged).await;
    house.fails(488, "dtls_failed").await;
}

#[tokio::test]
async fn a_viewer_closes_without_a_word() {
    let mut house = House::usual();
    let mut eyes = Eyes::open().await;
    eyes.watch(&mut house, 'A').await;
    eyes.peer.close().await;
    house.fails(488, "consent_lost").await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_with_bye() {
    let lease = Duration::from_millis(300);
    let mut house = House::new(Limits { lease, ..Limits::default() }, AudioSource::Tone);
    house.open("anna", 'A').await;
    assert_eq!(house.receive("anna", "bye").await["reason"], "expired");
    house.viewers(0).await;
}

#[tokio::test]
async fn the_hard_limit_is_announced_and_then_kept() {
    let session = Duration::from_secs(3);
    let mut house = House::new(Limits { session, ..Limits::default() }, AudioSource::Tone);
    house.open("anna", 'A').await;
    house.say("anna", 'A', 1, "renew", json!({})).await;
    assert_eq!(house.receive("anna", "goaway").await["reason"], "expired");
    assert_eq!(house.receive("anna", "bye").await["reason"], "expired");
}
