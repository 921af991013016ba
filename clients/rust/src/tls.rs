//! TLS: the authorities to trust, and the client certificate, which is read again for each connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use zeroize::Zeroizing;

use crate::connect_error::ConnectError;
use crate::error::causes;

/// The files of a client certificate and of its private key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How the client speaks TLS to all its addresses.
#[derive(Debug)]
pub(crate) struct Tls {
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    /// What was set up last.
    last: Mutex<Arc<ClientConfig>>,
}

impl Tls {
    /// Reads the files. Without a CA certificate, the system's authorities are trusted.
    pub(crate) fn new(ca_cert_file: Option<&Path>, identity: Option<Identity>) -> Result<Self, ConnectError> {
        let roots = Arc::new(match ca_cert_file {
            Some(path) => roots_of_file(path)?,
            None => roots_of_system()?,
        });
        let config = config(&roots, identity.as_ref())?;
        Ok(Self { roots, identity, last: Mutex::new(config) })
    }

    /// The settings of the next connection. Where the files of the client certificate cannot be used, since they are being
    /// replaced, the ones from before are used.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let renewed = self.identity.is_some().then(|| config(&self.roots, self.identity.as_ref()));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Ok(renewed)) = renewed {
            *last = renewed;
        }
        last.clone()
    }
}

fn config(
    roots: &Arc<RootCertStore>,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let builder = builder(roots.clone())?;
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read()?;
            builder.with_client_auth_cert(chain, key).map_err(|error| ConnectError::Tls(causes(&error)))?
        }
    };
    config.alpn_protocols.push(ALPN.to_vec());
    Ok(Arc::new(config))
}

/// The name of HTTP/2 in a TLS handshake (RFC 7540, 3.3), without which no server speaks gRPC.
pub(crate) const ALPN: &[u8] = b"h2";

fn builder(roots: Arc<RootCertStore>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let versions = builder.with_safe_default_protocol_versions();
    Ok(versions.map_err(|error| ConnectError::Tls(causes(&error)))?.with_root_certificates(roots))
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConnectError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| ConnectError::ClientCert { path: path.to_owned(), error })
        };
        let unusable =
            |path: &Path, what: &str| ConnectError::Tls(format!("{} holds no {what} in PEM", path.display()));
        let (certificate, text) = (read(&self.certificate)?, Zeroizing::new(read(&self.key)?));
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| unusable(&self.certificate, "certificate"))?;
        if chain.is_empty() {
            return Err(unusable(&self.certificate, "certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| unusable(&self.key, "private key"))?;
        Ok((chain, key))
    }
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, ConnectError> {
    let unreadable = |error| ConnectError::CaCert { path: path.to_owned(), error };
    let content = fs::read(path).map_err(unreadable)?;
    let none = || ConnectError::NoCaCert { path: path.to_owned() };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&content) {
        roots.add(certificate.map_err(|_| none())?).map_err(|_| none())?;
    }
    if roots.is_empty() { Err(none()) } else { Ok(roots) }
}

fn roots_of_system() -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({})", causes(error))).unwrap_or_default();
        return Err(ConnectError::Tls(format!(
            "the system has no authorities{why}: give the CA certificate of the server (STRONGROOM_CA_CERT)"
        )));
    }
    Ok(roots)
}
