//! Finds and logs which TURN servers gave a connection no relay. The reason is looked for and logged once.

use std::sync::{Arc, PoisonError};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    ice::{IceUrl, ViewerLogins},
    protocol::IceServers,
    viewer::peer::{
        factory::PeerFactory,
        relays::{MissingRelays, Relays},
    },
};

impl PeerFactory {
    /// Runs when gathering is complete. For each TURN server that gave no relay, it finds the reason and logs it once.
    /// A bad answer was logged when it arrived. A server that did not answer is asked again; if it fails again, new
    /// sessions leave it out for 60 s.
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
            let marks = &factory.ice.marks;
            let known = |url: &IceUrl| Some(format!("no relay from {url}: {}", marks.why(url, Mono::now())?));
            let known: Vec<_> = missing.iter().filter_map(known).collect();
            let is_asked = |url: &IceUrl| missing.contains(url) && marks.why(url, Mono::now()).is_none();
            let (findings, _) = factory.ice.examine(&config, is_asked).await;
            let asked = findings.iter().map(|finding| match &finding.outcome {
                Ok(_) => format!("no relay from {}: it gave none in time, but gives one now", finding.url),
                Err(why) => {
                    marks.bad(&finding.url, why, Mono::now());
                    format!("no relay from {}: {why}", finding.url)
                }
            });
            let asked: Vec<_> = asked.collect();
            let meanwhile = match (some, config.relay_only) {
                (true, _) => "the other relays are used",
                (false, true) => "nobody can watch (relay_only)",
                (false, false) => "only direct paths are tried",
            };
            if !asked.is_empty() {
                warn!("{}; until then {meanwhile}", asked.join("; "));
            }
            let reasons = [known, asked].concat().join("; ");
            factory.missed.lock().unwrap_or_else(PoisonError::into_inner).reasons = Some(reasons);
        });
    }

    /// The STUN and TURN servers that a viewer shall use, for the protocol's `ice_servers`.
    pub async fn servers_for(&self, logins: &mut ViewerLogins) -> IceServers {
        self.ice.for_viewer(&self.config(), logins).await
    }

    /// Resolves the servers' names ahead, so that the first session does not wait. Never ends.
    pub async fn keep(&self) {
        self.ice.keep(&self.config()).await;
    }

    /// Why TURN servers gave no relay; `None` if all gave one, or if the reason is not known yet.
    pub fn without_relays(&self) -> Option<String> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).reasons().map(str::to_owned)
    }
}
