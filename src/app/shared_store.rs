//! A store in memory that passes for one that several replicas share, for tests. A test decides what its head is, and can hold
//! back what reads or commits an idempotency record.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::Revision;
use crate::metrics::CommitMetrics;
use crate::schema::Kind;
use crate::store::{
    CommitError, Entry, Key, ReplaceError, ReplaceRecords, Store, Transaction, Unavailable, Watch,
};

/// What a read of the head comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The revision that the store has.
    Newest,
    /// A later one, which it does not have yet.
    Next,
    /// An error.
    Away,
    /// Nothing, for as long as it is so.
    Silent,
}

pub(crate) struct SharedStore {
    inner: Arc<dyn Store>,
    pub(crate) head: watch::Sender<Head>,
    /// Whether reads of idempotency records are held back once they were made, and commits of them before.
    pub(crate) holds: watch::Sender<bool>,
    /// How many of those reads and commits there were.
    pub(crate) looked: watch::Sender<usize>,
}

impl SharedStore {
    pub(crate) fn over(inner: Arc<dyn Store>) -> Arc<Self> {
        let (head, holds) = (watch::Sender::new(Head::Newest), watch::Sender::new(false));
        Arc::new(Self { inner, head, holds, looked: watch::Sender::new(0) })
    }

    /// Waits for as long as the test wants, if this is the key of an idempotency record.
    async fn hold_back(&self, key: &Key) {
        if matches!(key.kind(), Kind::IdempotencyRecord(_)) {
            self.looked.send_modify(|looked| *looked += 1);
            let _ = self.holds.subscribe().wait_for(|holds| !holds).await;
        }
    }
}

#[async_trait]
impl Store for SharedStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        let found = self.inner.get(key).await;
        self.hold_back(key).await;
        found
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        for (key, _) in &transaction.put {
            self.hold_back(key).await;
        }
        self.inner.commit(transaction).await
    }

    async fn replace(&self, records: ReplaceRecords, after: Revision) -> Result<Revision, ReplaceError> {
        self.inner.replace(records, after).await
    }

    async fn is_new(&self) -> Result<bool, Unavailable> {
        self.inner.is_new().await
    }

    async fn revision(&self) -> Result<Revision, Unavailable> {
        self.inner.revision().await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn head(&self) -> Result<Revision, Unavailable> {
        let mut head = self.head.subscribe();
        let told = head.wait_for(|head| *head != Head::Silent).await.map(|head| *head);
        match told {
            Ok(Head::Newest) => Ok(self.inner.durable()),
            Ok(Head::Next) => Ok(self.inner.durable().next()),
            Ok(Head::Away | Head::Silent) | Err(_) => Err(Unavailable("it is away".into())),
        }
    }

    fn watch(&self, after: Revision) -> Watch {
        self.inner.watch(after)
    }

    fn durable(&self) -> Revision {
        self.inner.durable()
    }

    async fn ping(&self) -> Result<(), Unavailable> {
        self.inner.ping().await
    }

    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    fn metrics(&self) -> Arc<CommitMetrics> {
        self.inner.metrics()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
