//! Where the bytes are kept: an ordered map from keys to values with atomic, conditional, durable commits.
//!
//! The store sees bytes only, which the floors above have sealed. A commit is acknowledged, and its change handed
//! to watchers, once it is durable. `get` and `scan` may show a change a moment earlier. So nothing that they
//! return reaches a caller until the catalog, which follows the watch, has reached its revision.

mod change;
#[cfg(test)]
mod conformance;
mod digester;
mod embedded;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod key;
mod pages;
mod replace;
mod unavailable;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use async_trait::async_trait;

pub use self::change::{Change, Watch, WatchEnd};
pub use self::digester::{Changed, Digester, NextDigest};
#[cfg(test)]
pub(crate) use self::embedded::fault;
pub use self::embedded::{holds_sled, open_memory, open_sled};
#[cfg(test)]
pub(crate) use self::embedded::{open_memory_of, open_sled_of};
#[cfg(all(test, feature = "etcd"))]
pub(crate) use self::etcd::fixture as etcd_fixture;
#[cfg(feature = "etcd")]
pub use self::etcd::{await_etcd, open_etcd};
pub use self::key::Key;
pub use self::pages::Pages;
pub use self::replace::{ReplaceError, ReplaceRecord, ReplaceRecords, Unreadable};
pub use self::unavailable::{Unavailable, UnavailableCause};
use crate::domain::Revision;
use crate::metrics::CommitMetrics;

/// The largest value that a store takes, in bytes. sled writes up to twenty neighbouring values as one node. It
/// keeps a node of more than a quarter of a segment (2 MiB) in a file of its own, and does not sync that file.
pub const MAX_RECORD: usize = 80 * 1024;
/// The largest sum of the keys and values of a transaction, in bytes. It is the same for every engine, so that a
/// transaction of one engine fits the others: sled's log must be synced in small parts, and etcd takes requests up
/// to 1.5 MiB.
pub const MAX_TRANSACTION: usize = 512 * 1024;
/// The largest number of preconditions of a transaction, and of its puts and deletes together. etcd takes 128, and
/// the digest and the head are among them.
pub const MAX_OPERATIONS: usize = 120;
/// The length of the key of an appended record, in bytes.
const APPENDED_KEY: usize = 11;

/// A stored value and the revision of the commit that put it there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the commit that put it there.
    pub revision: Revision,
}

/// Changes that are made together or not at all, and their preconditions.
#[derive(Clone, Default, Debug)]
pub struct Transaction {
    /// The preconditions, key by key.
    pub require: Vec<(Key, Expect)>,
    /// The entries to store. No key may be both put and deleted.
    pub put: Vec<(Key, Vec<u8>)>,
    /// The keys to remove. Removing an absent key is no error.
    pub delete: Vec<Key>,
    /// Records to add at the end of the log of the store. The commit gives them their keys ([`Key::appended_at`]): the keys are
    /// in the order of the commits of all replicas. Only with a digester, which gives the position.
    pub append: Vec<Vec<u8>>,
    /// When the caller stops waiting: a transaction that has not begun by then is refused.
    pub deadline: Option<Instant>,
    /// Updates the digest in the same commit. `None`: the transaction puts the digest itself, or leaves it.
    pub digester: Option<Arc<dyn Digester>>,
}

impl Transaction {
    /// The size of its keys and values, in bytes.
    fn size(&self) -> usize {
        let put: usize = self.put.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        let deleted: usize = self.delete.iter().map(|key| key.as_bytes().len()).sum();
        let appended: usize = self.append.iter().map(|value| APPENDED_KEY + value.len()).sum();
        put + deleted + appended
    }

    /// How many entries it changes, without the digest.
    pub fn operations(&self) -> usize {
        self.put.len() + self.delete.len() + self.append.len()
    }

    /// Whether it is within the limits of a store.
    fn fits(&self) -> bool {
        let values = self.put.iter().map(|(_, value)| value).chain(&self.append);
        values.map(Vec::len).all(|len| len <= MAX_RECORD)
            && self.size() <= MAX_TRANSACTION
            && self.require.len() <= MAX_OPERATIONS
            && self.operations() <= MAX_OPERATIONS
    }

    /// Whether it appends records that nothing gives a position to.
    fn appends_nowhere(&self) -> bool {
        !self.append.is_empty() && self.digester.is_none()
    }

    /// Whether it has preconditions only.
    fn changes_nothing(&self) -> bool {
        self.operations() == 0
    }

