//! `strongroom policy` says when and how a secret is rotated.

mod clear;
mod pause;
mod set;
mod show;

use clap::Subcommand;
use serde_json::{Map, Value as Json, json};
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::generator;
use super::moment;
use super::output::{self, Output};
use super::secret::{failure_json, failure_text};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Say when and how a secret is rotated

With a generator, the service rotates the secret by itself. Without one, it tells that a rotation is due, and a worker \
makes it: see 'strongroom rotator'.";

/// The commands below `strongroom policy`.
#[derive(Subcommand)]
pub(super) enum Policy {
    /// Give a secret a rotation policy, in place of the one that it has
    Set(Box<set::Set>),
    /// Show the rotation policy of a secret, and when the next rotation is due
    Show(show::Show),
    /// Make no rotations of a secret until 'policy resume'; the policy stays
    #[command(after_help = "Example:\n  strongroom policy pause db_password")]
    Pause(pause::Pause),
    /// Make rotations of a secret again
    #[command(after_help = "Example:\n  strongroom policy resume db_password")]
    Resume(pause::Pause),
    /// Remove the rotation policy of a secret; it is then rotated only on request
    Clear(clear::Clear),
}

impl Policy {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Set(command) => command.run(connection, output).await,
            Self::Show(command) => command.run(connection, output).await,
            Self::Pause(command) => command.run(true, connection, output).await,
            Self::Resume(command) => command.run(false, connection, output).await,
            Self::Clear(command) => command.run(connection, output).await,
        }
    }
}

/// A policy on one line, such as `every 30days, within 02:00-04:00 UTC, generates password:40`.
pub(super) fn shown(policy: &v1::RotationPolicy) -> String {
    let mut parts = vec![match &policy.interval {
        Some(interval) => format!("every {}", moment::shown(Some(interval))),
        None => "on request".to_owned(),
    }];
    if !policy.window.is_empty() {
        parts.push(format!("within {} UTC", policy.window));
    }
    match &policy.generator {
        Some(generator) => parts.push(format!("generates {}", generator::shown(generator))),
        None if policy.interval.is_some() => parts.push("by a worker".to_owned()),
        None => {}
    }
    if policy.grace_period.is_some() {
        parts.push(format!("grace {}", moment::shown(policy.grace_period.as_ref())));
    }
    if policy.retire_when_unread {
        parts.push("retires when unread".to_owned());
    }
    if policy.paused {
        parts.push("paused".to_owned());
    }
    parts.join(", ")
}

/// A policy in JSON, with the field names of the wire. The generator has the short form of the command line.
pub(super) fn json(policy: &v1::RotationPolicy) -> Json {
    let seconds = |span: &prost_types::Duration| json!(span.to_string());
    let mut object = Map::new();
    if let Some(interval) = &policy.interval {
        object.insert("interval".to_owned(), seconds(interval));
    }
    if let Some(generator) = &policy.generator {
        object.insert("generator".to_owned(), json!(generator::shown(generator)));
    }
    if let Some(grace) = &policy.grace_period {
        object.insert("grace_period".to_owned(), seconds(grace));
    }
    if !policy.window.is_empty() {
        object.insert("window".to_owned(), json!(policy.window));
    }
    if policy.paused {
        object.insert("paused".to_owned(), json!(true));
    }
    if policy.retire_when_unread {
        object.insert("retire_when_unread".to_owned(), json!(true));
    }
    Json::Object(object)
}

/// Prints the policy of a secret.
fn print(output: Output, secret: Option<v1::Secret>) -> Result<(), Failure> {
    let secret = secret.ok_or_else(super::secret::no_secret)?;
    let next = output::time(secret.next_rotation_at.as_ref());
    let failure = secret.rotation_failure.as_ref();
    let mut json = json!({
        "namespace": secret.namespace,
        "name": secret.name,
        "rotation_policy": secret.rotation_policy.as_ref().map(json),
        "next_rotation_at": (!next.is_empty()).then_some(&next),
        "etag": secret.etag,
        "revision": secret.revision,
    });
    if let (Some(failure), Some(object)) = (failure, json.as_object_mut()) {
        object.insert("rotation_failure".to_owned(), failure_json(failure));
    }
    let policy = secret.rotation_policy.as_ref();
    let mut fields = vec![
        ("name", secret.name.clone()),
        ("namespace", secret.namespace.clone()),
        ("rotation", policy.map_or("no policy; rotated only on request".to_owned(), shown)),
        ("next rotation", next),
    ];
    fields.extend(failure.map(|failure| ("last attempt", failure_text(failure))));
    fields.push(("etag", secret.etag.clone()));
    output.print(&fields, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_shown_with_what_it_has() {
        let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(shown(&v1::RotationPolicy::default()), "on request");
        let policy = v1::RotationPolicy {
            interval: span(30 * 86_400),
            generator: generator::parse("password:40").ok(),
            grace_period: span(86_400),
            window: "02:00-04:00".into(),
            paused: true,
            retire_when_unread: true,
        };
        let text = "every 30days, within 02:00-04:00 UTC, generates password:40, grace 1day, retires when unread, paused";
        assert_eq!(shown(&policy), text);
        assert_eq!(
            json(&policy).to_string(),
            r#"{"interval":"2592000s","generator":"password:40","grace_period":"86400s","window":"02:00-04:00","paused":true,"retire_when_unread":true}"#
        );
        let worker = v1::RotationPolicy { generator: None, ..policy };
        assert!(shown(&worker).contains("by a worker"));
    }
}
