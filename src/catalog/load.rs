//! Builds the catalog's state from the whole store, and keeps it current with the store's changes.
//!
//! [`scan`] reads every record and checks the result against the store's digest. [`follow`] then applies change after
//! change, each checked against the digest too. A change that does not carry the digest forward was not made by this
//! service: its records are marked as damaged, and none of them is served.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinHandle};

use super::due::DueAlarm;
use super::reload::reload;
use super::sizes::{SizeScan, ValueSizes};
use super::state::State;
use super::{Catalog, LoadError};
use crate::crypto::MasterKeys;
use crate::domain::Revision;
use crate::integrity::StoredKeyring;
use crate::integrity::{Divergence, Inventory, StoreDigest};
use crate::limits::{Quota, Quotas};
use crate::schema::Kind;
use crate::store::{Change, Entry, Key, Pages, Store, Unavailable, Watch, WatchEnd};

/// How many records a scan reads from the store at a time: enough to be opened on several processors. Fewer in tests, whose stores are small.
const SCAN_PAGE: usize = if cfg!(test) { 500 } else { 4000 };
/// For how long a scan reads pages before it applies the changes that were made meanwhile. The store's log of them is bounded, so this
/// is short.
const PART: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

/// Applies every change, in order. Ends when the catalog is dropped or the store is closed. Where the watch ends early, or
/// a change cannot be applied, the whole store is loaded again.
pub(super) async fn follow(catalog: Weak<Catalog>, mut watch: Watch) {
    loop {
        let applied = match watch.next().await {
            Ok(change) => {
                let Some(catalog) = catalog.upgrade() else { return };
                let state = catalog.state();
                let applied = apply(&state, catalog.provider.keys(), &change).await;
                if applied != Applied::Nothing && touches_access(&change) {
                    catalog.access_changes.send_replace(());
                }
                match applied {
                    Applied::Change { position } => {
                        let name = |id| Some(state.namespace_of(id)?.keys().namespace().clone());
                        catalog.hub.publish(&state.keyring(), &change, position, name);
                    }
                    Applied::Foreign => catalog.hub.publish_foreign(change.revision),
                    Applied::Nothing => {}
                }
                applied != Applied::Nothing
            }
            // The catalog fell too far behind, or the store was replaced.
            Err(WatchEnd::Compacted) => false,
            Err(WatchEnd::Closed) => return,
        };
        if !applied {
            match reload(&catalog).await {
                Some(continued) => watch = continued,
                None => return,
            }
        }
    }
}

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applied {
    /// It was applied. The events that it appends have this position.
    Change { position: u64 },
    /// Something other than this service made it: its records are marked as damaged.
    Foreign,
    /// It is not applied: the keyring in it does not open, or it belongs to a history that has left the one that was seen.
    Nothing,
}

/// Applies a change to the state.
async fn apply(state: &State, master: Arc<MasterKeys>, change: &Change) -> Applied {
    // Every commit of this service replaces the digest by the one that follows it. Only the keyring makes such a digest,
    // and no replica continues from an older one.
    let (before, keyring) = (state.digest(), state.keyring());
    let digest = match digest_in(state, change) {
        Some(digest) if digest.is_next_to(&before, &keyring, change) => digest,
        // A replica made it, in a history that has left this one while the store was out of sight.
        Some(digest) if digest.continues(&before) == Err(Divergence::Left) => return Applied::Nothing,
        Some(_) | None => {
            state.mark_damaged(change);
            return Applied::Foreign;
        }
    };
    if let Some(record) = put_in(change, &Key::keyring()) {
        match StoredKeyring::open(master, record, change.revision).await {
            Ok(keyring) => state.set_keyring(keyring),
            Err(_) => return Applied::Nothing,
        }
    }
    let position = digest.commits;
    state.set_digest(digest);
    state.apply(change);
    Applied::Change { position }
}

