//! The TLS settings of the link. They are read for each connection, so that a renewed certificate needs no restart.

use std::sync::Arc;

use tokio_rustls::rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};

use crate::{
    broker::link_error::{LinkError, LinkErrorKind},
    config, tls,
};

/// Reads CA, certificate and key as configured. Blocks: it reads files.
pub(super) fn client(config: &config::Broker) -> Result<ClientConfig, LinkError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| LinkError::new(LinkErrorKind::Tls, format!("prepare TLS: {e}")))?
        .with_root_certificates(tls::roots(config.ca_file.as_deref()).map_err(file)?);
    let mut client = match &config.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = tls::certificates(certificate).map_err(file)?;
            let secret = PrivateKeyDer::from_pem_slice(&tls::read(key).map_err(file)?)
                .map_err(|e| file(tls::about(key, format_args!("no private key in it: {e}"))))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|e| file(tls::about(key, format_args!("with certificate {}: {e}", certificate.display()))))?
        }
    };
    client.alpn_protocols = config.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(client)
}

fn file(said: impl std::fmt::Display) -> LinkError {
    LinkError::new(LinkErrorKind::Files, said.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn broker(ca: Option<&Path>, client: Option<(&Path, &Path)>) -> config::Broker {
        config::Broker {
            ca_file: ca.map(Path::to_owned),
            client_certificate: client.map(|(c, k)| (c.to_owned(), k.to_owned())),
            alpn: vec!["mqtt".into()],
            ..config::Broker::default()
        }
    }

    #[test]
    fn each_useless_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("cert.pem"), pair.cert.pem()).unwrap();
        fs::write(path("key.pem"), pair.signing_key.serialize_pem()).unwrap();
        fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
        fs::write(path("empty.pem"), "").unwrap();
        fs::write(path("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();

        let ca = path("cert.pem");
        let good = client(&broker(Some(&ca), Some((&ca, &path("key.pem"))))).unwrap();
        assert_eq!(good.alpn_protocols, [b"mqtt".to_vec()]);

        let rows = [
            (broker(Some(&path("none.pem")), None), "none.pem: No such file"),
            (broker(Some(&path("empty.pem")), None), "empty.pem: no certificate"),
            (broker(Some(&path("broken.pem")), None), "broken.pem: "),
            (broker(Some(&ca), Some((&ca, &path("empty.pem")))), "empty.pem: no private key"),
            (broker(Some(&ca), Some((&ca, &path("other.pem")))), "other.pem: with certificate"),
        ];
        for (config, words) in rows {
            let link_error = client(&config).expect_err(words);
            assert_eq!(link_error.kind, LinkErrorKind::Files);
            assert!(link_error.to_string().contains(words), "{link_error}");
        }
    }
}
