//! `strongroom watch` shows the changes of secrets as they are made.

use std::io::{ErrorKind, Write};

use serde_json::{Value as Json, json};
use strongroom_client::{Secrets, Step, v1};

use super::connect::Connection;
use super::failure::{self, Failure};
use super::metadata;
use super::outage::Outage;
use super::output::{self, Output};
use super::secret::secret_json;
use super::version::state_name;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Show the changes of secrets as they are made\n\n\
Each event is one line, without the value. Where the connection breaks or the service restarts, the command continues \
after the last event: none is left out, and none comes twice.";

/// The arguments of `strongroom watch`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom watch --prefix db_
  strongroom watch -n team --children --metadata env=production
  strongroom watch --snapshot -o json | while read -r event; do echo \"$event\"; done
  strongroom watch --after 4711 -o json

Stop with Ctrl-C. In JSON, each event has a 'resume_revision': 'watch --after' continues there. The \
service keeps the changes of the last 24 hours, the newest million at most, unless it is configured otherwise.")]
pub(super) struct Watch {
    /// Show only secrets whose names begin with PREFIX
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    prefix: String,

    /// Show only secrets with this pair of metadata; if given several times, secrets with all of the pairs
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata::pair)]
    metadata: Vec<(String, String)>,

    /// Also watch the namespaces below this one
    #[arg(long)]
    children: bool,

    /// Begin with the secrets that match now
    #[arg(long)]
    snapshot: bool,

    /// Begin with the changes after this revision [default: with the changes from now on]
    #[arg(long, value_name = "REVISION", value_parser = revision, conflicts_with = "snapshot")]
    after: Option<u64>,

    /// Also show how far the watch has come, at least every 30 seconds
    #[arg(long)]
    bookmarks: bool,
}

/// A revision that a watch can begin after.
fn revision(text: &str) -> Result<u64, &'static str> {
    let revision = text.parse().ok().filter(|revision| *revision > 0);
    revision.ok_or("expected a revision from 1 on, as an event or a bookmark has it")
}

impl Watch {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::WatchSecretsRequest {
            include_children: self.children,
            name_prefix: self.prefix,
            metadata: metadata::map(self.metadata)?,
            after_revision: self.after.unwrap_or_default(),
            snapshot: self.snapshot,
            ..v1::WatchSecretsRequest::default()
        };
        // A reader of a snapshot is served by another one; a reader of changes must know that some are missing.
        let secrets = connection.client().await?.secrets();
        let mut watch = Outage::default().told_of(secrets.watch(request));
        if self.snapshot {
            watch = watch.snapshot_again();
        }
        loop {
            let line = match watch.next().await? {
                Step::Event(event) => {
                    let changed = changed_versions(&secrets, &event).await;
                    event_line(&event, &changed, output)
                }
                Step::Bookmark(bookmark) if self.bookmarks => bookmark_line(&bookmark, output),
                Step::Bookmark(_) => continue,
                Step::Restarted => restarted_line(output),
            };
            if !taken(line.as_bytes())? {
                return Ok(());
            }
        }
    }
}

/// Writes a line; whether there is still a reader.
fn taken(line: &[u8]) -> Result<bool, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(line).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::local(format!("standard output cannot be written: {error}"))),
    }
}

/// The versions that the event is about, where it is about the state of versions. The event itself has only the secret. Empty: they
/// have changed again since, or cannot be listed any more.
async fn changed_versions(secrets: &Secrets, event: &v1::SecretEvent) -> Vec<v1::SecretVersion> {
    let Some(secret) =
        event.secret.as_ref().filter(|_| event.r#type() == v1::SecretEventType::VersionChanged)
    else {
        return Vec::new();
    };
    let request = v1::ListSecretVersionsRequest {
        namespace: secret.namespace.clone(),
        name: secret.name.clone(),
        min_revision: event.revision,
        ..v1::ListSecretVersionsRequest::default()
    };
    let Ok(reply) = secrets.versions(request).await else { return Vec::new() };
    let of_event = |version: &v1::SecretVersion| {
        version.state_changed_at.is_some() && version.state_changed_at == secret.updated_at
    };
    reply.versions.into_iter().filter(of_event).collect()
}

fn event_line(event: &v1::SecretEvent, changed: &[v1::SecretVersion], output: Output) -> String {
    let kind = type_name(event.r#type());
    let secret = event.secret.clone().unwrap_or_default();
    if output == Output::Json {
        let mut json = json!({
            "type": kind,
            "secret": told_json(event.r#type(), &secret),
            "revision": event.revision,
            "resume_revision": event.resume_revision,
            "occurred_at": event.occurred_at.as_ref().map(|at| output::time(Some(at))),
        });
        if let (Some(object), Some(former)) = (json.as_object_mut(), &event.former_name) {
            object.insert("former_name".to_owned(), json!(former));
        }
        if let (Some(object), false) = (json.as_object_mut(), changed.is_empty()) {
            let version = |version: &v1::SecretVersion| json!({ "number": version.number, "state": state_name(version.state()) });
            object.insert("changed_versions".to_owned(), changed.iter().map(version).collect());
        }
        return format!("{json}\n");
    }
    let at = output::time_in_brief(event.occurred_at.as_ref().or(secret.updated_at.as_ref()));
    let name = output::printable(&format!("{}/{}", secret.namespace, secret.name));
    let more = match (event.r#type(), &event.former_name) {
        (v1::SecretEventType::Renamed, Some(former)) => format!("  was {}", output::printable(former)),
        (v1::SecretEventType::Staged, _) => match secret.pending_version {
            Some(number) => format!("  version {number} is pending"),
            None => String::new(),
        },
        (v1::SecretEventType::VersionChanged, _) => {
            let version = |version: &v1::SecretVersion| {
                format!("  version {} is {}", version.number, state_name(version.state()))
            };
            changed.iter().map(version).collect()
        }
        (v1::SecretEventType::RotationFailed, _) => match &secret.rotation_failure {
            Some(failure) => format!("  {}", output::printable(&failure.error)),
            None => String::new(),
        },
        // Nothing else is told of it.
        (v1::SecretEventType::Removed, _) => String::new(),
        _ => format!("  version {}", secret.version),
    };
    format!("{:<10}  {at}  {kind:<15}  {name}{more}\n", event.revision)
}

/// What an event tells of its secret.
fn told_json(kind: v1::SecretEventType, secret: &v1::Secret) -> Json {
    match kind {
        v1::SecretEventType::Removed => {
            json!({ "namespace": secret.namespace, "id": secret.id, "name": secret.name })
        }
        _ => secret_json(secret),
    }
}

fn bookmark_line(bookmark: &v1::WatchBookmark, output: Output) -> String {
    match output {
        Output::Json => {
            let json: Json =
                json!({ "type": "bookmark", "revision": bookmark.revision, "synced": bookmark.synced });
            format!("{json}\n")
        }
        Output::Table => format!("{:<10}  bookmark\n", bookmark.revision),
    }
}

fn restarted_line(output: Output) -> String {
    match output {
        Output::Json => format!("{}\n", json!({ "type": "restarted" })),
        Output::Table => {
            failure::note("the watch begins again with the secrets that match now");
            String::new()
        }
    }
}

/// Such as `rotated` or `rotation_due`.
fn type_name(kind: v1::SecretEventType) -> String {
    let name = kind.as_str_name();
    name.strip_prefix("SECRET_EVENT_TYPE_").unwrap_or(name).to_ascii_lowercase()
}
