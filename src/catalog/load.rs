use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::anew::begin_anew;
use super::state::State;
use super::{Catalog, LoadError};
use crate::crypto::MasterKeys;
use crate::domain::Revision;
use crate::integrity::StoredKeyring;
use crate::integrity::{Inventory, StoreDigest};
use crate::store::{Change, Key, Pages, Store, Unavailable, Watch, WatchEnd};

/// How many records are read from the store at a time.
pub(super) const SCAN: usize = 1000;

/// Takes in every change, in order, until the catalog is dropped or its store is closed.
pub(super) async fn follow(catalog: Weak<Catalog>, mut watch: Watch) {
    loop {
        let taken = match watch.next().await {
            Ok(change) => {
                let Some(catalog) = catalog.upgrade() else { return };
                let taken = take(&catalog.state(), catalog.provider.keys(), &change).await;
                if taken {
                    catalog.reached.send_replace(change.revision);
                }
                taken
            }
            // Too far behind, or the store was replaced.
            Err(WatchEnd::Compacted) => false,
            Err(WatchEnd::Closed) => return,
        };
        if !taken {
            match begin_anew(&catalog).await {
                Some(from_there) => watch = from_there,
                None => return,
            }
        }
    }
}

/// Takes in a change. `false` where that is not possible, since the keyring can not be opened.
async fn take(state: &State, master: Arc<MasterKeys>, change: &Change) -> bool {
    // Every commit carries the digest on, by one; nobody without the keyring can, and nobody does from an older one.
    let (before, keyring) = (state.digest(), state.keyring());
    let next = digest_in(state, change).filter(|digest| digest.is_next_to(&before, &keyring, change));
    let Some(digest) = next else {
        state.distrust(change);
        return true;
    };
    if let Some(record) = put_in(change, &Key::keyring()) {
        match StoredKeyring::open(master, record, change.revision).await {
            Ok(keyring) => state.set_keyring(keyring),
            Err(_) => return false,
        }
    }
    state.set_digest(digest);
    state.apply(change);
    true
}

fn digest_in(state: &State, change: &Change) -> Option<StoreDigest> {
    StoreDigest::open(&state.keyring(), put_in(change, &Key::digest())?).ok()
}

fn put_in<'a>(change: &'a Change, key: &Key) -> Option<&'a [u8]> {
    change.put.iter().find(|(put, _)| put == key).map(|(_, record)| record.as_slice())
}

/// Reads the whole store. A scan is not of one moment, and can show what is not durable yet; so the changes made
/// meanwhile are taken in on top, up to the newest that the scan can have shown, and only then is the state served, if the
/// digest vouches for it.
pub(super) async fn scan(
    store: &dyn Store,
    master: Arc<MasterKeys>,
) -> Result<(State, Revision, Watch), LoadError> {
    loop {
        if let Some(scanned) = scan_once(store, master.clone()).await? {
            return Ok(scanned);
        }
        tracing::info!(
            "the store was replaced, or changed faster than it was read: it is read from its beginning"
        );
    }
}

/// The same, or `None` where it has to begin anew.
async fn scan_once(
    store: &dyn Store,
    master: Arc<MasterKeys>,
) -> Result<Option<(State, Revision, Watch)>, LoadError> {
    let reached = store.durable();
    let watch = store.watch(reached);
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master, &record.value, record.revision).await?;
    let stored = store.get(&Key::digest()).await?.ok_or(LoadError::Altered)?;
    let digest = StoreDigest::open(&keyring, &stored.value).map_err(|_| LoadError::Altered)?;
    let mut inventory = Inventory::default();
    inventory.put(&Key::keyring(), &record.value);
    let (state, digest_at) = (State::new(keyring, digest), stored.revision);
    let mut scan = Scan { state, inventory, watch, reached, digest_at, beyond: HashMap::new() };
    for prefix in
        [Key::namespaces(), Key::api_keys(), Key::secrets(), Key::names(), Key::idempotency_records()]
    {
        let mut pages = Pages::new(store, prefix, SCAN);
        while let Some(found) = pages.next().await? {
            for (key, entry) in &found {
                scan.state.put(key, &entry.value, entry.revision);
                scan.inventory.put(key, &entry.value);
                if entry.revision > scan.reached {
                    scan.beyond.insert(key.clone(), entry.revision);
                }
            }
            // Taken in as they come, so that they do not leave the store's bounded log before.
            if !scan.take_in(store.durable()).await? {
                return Ok(None);
            }
            tokio::task::yield_now().await;
        }
    }
    if !scan.take_in(store.revision().await?).await? {
        return Ok(None);
    }
    let Scan { state, inventory, watch, reached, digest_at, mut beyond } = scan;
    // Revisions are not sealed. But none is later than the store's, which no store counts up to that.
    if digest_at > reached || reached >= NEVER_REACHED {
        return Err(LoadError::Altered);
    }
    beyond.retain(|_, revision| *revision > reached);
    if !beyond.is_empty() {
        let put = beyond.into_keys().map(|key| (key, Vec::new())).collect();
        state.distrust(&Change { revision: reached, put, delete: Vec::new() });
    }
    if !state.digest().verifies(&state.keyring(), &inventory) {
        return Err(LoadError::Altered);
    }
    Ok(Some((state, reached, watch)))
}

/// A store that is being read.
struct Scan {
    state: State,
    inventory: Inventory,
    watch: Watch,
    reached: Revision,
    /// The revision of the digest.
    digest_at: Revision,
    /// The records that were later than `reached` when they were read.
    beyond: HashMap<Key, Revision>,
}

/// A revision that no store comes to, even where each of them is a restore.
const NEVER_REACHED: Revision = Revision(1 << 62);

impl Scan {
    /// Takes in the changes up to a revision, and says whether all of them could be. Another keyring may not open what was
    /// read before.
    async fn take_in(&mut self, newest: Revision) -> Result<bool, LoadError> {
        while self.reached < newest {
            match self.watch.next().await {
                Ok(change) if put_in(&change, &Key::keyring()).is_none() => self.take(&change),
                Ok(_) | Err(WatchEnd::Compacted) => return Ok(false),
                Err(WatchEnd::Closed) => return Err(Unavailable("it is closed".into()).into()),
            }
        }
        Ok(true)
    }

    /// Whoever made the change: the inventory tells in the end.
    fn take(&mut self, change: &Arc<Change>) {
        // The one that was read at the beginning may be later than this one.
        let newer = |digest: &StoreDigest| digest.commits > self.state.digest().commits;
        if let Some(digest) = digest_in(&self.state, change).filter(newer) {
            self.state.set_digest(digest);
            self.digest_at = self.digest_at.max(change.revision);
        }
        self.state.apply(change);
        change.put.iter().for_each(|(key, record)| self.inventory.put(key, record));
        change.delete.iter().for_each(|key| self.inventory.delete(key));
        for key in change.put.iter().map(|(key, _)| key).chain(&change.delete) {
            // A later one that was read may be on its way here.
            if self.beyond.get(key).is_some_and(|revision| *revision <= change.revision) {
                self.beyond.remove(key);
            }
        }
        self.reached = change.revision;
    }
}
