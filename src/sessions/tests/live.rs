//! A session with a real connection, over loopback.

use super::*;
use crate::{
    protocol::{Wanted, sdp},
    viewer::peer::{Peer, PeerEvent},
};

/// A viewer with a peer connection of its own.
pub(super) struct Eyes {
    pub(super) peer: Peer,
    tell: mpsc::Receiver<PeerEvent>,
    pub(super) seq: u64,
    ufrag: Option<String>,
}

impl Eyes {
    pub(super) async fn open() -> Self {
        let addresses = vec!["127.0.0.1".parse().unwrap()];
        let webrtc = Webrtc { addresses, loopback: true, ipv6: false, ..Webrtc::default() };
        let (events, tell) = mpsc::channel(64);
        let wanted = Wanted { video: false, audio: true, talk: false, commands: false };
        let peer = Box::pin(PeerFactory::new(&webrtc, false).unwrap().open("anna", wanted, events)).await.unwrap();
        Self { peer, tell, seq: 0, ufrag: None }
    }

    /// Offers, accepts the answer, and sends its candidates.
    pub(super) async fn offer(&mut self, house: &mut House, session: char, sdp: &str) {
        let restart = self.seq > 0;
        self.ufrag = sdp::ufrag(sdp);
        house.say("anna", session, self.seq, "offer", json!({"sdp": sdp, "restart": restart})).await;
        let answer = house.receive("anna", "answer").await;
        self.peer.accept(answer["sdp"].as_str().unwrap()).await.unwrap();
        self.trickle(house, session).await;
    }

    pub(super) async fn watch(&mut self, house: &mut House, session: char) {
        let offer = self.peer.offer(false).await.unwrap();
        self.offer(house, session, &offer).await;
        self.event(|event| matches!(event, PeerEvent::Connected)).await;
    }

    /// Sends its candidates as they are gathered, until there are no more.
    async fn trickle(&mut self, house: &House, session: char) {
        let ufrag = self.ufrag.clone();
        let mut end = false;
        while !end {
            let mut candidates = Vec::new();
            match timeout(Duration::from_secs(10), self.tell.recv()).await.expect("the peer connection works").unwrap()
            {
                PeerEvent::Candidate(candidate) => candidates.push(candidate),
                PeerEvent::GatheringDone => end = true,
                _ => continue,
            }
            self.seq += 1;
            let fields = json!({"ufrag": ufrag, "candidates": candidates, "end": end});
            house.say("anna", session, self.seq, "candidates", fields).await;
        }
    }

    async fn event(&mut self, wanted: fn(&PeerEvent) -> bool) {
        let wait = async { while !wanted(&self.tell.recv().await.unwrap()) {} };
        timeout(Duration::from_secs(10), wait).await.expect("the event of the peer connection");
    }

    /// Sends `bye`, and waits for the device's.
    async fn leave(self, house: &mut House, session: char) {
        house.say("anna", session, self.seq + 1, "bye", json!({})).await;
        assert_eq!(house.receive("anna", "bye").await["reason"], "bye");
        house.viewers(0).await;
        self.peer.close().await;
    }
}

#[tokio::test]
async fn a_viewer_connects_restarts_ice_and_leaves() {
    let mut house = House::usual();
    let mut eyes = Eyes::open().await;
    eyes.watch(&mut house, 'A').await;

    let before = eyes.ufrag.clone();
    let offer = eyes.peer.offer(true).await.unwrap();
    eyes.seq += 1;
    eyes.offer(&mut house, 'A', &offer).await;
    assert_ne!(eyes.ufrag, before, "another ICE generation");
    eyes.event(|event| matches!(event, PeerEvent::IceConnected)).await;
    eyes.leave(&mut house, 'A').await;
}

/// Sixty viewers, one after the other. No task is left of them.
#[tokio::test]
async fn many_sessions_leave_no_task_behind() {
    let limits = Limits { starts_per_minute: 6000, messages_per_second: 1000, ..Limits::default() };
    let mut house = House::new(limits, AudioSource::Tone);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for session in ('A'..='Z').chain('a'..='z').chain('0'..='7') {
        let mut eyes = Eyes::open().await;
        eyes.watch(&mut house, session).await;
        eyes.leave(&mut house, session).await;
    }
    let gone = async {
        while tasks() > before {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap_or_else(|_| panic!("{before} tasks became {}", tasks()));
}
