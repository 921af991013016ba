//! sled alone, with the configuration and the syncs of the store (`src/store`).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use strongroom::domain::Revision;
use strongroom::store::Transaction;
use tokio::sync::{mpsc, oneshot};

use super::Writer;
use super::work::{Kind, Sizes, Work};

// The same values as the store's.
const SEGMENT: usize = 8 << 20;
const CACHE: u64 = 64 << 20;
const MAX_WAITING: usize = 1024;
const MAX_GROUP: usize = 512;

pub struct Engine {
    tree: sled::Db,
    file: File,
    sizes: Sizes,
}

impl Engine {
    pub fn open(folder: &Path, sizes: Sizes) -> Self {
        let config =
            sled::Config::new().path(folder).segment_size(SEGMENT).cache_capacity(CACHE).flush_every_ms(None);
        let tree = config.open().expect("an engine");
        let file = File::open(folder.join("db")).expect("the engine's file");
        Self { tree, file, sizes }
    }

    fn make_durable(&self, batch: sled::Batch) {
        self.tree.apply_batch(batch).expect("a batch");
        self.tree.flush().expect("a flush");
        self.file.sync_data().expect("a sync");
    }

    pub fn writers_alone(self, count: usize) -> Vec<Alone> {
        let engine = Arc::new(self);
        let synced = Arc::<AtomicU64>::default();
        let writer =
            || Alone { engine: engine.clone(), synced: synced.clone(), work: Work::new(engine.sizes) };
        (0..count).map(|_| writer()).collect()
    }

    pub fn writers_grouped(self, count: usize) -> Vec<Grouped> {
        let (sender, mut waiting) = mpsc::channel::<Waiting>(MAX_WAITING);
        let sizes = self.sizes;
        thread::spawn(move || {
            let mut synced = 0;
            while let Some(first) = waiting.blocking_recv() {
                let (mut batch, mut answers) = (sled::Batch::default(), Vec::new());
                let mut next = Some(first);
                while let Some((transaction, answer)) = next {
                    add(&mut batch, transaction);
                    answers.push(answer);
                    next = if answers.len() < MAX_GROUP { waiting.try_recv().ok() } else { None };
                }
                self.make_durable(batch);
                synced += 1;
                for answer in answers {
                    let _ = answer.send(synced);
                }
            }
        });
        (0..count).map(|_| Grouped { sender: sender.clone(), work: Work::new(sizes) }).collect()
    }
}

type Waiting = (Transaction, oneshot::Sender<u64>);

fn add(batch: &mut sled::Batch, Transaction { put, delete, .. }: Transaction) {
    for (key, record) in put {
        batch.insert(key.as_bytes(), record);
    }
    for key in delete {
        batch.remove(key.as_bytes());
    }
}

/// A writer that applies and syncs by itself.
pub struct Alone {
    engine: Arc<Engine>,
    synced: Arc<AtomicU64>,
    work: Work,
}

impl Writer for Alone {
    async fn change(&mut self, kind: Kind) -> u64 {
        let transaction = self.work.next(kind, Revision::default());
        let (engine, synced) = (self.engine.clone(), self.synced.clone());
        let made = tokio::task::spawn_blocking(move || {
            let mut batch = sled::Batch::default();
            add(&mut batch, transaction);
            engine.make_durable(batch);
            synced.fetch_add(1, Ordering::Relaxed)
        });
        made.await.expect("a commit")
    }
}

/// A writer that hands its changes to the one thread that applies and syncs for all.
pub struct Grouped {
    sender: mpsc::Sender<Waiting>,
    work: Work,
}

impl Writer for Grouped {
    async fn change(&mut self, kind: Kind) -> u64 {
        let (answer, answered) = oneshot::channel();
        let transaction = self.work.next(kind, Revision::default());
        self.sender.send((transaction, answer)).await.expect("the committing thread");
        answered.await.expect("an answer")
    }
}