fn touches_access(change: &Change) -> bool {
    let mut keys = change.put.iter().map(|(key, _)| key).chain(&change.delete);
    keys.any(|key| {
        matches!(key.kind(), Kind::ApiKey(_) | Kind::Role(_) | Kind::Binding(_) | Kind::AccessEpoch)
    })
}

/// The digest that a change puts, where the state's keyring opens it.
fn digest_in(state: &State, change: &Change) -> Option<StoreDigest> {
    StoreDigest::open(&state.keyring(), put_in(change, &Key::digest())?).ok()
}

/// The record that a change puts at a key.
fn put_in<'a>(change: &'a Change, key: &Key) -> Option<&'a [u8]> {
    change.put.iter().find(|(put, _)| put == key).map(|(_, record)| record.as_slice())
}

/// The state of the whole store, its revision, and a watch of the changes after that.
///
/// A scan does not show one moment, and it can show changes that are not durable yet. So the changes made meanwhile are
/// applied on top, up to the newest one that the scan can have shown. The result is returned only if the digest matches it.
pub(super) async fn scan(
    store: &dyn Store,
    master: Arc<MasterKeys>,
    due: &Arc<DueAlarm>,
    quotas: &Arc<[Quota]>,
) -> Result<(State, Revision, Watch), LoadError> {
    loop {
        let quotas = Quotas::new(quotas.clone());
        if let Some(scanned) = scan_once(store, master.clone(), due.clone(), quotas).await? {
            return Ok(scanned);
        }
        tracing::info!(
            "the store was replaced, or it changed faster than it could be read: the scan starts again"
        );
    }
}

/// One scan; `None` where another one has to start.
async fn scan_once(
    store: &dyn Store,
    master: Arc<MasterKeys>,
    due: Arc<DueAlarm>,
    quotas: Arc<Quotas>,
) -> Result<Option<(State, Revision, Watch)>, LoadError> {
    let reached = store.durable();
    let watch = store.watch(reached);
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master, &record.value, record.revision).await?;
    let stored = store.get(&Key::digest()).await?.ok_or(LoadError::Altered)?;
    let digest = StoreDigest::open(&keyring, &stored.value).map_err(|_| LoadError::Altered)?;
    let mut inventory = Inventory::default();
    inventory.put(&Key::keyring(), &record.value);
    let (state, digest_at) = (Arc::new(State::new(keyring, digest, due, quotas)), stored.revision);
    let mut scan = Scan { state, inventory, watch, reached, digest_at, beyond: HashMap::new() };
    let prefixes = [
        Key::namespaces(),
        Key::api_keys(),
        Key::roles(),
        Key::bindings(),
        Key::access_epoch(),
        Key::secrets(),
        Key::names(),
        Key::idempotency_records(),
        // After what was used.
        Key::secret_usages(),
        Key::key_usages(),
        Key::binding_usages(),
    ];
    let mut sizes = SizeScan::new(store);
    for prefix in prefixes {
        let mut pages = Pages::new(store, prefix, SCAN_PAGE);
        let mut next = pages.next().await?;
        let mut began = Instant::now();
        while let Some(found) = next {
            let sizes = match scan.state.quotas.limit_bytes() {
                true => sizes.of(&found, &scan.state).await?,
                false => ValueSizes::default(),
            };
            let opening = scan.open(found, sizes);
            // A page that was read before changes are applied is opened before that too: otherwise its older records would replace
            // theirs.
            let ends = began.elapsed() >= PART;
            next = if ends { None } else { pages.next().await? };
            scan.note(opening.await.map_err(defect)?);
            if ends {
                if !scan.catch_up(store.durable()).await? {
                    return Ok(None);
                }
                (next, began) = (pages.next().await?, Instant::now());
            }
        }
        if !scan.catch_up(store.durable()).await? {
            return Ok(None);
        }
    }
    if !scan.catch_up(store.revision().await?).await? {
        return Ok(None);
    }
    let Scan { state, inventory, watch, reached, digest_at, mut beyond } = scan;
    let state =
        Arc::into_inner(state).ok_or_else(|| Unavailable("a record of it is still being opened".into()))?;
    // Revisions are not sealed, so that a false one must be noticed: none is later than the store's own revision, and no
    // store gets as far as `NEVER_REACHED`.
    if digest_at > reached || reached >= NEVER_REACHED {
        return Err(LoadError::Altered);
    }
    beyond.retain(|_, revision| *revision > reached);
    if !beyond.is_empty() {
        let put = beyond.into_keys().map(|key| (key, Vec::new())).collect();
        state.mark_damaged(&Change { revision: reached, put, delete: Vec::new() });
    }
    // Both look at every record, which takes seconds for millions of them.
    let finished = tokio::task::spawn_blocking(move || {
        let is_whole = state.digest().verifies(&state.keyring(), &inventory);
        is_whole.then(|| {
            state.sort();
            state
        })
    });
    let state = finished.await.map_err(defect)?;
    Ok(Some((state.ok_or(LoadError::Altered)?, reached, watch)))
}

