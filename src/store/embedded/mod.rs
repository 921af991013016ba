//! The store in this process: an engine (sled on disk, or memory), and the one thread that writes to it.

mod batch;
mod committer;
mod engine_handle;
#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
mod fault_tests;
mod memory;
mod sled;

#[cfg(test)]
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use self::committer::{Committer, Engine, Installation, Job, PendingCommit};
use self::engine_handle::EngineHandle;
#[cfg(test)]
use self::memory::Memory;
use self::memory::MemoryEngine;
use self::sled::SledEngine;
pub use self::sled::holds_sled;
use crate::domain::Revision;
use crate::store::change::ChangeLog;
use crate::store::{
    CommitError, Entry, Key, ReplaceError, ReplaceRecords, Store, Transaction, Unavailable, Unreadable, Watch,
};

/// How many transactions may wait for the committer. Further callers wait for a place.
const MAX_WAITING: usize = 1024;
/// How long `close` waits for a disk that does not answer. Nothing that the disk still has was acknowledged.
const CLOSE: Duration = Duration::from_secs(10);
/// The distance between the newest revision and that of a replacement: more commits than can be made while it is
/// prepared.
const LEEWAY: u64 = 1 << 32;

/// Bytes as a record of sled.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzing(bytes: &[u8]) {
    let _ = sled::entry(bytes);
}

/// Opens the sled store in a folder, or creates it. The error says what to do.
pub fn open_sled(folder: &Path) -> Result<Arc<dyn Store>, Unavailable> {
    Ok(Arc::new(EmbeddedStore::<SledEngine>::open(folder.to_owned())?))
}

/// An empty store that lasts as long as the process.
pub fn open_memory() -> Result<Arc<dyn Store>, Unavailable> {
    Ok(Arc::new(EmbeddedStore::<MemoryEngine>::open(Arc::default())?))
}

/// A store in memory with these entries at that revision.
#[cfg(test)]
pub(crate) fn open_memory_of(entries: BTreeMap<Key, Entry>, revision: Revision) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::<MemoryEngine>::open(Memory::of(entries, revision)).unwrap())
}

/// The sled store in a folder, with these entries and nothing else, at that revision.
#[cfg(test)]
pub(crate) fn open_sled_of(
    folder: &Path,
    entries: &BTreeMap<Key, Entry>,
    revision: Revision,
) -> Arc<dyn Store> {
    let (engine, _) = SledEngine::open(&folder.to_owned()).unwrap();
    let present = engine.range(&Key::all(), None, usize::MAX).unwrap();
    let change = |revision| crate::store::Change { revision, put: Vec::new(), delete: Vec::new() };
    let mut changes = vec![crate::store::Change {
        delete: present.into_iter().map(|(key, _)| key).filter(|key| !entries.contains_key(key)).collect(),
        ..change(Revision::default())
    }];
    for (key, entry) in entries {
        changes.push(crate::store::Change {
            put: vec![(key.clone(), entry.value.clone())],
            ..change(entry.revision)
        });
    }
    changes.push(change(revision));
    engine.apply(&changes).and_then(|()| engine.sync()).unwrap();
    drop(engine);
    open_sled(folder).unwrap()
}

/// A store in this process: an engine, and the one thread that writes to it.
struct EmbeddedStore<E: Engine> {
    handle: Arc<EngineHandle<E>>,
    log: Arc<ChangeLog>,
    assigned: Arc<AtomicU64>,
    committer: Mutex<Option<(mpsc::Sender<Job>, JoinHandle<()>)>>,
    /// Held while a replacement is prepared and installed: one at a time.
    replacing: Arc<tokio::sync::Mutex<()>>,
    /// Whether the store is closing, so that a replacement is given up.
    closing: Arc<AtomicBool>,
}

