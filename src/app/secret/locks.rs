//! Locks on secrets, within this process.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::{Namespace, SecretName};

/// Lets writers of one secret in this process wait for each other, first come, first served, instead of racing for the
/// commit. Correctness does not depend on it: what a commit requires sees to that. Two secrets can share a lock.
pub(super) struct SecretLocks {
    hasher: RandomState,
    locks: Vec<Arc<Mutex<()>>>,
}

const LOCKS: usize = 1024;

impl Default for SecretLocks {
    fn default() -> Self {
        Self { hasher: RandomState::new(), locks: (0..LOCKS).map(|_| Arc::default()).collect() }
    }
}

impl SecretLocks {
    /// Waits for the lock on a secret. The lock is held until the guard is dropped.
    pub(super) async fn lock(&self, namespace: &Namespace, name: &SecretName) -> Option<OwnedMutexGuard<()>> {
        let at = usize::try_from(self.hasher.hash_one((namespace, name)) % LOCKS as u64).unwrap_or(0);
        match self.locks.get(at) {
            Some(lock) => Some(lock.clone().lock_owned().await),
            None => None,
        }
    }
}
