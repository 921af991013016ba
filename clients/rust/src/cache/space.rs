//! The part of a cache for one namespace.
//!
//! A secret is served only while a watch follows the namespace: from the first bookmark of the watch on, and then, as stale, for a time
//! after its connection was lost. A secret is kept only if no event of it came while it was read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{CachePolicy, CachedSecret, Shared};
use crate::client::Client;
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::model::Secret;

pub(super) struct Space {
    pub(super) shared: Weak<Shared>,
    pub(super) client: Client,
    policy: CachePolicy,
    state: RwLock<State>,
}

#[derive(Default)]
pub(super) struct State {
    entries: HashMap<String, Entry>,
    /// The names of the entries in the order in which they are looked at to make room. Some may be gone.
    hand: VecDeque<String>,
    /// The reads that are under way.
    reads: HashMap<String, Arc<Read>>,
    /// Tells when the watch follows the namespace, or cannot. `None`: no watch runs.
    pub(super) watching: Option<watch::Receiver<bool>>,
    /// Whether the watch has told of everything up to now.
    pub(super) follows: bool,
    /// The latest revision that the watch has told of: what is read must not be older.
    pub(super) seen: u64,
    /// When the connection of the watch was lost. `None`: it is not.
    pub(super) lost_since: Option<Instant>,
    /// When the service refused a watch.
    pub(super) refused_at: Option<Instant>,
    /// How often everything was forgotten: what was read before may be what the caller may not know any more.
    emptied: u64,
}

struct Entry {
    secret: Arc<Secret>,
    /// Lets the entries that are read survive those that are not.
    used: AtomicBool,
    /// An event tells of a newer state, which is not read yet.
    outdated: bool,
}

/// One read from the service that all who ask for the name wait for.
pub(super) struct Read {
    outcome: watch::Sender<Option<Result<Arc<Secret>, Error>>>,
    /// The revision of the last event of the secret since the read began.
    changed_at: std::sync::atomic::AtomicU64,
}

impl Space {
    pub(super) fn new(shared: Weak<Shared>, client: Client, policy: CachePolicy) -> Self {
        Self { shared, client, policy, state: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret, if it may be served without asking the service.
    pub(super) fn look_up(&self, name: &str) -> Option<CachedSecret> {
        let state = self.read();
        let entry = state.entries.get(name)?;
        if entry.outdated && state.lost_since.is_none() {
            return None;
        }
        self.serve(entry, state.lost_since)
    }

    /// The secret after a read of it failed because the service cannot be reached: the watch may not know that yet.
    fn last_known(&self, name: &str) -> Option<CachedSecret> {
        let state = self.read();
        let since = state.lost_since.unwrap_or_else(Instant::now);
        self.serve(state.entries.get(name)?, Some(since))
    }

    /// The secret of an entry, unless it is stale for too long or has expired.
    fn serve(&self, entry: &Entry, lost_since: Option<Instant>) -> Option<CachedSecret> {
        if lost_since.is_some_and(|since| since.elapsed() >= self.policy.serve_stale) {
            return None;
        }
        if entry.secret.expires_at.is_some_and(|end| end <= SystemTime::now()) {
            return None;
        }
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(CachedSecret { secret: entry.secret.clone(), lost_since })
    }

    /// Reads the secret from the service, and keeps it while a watch follows the namespace.
    pub(super) async fn fill(self: &Arc<Self>, name: &str, allowed: Duration) -> Result<CachedSecret, Error> {
        let filled = async {
            if let Some(mut watching) = self.follow() {
                // It is dropped when the watch ends, which is an answer too.
                let _ = watching.wait_for(|decided| *decided).await;
            }
            let mut outcome = self.begin_read(name).outcome.subscribe();
            let read = outcome.wait_for(Option::is_some).await;
            read.ok().and_then(|read| read.clone()).unwrap_or_else(|| Err(Error::closed()))
        };
        let now = Instant::now();
        let end = now.checked_add(allowed).unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60));
        let read = timeout_at(end, filled)
            .await
            .unwrap_or_else(|_| Err(self.client.explained(Error::no_answer_within(allowed), "GetSecret")));
        match read {
            Ok(secret) => Ok(CachedSecret { secret, lost_since: None }),
            Err(error) => match error.kind() {
                ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => self.last_known(name).ok_or(error),
                _ => Err(error),
            },
        }
    }

