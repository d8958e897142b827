//! Which TURN servers a connection asks, and which of them gave no relay. The reason is looked for once, and logged once.

use std::sync::{Arc, PoisonError};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    config::Id,
    ice::Url,
    protocol,
    viewer::peer::{
        factory::PeerFactory,
        relays::{MissingRelays, Relays},
    },
};

impl PeerFactory {
    /// All candidates are there: looks for the reason of each relay that is not among them, and logs it once. A bad answer
    /// was logged when it came. A server that was silent is asked again, and new sessions do without it for 60 s.
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
            let known = |url: &Url| Some(format!("no relay from {url}: {}", marks.why(url, Mono::now())?));
            let known: Vec<_> = missing.iter().filter_map(known).collect();
            let is_asked = |url: &Url| missing.contains(url) && marks.why(url, Mono::now()).is_none();
            let (findings, _) = factory.ice.examine(&config, is_asked).await;
            let asked = findings.iter().map(|finding| match &finding.outcome {
                Ok(_) => format!("no relay from {}: it gave none in time, and gives one now", finding.url),
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
            let words = [known, asked].concat().join("; ");
            factory.missed.lock().unwrap_or_else(PoisonError::into_inner).words = Some(words);
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
