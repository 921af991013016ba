//! Watches: the changes of secrets, told one after another.
//!
//! A [`Watch`] first catches up: it tells the secrets that match now (`snapshot.rs`), or reads the events since a revision from
//! the store (`catch_up.rs`). Then it is live: the catalog's hub hands it the events as changes are applied. A watch that falls
//! behind the hub, or whose catalog was loaded again, catches up once more from where it is.
//!
//! *Always:* `cursor` is a revision up to which every event that matches was told, or is in `ready`. So nothing is told twice and
//! nothing is left out, whichever way the events come. What the caller may list is asked for each event when it is told.

mod catch_up;
mod filter;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use self::catch_up::CatchUp;
use self::filter::EventFilter;
use self::snapshot::Snapshot;
use super::Error;
use super::commit::Core;
use crate::auth::{List, NamespaceGrant};
use crate::catalog::{Delivery, EventsMissed, Subscription, Watched};
use crate::domain::{
    EventType, Metadata, Namespace, Revision, Secret, SecretEvent, SecretId, SecretName, Timestamp,
};
use crate::limits::{Counted, Counter};

/// The longest time without a bookmark.
const BOOKMARK: Duration = Duration::from_secs(25);
/// How many watches read the store at a time: the others wait, so that thousands that come back at once leave room for changes.
const READERS: usize = 8;

/// The watches of changes.
pub struct SecretWatches {
    core: Arc<Core>,
    readers: Arc<Semaphore>,
    /// How many watches there are.
    open: Arc<Counter>,
    /// Whether they are to end.
    stopping: watch::Sender<bool>,
}

/// Which changes a watch tells.
#[derive(Debug, Clone)]
pub struct WatchQuery {
    /// Whether it tells those of the namespaces below, too.
    pub include_children: bool,
    /// The beginning of the names; empty for all names.
    pub prefix: Box<str>,
    /// Pairs that the metadata must have; empty for all secrets.
    pub metadata: Metadata,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the changes from now on.
    Now,
    /// With the changes after a revision.
    After(Revision),
    /// With all secrets that match.
    Snapshot,
}

/// A step of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A secret was changed.
    Event(Box<StepEvent>),
    /// Every change up to this revision that matches was told.
    Bookmark {
        /// The revision.
        revision: Revision,
        /// Whether the watch has told all that there was when it began.
        synced: bool,
    },
}

/// A change of a secret, as a watch tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEvent {
    /// What happened, and to what.
    pub kind: StepType,
    /// When it happened; `None` at the beginning of a watch.
    pub at: Option<Timestamp>,
    /// The revision of the change.
    pub revision: Revision,
    /// The revision after which a watch continues behind this event; `None`: none does, since the snapshot is not complete.
    pub resume: Option<Revision>,
}

/// What a watch tells of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepType {
    /// It matches, at the beginning of the watch.
    Snapshot(Arc<Secret>),
    /// It was changed. With its former name, where it was renamed and the caller may list that name.
    Changed(EventType, Arc<Secret>, Option<SecretName>),
    /// It does not match any more. The name is the one that it matched with.
    Removed(Namespace, SecretId, SecretName),
}

impl SecretWatches {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let open = Counter::new("watches", usize::MAX); // the limits on requests and memory bound them
        Self { core, readers: Arc::new(Semaphore::new(READERS)), open, stopping: watch::Sender::new(false) }
    }

    /// How many watches there are now.
    pub fn open(&self) -> usize {
        self.open.used()
    }

    /// Ends all watches, since the server stops. Their callers are told to come back, to this server or to another.
    pub fn end(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until watches are to end, those of the audit log too.
    pub async fn ended(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await; // the sender lives as long as self
    }

    /// Begins a watch of those secrets of a namespace that the caller may list.
    ///
    /// Fails with [`Error::RevisionCompacted`] where the changes after the revision are not kept any more, and with
    /// [`Error::Invalid`] where the store has not reached it.
    pub async fn begin(
        &self,
        grant: NamespaceGrant<List>,
        query: WatchQuery,
        from: WatchFrom,
    ) -> Result<Watch, Error> {
        let core = self.core.clone();
        let (cursor, phase) = match from {
            WatchFrom::Now => (core.catalog.revision(), Phase::CatchUp(CatchUp::default())),
            WatchFrom::After(revision) => {
                core.refuse_unknown(revision).await?;
                (revision, Phase::CatchUp(CatchUp::default()))
            }
            WatchFrom::Snapshot => (core.catalog.revision(), Phase::Snapshot(Snapshot::default())),
        };
        Ok(Watch {
            _open: self.open.enter(),
            readers: self.readers.clone(),
            stopping: self.stopping.subscribe(),
            filter: EventFilter::new(grant, query),
            core,
            cursor,
            phase,
            snapshot: from == WatchFrom::Snapshot,
            synced: false,
            ready: VecDeque::new(),
            bookmark_at: Instant::now() + BOOKMARK,
        })
    }
}

