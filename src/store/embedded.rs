use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::change::ChangeLog;
use super::committer::{Committer, Engine, Waiting};
use super::memory::MemoryEngine;
use super::sled::SledEngine;
use super::{CommitError, Entry, Key, Store, Transaction, Unavailable, Watch};
use crate::domain::Revision;

/// How many transactions may wait for the committer before further callers wait too.
const MAX_WAITING: usize = 1024;

/// Opens the sled store in a folder, or makes it there. The error says what to do.
pub fn open_sled(folder: &Path) -> Result<Arc<dyn Store>, Unavailable> {
    let (engine, revision) = SledEngine::open(folder)?;
    Ok(Arc::new(EmbeddedStore::start(engine, revision)?))
}

/// An empty store that lasts as long as the process.
pub fn open_memory() -> Result<Arc<dyn Store>, Unavailable> {
    Ok(Arc::new(EmbeddedStore::start(MemoryEngine::default(), Revision::default())?))
}

/// A store in this process: an engine, and the one thread that writes to it.
struct EmbeddedStore<E> {
    engine: Arc<E>,
    log: Arc<ChangeLog>,
    assigned: Arc<AtomicU64>,
    committer: Mutex<Option<(mpsc::Sender<Waiting>, JoinHandle<()>)>>,
}

impl<E: Engine> EmbeddedStore<E> {
    fn start(engine: E, revision: Revision) -> Result<Self, Unavailable> {
        let engine = Arc::new(engine);
        let log = ChangeLog::new(revision);
        let assigned = Arc::new(AtomicU64::new(revision.0));
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        let committer =
            Committer { engine: engine.clone(), log: log.clone(), assigned: assigned.clone(), waiting };
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run())
            .map_err(|error| Unavailable(format!("no thread for the committer: {error}").into()))?;
        Ok(Self { engine, log, assigned, committer: Mutex::new(Some((sender, thread))) })
    }

    fn sender(&self) -> Result<mpsc::Sender<Waiting>, Unavailable> {
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner);
        committer.as_ref().map(|(sender, _)| sender.clone()).ok_or_else(closed)
    }
}

fn closed() -> Unavailable {
    Unavailable("it is closed".into())
}

#[async_trait]
impl<E: Engine> Store for EmbeddedStore<E> {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        self.engine.read(key)
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        self.engine.range(prefix, after, limit)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { transaction, answer };
        self.sender()?.send(waiting).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn revision(&self) -> Result<Revision, Unavailable> {
        Ok(Revision(self.assigned.load(Ordering::SeqCst)))
    }

    fn watch(&self, after: Revision) -> Watch {
        self.log.watch(after)
    }

    fn durable(&self) -> Revision {
        self.log.durable()
    }

    async fn ping(&self) -> Result<(), Unavailable> {
        // An empty transaction goes through the committer, which refuses it where it can no longer write.
        match self.commit(Transaction::default()).await {
            Ok(_) | Err(CommitError::Conflict(_) | CommitError::TooLarge) => Ok(()),
            Err(CommitError::Unavailable(why)) => Err(why),
        }
    }

    fn engine(&self) -> &'static str {
        E::NAME
    }

    async fn close(&self) {
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = committer {
            drop(sender);
            // The committer ends once everything sent has been answered; only then is the store closed.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}
