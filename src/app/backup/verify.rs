use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::Reader;
use crate::auth::{ApiKey, ApiKeyId};
use crate::crypto::{self, BackupError, Keyring, MasterKeys, NamespaceKeys, Purpose, is_of_first_format};
use crate::domain::{Revision, Value};
use crate::integrity::{Inventory, StoreDigest};
use crate::schema::decode_secret;
use crate::schema::{Kind, NamespaceId};
use crate::store::{Key, ReplaceRecord};

/// What a backup holds.
pub(super) struct Content {
    /// The revision that it is of.
    pub(super) revision: Revision,
    /// How many records there are to be put.
    pub(super) records: u64,
    /// How many of them could not be opened.
    pub(super) damaged: u64,
    /// What it has that is none of the service's, and belongs into no store.
    pub(super) ignored: Ignored,
    /// Whether its digest vouches for its records, or it was written by a release that kept none.
    pub(super) vouched: bool,
    /// What is to be put behind its records, so that they are vouched for as the content of the store that they replace.
    pub(super) vouchers: Vec<(Key, Vec<u8>)>,
}

/// Keys that mean nothing to this service: those of no kind, and those of versions whose namespace there is not. The digest has
/// none of them, so anyone could have put them into the store, and nothing is lost without them.
#[derive(Default)]
pub(super) struct Ignored(HashSet<Key>);

impl Ignored {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.contains(key)
    }
}

/// Reads all of a backup, and opens every record of it at its place. `opened` is told how many have been.
pub(super) fn verify<R: Read + Seek>(
    master: &MasterKeys,
    present: &StoreDigest,
    mut from: R,
    mut opened: impl FnMut(u64, u64),
) -> Result<Content, BackupError> {
    let (keys, revision, records) = read_keys(master, &mut from)?;
    let mut reader = Reader::open(master, &mut from)?;
    let (mut seen, mut damaged, mut inventory) = (0, HashSet::new(), Inventory::default());
    let (mut digest, mut ignored) = (None, Ignored::default());
    while let Some(record) = reader.next_record()? {
        seen += 1;
        // What a later record of the same key replaces may have been sealed by keys that are retired by now.
        match record {
            ReplaceRecord::Put(key, _) if keys.knows_nothing_of(&key) => drop(ignored.0.insert(key)),
            ReplaceRecord::Put(key, value) => {
                inventory.put(&key, &value);
                match keys.opens(&key, &value) {
                    true => drop(damaged.remove(&key)),
                    false => drop(damaged.insert(key.clone())),
                }
                if key == Key::digest() {
                    digest = Some(value);
                }
            }
            ReplaceRecord::Delete(key) => {
                inventory.delete(&key);
                damaged.remove(&key);
            }
        }
        if seen % 1000 == 0 || seen == records {
            opened(seen, records);
        }
    }
    let had_digest = digest.is_some();
    let kept = digest.and_then(|digest| StoreDigest::open(&keys.keyring, &digest).ok());
    let vouched = kept.is_some_and(|kept| kept.verifies(&keys.keyring, &inventory));
    let kept = kept.unwrap_or_else(|| StoreDigest::estimate(revision.0));
    let vouchers = keys.vouch(master, inventory, kept.in_place_of(present))?;
    Ok(Content {
        revision,
        records,
        damaged: damaged.len() as u64,
        ignored,
        vouched: vouched || (!had_digest && keys.first_format),
        vouchers,
    })
}

/// The keys that a backup holds: its keyring and its namespaces'.
struct Keys {
    keyring: Keyring,
    /// Whether the keyring was written by a release that kept no digest.
    first_format: bool,
    namespaces: HashMap<NamespaceId, NamespaceKeys>,
    /// Whether these are all namespaces: the record of each could be opened.
    all_namespaces: bool,
}

