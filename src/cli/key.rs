use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use crate::api::v1;

/// `strongroom key`
#[derive(Subcommand)]
pub(super) enum Key {
    /// Make an API key; it is shown once and never again
    Create {
        /// What to call it
        name: String,
        /// The namespace that it opens [default: that of --namespace, else your own]
        #[arg(long, value_name = "NAMESPACE")]
        home: Option<String>,
        /// After which time it stops working, such as 90d or 12h [default: never]
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
        /// Print the key alone
        #[arg(long)]
        key_only: bool,
    },
    /// List all API keys, revoked and expired ones too
    List,
    /// Revoke an API key, at once and for good
    Revoke {
        /// The key's id: the 16 characters behind srk_
        id: String,
    },
}

impl Key {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create { name, home, ttl, key_only } => {
                let ttl = ttl.map(prost_types::Duration::try_from).transpose();
                let message = v1::CreateApiKeyRequest {
                    name,
                    home_namespace: home.unwrap_or_else(|| connection.namespace()),
                    ttl: ttl.map_err(|_| Failure::usage("--ttl is longer than a time can be"))?,
                    expires_at: None,
                };
                let reply = connection.access().await?.create_api_key(message).await?.into_inner();
                if key_only {
                    return output::write(format!("{}\n", reply.credential).as_bytes());
                }
                let key = reply.api_key.unwrap_or_default();
                let mut fields = vec![("key", reply.credential.clone())];
                fields.extend(key_fields(&key));
                let mut json = key_json(&key);
                if let Some(object) = json.as_object_mut() {
                    object.insert("credential".to_owned(), json!(reply.credential));
                }
                output.print(&fields, &json)?;
                if output == Output::Table {
                    output::write(b"\nThe key is shown this once. Hand it over by a safe way.\n")?;
                }
                Ok(())
            }
            Self::List => {
                let reply = connection.access().await?.list_api_keys(v1::ListApiKeysRequest {}).await?;
                let keys = reply.into_inner().items;
                let json = json!({ "items": keys.iter().map(key_json).collect::<Vec<_>>() });
                let row = |key: &v1::ApiKey| key_fields(key).into_iter().map(|(_, text)| text).collect();
                let header = ["id", "name", "namespace", "state", "created", "expires"];
                output.print_all(&header, keys.iter().map(row).collect(), &json)
            }
            Self::Revoke { id } => {
                let message = v1::RevokeApiKeyRequest { id };
                let reply = connection.access().await?.revoke_api_key(message).await?.into_inner();
                let key = reply.api_key.unwrap_or_default();
                output.print(&key_fields(&key), &key_json(&key))
            }
        }
    }
}

/// An API key's fields, for people.
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

/// An API key for programs, under the names of the wire.
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
