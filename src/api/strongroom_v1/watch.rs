//! WatchSecrets: the changes of secrets, in a stream that lasts until one of its sides ends it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use super::convert::{hidden, metadata, redacted, timestamp};
use super::operator::{ConfirmedReplies, begun, spawn_of_call};
use super::proto as v1;
use super::status::refused;
use crate::api::error::Refusal;
use crate::api::request::{Call, Fields};
use crate::app::{App, Error, Step, StepEvent, StepType, Watch, WatchFrom, WatchQuery};
use crate::auth::List;
use crate::domain::{EventType, Namespace, Revision, SecretId, SecretName};

/// How many steps wait for a watcher that is slower than the changes, before the watch waits for it.
const AHEAD: usize = 4;
/// How long a watcher may take for the next step.
const SILENCE: Duration = Duration::from_secs(20);

/// The replies of a watch. Steps wait as they are, and become messages when the connection takes them: a step shares its secret with
/// the catalog and with other watches, and a message does not.
pub(super) struct WatchReplies {
    app: Arc<App>,
    steps: ConfirmedReplies<Step>,
}

impl Stream for WatchReplies {
    type Item = Result<v1::WatchSecretsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let step = ready!(Pin::new(&mut self.steps).poll_next(context));
        Poll::Ready(step.map(|step| step.map(|step| reply(&self.app, step))))
    }
}

pub(super) async fn watch(
    app: &Arc<App>,
    call: &Call,
    message: v1::WatchSecretsRequest,
) -> Result<WatchReplies, Error> {
    let mut fields = Fields::default();
    let grant = call.namespace_grant::<List>(app, &message.namespace, &mut fields)?;
    let prefix = fields.check("name_prefix", SecretName::parse_prefix(&message.name_prefix));
    let metadata = metadata(message.metadata, &mut fields);
    const BOTH: &str =
        "must not be set together with after_revision: a snapshot begins with the present secrets";
    fields.require(!message.snapshot || message.after_revision == 0, "snapshot", BOTH);
    let from = match message.after_revision {
        _ if message.snapshot => WatchFrom::Snapshot,
        0 => WatchFrom::Now,
        after => WatchFrom::After(Revision(after)),
    };
    let include_children = message.include_children;
    let parsed = (|| Some((grant?, WatchQuery { include_children, prefix: prefix?, metadata: metadata? })))();
    let (grant, query) = fields.finish(parsed)?;
    let watch = app.watches.begin(grant, query, from).await?;

    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    // One place is kept for the error that ends the stream.
    let last = replies.clone().try_reserve_owned().map_err(|_| Error::Internal("a new channel is full"))?;
    let confirmed = ConfirmedReplies::new(app.clone(), call.clone(), stream);
    let replies_of = app.clone();
    let (app, call) = (app.clone(), call.clone());
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        if let Err(ended) = send_steps(watch, &replies).await {
            let error = match ended {
                Ended::TooSlow => Error::WatchLagged,
                Ended::Failed(error) => error,
                Ended::Left => return,
            };
            last.send(Err(refused(Refusal::from(&error), call.request_id())));
        }
    });
    Ok(WatchReplies { app: replies_of, steps: confirmed })
}

/// Why a watch ended.
enum Ended {
    /// The caller has not taken the steps in time.
    TooSlow,
    /// The watch cannot go on.
    Failed(Error),
    /// The caller has gone, or its key has ended.
    Left,
}

/// Sends the steps of a watch as they come.
async fn send_steps(mut watch: Watch, replies: &mpsc::Sender<Result<Step, Status>>) -> Result<(), Ended> {
    loop {
        let step = tokio::select! {
            step = watch.next() => step.map_err(Ended::Failed)?,
            () = replies.closed() => return Err(Ended::Left),
        };
        match replies.send_timeout(Ok(step), SILENCE).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(Ended::TooSlow),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(Ended::Left),
        }
    }
}

fn reply(app: &App, step: Step) -> v1::WatchSecretsResponse {
    use v1::watch_secrets_response::Step as Reply;
    let step = match step {
        Step::Event(event) => Reply::Event(told(app, *event)),
        Step::Bookmark { revision, synced } => {
            Reply::Bookmark(v1::WatchBookmark { revision: revision.0, synced })
        }
    };
    v1::WatchSecretsResponse { step: Some(step) }
}