    /// Brings the deadline forward, where the given one is earlier.
    pub fn limit_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = match (self.deadline, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn is_too_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

/// A precondition of a transaction on one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Expect {
    /// Nothing is stored there.
    Absent,
    /// The commit of this revision put the entry there.
    At(Revision),
}

/// Why a commit was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A precondition did not hold at this revision, which is durable. Nothing was changed.
    #[error("a precondition did not hold")]
    Conflict(Revision),
    /// The transaction is larger than [`MAX_RECORD`], [`MAX_TRANSACTION`] or [`MAX_OPERATIONS`] allow. Nothing was
    /// changed.
    #[error("the transaction is larger than the store takes")]
    TooLarge,
    /// The deadline passed before the transaction began. Nothing was changed.
    #[error("the deadline passed before the transaction was begun")]
    TooLate,
    /// The digest is missing, or the transaction's digester cannot carry it on, or the transaction appends records without a
    /// digester. Nothing was changed.
    #[error("the store's digest is missing or was altered")]
    NoDigest,
    /// The store cannot serve. Whether the change was made is not known until the store serves again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Refuses: this build has no store over etcd. The error says how to build one.
#[cfg(not(feature = "etcd"))]
pub async fn open_etcd(_: &crate::config::Etcd) -> Result<Arc<dyn Store>, Unavailable> {
    Err(Unavailable::because(
        UnavailableCause::Settings,
        "this program was built without etcd. To use --store etcd, build it with the feature `etcd`: \
         `cargo build --release --locked --features etcd`",
    ))
}

/// There is no etcd to wait for: [`open_etcd`] refuses.
#[cfg(not(feature = "etcd"))]
pub async fn await_etcd(_: &crate::config::Etcd, _: impl Fn(&Unavailable)) -> Result<(), Unavailable> {
    Ok(())
}

/// Where servers over one store tell each other that they are there: beside the store, and no part of it.
#[async_trait]
pub trait Heartbeats: Send + Sync {
    /// Shows the others the heartbeat of this server, if there is one to show, in place of its former one, and returns theirs. A
    /// heartbeat disappears [`HEARTBEAT_LIFE`] after it was shown, at the latest, and once its server has closed the store.
    async fn exchange(&self, own: Option<OwnHeartbeat<'_>>) -> Result<Vec<Vec<u8>>, Unavailable>;
}

/// Makes the heartbeat of this server. It is called right before it is shown, since it says what time it is.
pub type OwnHeartbeat<'a> = &'a (dyn Fn() -> Result<Vec<u8>, Unavailable> + Send + Sync);

/// How long a heartbeat is there after its server has shown it.
pub const HEARTBEAT_LIFE: Duration = Duration::from_secs(15);

/// An ordered map from keys to values. The module documentation says what it promises.
#[async_trait]
pub trait Store: Send + Sync {
    /// The entry at a key.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Unavailable>;

    /// The first `limit` entries whose keys begin with `prefix`, in key order. With `after`, only keys greater than
    /// it.
    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable>;

    /// Makes a transaction, and returns once it is durable. Waits its turn, up to its deadline. Independent
    /// transactions may be made together: they then share one revision and are one change.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError>;

    /// Replaces the whole content of the store by these records, in one step that survives a crash: afterwards the
    /// store holds all of them and nothing else, or its former content. Of several records with one key the last
    /// counts. An engine that counts its own revisions makes the new one greater than `after`. Every watch ends
    /// with [`WatchEnd::Compacted`]. Commits made meanwhile wait, or belong to the former content.
    async fn replace(&self, records: ReplaceRecords, after: Revision) -> Result<Revision, ReplaceError>;

    /// Whether the store has never had a commit.
    async fn is_new(&self) -> Result<bool, Unavailable>;

    /// A revision that is no older than anything `get` or `scan` has returned so far.
    async fn revision(&self) -> Result<Revision, Unavailable>;

    /// Whether other processes write to the store too, so that this process can be behind it.
    fn is_shared(&self) -> bool;

    /// A revision that the store had after this was called: every change that any process had acknowledged by then
    /// has this revision or an earlier one. In a shared store, callers at the same time share one read of the store.
    async fn head(&self) -> Result<Revision, Unavailable>;

    /// The changes after a durable revision, in order, without a gap or a repeat.
    fn watch(&self, after: Revision) -> Watch;

    /// The newest durable revision.
    fn durable(&self) -> Revision;

    /// Counts how often the store was out of sight, so that what is seen next may be another history. An engine in this process
    /// always has its store in sight.
    fn interruptions(&self) -> Arc<AtomicU64> {
        Arc::default()
    }

    /// What tells other servers over the same store that this one is there. `None`: the store belongs to this process alone.
    fn heartbeats(&self) -> Option<&dyn Heartbeats> {
        None
    }

    /// Whether the store can serve reads and writes. A store that failed is tried again by this.
    async fn ping(&self) -> Result<(), Unavailable>;

    /// The name of the engine, for people: `sled`, `etcd`, `memory`.
    fn engine(&self) -> &'static str;

    /// What it measures of its commits.
    fn metrics(&self) -> Arc<CommitMetrics>;

    /// Closes the store: accepted transactions become durable, later ones are refused.
    async fn close(&self);
}
