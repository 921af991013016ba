//! The digest of a store: which records the store holds.
//!
//! Each record has a mark, its nonce, which no two seals have in common. The digest holds the XOR of the HMACs of
//! all keys with their marks (a set hash, after Clarke et al., "Incremental Multiset Hash Functions", 2003). Every
//! commit takes out the records that it replaces and puts in the records that it writes. The digest is sealed, so
//! that nobody without the keyring can make one, or learn from it how to choose records with the same digest.
//! Versions are not part of it: the record of their secret holds their seals.

use std::collections::HashMap;
use std::sync::Arc;

use crate::crypto::{Error, FieldReader, Keyring, Mac, Purpose, record_seal};
use crate::schema::Kind;
use crate::store::{Change, Changed, Digester, Key, NextDigest};

/// The digest of a store at one of its revisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreDigest {
    sum: Mac,
    /// The number of commits; commits that are made together count as one. Never decreases.
    pub commits: u64,
    /// At least the number of seals so far by keys that seal more than once.
    pub seals: u64,
    /// The fingerprint of the digest before it.
    follows: Fingerprint,
    /// The fingerprint of its commit.
    commit: Fingerprint,
}

/// Identifies a digest or a commit, and reveals nothing of it.
pub(super) type Fingerprint = [u8; 16];

/// The marks of the records of a store, collected while the store is read.
#[derive(Default)]
pub struct Inventory(HashMap<Key, [u8; 12]>);

/// The distance in commits that a replacement leaves: more than can be made while it is prepared.
const LEAP: u64 = 1 << 32;

impl StoreDigest {
    const ID: &[u8] = b"digest";

    /// Opens the digest's record.
    pub fn open(keyring: &Keyring, record: &[u8]) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::Digest, Self::ID, record)?;
        let mut parts = FieldReader(&clear);
        let (sum, commits, seals) = (*parts.take()?, parts.count()?, parts.count()?);
        Ok(Self { sum, commits, seals, follows: *parts.take()?, commit: *parts.take()? })
    }

    /// Seals the digest's record. In the clear: sum (32 bytes), commits (8, big-endian), seals (8), fingerprint of
    /// the digest before it (16), fingerprint of its commit (16).
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let numbers = [self.commits.to_be_bytes(), self.seals.to_be_bytes()].concat();
        let clear = [self.sum.as_slice(), &numbers, &self.follows, &self.commit].concat();
        keyring.seal(Purpose::Digest, Self::ID, &clear)
    }

    pub(super) fn fingerprint(&self, keyring: &Keyring) -> Fingerprint {
        let tag = keyring.anchor_mac(&[b"digest", &self.commits.to_be_bytes(), &self.sum]);
        tag.first_chunk().copied().unwrap_or_default()
    }

    /// Whether this change alone led from the digest `before` to this one, and its author knew `before`.
    pub fn is_next_to(&self, before: &Self, keyring: &Keyring, change: &Change) -> bool {
        let put = change.put.iter().map(|(key, record)| (key, Some(record.as_slice())));
        let changed = put.chain(change.delete.iter().map(|key| (key, None)));
        self.commits == before.commits.saturating_add(1)
            && self.follows == before.fingerprint(keyring)
            && self.commit == commit_fingerprint(keyring, changed)
    }

    /// Whether a store with this digest can be the same state as one with the other digest, or a later one.
    pub fn is_no_older_than(&self, other: &Self) -> bool {
        self.commits > other.commits || self.commits == other.commits && self.sum == other.sum
    }

    /// This digest for a store that takes the place of another: later than any state the other can reach meanwhile.
    pub fn in_place_of(mut self, other: &Self) -> Self {
        self.commits = self.commits.max(other.commits).saturating_add(LEAP);
        self.seals = self.seals.max(other.seals);
        self
    }

    /// The digest of a store at this revision, for which nobody has counted: one commit per revision, a few seals
    /// per commit. A restore makes revisions leap, so the seals have an upper bound below the limit of a key.
    pub fn estimate(revision: u64) -> Self {
        Self { commits: revision, seals: revision.saturating_mul(4).min(1 << 29), ..Self::default() }
    }

    /// The same, with at least this many commits.
    pub fn with_commits(self, commits: u64) -> Self {
        Self { commits: self.commits.max(commits), ..self }
    }

    /// The same, with at least this many seals.
    pub fn with_seals(self, seals: u64) -> Self {
        Self { seals: self.seals.max(seals), ..self }
    }

    /// The digest after one more commit, which makes these changes and appends so many records.
    pub fn after(mut self, keyring: &Keyring, changed: &[Changed<'_>], appended: usize) -> Self {
        self.follows = self.fingerprint(keyring);
        self.commit = commit_fingerprint(keyring, changed.iter().map(|changed| (changed.key, changed.after)));
        for Changed { key, before, after } in changed {
            for record in before.iter().chain(after) {
                self.toggle(keyring, key, mark(key, record));
            }
        }
        let put = changed.iter().filter(|changed| changed.after.is_some()).count();
        let sealed = put + appended + 1; // and the digest
        self.commits = self.commits.saturating_add(1);
        self.seals = self.seals.saturating_add(u64::try_from(sealed).unwrap_or(u64::MAX));
        self
    }

    /// The digest of the records in the inventory, which follows this one.
    pub fn of(self, keyring: &Keyring, inventory: &Inventory) -> Self {
        // Its commit puts the keyring, and no other record that the digest covers.
        let key = Key::keyring();
        let keyring_put = inventory.0.get(&key).map(|mark| (&key, Some(*mark)));
        let mut digest = Self {
            sum: Mac::default(),
            commits: self.commits.saturating_add(1),
            seals: self.seals,
            follows: self.fingerprint(keyring),
            commit: marks_fingerprint(keyring, keyring_put.into_iter().collect()),
        };
        for (key, mark) in &inventory.0 {
            digest.toggle(keyring, key, Some(*mark));
        }
        digest
    }

    /// Whether the store holds exactly the records of this digest.
    pub fn verifies(&self, keyring: &Keyring, inventory: &Inventory) -> bool {
        self.of(keyring, inventory).sum == self.sum
    }

    /// Adds a record, or removes it if it is part of the sum.
    fn toggle(&mut self, keyring: &Keyring, key: &Key, mark: Option<[u8; 12]>) {
        let Some(mark) = mark else { return };
        let element = keyring.element_mac(&[key.as_bytes(), &mark]);
        for (sum, element) in self.sum.iter_mut().zip(element) {
            *sum ^= element;
        }
    }
}

