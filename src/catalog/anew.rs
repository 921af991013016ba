//! What becomes of a catalog that can not follow its store any more.

use std::sync::{PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::load::scan;
use super::{Catalog, LoadError};
use crate::store::{Unavailable, Watch};

/// How long to wait after the store could not be read anew, at first; twice as long each time, and at most so long.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// For how long the old state is served where the store can not be opened: another replica may be putting a new master key
/// into use.
const GRACE: Duration = Duration::from_secs(10);

/// Since when the state is too old to be served, and why.
#[derive(Default)]
pub(super) struct Frozen(RwLock<Option<(Instant, &'static str)>>);

impl Frozen {
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        match *self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some((since, why)) if since <= Instant::now() => Err(Unavailable(why.into())),
            Some(_) | None => Ok(()),
        }
    }

    /// The state is too old from then on, unless it was before.
    fn set(&self, since: Instant, why: &'static str) {
        let mut frozen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if frozen.is_none_or(|(before, _)| since < before) {
            *frozen = Some((since, why));
        }
    }

    fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Why the store was not read anew.
enum Failed {
    /// It is older than it was.
    Older,
    Unread(LoadError),
}

/// Reads the whole store anew, until that succeeds or the catalog is dropped. The old state is served until the new one is
/// whole; but not for long where the store is there and can not be opened, since keys may have been revoked in it, and not at
/// all where it was altered.
pub(super) async fn begin_anew(catalog: &Weak<Catalog>) -> Option<Watch> {
    let (first, longest) = PAUSES;
    let mut pause = first;
    loop {
        match attempt(&*catalog.upgrade()?).await {
            Ok(watch) => return Some(watch),
            // It costs little to be told that the store can not serve.
            Err(Failed::Unread(LoadError::Store(_))) => pause = first,
            Err(Failed::Older | Failed::Unread(_)) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

async fn attempt(catalog: &Catalog) -> Result<Watch, Failed> {
    let read = scan(&*catalog.store, catalog.provider.keys()).await.map_err(Failed::Unread);
    let taken = read.and_then(|(state, reached, watch)| {
        // Not even a restore takes it back.
        if !state.digest().is_no_older_than(&catalog.digest()) {
            return Err(Failed::Older);
        }
        catalog.set_state(state);
        catalog.frozen.clear();
        catalog.reached.send_replace(reached);
        Ok(watch)
    });
    if let Err(failed) = &taken {
        note(catalog, failed).await;
    }
    taken
}

async fn note(catalog: &Catalog, failed: &Failed) {
    let now = Instant::now();
    match failed {
        Failed::Older => {
            tracing::error!("the store is an older copy of what it was a moment ago: nothing is served");
            catalog.frozen.set(now, "it is an older copy of what it was");
        }
        Failed::Unread(error) => {
            tracing::error!(cause = %error, "the catalog can not be read anew; trying again");
            match error {
                // Reads go on while a disk is full, or etcd is away.
                LoadError::Store(_) => {}
                LoadError::Altered | LoadError::KeyringMissing => {
                    catalog.frozen.set(now, "its records are not those that its digest vouches for");
                }
                LoadError::WrongMasterKey => {
                    catalog.frozen.set(now + GRACE, "the master key does not open it any more");
                    read_master_key_again(catalog).await;
                }
                LoadError::Failed(_) => catalog.frozen.set(now + GRACE, "its keys could not be opened"),
            }
        }
    }
}

/// Another replica has put a new master key into use, which the source may have by now.
async fn read_master_key_again(catalog: &Catalog) {
    let provider = catalog.provider.clone();
    let read = tokio::task::spawn_blocking(move || provider.read_again());
    if let Ok(Err(error)) = read.await {
        tracing::error!(cause = %error, "the master key can not be read again");
    }
}
