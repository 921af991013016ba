//! What the service does. Every operation that needs a right takes the grant of it.

mod access;
#[cfg(test)]
mod anchor_tests;
mod attempt;
mod backup;
mod change;
mod deadline;
mod error;
#[cfg(test)]
mod frozen_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod generate;
mod idempotency;
mod operator;
mod page_token;
mod reference;
#[cfg(test)]
mod replay_tests;
mod rotation;
mod secret;
mod setup;
#[cfg(test)]
mod tamper_tests;
#[cfg(test)]
mod tests;
mod turns;
#[cfg(test)]
mod vectors;
mod version;
#[cfg(test)]
mod version_tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore};

pub use self::access::{Expiry, NewApiKey, Unauthenticated};
pub use self::backup::{Chunk, Progress, Restore, RestoreOptions, Restored};
pub use self::change::{Changed, Deleted, NewSecret, Rotation, Source, Update};
pub use self::deadline::until;
pub use self::error::{CredentialProblem, Error};
pub use self::idempotency::Idempotency;
pub use self::operator::Status;
pub use self::reference::{NamedSecret, Resolution};
pub use self::rotation::{KeyRotation, KeyStatus, Limits, Rewrapped, Rotated};
pub use self::secret::{ListQuery, Revealed, SecretPage};
pub use self::setup::{Options, SetupError, open};
use self::turns::Turns;
pub use self::version::{ChangedVersion, DestructionReceipt, VersionChange};
use crate::catalog::Catalog;
use crate::crypto::{KeyId, Mac, MasterKeyProvider};
use crate::domain::{Namespace, Revision, Timestamp, now};
use crate::integrity::{AnchorFile, StoredKeyring};
use crate::store::{CommitError, Store, Transaction};

/// The service over one store.
pub struct App {
    store: Arc<dyn Store>,
    provider: Arc<MasterKeyProvider>,
    catalog: Arc<Catalog>,
    /// Where the bytes of a restore are kept until all of them have come.
    data_dir: PathBuf,
    turns: Turns,
    restoring: Arc<Semaphore>,
    /// Held by whoever rotates keys.
    rotating: Arc<tokio::sync::Mutex<()>>,
    /// The keys whose rotation met damaged records; `None` is the keyring's.
    stuck: Mutex<HashSet<Option<Namespace>>>,
    /// Receipts that can not be opened, and since when that is known.
    damaged_idempotency_records: Mutex<HashMap<Mac, Timestamp>>,
    /// The master keys that were put into use by themselves.
    taken: Mutex<HashSet<KeyId>>,
    limits: Limits,
    /// Told where keys may have become due at once.
    keys_due: Notify,
    anchor: Option<Arc<AnchorFile>>,
    /// How many documents may be computed at once.
    computing: Semaphore,
    started_at: Timestamp,
}

impl App {
    fn new(
        store: Arc<dyn Store>,
        provider: Arc<MasterKeyProvider>,
        catalog: Arc<Catalog>,
        anchor: Option<Arc<AnchorFile>>,
        options: Options,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (computing, restoring) = (Semaphore::new(processors), Arc::new(Semaphore::new(1)));
        Self {
            store,
            provider,
            catalog,
            data_dir: options.data_dir,
            turns: Turns::default(),
            restoring,
            rotating: Arc::default(),
            stuck: Mutex::default(),
            taken: Mutex::default(),
            damaged_idempotency_records: Mutex::default(),
            limits: options.limits,
            keys_due: Notify::new(),
            anchor,
            computing,
            started_at: now(),
        }
    }

    /// The keyring. What is planned with it is to be committed with it.
    fn keyring(&self) -> Arc<StoredKeyring> {
        self.catalog.keyring()
    }

    /// Waits until the catalog shows the revision of a record that was read. Fails where the store has come to none such: the
    /// record was not put there by this service.
    async fn shown(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.catalog.revision() && revision > self.store.revision().await? {
            return Err(Error::Integrity);
        }
        Ok(self.catalog.at_least(revision).await?)
    }

    /// Makes a transaction and waits until the catalog shows it. `Ok(None)`: a precondition did not hold, and the
    /// catalog now shows the state in which it did not. The keyring is that from before the transaction was planned: had
    /// the store been replaced since, by a restore, the plan would mix two states.
    async fn commit(
        &self,
        keyring: &Arc<StoredKeyring>,
        mut transaction: Transaction,
    ) -> Result<Option<Revision>, Error> {
        transaction.require.push(keyring.unchanged());
        transaction.digester = Some(keyring.digester(self.catalog.digest()));
        transaction.deadline = deadline::deadline();
        let (revision, made) = match self.store.commit(transaction).await {
            Ok(revision) => (revision, true),
            Err(CommitError::Conflict(revision)) => (revision, false),
            Err(CommitError::TooLarge) => {
                return Err(Error::Internal("a record is larger than the store takes"));
            }
            Err(CommitError::TooLate) => return Err(Error::TooLate),
            Err(CommitError::NoDigest) => {
                // In etcd it can be that of a store which was replaced since the keyring was looked at.
                let newest = self.store.revision().await?;
                self.catalog.at_least(newest).await?;
                let replaced = !Arc::ptr_eq(keyring, &self.keyring());
                return if replaced { Ok(None) } else { Err(Error::Integrity) };
            }
            Err(CommitError::Unavailable(why)) => return Err(why.into()),
        };
        self.catalog.at_least(revision).await?;
        Ok(made.then_some(revision))
    }
}
