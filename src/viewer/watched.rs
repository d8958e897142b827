//! How picture and sound are doing, as one session follows it.

use tokio::sync::watch;

use super::health_changed;
use crate::{feed::Health, protocol::MediaHealth};

/// How picture and sound are doing; `None` where there is none.
pub(super) struct Watched {
    pub(super) video: Option<watch::Receiver<Health>>,
    pub(super) audio: Option<watch::Receiver<Health>>,
}

impl Watched {
    pub(super) fn now(&mut self) -> MediaHealth {
        let of = |health: &mut Option<watch::Receiver<Health>>| {
            health.as_mut().map_or(Health::Absent, |health| *health.borrow_and_update())
        };
        MediaHealth { video: of(&mut self.video), audio: of(&mut self.audio) }
    }

    pub(super) async fn changed(&mut self) {
        tokio::select! {
            () = health_changed(&mut self.video) => {}
            () = health_changed(&mut self.audio) => {}
        }
    }
}
