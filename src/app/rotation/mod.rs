//! Rotation of the keys, while the service goes on.
//!
//! A rotation puts one more generation of a key into use, seals everything anew that an earlier one sealed, and then lets
//! go of those. How far it is stands in the records themselves, so that one that was cut short is taken up wherever it is.
//! Nothing can be sealed by a generation that was let go meanwhile: every commit requires the keys that it was planned with.

mod limit;
mod master;
mod namespace;
mod pass;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};

use tokio::sync::OwnedMutexGuard;

pub use self::limit::Limits;
use super::{App, Error};
use crate::auth::{Operate, ServiceGrant};
use crate::crypto::KeyId;
use crate::domain::Namespace;
use crate::integrity::StoredNamespaceKeys;

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many records were looked at.
    pub seen: u64,
    /// How many there are, roughly.
    pub total: u64,
}

/// What a rotation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Which generation of the key seals now.
    pub generation: u32,
    /// How many records were looked at.
    pub seen: u64,
    /// How many records could not be opened, and so could not be sealed anew. Where there are any, the earlier generations
    /// stay in use.
    pub damaged: u64,
}

/// The keys of the service, as far as they may be told.
pub struct KeyStatus {
    /// Where the master key comes from.
    pub source: String,
    /// The master key in use.
    pub master: KeyId,
    /// The master keys that open the keyring: the one in use alone, unless a rotation is going on.
    pub opened_by: Vec<KeyId>,
    /// The generations of the keyring's key that are in use, oldest first.
    pub generations: Vec<u32>,
    /// How many seals the newest one has made, at most.
    pub seals: u64,
    /// How many seals a key makes at most before it is rotated by itself.
    pub limit: u64,
    /// How many namespaces there are.
    pub namespaces: usize,
    /// Those whose keys are being rotated, in order.
    pub rotating: Vec<Namespace>,
}

impl App {
    /// The keys of the service, as far as they may be told.
    pub fn key_status(&self, _grant: &ServiceGrant<Operate>) -> Result<KeyStatus, Error> {
        let (keyring, masters) = (self.keyring(), self.provider.keys());
        let namespaces = self.catalog.namespaces();
        let rotating = namespaces.iter().map(|there| there.keys());
        let rotating = rotating.filter(|keys| keys.generations().len() > 1);
        let mut rotating: Vec<_> = rotating.map(|keys| keys.namespace().clone()).collect();
        rotating.sort_unstable();
        Ok(KeyStatus {
            source: self.provider.source().to_string(),
            master: masters.current_id()?,
            opened_by: keyring.masters().to_vec(),
            generations: keyring.generations(),
            seals: self.catalog.digest().seals.saturating_sub(keyring.since()),
            limit: self.limits.rotate_at,
            namespaces: namespaces.len(),
            rotating,
        })
    }

    /// Begins a rotation, unless one is going on in this process.
    pub fn rotation(self: &Arc<Self>, _grant: &ServiceGrant<Operate>) -> Result<KeyRotation, Error> {
        let turn =
            self.rotating.clone().try_lock_owned().map_err(|_| Error::Busy("Keys are being rotated"))?;
        Ok(KeyRotation { app: self.clone(), _turn: turn })
    }

    /// Waits until keys may have become due all at once: the store was replaced.
    pub async fn keys_due(&self) {
        self.keys_due.notified().await;
    }

    /// Takes up the rotations that were cut short, and rotates the keys that have sealed as much as they should. Does nothing
    /// while somebody else's goes on, which is going to end by itself.
    pub async fn tend_keys(self: &Arc<Self>) -> Result<(), Error> {
        let told = |_: Rewrapped| {};
        // The turn is taken for what is due, and for no look at it: whoever asks for a rotation meanwhile would be refused.
        if self.is_keyring_tended()? {
            let Ok(_turn) = self.rotating.try_lock() else { return Ok(()) };
            if self.is_keyring_tended()? {
                let rotated = self.rotate_keyring(&told).await?;
                self.note_rotation(None, &rotated);
                self.note_taken()?;
            }
        }
        for there in self.catalog.namespaces() {
            if !self.is_namespace_tended(&there.keys()) {
                continue;
            }
            let Ok(_turn) = self.rotating.try_lock() else { return Ok(()) };
            let keys = there.keys();
            if self.is_namespace_tended(&keys) {
                let rotated = self.rotate_namespace_key(keys.namespace(), &told).await?;
                self.note_rotation(Some(keys.namespace()), &rotated);
            }
        }
        Ok(())
    }
}

impl App {
    /// Whether the keyring's key is to be rotated by itself.
    fn is_keyring_tended(&self) -> Result<bool, Error> {
        Ok(self.master_key_is_due()? && !self.is_stuck(None))
    }

    /// Whether a namespace's key is to be rotated by itself.
    fn is_namespace_tended(&self, keys: &StoredNamespaceKeys) -> bool {
        let due = keys.generations().len() > 1 || self.is_due(keys.since());
        due && !self.is_stuck(Some(keys.namespace()))
    }

    /// Whether the rotation of a key, the keyring's where none is named, met records that it could not seal anew. It is tried
    /// again when somebody asks for it, or after the next start.
    fn is_stuck(&self, of: Option<&Namespace>) -> bool {
        let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.contains(&of.cloned())
    }

    fn note_rotation(&self, of: Option<&Namespace>, rotated: &Rotated) {
        let (generation, damaged) = (rotated.generation, rotated.damaged);
        let namespace = of.is_some();
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged == 0 {
            tracing::info!(namespace, generation, "a key was rotated");
            stuck.remove(&of.cloned());
        } else {
            tracing::error!(
                namespace,
                generation,
                damaged,
                "a key was rotated, and the earlier one is kept for damaged records"
            );
            stuck.insert(of.cloned());
        }
    }
}

/// The turn to rotate keys, of which there is one. It is not cut short by whoever waits for it: it ends when it is done.
pub struct KeyRotation {
    app: Arc<App>,
    _turn: OwnedMutexGuard<()>,
}

/// Whoever wants to know how far a rotation is.
pub trait Progress: Fn(Rewrapped) + Send + Sync {}

impl<F: Fn(Rewrapped) + Send + Sync> Progress for F {}

impl KeyRotation {
    /// Puts a new master key into use, and has the keyring and everything that it seals sealed anew. A rotation that was
    /// begun is ended.
    pub async fn rotate_master_key(&self, progress: impl Progress) -> Result<Rotated, Error> {
        let rotated = self.app.rotate_master_key(&progress).await?;
        self.app.note_rotation(None, &rotated);
        Ok(rotated)
    }

    /// Puts a new key of a namespace into use, and has everything in it sealed anew but the values. A rotation that was begun
    /// is ended.
    pub async fn rotate_namespace_key(
        &self,
        namespace: &Namespace,
        progress: impl Progress,
    ) -> Result<Rotated, Error> {
        let rotated = self.app.rotate_namespace_key(namespace, &progress).await?;
        self.app.note_rotation(Some(namespace), &rotated);
        Ok(rotated)
    }

    /// All namespaces whose keys can be rotated, in order.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let there = self.app.catalog.namespaces();
        let mut names: Vec<_> = there.iter().map(|there| there.keys().namespace().clone()).collect();
        names.sort_unstable();
        names
    }
}
