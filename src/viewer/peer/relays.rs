//! The relays of one connection: which TURN server gave which, which server gave none, and why.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::ice::{IceUrl, Relay, ResolvedServers};
use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidateType};

/// How many relays are remembered. A connection has a few in each ICE generation.
const GAINED: usize = 64;

/// The relays that the stack allocated: each address, with the URL by which the stack knows the server.
#[derive(Debug, Default)]
pub(crate) struct RelayOrigins(Mutex<Vec<(SocketAddr, String)>>);

impl RelayOrigins {
    /// Records which server gave a relay. When the list is full, the oldest is forgotten.
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

    fn url_of(&self, relay: SocketAddr) -> Option<String> {
        let gained = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gained.iter().rev().find(|(address, _)| *address == relay).map(|(_, url)| url.clone())
    }

    fn has(&self, url: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(_, known)| known == url)
    }
}

/// The TURN servers that gave no relay, and the reasons. They are logged once, until the list changes.
#[derive(Debug, Default)]
pub(crate) struct MissingRelays {
    pub(crate) servers: Vec<IceUrl>,
    pub(crate) reasons: Option<String>,
}

/// The servers of one connection. Relays over TCP and TLS live as long as this value.
#[derive(Debug)]
pub(crate) struct Relays {
    pub(crate) resolved: ResolvedServers,
    pub(crate) gained: Arc<RelayOrigins>,
}

impl Relays {
    /// The TURN server that allocated this relay.
    pub(crate) fn server(&self, relay: SocketAddr) -> Option<&IceUrl> {
        let asked = self.gained.url_of(relay)?;
        let is_it = |relay: &&Relay| relay.addresses.iter().any(|address| relay.url.at(*address) == asked);
        self.resolved.relays.iter().find(is_it).map(|relay| &relay.url)
    }

    /// The TURN servers that allocated no relay.
    pub(crate) fn missing(&self) -> Vec<IceUrl> {
        let gave = |relay: &&Relay| relay.addresses.iter().any(|address| self.gained.has(&relay.url.at(*address)));
        let asked = self.resolved.relays.iter().filter(|relay| !gave(relay)).map(|relay| &relay.url);
        asked.chain(self.resolved.missing.iter().filter(|(url, _)| url.turn).map(|(url, _)| url)).cloned().collect()
    }
}

impl MissingRelays {
    /// Why there are no relays; `None` while that is not known.
    pub(crate) fn reasons(&self) -> Option<&str> {
        self.reasons.as_deref()
    }
}
