//! Locks on secrets, within this process.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::auth::{Principal, PrincipalName};
use crate::domain::{Namespace, SecretName};
use crate::limits::{FairQueue, Turn};

/// Lets writers of one secret in this process wait for each other instead of racing for the commit. Principals take turns. Correctness does not depend on it: what a commit requires sees to that. Two secrets can share a lock.
pub(super) struct SecretLocks {
    hasher: RandomState,
    locks: Vec<Arc<FairQueue<PrincipalName>>>,
}

const LOCKS: usize = 1024;

impl Default for SecretLocks {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            locks: (0..LOCKS).map(|_| FairQueue::new(1, usize::MAX)).collect(),
        }
    }
}

impl SecretLocks {
    /// Waits for the lock on a secret. The lock is held until the guard is dropped.
    pub(super) async fn lock(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Option<Turn<PrincipalName>> {
        let at = usize::try_from(self.hasher.hash_one((namespace, name)) % LOCKS as u64).unwrap_or(0);
        match self.locks.get(at) {
            Some(lock) => lock.turn(principal.name()).await.ok(),
            None => None,
        }
    }
}
