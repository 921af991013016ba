//! `strongroom delete` deletes a secret.

use serde_json::json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};

/// The arguments of `strongroom delete`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom delete stripe_api_key")]
pub(super) struct Delete {
    /// The secret's name
    name: String,

    /// Delete the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Delete {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::DeleteSecretRequest {
            name: self.name.clone(),
            etag: self.etag,
            ..v1::DeleteSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().delete(message).await?;
        let deleted_at = output::time(reply.deleted_at.as_ref());
        let json = json!({
            "id": reply.id,
            "deleted_at": deleted_at,
            "purge_at": output::time(reply.purge_at.as_ref()),
            "revision": reply.revision,
        });
        output.print(&[("deleted", self.name), ("at", deleted_at), ("id", reply.id)], &json)
    }
}
