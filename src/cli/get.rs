//! `strongroom get` shows one version of a secret with its value, or the current versions of several secrets.

use std::io::IsTerminal;

use serde_json::json;
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;

use super::connect::Connection;
use super::failure::Failure;
use super::file;
use super::output::{self, Output};
use super::secret::{print_with_value, secret_json, value_text};
use super::version::{consistency, number};

/// The arguments of `strongroom get`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom get stripe_api_key
  strongroom get db_password --version 3 --value-only
  strongroom get db_user db_password stripe_api_key

Several secrets are read at one moment. If some of them cannot be read, the command shows the others \
and fails.")]
pub(super) struct Get {
    /// The secret's name; several names are read in one request, up to 100
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// The number of the version to show, of one secret [default: the current version]
    #[arg(long, value_name = "N", value_parser = number, allow_hyphen_values = true)]
    version: Option<u32>,

    /// Print only the value of one secret, byte for byte
    #[arg(long)]
    value_only: bool,

    /// Accept an answer without the changes of the last seconds, from a service with replicas
    #[arg(long)]
    cached: bool,
}

impl Get {
    pub(super) async fn run(mut self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let consistency = consistency(self.cached);
        if self.names.len() > 1 {
            if self.version.is_some() || self.value_only {
                return Err(Failure::usage("--version and --value-only are for one name"));
            }
            return several(self.names, consistency, connection, output).await;
        }
        let message = v1::GetSecretRequest {
            name: self.names.pop().unwrap_or_default(),
            version: self.version,
            consistency: consistency.into(),
            ..v1::GetSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().get(message).await?;
        if self.value_only {
            print_value(reply)
        } else {
            print_with_value(output, reply.secret, reply.version)
        }
    }
}

fn print_value(reply: v1::GetSecretResponse) -> Result<(), Failure> {
    let mut value = match reply.secret.and_then(|secret| secret.value).and_then(|mut value| value.kind.take())
    {
        Some(Kind::Text(text)) => text.into_bytes(),
        Some(Kind::Binary(bytes)) => {
            file::refuse_terminal("the value is binary")?;
            bytes
        }
        Some(Kind::Redacted(_)) | None => return Err(Failure::local("the service sent no value")),
    };
    // A terminal's prompt belongs on a new line; elsewhere no byte is added.
    if std::io::stdout().is_terminal() {
        value.push(b'\n');
    }
    output::write(&value)
}

/// Reads several secrets at one moment, and shows those that can be read.
async fn several(
    names: Vec<String>,
    consistency: v1::Consistency,
    connection: &Connection,
    output: Output,
) -> Result<(), Failure> {
    let consistency = consistency.into();
    let message = v1::BatchGetSecretsRequest { names, consistency, ..v1::BatchGetSecretsRequest::default() };
    let reply = connection.client().await?.secrets().batch_get(message).await?;
    let (mut rows, mut items, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for item in &reply.items {
        match item.secret() {
            Ok(secret) => {
                let value = value_text(secret.value.as_ref());
                rows.push(vec![secret.name.clone(), secret.version.to_string(), value]);
                items.push(json!({ "name": item.name, "secret": secret_json(secret) }));
            }
            Err(error) => {
                let told = json!({ "reason": error.reason_name(), "message": error.message() });
                items.push(json!({ "name": item.name, "error": told }));
                refused.push((item.name.clone(), Failure::from(error)));
            }
        }
    }
    output.print_all(
        &["name", "version", "value"],
        rows,
        &json!({ "items": items, "revision": reply.revision }),
    )?;
    let count = refused.len();
    let list = refused.iter().map(|(name, failure)| (output::printable(name), failure.brief())).collect();
    match refused.into_iter().next() {
        None => Ok(()),
        Some((_, first)) => {
            Err(first.with_message(&format!("{count} of these secrets cannot be read"), list))
        }
    }
}
