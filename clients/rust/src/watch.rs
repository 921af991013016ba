//! A watch of secrets that continues by itself where its stream ends.
//!
//! The watch keeps the revision up to which it has told everything, and the secrets of the revision that it is in the middle
//! of. So a stream that continues another leaves nothing out and repeats nothing.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tonic::Code;

use crate::client::Replies;
use crate::error::{Error, ErrorReason};
use crate::secrets::Secrets;
use crate::v1::watch_secrets_response::Step as Sent;
use crate::v1::{SecretEvent, SecretEventType, WatchBookmark, WatchSecretsRequest, WatchSecretsResponse};

/// The service sends a bookmark at least every 30 seconds. A stream that is silent for longer than this is dead.
const SILENCE: Duration = Duration::from_secs(90);

/// The changes of a namespace's secrets, as they are made; see [`Secrets::watch`].
///
/// Where the connection breaks, the service restarts or the reader was too slow, the watch continues by itself behind the
/// last event that it returned, for as long as that takes. No event is left out, and none comes twice.
#[derive(Debug)]
pub struct Watch {
    secrets: Secrets,
    request: WatchSecretsRequest,
    /// Whether the watch begins again with a snapshot where the service does not keep its place any more.
    again: bool,
    stream: Option<Replies<WatchSecretsResponse>>,
    /// The revision that a stream continues after; `None`: no place is known yet, so that the request says where to begin.
    after: Option<u64>,
    /// The revision of the last event, and the ids of the secrets whose events of this revision were returned.
    told: (u64, HashSet<String>),
    /// Whether an event of a snapshot was returned, and the snapshot is not complete.
    in_snapshot: bool,
    /// Whether any stream was open.
    opened: bool,
    /// The attempts in a row that brought nothing, and when the first of them failed.
    failures: u32,
    failing_since: Option<Instant>,
    /// When the next attempt may begin.
    next_attempt: Option<Instant>,
    attempts: Told,
}

/// The caller's function that is told of an attempt to open the stream: of its error, or that it succeeded.
type Tell = dyn Fn(Option<&Error>) + Send + Sync;

/// Who is told of the attempts.
#[derive(Default)]
struct Told(Option<Box<Tell>>);

