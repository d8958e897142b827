//! Which TURN servers a connection asks, and which of them gave no relay. The reason is looked for once, and logged once.

use std::sync::{Arc, PoisonError};

use tracing::{info, warn};

use crate::{
    config::Id,
    protocol,
    viewer::peer::{
        factory::PeerFactory,
        relays::{MissingRelays, Relays},
    },
};

impl PeerFactory {
    /// All candidates are there: looks for the reason of each relay that is not among them, and says it once.
    pub(crate) fn log_missing_relays(self: &Arc<Self>, relays: &Relays) {
        let missing = relays.missing();
        {
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            if missed.servers == missing {
                return;
            }
            if missing.is_empty() {
                info!("relays: every TURN server gives one");
                *missed = MissingRelays::default();
                return;
            }
            missed.servers.clone_from(&missing);
        }
        let factory = Arc::clone(self);
        let some = missing.len() < relays.resolved.relays.len() + relays.resolved.missing.len();
        tokio::spawn(async move {
            let config = factory.config();
            let (findings, _) = factory.ice.examine(&config, |url| missing.contains(&url.to_string())).await;
            let told: Vec<_> = findings
                .iter()
                .map(|finding| match &finding.outcome {
                    Ok(_) => format!("no relay from {}: it gave none in time, and gives one now", finding.url),
                    Err(why) => format!("no relay from {}: {why}", finding.url),
                })
                .collect();
            let meanwhile = match (some, config.relay_only) {
                (true, _) => "the other relays are used",
                (false, true) => "nobody can watch (relay_only)",
                (false, false) => "only direct paths are tried",
            };
            warn!("{}; until then {meanwhile}", told.join("; "));
            factory.missed.lock().unwrap_or_else(PoisonError::into_inner).words = Some(told.join("; "));
        });
    }

    /// The STUN and TURN servers that this viewer is told to use.
    pub async fn servers_for(&self, viewer: &Id) -> Vec<protocol::IceServer> {
        self.ice.for_viewer(&self.config(), viewer.as_str()).await
    }

    /// Sees to it that servers are at hand before the first session asks for them. Never ends.
    pub async fn keep(&self) {
        self.ice.keep(&self.config()).await;
    }

    /// Why TURN servers give no relay, where that is so and known.
    pub fn without_relays(&self) -> Option<String> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).words().map(str::to_owned)
    }
}
