//! `strongroom key create` creates an API key.

use std::time::Duration;

use serde_json::json;
use strongroom_client::v1;

use super::{key_fields, key_json};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};

/// The arguments of `strongroom key create`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom key create billing --home billing --ttl 90d --key-only > billing.key")]
pub(in crate::cli) struct Create {
    /// A name for the key, for people
    name: String,

    /// The namespace whose secrets the key opens [default: that of --namespace, or else your own]
    #[arg(long, value_name = "NAMESPACE")]
    home: Option<String>,

    /// The time after which the key stops working, such as 90d or 12h [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,

    /// Print only the key
    #[arg(long)]
    key_only: bool,
}

impl Create {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let ttl = self.ttl.map(prost_types::Duration::try_from).transpose();
        let ttl = ttl.map_err(|_| Failure::usage("--ttl is too long"))?;
        let client = connection.client().await?;
        let message = v1::CreateApiKeyRequest {
            name: self.name,
            home_namespace: self.home.unwrap_or_else(|| client.namespace().to_owned()),
            ttl,
            expires_at: None,
            role: String::new(),
        };
        let reply = client.access().create_api_key(message).await?;
        if self.key_only {
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
            output::write(b"\nThe key is shown only now. Pass it on by a secure channel.\n")?;
        }
        Ok(())
    }
}
