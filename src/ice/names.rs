//! Addresses of server names, resolved in advance and cached, so that no session waits long for DNS.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::lookup_host, sync::watch, time::timeout};
use tracing::{debug, warn};

use crate::clock::Mono;

/// How long an address is used without a new lookup.
const FRESH: Duration = Duration::from_secs(300);
/// How long an address is used while new lookups fail: an old address is better than none.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a failed lookup is remembered, so that a DNS server that fails is not asked for each session.
const FAILED: Duration = Duration::from_secs(10);
/// How many names are cached. The configuration has fewer.
const NAMES: usize = 64;

/// The cached state of one name.
#[derive(Debug, Default)]
struct CachedName {
    addresses: Vec<IpAddr>,
    found: Option<Mono>,
    tried: Option<Mono>,
    /// Closes when the running lookup ends.
    under_way: Option<watch::Receiver<()>>,
    /// Whether its failure was logged; it is logged once until a lookup succeeds.
    complained: bool,
}

/// The cache of names and their addresses.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: Arc<Mutex<HashMap<String, CachedName>>>,
}

impl Names {
    /// The addresses of each name, in the order of `hosts`; empty if unknown. Lookups of unknown names are waited for,
    /// for at most `patience` in all. A later result is cached for the next call.
    pub(super) async fn addresses(&self, hosts: &[&str], patience: Duration) -> Vec<Vec<IpAddr>> {
        let under_way: Vec<_> = hosts.iter().filter_map(|host| self.look_up_if_due(host)).collect();
        let all = async {
            for mut lookup in under_way {
                // The lookup ends by closing the channel.
                while lookup.changed().await.is_ok() {}
            }
        };
        let _ = timeout(patience, all).await;
        hosts.iter().map(|host| self.at_hand(host)).collect()
    }

    fn at_hand(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(host).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    /// Starts a lookup if it is due. Returns a receiver to wait for if no address is known yet.
    fn look_up_if_due(&self, host: &str) -> Option<watch::Receiver<()>> {
        if host.parse::<IpAddr>().is_ok() {
            return None;
        }
        let now = Mono::now();
        let mut names = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES && !names.contains_key(host) {
            let oldest = names.iter().min_by_key(|(_, known)| known.tried).map(|(name, _)| name.clone());
            names.remove(&oldest?);
        }
        let known = names.entry(host.to_owned()).or_default();
        let since = |at: Option<Mono>| at.map(|at| now.since(at));
        if since(known.found).is_some_and(|age| age > KEPT) {
            known.addresses.clear();
        }
        let fresh = since(known.found).is_some_and(|age| age < FRESH);
        let just_failed = known.tried > known.found && since(known.tried).is_some_and(|age| age < FAILED);
        if known.under_way.is_none() && !fresh && !just_failed {
            let (over, lookup) = watch::channel(());
            (known.tried, known.under_way) = (Some(now), Some(lookup));
            tokio::spawn(find(Arc::clone(&self.known), host.to_owned(), over));
        }
        // A name whose last lookup failed is not waited for. Without internet access, each session would wait.
        known.under_way.clone().filter(|_| known.addresses.is_empty() && !known.complained)
    }
}

/// Looks a name up once. The lookup is never aborted: the C library has its own timeout, and its thread cannot be
/// stopped.
async fn find(names: Arc<Mutex<HashMap<String, CachedName>>>, host: String, _over: watch::Sender<()>) {
    let found = lookup_host((host.as_str(), 0)).await;
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(known) = names.get_mut(&host) else { return };
    known.under_way = None;
    match found {
        Ok(found) => {
            known.addresses.clear();
            for address in found.map(|a| a.ip()) {
                if !known.addresses.contains(&address) {
                    known.addresses.push(address);
                }
            }
            (known.found, known.complained) = (Some(Mono::now()), false);
        }
        Err(error) => {
            known.tried = Some(Mono::now());
            let reason = error.to_string();
            let reason = reason.strip_prefix("failed to lookup address information: ").unwrap_or(&reason);
            if known.complained {
                debug!("ICE server {host}: look up its name: {reason}");
            } else {
                known.complained = true;
                let meanwhile =
                    if known.addresses.is_empty() { "sessions do not use it" } else { "its old address is used" };
                warn!("ICE server {host}: look up its name: {reason}; until it is found {meanwhile}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn addresses_need_no_lookup_and_names_are_kept() {
        let names = Names::default();
        let asked = names.addresses(&["192.0.2.1", "2001:db8::1", "localhost"], Duration::from_secs(10)).await;
        assert_eq!(asked[0], ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(asked[1], ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        assert!(asked[2].iter().any(IpAddr::is_loopback), "{asked:?}");
        // The address is cached from now on, so no time is needed.
        assert_eq!(names.addresses(&["localhost"], Duration::ZERO).await[0], asked[2]);
    }

    #[tokio::test]
    async fn a_name_server_that_does_not_answer_holds_up_nothing() {
        let names = Names::default();
        // A lookup that never ends.
        let (_over, lookup) = watch::channel(());
        let dead = CachedName { under_way: Some(lookup), ..CachedName::default() };
        names.known.lock().unwrap().insert("dead.example".into(), dead);
        let began = Instant::now();
        let asked = names.addresses(&["dead.example", "192.0.2.1"], Duration::from_millis(50)).await;
        assert!(asked[0].is_empty() && asked[1].len() == 1);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_name_that_was_not_found_is_not_waited_for_again() {
        let names = Names::default();
        let (_over, lookup) = watch::channel(());
        let dead = CachedName { under_way: Some(lookup), complained: true, ..CachedName::default() };
        names.known.lock().unwrap().insert("dead.example".into(), dead);
        let asking = names.addresses(&["dead.example"], Duration::from_secs(60));
        let asked = timeout(Duration::from_secs(10), asking).await.expect("at once");
        assert!(asked[0].is_empty());
    }

    #[tokio::test]
    async fn an_old_address_is_used_while_another_one_is_looked_for() {
        let names = Names::default();
        let old: IpAddr = "192.0.2.7".parse().unwrap();
        let long_ago = Mono(Mono::now().0.saturating_sub(400_000_000_000));
        let known = CachedName { addresses: vec![old], found: Some(long_ago), ..CachedName::default() };
        names.known.lock().unwrap().insert("localhost".into(), known);
        let asked = names.addresses(&["localhost"], Duration::from_secs(10)).await;
        assert_eq!(asked[0], [old]);
    }
}
