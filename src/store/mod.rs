//! Where the bytes are kept: an ordered map from keys to values with atomic, conditional, durable commits.
//!
//! The store sees bytes only, sealed by the floors above. A commit is acknowledged, and its change handed to watchers,
//! once it is durable. `get` and `scan` may show a change a moment before that, so nothing that they return is shown
//! to a caller until the catalog, which follows the watch, has reached its revision.

mod change;
mod committer;
#[cfg(test)]
mod conformance;
mod digester;
mod embedded;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
mod fault_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod group;
pub mod key;
mod memory;
mod replace;
mod sled;
mod slot;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

pub use self::change::{Change, Watch, WatchEnd};
pub use self::digester::{Changed, Digester};
pub use self::embedded::{open_memory, open_sled};
#[cfg(test)]
pub(crate) use self::embedded::{open_memory_of, open_sled_of};
#[cfg(feature = "etcd")]
pub use self::etcd::open_etcd;
pub use self::key::Key;
pub use self::replace::{Record, Records, ReplaceError, Unreadable};
pub use self::sled::holds_sled;
use crate::domain::Revision;

/// The largest value that a store takes, in bytes. sled writes up to twenty neighbours as one, and what is larger than a
/// quarter of a segment (2 MiB) leaves its log for files of their own, which it does not sync.
pub const MAX_RECORD: usize = 80 * 1024;
/// How large the keys and values of a transaction may be in all, in bytes. Every engine takes as much, so that what one
/// makes can be made by another: sled's log has to be synced in small parts, and etcd takes requests up to 1.5 MiB.
pub const MAX_TRANSACTION: usize = 512 * 1024;
/// How many keys a transaction may require something of, and how many it may put and delete. etcd takes 128, and the digest and
/// the head are among them.
pub const MAX_OPERATIONS: usize = 120;

/// A stored value and the revision of the commit that put it there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The bytes.
    pub value: Vec<u8>,
    /// The commit that put them there.
    pub revision: Revision,
}

/// Changes that are made together or not at all, and what must hold for that.
#[derive(Clone, Default, Debug)]
pub struct Transaction {
    /// What must hold, key by key.
    pub require: Vec<(Key, Expect)>,
    /// What to store. No key may be both put and deleted.
    pub put: Vec<(Key, Vec<u8>)>,
    /// What to remove. Removing what is not there is no error.
    pub delete: Vec<Key>,
    /// When it is too late to begin: nobody waits for the answer any more.
    pub deadline: Option<Instant>,
    /// What keeps the digest in step with it, which it does not change itself then. `None`: it says what becomes of the digest.
    pub digester: Option<Arc<dyn Digester>>,
}

impl Transaction {
    /// The bytes of its keys and values.
    fn size(&self) -> usize {
        let put: usize = self.put.iter().map(|(key, value)| key.as_bytes().len() + value.len()).sum();
        let deleted: usize = self.delete.iter().map(|key| key.as_bytes().len()).sum();
        put + deleted
    }

    /// Whether a store takes it.
    fn fits(&self) -> bool {
        self.put.iter().all(|(_, value)| value.len() <= MAX_RECORD)
            && self.size() <= MAX_TRANSACTION
            && self.require.len() <= MAX_OPERATIONS
            && self.put.len() + self.delete.len() <= MAX_OPERATIONS
    }

    /// Whether it only asks whether something holds.
    fn changes_nothing(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }

    fn is_too_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

/// What must hold of a key for a transaction to be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Expect {
    /// Nothing is stored there.
    Absent,
    /// What is stored there was put by this revision.
    At(Revision),
}

/// Why a commit was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Something required did not hold, at this revision, which is durable. Nothing was changed.
    #[error("a precondition did not hold")]
    Conflict(Revision),
    /// It is larger than [`MAX_RECORD`], [`MAX_TRANSACTION`] or [`MAX_OPERATIONS`] allow. Nothing was changed.
    #[error("the transaction is larger than the store takes")]
    TooLarge,
    /// Its deadline passed before it was begun. Nothing was changed.
    #[error("the deadline passed before the transaction was begun")]
    TooLate,
    /// There is no digest, or it is none that the transaction's digester can carry on. Nothing was changed.
    #[error("the store's digest is missing or was altered")]
    NoDigest,
    /// The store can not serve; whether the change was made is not known until it can again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The store can not serve. Says why, without any key or value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store can not serve: {0}")]
pub struct Unavailable(pub Arc<str>);

/// Refuses: this build has no store over etcd. The error says how to build one.
#[cfg(not(feature = "etcd"))]
pub async fn open_etcd(_: &crate::config::Etcd) -> Result<Arc<dyn Store>, Unavailable> {
    Err(Unavailable(
        "this program was built without etcd. To use --store etcd, build it with the feature `etcd`: \
         `cargo build --release --locked --features etcd`"
            .into(),
    ))
}

/// An ordered map from keys to values. See the module for what is promised.
#[async_trait]
pub trait Store: Send + Sync {
    /// What is stored at a key.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Unavailable>;

    /// The first `limit` entries whose keys begin with `prefix`, in key order, behind `after` where that is given.
    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable>;

    /// Makes a transaction, and returns once it is durable. Waits while others are before it, up to its deadline. Where it was
    /// made together with others that have nothing to do with it, all of them have one revision, and are one change.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError>;

    /// Replaces everything in the store by these records, later ones winning over earlier ones of the same key, as one
    /// step that survives a crash: the store has all of them and nothing else, or what it had before. The revision is
    /// later than `after` where the store counts its own. Every watch ends with [`WatchEnd::Compacted`]. Commits wait
    /// meanwhile, or refer to the state before.
    async fn replace(&self, records: Records, after: Revision) -> Result<Revision, ReplaceError>;

    /// Whether nothing was ever committed to it.
    async fn is_new(&self) -> Result<bool, Unavailable>;

    /// A revision no older than anything that a `get` or `scan` has returned so far.
    async fn revision(&self) -> Result<Revision, Unavailable>;

    /// The changes after a durable revision, in order, without gap or repeat.
    fn watch(&self, after: Revision) -> Watch;

    /// The newest durable revision.
    fn durable(&self) -> Revision;

    /// Whether the store can serve reads and writes. Where it could not, it is looked whether it can again.
    async fn ping(&self) -> Result<(), Unavailable>;

    /// What engine this is, for people: `sled`, `etcd`, `memory`.
    fn engine(&self) -> &'static str;

    /// Ends the store: what was accepted is made durable, what comes later is refused.
    async fn close(&self);
}