fn defect(_: JoinError) -> Unavailable {
    Unavailable("its records could not be read because of a defect".into())
}

/// A scan of the store in progress.
struct Scan {
    /// Shared with the thread that opens a page.
    state: Arc<State>,
    /// The marks of all records read so far, to be compared with the digest.
    inventory: Inventory,
    watch: Watch,
    /// The revision of the last change that was applied.
    reached: Revision,
    /// The revision of the digest.
    digest_at: Revision,
    /// The records that were newer than `reached` when they were read, and their revisions. The watch has yet to bring
    /// the changes that put them.
    beyond: HashMap<Key, Revision>,
}

/// A revision that no store reaches, even if each of its revisions were a restore.
const NEVER_REACHED: Revision = Revision(1 << 62);

impl Scan {
    /// Opens the records of a page and puts them into the state, on another thread.
    fn open(&self, found: Vec<(Key, Entry)>, sizes: ValueSizes) -> JoinHandle<Vec<(Key, Entry)>> {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || {
            state.put(&found, &sizes);
            found
        })
    }

    /// Notes the records of a page that was opened.
    fn note(&mut self, found: Vec<(Key, Entry)>) {
        for (key, entry) in found {
            if entry.revision > self.reached {
                self.beyond.insert(key.clone(), entry.revision);
            }
            self.inventory.found(&key, &entry.value);
        }
    }

    /// Applies the changes up to a revision. `false` where the scan has to start again: the watch ended, or a change put
    /// another keyring, which may not open what was read before.
    async fn catch_up(&mut self, newest: Revision) -> Result<bool, LoadError> {
        while self.reached < newest {
            match self.watch.next().await {
                Ok(change) if put_in(&change, &Key::keyring()).is_none() => self.apply(&change),
                Ok(_) | Err(WatchEnd::Compacted) => return Ok(false),
                Err(WatchEnd::Closed) => return Err(Unavailable("it is closed".into()).into()),
            }
        }
        Ok(true)
    }

    /// Applies a change without checking who made it: the inventory is compared with the digest at the end of the scan.
    fn apply(&mut self, change: &Arc<Change>) {
        // The digest that was read at the beginning may be newer than the one in this change.
        let newer = |digest: &StoreDigest| digest.commits > self.state.digest().commits;
        if let Some(digest) = digest_in(&self.state, change).filter(newer) {
            self.state.set_digest(digest);
            self.digest_at = self.digest_at.max(change.revision);
        }
        self.state.apply(change);
        change.put.iter().for_each(|(key, record)| self.inventory.put(key, record));
        change.delete.iter().for_each(|key| self.inventory.delete(key));
        for key in change.put.iter().map(|(key, _)| key).chain(&change.delete) {
            // A record that is newer than this change stays: the change that put it has yet to come.
            if self.beyond.get(key).is_some_and(|revision| *revision <= change.revision) {
                self.beyond.remove(key);
            }
        }
        self.reached = change.revision;
    }
}
