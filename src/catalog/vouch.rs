use std::sync::Arc;

use super::LoadError;
use super::load::SCAN;
use super::stored::StoredKeyring;
use crate::crypto::{Census, Keyring, MasterKeys, NamespaceKeys, StoreDigest, is_of_first_format};
use crate::store::key::Kind;
use crate::store::{CommitError, Entry, Expect, Key, Store, Transaction, Unavailable};

/// How a store came by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouching {
    /// It has one.
    Kept,
    /// It was written by a release that kept none, and has one now.
    Begun,
    /// Its records were not those that its digest vouched for; they are now.
    Renewed,
}

/// Has a store that was written by a release without digests vouched for from now on, with `may_begin`; and any store, whatever
/// it holds, with `accept`. It must not be changed meanwhile.
pub async fn vouch(
    store: &dyn Store,
    master: &Arc<MasterKeys>,
    may_begin: bool,
    accept: bool,
) -> Result<Vouching, LoadError> {
    let record = store.get(&Key::keyring()).await?.ok_or(LoadError::KeyringMissing)?;
    let keyring = StoredKeyring::open(master.clone(), &record.value, record.revision).await?;
    let kept = store.get(&Key::digest()).await?;
    // A keyring of the first format beside a digest, or under a master key that is no longer in use, is an old copy, put back.
    let mut begins = may_begin
        && kept.is_none()
        && is_of_first_format(&record.value)
        && keyring.masters().contains(&master.current_id()?);
    if !begins && !accept {
        return Ok(Vouching::Kept); // as the catalog is going to see
    }
    let before = kept.as_ref().and_then(|kept| StoreDigest::open(&keyring, &kept.value).ok());
    let Found { mut census, first_format, since } = census(store, &keyring).await?;
    // So is one beside records of a later format, whose digest was taken away.
    begins &= first_format;
    if !begins && !accept {
        return Err(LoadError::Altered);
    }
    census.put(&Key::keyring(), &record.value);
    if before.is_some_and(|before| before.vouches_for(&keyring, &census)) {
        return Ok(Vouching::Kept);
    }
    // So that nobody who takes the digest away can have this said of it again.
    let resealed = keyring.reseal(master)?;
    census.put(&Key::keyring(), &resealed);
    let digest = before.unwrap_or_else(|| StoreDigest::estimate(record.revision.max(store.durable()).0));
    let digest = digest.with_seals(since);
    let digest = digest.of(&keyring, &census).seal(&keyring)?;
    let expect = kept.map_or(Expect::Absent, |Entry { revision, .. }| Expect::At(revision));
    let transaction = Transaction {
        require: vec![keyring.still(), (Key::digest(), expect)],
        put: vec![(Key::keyring(), resealed), (Key::digest(), digest)],
        ..Transaction::default()
    };
    match store.commit(transaction).await {
        Ok(_) => Ok(if begins { Vouching::Begun } else { Vouching::Renewed }),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(
            CommitError::Conflict(_) | CommitError::TooLarge | CommitError::TooLate | CommitError::NoDigest,
        ) => Err(Unavailable("it is changed while it is vouched for: start again".into()).into()),
    }
}

/// What a store has.
struct Found {
    /// The marks of all records.
    census: Census,
    /// Whether all of them are of the first format.
    first_format: bool,
    /// The most seals that the store had seen when a key of it was made.
    since: u64,
}

async fn census(store: &dyn Store, keyring: &Keyring) -> Result<Found, LoadError> {
    let mut found = Found { census: Census::default(), first_format: true, since: keyring.since() };
    for prefix in [Key::namespaces(), Key::api_keys(), Key::secrets(), Key::names(), Key::receipts()] {
        let mut after = None;
        loop {
            let page = store.scan(&prefix, after.as_ref(), SCAN).await?;
            for (key, entry) in &page {
                found.census.put(key, &entry.value);
                found.first_format &= is_of_first_format(&entry.value);
                if let Kind::Namespace(mac) = key.kind()
                    && let Ok(keys) = NamespaceKeys::open(keyring, &mac, &entry.value)
                {
                    found.since = found.since.max(keys.since());
                }
            }
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
        }
    }
    Ok(found)
}
