//! Rekeying: new keys in place of old ones, while the service goes on.
//!
//! A rekey adds a generation to a key, seals again with it everything that an earlier generation has sealed, and then removes
//! the earlier generations. The records themselves show its progress, so any process can end a
//! rekey that was cut short. Nothing can be sealed by a generation that was removed meanwhile: every commit requires the
//! keys that it was planned with.
//!
//! The wire and the command line call this the rotation of the master key and of namespace keys.

mod master_key;
#[cfg(test)]
mod master_key_tests;
mod namespace_key;
mod rewrap;
mod tend;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedMutexGuard};

use super::Error;
use super::commit::Core;
use crate::auth::{Operate, ServiceGrant};
use crate::crypto::KeyId;
use crate::domain::Namespace;

/// The keys of the service: their status, and their rekeys.
pub struct Rekeying {
    core: Arc<Core>,
    /// Held by the one rekey that runs in this process.
    running: Arc<tokio::sync::Mutex<()>>,
    /// The keys whose last rekey met damaged records, and so did not end.
    stuck: Mutex<HashSet<RekeyScope>>,
    /// The master keys that this process has put into use without being asked.
    adopted: Mutex<HashSet<KeyId>>,
    /// Notified when a restore has replaced the store.
    restored: Arc<Notify>,
}

/// The key that a rekey replaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum RekeyScope {
    /// The keyring's key, which also means to wrap the keyring for the present master key.
    Keyring,
    /// The key of one namespace.
    Namespace(Namespace),
}

/// How far a rekey is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyProgress {
    /// How many records it has looked at.
    pub seen: u64,
    /// How many records there are, roughly.
    pub total: u64,
}

/// A function that is told how far a rekey is.
type Listener<'a> = &'a (dyn Fn(RekeyProgress) + Send + Sync);

/// The outcome of a rekey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    /// The generation of the key that seals now.
    pub generation: u32,
    /// How many records it has looked at.
    pub seen: u64,
    /// How many records cannot be opened, and were not sealed again. Where there are any, the earlier generations stay in use.
    pub damaged: u64,
}

/// What the service tells about its keys.
pub struct KeyStatus {
    /// Where the master key comes from.
    pub source: String,
    /// The master key in use.
    pub master: KeyId,
    /// The master keys that open the keyring: only the one in use, unless a rekey is under way.
    pub opened_by: Vec<KeyId>,
    /// The generations of the keyring's key that are in use, oldest first.
    pub generations: Vec<u32>,
    /// How many seals the newest generation has made, at most.
    pub seals: u64,
    /// After how many seals the service replaces a key by itself.
    pub limit: u64,
    /// How many namespaces there are.
    pub namespaces: usize,
    /// The namespaces whose keys are being replaced, in order.
    pub rekeying: Vec<Namespace>,
}

/// The permission to replace keys. There is one in a process at a time. The rekey runs to its end even where the caller does
/// not wait for it.
pub struct RekeyPermit {
    rekeying: Arc<Rekeying>,
    _running: OwnedMutexGuard<()>,
}

impl Rekeying {
    pub(super) fn new(core: Arc<Core>, restored: Arc<Notify>) -> Self {
        Self { core, running: Arc::default(), stuck: Mutex::default(), adopted: Mutex::default(), restored }
    }

    /// What the service tells about its keys.
    pub fn status(&self, _grant: &ServiceGrant<Operate>) -> Result<KeyStatus, Error> {
        let (keyring, masters) = (self.core.keyring(), self.core.master_key.keys());
        let namespaces = self.core.catalog.namespaces();
        let keys = namespaces.iter().map(|namespace| namespace.keys());
        let rekeying = keys.filter(|keys| keys.generations().len() > 1);
        let mut rekeying: Vec<_> = rekeying.map(|keys| keys.namespace().clone()).collect();
        rekeying.sort_unstable();
        Ok(KeyStatus {
            source: self.core.master_key.source().to_string(),
            master: masters.current_id()?,
            opened_by: keyring.masters().to_vec(),
            generations: keyring.generations(),
            seals: self.core.seals_since(keyring.since()),
            limit: self.core.seal_limits.rekey_at,
            namespaces: namespaces.len(),
            rekeying,
        })
    }

    /// Permits a rekey, unless one is running in this process.
    pub fn begin(self: &Arc<Self>, _grant: &ServiceGrant<Operate>) -> Result<RekeyPermit, Error> {
        let running = self.running.clone().try_lock_owned();
        let running = running.map_err(|_| Error::Busy("Keys are being rotated"))?;
        Ok(RekeyPermit { rekeying: self.clone(), _running: running })
    }

    /// Notes the outcome of a rekey, in the log and for [`Rekeying::tend`].
    fn note(&self, scope: RekeyScope, rekeyed: &Rekeyed) {
        let (generation, damaged) = (rekeyed.generation, rekeyed.damaged);
        let namespace = matches!(scope, RekeyScope::Namespace(_));
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged == 0 {
            tracing::info!(namespace, generation, "a key was replaced");
            stuck.remove(&scope);
        } else {
            tracing::error!(
                namespace,
                generation,
                damaged,
                "a key was replaced, and the earlier one stays in use for damaged records"
            );
            stuck.insert(scope);
        }
    }
}

impl RekeyPermit {
    /// Puts a new master key and a new key of the keyring into use, and seals again everything that the keyring seals. If
    /// such a rekey was begun before, it is ended, and nothing else is done.
    pub async fn rekey_master_key(
        &self,
        progress: impl Fn(RekeyProgress) + Send + Sync,
    ) -> Result<Rekeyed, Error> {
        let rekeyed = self.rekeying.rekey_master_key(&progress).await?;
        self.rekeying.note(RekeyScope::Keyring, &rekeyed);
        Ok(rekeyed)
    }

    /// Puts a new key of a namespace into use, and seals again everything in the namespace but the values. If such a rekey
    /// was begun before, it is ended, and nothing else is done.
    pub async fn rekey_namespace(
        &self,
        namespace: &Namespace,
        progress: impl Fn(RekeyProgress) + Send + Sync,
    ) -> Result<Rekeyed, Error> {
        let rekeyed = self.rekeying.rekey_namespace(namespace, &progress).await?;
        self.rekeying.note(RekeyScope::Namespace(namespace.clone()), &rekeyed);
        Ok(rekeyed)
    }

    /// All namespaces whose keys can be replaced, in order.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let namespaces = self.rekeying.core.catalog.namespaces();
        let mut names: Vec<_> =
            namespaces.iter().map(|namespace| namespace.keys().namespace().clone()).collect();
        names.sort_unstable();
        names
    }
}
