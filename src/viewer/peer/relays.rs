//! The relays of one connection: which server gave which, and which gave none, and why.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ice::{Relay, ResolvedServers, Url};
use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidateType};

/// Relays that are remembered; a connection has a few in each generation of ICE.
const GAINED: usize = 64;

/// The relays the stack has gained: their addresses, and the URLs that it knows the servers by.
#[derive(Debug, Default)]
pub(crate) struct RelayOrigins(Mutex<Vec<(SocketAddr, String)>>);

impl RelayOrigins {
    /// Remembers where a relay comes from. When too many are, the oldest is forgotten.
    pub(crate) fn note(&self, candidate: &RTCIceCandidate, url: &str) {
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
pub(crate) struct MissingRelays {
    pub(crate) servers: Vec<Url>,
    pub(crate) words: Option<String>,
}

/// The servers of one connection. The relays by TCP and TLS live as long as this value.
#[derive(Debug)]
pub(crate) struct Relays {
    pub(crate) resolved: ResolvedServers,
    pub(crate) gained: Arc<RelayOrigins>,
}

impl Relays {
    /// The server that gave this relay.
    pub(crate) fn server(&self, relay: SocketAddr) -> Option<&Url> {
        let asked = self.gained.place(relay)?;
        let is_it = |relay: &&Relay| relay.places.iter().any(|place| relay.url.at(*place) == asked);
        self.resolved.relays.iter().find(is_it).map(|relay| &relay.url)
    }

    /// Those that gave none.
    pub(crate) fn missing(&self) -> Vec<Url> {
        let gave = |relay: &&Relay| relay.places.iter().any(|place| self.gained.has(&relay.url.at(*place)));
        let asked = self.resolved.relays.iter().filter(|relay| !gave(relay)).map(|relay| &relay.url);
        asked.chain(self.resolved.missing.iter().filter(|(url, _)| url.turn).map(|(url, _)| url)).cloned().collect()
    }
}

impl MissingRelays {
    /// Why there are no relays, as far as that is known.
    pub(crate) fn words(&self) -> Option<&str> {
        self.words.as_deref()
    }
}
