//! DTLS certificates: a new one for each session, made in advance, so that no viewer waits for it.
//!
//! A key that serves one session cannot link two sessions, and its loss exposes no other (OWASP ASVS 5.0, 17.2.1).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rtc::{
    crypto::SignatureScheme,
    peer_connection::certificate::{CertificateParams, RTCCertificate},
};
use tracing::debug;

use super::{PeerError, internal};

/// Certificates that are ready. Two viewers may come at the same moment; a third waits about a millisecond.
const READY: usize = 2;

/// Certificates that no session has used.
#[derive(Clone)]
pub(super) struct Certificates {
    ready: Arc<Mutex<VecDeque<RTCCertificate>>>,
}

impl Certificates {
    /// Makes the first ones. An error: the stack cannot make any.
    pub(super) fn new() -> Result<Self, PeerError> {
        let ready = (0..READY).map(|_| certificate()).collect::<Result<_, _>>()?;
        Ok(Self { ready: Arc::new(Mutex::new(ready)) })
    }

    /// A certificate for one session. It is replaced in the background.
    pub(super) fn take(&self) -> Result<RTCCertificate, PeerError> {
        let taken = self.lock().pop_front();
        let stock = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(e) = stock.refill() {
                debug!("DTLS certificate: {e}");
            }
        });
        taken.map_or_else(certificate, Ok)
    }

    fn refill(&self) -> Result<(), PeerError> {
        while self.lock().len() < READY {
            let new = certificate()?;
            let mut ready = self.lock();
            // Another thread may have been faster.
            if ready.len() < READY {
                ready.push_back(new);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RTCCertificate>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certificate() -> Result<RTCCertificate, PeerError> {
    let provider = rtc::crypto::default_provider().map_err(internal("find a crypto provider"))?;
    let params = CertificateParams::new(vec!["fanlight".to_owned()]).map_err(internal("name the DTLS certificate"))?;
    RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, params)
        .map_err(internal("make the DTLS certificate"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn each_session_gets_a_certificate_of_its_own() {
        let certificates = Certificates::new().unwrap();
        let mut seen = HashSet::new();
        for _ in 0..3 * READY {
            let crypto = rtc::crypto::default_provider().unwrap();
            let fingerprint = certificates.take().unwrap().get_fingerprints(crypto.crypto()).unwrap()[0].value.clone();
            assert!(seen.insert(fingerprint), "a certificate came twice");
        }
        certificates.refill().unwrap();
        assert_eq!(certificates.lock().len(), READY);
    }
}