    /// Begins a read of the secret, or joins the one that is under way.
    pub(super) fn begin_read(self: &Arc<Self>, name: &str) -> Arc<Read> {
        let mut state = self.write();
        if let Some(read) = state.reads.get(name) {
            return read.clone();
        }
        let read = Arc::new(Read { outcome: watch::Sender::new(None), changed_at: 0.into() });
        let fresh = state.entries.get(name).filter(|entry| !entry.outdated && state.lost_since.is_none());
        if let Some(served) = fresh.and_then(|entry| self.serve(entry, None)) {
            // Another read has ended just now.
            read.outcome.send_replace(Some(Ok(served.secret)));
            return read;
        }
        let Some(shared) = self.shared.upgrade() else {
            read.outcome.send_replace(Some(Err(Error::closed())));
            return read;
        };
        state.reads.insert(name.to_owned(), read.clone());
        drop(state);
        let (space, under_way, name) = (self.clone(), read.clone(), name.to_owned());
        shared.begin(async move {
            loop {
                let (seen, emptied) = {
                    let state = space.read();
                    (state.seen, state.emptied)
                };
                let outcome = space.client.get(&*name).min_revision(seen).await;
                if space.finish(&name, &under_way, emptied, outcome) {
                    return;
                }
            }
        });
        read
    }

    /// Ends a read that began when everything was forgotten so often. False: the secret has changed meanwhile, so that it must be read
    /// again.
    fn finish(&self, name: &str, read: &Read, emptied: u64, outcome: Result<Secret, Error>) -> bool {
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthenticated) {
            self.empty_all();
        }
        let mut state = self.write();
        let changed_at = read.changed_at.load(Ordering::Relaxed);
        if outcome.as_ref().is_ok_and(|secret| changed_at > secret.read_at) {
            return false;
        }
        state.reads.remove(name);
        let outcome = outcome.map(Arc::new);
        match &outcome {
            Ok(secret) if state.follows && state.lost_since.is_none() && state.emptied == emptied => {
                state.store(name, secret, self.policy.capacity.max(1));
            }
            Err(error) if says_no(error) => state.forget(name),
            Ok(_) | Err(_) => {}
        }
        read.outcome.send_replace(Some(outcome));
        true
    }

    /// Drops what the cache has of all namespaces.
    pub(super) fn empty_all(&self) {
        match self.shared.upgrade() {
            Some(shared) => shared.empty(),
            None => self.empty(),
        }
    }

    /// Drops what the cache has of this namespace.
    pub(super) fn empty(&self) {
        self.write().drop_all();
    }
}

/// Whether the service has said that this caller gets no such value.
fn says_no(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::FailedPrecondition
            | ErrorKind::Integrity
            | ErrorKind::Invalid
    )
}

impl State {
    /// Keeps a secret. A full cache drops one that was not read lately.
    fn store(&mut self, name: &str, secret: &Arc<Secret>, capacity: usize) {
        let entry = Entry { secret: secret.clone(), used: AtomicBool::new(false), outdated: false };
        if self.entries.insert(name.to_owned(), entry).is_some() {
            return;
        }
        while self.entries.len() > capacity {
            let Some(oldest) = self.hand.pop_front() else { break };
            let used = self.entries.get_mut(&oldest).map(|entry| std::mem::take(entry.used.get_mut()));
            match used {
                Some(true) => self.hand.push_back(oldest),
                Some(false) => self.forget(&oldest),
                None => {}
            }
        }
        self.hand.push_back(name.to_owned());
        if self.hand.len() > 2 * capacity {
            // Names of entries that are gone, or twice in it.
            let names: Vec<_> = self.entries.keys().cloned().collect();
            self.hand = names.into();
        }
    }

    /// Forgets a secret.
    fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// Forgets a secret under whatever name it has.
    pub(super) fn drop_id(&mut self, id: &str) {
        self.entries.retain(|_, entry| entry.secret.id != id);
    }

    /// Forgets everything, and what is being read.
    pub(super) fn drop_all(&mut self) {
        self.emptied += 1;
        self.entries.clear();
        self.hand.clear();
    }

    /// Notes that an event of a name came, for the read of it that is under way.
    pub(super) fn changed(&self, name: &str, revision: u64) {
        if let Some(read) = self.reads.get(name) {
            read.changed_at.fetch_max(revision, Ordering::Relaxed);
        }
    }

    /// Notes that an entry is not the newest state any more. False: there is no such entry.
    pub(super) fn outdate(&mut self, name: &str) -> bool {
        self.entries.get_mut(name).map(|entry| entry.outdated = true).is_some()
    }

    /// The names of the entries that are not the newest state any more.
    pub(super) fn outdated(&self) -> Vec<String> {
        let outdated = self.entries.iter().filter(|(_, entry)| entry.outdated);
        outdated.map(|(name, _)| name.clone()).collect()
    }
}
