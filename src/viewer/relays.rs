//! The relays of one connection: which server gave which, and which gave none, and why.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidateType};
use tracing::{info, warn};

use super::peer::Peers;
use crate::{
    config::Id,
    ice::{Relay, Url, Ways},
    protocol,
};

/// Relays that are remembered; a connection has a few in each generation of ICE.
const GAINED: usize = 64;

/// The relays the stack has gained: their addresses, and the URLs that it knows the servers by.
#[derive(Debug, Default)]
pub(super) struct Gained(Mutex<Vec<(SocketAddr, String)>>);

impl Gained {
    /// Remembers where a relay comes from. When too many are, the oldest is forgotten.
    pub(super) fn note(&self, candidate: &RTCIceCandidate, url: &str) {
        let Ok(ip) = candidate.address.parse() else { return };
        if candidate.typ != RTCIceCandidateType::Relay {
            return;
        }
        let mut gained = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gained.len() >= GAINED {
            gained.remove(0);
        }
        gained.push((SocketAddr::new(ip, candidate.port), url.to_owned()));
    }

    fn place(&self, relay: SocketAddr) -> Option<String> {
        let gained = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gained.iter().rev().find(|(address, _)| *address == relay).map(|(_, url)| url.clone())
    }

    fn has(&self, url: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(_, known)| known == url)
    }
}

/// What was said of servers that give no relay: once, until that changes.
#[derive(Debug, Default)]
pub(super) struct Missed {
    servers: Vec<String>,
    words: Option<String>,
}

/// The servers of one connection. The relays by TCP and TLS live as long as this value.
#[derive(Debug)]
pub(super) struct Relays {
    pub(super) ways: Ways,
    pub(super) gained: Arc<Gained>,
}

impl Relays {
    /// The server that gave this relay.
    pub(super) fn server(&self, relay: SocketAddr) -> Option<&Url> {
        let asked = self.gained.place(relay)?;
        let is_it = |relay: &&Relay| relay.places.iter().any(|place| relay.url.at(*place) == asked);
        self.ways.relays.iter().find(is_it).map(|relay| &relay.url)
    }

    /// Those that gave none.
    fn missing(&self) -> Vec<String> {
        let gave = |relay: &&Relay| relay.places.iter().any(|place| self.gained.has(&relay.url.at(*place)));
        let asked = self.ways.relays.iter().filter(|relay| !gave(relay)).map(|relay| relay.url.to_string());
        asked.chain(self.ways.missing.iter().filter(|(url, _)| url.turn).map(|(url, _)| url.to_string())).collect()
    }

    /// All candidates are there: looks for the reason of each relay that is not among them, and says it once.
    pub(super) fn tell(&self, peers: &Arc<Peers>) {
        let missing = self.missing();
        {
            let mut missed = peers.missed.lock().unwrap_or_else(PoisonError::into_inner);
            if missed.servers == missing {
                return;
            }
            if missing.is_empty() {
                info!("relays: every TURN server gives one");
                *missed = Missed::default();
                return;
            }
            missed.servers.clone_from(&missing);
        }
        let peers = Arc::clone(peers);
        let some = missing.len() < self.ways.relays.len() + self.ways.missing.len();
        tokio::spawn(async move {
            let config = peers.config();
            let (findings, _) = peers.ice.examine(&config, |url| missing.contains(&url.to_string())).await;
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
            peers.missed.lock().unwrap_or_else(PoisonError::into_inner).words = Some(told.join("; "));
        });
    }
}

impl Peers {
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

impl Missed {
    /// Why there are no relays, as far as that is known.
    pub(super) fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }
}
