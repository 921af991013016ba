//! `strongroom key revoke` revokes an API key.

use super::{key_fields, key_json};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom key revoke`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom key revoke abcdefghijklmnop")]
pub(in crate::cli) struct Revoke {
    /// The key's id: the 16 characters after srk_
    id: String,
}

impl Revoke {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let reply = connection.client().await?.access().revoke_api_key(self.id).await?;
        let key = reply.api_key.unwrap_or_default();
        output.print(&key_fields(&key), &key_json(&key))
    }
}
