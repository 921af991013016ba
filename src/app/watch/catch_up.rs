//! Reads the events that a watch has missed from the store, until it can receive them from the catalog.

use std::collections::HashMap;

use super::{Phase, Watch};
use crate::app::Error;
use crate::catalog::Subscription;
use crate::domain::{Namespace, Revision, SecretEvent};
use crate::schema::{EventRecord, NamespaceId};
use crate::store::Key;

/// How far a watch has read the events in the store.
#[derive(Default)]
pub(super) struct CatchUp {
    /// The key behind which the next events stand; `None`: it is yet to be looked for.
    behind: Option<Position>,
    /// Begun when little is left to read: it receives every event after that.
    events: Option<Subscription>,
}

/// A place among the events: behind a key, or before all of them.
#[derive(Clone)]
struct Position(Option<Key>);

impl Watch {
    /// Reads the next page of events, or goes live.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        let Phase::CatchUp(CatchUp { behind, events }) = &self.phase else { return Ok(()) };
        let shown = self.core.catalog.revision();
        let to = match events {
            Some(events) => events.after(),
            None => shown,
        };
        if self.cursor >= to {
            self.go_live();
            return Ok(());
        }
        let behind = behind.clone();
        let (position, more) = self.read(behind, to).await?;
        if !more {
            self.cursor = to;
        }
        if let Phase::CatchUp(catching_up) = &mut self.phase {
            catching_up.behind = Some(position);
        }
        if tokio::time::Instant::now() >= self.bookmark_at {
            self.push_bookmark();
        }
        Ok(())
    }

    /// Begins to receive the events from the catalog. Where some were made since the last one was read, those are read first.
    fn go_live(&mut self) {
        let watched = self.watched();
        let Phase::CatchUp(CatchUp { events, .. }) = &mut self.phase else { return };
        let events = match events.take() {
            Some(events) => events,
            None => self.core.catalog.watch_events(watched),
        };
        if events.after() > self.cursor {
            if let Phase::CatchUp(catching_up) = &mut self.phase {
                catching_up.events = Some(events);
            }
            return;
        }
        self.phase = Phase::Live(events);
        if !self.synced {
            self.synced = true;
            self.push_bookmark();
        }
    }

    /// Reads a page of events up to a revision, and tells those that match. Returns where to go on, and whether there is more.
    async fn read(&mut self, behind: Option<Position>, to: Revision) -> Result<(Position, bool), Error> {
        let readers = self.readers.clone();
        // Never closed.
        let _turn = readers.acquire().await.ok();
        let core = self.core.clone();
        let Position(behind) = match behind {
            Some(position) => position,
            None => Position(core.seek_event(self.cursor).await?),
        };
        let mut pages: Vec<(Revision, Vec<EventRecord>)> = Vec::new();
        let read = core
            .read_events(behind, self.cursor, to, |revision, records| {
                pages.push((revision, records));
                Ok(())
            })
            .await?;
        let mut namespaces: HashMap<NamespaceId, Option<Namespace>> = HashMap::new();
        for (revision, records) in pages {
            let mut events: Vec<SecretEvent> = Vec::new();
            for record in records {
                let id = record.namespace_id().ok_or(Error::Integrity)?;
                let namespace = namespaces.entry(id).or_insert_with(|| {
                    core.catalog.namespace_of(id).map(|catalog| catalog.keys().namespace().clone())
                });
                let namespace = namespace.as_ref().ok_or(Error::Integrity)?;
                if self.filter.concerns(namespace) {
                    events.push(record.event(namespace, revision).ok_or(Error::Integrity)?);
                }
            }
            if revision > self.cursor {
                self.tell(revision, events.iter());
                self.cursor = revision;
            }
        }
        Ok((Position(read.behind), read.more))
    }
}
