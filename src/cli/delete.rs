//! `strongroom delete` deletes a secret, and says how it comes back.

use serde_json::json;
use strongroom_client::{Client, v1};

use super::confirm;
use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::secret::{no_secret, secret_json};

/// The arguments of `strongroom delete`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom delete stripe_api_key
  strongroom delete stripe_api_key --dry-run
  strongroom delete stripe_api_key --yes

The name is free again at once. The answer says until when 'undelete' brings the secret back, and how.")]
pub(super) struct Delete {
    /// The secret's name
    name: String,

    /// Delete the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,

    /// Show the secret that would be deleted, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let client = connection.client().await?;
        if self.dry_run {
            return self.try_out(&client, output).await;
        }
        if !self.yes {
            self.ask(connection)?;
        }
        let message = v1::DeleteSecretRequest {
            name: self.name.clone(),
            etag: self.etag,
            ..v1::DeleteSecretRequest::default()
        };
        let reply = client.secrets().delete(message).await?;
        let deleted_at = output::time(reply.deleted_at.as_ref());
        let purge_at = output::time(reply.purge_at.as_ref());
        let json = json!({
            "id": reply.id,
            "deleted_at": deleted_at,
            "purge_at": purge_at,
            "revision": reply.revision,
        });
        let lasts = reply.purge_at.is_some() && reply.purge_at != reply.deleted_at;
        let namespace = match client.namespace() {
            "" => String::new(),
            namespace => format!(" -n {namespace}"),
        };
        let undo = format!("strongroom{namespace} undelete {}", reply.id);
        let mut fields = vec![("deleted", self.name), ("at", deleted_at), ("id", reply.id)];
        if lasts {
            fields.extend([("recoverable until", purge_at), ("to bring it back", undo)]);
        }
        output.print(&fields, &json)
    }

    fn ask(&self, connection: &Connection) -> Result<(), Failure> {
        let settings = connection.settings()?;
        confirm::agreed(
            "this deletes a secret: give --yes, or use a terminal, which asks first. --dry-run shows the secret",
            &format!(
                "Delete '{}' and all its versions in {}?",
                output::printable(&self.name),
                settings.address()
            ),
            "the secret was not deleted",
        )
    }

    async fn try_out(self, client: &Client, output: Output) -> Result<(), Failure> {
        let message = v1::GetSecretRequest {
            name: self.name,
            view: v1::View::Metadata.into(),
            ..v1::GetSecretRequest::default()
        };
        let secret = client.secrets().get(message).await?.secret.ok_or_else(no_secret)?;
        if !self.etag.is_empty() && self.etag != secret.etag {
            return Err(Failure::local("the secret would not be deleted: it has another etag now"));
        }
        let json = json!({ "dry_run": true, "change": "delete", "secret": secret_json(&secret) });
        let fields = [
            ("would delete", secret.name),
            ("namespace", secret.namespace),
            ("versions", format!("all, the current one is {}", secret.version)),
            ("description", secret.description),
            ("id", secret.id),
        ];
        output.print(&fields, &json)
    }
}
