//! How new the catalog is that a request is answered from.
//!
//! Where one process owns its store, the catalog is always current: a change is acknowledged once the catalog shows it. Over a
//! store that several replicas share, the catalog follows behind. So before a request is answered there, the catalog is brought
//! up to the store's head: then the answer, a refusal too, is one of a moment between the request and its answer, whichever
//! replica it went to (it is linearizable). A read that asks for it is answered from the catalog as it is, as long as the catalog
//! was at the head a short time ago. The same holds for the question who calls.
//!
//! A replica that cannot read the head refuses: at once what must be current, and after that time everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::commit::Core;
use super::outbox::step;
use super::{App, Error};
use crate::catalog::Catalog;
use crate::domain::Revision;
use crate::store::{Store, Unavailable};

/// How long a request waits for the catalog to reach the head.
const REACH: Duration = Duration::from_secs(5);
/// How often the head is read where no request asks for it.
const LOOK: Duration = Duration::from_secs(1);
/// How many requests wait at a time for a revision that no reply has told yet.
const AHEAD: usize = 256;

/// How new the catalog is. `None` where this process owns the store: then nothing is asked, and nothing is waited for.
#[derive(Clone)]
pub(super) struct Freshness(Option<Arc<SharedFreshness>>);

/// The same over a store that several replicas share.
struct SharedFreshness {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    /// For how long the catalog counts as recent after it was at the head.
    max_age: Duration,
    opened_at: Instant,
    /// The last moment at which the catalog was at the head, as far as is known: in microseconds after `opened_at`, plus 1.
    /// 0: no such moment is known.
    current_at: AtomicU64,
}

/// The places of requests that wait for a revision which the store has not reached. Without a bound, a few callers with a large
/// `min_revision` would hold the places of all requests.
pub(super) struct AheadPlaces(Semaphore);

impl Default for AheadPlaces {
    fn default() -> Self {
        Self(Semaphore::new(AHEAD))
    }
}

impl Freshness {
    /// The freshness of the catalog of a store. Where the store is shared, a task looks at its head each second, for as long as
    /// this lives.
    pub(super) fn of(store: &Arc<dyn Store>, catalog: &Arc<Catalog>, max_age: Duration) -> Self {
        if !store.is_shared() {
            return Self(None);
        }
        let shared = Arc::new(SharedFreshness {
            store: store.clone(),
            catalog: catalog.clone(),
            max_age,
            opened_at: Instant::now(),
            current_at: AtomicU64::new(0),
        });
        tokio::spawn(look_regularly(Arc::downgrade(&shared)));
        Self(Some(shared))
    }

    /// Waits until the catalog shows every change that any replica had acknowledged when this was called. Fails within 5 seconds
    /// where that cannot be known.
    pub(super) async fn reach_head(&self) -> Result<(), Unavailable> {
        match &self.0 {
            None => Ok(()),
            Some(shared) => {
                let _step = step("ask the store for its newest revision");
                shared.reach_head().await
            }
        }
    }

    /// Whether other processes can have made changes that the catalog does not show yet.
    pub(super) fn can_be_behind(&self) -> bool {
        self.0.is_some()
    }

    /// Fails where the catalog was not at the head for too long, as far as is known.
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        match &self.0 {
            Some(shared) if !shared.is_recent() => {
                Err(Unavailable("its newest revision is not known any more".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl SharedFreshness {
    async fn reach_head(&self) -> Result<(), Unavailable> {
        let asked_at = Instant::now();
        let reached = timeout(REACH, async {
            let head = self.store.head().await?;
            self.catalog.at_least(head).await
        });
        let late = |_elapsed| Unavailable("the catalog does not reach its newest revision in time".into());
        reached.await.map_err(late)??;
        self.current_at.fetch_max(self.micros(asked_at), Ordering::AcqRel);
        Ok(())
    }

    fn is_recent(&self) -> bool {
        match self.current_at.load(Ordering::Acquire) {
            0 => false,
            current_at => {
                let age = self.micros(Instant::now()).saturating_sub(current_at);
                Duration::from_micros(age) <= self.max_age
            }
        }
    }

    /// A moment as `current_at` has it.
    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.opened_at).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Keeps the catalog known to be recent where no request reads the head.
async fn look_regularly(freshness: Weak<SharedFreshness>) {
    while let Some(shared) = freshness.upgrade() {
        // The health of the service tells and logs what fails.
        let _ = shared.reach_head().await;
        drop(shared);
        sleep(LOOK).await;
    }
}

impl Core {
    /// Waits until the catalog shows the revision, for at most 10 seconds. A revision that a reply has told is reached once the
    /// catalog is at the head of the store. For a later one, only so many requests wait at a time, and the others fail at once.
    pub(super) async fn at_least(&self, revision: Revision) -> Result<(), Unavailable> {
        if self.catalog.revision() >= revision {
            return Ok(());
        }
        self.freshness.reach_head().await?;
        if self.catalog.revision() >= revision {
            return Ok(());
        }
        let _place = self.ahead.0.try_acquire().map_err(|_| {
            Unavailable("too many requests wait already for a revision that it has not reached".into())
        })?;
        self.catalog.at_least(revision).await
    }
}

impl App {
    /// Waits until this replica shows every change that any replica had acknowledged when this was called. Costs nothing where
    /// one process owns the store. Fails within 5 seconds where the newest changes cannot be known.
    pub async fn reach_head(&self) -> Result<(), Error> {
        Ok(self.core.freshness.reach_head().await?)
    }

    /// Whether other replicas can have made changes that this one does not show yet.
    pub fn can_be_behind(&self) -> bool {
        self.core.freshness.can_be_behind()
    }

    /// Whether what this replica shows was current a short time ago: the time that cached reads accept.
    pub fn is_recent(&self) -> bool {
        self.core.freshness.check().is_ok()
    }

    /// Waits until this replica shows the revision, for at most 10 seconds. Only so many requests wait for one that no reply has
    /// told.
    pub async fn at_least(&self, revision: Revision) -> Result<(), Error> {
        Ok(self.core.at_least(revision).await?)
    }
}
