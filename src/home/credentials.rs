//! The certificates in use: from the state folder, and made when the first browser needs one.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::certificates::{CertificateStore, Reached};
use crate::state_folder::{HOME_CERTIFICATES, StateFolder};

/// The keys and certificates of the HTTPS server. Clones share them.
#[derive(Debug, Clone)]
pub struct Credentials(Arc<Mutex<Inner>>);

struct Inner {
    store: CertificateStore,
    /// Where the store is kept. `None`: in memory only.
    folder: Option<StateFolder>,
    /// The TLS settings of each address, with the certificates that they have.
    ready: HashMap<IpAddr, ([Vec<u8>; 2], Arc<ServerConfig>)>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the certificates for these names, or makes them. A store that is damaged or for other names is replaced,
    /// and browsers then ask again. Blocks, because it writes a file.
    pub fn open(folder: Option<StateFolder>, names: &[String]) -> Result<Self, String> {
        let kept = folder.as_ref().map(|folder| folder.read(HOME_CERTIFICATES, CertificateStore::parse));
        let kept = match kept {
            Some(Ok(kept)) => kept,
            Some(Err(error)) => {
                tracing::warn!("home: the certificates cannot be read and are made anew: {error}");
                None
            }
            None => None,
        };
        let store = match kept.filter(|store| store.is_for(names)) {
            Some(store) => store,
            None => CertificateStore::new(names, now()).map_err(|e| format!("make a certificate: {e}"))?,
        };
        let this = Self(Arc::new(Mutex::new(Inner { store, folder, ready: HashMap::new() })));
        // The first certificate is made now, so that a failure is noticed at the start.
        this.config([127, 0, 0, 1].into())?;
        Ok(this)
    }

    /// The TLS settings for connections to this address of the board. Blocks if a certificate has to be made.
    pub fn config(&self, local: IpAddr) -> Result<Arc<ServerConfig>, String> {
        let local = local.to_canonical();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ders = [inner.certificate(Reached::ByName)?, inner.certificate(Reached::At(local))?];
        if let Some((known, config)) = inner.ready.get(&local)
            && *known == ders
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(inner.tls(&ders)?);
        // Addresses that are gone are few, and cheap to prepare again.
        if inner.ready.len() >= 64 {
            inner.ready.clear();
        }
        inner.ready.insert(local, (ders, Arc::clone(&config)));
        Ok(config)
    }

    /// The authority's certificate, DER.
    pub fn authority(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).store.authority.clone()
    }
}

impl Inner {
    /// The certificate for this way to reach the board, which is made if it is missing.
    fn certificate(&mut self, reached: Reached) -> Result<Vec<u8>, String> {
        let now = now();
        if let Some(leaf) = self.store.leaf(reached, now) {
            return Ok(leaf.der.clone());
        }
        let leaf = self.store.issue(reached, now).map_err(|e| format!("make a certificate: {e}"))?;
        if let Some(folder) = &self.folder
            && let Err(error) = folder.write(HOME_CERTIFICATES, &self.store.to_bytes(), None)
        {
            tracing::warn!("home: the certificates cannot be kept, and browsers ask again after a restart: {error}");
        }
        Ok(leaf.der)
    }

    fn tls(&self, [name, address]: &[Vec<u8>; 2]) -> Result<ServerConfig, String> {
        let certified = |der: &[u8]| {
            let chain = [der, &self.store.authority].map(|der| CertificateDer::from(der.to_vec())).to_vec();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.store.key.clone()));
            let key = any_supported_type(&key).map_err(|e| format!("use the key: {e}"))?;
            Ok::<_, String>(Arc::new(CertifiedKey::new(chain, key)))
        };
        let by_host = ByHost { name: certified(name)?, address: certified(address)? };
        let mut config = ServerConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| format!("prepare TLS: {e}"))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(by_host));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The certificate for the host that a browser asks for. Browsers name only names, never addresses (RFC 6066 section
/// 3).
#[derive(Debug)]
struct ByHost {
    name: Arc<CertifiedKey>,
    address: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(if hello.server_name().is_some() { &self.name } else { &self.address }))
    }
}

/// The wall clock, in seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_outlive_a_restart_and_a_new_name_gets_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        let names = ["garden.local".to_owned()];
        let open = |names: &[String]| Credentials::open(Some(folder.clone()), names).unwrap();
        let leaf = |it: &Credentials, reached| it.0.lock().unwrap().store.leaf(reached, now()).cloned();
        let first = open(&names);
        let at: IpAddr = [10, 0, 0, 5].into();
        let config = first.config(at).unwrap();
        assert!(Arc::ptr_eq(&config, &first.config("::ffff:10.0.0.5".parse().unwrap()).unwrap()));
        let again = open(&names);
        for reached in [Reached::ByName, Reached::At(at)] {
            assert!(leaf(&first, reached).is_some());
            assert_eq!(leaf(&first, reached), leaf(&again, reached), "{reached:?}");
        }
        assert_eq!(first.authority(), again.authority());
        let renamed = open(&["hall.local".to_owned()]);
        assert_ne!(renamed.authority(), first.authority());
        std::fs::write(folder.path(HOME_CERTIFICATES), "{").unwrap();
        assert_ne!(open(&names).authority(), first.authority());
        assert_eq!(rustix::fs::stat(folder.path(HOME_CERTIFICATES)).unwrap().st_mode & 0o777, 0o600);
    }
}
