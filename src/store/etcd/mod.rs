//! The store in etcd, which any number of replicas share. See [`layout`] for what stands where.
//!
//! A revision is etcd's own. A commit is one transaction of etcd, made or refused as a whole: nothing here is split
//! over several transactions, and none is sent again when its outcome is not known. Commits that rewrite the digest
//! are made several at once, and then share one revision.

mod alive;
mod certificates;
mod cluster;
mod commit;
mod committer;
#[cfg(test)]
mod committer_tests;
mod failure;
#[cfg(test)]
pub(crate) mod fixture;
mod follow;
mod group;
mod head;
mod layout;
mod replace;
mod scan;
mod span;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetResponse, KeyValue, Txn, TxnOp, TxnOpResponse};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::alive::HeartbeatPlace;
use self::certificates::follow_files;
use self::cluster::{Cluster, Resend};
use self::committer::EtcdCommitter;
use self::follow::Follower;
use self::head::HeadReader;
use self::layout::{Layout, Pointer, revision};
use self::span::Span;
use self::turns::Turns;
use super::change::ChangeLog;
use super::{
    CommitError, Entry, Heartbeats, Key, ReplaceError, ReplaceRecords, Store, Transaction, Unavailable,
    UnavailableCause, Watch,
};
use crate::config::Etcd;
use crate::domain::Revision;
use crate::metrics::CommitMetrics;

/// Opens the store in etcd, or creates it. The error says what to do.
pub async fn open_etcd(settings: &Etcd) -> Result<Arc<dyn Store>, Unavailable> {
    Ok(Arc::new(EtcdStore::open(settings).await?))
}

/// Waits until etcd answers. Calls `away` each time that it does not, some seconds apart. Fails where the settings cannot be used.
pub async fn await_etcd(settings: &Etcd, away: impl Fn(&Unavailable)) -> Result<(), Unavailable> {
    let (cluster, layout) = (Cluster::new(settings).await?, Layout::new(&settings.prefix));
    cluster.wait_until_reached(&layout.pointer(), away).await;
    Ok(())
}

/// The store of one replica.
struct EtcdStore {
    client: Arc<EtcdClient>,
    /// Receives the changes of all replicas.
    following: JoinHandle<()>,
    /// Connects again with certificates that have changed.
    renewing: JoinHandle<()>,
    /// Makes the commits that rewrite the digest.
    committer: Arc<EtcdCommitter>,
    /// Reads the head for all callers.
    head: Arc<HeadReader>,
    /// Removes generations that are no longer in force.
    clearing: Mutex<Option<JoinHandle<()>>>,
    heartbeat: HeartbeatPlace,
    /// What scans of the keys with the same first byte have learned.
    spans: Mutex<HashMap<Option<u8>, Span>>,
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.following.abort();
        self.renewing.abort();
    }
}

/// EtcdClient by the store and its follower.
struct EtcdClient {
    cluster: Cluster,
    layout: Layout,
    log: Arc<ChangeLog>,
    /// How often the watch broke.
    interruptions: Arc<AtomicU64>,
    /// Whose turn it is to commit.
    turns: Turns,
    /// The newest digest that the watch has shown, with its generation.
    digest: Mutex<Option<(u64, Entry)>>,
    state: RwLock<ClientState>,
}

#[derive(Clone, Copy)]
struct ClientState {
    pointer: Pointer,
    closed: bool,
}

/// The position of the store at one moment.
struct Position {
    pointer: Pointer,
    /// The newest revision of the store.
    head: Revision,
    /// Whether the generation in force has ever had a commit.
    is_new: bool,
    /// The newest revision of all of etcd.
    newest: i64,
}

impl EtcdClient {
    async fn open(settings: &Etcd) -> Result<Self, Unavailable> {
        let cluster = Cluster::new(settings).await?;
        let layout = Layout::new(&settings.prefix);
        cluster.check().await?;
        let enclosing = enclosing(&cluster, &settings.prefix).await?;
        let empty = match &enclosing {
            Some(_) => layout.never(),
            None => layout.empty(),
        };
        // Where replicas race, each sees the pointer of the winner.
        let first = TxnOp::put(layout.pointer(), Pointer::encode(1), None);
        let look = TxnOp::get(layout.pointer(), None);
        // A store that is there is not asked whether it is empty: for that, etcd reads all of it.
        let there = Compare::version(layout.pointer(), CompareOp::Greater, 0);
        let there = Txn::new().when([there]).and_then([look.clone()]);
        let found = cluster.send(there, Resend::Freely, None).await?;
        let (made, response) = if found.succeeded() {
            (false, found)
        } else {
            let making = Txn::new().when([empty]).and_then([first]).or_else([look]);
            let made = cluster.send(making, Resend::Freely, None).await?;
            (made.succeeded(), made)
        };
        let pointer = if made {
            Pointer { generation: 1, revision: response.header().map_or(0, |header| header.revision()) }
        } else {
            let found = gets(response.op_responses()).next();
            let found = found.as_ref().and_then(|found| found.kvs().first());
            if let (Some(enclosing), Some(_)) = (&enclosing, found) {
                tracing::warn!(
                    prefix = enclosing,
                    "the prefix of this store lies within that of another store"
                );
            }
            Pointer::decode(found.ok_or_else(|| no_store(&settings.prefix, enclosing.as_deref()))?)?
        };
        let state = RwLock::new(ClientState { pointer, closed: false });
        let log = ChangeLog::new(Revision::default());
        let turns = Turns::of(Uuid::new_v4().into_bytes());
        Ok(Self {
            cluster,
            layout,
            log,
            interruptions: Arc::default(),
            turns,
            digest: Mutex::default(),
            state,
        })
    }

