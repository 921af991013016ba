//! The reload of files while the server runs: its certificate and key, the authorities of client certificates, and the key
//! sets of issuers. A file that cannot be used is named in the log, and what was read before stays in use.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::ServeError;
use super::tls::Tls;
use crate::app::{CredentialSources, IssuerKeys};
use crate::auth::KeySet;
use crate::config::KeySource;

/// Reads all files again each time that it is asked to.
pub(super) async fn reload_when_asked(
    mut asked: mpsc::Receiver<()>,
    tls: Option<Arc<Tls>>,
    sources: Arc<CredentialSources>,
) {
    while asked.recv().await.is_some() {
        let (tls, sources) = (tls.clone(), sources.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut errors = tls.map(|tls| tls.reload(&sources)).unwrap_or_default();
            errors.extend(sources.issuers().iter().filter_map(|issuer| reload_keys(issuer).err()));
            errors
        });
        let errors = read.await.unwrap_or_default();
        for error in &errors {
            tracing::error!(cause = %error, "a file was not reloaded, and what was read before stays in use");
        }
        tracing::info!(
            failed = errors.len(),
            "certificates, client authorities and issuers' keys were reloaded"
        );
    }
}

/// Reads the keys of the issuers that have them in files.
pub(super) fn read_key_files(issuers: &[Arc<IssuerKeys>]) -> Result<(), ServeError> {
    let mut in_files = issuers.iter().filter(|issuer| matches!(issuer.source, KeySource::File(_)));
    in_files.try_for_each(|issuer| reload_keys(issuer))
}

/// Reads the keys of an issuer again, or has them fetched.
fn reload_keys(issuer: &IssuerKeys) -> Result<(), ServeError> {
    match &issuer.source {
        KeySource::Url { .. } => issuer.refresh(),
        KeySource::File(file) => issuer.read(key_set(file)?),
    }
    Ok(())
}

fn key_set(file: &Path) -> Result<KeySet, ServeError> {
    let json = fs::read(file).map_err(|error| ServeError::File(file.to_owned(), error))?;
    KeySet::parse(&json).map_err(|error| ServeError::KeySet(file.to_owned(), error))
}