/// The keys as they are at the end, and what the end says.
fn read_keys<R: Read + Seek>(master: &MasterKeys, from: R) -> Result<(Keys, Revision, u64), BackupError> {
    let mut reader = Reader::open(master, from)?;
    let (mut keyring, mut namespaces) = (None, HashMap::new());
    while let Some(record) = reader.next_record()? {
        match (record.key().kind(), record) {
            (Kind::Keyring, ReplaceRecord::Put(_, value)) => keyring = Some(value),
            (Kind::Namespace(mac), ReplaceRecord::Put(_, value)) => drop(namespaces.insert(mac, value)),
            (_, _) => {}
        }
    }
    let end = reader.end.ok_or(BackupError::Damaged)?;
    let record = keyring.ok_or(BackupError::Damaged)?;
    let keyring = Keyring::open(master, &record).map_err(|error| match error {
        crypto::Error::Integrity => BackupError::OtherMasterKey,
        crypto::Error::Failed => BackupError::Failed(error),
    })?;
    // One that can not be opened is counted with the other records.
    let there = namespaces.len();
    let open = |(mac, value): (&_, &Vec<u8>)| NamespaceKeys::open(&keyring, mac, value).ok();
    let opened: Vec<_> = namespaces.iter().filter_map(open).collect();
    let all_namespaces = opened.len() == there;
    let namespaces = opened.into_iter().map(|keys| (keys.id(), keys)).collect();
    let first_format = is_of_first_format(&record);
    Ok((Keys { keyring, first_format, namespaces, all_namespaces }, Revision(end.revision), end.records))
}

impl Keys {
    /// The records by which a store is vouched for that has these, whatever they are.
    fn vouch(
        &self,
        master: &MasterKeys,
        mut inventory: Inventory,
        before: StoreDigest,
    ) -> Result<Vec<(Key, Vec<u8>)>, BackupError> {
        let keyring = self.keyring.reseal(master).map_err(BackupError::Failed)?;
        inventory.put(&Key::keyring(), &keyring);
        let digest = before.of(&self.keyring, &inventory).seal(&self.keyring).map_err(BackupError::Failed)?;
        Ok(vec![(Key::keyring(), keyring), (Key::digest(), digest)])
    }

    /// Whether a key is none that this service has anything at. A version may be one of a namespace that could not be opened.
    fn knows_nothing_of(&self, key: &Key) -> bool {
        match key.kind() {
            Kind::Other => true,
            Kind::Version(namespace, ..) => self.all_namespaces && !self.namespaces.contains_key(&namespace),
            Kind::Keyring
            | Kind::Digest
            | Kind::Namespace(_)
            | Kind::ApiKey(_)
            | Kind::IdempotencyRecord(_)
            | Kind::Name(..)
            | Kind::Secret(..) => false,
        }
    }

    /// Whether a record opens at its place, and is what it should be.
    fn opens(&self, key: &Key, value: &[u8]) -> bool {
        let keyring = &self.keyring;
        let at = |namespace| self.namespaces.get(&namespace);
        match key.kind() {
            Kind::Keyring => true, // or nothing would have been opened
            Kind::Digest => StoreDigest::open(keyring, value).is_ok(),
            Kind::Namespace(mac) => NamespaceKeys::open(keyring, &mac, value).is_ok(),
            Kind::ApiKey(id) => ApiKey::open(keyring, ApiKeyId(id), value, Revision::default()).is_ok(),
            Kind::IdempotencyRecord(mac) => {
                keyring.open_record(Purpose::IdempotencyRecord, &mac, value).is_ok()
            }
            Kind::Name(namespace, mac) => at(namespace).is_some_and(|keys| {
                keys.open_record(Purpose::Name, &mac, value).is_ok_and(|id| id.len() == 16)
            }),
            Kind::Secret(namespace, id) => at(namespace).is_some_and(|keys| {
                let clear = keys.open_record(Purpose::Secret, id.as_bytes(), value);
                clear.is_ok_and(|clear| {
                    decode_secret(keys.namespace(), id, &clear, Revision::default()).is_some()
                })
            }),
            Kind::Version(namespace, id, version) => at(namespace).is_some_and(|keys| {
                let clear = keys.open_value(id.as_bytes(), version, value);
                clear.is_ok_and(|clear| Value::decode(&clear).is_some())
            }),
            Kind::Other => false,
        }
    }
}