    /// The generation in force, as far as this replica knows.
    fn pointer(&self) -> Result<Pointer, Unavailable> {
        let state = *self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(closed()) } else { Ok(state.pointer) }
    }

    fn adopt(&self, pointer: Pointer) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).pointer = pointer;
    }

    fn close(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    /// The newest digest that is known, in this generation. Another replica may have carried it on since.
    fn seen_digest(&self, generation: u64) -> Option<Entry> {
        let seen = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(seen, _)| *seen == generation).map(|(_, digest)| digest.clone())
    }

    /// Notes a digest, unless a newer one is known.
    fn see_digest(&self, generation: u64, digest: Entry) {
        let mut seen = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref().is_none_or(|(of, known)| *of != generation || known.revision < digest.revision) {
            *seen = Some((generation, digest));
        }
    }

    /// Notes the digest that a commit found which was refused for the digest that it had. `None`: etcd has none any more.
    fn correct_digest(&self, generation: u64, had: &Entry, found: Option<Entry>) {
        if found.as_ref().is_none_or(|found| found.revision < had.revision) {
            self.forget_commits(); // it was removed, or etcd was put back to an older state
        }
        if let Some(found) = found {
            self.see_digest(generation, found);
        }
    }

    /// Forgets what commits have shown: those in etcd now are others.
    fn forget_commits(&self) {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.turns.forget();
    }

    /// Takes over the pointer that a refused transaction found.
    fn adopt_found(&self, found: Option<&GetResponse>) -> Result<Pointer, Unavailable> {
        let stored = found.and_then(|found| found.kvs().first()).ok_or_else(|| {
            Unavailable(
                "its pointer in etcd is gone: somebody removed its keys. Restore etcd from a snapshot".into(),
            )
        })?;
        let pointer = Pointer::decode(stored)?;
        self.adopt(pointer);
        Ok(pointer)
    }

    /// Reads a range of the generation in force, linearizably.
    async fn read<R>(&self, range: R) -> Result<RangeRead, Unavailable>
    where
        R: Fn(Pointer) -> TxnOp,
    {
        // A store that is replaced again and again could make this start again and again.
        for _ in 0..8 {
            let pointer = self.pointer()?;
            let look = TxnOp::get(self.layout.pointer(), None);
            let txn =
                Txn::new().when([self.layout.unmoved(pointer)]).and_then([range(pointer)]).or_else([look]);
            let response = self.cluster.send(txn, Resend::Freely, None).await?;
            let newest = response.header().map_or(0, |header| header.revision());
            let found = gets(response.op_responses()).next();
            match found {
                Some(found) if response.succeeded() => return Ok(RangeRead { pointer, found, newest }),
                found => self.adopt_found(found.as_ref())?,
            };
        }
        Err(Unavailable("it is being replaced".into()))
    }

    async fn position(&self) -> Result<Position, Unavailable> {
        let read = self.read(|pointer| TxnOp::get(self.layout.head(pointer.generation), None)).await?;
        let head = read.found.kvs().first().map(KeyValue::mod_revision);
        Ok(Position {
            pointer: read.pointer,
            head: revision(head.unwrap_or(read.pointer.revision)),
            is_new: head.is_none(),
            newest: read.newest,
        })
    }
}

/// Why there is no store with this prefix, and none is made.
fn no_store(prefix: &str, enclosing: Option<&str>) -> Unavailable {
    let text = match enclosing {
        Some(enclosing) => format!(
            "the prefix {prefix} lies within {enclosing}, which is that of another store: nothing was changed. Give another \
             --etcd-prefix"
        ),
        None => format!(
            "etcd has keys with the prefix {prefix}, but not those of a whole store, or those of a store whose prefix begins like \
             this: nothing was changed. Give another --etcd-prefix, or restore etcd from a snapshot"
        ),
    };
    Unavailable::because(UnavailableCause::Settings, text)
}

