//! Recover access without a running server: a new administrator's API key, made by somebody who holds the store and the master key.

use zeroize::Zeroizing;

use super::data_dir::DataDir;
use super::error::ServeError;
use super::parts::{open_store, read_master_keys};
use crate::app::{self, Recovery, SetupError};
use crate::audit::{Auditor, LogAuditor, Record, Referenced, Target};
use crate::auth::KeyName;
use crate::config::{Config, StoreKind};
use crate::crypto::MasterKeyProvider;
use crate::domain::{Revision, Timestamp};
use crate::store;

/// What the audit names in place of a principal and of an RPC.
const OFFLINE: &str = "offline";
const RECOVER: &str = "offline/RecoverApiKey";

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
        "the audit record could not be written to standard error, so the key is not shown: revoke the key {0} later, and \
         try again with a standard error that can be written"
    )]
    NotAudited(String),
}

/// Makes an API key with every right on everything.
///
/// A store in the data folder must not be in use. A store in etcd may be served meanwhile, and then nothing of the data folder is used
/// but the master key.
pub async fn recover(config: &Config, name: KeyName) -> Result<Recovered, RecoverError> {
    let no_store = |place: String| RecoverError::NoStore(place);
    let (_held, store) = match config.store {
        StoreKind::Memory => return Err(RecoverError::InMemory),
        StoreKind::Sled if !store::holds_sled(&config.data_dir) => {
            return Err(no_store(config.data_dir.display().to_string()));
        }
        StoreKind::Sled => {
            let held = DataDir::open(&config.data_dir).map_err(ServeError::from)?;
            (Some(held), open_store(config).await?)
        }
        StoreKind::Etcd => (None, open_store(config).await?),
    };
    if store.is_new().await.map_err(ServeError::from)? {
        store.close().await;
        let place = match config.store {
            StoreKind::Etcd => "etcd under this prefix".to_owned(),
            StoreKind::Sled | StoreKind::Memory => config.data_dir.display().to_string(),
        };
        return Err(no_store(place));
    }
    let masters = read_master_keys(&config.master_key, false).await?;
    let options = app::Options {
        data_dir: config.data_dir.clone(),
        accept_altered_store: config.accept_altered_store,
        anchor_file: config.anchor_file.clone(),
        limits: config.limits,
        ..app::Options::default()
    };
    let provider = MasterKeyProvider::new(config.master_key.clone(), masters);
    let recovery = Recovery::open(store, provider, options).await.map_err(|error| match error {
        SetupError::WrongMasterKey => ServeError::WrongMasterKey(config.master_key.clone()),
        other => other.into(),
    })?;
    let made = recovery.create_administrator(&name).await;
    recovery.close().await;
    let (key, credential, revision) = made.map_err(|error| match error {
        app::Error::Unavailable(why) => ServeError::Store(why).into(),
        other => {
            tracing::error!(error = ?other, "the key could not be made");
            RecoverError::NotMade
        }
    })?;
    let id = key.id.to_string();
    let written = LogAuditor::default().write(&record(&id)).await;
    written.map_err(|_| RecoverError::NotAudited(id.clone()))?;
    Ok(Recovered {
        id,
        name: key.name.as_str().to_owned(),
        home_namespace: key.home.to_string(),
        created_at: key.created_at,
        credential: Zeroizing::new(credential.expose().to_owned()),
        revision,
    })
}

/// The audit record. The one who holds the master key has no other name.
fn record(id: &str) -> Record {
    Record {
        principal: Some(OFFLINE.to_owned()),
        peer: None,
        rpc: RECOVER,
        target: Target { subject: Some(id.to_owned()), ..Target::default() },
        referenced: Referenced::default(),
        outcome: "ok",
        reason: None,
        request_id: uuid::Uuid::now_v7().to_string(),
        caller_request_id: None,
    }
}
