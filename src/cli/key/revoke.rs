//! `strongroom key revoke` revokes an API key.

use super::{key_fields, key_json};
use crate::cli::confirm::Caution;
use crate::cli::connect::Connection;
use crate::cli::dry_run::{self, Bindings};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};

/// The arguments of `strongroom key revoke`.
#[derive(clap::Args)]
#[command(after_help = "The key's bindings are removed, and its requests and streams end within a second.

Examples:
  strongroom key revoke abcdefghijklmnop --dry-run
  strongroom key revoke abcdefghijklmnop")]
pub(in crate::cli) struct Revoke {
    /// The key's id: the 16 characters after srk_
    id: String,

    #[command(flatten)]
    caution: Caution,
}

impl Revoke {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let change = format!("revoke the API key {} permanently", self.id);
        if self.caution.dry_run {
            let access = connection.client().await?.access();
            let keys = access.list_api_keys().await?.items;
            let Some(key) = keys.into_iter().find(|key| key.id == self.id) else {
                let id = output::printable(&self.id);
                return Err(Failure::local(format!("There is no API key '{id}' that you manage.")));
            };
            if key.revoked_at.is_some() {
                return Err(Failure::local(format!("the API key {} is revoked already", self.id)));
            }
            let lost = Bindings::read(&access).await?.without_key(&key.id);
            return dry_run::print(output, &change, &lost);
        }
        self.caution.agreed(connection, &change)?;
        let reply = connection.client().await?.access().revoke_api_key(self.id).await?;
        let key = reply.api_key.unwrap_or_default();
        output.print(&key_fields(&key), &key_json(&key))
    }
}
