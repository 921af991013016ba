use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Key;
use crate::domain::Revision;

/// The change of one commit, or of several that were made together. It is durable when a watcher sees it.
#[derive(Debug)]
pub struct Change {
    /// The revision of the commit.
    pub revision: Revision,
    /// The entries that were stored.
    pub put: Vec<(Key, Vec<u8>)>,
    /// The keys that were removed.
    pub delete: Vec<Key>,
}

impl Change {
    /// Its approximate size in memory, in bytes.
    fn size(&self) -> usize {
        let put: usize = self.put.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        let deleted: usize = self.delete.iter().map(|key| key.as_bytes().len()).sum();
        64 + put + deleted
    }
}

/// Why a watch has no next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchEnd {
    /// The log no longer holds these changes: scan the store, and watch from there.
    #[error("the changes after this revision are no longer retained")]
    Compacted,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The latest changes, kept for watchers up to a bound. A watcher that falls behind is told so, and never holds up
/// a writer.
pub(super) struct ChangeLog {
    retained: Arc<Mutex<Retained>>,
    durable: watch::Sender<Revision>,
}

struct Retained {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// The newest revision that the log has dropped.
    compacted: Revision,
    /// How often the log was reset.
    resets: u64,
}

impl ChangeLog {
    const MAX_CHANGES: usize = 16 * 1024;
    const MAX_BYTES: usize = 32 << 20;

    /// An empty log that starts at a durable revision.
    pub(super) fn new(durable: Revision) -> Arc<Self> {
        let retained = Arc::new(Mutex::new(Retained::behind(durable)));
        Arc::new(Self { retained, durable: watch::Sender::new(durable) })
    }

    /// The newest durable revision.
    pub(super) fn durable(&self) -> Revision {
        *self.durable.borrow()
    }

    /// Waits until the durable revision is at least this one.
    #[cfg(feature = "etcd")]
    pub(super) async fn reached(&self, revision: Revision) {
        // The sender lives as long as `self`.
        let _ = self.durable.subscribe().wait_for(|durable| *durable >= revision).await;
    }

    /// Adds changes that have become durable, in order.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let Some(newest) = changes.last().map(|change| change.revision) else { return };
        {
            let mut retained = lock(&self.retained);
            for change in changes {
                retained.bytes += change.size();
                retained.changes.push_back(Arc::new(change));
            }
            while retained.changes.len() > Self::MAX_CHANGES || retained.bytes > Self::MAX_BYTES {
                let Some(oldest) = retained.changes.pop_front() else { break };
                retained.bytes = retained.bytes.saturating_sub(oldest.size());
                retained.compacted = oldest.revision;
            }
        }
        self.durable.send_replace(newest);
    }

    /// Starts again at a durable revision to which the retained changes do not lead. Every watch ends as if it had
    /// fallen behind.
    pub(super) fn reset(&self, durable: Revision) {
        {
            let mut retained = lock(&self.retained);
            // A watcher that has reached `durable` did not see the changes that led to it.
            *retained = Retained { resets: retained.resets + 1, ..Retained::behind(durable) };
        }
        self.durable.send_replace(durable);
    }

    /// The changes after a revision.
    pub(super) fn watch(&self, after: Revision) -> Watch {
        let (retained, durable) = (self.retained.clone(), self.durable.subscribe());
        let resets = lock(&retained).resets;
        Watch { retained, durable, after, resets, ready: VecDeque::new() }
    }
}

fn lock(retained: &Mutex<Retained>) -> MutexGuard<'_, Retained> {
    retained.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Retained {
    fn behind(durable: Revision) -> Self {
        Self { changes: VecDeque::new(), bytes: 0, compacted: durable, resets: 0 }
    }

    fn after(&self, after: Revision) -> Result<VecDeque<Arc<Change>>, WatchEnd> {
        if after < self.compacted {
            return Err(WatchEnd::Compacted);
        }
        let seen = self.changes.partition_point(|change| change.revision <= after);
        Ok(self.changes.iter().skip(seen).cloned().collect())
    }
}

/// The changes of a store in order, without gap or repeat.
pub struct Watch {
    retained: Arc<Mutex<Retained>>,
    durable: watch::Receiver<Revision>,
    after: Revision,
    /// How often the log had been reset when this watch began.
    resets: u64,
    ready: VecDeque<Arc<Change>>,
}

impl Watch {
    /// Waits for the next change. Can be cancelled and called again.
    pub async fn next(&mut self) -> Result<Arc<Change>, WatchEnd> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                self.after = change.revision;
                return Ok(change);
            }
            let (after, began) = (self.after, self.resets);
            // A reset changes the durable revision too, so it wakes this wait.
            let retained = &self.retained;
            let moved = |durable: &Revision| *durable > after || lock(retained).resets != began;
            if self.durable.wait_for(moved).await.is_err() {
                return Err(WatchEnd::Closed);
            }
            let retained = lock(&self.retained);
            if retained.resets != began {
                return Err(WatchEnd::Compacted);
            }
            self.ready = retained.after(after)?;
        }
    }
}
