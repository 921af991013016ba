//! The digest of a store: which records the store holds.
//!
//! Each record has a mark, its nonce, which no two seals have in common. The digest holds the XOR of the HMACs of
//! all keys with their marks (a set hash, after Clarke et al., "Incremental Multiset Hash Functions", 2003). Every
//! commit takes out the records that it replaces and puts in the records that it writes. The digest is sealed, so
//! that nobody without the keyring can make one, or learn from it how to choose records with the same digest.
//! Versions are not part of it: the record of their secret holds their seals.

use std::sync::Arc;

use uuid::Uuid;

use super::inventory::{Inventory, Mark, covers, element, mark, toggle};
use super::lineage::{BranchId, Descent, Lineage, ServerIdentity};
use crate::crypto::{Error, FieldReader, Keyring, Mac, Purpose};
use crate::store::{Change, Changed, Digester, Key, NextDigest};

/// The digest of a store at one of its revisions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    /// Which servers have changed the store.
    lineage: Lineage,
}

/// Why a store is not the one that was seen, nor a later state of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// It is older, by this many commits. One commit can hold several changes.
    #[error("the store is an older copy: its last {0} changes are missing, at least")]
    Older(u64),
    /// It has as many commits, but other ones.
    #[error("the store is another copy: it has gone on from an older state")]
    Other,
    /// It has gone on from an older state, whatever it has by now.
    #[error("the store has gone on from an older copy, which lacks changes that this server has seen")]
    Left,
}

/// Identifies a digest or a commit, and reveals nothing of it.
pub(super) type Fingerprint = [u8; 16];

/// The distance in commits that a replacement leaves: more than can be made while it is prepared.
const LEAP: u64 = 1 << 32;

impl StoreDigest {
    const ID: &[u8] = b"digest";

    /// Opens the digest's record.
    pub fn open(keyring: &Keyring, record: &[u8]) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::Digest, Self::ID, record)?;
        let mut parts = FieldReader(&clear);
        let (sum, commits, seals) = (*parts.take()?, parts.count()?, parts.count()?);
        let (follows, commit) = (*parts.take()?, *parts.take()?);
        Ok(Self { sum, commits, seals, follows, commit, lineage: Lineage::read(&mut parts)? })
    }

    /// Seals the digest's record. In the clear: sum (32 bytes), commits (8, big-endian), seals (8), fingerprint of
    /// the digest before it (16), fingerprint of its commit (16), the branches of its lineage (17 each).
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let numbers = [self.commits.to_be_bytes(), self.seals.to_be_bytes()].concat();
        let lineage = self.lineage.to_bytes();
        let clear = [self.sum.as_slice(), &numbers, &self.follows, &self.commit, &lineage].concat();
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

    /// Fails unless a store with this digest is the one that was seen with the other digest, in the same state or a later one.
    pub fn continues(&self, seen: &Self) -> Result<(), Divergence> {
        self.continues_from(seen.branch(), seen.commits)?;
        let same = self.commits > seen.commits || self.sum == seen.sum;
        if same { Ok(()) } else { Err(Divergence::Other) }
    }

    /// The same for what was seen as a branch with so many commits. Two states with as many commits are not told apart.
    pub(super) fn continues_from(&self, branch: Option<BranchId>, commits: u64) -> Result<(), Divergence> {
        if self.commits < commits {
            return Err(Divergence::Older(commits - self.commits));
        }
        match self.lineage.descent(branch, commits) {
            Descent::Continued | Descent::Replaced => Ok(()),
            Descent::Left => Err(Divergence::Left),
        }
    }

    /// The newest branch of its lineage; `None` where only earlier releases have changed the store.
    pub(super) fn branch(&self) -> Option<BranchId> {
        self.lineage.newest()
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

    /// The digest of the records in the inventory, which follows this one, for a store that was altered and is accepted as it is.
    pub fn accepted(self, keyring: &Keyring, inventory: &Inventory) -> Self {
        let mut digest = self.of(keyring, inventory);
        digest.lineage = digest.lineage.with_server(new_branch(), digest.commits);
        digest
    }

    /// The same for a store that a restore has replaced.
    pub fn restored(self, keyring: &Keyring, inventory: &Inventory) -> Self {
        let mut digest = self.of(keyring, inventory);
        digest.lineage = digest.lineage.with_restore(new_branch(), digest.commits);
        digest
    }

    /// The digest of the records in the inventory, which follows this one.
    pub fn of(self, keyring: &Keyring, inventory: &Inventory) -> Self {
        // Its commit puts the keyring, and no other record that the digest covers.
        let key = Key::keyring();
        let keyring_put = inventory.keyring().map(|mark| (&key, Some(mark)));
        Self {
            sum: inventory.sum(keyring),
            commits: self.commits.saturating_add(1),
            seals: self.seals,
            follows: self.fingerprint(keyring),
            commit: marks_fingerprint(keyring, keyring_put.into_iter().collect()),
            lineage: self.lineage,
        }
    }

    /// Whether the store holds exactly the records of this digest.
    pub fn verifies(&self, keyring: &Keyring, inventory: &Inventory) -> bool {
        self.clone().of(keyring, inventory).sum == self.sum
    }

    /// Adds a record, or removes it if it is part of the sum.
    fn toggle(&mut self, keyring: &Keyring, key: &Key, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        toggle(&mut self.sum, &element(keyring, key.as_bytes(), &mark));
    }
}

