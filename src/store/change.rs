use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Key;
use crate::domain::Revision;

/// What one commit did. Durable when it is seen.
#[derive(Debug)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// What it stored.
    pub put: Vec<(Key, Vec<u8>)>,
    /// What it removed.
    pub delete: Vec<Key>,
}

impl Change {
    /// Its size in memory, roughly, in bytes.
    fn size(&self) -> usize {
        let put: usize = self.put.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        let deleted: usize = self.delete.iter().map(|key| key.as_bytes().len()).sum();
        64 + put + deleted
    }
}

/// The changes asked for are no longer retained: scan the store, and watch from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the changes after this revision are no longer retained")]
pub struct Compacted;

/// The latest changes, kept for watchers up to a bound. A watcher that falls behind it is told so; none ever holds up
/// a writer.
pub(super) struct ChangeLog {
    retained: Mutex<Retained>,
    durable: watch::Sender<Revision>,
}

struct Retained {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// The newest revision that was let go.
    compacted: Revision,
}

impl ChangeLog {
    const MAX_CHANGES: usize = 16 * 1024;
    const MAX_BYTES: usize = 32 << 20;

    /// A log that begins behind a durable revision.
    pub(super) fn new(durable: Revision) -> Arc<Self> {
        let retained = Retained { changes: VecDeque::new(), bytes: 0, compacted: durable };
        Arc::new(Self { retained: Mutex::new(retained), durable: watch::Sender::new(durable) })
    }

    /// The newest durable revision.
    pub(super) fn durable(&self) -> Revision {
        *self.durable.borrow()
    }

    /// Adds changes that have become durable, in order.
    pub(super) fn publish(&self, changes: Vec<Change>) {
        let Some(newest) = changes.last().map(|change| change.revision) else { return };
        {
            let mut retained = self.lock();
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

    /// The changes after a revision.
    pub(super) fn watch(self: &Arc<Self>, after: Revision) -> Watch {
        Watch { log: self.clone(), durable: self.durable.subscribe(), after, ready: VecDeque::new() }
    }

    fn after(&self, after: Revision) -> Result<VecDeque<Arc<Change>>, Compacted> {
        let retained = self.lock();
        if after < retained.compacted {
            return Err(Compacted);
        }
        let seen = retained.changes.partition_point(|change| change.revision <= after);
        Ok(retained.changes.iter().skip(seen).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes of a store in order, without gap or repeat.
pub struct Watch {
    log: Arc<ChangeLog>,
    durable: watch::Receiver<Revision>,
    after: Revision,
    ready: VecDeque<Arc<Change>>,
}

impl Watch {
    /// The next change; waits for it. Can be cancelled and called again.
    pub async fn next(&mut self) -> Result<Arc<Change>, Compacted> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                self.after = change.revision;
                return Ok(change);
            }
            let after = self.after;
            // The sender lives as long as this watch holds its log, so this only ends with a change.
            if self.durable.wait_for(|durable| *durable > after).await.is_err() {
                return Err(Compacted);
            }
            self.ready = self.log.after(after)?;
        }
    }
}
