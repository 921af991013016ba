//! Secrets in memory, kept fresh by a watch.

mod follow;
mod space;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::model::Secret;
use space::Space;

/// The bounds of a cache; see [`Client::cached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// For how long the last known values are served after the connection is lost. 10 minutes unless set; zero: not at all.
    pub serve_stale: Duration,
    /// How many secrets of one namespace are held at most. 1,000 unless set. When there is no room, one that was not read lately
    /// makes room.
    pub capacity: usize,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { serve_stale: Duration::from_secs(600), capacity: 1000 }
    }
}

impl Client {
    /// A cache of the secrets of the client's namespace. It is filled as secrets are read.
    ///
    /// - A read of a secret that the cache has does no I/O. The service does not see it: its audit log, and the consumers and the last
    ///   read of a version, show when the cache asked for the secret.
    /// - When a secret changes, the cache asks for it again by itself: one watch for each namespace tells it of changes.
    /// - When the connection is lost, the cache serves the last known values for the time of [`CachePolicy::serve_stale`], and says so:
    ///   [`CachedSecret::stale_for`]. It never serves a value beyond the expiry of its secret.
    /// - When the service refuses the credential or takes away a right, the cache is emptied at once, and the error of the service is
    ///   returned.
    /// - A value is wiped when the cache has dropped it and nobody holds it any more.
    ///
    /// The watch needs the right `list` on the namespace. Without it nothing is kept, and each read asks the service.
    pub fn cached(&self, policy: CachePolicy) -> Cache {
        let shared = Arc::new(Shared { policy, spaces: Mutex::default(), tasks: Mutex::default() });
        let space = shared.space(self);
        Cache { shared, space, client: self.clone() }
    }
}

/// Secrets in memory; see [`Client::cached`]. Clones share them. Its watches end with the last clone.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    space: Arc<Space>,
    client: Client,
}

/// What the views of a cache for several namespaces share.
struct Shared {
    policy: CachePolicy,
    spaces: Mutex<HashMap<String, Arc<Space>>>,
    /// The watches and reads in the background. They end with the cache.
    tasks: Mutex<JoinSet<()>>,
}

impl Cache {
    /// The current version of a secret with its plaintext value.
    pub async fn get(&self, name: &str) -> Result<CachedSecret, Error> {
        match self.space.look_up(name) {
            Some(found) => Ok(found),
            None => self.space.fill(name, self.client.deadline()).await,
        }
    }

    /// A view of the cache for another namespace, with a watch of its own.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        let client = self.client.in_namespace(namespace);
        Self { shared: self.shared.clone(), space: self.shared.space(&client), client }
    }

    /// The same cache, whose reads of the service take no longer than this.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { client: self.client.with_deadline(deadline), ..self.clone() }
    }

    /// Drops all secrets of all namespaces. The next reads ask the service.
    pub fn clear(&self) {
        self.shared.empty();
    }
}

impl Shared {
    /// The part for the namespace of a client.
    fn space(self: &Arc<Self>, client: &Client) -> Arc<Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Space::new(Arc::downgrade(self), client.clone(), self.policy));
        spaces.entry(client.namespace().to_owned()).or_insert_with(new).clone()
    }

    /// Drops everything, because the credential was refused.
    fn empty(&self) {
        for space in self.spaces.lock().unwrap_or_else(PoisonError::into_inner).values() {
            space.empty();
        }
    }

    /// Does a task in the background, for as long as the cache is there.
    fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are not kept.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("policy", &self.shared.policy)
            .field("namespace", &self.client.namespace())
            .finish_non_exhaustive()
    }
}

/// A secret of a cache. It dereferences to the [`Secret`], which all readers share.
#[derive(Clone, Debug)]
pub struct CachedSecret {
    secret: Arc<Secret>,
    lost_since: Option<Instant>,
}

impl CachedSecret {
    /// Whether the connection to the service is lost, so that the secret may have changed since.
    pub fn is_stale(&self) -> bool {
        self.lost_since.is_some()
    }

    /// For how long the connection is lost. `None`: it is not.
    pub fn stale_for(&self) -> Option<Duration> {
        self.lost_since.map(|since| since.elapsed())
    }
}

impl Deref for CachedSecret {
    type Target = Secret;

    fn deref(&self) -> &Secret {
        &self.secret
    }
}
