//! The server's side of TLS: its certificate, and the authorities of client certificates. Both are read again at a reload;
//! connections that are open stay as they are.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::error::ServeError;
use crate::app::CredentialSources;
use crate::auth::{ClientAuthorities, validity};
use crate::config;
use crate::domain::now;

/// The server's side of TLS.
pub(super) struct Tls {
    files: config::Tls,
    client_ca: Option<PathBuf>,
    current: Mutex<Current>,
}

/// What was read last.
struct Current {
    identity: Arc<CertifiedKey>,
    /// The authorities of client certificates; `None`: clients are asked for no certificate.
    roots: Option<Arc<RootCertStore>>,
    acceptor: TlsAcceptor,
}

type BoxedError = Box<dyn Error + Send + Sync>;

impl Tls {
    /// Reads the files. The authorities of client certificates become a source of credentials.
    pub(super) fn open(
        files: &config::Tls,
        client_ca: Option<&PathBuf>,
        sources: &CredentialSources,
    ) -> Result<Self, ServeError> {
        let identity = identity(files)?;
        let authorities = client_ca.map(|file| authorities(file)).transpose()?;
        let roots = authorities.as_ref().map(|(roots, _)| roots.clone());
        let acceptor = acceptor(&identity, roots.as_ref()).map_err(|error| unusable(files, error))?;
        if let Some((_, authorities)) = authorities {
            sources.replace_authorities(authorities);
        }
        let current = Mutex::new(Current { identity, roots, acceptor });
        Ok(Self { files: files.clone(), client_ca: client_ca.cloned(), current })
    }

    /// Accepts a connection with what was read last.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Reads the files again. A file that cannot be used changes nothing. Returns what went wrong.
    pub(super) fn reload(&self, sources: &CredentialSources) -> Vec<ServeError> {
        let mut errors = Vec::new();
        let identity = identity(&self.files).map_err(|error| errors.push(error)).ok();
        let authorities = self
            .client_ca
            .as_ref()
            .and_then(|file| authorities(file).map_err(|error| errors.push(error)).ok());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity.unwrap_or_else(|| current.identity.clone());
        let roots = authorities.as_ref().map(|(roots, _)| roots.clone()).or_else(|| current.roots.clone());
        match acceptor(&identity, roots.as_ref()) {
            Ok(acceptor) => {
                *current = Current { identity, roots, acceptor };
                if let Some((_, authorities)) = authorities {
                    sources.replace_authorities(authorities);
                }
            }
            Err(error) => errors.push(unusable(&self.files, error)),
        }
        errors
    }
}

/// The certificate of the server with its private key.
fn identity(files: &config::Tls) -> Result<Arc<CertifiedKey>, ServeError> {
    let (chain, key) = (read(&files.cert)?, private_key(&files.key)?);
    let parse = || -> Result<CertifiedKey, BoxedError> {
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&key)?;
        Ok(CertifiedKey::from_der(chain, key, &crypto::ring::default_provider())?)
    };
    let identity = parse().map(Arc::new).map_err(|error| unusable(files, error))?;
    if let Some(certificate) = identity.cert.first() {
        warn_of_time(&files.cert, certificate);
    }
    Ok(identity)
}

/// Reads a private key that nobody else can read or change, as a file of the master key must be. Links are followed, and their
/// target is checked.
fn private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, ServeError> {
    let failed = |error| ServeError::File(path.to_owned(), error);
    let mut file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let (mode, user) = (about.permissions().mode() & 0o7777, rustix::process::geteuid().as_raw());
    if about.is_file() && mode & 0o077 != 0 {
        return Err(ServeError::TlsKeyPermissions(path.to_owned(), mode));
    }
    if about.is_file() && about.uid() != user && about.uid() != 0 {
        return Err(ServeError::TlsKeyOwner(path.to_owned(), about.uid(), user));
    }
    let mut key = Zeroizing::new(Vec::new());
    file.read_to_end(&mut key).map_err(failed)?;
    let says = |text: &[u8]| key.windows(text.len()).any(|there| there == text);
    if says(b"BEGIN ENCRYPTED PRIVATE KEY") || says(b"Proc-Type: 4,ENCRYPTED") {
        return Err(ServeError::TlsKeyEncrypted(path.to_owned()));
    }
    Ok(key)
}

/// The time before the end of a certificate from which on a start warns of it.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Says in the log that clients will refuse the certificate because of its time, or will soon.
fn warn_of_time(file: &Path, certificate: &CertificateDer<'_>) {
    let Some((begin, end)) = validity(certificate) else { return };
    let (file, now) = (file.display(), now());
    if now >= end {
        tracing::warn!(%end, "the certificate {file} has expired, and clients refuse it: put a new one in its place and send SIGHUP");
    } else if now < begin {
        tracing::warn!(%begin, "the certificate {file} is not valid yet, and clients refuse it: check it and the clock");
    } else if now.plus(SOON) >= end {
        tracing::warn!(%end, "the certificate {file} expires soon: put a new one in its place and send SIGHUP");
    }
}

/// The authorities of client certificates: for TLS, and as a source of credentials.
fn authorities(file: &Path) -> Result<(Arc<RootCertStore>, ClientAuthorities), ServeError> {
    let authorities = ClientAuthorities::parse(&read(file)?, now())
        .map_err(|error| ServeError::ClientCa(file.to_owned(), error.into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in authorities.certificates() {
        let added = roots.add(certificate.clone());
        added.map_err(|error| ServeError::ClientCa(file.to_owned(), error.into()))?;
    }
    Ok((Arc::new(roots), authorities))
}

fn acceptor(
    identity: &Arc<CertifiedKey>,
    roots: Option<&Arc<RootCertStore>>,
) -> Result<TlsAcceptor, BoxedError> {
    let provider: Arc<CryptoProvider> = Arc::new(crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match roots {
        None => config.with_no_client_auth(),
        // A client without a certificate presents another credential.
        Some(roots) => config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
                .allow_unauthenticated()
                .build()?,
        ),
    };
    let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from((**identity).clone())));
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(file: &Path) -> Result<Vec<u8>, ServeError> {
    fs::read(file).map_err(|error| ServeError::File(file.to_owned(), error))
}

fn unusable(files: &config::Tls, error: BoxedError) -> ServeError {
    ServeError::Tls(files.cert.clone(), files.key.clone(), error)
}
