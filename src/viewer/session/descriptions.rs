//! Offers and answers of a running session, in both directions. What was understood of the viewer's goes to the stack,
//! and what the stack makes goes to the viewer.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;
use tracing::{debug, info};

use super::{GATHERING, Session};
use crate::{
    clock::Mono,
    protocol::{ErrorName, Refusal, Reply, Wanted, candidate::CandidateBudget, sdp::Description},
    viewer::session::{lifecycle::LifecycleEvent, negotiation::RemoteDescription, step::step},
};

/// The most ICE restarts by the device in a minute. A board whose addresses come and go must not interrupt a viewer all
/// the time.
const OWN_RESTARTS: u32 = 60;

fn hash(sdp: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, sdp.as_bytes()))
}

/// Counts an ICE restart. An error above `most` a minute.
fn count_restart(restarts: &mut VecDeque<Mono>, most: u32, now: Mono) -> Result<(), Refusal> {
    const MINUTE: Duration = Duration::from_secs(60);
    while restarts.front().is_some_and(|at| now.since(*at) >= MINUTE) {
        restarts.pop_front();
    }
    if restarts.len() < usize::try_from(most).unwrap_or(usize::MAX) {
        restarts.push_back(now);
        return Ok(());
    }
    let pause = restarts.front().map_or(MINUTE, |at| (*at + MINUTE).since(now));
    let message = format!("more than {most} ICE restarts a minute");
    Err(Refusal::new(ErrorName::RateLimited, message).retry_after(pause))
}

impl Session<'_> {
    /// Handles a further offer of the viewer: an ICE restart, or glare, in which the device gives way (RFC 3264 section
    /// 4).
    pub(crate) async fn take_offer(&mut self, sdp: &str, restart: bool) -> Result<(), Refusal> {
        if !restart && self.offered.is_none() {
            let message = "the session is open already: a further offer must say restart";
            return Err(Refusal::new(ErrorName::Conflict, message));
        }
        let most = self.viewer.terms.limits.restarts_per_minute;
        count_restart(&mut self.restarts, most, Mono::now())?;
        let mut budget = self.budget();
        let incoming = self.negotiation.take_offer(&Description::parse(sdp)?, &mut budget)?;
        self.answer(sdp, incoming, budget).await?;
        self.life.handle(LifecycleEvent::ViewerRestarts, Mono::now());
        Ok(())
    }

    fn budget(&self) -> CandidateBudget {
        CandidateBudget::new(self.viewer.terms.limits.candidates, self.viewer.terms.loopback)
    }

    /// Answers an offer: the first one or a later one.
    pub(crate) async fn answer(
        &mut self,
        offer: &str,
        incoming: RemoteDescription,
        budget: CandidateBudget,
    ) -> Result<(), Refusal> {
        let generation = self.heard(&incoming);
        let stack = step(self.peer.answer(&incoming.stack)).await?;
        let sdp = self.negotiation.own_answer(&stack, incoming, |line| self.peer.shown(line))?;
        self.offered = None;
        self.local.take();
        self.gathering = Some(Mono::now() + GATHERING);
        let lease_s = self.life.left(Mono::now()).as_secs();
        let ice = self.viewer.peers.servers_for(&mut self.logins).await;
        self.replies.send(Reply::Answer { sdp, offer_hash: hash(offer), lease_s, ice }).await;
        self.described(generation, budget).await;
        Ok(())
    }

    /// The ICE generation of the viewer's description, and its m-lines that have another transport.
    fn heard(&self, incoming: &RemoteDescription) -> (String, Vec<String>) {
        if incoming.dropped > 0 {
            debug!("viewer {}: {} candidates of its description are not used", self.viewer.from.who, incoming.dropped);
        }
        if incoming.has_channel() {
            self.peer.allow_channel();
        }
        (incoming.ufrag.clone(), incoming.elsewhere.clone())
    }

    /// Restarts ICE by an offer of the device, unless there were too many. A restart that is not sent counts as one:
    /// the deadline for all of them decides.
    pub(super) async fn restart_ice(&mut self) {
        let sent = match count_restart(&mut self.own_restarts, OWN_RESTARTS, Mono::now()) {
            Ok(()) => self.offer(true).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = sent {
            debug!("viewer {}: ICE restart: {}", self.viewer.from.who, refusal.message);
        }
    }

    /// Sends an offer of the device: the first one, or one that restarts ICE.
    pub(crate) async fn offer(&mut self, restart: bool) -> Result<(), Refusal> {
        if !restart && self.negotiation.wants_channel() {
            step(self.peer.offer_channels()).await?;
        }
        let stack = step(self.peer.offer(restart)).await?;
        let sdp = self.negotiation.own_offer(&stack, |line| self.peer.shown(line))?;
        self.offered = Some(hash(&sdp));
        self.local.take();
        self.gathering = Some(Mono::now() + GATHERING);
        let lease_s = (!restart).then(|| self.life.left(Mono::now()).as_secs());
        let ice = self.viewer.peers.servers_for(&mut self.logins).await;
        let ice = if restart { ice.that_end() } else { Some(ice) };
        self.replies.send(Reply::Offer { sdp, restart, lease_s, ice }).await;
        self.life.handle(LifecycleEvent::Offered, Mono::now());
        Ok(())
    }

    pub(crate) async fn take_answer(&mut self, sdp: &str, offer_hash: Option<String>) -> Result<(), Refusal> {
        let conflict = |message| Err(Refusal::new(ErrorName::Conflict, message));
        match (&self.offered, offer_hash) {
            (None, _) => return conflict("no offer of this device waits for an answer"),
            (Some(own), Some(said)) if *own != said => return conflict("the answer is to another offer"),
            (Some(_), None) if self.viewer.from.is_sealed() => {
                return conflict("the answer has no offer_hash, which tells to which offer it is");
            }
            (Some(_), _) => {}
        }
        let mut budget = self.budget();
        let incoming = self.negotiation.take_answer(&Description::parse(sdp)?, &mut budget)?;
        let generation = self.heard(&incoming);
        step(self.peer.accept(&incoming.stack)).await?;
        self.offered = None;
        self.negotiation.accept(incoming);
        self.described(generation, budget).await;
        let Wanted { video, audio, .. } = self.negotiation.refused();
        if video || audio {
            let what = if video { "picture" } else { "sound" };
            info!("viewer {}: its answer takes no {what}", self.viewer.from.who);
            self.send_media().await;
        }
        Ok(())
    }

    /// Both descriptions are known: starts the media, and handles the candidates that waited for them.
    async fn described(&mut self, (ufrag, elsewhere): (String, Vec<String>), budget: CandidateBudget) {
        self.life.handle(LifecycleEvent::Answered, Mono::now());
        let (video, audio) = std::mem::take(&mut self.leases);
        if video.is_some() || audio.is_some() {
            self.peer.play(video, audio, self.negotiation.level()).await;
        }
        if let (Some(line), Some(speaker)) = (self.negotiation.talk(), self.viewer.sources.speaker()) {
            let name = self.viewer.name.as_deref().unwrap_or(self.viewer.from.who.as_str());
            self.peer.receive_talk(line, || speaker.turns.join(name));
        }
        for message in self.remote.describe(Some(ufrag), elsewhere, budget) {
            if let Err(refusal) = self.take_candidates(message).await {
                self.replies.refuse(refusal).await;
            }
        }
    }
}
