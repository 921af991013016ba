use std::sync::Arc;

use super::{Progress, Rewrapped};
use crate::app::{App, Error};
use crate::crypto;
use crate::domain::Revision;
use crate::integrity::StoredKeyring;
use crate::store::{Entry, Expect, Key, Pages, Transaction};

/// How many records are read at a time. Versions can be large, and what one commit holds is bounded.
const SCAN: usize = 64;
/// How many bytes are committed at a time, at most.
const BYTES: usize = 256 * 1024;
/// How often a commit is tried again because others changed the same records meanwhile.
const ATTEMPTS: usize = 1000;

/// What becomes of a record.
pub(super) enum RewrapOutcome {
    /// It is of the newest generation, or not of the keys that are rotated.
    Stays,
    /// It is replaced, and so is another that goes with it.
    Becomes(Vec<u8>, Option<Also>),
    /// It can not be opened.
    Damaged,
}

/// Another record that is replaced together with one.
pub(super) struct Also {
    pub(super) key: Key,
    /// The revision that put there what it replaces.
    pub(super) expect: Revision,
    pub(super) record: Vec<u8>,
}

impl From<Result<Vec<u8>, crypto::Error>> for RewrapOutcome {
    fn from(resealed: Result<Vec<u8>, crypto::Error>) -> Self {
        resealed.map_or(Self::Damaged, |record| Self::Becomes(record, None))
    }
}

/// A walk over records, which are sealed anew.
pub(super) struct Pass<'a> {
    pub(super) app: &'a App,
    pub(super) progress: &'a dyn Progress,
    pub(super) total: u64,
    pub(super) seen: u64,
    pub(super) damaged: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(app: &'a App, progress: &'a dyn Progress, total: u64) -> Self {
        Self { app, progress, total, seen: 0, damaged: 0 }
    }

    /// Goes over all records with a prefix. `outcome_of` is asked for each, and again where it changed meanwhile; the keys that it
    /// seals with are those that `keyring` and `still` stand for.
    pub(super) async fn over(
        &mut self,
        prefix: Key,
        keys: impl Fn() -> (Arc<StoredKeyring>, Option<(Key, Expect)>),
        outcome_of: impl Fn(&Key, &Entry) -> RewrapOutcome,
    ) -> Result<(), Error> {
        let mut pages = Pages::new(&*self.app.store, prefix, SCAN);
        while let Some(found) = pages.next().await? {
            // What is not yet durable may be sealed by keys that the catalog does not know yet.
            let newest = found.iter().map(|(_, entry)| entry.revision).max().unwrap_or_default();
            self.app.shown(newest).await?;
            self.seen += found.len() as u64;
            self.seal_anew(found, &keys, &outcome_of).await?;
            (self.progress)(Rewrapped { seen: self.seen, total: self.total.max(self.seen) });
        }
        Ok(())
    }

    /// Seals these anew, in as few commits as they fit in; where others change one of them meanwhile, what is left is read
    /// and tried again, in smaller commits.
    async fn seal_anew(
        &mut self,
        mut found: Vec<(Key, Entry)>,
        keys: &impl Fn() -> (Arc<StoredKeyring>, Option<(Key, Expect)>),
        outcome_of: &impl Fn(&Key, &Entry) -> RewrapOutcome,
    ) -> Result<(), Error> {
        let mut most = SCAN;
        for _ in 0..ATTEMPTS {
            let (keyring, still) = keys();
            let mut transaction = Transaction::default();
            transaction.require.extend(still);
            let (mut bytes, mut taken, mut doubtful) = (0, 0, Vec::new());
            for (key, entry) in &found {
                if taken >= most || bytes > BYTES {
                    break;
                }
                taken += 1;
                match outcome_of(key, entry) {
                    RewrapOutcome::Stays => {}
                    RewrapOutcome::Damaged => doubtful.push((key.clone(), entry.clone())),
                    RewrapOutcome::Becomes(record, also) => {
                        bytes += record.len();
                        transaction.require.push((key.clone(), Expect::At(entry.revision)));
                        transaction.put.push((key.clone(), record));
                        if let Some(Also { key, expect, record }) = also {
                            transaction.require.push((key.clone(), Expect::At(expect)));
                            transaction.put.push((key, record));
                            bytes = usize::MAX; // one at a time: two could go with the same record
                        }
                    }
                }
            }
            if transaction.put.is_empty() || self.app.commit(&keyring, transaction).await?.is_some() {
                found.drain(..taken);
                found.extend(self.changed_since(doubtful).await?);
                if found.is_empty() {
                    return Ok(());
                }
            } else {
                most = (most / 2).max(1);
                found = self.read_again(found).await?;
            }
        }
        Err(Error::Contended)
    }

    /// Those of these records that are others by now: what was read may have been older than what the catalog shows. The rest
    /// is damaged.
    async fn changed_since(&mut self, doubtful: Vec<(Key, Entry)>) -> Result<Vec<(Key, Entry)>, Error> {
        let mut changed = Vec::new();
        for (key, before) in doubtful {
            let again = self.read_again(vec![(key, before.clone())]).await?;
            for (key, entry) in again {
                if entry.revision == before.revision {
                    self.damaged += 1;
                } else {
                    changed.push((key, entry));
                }
            }
        }
        Ok(changed)
    }

    /// What stands at these keys now.
    async fn read_again(&self, found: Vec<(Key, Entry)>) -> Result<Vec<(Key, Entry)>, Error> {
        let mut again = Vec::with_capacity(found.len());
        for (key, _) in found {
            if let Some(entry) = self.app.store.get(&key).await? {
                self.app.shown(entry.revision).await?;
                again.push((key, entry));
            }
        }
        Ok(again)
    }
}