fn told(app: &App, StepEvent { kind, at, revision, resume }: StepEvent) -> v1::SecretEvent {
    let (kind, secret, former_name) = match kind {
        StepType::Snapshot(secret) => (v1::SecretEventType::Snapshot, redacted(app, &secret), None),
        StepType::Changed(kind, secret, former_name) => {
            (event_type(kind), redacted(app, &secret), former_name)
        }
        StepType::Removed(namespace, id, name) => {
            (v1::SecretEventType::Removed, removed(&namespace, id, &name, revision), None)
        }
    };
    v1::SecretEvent {
        r#type: kind.into(),
        secret: Some(secret),
        revision: revision.0,
        former_name: former_name.map(|name| name.to_string()),
        resume_revision: resume.unwrap_or_default().0,
        occurred_at: at.map(timestamp),
    }
}

/// A secret of which no more is told than which one it was: it may have a name now that the caller may not list.
fn removed(namespace: &Namespace, id: SecretId, name: &SecretName, revision: Revision) -> v1::Secret {
    v1::Secret {
        namespace: namespace.to_string(),
        name: name.to_string(),
        id: id.to_string(),
        revision: revision.0,
        value: Some(hidden()),
        ..v1::Secret::default()
    }
}

fn event_type(kind: EventType) -> v1::SecretEventType {
    match kind {
        EventType::Created => v1::SecretEventType::Created,
        EventType::Updated => v1::SecretEventType::Updated,
        EventType::Renamed => v1::SecretEventType::Renamed,
        EventType::Staged => v1::SecretEventType::Staged,
        EventType::Rotated => v1::SecretEventType::Rotated,
        EventType::VersionChanged => v1::SecretEventType::VersionChanged,
        EventType::Deleted => v1::SecretEventType::Deleted,
        EventType::Undeleted => v1::SecretEventType::Undeleted,
        EventType::Purged => v1::SecretEventType::Purged,
        EventType::RotationDue => v1::SecretEventType::RotationDue,
        EventType::RotationFailed => v1::SecretEventType::RotationFailed,
        EventType::Expiring => v1::SecretEventType::Expiring,
        EventType::Expired => v1::SecretEventType::Expired,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::app::{self, NewSecret, ValueSource};
    use crate::auth::{Credential, Write};
    use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
    use crate::domain::{Description, Metadata, Value};
    use crate::store;

    #[tokio::test]
    async fn a_watcher_that_takes_nothing_is_cut_off_and_told_how_to_go_on() {
        let mut root = String::new();
        let keys = MasterKeys::generate().unwrap();
        let provider = MasterKeyProvider::new(MasterKeySource::DataDir("nowhere".into()), keys);
        let hand_out = |credential: &Credential| {
            root = credential.expose().to_owned();
            Ok(())
        };
        let opened = app::open(store::open_memory().unwrap(), provider, app::Options::default(), hand_out);
        let app = opened.await.unwrap();
        let (root, home) = (app.access.authenticate(&root).unwrap(), Namespace::default_namespace());
        for number in 0..2 * AHEAD {
            let name = SecretName::parse(&format!("s{number}")).unwrap();
            let grant = app.access.grant::<Write>(&root, &home, &name).unwrap();
            let source = ValueSource::Value(Value::text("v".to_owned()).unwrap());
            let (description, metadata) = (Description::default(), Metadata::default());
            let new = NewSecret { source, description, metadata, rotation_policy: None, expiry: None };
            app.secrets.create(&grant, new, None).await.unwrap();
        }
        let grant = app.access.grant_namespace::<List>(&root, &home).unwrap();
        let query = WatchQuery { include_children: false, prefix: "".into(), metadata: Metadata::default() };
        let watch = app.watches.begin(grant, query, WatchFrom::Snapshot).await.unwrap();
        let (replies, taken) = mpsc::channel(AHEAD);
        tokio::time::pause();
        let begun = Instant::now();
        assert!(matches!(send_steps(watch, &replies).await, Err(Ended::TooSlow)));
        assert_eq!((begun.elapsed().as_secs(), taken.len()), (SILENCE.as_secs(), AHEAD));
        let refusal = Refusal::from(&Error::WatchLagged);
        assert!(refusal.message.contains("after_revision"), "{}", refusal.message);
    }
}
