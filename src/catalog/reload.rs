//! Loads the whole store again, for a catalog that cannot follow its store any more.
//!
//! [`follow`](super::load::follow) calls [`reload`] when the keyring in a change does not open, when the catalog fell too
//! far behind the store, or when the store was replaced (a restore). The old state is served until the new one is
//! complete, with exceptions: keys may have been revoked in a store that is there but does not open, so the old state is
//! served only for a short time then; and in a store that was altered, or that is an older copy of itself, nothing is
//! trusted, so the old state is not served at all. [`Staleness`] holds that decision, and every request asks for it.

use std::sync::{OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::load::scan;
use super::{Catalog, LoadError};
use crate::integrity::Divergence;
use crate::store::{Unavailable, UnavailableCause, Watch};

/// How long to wait before the first retry. The time doubles with each retry, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait between two retries.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long the old state is served when the store is there but does not open: another replica may be changing the master
/// key just now.
const GRACE: Duration = Duration::from_secs(10);

/// Why nothing is served, and what to do.
const OLDER: &str = "it is an older copy of what this server has served. Put the newest copy of the store back, or restore a backup \
                     through a server that serves; or, to serve what is there, stop all servers, and start \
                     each of them once with --accept-altered-store";
const LEFT: &str = "it has gone on from an older copy, and lacks changes that this server has served: another server was started over \
                    that copy. Put the newest copy of the store back, or restore a backup through a server that serves; or, to \
                    serve what is there, stop all servers, and start each of them once with --accept-altered-store";

/// Whether the catalog's state is too old to be served: since when, and why. The time may lie in the future.
#[derive(Default)]
pub(super) struct Staleness {
    stale: RwLock<Option<(Instant, Reason)>>,
    /// Told before a state is not served any more, and after it is served again.
    told: OnceLock<OnStale>,
}

/// Is told why the state is not served; `None`: it is served again.
pub(super) type OnStale = Box<dyn Fn(Option<&Unavailable>) + Send + Sync>;

/// Why the state is too old: what to do, and a text.
type Reason = (UnavailableCause, &'static str);

impl Staleness {
    /// An error, with the reason, where the state is too old to be served now.
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        match *self.stale.read().unwrap_or_else(PoisonError::into_inner) {
            Some((since, (cause, text))) if since <= Instant::now() => Err(Unavailable::because(cause, text)),
            Some(_) | None => Ok(()),
        }
    }

    /// The state is too old from this time on, or from an earlier time that was set before. The newest reason counts.
    fn set(&self, since: Instant, reason: Reason) {
        let mut staleness = self.stale.write().unwrap_or_else(PoisonError::into_inner);
        let since = staleness.map_or(since, |(before, _)| since.min(before));
        if since <= Instant::now() {
            let (cause, text) = reason;
            self.tell(Some(&Unavailable::because(cause, text)));
        }
        *staleness = Some((since, reason));
    }

    /// Calls `told` from now on.
    pub(super) fn tell_to(&self, told: OnStale) {
        let staleness = self.stale.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, (cause, text))) = *staleness
            && since <= Instant::now()
        {
            told(Some(&Unavailable::because(cause, text)));
        }
        let _ = self.told.set(told); // there is one
    }

    fn tell(&self, why: Option<&Unavailable>) {
        if let Some(told) = self.told.get() {
            told(why);
        }
    }

    /// The state is current again.
    fn clear(&self) {
        *self.stale.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.tell(None);
    }
}

/// Why the store could not be loaded again.
enum ReloadError {
    /// The store is not the one that the catalog showed before, nor a later state of it.
    Diverged(Divergence),
    Load(LoadError),
}

/// Loads the whole store again, and retries until that succeeds. `None`: the catalog was dropped meanwhile. The watch
/// continues where the new state ends.
pub(super) async fn reload(catalog: &Weak<Catalog>) -> Option<Watch> {
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt(&*catalog.upgrade()?).await {
            Ok(watch) => return Some(watch),
            // The store said at once that it cannot serve, so that a retry is cheap.
            Err(ReloadError::Load(LoadError::Store(_))) => pause = FIRST_PAUSE,
            Err(ReloadError::Diverged(_) | ReloadError::Load(_)) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

async fn attempt(catalog: &Catalog) -> Result<Watch, ReloadError> {
    let scanned = scan(&*catalog.store, catalog.provider.keys(), &catalog.due, &catalog.quotas)
        .await
        .map_err(ReloadError::Load);
    let watch = scanned.and_then(|(state, reached, watch)| {
        // A restore makes a new digest that follows the last one, so even a restore passes this check.
        state.digest().continues(&catalog.digest()).map_err(ReloadError::Diverged)?;
        catalog.set_state(state);
        catalog.staleness.clear();
        catalog.access_changes.send_replace(());
        catalog.hub.restart(reached);
        catalog.due.ring();
        Ok(watch)
    });
    if let Err(error) = &watch {
        handle(catalog, error).await;
    }
    watch
}

/// Logs the error, and decides for how long the old state is served.
async fn handle(catalog: &Catalog, error: &ReloadError) {
    let now = Instant::now();
    match error {
        ReloadError::Diverged(divergence) => {
            let text = match divergence {
                Divergence::Older(_) | Divergence::Other => OLDER,
                Divergence::Left => LEFT,
            };
            tracing::error!(cause = %divergence, "nothing is served: the store cannot serve: {text}");
            catalog.staleness.set(now, (UnavailableCause::OtherHistory, text));
        }
        ReloadError::Load(error) => {
            tracing::error!(cause = %error, "the catalog cannot load the store again; it keeps trying");
            match error {
                // Reads continue while a disk is full or etcd is unreachable.
                LoadError::Store(_) => {}
                LoadError::Altered | LoadError::KeyringMissing => {
                    catalog
                        .staleness
                        .set(now, (UnavailableCause::OtherHistory, "its records do not match its digest"));
                }
                LoadError::WrongMasterKey => {
                    let text = "the master key does not open it any more";
                    catalog.staleness.set(now + GRACE, (UnavailableCause::Passing, text));
                    read_master_key_again(catalog).await;
                }
                LoadError::Failed(_) => {
                    let text = "its keys could not be opened";
                    catalog.staleness.set(now + GRACE, (UnavailableCause::Passing, text));
                }
            }
        }
    }
}

/// Reads the master key from its source again: another replica may have rotated it, and the source may hold the new one by
/// now.
async fn read_master_key_again(catalog: &Catalog) {
    let provider = catalog.provider.clone();
    let read = tokio::task::spawn_blocking(move || provider.read_again());
    if let Ok(Err(error)) = read.await {
        tracing::error!(cause = %error, "the master key cannot be read again");
    }
}
