//! Usage: which values were read by whom, and which API keys and bindings were used, to the minute.
//!
//! A use is noted in memory, within a bound, and stored soon after: regularly, and when the server stops. A crash loses what was not
//! stored by then. The store has one record for each secret, each API key and each binding. Each record is read, completed and put back on the
//! condition that it stays as it was, so that replicas over one store complete each other's: the later time counts.
//!
//! A note costs a request one look-up. It allocates nothing where the use is known in the same minute already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Error;
use super::authority::Authority;
use super::commit::{Attempt, Core, REQUEST_ATTEMPTS};
use super::secret::awaits_consumers;
use crate::auth::{ApiKeyId, BindingId, PrincipalName};
use crate::catalog::NamespaceCatalog;
use crate::crypto::{
    open_binding_usage, open_key_usage, open_secret_usage, seal_binding_usage, seal_key_usage,
    seal_secret_usage,
};
use crate::domain::{Clock, Minute, Secret, SecretId, SecretUsage};
use crate::integrity::StoredKeyring;
use crate::schema::NamespaceId;
use crate::store::{Entry, Expect, Key, Transaction};

/// In how many parts the notes are, each with a lock of its own.
const SHARDS: usize = 16;
/// How many notes a part has at most. Further ones are counted and dropped.
const SHARD_NOTES: usize = 4096;
/// How many secrets are awaited at most. Further ones retire their versions when the grace periods end.
const MAX_AWAITED: usize = 4096;
/// How many records a commit completes at most. Each takes up to two preconditions, and a store takes 120.
const AT_ONCE: usize = 50;
/// How many bytes a commit holds before the next record is left to another one.
const COMMIT_BYTES: usize = 256 * 1024;

/// The uses that were noted.
pub(super) struct UsageNotes {
    clock: Clock,
    shards: [Mutex<HashMap<Use, Note>>; SHARDS],
    /// Secrets with versions that retire once their consumers have moved on, of which a use was stored.
    awaited: Mutex<BTreeSet<(NamespaceId, SecretId)>>,
    /// How many uses found no room.
    dropped: AtomicU64,
    /// Told when there is little room left.
    full: Notify,
}

/// A use of something by somebody.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Use {
    /// The value of a version was read.
    Read { namespace: NamespaceId, secret: SecretId, version: u32, principal: PrincipalName },
    /// An API key authenticated a caller.
    Key(ApiKeyId),
}

/// When it was.
#[derive(Clone, Copy)]
struct Note {
    at: Minute,
    /// Whether the store has it.
    stored: bool,
}

/// All uses that concern one record.
enum Uses {
    Secret { namespace: NamespaceId, secret: SecretId, reads: Vec<(u32, PrincipalName, Minute)> },
    Key { id: ApiKeyId, at: Minute },
    Binding { id: BindingId, at: Minute },
}

