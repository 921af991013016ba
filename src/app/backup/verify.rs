//! Verify a backup: read it whole, open every record of it in its place, and compare the records with its digest.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::format::BackupReader;
use crate::app::access::implied_access;
use crate::auth::{AccessEpoch, ApiKey, ApiKeyId, Binding, BindingId, Role};
use crate::crypto::{
    self, BackupError, Keyring, MasterKeys, NamespaceKeys, Purpose, is_of_first_format, open_binding_usage,
    open_key_usage, open_secret_usage,
};
use crate::domain::{Revision, Value};
use crate::integrity::{Inventory, StoreDigest};
use crate::schema::{Kind, NamespaceId, decode_secret};
use crate::store::{Key, ReplaceRecord};

/// What was found in a backup.
pub(super) struct BackupContents {
    /// The revision that it is of.
    pub(super) revision: Revision,
    /// How many records it has.
    pub(super) records: u64,
    /// How many of them cannot be opened.
    pub(super) damaged: u64,
    /// The keys in it that are not of this service, and are left out of a restore.
    pub(super) foreign: ForeignKeys,
    /// Whether its records match its digest, or a release without digests wrote it.
    pub(super) verified: bool,
    /// The records to put behind those of the backup: the bindings that its API keys imply, where an earlier release made it, and
    /// a keyring and a digest that match all of them in the store that they replace.
    pub(super) last_records: Vec<(Key, Vec<u8>)>,
}

/// Keys that mean nothing to this service: those of no kind, and those of versions and of usage
/// whose namespace does not exist. The digest
/// does not cover them, so anybody could have put them into the store, and nothing is lost without them.
#[derive(Default)]
pub(super) struct ForeignKeys(HashSet<Key>);

impl ForeignKeys {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether this key is one of them.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.0.contains(key)
    }
}

/// Reads all of a backup, and opens every record of it in its place. `progress` is told how many of how many records have
/// been opened. `present` is the digest of the store that the backup may replace.
pub(super) fn verify<R: Read + Seek>(
    master: &MasterKeys,
    present: &StoreDigest,
    mut from: R,
    mut progress: impl FnMut(u64, u64),
) -> Result<BackupContents, BackupError> {
    let (keys, revision, records) = read_keys(master, &mut from)?;
    let mut reader = BackupReader::open(master, &mut from)?;
    let (mut seen, mut damaged, mut inventory) = (0, HashSet::new(), Inventory::default());
    let (mut digest, mut foreign) = (None, ForeignKeys::default());
    let mut access = ImpliedAccess::default();
    while let Some(record) = reader.next_record()? {
        seen += 1;
        // Only the last record of a key counts: keys that are retired by now can have sealed an earlier one.
        match record {
            ReplaceRecord::Put(key, _) if keys.is_foreign(&key) => drop(foreign.0.insert(key)),
            ReplaceRecord::Put(key, value) => {
                inventory.put(&key, &value);
                access.note(&keys.keyring, &key, Some(&value));
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
                access.note(&keys.keyring, &key, None);
                damaged.remove(&key);
            }
        }
        if seen % 1000 == 0 || seen == records {
            progress(seen, records);
        }
    }
    let had_digest = digest.is_some();
    let digest = digest.and_then(|digest| StoreDigest::open(&keys.keyring, &digest).ok());
    let verified = digest.as_ref().is_some_and(|digest| digest.verifies(&keys.keyring, &inventory));
    let digest = digest.unwrap_or_else(|| StoreDigest::estimate(revision.0));
    let implied = access.records(&keys.keyring).map_err(BackupError::Failed)?;
    let last_records = keys.last_records(master, inventory, implied, digest.in_place_of(present))?;
    Ok(BackupContents {
        revision,
        records,
        damaged: damaged.len() as u64,
        foreign,
        verified: verified || (!had_digest && keys.first_format),
        last_records,
    })
}