impl Inventory {
    /// Notes a record, in place of an earlier one at its key.
    pub fn put(&mut self, key: &Key, record: &[u8]) {
        if let Some(mark) = mark(key, record) {
            self.0.insert(key.clone(), mark);
        }
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// Carries the digest on, from a digest that is not older than the one seen.
pub struct DigestCarrier {
    keyring: Arc<Keyring>,
    seen: StoreDigest,
}

impl DigestCarrier {
    /// Carries on from this digest, with its keyring.
    pub fn from(keyring: Arc<Keyring>, seen: StoreDigest) -> Self {
        Self { keyring, seen }
    }

    /// Opens a digest, unless it comes from an older copy: no later digest based on it would be accepted.
    fn open(&self, digest: &[u8]) -> Option<StoreDigest> {
        let digest = StoreDigest::open(&self.keyring, digest).ok()?;
        digest.is_no_older_than(&self.seen).then_some(digest)
    }
}

impl Digester for DigestCarrier {
    fn covers(&self, key: &Key) -> bool {
        covers(key)
    }

    fn carries_on(&self, digest: &[u8]) -> bool {
        self.open(digest).is_some()
    }

    fn after(&self, before: &[u8], changed: &[Changed<'_>], appended: usize) -> Option<NextDigest> {
        let after = self.open(before)?.after(&self.keyring, changed, appended);
        Some(NextDigest { record: after.seal(&self.keyring).ok()?, position: after.commits })
    }
}

/// The fingerprint of a commit: of its records at the keys that the digest covers, in any order.
fn commit_fingerprint<'a>(
    keyring: &Keyring,
    changed: impl Iterator<Item = (&'a Key, Option<&'a [u8]>)>,
) -> Fingerprint {
    let covered = changed.filter(|(key, _)| covers(key));
    marks_fingerprint(
        keyring,
        covered.map(|(key, record)| (key, record.and_then(|record| mark(key, record)))).collect(),
    )
}

fn marks_fingerprint(keyring: &Keyring, mut marks: Vec<(&Key, Option<[u8; 12]>)>) -> Fingerprint {
    marks.sort_unstable();
    let mut parts: Vec<&[u8]> = vec![b"commit"];
    for (key, mark) in &marks {
        parts.push(key.as_bytes());
        parts.push(mark.as_ref().map_or(&[], |mark| mark.as_slice()));
    }
    keyring.anchor_mac(&parts).first_chunk().copied().unwrap_or_default()
}

fn covers(key: &Key) -> bool {
    match key.kind() {
        Kind::Keyring
        | Kind::ApiKey(_)
        | Kind::Role(_)
        | Kind::Binding(_)
        | Kind::AccessEpoch
        | Kind::Namespace(_)
        | Kind::Name(..)
        | Kind::Secret(..)
        | Kind::IdempotencyRecord(_) => true,
        // Usage says nothing that anybody is let in by, and changes all the time: to read all of it again at each start and to
        // look up what each commit replaces would cost more than it protects.
        Kind::Version(..)
        | Kind::Digest
        | Kind::AuditRecord(..)
        | Kind::AuditAnchor(_)
        | Kind::SecretUsage(..)
        | Kind::KeyUsage(_)
        | Kind::BindingUsage(_)
        // The history: see SECURITY.md.
        | Kind::Event(_)
        | Kind::HistoryStart
        | Kind::Other => false,
    }
}

/// The mark of a record, which no other record at its key has; `None` where the digest does not cover the key.
fn mark(key: &Key, record: &[u8]) -> Option<[u8; 12]> {
    if !covers(key) {
        return None;
    }
    // The keyring's nonce has no fixed place, but its record ends with a tag. A record that is too short for a mark
    // opens nowhere.
    let mark = if key.kind() == Kind::Keyring { record.last_chunk().copied() } else { record_seal(record) };
    Some(mark.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;

    #[test]
    fn a_digest_vouches_for_exactly_what_its_commits_left() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let record = |byte: u8| [byte; 40];
        let keys: Vec<_> = (0..4).map(|n| Key::api_key(&[n; 10])).collect();
        let put = |key, before, after| Changed { key, before, after };
        let (a, b, c) = (record(1), record(2), record(3));
        let mut digest = StoreDigest::default();
        digest = digest.after(&keyring, &[put(&keys[0], None, Some(&a)), put(&keys[1], None, Some(&b))], 0);
        digest =
            digest.after(&keyring, &[put(&keys[0], Some(&a), Some(&c)), put(&keys[1], Some(&b), None)], 1);
        assert_eq!((digest.commits, digest.seals), (2, 6));
        assert_eq!(StoreDigest::open(&keyring, &digest.seal(&keyring).unwrap()).unwrap(), digest);

        let inventory = |records: &[(usize, &[u8])]| {
            let mut inventory = Inventory::default();
            records.iter().for_each(|(at, record)| inventory.put(&keys[*at], record));
            inventory
        };
        assert!(digest.verifies(&keyring, &inventory(&[(0, &c)])));
        let others: [&[(usize, &[u8])]; 5] =
            [&[], &[(0, &a)], &[(1, &c)], &[(0, &c), (1, &b)], &[(0, &c), (1, &c)]];
        for other in others {
            assert!(!digest.verifies(&keyring, &inventory(other)));
        }
        // A commit carries on the present digest or a later one, never an earlier one.
        let keyring = Arc::new(keyring);
        let (older, later) = (StoreDigest::default(), digest.after(&keyring, &[], 0));
        for (present, carries) in [(older, false), (digest, true), (later, true)] {
            let carrier = DigestCarrier::from(keyring.clone(), digest);
            assert_eq!(carrier.after(&present.seal(&keyring).unwrap(), &[], 0).is_some(), carries);
        }
        let (stranger, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        assert!(!digest.verifies(&stranger, &inventory(&[(0, &c)])));
    }
}
