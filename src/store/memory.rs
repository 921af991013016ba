use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::committer::Engine;
use super::{Change, Entry, Key, Unavailable};

/// An engine that keeps everything in memory, for tests and trials: it is gone with the process.
#[derive(Default)]
pub(super) struct MemoryEngine {
    entries: RwLock<BTreeMap<Key, Entry>>,
}

impl Engine for MemoryEngine {
    const NAME: &'static str = "memory";

    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        Ok(self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let start = match after {
            Some(after) if after > prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = entries.range((start, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        Ok(found.take(limit).map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            for (key, value) in &change.put {
                entries.insert(key.clone(), Entry { value: value.clone(), revision: change.revision });
            }
            for key in &change.delete {
                entries.remove(key);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Unavailable> {
        Ok(())
    }
}
