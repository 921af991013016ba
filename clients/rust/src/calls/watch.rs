//! Follows the changes of secrets.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_core::Stream;

use crate::calls::option;
use crate::client::Client;
use crate::error::Error;
use crate::model::{Secret, moment};
use crate::turns::{Turns, next};
use crate::v1::{self, SecretEventType};
use crate::watch::{Step, Watch};

impl Client {
    /// Follows the changes of the namespace's secrets as they are made, in the order of their revisions. [`WatchChanges::events`]
    /// begins.
    pub fn watch(&self) -> WatchChanges {
        WatchChanges { client: self.clone(), request: v1::WatchSecretsRequest::default() }
    }
}

/// Which changes to follow; see [`Client::watch`].
#[must_use = "a watch is read by its events"]
pub struct WatchChanges {
    client: Client,
    request: v1::WatchSecretsRequest,
}

impl WatchChanges {
    option! { name_prefix matching }

    /// Begin with the secrets that match now.
    pub fn snapshot(mut self) -> Self {
        self.request.snapshot = true;
        self
    }

    /// Also follow the namespaces below.
    pub fn include_children(mut self) -> Self {
        self.request.include_children = true;
        self
    }

    /// Continue another watch: the [`resume_revision`](Event::resume_revision) of its last event.
    pub fn after_revision(mut self, revision: u64) -> Self {
        self.request.after_revision = revision;
        self
    }

    /// The events. Nothing is sent before the first one is asked for.
    pub fn events(self) -> Events {
        let in_snapshot = self.request.snapshot;
        let watch = self.client.secrets().watch(self.request);
        let reader = Reader { watch, in_snapshot, snapshot: Vec::new() };
        Events { turns: Turns::new(reader), read: Vec::new().into_iter(), ended: false }
    }
}

/// What a watch tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A change of one secret, or a secret of the snapshot.
    Change(Box<Event>),
    /// The snapshot is complete. Only a watch with a snapshot tells it, once.
    Synced {
        /// The store's revision of the snapshot, with which another watch continues.
        revision: u64,
    },
}

/// A change of one secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened. A kind of a later release is `Unspecified`.
    pub kind: SecretEventType,
    /// The secret after the change, without its value.
    pub secret: Secret,
    /// The name that a renamed or undeleted secret had.
    pub former_name: Option<String>,
    /// The store's revision of the change.
    pub revision: u64,
    /// With this [`after_revision`](WatchChanges::after_revision), another watch continues behind this event. 0 within a snapshot.
    pub resume_revision: u64,
    /// When it happened, by the clock of the service. `None` in a snapshot.
    pub occurred_at: Option<SystemTime>,
}

/// The events of a watch, without an end of their own. It is a [`Stream`], and has a [`next`](Self::next) of its own.
///
/// Where the connection breaks or the service restarts, it continues by itself behind the last event, for as long as that takes: no
/// event is left out, and none comes twice. A snapshot is told when it is complete. It ends after an error, which is one that does not
/// pass by itself, such as `ACCESS_DENIED`. After `REVISION_COMPACTED`, watch again with a snapshot.
pub struct Events {
    turns: Turns<Reader, Result<Vec<WatchEvent>, Error>>,
    read: std::vec::IntoIter<WatchEvent>,
    ended: bool,
}

impl Events {
    /// The next event, however long that takes; `None` after an error.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, Error>> {
        next(self).await
    }
}

impl Stream for Events {
    type Item = Result<WatchEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.read.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let turn = |mut reader: Reader| -> Pin<Box<dyn Future<Output = _> + Send>> {
                Box::pin(async move {
                    let read = reader.read().await;
                    (reader, read)
                })
            };
            match ready!(self.turns.poll(context, turn)) {
                Ok(events) => self.read = events.into_iter(),
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// Collects a snapshot until it is complete.
struct Reader {
    watch: Watch,
    in_snapshot: bool,
    snapshot: Vec<WatchEvent>,
}

impl Reader {
    /// The next events. Empty: nothing to tell yet.
    async fn read(&mut self) -> Result<Vec<WatchEvent>, Error> {
        match self.watch.next().await? {
            Step::Restarted => {
                self.snapshot.clear();
                Ok(Vec::new())
            }
            Step::Bookmark(bookmark) if self.in_snapshot && bookmark.synced => {
                self.in_snapshot = false;
                self.snapshot.push(WatchEvent::Synced { revision: bookmark.revision });
                Ok(std::mem::take(&mut self.snapshot))
            }
            Step::Bookmark(_) => Ok(Vec::new()),
            Step::Event(event) => {
                let event = WatchEvent::Change(Box::new(Event {
                    kind: event.r#type(),
                    revision: event.revision,
                    resume_revision: event.resume_revision,
                    occurred_at: moment(event.occurred_at),
                    former_name: event.former_name,
                    secret: Secret::of(event.secret, 0, 0),
                }));
                if self.in_snapshot {
                    self.snapshot.push(event);
                    return Ok(Vec::new());
                }
                Ok(vec![event])
            }
        }
    }
}
