use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::committer::Engine;
use crate::domain::Revision;
use crate::store::{Change, Entry, Key, ReplaceError, ReplaceRecord, ReplaceRecords, Unavailable};

/// An engine that keeps everything in memory, for tests and trials. The data ends with the process.
pub(super) struct MemoryEngine {
    memory: Arc<Memory>,
}

/// The data, which lives as long as somebody holds it.
#[derive(Default)]
pub(super) struct Memory {
    content: RwLock<Content>,
    prepared: Mutex<Option<Content>>,
}

#[cfg(test)]
impl Memory {
    /// Data that an earlier process left.
    pub(super) fn of(entries: BTreeMap<Key, Entry>, revision: Revision) -> Arc<Self> {
        Arc::new(Self { content: RwLock::new(Content { entries, revision }), prepared: Mutex::default() })
    }
}

#[derive(Default)]
struct Content {
    entries: BTreeMap<Key, Entry>,
    revision: Revision,
}

impl Engine for MemoryEngine {
    const NAME: &'static str = "memory";
    type Place = Arc<Memory>;

    fn open(memory: &Arc<Memory>) -> Result<(Self, Revision), Unavailable> {
        let revision = memory.content.read().unwrap_or_else(PoisonError::into_inner).revision;
        Ok((Self { memory: memory.clone() }, revision))
    }

    fn read(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        let content = self.memory.content.read().unwrap_or_else(PoisonError::into_inner);
        Ok(content.entries.get(key).cloned())
    }

    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let content = self.memory.content.read().unwrap_or_else(PoisonError::into_inner);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = content.entries.range((start, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        Ok(found.take(limit).map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    fn is_whole(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), Unavailable> {
        let mut content = self.memory.content.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            for (key, value) in &change.put {
                let entry = Entry { value: value.clone(), revision: change.revision };
                content.entries.insert(key.clone(), entry);
            }
            for key in &change.delete {
                content.entries.remove(key);
            }
            content.revision = change.revision;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn probe(_: &Arc<Memory>) -> Result<(), Unavailable> {
        Ok(())
    }

    fn recover(memory: &Arc<Memory>) -> Result<(Self, Revision), Unavailable> {
        Self::open(memory)
    }

    fn prepare(
        memory: &Arc<Memory>,
        records: ReplaceRecords,
        revision: Revision,
    ) -> Result<(), ReplaceError> {
        let mut entries = BTreeMap::new();
        for record in records {
            let record = record?;
            if !record.fits() {
                return Err(ReplaceError::TooLarge);
            }
            match record {
                ReplaceRecord::Put(key, value) => drop(entries.insert(key, Entry { value, revision })),
                ReplaceRecord::Delete(key) => drop(entries.remove(&key)),
            }
        }
        let prepared = Content { entries, revision };
        *memory.prepared.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
        Ok(())
    }

    fn condemn(_: &Arc<Memory>, _: &Unavailable) {
        // The data ends with the process.
    }

    fn install(memory: &Arc<Memory>) -> Result<(Self, Revision), Unavailable> {
        if let Some(prepared) = memory.prepared.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *memory.content.write().unwrap_or_else(PoisonError::into_inner) = prepared;
        }
        Self::open(memory)
    }
}
