//! `strongroom key` creates, lists and revokes API keys.

mod create;
mod list;
mod revoke;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};

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
}

impl Key {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(connection, output).await,
            Self::List => list::run(connection, output).await,
            Self::Revoke(command) => command.run(connection, output).await,
        }
    }
}

/// The lines of an API key.
pub(super) fn key_fields(key: &v1::ApiKey) -> Vec<(&'static str, String)> {
    let state = match (&key.revoked_at, key.root) {
        (Some(_), _) => "revoked",
        (None, true) => "root",
        (None, false) => "in force",
    };
    vec![
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("namespace", key.home_namespace.clone()),
        ("state", state.to_owned()),
        ("created", output::time_in_brief(key.created_at.as_ref())),
        ("expires", output::time_in_brief(key.expires_at.as_ref())),
    ]
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
        for (field, at) in [("expires_at", &key.expires_at), ("revoked_at", &key.revoked_at)] {
            if let Some(at) = at {
                object.insert(field.to_owned(), json!(at.to_string()));
            }
        }
    }
    json
}