/// What a backup says about access: the API keys, which imply bindings where an earlier release made it.
#[derive(Default)]
struct ImpliedAccess {
    has_epoch: bool,
    keys: HashMap<ApiKeyId, ApiKey>,
}

impl ImpliedAccess {
    /// Notes what a change does to a record: its new value, or `None` where it deletes the record.
    fn note(&mut self, keyring: &Keyring, key: &Key, value: Option<&[u8]>) {
        match key.kind() {
            Kind::AccessEpoch => self.has_epoch = value.is_some(),
            Kind::ApiKey(id) => {
                let id = ApiKeyId(id);
                let open = |value| ApiKey::open(keyring, id, value, Revision::default()).ok();
                match value.and_then(open) {
                    Some(key) => drop(self.keys.insert(id, key)),
                    None => drop(self.keys.remove(&id)),
                }
            }
            Kind::Keyring
            | Kind::Role(_)
            | Kind::Binding(_)
            | Kind::Namespace(_)
            | Kind::Secret(..)
            | Kind::Name(..)
            | Kind::Version(..)
            | Kind::IdempotencyRecord(_)
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::SecretUsage(..)
            | Kind::KeyUsage(_)
            | Kind::BindingUsage(_)
            | Kind::Event(_)
            | Kind::HistoryStart
            | Kind::Digest
            | Kind::Other => {}
        }
    }

    /// The records of the bindings that the keys imply; none where the backup has its bindings.
    fn records(self, keyring: &Keyring) -> Result<Vec<(Key, Vec<u8>)>, crypto::Error> {
        if self.has_epoch { Ok(Vec::new()) } else { implied_access(keyring, self.keys.values()) }
    }
}

/// The keys in a backup: the keyring, and those of its namespaces.
struct BackupKeys {
    keyring: Keyring,
    /// Whether the keyring was written by a release that kept no digest.
    first_format: bool,
    namespaces: HashMap<NamespaceId, NamespaceKeys>,
    /// Whether the record of every namespace could be opened, so that these are all of them.
    all_namespaces: bool,
}

/// The keys of a backup, as the last record of each says, and the revision and number of records that its end says.
fn read_keys<R: Read + Seek>(
    master: &MasterKeys,
    from: R,
) -> Result<(BackupKeys, Revision, u64), BackupError> {
    let mut reader = BackupReader::open(master, from)?;
    let (mut keyring, mut namespaces) = (None, HashMap::new());
    while let Some(record) = reader.next_record()? {
        match (record.key().kind(), record) {
            (Kind::Keyring, ReplaceRecord::Put(_, value)) => keyring = Some(value),
            (Kind::Namespace(mac), ReplaceRecord::Put(_, value)) => drop(namespaces.insert(mac, value)),
            (_, _) => {}
        }
    }
    let end = reader.end().ok_or(BackupError::Damaged)?;
    let record = keyring.ok_or(BackupError::Damaged)?;
    let keyring = Keyring::open(master, &record).map_err(|error| match error {
        crypto::Error::Integrity => BackupError::OtherMasterKey,
        crypto::Error::Failed => BackupError::Failed(error),
    })?;
    // A namespace that cannot be opened is counted with the damaged records.
    let open = |(mac, value): (&_, &Vec<u8>)| NamespaceKeys::open(&keyring, mac, value).ok();
    let opened: Vec<_> = namespaces.iter().filter_map(open).collect();
    let all_namespaces = opened.len() == namespaces.len();
    let namespaces = opened.into_iter().map(|keys| (keys.id(), keys)).collect();
    let first_format = is_of_first_format(&record);
    let keys = BackupKeys { keyring, first_format, namespaces, all_namespaces };
    Ok((keys, Revision(end.revision), end.records))
}

