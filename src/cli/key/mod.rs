//! `strongroom key` creates, lists, rotates, revokes and recovers API keys.

mod chosen;
mod create;
mod destination;
mod list;
mod recover;
mod revoke;
mod rotate;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::answered;
use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use crate::domain::now;

/// The commands below `strongroom key`.
#[derive(Subcommand)]
pub(super) enum Key {
    /// Create an API key, which is shown only once
    Create(create::Create),
    /// List all API keys, including revoked and expired ones
    #[command(after_help = list::EXAMPLES)]
    List,
    /// Revoke an API key immediately and permanently
    Revoke(revoke::Revoke),
    /// Give an API key a new secret, which is shown only once
    Rotate(rotate::Rotate),
    /// Make an API key with every right, without the service
    #[command(long_about = recover::ABOUT)]
    Recover(Box<recover::Recover>),
}

impl Key {
    pub(super) fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create(command) => answered(connection, command.run(connection, output)),
            Self::List => answered(connection, list::run(connection, output)),
            Self::Revoke(command) => answered(connection, command.run(connection, output)),
            Self::Rotate(command) => answered(connection, command.run(connection, output)),
            Self::Recover(command) => command.run(output),
        }
    }
}

/// The lines of an API key.
pub(super) fn key_fields(key: &v1::ApiKey) -> Vec<(&'static str, String)> {
    let state = match &key.revoked_at {
        Some(_) => "revoked",
        None if is_in_force(key) => "in force",
        None => "expired",
    };
    vec![
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("namespace", key.home_namespace.clone()),
        ("state", state.to_owned()),
        ("created", output::time_in_brief(key.created_at.as_ref())),
        ("expires", output::time_in_brief(key.expires_at.as_ref())),
        ("last used", output::time_in_brief(key.last_used_at.as_ref())),
    ]
}

/// Whether a key is neither revoked nor expired, by the clock of this machine.
fn is_in_force(key: &v1::ApiKey) -> bool {
    let micros = |at: &prost_types::Timestamp| {
        at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1000)
    };
    let now = now().as_micros();
    key.revoked_at.is_none() && key.expires_at.as_ref().is_none_or(|at| micros(at) > now)
}

/// An API key in JSON, with the field names of the wire.
pub(super) fn key_json(key: &v1::ApiKey) -> Json {
    let mut json = json!({
        "id": key.id,
        "name": key.name,
        "home_namespace": key.home_namespace,
        "root": key.root,
        "created_at": output::time(key.created_at.as_ref()),
    });
    if let Some(object) = json.as_object_mut() {
        let times = [
            ("expires_at", &key.expires_at),
            ("revoked_at", &key.revoked_at),
            ("rotated_at", &key.rotated_at),
            ("last_used_at", &key.last_used_at),
        ];
        for (field, at) in times {
            if let Some(at) = at {
                object.insert(field.to_owned(), json!(at.to_string()));
            }
        }
    }
    json
}
