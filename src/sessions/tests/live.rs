//! A session with a real connection, over loopback.

use super::*;
use crate::viewer::peer::{Peer, PeerEvent};

/// Plays a viewer with a peer connection of its own: says what it gathers until it is told what it waits for.
async fn trickle(house: &House, session: char, seq: &mut u64, peer: &Peer, tell: &mut mpsc::Receiver<PeerEvent>) {
    let ufrag = peer.ufrag().await;
    let mut end = false;
    while !end {
        let mut candidates = Vec::new();
        match timeout(Duration::from_secs(10), tell.recv()).await.expect("the peer connection works").unwrap() {
            PeerEvent::Candidate(candidate) => candidates.push(candidate),
            PeerEvent::GatheringDone => end = true,
            _ => continue,
        }
        *seq += 1;
        let fields = json!({"ufrag": ufrag, "candidates": candidates, "end": end});
        house.say("anna", session, *seq, "candidates", fields).await;
    }
}

async fn event(tell: &mut mpsc::Receiver<PeerEvent>, wanted: fn(&PeerEvent) -> bool) {
    let wait = async { while !wanted(&tell.recv().await.unwrap()) {} };
    timeout(Duration::from_secs(10), wait).await.expect("the peer connection says it");
}

#[tokio::test]
async fn a_viewer_connects_restarts_ice_and_leaves() {
    let mut house = House::usual();
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let webrtc = Webrtc { addresses, loopback: true, ipv6: false, ..Webrtc::default() };
    let (events, mut tell) = mpsc::channel(64);
    let wanted = crate::protocol::Wanted { video: false, audio: true, talk: false };
    let peer = Box::pin(Peers::new(&webrtc, false).unwrap().open(wanted, events)).await.unwrap();

    let offer = peer.offer(false).await.unwrap();
    let mut seq = 0;
    house.say("anna", 'A', seq, "offer", json!({"sdp": offer})).await;
    let answer = house.hear("anna", "answer").await;
    peer.accept(answer["sdp"].as_str().unwrap()).await.unwrap();
    trickle(&house, 'A', &mut seq, &peer, &mut tell).await;
    event(&mut tell, |event| matches!(event, PeerEvent::Connected)).await;

    let before = peer.ufrag().await;
    let offer = peer.offer(true).await.unwrap();
    seq += 1;
    house.say("anna", 'A', seq, "offer", json!({"sdp": offer, "restart": true})).await;
    let answer = house.hear("anna", "answer").await;
    peer.accept(answer["sdp"].as_str().unwrap()).await.unwrap();
    assert_ne!(peer.ufrag().await, before, "another ICE generation");
    trickle(&house, 'A', &mut seq, &peer, &mut tell).await;
    event(&mut tell, |event| matches!(event, PeerEvent::IceConnected)).await;

    house.say("anna", 'A', seq + 1, "bye", json!({})).await;
    assert_eq!(house.hear("anna", "bye").await["reason"], "bye");
    house.viewers(0).await;
    peer.close().await;
}
