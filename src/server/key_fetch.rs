//! Fetches the key sets of issuers over HTTPS: regularly, and when a token names a key that is not known. A fetch is bounded in
//! time and size, and follows no redirect.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto};

use crate::app::IssuerKeys;
use crate::auth::{KeySet, KeySetError};
use crate::config::KeySource;

/// How long a fetch may take.
const TIME: Duration = Duration::from_secs(5);
/// When a fetch that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How much of an answer's head is read, in bytes.
const HEAD: usize = 16 * 1024;

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it took longer than 5 s")]
    Late,
    #[error("{} cannot be read as authorities (PEM): {}", .0.display(), .1)]
    Authorities(PathBuf, String),
    #[error("the address cannot be reached: {0}")]
    Connect(#[from] io::Error),
    #[error("TLS failed: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the host of the URL is not a name that a certificate can have")]
    Host,
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("the answer has the status {0}, and 200 is expected; redirects are not followed")]
    Status(StatusCode),
    #[error("the answer cannot be used: {0}")]
    Keys(#[from] KeySetError),
    #[error("the work was given up")]
    GivenUp(#[from] JoinError),
}

/// Starts the fetches of all issuers whose keys are at a URL.
pub(super) fn start(issuers: &[Arc<IssuerKeys>], work: &mut JoinSet<()>) {
    for issuer in issuers {
        if let KeySource::Url { url, ca, refresh, .. } = issuer.source.clone() {
            work.spawn(keep_fetched(issuer.clone(), url, ca, refresh));
        }
    }
}

async fn keep_fetched(issuer: Arc<IssuerKeys>, url: Uri, ca: Option<PathBuf>, refresh: Duration) {
    let name = issuer.rules.name();
    let mut known = false;
    loop {
        let keys = timeout(TIME, fetch(&url, ca.clone())).await.unwrap_or(Err(FetchError::Late));
        let (before, failed) = (known, keys.as_ref().err().map(ToString::to_string));
        known = keys.is_ok();
        issuer.fetched(keys.ok());
        match failed {
            None if before => tracing::debug!(issuer = name, "the keys of the issuer were fetched"),
            None => tracing::info!(issuer = name, "the keys of the issuer were fetched"),
            Some(cause) => {
                tracing::warn!(issuer = name, %url, cause, "the keys of the issuer could not be fetched")
            }
        }
        issuer.next_fetch(if known { refresh } else { AGAIN.min(refresh) }).await;
    }
}

async fn fetch(url: &Uri, ca: Option<PathBuf>) -> Result<KeySet, FetchError> {
    let config = tokio::task::spawn_blocking(move || client_config(ca.as_deref())).await??;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Host)?;
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(443))).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut http = http1::Builder::new();
    let (mut requests, connection) = http.max_buf_size(HEAD).handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new(); // ends the connection when it is dropped
    driver.spawn(connection);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, url.authority().map_or(host, |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("strongroom/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    let answer = requests.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    Ok(KeySet::parse(&bounded(answer.into_body()).await?)?)
}

/// A body that is not larger than a key set may be.
async fn bounded(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > KeySet::MAX_BYTES {
            return Err(KeySetError::TooLarge.into());
        }
    }
    Ok(bytes)
}

/// TLS with the authorities of a file, or with those of the system.
fn client_config(ca: Option<&Path>) -> Result<ClientConfig, FetchError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = |why: String| FetchError::Authorities(file.to_owned(), why);
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}