impl<E: Engine> EmbeddedStore<E> {
    fn open(place: E::Place) -> Result<Self, Unavailable> {
        let (handle, revision) = EngineHandle::<E>::open(place)?;
        let (handle, log) = (Arc::new(handle), ChangeLog::new(revision));
        let assigned = Arc::new(AtomicU64::new(revision.0));
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        let committer = Committer::new(handle.clone(), log.clone(), assigned.clone(), waiting);
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run())
            .map_err(|error| Unavailable(format!("no thread for the committer: {error}").into()))?;
        let committer = Mutex::new(Some((sender, thread)));
        Ok(Self { handle, log, assigned, committer, replacing: Arc::default(), closing: Arc::default() })
    }

    fn sender(&self) -> Result<mpsc::Sender<Job>, Unavailable> {
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
        self.handle.read(|engine| engine.read(key)).await
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        self.handle.read(|engine| engine.range(prefix, after, limit)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let (answer, answered) = oneshot::channel();
        let sender = self.sender()?;
        let place = match transaction.deadline {
            Some(deadline) => timeout_at(Instant::from_std(deadline), sender.reserve())
                .await
                .map_err(|_elapsed| CommitError::TooLate)?,
            None => sender.reserve().await,
        };
        place.map_err(|_| closed())?.send(Job::Commit(PendingCommit { transaction, answer }));
        answered.await.map_err(|_| closed())?
    }

    async fn replace(&self, records: ReplaceRecords, after: Revision) -> Result<Revision, ReplaceError> {
        let turn = self.replacing.clone().lock_owned().await;
        let sender = self.sender()?;
        // Commits go on while the replacement is prepared, up to that revision.
        let revision = Revision(self.durable().max(after).0.saturating_add(LEEWAY));
        let (handle, closing) = (self.handle.clone(), self.closing.clone());
        let stopping = move |record| {
            if closing.load(Ordering::SeqCst) { Err(Unreadable(closed().0)) } else { record }
        };
        let records = Box::new(records.map(stopping));
        // The lock goes with the work and not with the caller, which may go away.
        let preparing =
            tokio::task::spawn_blocking(move || E::prepare(handle.place(), records, revision).map(|()| turn));
        let turn = preparing
            .await
            .map_err(|_| Unavailable("its replacement could not be made because of a defect".into()))??;

        let (answer, answered) = oneshot::channel();
        let installation = Job::Install(Installation { revision, answer, turn });
        sender.send(installation).await.map_err(|_| closed())?;
        Ok(answered.await.map_err(|_| closed())??)
    }

    async fn is_new(&self) -> Result<bool, Unavailable> {
        Ok(self.durable() == Revision::default())
    }

    async fn revision(&self) -> Result<Revision, Unavailable> {
        Ok(Revision(self.assigned.load(Ordering::SeqCst)))
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn head(&self) -> Result<Revision, Unavailable> {
        Ok(self.durable()) // nothing is acknowledged before
    }

    fn watch(&self, after: Revision) -> Watch {
        self.log.watch(after)
    }

    fn durable(&self) -> Revision {
        self.log.durable()
    }

    async fn ping(&self) -> Result<(), Unavailable> {
        // An empty transaction goes through the committer. A committer that cannot write refuses it, and then tries
        // to open the engine again.
        match self.commit(Transaction::default()).await {
            Ok(_)
            | Err(
                CommitError::Conflict(_)
                | CommitError::TooLarge
                | CommitError::TooLate
                | CommitError::NoDigest,
            ) => Ok(()),
            Err(CommitError::Unavailable(why)) => Err(why),
        }
    }

    fn engine(&self) -> &'static str {
        E::NAME
    }

    async fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = committer {
            drop(sender);
            // The committer ends once every job has been answered; only then is the store closed. A thread of its
            // own waits for it: a thread of the runtime would keep the runtime from ending.
            let (ends, ended) = oneshot::channel::<()>();
            let join = move || drop((thread.join(), ends));
            let joining = thread::Builder::new().name("close".into()).spawn(join);
            if joining.is_ok() && timeout(CLOSE, ended).await.is_err() {
                tracing::error!("the disk does not answer: the last writes may or may not be on it");
            }
        }
    }
}