impl Core {
    /// Fails unless the changes after this revision can be told.
    async fn refuse_unknown(&self, revision: Revision) -> Result<(), Error> {
        const FUTURE: &str =
            "must be a revision that the server has reached: take it from an event or a bookmark of a watch";
        if revision > self.catalog.revision() {
            return Err(Error::invalid("after_revision", FUTURE));
        }
        match self.history_start().await? {
            Some(start) if start <= revision => Ok(()),
            Some(_) | None => Err(Error::RevisionCompacted),
        }
    }
}

/// A watch of changes. Its caller confirms the grant for as long as it lasts.
pub struct Watch {
    _open: Option<Counted>,
    core: Arc<Core>,
    readers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    filter: EventFilter,
    /// Every event up to this revision was told, or is in `ready`.
    cursor: Revision,
    phase: Phase,
    /// Whether the watch began with a snapshot.
    snapshot: bool,
    /// Whether it has told all that there was when it began.
    synced: bool,
    /// The next steps.
    ready: VecDeque<Step>,
    /// When the next bookmark is due.
    bookmark_at: Instant,
}

/// Where the next events come from.
enum Phase {
    /// The secrets that match now are told.
    Snapshot(Snapshot),
    /// The events come from the store.
    CatchUp(CatchUp),
    /// The events come from the catalog, as changes are applied.
    Live(Subscription),
}

/// What a live watch has waited for.
enum Waited {
    Delivered(Result<Delivery, EventsMissed>),
    Bookmark,
    Stopping,
}

impl Watch {
    /// Waits for the next step. An error ends the watch.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            if *self.stopping.borrow() {
                return Err(Error::stopping());
            }
            if let Some(step) = self.ready.pop_front() {
                if matches!(step, Step::Bookmark { .. }) {
                    self.bookmark_at = Instant::now() + BOOKMARK;
                }
                return Ok(step);
            }
            match &mut self.phase {
                Phase::Snapshot(_) => self.tell_snapshot().await?,
                Phase::CatchUp(_) => self.catch_up().await?,
                Phase::Live(events) => {
                    let bookmark_at = self.bookmark_at;
                    let waited = tokio::select! {
                        delivered = events.next() => Waited::Delivered(delivered),
                        () = sleep_until(bookmark_at) => Waited::Bookmark,
                        _ = self.stopping.changed() => Waited::Stopping,
                    };
                    match waited {
                        Waited::Delivered(delivered) => self.receive(delivered)?,
                        Waited::Bookmark => self.tell_bookmark()?,
                        Waited::Stopping => return Err(Error::stopping()),
                    }
                }
            }
        }
    }

    /// Takes the events of a change from the catalog.
    fn receive(&mut self, delivered: Result<Delivery, EventsMissed>) -> Result<(), Error> {
        match delivered {
            Ok(Ok(events)) => {
                let Some(revision) = events.first().map(|event| event.revision) else { return Ok(()) };
                if revision > self.cursor {
                    self.tell(revision, events.iter());
                    self.cursor = revision;
                }
                Ok(())
            }
            Ok(Err(_damaged)) => Err(Error::Integrity),
            Err(EventsMissed) => {
                self.phase = Phase::CatchUp(CatchUp::default());
                Ok(())
            }
        }
    }

    /// Tells how far the watch has come.
    fn tell_bookmark(&mut self) -> Result<(), Error> {
        // The events up to this revision are in the subscription by now.
        let reached = self.core.catalog.revision();
        while let Phase::Live(events) = &mut self.phase {
            match events.try_next() {
                Ok(Some(delivery)) => self.receive(Ok(delivery))?,
                Err(EventsMissed) => return self.receive(Err(EventsMissed)),
                Ok(None) => {
                    self.cursor = self.cursor.max(reached);
                    self.push_bookmark();
                    break;
                }
            }
        }
        Ok(())
    }

    fn push_bookmark(&mut self) {
        self.ready.push_back(Step::Bookmark { revision: self.cursor, synced: self.synced });
    }

    /// Tells those of the events of a revision that match.
    fn tell<'a>(&mut self, revision: Revision, events: impl Iterator<Item = &'a SecretEvent>) {
        let Self { core, filter, snapshot, synced, ready, .. } = self;
        let told = core.catalog.with_policy(|policy| {
            events.filter_map(|event| Some((event.at, filter.told(policy, event)?))).collect::<Vec<_>>()
        });
        let before_revision = Revision(revision.0.saturating_sub(1));
        let last = told.len().saturating_sub(1);
        for (nth, (at, kind)) in told.into_iter().enumerate() {
            // A snapshot that is not complete is told again as a whole.
            let incomplete = *snapshot && !*synced;
            let kind = match kind {
                StepType::Changed(change, secret, _) if incomplete && !change.ends() => {
                    StepType::Snapshot(secret)
                }
                kind => kind,
            };
            let resume = if nth == last { revision } else { before_revision };
            let resume = (!incomplete).then_some(resume);
            let at = (!matches!(kind, StepType::Snapshot(_))).then_some(at);
            ready.push_back(Step::Event(Box::new(StepEvent { kind, at, revision, resume })));
        }
    }

    /// The namespaces whose events it receives.
    fn watched(&self) -> Watched {
        let namespace = self.filter.namespace().clone();
        if self.filter.includes_children() { Watched::Tree(namespace) } else { Watched::Namespace(namespace) }
    }
}
