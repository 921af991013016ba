use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::{Namespace, SecretName};

/// Lets writers of the same secret in this process go one after the other, in the order in which they came, instead of
/// racing for the commit. Correctness does not depend on it: the commit's preconditions see to that.
pub(super) struct Turns {
    hasher: RandomState,
    stripes: Vec<Arc<Mutex<()>>>,
}

const STRIPES: usize = 1024;

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), stripes: (0..STRIPES).map(|_| Arc::default()).collect() }
    }
}

impl Turns {
    /// Waits for the turn of a writer of this secret, which lasts until the guard is dropped.
    pub(super) async fn of(&self, namespace: &Namespace, name: &SecretName) -> Option<OwnedMutexGuard<()>> {
        let hash = usize::try_from(self.hasher.hash_one((namespace, name)) % STRIPES as u64).unwrap_or(0);
        match self.stripes.get(hash) {
            Some(stripe) => Some(stripe.clone().lock_owned().await),
            None => None,
        }
    }
}
