//! The lineage of a store: which servers have changed it, and from which commit on.
//!
//! Two histories of one store can have as many commits and yet other ones: an older copy was put in the place of the store,
//! and a server that did not know better went on from there. The count of commits does not tell them apart. So each server
//! gets an id at its start, and its first commit adds a branch to the lineage, which the digest carries: that id, and the
//! number of that commit. Who has seen a store knows its newest branch, and the number of the newest commit on it. A later
//! state of the same store has that branch, and no server left it before that commit. Where a server left it earlier, the
//! store has left the history that was seen, for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::crypto::{Error, FieldReader, Keyring};

/// The id of a branch.
pub(super) type BranchId = [u8; 8];

/// How many branches a digest keeps: the newest ones.
const KEPT: usize = 64;

const BEGUN_BY_SERVER: u8 = 1;
const BEGUN_BY_RESTORE: u8 = 2;

/// A part of the history of a store, which begins with a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Branch {
    kind: BranchKind,
    pub(super) id: BranchId,
    /// The number of its first commit.
    first: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BranchKind {
    /// A server made its first commit since its start, or since it was cut off from the store.
    Server,
    /// A restore replaced the store: somebody who may wanted everything before it to be left.
    Restore,
}

/// The branches of a store, oldest first. None: only earlier releases have changed the store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Lineage(Arc<[Branch]>);

/// How the lineage of a store relates to a state that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Descent {
    /// The store is on the branch that was seen, or has gone on from it, or it cannot be told: only the counts tell more.
    Continued,
    /// A restore has replaced what was seen.
    Replaced,
    /// The store has left the branch that was seen before the newest commit that was seen, or never had it.
    Left,
}

impl Lineage {
    /// Reads the branches.
    pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<Self, Error> {
        let mut branches = Vec::new();
        while !fields.0.is_empty() {
            let [kind] = *fields.take()?;
            let kind = match kind {
                BEGUN_BY_SERVER => BranchKind::Server,
                BEGUN_BY_RESTORE => BranchKind::Restore,
                _ => return Err(Error::Integrity),
            };
            branches.push(Branch { kind, id: *fields.take()?, first: fields.count()? });
        }
        Ok(Self(branches.into()))
    }

    /// The branches as bytes, oldest first: kind (1), id (8), number of the first commit (8, big-endian).
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = |branch: &Branch| {
            let kind = match branch.kind {
                BranchKind::Server => BEGUN_BY_SERVER,
                BranchKind::Restore => BEGUN_BY_RESTORE,
            };
            [&[kind], branch.id.as_slice(), &branch.first.to_be_bytes()].concat()
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// The newest branch.
    pub(super) fn newest(&self) -> Option<BranchId> {
        self.0.last().map(|branch| branch.id)
    }

    /// The lineage after a commit of a server with this id.
    pub(super) fn with_server(self, id: BranchId, commit: u64) -> Self {
        if self.0.iter().any(|branch| branch.id == id) {
            return self;
        }
        self.with(Branch { kind: BranchKind::Server, id, first: commit })
    }

    /// The lineage after a restore.
    pub(super) fn with_restore(self, id: BranchId, commit: u64) -> Self {
        self.with(Branch { kind: BranchKind::Restore, id, first: commit })
    }

    fn with(self, branch: Branch) -> Self {
        let dropped = (self.0.len() + 1).saturating_sub(KEPT);
        Self(self.0.iter().skip(dropped).copied().chain([branch]).collect())
    }

    /// How this lineage relates to a state that was seen: its newest branch, and its count of commits.
    pub(super) fn descent(&self, seen: Option<BranchId>, commits: u64) -> Descent {
        // An earlier release keeps no lineage: where one has changed the store last, nothing can be said.
        let Some(seen) = seen.filter(|_| !self.0.is_empty()) else { return Descent::Continued };
        if self.0.iter().any(|branch| branch.kind == BranchKind::Restore && branch.first > commits) {
            return Descent::Replaced;
        }
        match self.0.iter().position(|branch| branch.id == seen) {
            Some(at) if self.0.get(at + 1).is_none_or(|next| next.first > commits) => Descent::Continued,
            Some(_) | None => Descent::Left,
        }
    }
}

/// A server, as the lineage names it: another one after each start, and each time that the store was out of its sight. What it
/// finds then can be another history, so that its next commit begins a branch.
#[derive(Debug)]
pub struct ServerIdentity {
    process: Uuid,
    interruptions: Arc<AtomicU64>,
}

impl ServerIdentity {
    /// A server that has just started. `interruptions` counts how often the store was out of its sight.
    pub fn new(interruptions: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { process: Uuid::new_v4(), interruptions })
    }

