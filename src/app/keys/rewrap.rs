//! The walk of a rekey over all records that a key seals.
//!
//! The walk reads page by page and commits the records that it has sealed again in small groups, while others write. A record
//! that somebody changes meanwhile is read again, and sealed again only where that is still needed.

use super::{Listener, RekeyProgress, Rekeyed};
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::{Attempt, Core};
use crate::crypto;
use crate::domain::Revision;
use crate::integrity::StoredKeyring;
use crate::store::{Entry, Expect, Key, Pages, Transaction};

/// How many records are read at a time. Versions can be large, and a commit is bounded.
const PAGE: usize = 64;
/// How many bytes a commit holds, at most, before the next record is left to another one.
const COMMIT_BYTES: usize = 256 * 1024;
/// How often the records of a page are tried, at most. Each time that another writer is faster, fewer are tried at once.
const PAGE_ATTEMPTS: usize = 1000;

/// What becomes of a record.
pub(super) enum RewrapOutcome {
    /// It stays as it is: its generation is the newest, or another key seals it.
    Stays,
    /// This record replaces it, and the paired record is replaced in the same commit.
    Becomes(Vec<u8>, Option<PairedRecord>),
    /// It cannot be opened.
    Damaged,
}

/// A second record that is replaced together with a record.
pub(super) struct PairedRecord {
    pub(super) key: Key,
    /// The revision of the record that it replaces.
    pub(super) expect: Revision,
    pub(super) record: Vec<u8>,
}

impl From<Result<Vec<u8>, crypto::Error>> for RewrapOutcome {
    fn from(resealed: Result<Vec<u8>, crypto::Error>) -> Self {
        resealed.map_or(Self::Damaged, |record| Self::Becomes(record, None))
    }
}

/// A walk over records, which seals them again.
pub(super) struct Rewrap<'a> {
    core: &'a Core,
    progress: Listener<'a>,
    total: u64,
    seen: u64,
    damaged: u64,
}

impl<'a> Rewrap<'a> {
    /// A walk over `total` records, roughly.
    pub(super) fn new(core: &'a Core, progress: Listener<'a>, total: u64) -> Self {
        Self { core, progress, total, seen: 0, damaged: 0 }
    }

    /// Goes over all records whose keys begin with the prefix. `outcome_of` is asked for each record, and again for one that
    /// has changed meanwhile. A commit requires that the keyring is the one that was given to `outcome_of`, and what
    /// `unchanged` has returned before: that the keys of a namespace stay the same, where those seal.
    pub(super) async fn all(
        &mut self,
        prefix: Key,
        unchanged: impl Fn() -> Option<(Key, Expect)>,
        outcome_of: impl Fn(&StoredKeyring, &Key, &Entry) -> RewrapOutcome,
    ) -> Result<(), Error> {
        let mut pages = Pages::new(&*self.core.store, prefix, PAGE);
        while let Some(page) = pages.next().await? {
            // A record that the catalog does not show yet can be sealed by keys that it does not know yet.
            let newest = page.iter().map(|(_, entry)| entry.revision).max().unwrap_or_default();
            self.core.wait_visible(newest).await?;
            self.seen += page.len() as u64;
            self.reseal(page, &unchanged, &outcome_of).await?;
            (self.progress)(RekeyProgress { seen: self.seen, total: self.total.max(self.seen) });
        }
        Ok(())
    }

    /// The outcome of the walk, for a key that now has these generations.
    pub(super) fn finish(self, generations: &[u32]) -> Rekeyed {
        let generation = generations.last().copied().unwrap_or_default();
        Rekeyed { generation, seen: self.seen, damaged: self.damaged }
    }

    /// Seals these records again, in as few commits as they fit in. Where another writer changes one of them meanwhile, the
    /// records that are left are read and tried again, in smaller commits.
    async fn reseal(
        &mut self,
        mut left: Vec<(Key, Entry)>,
        unchanged: &impl Fn() -> Option<(Key, Expect)>,
        outcome_of: &impl Fn(&StoredKeyring, &Key, &Entry) -> RewrapOutcome,
    ) -> Result<(), Error> {
        let (mut attempts, mut most) = (self.core.attempts(PAGE_ATTEMPTS, Authority::Service), PAGE);
        while !left.is_empty() {
            let Attempt { keyring, .. } = attempts.next()?;
            let unchanged = unchanged();
            let outcome_of = |key: &Key, entry: &Entry| outcome_of(&keyring, key, entry);
            let Group { mut transaction, taken, doubtful } = group(&left, most, outcome_of);
            let changes_nothing = transaction.put.is_empty();
            transaction.require.extend(unchanged);
            // Not with `Attempt::commit`: the records were read before the attempt.
            if changes_nothing || self.core.commit(&keyring, transaction).await?.is_some() {
                left.drain(..taken);
                left.extend(self.changed_since(doubtful).await?);
            } else {
                most = (most / 2).max(1);
                left = self.read_again(&left).await?;
            }
        }
        Ok(())
    }

    /// Of these records, those that have changed since they were read: they may have been older than what the catalog shows.
    /// The others are counted as damaged.
    async fn changed_since(&mut self, doubtful: Vec<(Key, Entry)>) -> Result<Vec<(Key, Entry)>, Error> {
        let mut changed = Vec::new();
        for (key, before) in doubtful {
            let before = [(key, before)];
            for (key, entry) in self.read_again(&before).await? {
                if before.iter().any(|(_, before)| before.revision == entry.revision) {
                    self.damaged += 1;
                } else {
                    changed.push((key, entry));
                }
            }
        }
        Ok(changed)
    }

    /// The records that stand at these keys now.
    async fn read_again(&self, records: &[(Key, Entry)]) -> Result<Vec<(Key, Entry)>, Error> {
        let mut read = Vec::with_capacity(records.len());
        for (key, _) in records {
            if let Some(entry) = self.core.store.get(key).await? {
                self.core.wait_visible(entry.revision).await?;
                read.push((key.clone(), entry));
            }
        }
        Ok(read)
    }
}

/// The first of some records, sealed again in one transaction.
struct Group {
    transaction: Transaction,
    /// How many records it is about.
    taken: usize,
    /// Those of them that did not open.
    doubtful: Vec<(Key, Entry)>,
}

/// As many of these records as fit into one transaction, and at most `most`.
fn group(records: &[(Key, Entry)], most: usize, outcome_of: impl Fn(&Key, &Entry) -> RewrapOutcome) -> Group {
    let (mut transaction, mut bytes) = (Transaction::default(), 0);
    let (mut taken, mut doubtful) = (0, Vec::new());
    for (key, entry) in records {
        if taken >= most || bytes > COMMIT_BYTES {
            break;
        }
        taken += 1;
        match outcome_of(key, entry) {
            RewrapOutcome::Stays => {}
            RewrapOutcome::Damaged => doubtful.push((key.clone(), entry.clone())),
            RewrapOutcome::Becomes(record, paired) => {
                bytes += record.len();
                transaction.require.push((key.clone(), Expect::At(entry.revision)));
                transaction.put.push((key.clone(), record));
                if let Some(PairedRecord { key, expect, record }) = paired {
                    transaction.require.push((key.clone(), Expect::At(expect)));
                    transaction.put.push((key, record));
                    bytes = usize::MAX; // the last of this group: the next one could have the same paired record
                }
            }
        }
    }
    Group { transaction, taken, doubtful }
}
