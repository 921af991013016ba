//! Receives the commits of all replicas: one watch of etcd, whose events become the changes that every watcher of
//! this replica reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{Event, EventType};
use tokio::time::{Instant, sleep_until};

use super::layout::{EtcdKey, Pointer, revision};
use super::{EtcdClient, Position};
use crate::domain::Revision;
use crate::store::{Change, Entry, Key, Unavailable};

/// The pause after a watch has broken: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long the changes in etcd may take to arrive: less than the health check of the service takes.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long after the start of a revision the rest of it, which etcd sends at once, counts as missing.
const WHOLE: Duration = Duration::from_millis(300);

pub(super) struct Follower {
    client: Arc<EtcdClient>,
    /// What is followed.
    following: Pointer,
    /// Events of a commit whose head has not arrived yet, and when the last of them came.
    begun: Option<Change>,
    begun_at: Instant,
    /// Whether etcd no longer has the next changes.
    compacted: bool,
    broken: bool,
}

impl Follower {
    pub(super) fn new(client: Arc<EtcdClient>, following: Pointer) -> Self {
        Self { client, following, begun: None, begun_at: Instant::now(), compacted: false, broken: false }
    }

    /// Follows until it is aborted.
    pub(super) async fn run(mut self) {
        let mut wait = BACKOFF.0;
        loop {
            let Err(why) = self.watch().await;
            self.client.interruptions.fetch_add(1, Ordering::SeqCst);
            if self.broken {
                wait = (wait * 2).min(BACKOFF.1);
            } else {
                tracing::warn!(cause = %why, "the watch of etcd ended and is started again");
                self.broken = true;
                wait = BACKOFF.0;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Watches until the watch breaks.
    async fn watch(&mut self) -> Result<std::convert::Infallible, Unavailable> {
        let position = self.client.position().await?;
        let from = self.resume(&position);
        let (member, mut stream) = self.client.cluster.watch(self.client.layout.prefix(), from).await?;
        let client = self.client.clone();
        loop {
            let (begun, whole_at) = (self.begun.is_some(), self.begun_at + WHOLE);
            let response = tokio::select! {
                biased; // what has come is looked at before the time
                response = stream.message() => response,
                () = sleep_until(whole_at), if begun => {
                    self.end_begun().await;
                    continue;
                }
                () = client.cluster.left(member) => return Err(Unavailable("another member is asked".into())),
            };
            let broke = |why: String| {
                client.cluster.leave(member);
                Unavailable(why.into())
            };
            let response = response.map_err(|error| broke(error.to_string()))?;
            let response = response.ok_or_else(|| broke("etcd ended it".into()))?;
            if response.canceled() {
                self.compacted = response.compact_revision() > 0;
                return Err(Unavailable(format!("etcd canceled it: {}", response.cancel_reason()).into()));
            }
            if std::mem::take(&mut self.broken) {
                tracing::info!("the watch of etcd was started again");
            }
            self.take(response.events())?;
        }
    }

    /// Prepares the log to go on, or resets it where its changes do not lead to the store's position. Returns the
    /// revision of etcd to watch from.
    pub(super) fn resume(&mut self, position: &Position) -> i64 {
        self.begun = None;
        let log = &self.client.log;
        // The head is older than one seen before: etcd was restored from a snapshot.
        let mismatch = position.pointer != self.following || position.head < log.durable();
        if mismatch || self.compacted {
            self.client.forget_commits();
            log.reset(position.head);
            self.following = position.pointer;
            self.compacted = false;
            // A watcher of the log now reads the store from its beginning, and sees everything up to that position.
            return position.newest + 1;
        }
        // From the last change on, not from etcd's revision: a write by somebody else in between has no head after
        // it.
        i64::try_from(log.durable().0).unwrap_or(i64::MAX - 1) + 1
    }

    /// Receives events, in the order in which they were made.
    fn take(&mut self, events: &[Event]) -> Result<(), Unavailable> {
        let client = self.client.clone();
        let mut made = Vec::new();
        for event in events {
            let Some(stored) = event.kv() else { continue };
            let at = revision(stored.mod_revision());
            if self.begun.as_ref().is_some_and(|begun| begun.revision != at) {
                made.extend(self.begun.take()); // not made by a replica, which would have ended it with the head
            }
            let deleted = event.event_type() == EventType::Delete;
            match client.layout.parse_key(stored.key()) {
                EtcdKey::Pointer if deleted => {
                    return Err(Unavailable("its pointer in etcd was removed".into()));
                }
                EtcdKey::Pointer => {
                    self.following = Pointer::decode(stored)?;
                    client.adopt(self.following);
                    self.begun = None;
                    made.clear(); // of what is no longer in force
                    client.forget_commits();
                    client.log.reset(at);
                }
                EtcdKey::Record(generation, key) if generation == self.following.generation => {
                    self.begun_at = Instant::now();
                    let begun = self.begun.get_or_insert_with(|| change(at));
                    if deleted {
                        begun.delete.push(Key::from_bytes(key));
                    } else {
                        begun.put.push((Key::from_bytes(key), stored.value().to_vec()));
                    }
                }
                EtcdKey::Head(generation) if generation == self.following.generation => {
                    let commit = self.begun.take().unwrap_or_else(|| change(at));
                    client.see(generation, &commit, stored.value());
                    made.push(commit);
                }
                EtcdKey::Record(..) | EtcdKey::Head(_) | EtcdKey::Other => {}
            }
        }
        self.publish(made);
        Ok(())
    }

    /// Handles events whose head never comes: no replica made a change that is newer than the head.
    async fn end_begun(&mut self) {
        self.begun_at = Instant::now();
        let Ok(position) = self.client.position().await else { return }; // the watch breaks too, or it is asked again
        if self.begun.as_ref().is_some_and(|begun| begun.revision > position.head) {
            let begun = self.begun.take();
            self.publish(begun.into_iter().collect());
        }
    }

    fn publish(&self, mut made: Vec<Change>) {
        let log = &self.client.log;
        made.retain(|change| change.revision > log.durable()); // the head that came with the pointer
        log.publish(made);
    }
}

fn change(revision: Revision) -> Change {
    Change { revision, put: Vec::new(), delete: Vec::new() }
}

impl EtcdClient {
    /// Takes in a commit that the watch shows, whose head has this value.
    fn see(&self, generation: u64, commit: &Change, head: &[u8]) {
        let digest = Key::digest();
        // First, so that the replica that gets the turn has the digest.
        if let Some((_, value)) = commit.put.iter().rfind(|(key, _)| *key == digest) {
            self.see_digest(generation, Entry { value: value.clone(), revision: commit.revision });
        }
        if let Ok(author) = head.try_into() {
            self.turns.committed(author, commit.revision);
        }
    }

    /// Waits until the changes up to a revision have arrived, within a time limit. Beyond it, another member is
    /// asked.
    pub(super) async fn followed_to(&self, revision: Revision) -> Result<(), Unavailable> {
        tokio::time::timeout(PATIENCE, self.log.reached(revision)).await.map_err(|_elapsed| {
            self.cluster.move_on();
            Unavailable("the changes that are made in etcd do not arrive".into())
        })
    }
}
