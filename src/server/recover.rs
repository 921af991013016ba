//! Recover access without a running server: a new administrator's API key, made by somebody who holds the store and the master key.

use zeroize::Zeroizing;

use super::audit_log::{self, forget_begun};
use super::data_dir::DataDir;
use super::error::ServeError;
use super::parts::{open_store, read_master_keys};
use crate::app::{self, Recovery, SetupError};
use crate::audit::{LogAuditor, Names};
use crate::auth::KeyName;
use crate::config::{AuditStderr, Config, StoreKind};
use crate::crypto::MasterKeyProvider;
use crate::domain::{Revision, Timestamp};
use crate::store;

/// A recovered key.
pub struct Recovered {
    /// The key's id.
    pub id: String,
    /// The key's name.
    pub name: String,
    /// The home namespace.
    pub home_namespace: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The key itself.
    pub credential: Zeroizing<String>,
    /// The store's revision of this change.
    pub revision: Revision,
}

/// Why no key was recovered. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] ServeError),
    /// A store in memory ends with its server.
    #[error(
        "a store in memory ends with its server, so there is nothing to recover: start the service again"
    )]
    InMemory,
    /// There is no store.
    #[error(
        "there is no store in {0}, so there is nothing to recover: give the right --data-dir, or --store etcd. The first \
         start of a new store makes an API key"
    )]
    NoStore(String),
    /// The key could not be made.
    #[error("the key could not be made: the log says more. Try again, or restore a backup into a new folder")]
    NotMade,
    /// The audit record could not be written.
    #[error(
        "the audit record could not be written, so the key is not shown: make room for the audit log, or give a standard error \
         that can be written, and try again. Then revoke the key that nobody has: `strongroom key list` shows it"
    )]
    NotAudited,
}

/// Makes an API key with every right on everything, and writes that to the audit log of the data folder.
///
/// The data folder must not be in use. Over etcd, other replicas may serve meanwhile.
pub async fn recover(config: &Config, name: KeyName) -> Result<Recovered, RecoverError> {
    let folder = || config.data_dir.display().to_string();
    match config.store {
        StoreKind::Memory => return Err(RecoverError::InMemory),
        StoreKind::Sled if !store::holds_sled(&config.data_dir) => {
            return Err(RecoverError::NoStore(folder()));
        }
        StoreKind::Sled | StoreKind::Etcd => {}
    }
    let data = DataDir::open(&config.data_dir).map_err(ServeError::from)?;
    let store = open_store(config).await?;
    if store.is_new().await.map_err(ServeError::from)? {
        store.close().await;
        let in_etcd = config.store == StoreKind::Etcd;
        return Err(RecoverError::NoStore(if in_etcd {
            "etcd under this prefix".to_owned()
        } else {
            folder()
        }));
    }
    let masters = read_master_keys(&config.master_key, false).await?;
    let audit_log::Opened { log: audit_log, is_renewed } = audit_log::open(config, &data)?;
    let options = app::Options {
        audit_log: Some(audit_log.clone()),
        begin_new_audit_log: is_renewed,
        data_dir: data.path().to_owned(),
        anchor_file: config.anchor_file.clone(),
        limits: config.limits,
        ..app::Options::default()
    };
    let provider = MasterKeyProvider::new(config.master_key.clone(), masters);
    let recovery = Recovery::open(store, provider, options).await.map_err(|error| match error {
        SetupError::WrongMasterKey => ServeError::WrongMasterKey(config.master_key.clone()),
        SetupError::AuditLogVanished => {
            forget_begun(&audit_log, &data);
            error.into()
        }
        SetupError::AuditLog(error) => error.into(),
        other => other.into(),
    })?;
    let auditor =
        LogAuditor::new(Some(audit_log.clone()), config.audit.stderr != AuditStderr::Off, Names::Plain);
    let made = recovery.create_administrator(&name, &auditor).await;
    recovery.close().await;
    let _ = tokio::task::spawn_blocking(move || audit_log.close()).await; // it logs what fails
    let (key, credential, revision) = made.map_err(not_made)?;
    Ok(Recovered {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        home_namespace: key.home.to_string(),
        created_at: key.created_at,
        credential: Zeroizing::new(credential.expose().to_owned()),
        revision,
    })
}

fn not_made(error: app::Error) -> RecoverError {
    match error {
        app::Error::Unavailable(why) => ServeError::Store(why).into(),
        app::Error::AuditUnavailable => RecoverError::NotAudited,
        other => {
            tracing::error!(error = %other, "the key could not be made");
            RecoverError::NotMade
        }
    }
}