/// The prefix of another store within which this prefix lies, as far as the user may look.
async fn enclosing(cluster: &Cluster, prefix: &str) -> Result<Option<String>, Unavailable> {
    let ends = prefix.match_indices('/').map(|(at, _)| at + 1).filter(|end| *end < prefix.len());
    let outer: Vec<&str> = ends.filter_map(|end| prefix.get(..end)).collect();
    if outer.is_empty() {
        return Ok(None);
    }
    let looks: Vec<_> = outer.iter().map(|outer| TxnOp::get(Layout::new(outer).pointer(), None)).collect();
    let response = match cluster.send(Txn::new().and_then(looks), Resend::Freely, None).await {
        Ok(response) => response,
        // A user that may use its own prefix only cannot be asked about others.
        Err(refused) if refused.cause() == UnavailableCause::Login => return Ok(None),
        Err(why) => return Err(why),
    };
    let is_store =
        |found: &GetResponse| found.kvs().first().is_some_and(|found| Pointer::decode(found).is_ok());
    let found = gets(response.op_responses()).map(|found| is_store(&found));
    Ok(outer.into_iter().zip(found).find(|(_, is_store)| *is_store).map(|(outer, _)| outer.to_owned()))
}

/// What a read found.
struct RangeRead {
    pointer: Pointer,
    found: GetResponse,
    newest: i64,
}

fn gets(responses: Vec<TxnOpResponse>) -> impl Iterator<Item = GetResponse> {
    responses.into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(found) => Some(found),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
    })
}

fn closed() -> Unavailable {
    Unavailable("it is closed".into())
}

impl EtcdStore {
    async fn open(settings: &Etcd) -> Result<Self, Unavailable> {
        let client = EtcdClient::open(settings).await?;
        let position = client.position().await?;
        let client = Arc::new(EtcdClient { log: ChangeLog::new(position.head), ..client });
        let following = tokio::spawn(Follower::new(client.clone(), position.pointer).run());
        let committer = EtcdCommitter::new(client.clone());
        let head = HeadReader::of(client.clone());
        let (clearing, spans, heartbeat) = (Mutex::default(), Mutex::default(), HeartbeatPlace::new());
        let renewing = tokio::spawn(follow_files(client.clone()));
        let store = Self { client, following, renewing, committer, head, clearing, heartbeat, spans };
        store.clear_below(position.pointer); // what a replacement that was cut short left behind
        Ok(store)
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Unavailable> {
        let layout = &self.client.layout;
        let read =
            self.client.read(|pointer| TxnOp::get(layout.record(pointer.generation, key), None)).await?;
        Ok(read.found.kvs().first().map(entry))
    }

    async fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        self.scan_spans(prefix, after, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        self.make(transaction).await
    }

    async fn replace(&self, records: ReplaceRecords, _after: Revision) -> Result<Revision, ReplaceError> {
        let pointer = self.replace_by(records).await?;
        self.clear_below(pointer);
        Ok(revision(pointer.revision))
    }

    async fn is_new(&self) -> Result<bool, Unavailable> {
        Ok(self.client.position().await?.is_new)
    }

    async fn revision(&self) -> Result<Revision, Unavailable> {
        Ok(self.client.position().await?.head)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn head(&self) -> Result<Revision, Unavailable> {
        self.head.read().await
    }

    fn watch(&self, after: Revision) -> Watch {
        self.client.log.watch(after)
    }

    fn durable(&self) -> Revision {
        self.client.log.durable()
    }

    fn interruptions(&self) -> Arc<AtomicU64> {
        self.client.interruptions.clone()
    }

    fn heartbeats(&self) -> Option<&dyn Heartbeats> {
        Some(self)
    }

    async fn ping(&self) -> Result<(), Unavailable> {
        let position = self.client.position().await?;
        self.client.followed_to(position.head).await
    }

    fn engine(&self) -> &'static str {
        "etcd"
    }

    fn metrics(&self) -> Arc<CommitMetrics> {
        self.committer.metrics.clone()
    }

    async fn close(&self) {
        self.client.close();
        self.following.abort();
        self.renewing.abort();
        self.withdraw_heartbeat().await;
        let clearing = self.clearing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(clearing) = clearing {
            // The next start removes what remains.
            clearing.abort();
            let _ = clearing.await;
        }
    }
}

fn entry(stored: &KeyValue) -> Entry {
    Entry { value: stored.value().to_vec(), revision: revision(stored.mod_revision()) }
}

/// Bytes as a key in etcd and as a pointer: an entry for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzing(bytes: &[u8]) {
    let layout = Layout::new("p/");
    let key = [layout.prefix(), bytes].concat();
    for key in [bytes, &key] {
        if let layout::EtcdKey::Record(generation, record) = layout.parse_key(key) {
            assert_eq!(layout.record(generation, &Key::from_bytes(record)), key);
        }
    }
    if let Ok(pointer) = Pointer::read(bytes, 1) {
        assert_eq!(Pointer::encode(pointer.generation), bytes);
    }
}