impl Told {
    fn of(&self, failed: Option<&Error>) {
        if let Some(tell) = &self.0 {
            tell(failed);
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

/// What happens to a watch.
pub(crate) enum Turn {
    /// It returns a step.
    Step(Step),
    /// Its stream has ended, or could not be opened; with the error, if there is one. It continues by itself.
    Lost(Option<Error>),
}

/// What a watch returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A change of one secret, or a secret of the snapshot.
    Event(Box<SecretEvent>),
    /// How far the watch has come: every change up to this revision was returned.
    Bookmark(WatchBookmark),
    /// What was returned before does not count any more: a complete snapshot follows, and a secret that is not in it does not
    /// match.
    ///
    /// This comes where the stream broke in the middle of a snapshot, and where [`Watch::snapshot_again`] asks for it.
    Restarted,
}

impl Watch {
    pub(crate) fn new(secrets: Secrets, request: WatchSecretsRequest) -> Self {
        let after = (request.after_revision > 0).then_some(request.after_revision);
        Self {
            secrets,
            request,
            again: false,
            stream: None,
            after,
            told: (0, HashSet::new()),
            in_snapshot: false,
            opened: false,
            failures: 0,
            failing_since: None,
            next_attempt: None,
            attempts: Told::default(),
        }
    }

    /// The same watch, which begins again with a snapshot where the service does not keep the changes since the last event
    /// any more (`REVISION_COMPACTED`). Without this, such a watch ends with that error.
    #[must_use]
    pub fn snapshot_again(mut self) -> Self {
        self.again = true;
        self
    }

    /// The same watch, which calls this after each attempt to open its stream: with the error where the attempt failed and another one
    /// follows, and with `None` where it succeeded.
    ///
    /// So a program can say that the service cannot be reached, while [`next`](Self::next) waits until it can.
    #[must_use]
    pub fn each_attempt(mut self, tell: impl Fn(Option<&Error>) + Send + Sync + 'static) -> Self {
        self.attempts = Told(Some(Box::new(tell)));
        self
    }

    /// The revision with which another watch continues behind the last step; 0: there was none.
    pub fn resume_revision(&self) -> u64 {
        self.after.unwrap_or_default()
    }

    /// The next step. It waits for as long as nothing happens, and can be dropped and called again.
    ///
    /// An error is one that does not pass by itself, such as `ACCESS_DENIED` and `REVISION_COMPACTED`. The next call tries
    /// again from the same place.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            if let Turn::Step(step) = self.turn().await? {
                return Ok(step);
            }
        }
    }

    /// What happens next: as [`next`](Self::next), and also the end of each stream.
    pub(crate) async fn turn(&mut self) -> Result<Turn, Error> {
        loop {
            let outcome = match &mut self.stream {
                Some(stream) => match timeout(SILENCE, stream.next()).await {
                    Ok(Ok(Some(reply))) => {
                        (self.failures, self.failing_since) = (0, None);
                        match self.step(reply) {
                            Some(step) => return Ok(Turn::Step(step)),
                            None => continue,
                        }
                    }
                    Ok(Ok(None)) | Err(_) => None,
                    Ok(Err(error)) => Some(error),
                },
                None => {
                    if let Some(at) = self.next_attempt {
                        sleep_until(at).await;
                        self.next_attempt = None;
                    }
                    match self.secrets.open_watch(self.continuation()).await {
                        Ok(stream) => {
                            self.stream = Some(stream);
                            self.opened = true;
                            self.attempts.of(None);
                            if std::mem::take(&mut self.in_snapshot) {
                                self.told = (0, HashSet::new());
                                return Ok(Turn::Step(Step::Restarted));
                            }
                            continue;
                        }
                        Err(error) => Some(error),
                    }
                }
            };
            let was_open = self.stream.take().is_some();
            self.failed(outcome.as_ref(), was_open)?;
            if let Some(error) = outcome.as_ref().filter(|error| !was_open && passes(error)) {
                self.attempts.of(Some(error));
            }
            return Ok(Turn::Lost(outcome));
        }
    }

    /// The request for the stream that continues this watch.
    fn continuation(&self) -> WatchSecretsRequest {
        match self.after {
            Some(after_revision) => {
                WatchSecretsRequest { after_revision, snapshot: false, ..self.request.clone() }
            }
            None => self.request.clone(),
        }
    }

    /// Decides whether the watch goes on after its stream has ended, or could not be opened.
    fn failed(&mut self, error: Option<&Error>, was_open: bool) -> Result<(), Error> {
        let client = &self.secrets.0;
        let policy = client.retry();
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        self.next_attempt = Some(Instant::now() + policy.pause_of_watch(self.failures, error));
        match error {
            Some(error) if self.again && error.reason() == Some(ErrorReason::RevisionCompacted) => {
                self.after = None;
                self.request.after_revision = 0;
                self.request.snapshot = true;
                // What was returned before is no part of the snapshot that follows.
                self.in_snapshot = true;
            }
            // The credential may have been renewed since the stream was opened.
            Some(error) if was_open && error.code() == Code::Unauthenticated => self.next_attempt = None,
            Some(error) if !passes(error) => return Err(error.clone()),
            // A service that was never reached may not be there at all.
            Some(error)
                if !self.opened
                    && (!policy.allows_more(self.failures) || since.elapsed() >= client.deadline()) =>
            {
                return Err(error.clone());
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Notes how far the watch is with a reply; `None`: it was returned before.
    fn step(&mut self, reply: WatchSecretsResponse) -> Option<Step> {
        match reply.step? {
            Sent::Bookmark(bookmark) => {
                // A bookmark within a snapshot says nothing about what the snapshot has yet to bring.
                if bookmark.synced || !self.in_snapshot {
                    self.in_snapshot = false;
                    self.after = Some(bookmark.revision);
                }
                Some(Step::Bookmark(bookmark))
            }
            Sent::Event(event) if event.r#type() == SecretEventType::Snapshot => {
                self.in_snapshot = true;
                Some(Step::Event(Box::new(event)))
            }
            Sent::Event(event) => {
                let id = event.secret.as_ref().map(|secret| secret.id.clone()).unwrap_or_default();
                let (revision, ids) = &mut self.told;
                if event.revision < *revision || (event.revision == *revision && ids.contains(&id)) {
                    return None;
                }
                if event.revision > *revision {
                    *revision = event.revision;
                    ids.clear();
                }
                ids.insert(id);
                if !self.in_snapshot {
                    self.after = Some(event.resume_revision);
                }
                Some(Step::Event(Box::new(event)))
            }
        }
    }
}

/// Whether a watch continues after this error: the stream or the connection ended, and the service refused nothing.
pub(crate) fn passes(error: &Error) -> bool {
    let broken = matches!(
        error.code(),
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DeadlineExceeded | Code::Aborted
    );
    error.is_transient() || (error.reason_name().is_none() && broken)
}