    pub(super) fn process(&self) -> Uuid {
        self.process
    }

    pub(super) fn id(&self, keyring: &Keyring) -> BranchId {
        let interruptions = self.interruptions.load(Ordering::SeqCst).to_be_bytes();
        let tag = keyring.anchor_mac(&[b"branch", self.process.as_bytes(), &interruptions]);
        tag.first_chunk().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_tells_a_later_state_from_another_history() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|id| [id; 8]);
        let base = Lineage::default().with_server(a, 1);
        // Seen on branch `a` after 10 commits.
        let seen = (base.newest(), 10);
        let descent = |lineage: &Lineage| lineage.descent(seen.0, seen.1);
        assert_eq!(descent(&base), Descent::Continued);
        assert_eq!(descent(&base.clone().with_server(b, 11)), Descent::Continued);
        let left = base.clone().with_server(b, 10);
        assert_eq!(descent(&left), Descent::Left);
        assert_eq!(descent(&left.clone().with_server(c, 90)), Descent::Left, "for ever");
        assert_eq!(descent(&Lineage::default().with_server(c, 900)), Descent::Left);
        // A restore is what somebody wanted, also of a store that has left; a former one changes nothing.
        assert_eq!(descent(&left.with_restore(d, 1000)), Descent::Replaced);
        let restored = Lineage::default().with_restore(d, 5).with_server(c, 6);
        assert_eq!(descent(&restored), Descent::Left);
        // What an earlier release wrote says nothing.
        assert_eq!(descent(&Lineage::default()), Descent::Continued);
        assert_eq!(base.descent(None, 10), Descent::Continued);
    }

    #[test]
    fn a_lineage_keeps_its_newest_branches_and_is_read_as_it_was_written() {
        let id = |number: u64| number.to_be_bytes();
        let mut lineage = Lineage::default().with_restore(id(1000), 1);
        for number in 0..100 {
            lineage = lineage.with_server(id(number), number + 2).with_server(id(number), 200);
        }
        assert_eq!((lineage.0.len(), lineage.newest()), (KEPT, Some(id(99))));
        let bytes = lineage.to_bytes();
        assert_eq!(bytes.len(), KEPT * 17);
        assert_eq!(Lineage::read(&mut FieldReader(&bytes)).unwrap(), lineage);
        assert!(Lineage::read(&mut FieldReader(&bytes[1..])).is_err());
        assert!(Lineage::read(&mut FieldReader(&[&bytes[..], &[1]].concat())).is_err());
    }

    #[test]
    fn a_server_that_lost_sight_of_its_store_is_another_one() {
        let (keyring, _) = Keyring::create(&crate::crypto::MasterKeys::generate().unwrap()).unwrap();
        let interruptions = Arc::new(AtomicU64::new(0));
        let server = ServerIdentity::new(interruptions.clone());
        let before = server.id(&keyring);
        assert_eq!(before, server.id(&keyring));
        interruptions.fetch_add(1, Ordering::SeqCst);
        assert_ne!(before, server.id(&keyring));
        assert_ne!(before, ServerIdentity::new(Arc::default()).id(&keyring));
    }
}