/// Carries the digest on, from a digest that is not older than the one seen.
pub struct DigestCarrier {
    keyring: Arc<Keyring>,
    seen: StoreDigest,
    server: Arc<ServerIdentity>,
}

impl DigestCarrier {
    /// Carries on from this digest, with its keyring, for commits of this server.
    pub fn from(keyring: Arc<Keyring>, seen: StoreDigest, server: Arc<ServerIdentity>) -> Self {
        Self { keyring, seen, server }
    }

    /// Opens a digest, unless it comes from another history: no later digest based on it would be accepted.
    fn open(&self, digest: &[u8]) -> Option<StoreDigest> {
        let digest = StoreDigest::open(&self.keyring, digest).ok()?;
        digest.continues(&self.seen).is_ok().then_some(digest)
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
        let mut after = self.open(before)?.after(&self.keyring, changed, appended);
        after.lineage = after.lineage.with_server(self.server.id(&self.keyring), after.commits);
        Some(NextDigest { record: after.seal(&self.keyring).ok()?, position: after.commits })
    }
}

/// The id of a branch that no server of its own begins.
fn new_branch() -> BranchId {
    Uuid::new_v4().as_bytes().first_chunk().copied().unwrap_or_default()
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

fn marks_fingerprint(keyring: &Keyring, mut marks: Vec<(&Key, Option<Mark>)>) -> Fingerprint {
    marks.sort_unstable();
    let mut parts: Vec<&[u8]> = vec![b"commit"];
    for (key, mark) in &marks {
        parts.push(key.as_bytes());
        parts.push(mark.as_ref().map_or(&[], |mark| mark.as_slice()));
    }
    keyring.anchor_mac(&parts).first_chunk().copied().unwrap_or_default()
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
        assert_eq!(
            digest.seal(&keyring).unwrap().len(),
            17 + 80 + 16,
            "a digest without a lineage is that of an earlier release"
        );
        // A commit carries on the present digest or a later one, never an earlier one.
        let keyring = Arc::new(keyring);
        let (older, later) = (StoreDigest::default(), digest.clone().after(&keyring, &[], 0));
        for (present, carries) in [(older, false), (digest.clone(), true), (later, true)] {
            let server = ServerIdentity::new(Arc::default());
            let carrier = DigestCarrier::from(keyring.clone(), digest.clone(), server);
            assert_eq!(carrier.after(&present.seal(&keyring).unwrap(), &[], 0).is_some(), carries);
        }
        let (stranger, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        assert!(!digest.verifies(&stranger, &inventory(&[(0, &c)])));
    }
}
