//! What the viewer learns about its picture and sound.

use tracing::{info, warn};

use super::Session;
use crate::{
    feed::Health,
    level::Level,
    protocol::{Reply, SessionMedia},
};

/// Why this viewer gets no picture although others do.
fn too_high((needed, taken): (Level, Level)) -> String {
    format!("the picture is of H.264 level {needed}, and this viewer said that it takes up to {taken}")
}

impl Session<'_> {
    /// The level of the picture became too high for the viewer, or is no longer.
    pub(super) async fn tell_beyond(&mut self) {
        let who = self.viewer.from.who.clone();
        match *self.beyond.borrow_and_update() {
            Some(levels) => warn!("viewer {who}: {}; no picture is sent to it", too_high(levels)),
            None => info!("viewer {who}: the picture is sent again: this viewer accepts its level"),
        }
        self.send_media().await;
    }

    /// Sends the condition of picture and sound.
    pub(super) async fn send_media(&mut self) {
        let mut media = SessionMedia::new(self.health.now(), self.negotiation.refused());
        let route = self.route.clone();
        let (mut video_reason, audio_reason) = self.health.reasons();
        if let Some(levels) = *self.beyond.borrow() {
            (media.video, video_reason) = (Health::Stalled.into(), Some(too_high(levels)));
        }
        self.replies.send(Reply::Media { media, video_reason, audio_reason, route }).await;
    }
}
