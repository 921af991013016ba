//! The verification of a whole store against its digest, and the digest's beginning in a store that has none.

use std::sync::Arc;

use super::{Inventory, StoreDigest, StoredKeyring};
use crate::crypto::{self, Keyring, MasterKeys, NamespaceKeys, is_of_first_format};
use crate::schema::Kind;
use crate::store::{CommitError, Entry, Expect, Key, Pages, Store, Transaction, Unavailable};

/// How many records are read from the store at a time.
const PAGE: usize = 1000;

/// Why a store can not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It has no keyring.
    #[error("the store has no keyring")]
    KeyringMissing,
    /// The master key does not open its keyring.
    #[error("the master key does not open the store's keyring")]
    WrongMasterKey,
    /// Its records are not those that it was left with.
    #[error("the store's records are not those that its digest vouches for")]
    Altered,
    /// The cryptography of this machine failed.
    #[error(transparent)]
    Failed(crypto::Error),
    /// It can not serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// Of the keyring.
impl From<crypto::Error> for LoadError {
    fn from(error: crypto::Error) -> Self {
        match error {
            crypto::Error::Integrity => Self::WrongMasterKey,
            crypto::Error::Failed => Self::Failed(error),
        }
    }
}

/// How a store came by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// It has one.
    Kept,
    /// It was written by a release that kept none, and has one now.
    Begun,
    /// Its records were not those that its digest vouched for; they are now.
    Renewed,
}

/// Has a store that was written by a release without digests vouched for from now on, with `may_begin`; and any store, whatever
/// it holds, with `accept`. It must not be changed meanwhile.
pub async fn verify(
    store: &dyn Store,
    master: &Arc<MasterKeys>,
    may_begin: bool,
    accept: bool,
) -> Result<Verification, LoadError> {
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master.clone(), &record.value, record.revision).await?;
    let kept = store.get(&Key::digest()).await?;
    // A keyring of the first format beside a digest, or under a master key that is no longer in use, is an old copy, put back.
    let mut begins = may_begin
        && kept.is_none()
        && is_of_first_format(&record.value)
        && keyring.masters().contains(&master.current_id()?);
    if !begins && !accept {
        return Ok(Verification::Kept); // as the catalog is going to see
    }
    let before = kept.as_ref().and_then(|kept| StoreDigest::open(&keyring, &kept.value).ok());
    let Found { mut inventory, first_format, since } = inventory(store, &keyring).await?;
    // So is one beside records of a later format, whose digest was taken away.
    begins &= first_format;
    if !begins && !accept {
        return Err(LoadError::Altered);
    }
    inventory.put(&Key::keyring(), &record.value);
    if before.is_some_and(|before| before.verifies(&keyring, &inventory)) {
        return Ok(Verification::Kept);
    }
    // So that nobody who takes the digest away can have this said of it again.
    let resealed = keyring.reseal(master)?;
    inventory.put(&Key::keyring(), &resealed);
    let digest = before.unwrap_or_else(|| StoreDigest::estimate(record.revision.max(store.durable()).0));
    let digest = digest.with_seals(since);
    let digest = digest.of(&keyring, &inventory).seal(&keyring)?;
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
        ) => Err(Unavailable("it is changed while it is vouched for: start again".into()).into()),
    }
}

/// What a store has.
struct Found {
    /// The marks of all records.
    inventory: Inventory,
    /// Whether all of them are of the first format.
    first_format: bool,
    /// The most seals that the store had seen when a key of it was made.
    since: u64,
}

async fn inventory(store: &dyn Store, keyring: &Keyring) -> Result<Found, LoadError> {
    let mut found = Found { inventory: Inventory::default(), first_format: true, since: keyring.since() };
    for prefix in
        [Key::namespaces(), Key::api_keys(), Key::secrets(), Key::names(), Key::idempotency_records()]
    {
        let mut pages = Pages::new(store, prefix, PAGE);
        while let Some(page) = pages.next().await? {
            for (key, entry) in &page {
                found.inventory.put(key, &entry.value);
                found.first_format &= is_of_first_format(&entry.value);
                if let Kind::Namespace(mac) = key.kind()
                    && let Ok(keys) = NamespaceKeys::open(keyring, &mac, &entry.value)
                {
                    found.since = found.since.max(keys.since());
                }
            }
        }
    }
    Ok(found)
}
