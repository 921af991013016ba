//! `strongroom get` shows one version of a secret, with its value.

use std::io::IsTerminal;

use serde_json::json;
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::secret::{no_secret, secret_fields, secret_json};

/// The arguments of `strongroom get`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom get stripe_api_key
  strongroom get db_password --version 3 --value-only")]
pub(super) struct Get {
    /// The secret's name
    name: String,

    /// The number of the version to show [default: the current version]
    #[arg(long, value_name = "N")]
    version: Option<u32>,

    /// Print only the value, byte for byte
    #[arg(long)]
    value_only: bool,
}

impl Get {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::GetSecretRequest {
            name: self.name,
            version: self.version,
            ..v1::GetSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().get(message).await?;
        if !self.value_only {
            let secret = reply.secret.ok_or_else(no_secret)?;
            let (mut fields, mut json) = (secret_fields(&secret), secret_json(&secret));
            // `version` is the current version; the value shown may be of another one.
            if reply.version != secret.version {
                fields.insert(2, ("value of", format!("version {}", reply.version)));
            }
            if let Some(object) = json.as_object_mut() {
                object.insert("value_version".to_owned(), json!(reply.version));
            }
            return output.print(&fields, &json);
        }
        let mut value = match reply.secret.and_then(|secret| secret.value).and_then(|value| value.kind) {
            Some(Kind::Text(text)) => text.into_bytes(),
            Some(Kind::Binary(bytes)) => bytes,
            Some(Kind::Redacted(_)) | None => return Err(Failure::local("the service sent no value")),
        };
        // A terminal's prompt belongs on a new line; elsewhere no byte is added.
        if std::io::stdout().is_terminal() {
            value.push(b'\n');
        }
        output::write(&value)
    }
}