impl BackupKeys {
    /// The records of access that are missing, and a keyring and a digest for a store with all of these records, whether or not
    /// they are damaged.
    fn last_records(
        &self,
        master: &MasterKeys,
        mut inventory: Inventory,
        mut last_records: Vec<(Key, Vec<u8>)>,
        before: StoreDigest,
    ) -> Result<Vec<(Key, Vec<u8>)>, BackupError> {
        let keyring = self.keyring.reseal(master).map_err(BackupError::Failed)?;
        inventory.put(&Key::keyring(), &keyring);
        last_records.iter().for_each(|(key, record)| inventory.put(key, record));
        let digest =
            before.restored(&self.keyring, &inventory).seal(&self.keyring).map_err(BackupError::Failed)?;
        last_records.extend([(Key::keyring(), keyring), (Key::digest(), digest)]);
        Ok(last_records)
    }

    /// Whether a key means nothing to this service. A version may belong to a namespace that could not be opened.
    fn is_foreign(&self, key: &Key) -> bool {
        match key.kind() {
            // The audit log of a server and the history of events are not part of a backup.
            Kind::Other
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::Event(_)
            | Kind::HistoryStart => true,
            Kind::Version(namespace, ..) | Kind::SecretUsage(namespace, _) => {
                self.all_namespaces && !self.namespaces.contains_key(&namespace)
            }
            Kind::Keyring
            | Kind::Digest
            | Kind::Namespace(_)
            | Kind::ApiKey(_)
            | Kind::Role(_)
            | Kind::Binding(_)
            | Kind::AccessEpoch
            | Kind::IdempotencyRecord(_)
            | Kind::Name(..)
            | Kind::Secret(..)
            | Kind::KeyUsage(_)
            | Kind::BindingUsage(_) => false,
        }
    }

    /// Whether a record opens in its place, and is what belongs there.
    fn opens(&self, key: &Key, value: &[u8]) -> bool {
        let keyring = &self.keyring;
        let keys_of = |namespace| self.namespaces.get(&namespace);
        match key.kind() {
            Kind::Keyring => true, // it was opened before all others
            Kind::Digest => StoreDigest::open(keyring, value).is_ok(),
            Kind::Namespace(mac) => NamespaceKeys::open(keyring, &mac, value).is_ok(),
            Kind::ApiKey(id) => ApiKey::open(keyring, ApiKeyId(id), value, Revision::default()).is_ok(),
            Kind::Role(mac) => Role::open(keyring, &mac, value, Revision::default()).is_ok(),
            Kind::Binding(id) => Binding::open(keyring, BindingId(id), value, Revision::default()).is_ok(),
            Kind::AccessEpoch => AccessEpoch::open(keyring, value, Revision::default()).is_ok(),
            Kind::IdempotencyRecord(mac) => {
                keyring.open_record(Purpose::IdempotencyRecord, &mac, value).is_ok()
            }
            Kind::Name(namespace, mac) => keys_of(namespace).is_some_and(|keys| {
                keys.open_record(Purpose::Name, &mac, value).is_ok_and(|id| id.len() == 16)
            }),
            Kind::Secret(namespace, id) => keys_of(namespace).is_some_and(|keys| {
                let clear = keys.open_record(Purpose::Secret, id.as_bytes(), value);
                clear.is_ok_and(|clear| {
                    decode_secret(keys.namespace(), id, &clear, Revision::default()).is_some()
                })
            }),
            Kind::Version(namespace, id, version) => keys_of(namespace).is_some_and(|keys| {
                let clear = keys.open_value(id.as_bytes(), version, value);
                clear.is_ok_and(|clear| Value::decode(&clear).is_some())
            }),
            Kind::SecretUsage(namespace, id) => open_secret_usage(keyring, (namespace, id), value).is_ok(),
            Kind::KeyUsage(id) => open_key_usage(keyring, &id, value).is_ok(),
            Kind::BindingUsage(id) => open_binding_usage(keyring, &id, value).is_ok(),
            Kind::Other
            | Kind::AuditRecord(..)
            | Kind::AuditAnchor(_)
            | Kind::Event(_)
            | Kind::HistoryStart => false,
        }
    }
}
