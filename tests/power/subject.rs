//! The stores under test: Strongroom's own and, as a control, sled alone, used as its documentation says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use strongroom::store::{self, Key, Store, Transaction};
use tokio::runtime::{Handle, Runtime};

use super::workload::Step;

/// A store, as the writers and the check use it.
pub trait Subject: Send + Sync {
    /// Makes a change, and returns its revision once the store calls it durable.
    fn commit(&self, step: Step) -> u64;

    /// All that the writers stored, and the newest revision among it.
    fn all(&self) -> (BTreeMap<Vec<u8>, Vec<u8>>, u64);

    /// The newest durable revision. Each change has a revision of its own: 1, 2, 3 and so on without gaps.
    fn revision(&self) -> u64;

    fn close(self: Box<Self>);
}

/// Opens the store in a folder, or creates it there.
pub fn open(control: bool, folder: &Path) -> Box<dyn Subject> {
    std::fs::create_dir_all(folder).unwrap();
    if control { Box::new(BareSled::open(folder)) } else { Box::new(Strongroom::open(folder)) }
}

struct Strongroom {
    store: Arc<dyn Store>,
    runtime: Runtime,
}

impl Strongroom {
    fn open(folder: &Path) -> Self {
        let store = store::open_sled(folder).unwrap_or_else(|why| panic!("does not open: {why}"));
        Self {
            store,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    fn handle(&self) -> &Handle {
        self.runtime.handle()
    }
}

impl Subject for Strongroom {
    fn commit(&self, step: Step) -> u64 {
        let put = step.put.into_iter().map(|(key, value)| (Key::from_bytes(&key), value)).collect();
        let delete = step.delete.iter().map(|key| Key::from_bytes(key)).collect();
        let transaction = Transaction { put, delete, ..Transaction::default() };
        self.handle().block_on(self.store.commit(transaction)).unwrap().0
    }

    fn all(&self) -> (BTreeMap<Vec<u8>, Vec<u8>>, u64) {
        let found =
            self.handle().block_on(self.store.scan(&Key::from_bytes(b"w"), None, usize::MAX)).unwrap();
        let newest = found.iter().map(|(_, entry)| entry.revision.0).max().unwrap_or(0);
        (found.into_iter().map(|(key, entry)| (key.as_bytes().to_vec(), entry.value)).collect(), newest)
    }

    fn revision(&self) -> u64 {
        self.store.durable().0
    }

    fn close(self: Box<Self>) {
        self.handle().block_on(self.store.close());
    }
}

/// sled with its defaults: a batch and a `flush` for each change.
struct BareSled {
    tree: sled::Db,
    revision: Mutex<u64>,
}

const REVISION: &[u8] = b"revision";

impl BareSled {
    fn open(folder: &Path) -> Self {
        let tree = sled::Config::new().path(folder.join("bare")).flush_every_ms(None).open().unwrap();
        let revision =
            tree.get(REVISION).unwrap().map_or(0, |held| u64::from_be_bytes((*held).try_into().unwrap()));
        Self { tree, revision: Mutex::new(revision) }
    }
}

impl Subject for BareSled {
    fn commit(&self, step: Step) -> u64 {
        let mut revision = self.revision.lock().unwrap();
        let mut batch = sled::Batch::default();
        step.put.into_iter().for_each(|(key, value)| batch.insert(key, value));
        step.delete.into_iter().for_each(|key| batch.remove(key));
        batch.insert(REVISION, &(*revision + 1).to_be_bytes());
        self.tree.apply_batch(batch).unwrap();
        self.tree.flush().unwrap();
        *revision += 1;
        *revision
    }

    fn all(&self) -> (BTreeMap<Vec<u8>, Vec<u8>>, u64) {
        let found =
            self.tree.scan_prefix(b"w").map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())));
        (found.collect::<Result<_, _>>().unwrap(), 0)
    }

    fn revision(&self) -> u64 {
        *self.revision.lock().unwrap()
    }

    fn close(self: Box<Self>) {}
}
