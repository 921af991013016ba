//! What the service does. Every operation that needs a right takes the grant of it.

mod access;
mod change;
mod error;
mod generate;
mod operator;
mod page_token;
mod receipt;
mod reference;
mod secret;
mod setup;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use self::access::{Expiry, NewApiKey, Unauthenticated};
pub use self::change::{Changed, Deleted, NewSecret, Rotation, Source, Update};
pub use self::error::{CredentialProblem, Error};
pub use self::operator::Status;
pub use self::receipt::Idempotency;
pub use self::reference::{NamedSecret, Resolution};
pub use self::secret::{ListQuery, Revealed, SecretPage};
pub use self::setup::{SetupError, open, store_is_new};
use self::turns::Turns;
use crate::catalog::Catalog;
use crate::crypto::Keyring;
use crate::domain::{Revision, Timestamp, now};
use crate::store::{CommitError, Store, Transaction};

/// The service over one store.
pub struct App {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    catalog: Arc<Catalog>,
    turns: Turns,
    /// How many documents may be computed at once.
    computing: Semaphore,
    started_at: Timestamp,
}

impl App {
    fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, catalog: Arc<Catalog>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let computing = Semaphore::new(processors);
        Self { store, keyring, catalog, turns: Turns::default(), computing, started_at: now() }
    }

    /// Makes a transaction and waits until the catalog shows it. `Ok(None)`: a precondition did not hold, and the
    /// catalog now shows the state in which it did not.
    async fn commit(&self, transaction: Transaction) -> Result<Option<Revision>, Error> {
        let (revision, made) = match self.store.commit(transaction).await {
            Ok(revision) => (revision, true),
            Err(CommitError::Conflict(revision)) => (revision, false),
            Err(CommitError::TooLarge) => {
                return Err(Error::Internal("a record is larger than the store takes"));
            }
            Err(CommitError::Unavailable(why)) => return Err(why.into()),
        };
        self.catalog.at_least(revision).await?;
        Ok(made.then_some(revision))
    }
}
