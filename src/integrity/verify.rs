//! Verifies a whole store against its digest, and makes the first digest of a store that has none.

use std::sync::Arc;

use super::{Inventory, StoreDigest, StoredKeyring};
use crate::crypto::{self, Keyring, MasterKeys, NamespaceKeys, is_of_first_format};
use crate::schema::Kind;
use crate::store::{CommitError, Entry, Expect, Key, Pages, Store, Transaction, Unavailable};

/// How many records are read from the store at a time.
const PAGE: usize = 1000;

/// Why a store cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store has no keyring.
    #[error("the store has no keyring")]
    KeyringMissing,
    /// The master key does not open its keyring.
    #[error("the master key does not open the store's keyring")]
    WrongMasterKey,
    /// Its records do not match its digest.
    #[error("the store's records do not match its digest")]
    Altered,
    /// The cryptography of this machine failed.
    #[error(transparent)]
    Failed(crypto::Error),
    /// The store cannot serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// The error of opening the keyring.
impl From<crypto::Error> for LoadError {
    fn from(error: crypto::Error) -> Self {
        match error {
            crypto::Error::Integrity => Self::WrongMasterKey,
            crypto::Error::Failed => Self::Failed(error),
        }
    }
}

/// The outcome of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// The store keeps its digest.
    Kept,
    /// A release without digests wrote the store. It has a digest now.
    Begun,
    /// The store's records did not match its digest. It has a new digest now, which they match.
    Renewed,
}

/// Makes the first digest of a store that a release without digests wrote, with `may_begin`. With `accept`, makes a
/// new digest of any store whose records do not match its digest. Nobody may change the store meanwhile. A store that
/// keeps its digest is not read here: the catalog compares the two as it loads.
pub async fn verify(
    store: &dyn Store,
    master: &Arc<MasterKeys>,
    may_begin: bool,
    accept: bool,
) -> Result<Verification, LoadError> {
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master.clone(), &record.value, record.revision).await?;
    let kept = store.get(&Key::digest()).await?;
    // A keyring of the first format beside a digest, or under a master key that is no longer in use, was put back from an
    // old copy.
    let mut begins = may_begin
        && kept.is_none()
        && is_of_first_format(&record.value)
        && keyring.masters().contains(&master.current_id()?);
    if !begins && !accept {
        return Ok(Verification::Kept);
    }
    let before = kept.as_ref().and_then(|kept| StoreDigest::open(&keyring, &kept.value).ok());
    let StoreInventory { mut inventory, first_format, since } = inventory(store, &keyring).await?;
    // So was a keyring beside records of a later format, whose digest was removed.
    begins &= first_format;
    if !begins && !accept {
        return Err(LoadError::Altered);
    }
    inventory.put(&Key::keyring(), &record.value);
    if before.as_ref().is_some_and(|before| before.verifies(&keyring, &inventory)) {
        return Ok(Verification::Kept);
    }
    // Somebody who removes the digest later must not get a new one: the keyring leaves the first format.
    let resealed = keyring.reseal(master)?;
    inventory.put(&Key::keyring(), &resealed);
    let digest = match before {
        Some(before) => before,
        None => {
            // Not before the last event, so that the next one comes behind it.
            let estimate = StoreDigest::estimate(record.revision.max(store.durable()).0);
            estimate.with_commits(last_position(store).await?)
        }
    };
    let digest = digest.with_seals(since);
    let digest = digest.accepted(&keyring, &inventory).seal(&keyring)?;
    let expect = kept.map_or(Expect::Absent, |Entry { revision, .. }| Expect::At(revision));
    let transaction = Transaction {
        require: vec![keyring.unchanged(), (Key::digest(), expect)],
        put: vec![(Key::keyring(), resealed), (Key::digest(), digest)],
        ..Transaction::default()
    };
    match store.commit(transaction).await {
        Ok(_) => Ok(if begins { Verification::Begun } else { Verification::Renewed }),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(
            CommitError::Conflict(_) | CommitError::TooLarge | CommitError::TooLate | CommitError::NoDigest,
        ) => Err(Unavailable("it was changed while its digest was made: start again".into()).into()),
    }
}

/// The greatest position of an appended record, as far as commits can have got; 0 where there is none.
async fn last_position(store: &dyn Store) -> Result<u64, LoadError> {
    const MOST: u64 = 1 << 62;
    let (mut pages, mut last) = (Pages::new(store, Key::appended(), PAGE), 0);
    while let Some(page) = pages.next().await? {
        let positions = page.iter().filter_map(|(key, _)| key.appended_position());
        last = positions.filter(|position| *position < MOST).fold(last, u64::max);
    }
    Ok(last)
}

/// The records of a store, as far as the digest needs them.
struct StoreInventory {
    /// The marks of all records.
    inventory: Inventory,
    /// Whether all of them are of the first format.
    first_format: bool,
    /// The greatest count of seals at which one of the store's keys was made.
    since: u64,
}

async fn inventory(store: &dyn Store, keyring: &Keyring) -> Result<StoreInventory, LoadError> {
    let mut found =
        StoreInventory { inventory: Inventory::default(), first_format: true, since: keyring.since() };
    let prefixes = [
        Key::namespaces(),
        Key::api_keys(),
        Key::roles(),
        Key::bindings(),
        Key::access_epoch(),
        Key::secrets(),
        Key::names(),
        Key::idempotency_records(),
    ];
    for prefix in prefixes {
        let mut pages = Pages::new(store, prefix, PAGE);
        while let Some(page) = pages.next().await? {
            for (key, entry) in page {
                found.first_format &= is_of_first_format(&entry.value);
                if let Kind::Namespace(mac) = key.kind()
                    && let Ok(keys) = NamespaceKeys::open(keyring, &mac, &entry.value)
                {
                    found.since = found.since.max(keys.since());
                }
                found.inventory.found(&key, &entry.value);
            }
        }
    }
    Ok(found)
}
