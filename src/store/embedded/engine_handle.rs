use tokio::sync::RwLock;

use super::committer::Engine;
use crate::domain::Revision;
use crate::store::Unavailable;

/// Holds an engine that can be closed and opened again while others read through it: a reader notices no more than
/// a wait.
pub(super) struct EngineHandle<E: Engine> {
    place: E::Place,
    engine: RwLock<Result<E, Unavailable>>,
}

impl<E: Engine> EngineHandle<E> {
    /// Opens the engine at a place, and returns its revision.
    pub(super) fn open(place: E::Place) -> Result<(Self, Revision), Unavailable> {
        let (engine, revision) = E::open(&place)?;
        Ok((Self { place, engine: RwLock::new(Ok(engine)) }, revision))
    }

    /// Where the data is.
    pub(super) fn place(&self) -> &E::Place {
        &self.place
    }

    /// Reads from the engine. Waits while it is being opened again.
    pub(super) async fn read<T>(
        &self,
        read: impl FnOnce(&E) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        self.engine.read().await.as_ref().map_err(Clone::clone).and_then(read)
    }

    /// The same, for the writing thread: it alone opens the engine again, so it never waits.
    pub(super) fn with<T>(&self, work: impl FnOnce(&E) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        self.engine.blocking_read().as_ref().map_err(Clone::clone).and_then(work)
    }

    /// Closes the engine and opens another in its place. If that fails, nothing can be read until a later exchange
    /// succeeds.
    pub(super) fn exchange(
        &self,
        open: impl FnOnce(&E::Place) -> Result<(E, Revision), Unavailable>,
    ) -> Result<Revision, Unavailable> {
        let mut engine = self.engine.blocking_write();
        let closed = std::mem::replace(&mut *engine, Err(Unavailable("it is being opened again".into())));
        drop(closed);
        match open(&self.place) {
            Ok((opened, revision)) => {
                *engine = Ok(opened);
                Ok(revision)
            }
            Err(why) => {
                *engine = Err(why.clone());
                Err(why)
            }
        }
    }
}