impl UsageNotes {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            shards: Default::default(),
            awaited: Mutex::default(),
            dropped: AtomicU64::new(0),
            full: Notify::new(),
        }
    }

    /// Notes that a caller was given the value of a version.
    pub(super) fn note_read(
        &self,
        namespace: &NamespaceCatalog,
        secret: SecretId,
        version: u32,
        principal: &PrincipalName,
    ) {
        let (namespace, principal) = (namespace.id(), principal.clone());
        self.note(Use::Read { namespace, secret, version, principal }, Minute::of(self.clock.now()));
    }

    #[cfg(test)]
    pub(super) fn note_read_at(
        &self,
        namespace: &NamespaceCatalog,
        secret: SecretId,
        version: u32,
        principal: &PrincipalName,
        at: Minute,
    ) {
        let (namespace, principal) = (namespace.id(), principal.clone());
        self.note(Use::Read { namespace, secret, version, principal }, at);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Notes that an API key has authenticated a caller.
    pub(super) fn note_key(&self, id: ApiKeyId) {
        self.note(Use::Key(id), Minute::of(self.clock.now()));
    }

    fn note(&self, used: Use, at: Minute) {
        let Some(mut notes) = self.shard(&used) else { return };
        if let Some(note) = notes.get_mut(&used) {
            if note.at < at {
                *note = Note { at, stored: false };
            }
            return;
        }
        if notes.len() >= SHARD_NOTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            notes.insert(used, Note { at, stored: false });
        }
        if notes.len() == SHARD_NOTES / 2 {
            self.full.notify_one();
        }
    }

    /// Takes what the store does not have yet, and forgets what it has, but for the uses of this minute.
    fn take(&self, present: Minute) -> Vec<Uses> {
        let mut secrets = BTreeMap::<_, Vec<_>>::new();
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut notes = lock(shard);
            notes.retain(|_, note| !note.stored || note.at >= present);
            for (used, note) in notes.iter_mut().filter(|(_, note)| !note.stored) {
                note.stored = true;
                match used.clone() {
                    Use::Read { namespace, secret, version, principal } => {
                        let reads = secrets.entry((namespace, secret)).or_default();
                        reads.push((version, principal, note.at));
                    }
                    Use::Key(id) => all.push(Uses::Key { id, at: note.at }),
                }
            }
        }
        let uses = |((namespace, secret), reads)| Uses::Secret { namespace, secret, reads };
        all.extend(secrets.into_iter().map(uses));
        all
    }

    /// Takes uses back that could not be stored.
    fn give_back(&self, uses: Vec<Uses>) {
        let give_back = |used: Use, at| {
            let Some(mut notes) = self.shard(&used) else { return };
            let note = notes.get(&used).copied();
            // A later use is not stored either, and says more.
            if note.is_none_or(|note| note.at <= at) && (note.is_some() || notes.len() < SHARD_NOTES) {
                notes.insert(used, Note { at, stored: false });
            }
        };
        for uses in uses {
            match uses {
                Uses::Secret { namespace, secret, reads } => {
                    for (version, principal, at) in reads {
                        give_back(Use::Read { namespace, secret, version, principal }, at);
                    }
                }
                Uses::Key { id, at } => give_back(Use::Key(id), at),
                // The policy still knows it.
                Uses::Binding { .. } => {}
            }
        }
    }

    /// Notes that a secret has versions to retire once their consumers have moved on.
    pub(super) fn wait_for(&self, namespace: NamespaceId, secret: SecretId) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.len() < MAX_AWAITED {
            awaited.insert((namespace, secret));
        }
    }

    /// Takes the secrets that are awaited.
    pub(super) fn take_awaited(&self) -> BTreeSet<(NamespaceId, SecretId)> {
        std::mem::take(&mut *self.awaited.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is little room left.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }

    /// The part that a use belongs to. Ids end with random bytes.
    fn shard(&self, used: &Use) -> Option<MutexGuard<'_, HashMap<Use, Note>>> {
        let last = match used {
            Use::Read { secret, .. } => secret.as_bytes().last(),
            Use::Key(id) => id.0.last(),
        };
        self.shards.get(last.map_or(0, |byte| usize::from(*byte) % SHARDS)).map(lock)
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// Stores the uses that were noted. What cannot be stored because the store does not serve is tried again with the next call.
    pub(super) async fn store_usage(&self) -> Result<(), Error> {
        let dropped = self.usage.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "uses of secrets and API keys were not noted: there were too many at once"
            );
        }
        let mut left = self.usage.take(Minute::of(self.clock.now()));
        self.catalog.with_policy(|policy| {
            left.extend(policy.unstored_uses().map(|(id, at)| Uses::Binding { id, at }));
        });
        while !left.is_empty() {
            let stored = match self.store_some(&left).await {
                Err(Error::Integrity | Error::Contended) => self.store_each(&left).await,
                stored => stored,
            };
            match stored {
                Ok(stored) => drop(left.drain(..stored.min(left.len()))),
                Err(error) => {
                    self.usage.give_back(left);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Stores the first of these uses one by one, since one of them is in the way of the others. Those that cannot be stored are
    /// dropped: their records, or those of their secrets, were altered from outside. Returns how many are done.
    async fn store_each(&self, left: &[Uses]) -> Result<usize, Error> {
        let (mut done, mut dropped) = (0, 0);
        for uses in left.iter().take(AT_ONCE) {
            match self.store_some(std::slice::from_ref(uses)).await {
                Ok(_) => {}
                Err(Error::Integrity | Error::Contended) => dropped += 1,
                Err(error) => return Err(error),
            }
            done += 1;
        }
        if dropped > 0 {
            tracing::warn!(dropped, "uses of secrets and API keys could not be stored, and are dropped");
        }
        Ok(done)
    }

    /// Stores the first of these uses, as many as fit into a commit. Returns how many are done.
    async fn store_some(&self, left: &[Uses]) -> Result<usize, Error> {
        let mut attempts = self.attempts(REQUEST_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let (transaction, taken) = self.plan_usage(&attempt, left).await?;
            if transaction.put.is_empty() || attempt.commit(transaction).await?.is_some() {
                return Ok(taken);
            }
        }
    }

    async fn plan_usage(&self, attempt: &Attempt<'_>, left: &[Uses]) -> Result<(Transaction, usize), Error> {
        let (mut transaction, mut taken, mut bytes) = (Transaction::default(), 0, 0);
        for uses in left.iter().take(AT_ONCE) {
            if bytes > COMMIT_BYTES {
                break;
            }
            taken += 1;
            let planned = match uses {
                Uses::Secret { namespace, secret, reads } => {
                    self.plan_reads(attempt, *namespace, *secret, reads).await?
                }
                Uses::Key { id, at } => self.plan_key(attempt, *id, *at).await?,
                Uses::Binding { id, at } => self.plan_binding(attempt, *id, *at).await?,
            };
            let Some(planned) = planned else { continue };
            bytes += planned.record.len();
            planned.add_to(&mut transaction);
        }
        Ok((transaction, taken))
    }

    /// `None` where there is nothing new, or the secret is gone.
    async fn plan_reads(
        &self,
        attempt: &Attempt<'_>,
        namespace: NamespaceId,
        id: SecretId,
        reads: &[(u32, PrincipalName, Minute)],
    ) -> Result<Option<Planned>, Error> {
        let of_id = || self.catalog.namespace_of(namespace)?.secret_of(id);
        let Some(secret) = of_id() else { return Ok(None) };
        let note = |usage: &mut SecretUsage| {
            reads.iter().fold(false, |news, (version, principal, at)| {
                usage.note(*version, &principal.to_string(), *at) || news
            })
        };
        Ok(self.plan_secret_usage(attempt, namespace, &secret, note).await?.map(|(planned, _)| planned))
    }

    /// The record of a secret's usage after a change of it, and the usage. `None` where the change says that there is nothing new.
    pub(super) async fn plan_secret_usage(
        &self,
        attempt: &Attempt<'_>,
        namespace: NamespaceId,
        secret: &Secret,
        change: impl FnOnce(&mut SecretUsage) -> bool,
    ) -> Result<Option<(Planned, SecretUsage)>, Error> {
        let (before, mut usage) = self.stored_usage(&attempt.keyring, namespace, secret.id).await?;
        if !change(&mut usage) {
            return Ok(None);
        }
        if awaits_consumers(secret, self.clock.now()) {
            self.usage.wait_for(namespace, secret.id);
        }
        usage.trim(|number| has_value(secret, number));
        let record = seal_secret_usage(&attempt.keyring, (namespace, secret.id), &usage)?;
        let unchanged = (Key::secret(namespace, secret.id), Expect::At(secret.stored_at));
        let key = Key::secret_usage(namespace, secret.id);
        Ok(Some((Planned { unchanged, key, before, record }, usage)))
    }

    /// The record of a secret's usage, and what it says. A record that does not open says nothing.
    pub(super) async fn stored_usage(
        &self,
        keyring: &StoredKeyring,
        namespace: NamespaceId,
        id: SecretId,
    ) -> Result<(Option<Entry>, SecretUsage), Error> {
        let stored = self.store.get(&Key::secret_usage(namespace, id)).await?;
        let opened = stored.as_ref().map(|entry| open_secret_usage(keyring, (namespace, id), &entry.value));
        Ok((stored, opened.and_then(Result::ok).unwrap_or_default()))
    }

    /// `None` where there is nothing new, or the key is gone.
    async fn plan_key(
        &self,
        attempt: &Attempt<'_>,
        id: ApiKeyId,
        at: Minute,
    ) -> Result<Option<Planned>, Error> {
        let Some(api_key) = self.catalog.api_key(id) else { return Ok(None) };
        let key = Key::key_usage(&id.0);
        let before = self.store.get(&key).await?;
        let opened = before.as_ref().map(|entry| open_key_usage(&attempt.keyring, &id.0, &entry.value));
        if opened.and_then(Result::ok).is_some_and(|known| known >= at) {
            return Ok(None);
        }
        let record = seal_key_usage(&attempt.keyring, &id.0, at)?;
        let unchanged = (Key::api_key(&id.0), Expect::At(api_key.revision));
        Ok(Some(Planned { unchanged, key, before, record }))
    }

    /// `None` where there is nothing new, or the binding is gone.
    async fn plan_binding(
        &self,
        attempt: &Attempt<'_>,
        id: BindingId,
        at: Minute,
    ) -> Result<Option<Planned>, Error> {
        let binding = self.catalog.with_policy(|policy| policy.binding(id).cloned());
        let Some(binding) = binding else { return Ok(None) };
        let key = Key::binding_usage(&id.0);
        let before = self.store.get(&key).await?;
        let opened = before.as_ref().map(|entry| open_binding_usage(&attempt.keyring, &id.0, &entry.value));
        if opened.and_then(Result::ok).is_some_and(|known| known >= at) {
            return Ok(None);
        }
        let record = seal_binding_usage(&attempt.keyring, &id.0, at)?;
        let unchanged = (Key::binding(&id.0), Expect::At(binding.revision));
        Ok(Some(Planned { unchanged, key, before, record }))
    }

    /// The usage of a secret that is in the store; none where its record does not open.
    pub(super) async fn usage_of(
        &self,
        namespace: &NamespaceCatalog,
        secret: &Secret,
    ) -> Result<SecretUsage, Error> {
        let place = (namespace.id(), secret.id);
        let Some(entry) = self.store.get(&Key::secret_usage(place.0, place.1)).await? else {
            return Ok(SecretUsage::default());
        };
        // The keyring that sealed it can be newer than the one that the catalog had a moment ago.
        self.wait_visible(entry.revision).await.or_else(|error| match error {
            Error::Integrity => Ok(()),
            other => Err(other),
        })?;
        let open = |keyring: &StoredKeyring| open_secret_usage(keyring, place, &entry.value);
        let mut usage = open(&self.keyring()).unwrap_or_else(|error| {
            tracing::warn!(secret = %secret.id, cause = %error, "a record of usage cannot be opened, and is not shown");
            SecretUsage::default()
        });
        usage.trim(|number| has_value(secret, number));
        Ok(usage)
    }
}

/// A record of usage that is to be put.
pub(super) struct Planned {
    /// What was used is as it was.
    unchanged: (Key, Expect),
    key: Key,
    /// The record that it replaces.
    before: Option<Entry>,
    record: Vec<u8>,
}

impl Planned {
    /// Adds the record to a transaction.
    pub(super) fn add_to(self, transaction: &mut Transaction) {
        let Self { unchanged, key, before, record } = self;
        let expect = before.map_or(Expect::Absent, |before| Expect::At(before.revision));
        transaction.require.extend([unchanged, (key.clone(), expect)]);
        transaction.put.push((key, record));
    }
}

fn has_value(secret: &Secret, number: u32) -> bool {
    secret.versions.find(number).is_some_and(crate::domain::Version::is_stored)
}
